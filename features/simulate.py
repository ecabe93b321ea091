"""Simulated journeys: touchpoints in the contract's columns, and the truth behind them in a file of its own.

Nothing here is real. Ids and campaign names begin with `simulated-`, and the folder written says so first.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from features.errors import BadEnvironment, BadUsage
from features.simulated_calendar import OBSERVED_DAYS, clock, moment
from features.simulated_journeys import draw_journeys, draw_population
from features.simulated_messages import compose
from features.simulated_touchpoints import draw_touchpoints
from features.simulated_truth import known_facts, latent_stages

LATE_SHARE: Final = 0.04  # of the rows whose recording is timed: learnt of between one hour and thirty days after
EXACT_DUPLICATE_SHARE: Final = 0.01
RESENT_SHARE: Final = 0.01  # the same event_id once more, recorded minutes later
UNTIMED_CHANNELS: Final = ("store", "phone")  # tills and telephones give neither event_id nor recorded_at
MESSAGE_ACTIONS: Final = ("posted", "asked", "chatted", "complained", "reviewed", "replied")
COMPANY_ACTIONS: Final = ("sent", "shown", "called", "replied")

_DELIVERY_FACTS: Final[dict[str, object]] = {
    "late_share": LATE_SHARE,
    "exact_duplicate_share": EXACT_DUPLICATE_SHARE,
    "resent_share": RESENT_SHARE,
}
_NOTICE: Final = "Everything in this folder is simulated: no customer, message or purchase in it is real.\n"


@dataclass(frozen=True)
class Simulation:
    """Simulated touchpoints, what was really going on, and what is true of the whole.

    touchpoints: the contract's twelve columns in the order they became known, late rows and duplicates included.
    truth: one row whenever a customer's latent state changed: customer_id, since (UTC), stage, dormant, and the
        customer's own propensity and activity (log scale), arrived_by and viral.
    facts: seed, difficulty, the split test with its true odds ratio, the campaigns' true lifts, the spike's date.
    """

    touchpoints: pl.DataFrame
    truth: pl.DataFrame
    facts: dict[str, object]


def simulate(customers: int, seed: int, difficulty: float = 0.5) -> Simulation:
    """Simulate journeys over eighteen months; the same arguments always give the same frames.

    The harder (0 to 1), the less the stages differ in what people do, the less of what they write tells of the stage,
    and the less their acts tell of propensity; the journeys of a seed stay the same.

    Raises BadUsage when an argument is out of range.
    """
    _check(customers, seed, difficulty)
    people_rng, journeys_rng, acts_rng, words_rng, delivery_rng = np.random.default_rng(seed).spawn(5)
    people = draw_population(customers, difficulty, people_rng)
    journeys = draw_journeys(people, journeys_rng)
    acts = draw_touchpoints(people, journeys, difficulty, acts_rng)
    acts = _with_text(acts.sort("day", "customer", "action", maintain_order=True), difficulty, words_rng)
    truth = latent_stages(people, journeys).select(_named("", "customer").alias("customer_id"), pl.exclude("customer"))
    asked: dict[str, object] = {"simulated": True, "seed": seed, "difficulty": difficulty, "customers": customers}
    facts = asked | known_facts(people, journeys) | _DELIVERY_FACTS
    return Simulation(_deliver(_as_contract(acts), delivery_rng), truth, facts)


def write_simulation(simulation: Simulation, folder: Path) -> None:
    """Write touchpoints.parquet, truth.parquet, facts.json and README.txt; each file appears complete or not at all.

    Raises BadUsage where the folder holds files of these names and of another origin, BadEnvironment when it cannot be
    made or written.
    """
    own = [name for name in ("README.txt", "touchpoints.parquet", "truth.parquet") if (folder / name).exists()]
    if own and not (folder / "facts.json").exists():
        fault = f"{folder} holds a {' and a '.join(own)} of another origin; give another --out"
        raise BadUsage("out_exists", fault)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "README.txt", lambda path: path.write_text(_NOTICE + _readme(simulation), encoding="utf-8"))
        _write(folder / "touchpoints.parquet", simulation.touchpoints.write_parquet)
        _write(folder / "truth.parquet", simulation.truth.write_parquet)
        facts = json.dumps(simulation.facts, indent=2) + "\n"
        _write(folder / "facts.json", lambda path: path.write_text(facts, encoding="utf-8"))
    except OSError as error:
        fault = f"the folder for the simulation cannot be written ({error.strerror}); choose another or free it"
        raise BadEnvironment("folder_not_writable", fault) from error


def _write(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check(customers: int, seed: int, difficulty: float) -> None:
    faults = []
    if customers < 1:
        faults.append(f"customers is {customers}; expected at least 1")
    if seed < 0:
        faults.append(f"seed is {seed}; expected 0 or more")
    if not 0.0 <= difficulty <= 1.0:
        faults.append(f"difficulty is {difficulty}; expected a number from 0 (plain) to 1 (hardly any signal)")
    if faults:
        raise BadUsage("bad_simulation", faults)


def _named(kind: str, number: str) -> pl.Expr:
    return pl.format(f"simulated-{kind}{{}}", pl.col(number).cast(pl.String).str.zfill(7))


def _with_text(acts: pl.DataFrame, difficulty: float, rng: np.random.Generator) -> pl.DataFrame:
    acts = acts.with_row_index("number")
    said = acts.filter(pl.col("action").is_in(MESSAGE_ACTIONS))
    words = compose(said["action"].to_numpy(), said["state"].to_numpy(), difficulty, rng)
    return acts.join(said.select("number", words.alias("text")), on="number", how="left", maintain_order="left")


def _as_contract(acts: pl.DataFrame) -> pl.DataFrame:
    timed = ~pl.col("channel").is_in(UNTIMED_CHANNELS)
    by_company = pl.col("action").is_in(COMPANY_ACTIONS)
    return acts.select(
        _named("", "customer").alias("customer_id"),
        clock(acts["day"]).alias("occurred_at"),
        "channel",
        "action",
        pl.when(timed).then(_named("event-", "number")).alias("event_id"),
        pl.lit(None, pl.Datetime("us", "UTC")).alias("recorded_at"),
        pl.when(by_company).then(pl.lit("company")).otherwise(pl.lit("customer")).alias("actor"),
        "value",
        "campaign",
        "variant",
        _named("conversation-", "conversation").alias("conversation_id"),
        "text",
    )


def _deliver(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Record each row soon or late, send some twice, leave out what was not known at the end, in the order known."""
    timed = pl.col("event_id").is_not_null()
    hours_late = np.clip(rng.lognormal(3.0, 1.5, rows.height), 1.0, 720.0)
    seconds = np.where(rng.random(rows.height) < LATE_SHARE, 3600.0 * hours_late, 90.0 * rng.random(rows.height))
    lag = pl.Series(np.round(seconds * 1e6).astype(np.int64)).cast(pl.Duration("us"))
    rows = rows.with_columns(pl.when(timed).then(pl.col("occurred_at") + lag).alias("recorded_at"))
    exact = rows.filter(pl.Series(rng.random(rows.height) < EXACT_DUPLICATE_SHARE))
    resent = rows.filter(pl.Series(rng.random(rows.height) < RESENT_SHARE) & timed)
    seconds_after = pl.Series(rng.integers(1, 1800, resent.height))
    resent = resent.with_columns(pl.col("recorded_at") + (seconds_after * 1_000_000).cast(pl.Duration("us")))
    known_at = pl.coalesce("recorded_at", "occurred_at")
    sent = pl.concat([rows, exact, resent]).sort(known_at, "customer_id", "action", maintain_order=True)
    return sent.filter(known_at < moment(OBSERVED_DAYS))


def _readme(simulation: Simulation) -> str:
    facts = simulation.facts
    return (
        f"Made from seed {facts['seed']} at difficulty {facts['difficulty']} for {facts['customers']} customers.\n"
        "touchpoints.parquet: the input, late-recorded rows and duplicates included.\n"
        "truth.parquet: each customer's latent stage over time; never an input.\n"
        "facts.json: the split test's true effect, the campaigns' true effects, the date of the viral spike.\n"
    )
