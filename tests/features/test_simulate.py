from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import BadEnvironment, BadUsage
from features.simulate import Simulation, simulate, write_simulation
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates, read_touchpoints

STAGES = ["awareness", "consideration", "conversion", "advocacy"]
BEGINS, ENDS = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
KNOWN_AT = pl.max_horizontal("occurred_at", "recorded_at")


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(2000, seed=7)


@pytest.fixture(scope="module")
def crowd() -> Simulation:
    made = simulate(20_000, seed=7)
    return replace(made, touchpoints=drop_duplicates(made.touchpoints))


def first_purchases(touchpoints: pl.DataFrame) -> pl.DataFrame:
    bought = touchpoints.filter(action="purchase")
    return bought.group_by("customer_id").agg(pl.col("occurred_at").min().alias("bought_at"))


def test_same_seed_same_frames() -> None:
    one, other = simulate(50, seed=3), simulate(50, seed=3)
    assert_frame_equal(one.touchpoints, other.touchpoints)
    assert_frame_equal(one.truth, other.truth)
    assert one.facts == other.facts


def test_another_seed_gives_other_journeys() -> None:
    assert not simulate(50, seed=3).touchpoints.equals(simulate(50, seed=4).touchpoints)


def test_difficulty_leaves_the_journeys_alone_and_changes_what_is_seen() -> None:
    plain, hard = simulate(200, seed=3, difficulty=0.0), simulate(200, seed=3, difficulty=1.0)
    assert_frame_equal(plain.truth.drop("activity"), hard.truth.drop("activity"))
    assert not plain.touchpoints.equals(hard.touchpoints)


def test_looking_at_products_tells_of_consideration_the_more_the_easier() -> None:
    def contrast(difficulty: float) -> float:
        """Product views a visit of those who consider, over the same of those who are aware."""
        made = simulate(1000, seed=3, difficulty=difficulty)
        acts = made.touchpoints.filter(pl.col("action").is_in(["visited", "viewed_product"])).sort("occurred_at")
        states = made.truth.select("customer_id", "stage", occurred_at="since").sort("occurred_at")
        staged = acts.join_asof(states, on="occurred_at", by="customer_id", check_sortedness=False)
        counts = staged.group_by("stage", "action").len().pivot("action", index="stage", values="len")
        views = dict(counts.select("stage", pl.col("viewed_product") / pl.col("visited")).iter_rows())
        return float(views["consideration"] / views["awareness"])

    assert contrast(0.0) > contrast(0.5) > contrast(1.0) > 1.5


@given(customers=st.integers(1, 30), seed=st.integers(0, 2**31), difficulty=st.floats(0.0, 1.0))
@settings(max_examples=15, deadline=None)
def test_nothing_happens_before_arrival_or_is_known_after_the_end(customers: int, seed: int, difficulty: float) -> None:
    made = simulate(customers, seed, difficulty)
    assert made.touchpoints.schema == TOUCHPOINT_TYPES
    arrivals = made.truth.group_by("customer_id").agg(pl.col("since").min())
    assert arrivals.height == customers
    rows = made.touchpoints.join(arrivals, on="customer_id", how="left")
    assert rows.filter(pl.col("since").is_null() | (pl.col("occurred_at") < pl.col("since"))).is_empty()
    assert made.touchpoints.filter((KNOWN_AT >= ENDS) | (pl.col("occurred_at") < BEGINS)).is_empty()
    assert made.touchpoints.filter(pl.col("recorded_at") < pl.col("occurred_at")).is_empty()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_whoever_crosses_into_conversion_buys_at_that_moment(seed: int) -> None:
    made = simulate(40, seed)
    index = pl.col("stage").replace_strict(STAGES, [0, 1, 2, 3])
    crossed = made.truth.filter((index >= 2) & (index.shift(1).over("customer_id") < 2))
    bought = made.touchpoints.filter(action="purchase")
    unseen = crossed.join(bought, left_on=["customer_id", "since"], right_on=["customer_id", "occurred_at"], how="anti")
    assert unseen.filter(pl.col("since") < ENDS - timedelta(days=30)).is_empty()  # recorded at most thirty days late
    first = made.truth.filter(index >= 2).group_by("customer_id").agg(pl.col("since").min())
    early = bought.join(first, on="customer_id", how="left").filter(
        pl.col("since").is_null() | (pl.col("occurred_at") < pl.col("since"))
    )
    assert early.is_empty()


def test_every_row_passes_the_contract(simulation: Simulation, tmp_path: Path) -> None:
    write_simulation(simulation, tmp_path)
    read = read_touchpoints(tmp_path / "touchpoints.parquet", max_reject_share=0.0)
    assert read.rejects.is_empty()
    assert read.ignored_columns == ()
    assert read.rows_read == simulation.touchpoints.height
    timed = simulation.touchpoints.filter(pl.col("event_id").is_not_null())
    resent_or_exact = timed.height - timed["event_id"].n_unique()
    untimed = simulation.touchpoints.filter(pl.col("event_id").is_null())
    assert read.duplicates_dropped == resent_or_exact + untimed.height - untimed.unique().height


def test_the_folder_says_that_it_is_simulated(simulation: Simulation, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write_simulation(simulation, folder)
    assert {path.name for path in folder.iterdir()} == {
        "touchpoints.parquet",
        "truth.parquet",
        "facts.json",
        "README.txt",
    }
    first_line = (folder / "README.txt").read_text(encoding="utf-8").splitlines()[0]
    assert first_line == "Everything in this folder is simulated: no customer, message or purchase in it is real."
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert facts == simulation.facts
    assert (facts["simulated"], facts["seed"], facts["difficulty"], facts["customers"]) == (True, 7, 0.5, 2000)
    assert_frame_equal(pl.read_parquet(folder / "truth.parquet"), simulation.truth)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_simulation(simulate(300, seed=11), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


def test_a_folder_that_cannot_be_made_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(BadEnvironment, match=r"cannot be written \(File exists\)"):
        write_simulation(simulate(1, seed=0), tmp_path / "taken")


def test_all_wrong_arguments_are_named_at_once() -> None:
    with pytest.raises(BadUsage) as raised:
        simulate(0, seed=-1, difficulty=1.5)
    assert raised.value.faults == (
        "customers is 0; expected at least 1",
        "seed is -1; expected 0 or more",
        "difficulty is 1.5; expected a number from 0 (plain) to 1 (hardly any signal)",
    )


def test_names_say_that_they_are_simulated(simulation: Simulation) -> None:
    names = simulation.touchpoints.select("customer_id", "event_id", "campaign", "conversation_id")
    assert names.select(pl.all().drop_nulls().str.starts_with("simulated-").all()).row(0) == (True,) * 4
    assert simulation.truth["customer_id"].str.starts_with("simulated-").all()


def test_the_truth_is_not_among_the_touchpoints(simulation: Simulation) -> None:
    assert set(simulation.truth.columns) & set(simulation.touchpoints.columns) == {"customer_id"}
    strings = simulation.touchpoints.select(pl.selectors.string())
    telling = strings.select(pl.all().str.contains("awareness|consideration|advocacy|conversion|dormant|viral").any())
    assert telling.row(0, named=True) == dict.fromkeys(strings.columns, False)


def test_late_rows_and_duplicates_have_the_stated_shares(simulation: Simulation) -> None:
    rows, facts = simulation.touchpoints, simulation.facts
    once = rows.unique()
    timed = once.filter(pl.col("event_id").is_not_null()).sort(KNOWN_AT)
    original = timed.unique("event_id", keep="first", maintain_order=True)
    late = original.filter(pl.col("recorded_at") - pl.col("occurred_at") >= pl.duration(hours=1))
    assert late.height / original.height == pytest.approx(facts["late_share"], abs=0.004)
    assert (rows.height - once.height) / once.height == pytest.approx(facts["exact_duplicate_share"], abs=0.002)
    assert (timed.height - original.height) / original.height == pytest.approx(facts["resent_share"], abs=0.002)
    assert late.select((pl.col("recorded_at") - pl.col("occurred_at")).max()).item() > timedelta(days=14)


def test_messages_from_conversations_with_company_replies(simulation: Simulation) -> None:
    said = simulation.touchpoints.filter(pl.col("text").is_not_null())
    assert set(said["action"]) == {"posted", "asked", "chatted", "complained", "reviewed", "replied"}
    assert set(said.filter(actor="company")["action"]) == {"replied"}
    replies, chats = said.filter(action="replied"), said.filter(action="chatted")
    assert replies["conversation_id"].null_count() == chats["conversation_id"].null_count() == 0
    assert said.group_by("conversation_id").agg(pl.col("customer_id").n_unique()).drop_nulls()["customer_id"].max() == 1
    assert 1.5 < chats.height / chats["conversation_id"].n_unique() < 3.0


def test_the_spike_day_stands_out(simulation: Simulation) -> None:
    spike = simulation.facts["spike"]
    assert isinstance(spike, dict)
    arrivals = simulation.touchpoints.group_by("customer_id").agg(pl.col("occurred_at").min().dt.date())
    a_day = dict(arrivals.group_by("occurred_at").len().iter_rows())
    busiest = max(a_day, key=lambda day: a_day[day])
    assert busiest.isoformat() == spike["date"] == "2024-11-12"
    assert a_day[busiest] > 8 * max(arrived for day, arrived in a_day.items() if abs(day - busiest).days > 2)


def test_the_viral_arrivals_come_from_social_and_buy_less(simulation: Simulation) -> None:
    people = simulation.truth.unique("customer_id", keep="first", maintain_order=True)
    assert people.filter("viral")["arrived_by"].unique().to_list() == ["social"]
    ahead = people.filter(pl.col("since").dt.date() <= date(2024, 12, 1))
    buyers = first_purchases(simulation.touchpoints).with_columns(buys=True)
    shares = ahead.join(buyers, on="customer_id", how="left").group_by("viral").agg(pl.col("buys").count() / pl.len())
    share = dict(shares.iter_rows())
    assert share[True] < share[False] / 2


def test_split_test_arms_differ_as_promised(crowd: Simulation) -> None:
    facts, rows = crowd.facts["split_test"], crowd.touchpoints
    assert isinstance(facts, dict)
    sent = rows.filter(campaign=facts["campaign"], action="sent").select("customer_id", "variant", "occurred_at")
    assert sent["customer_id"].is_unique().all()
    in_time = pl.col("bought_at").is_between(
        pl.col("occurred_at"), pl.col("occurred_at") + pl.duration(days=facts["days"])
    )
    joined = sent.join(first_purchases(rows), on="customer_id", how="left")
    arms = joined.group_by("variant").agg(in_time.sum() / pl.len(), pl.len()).sort("variant")
    assert arms["variant"].to_list() == ["A", "B"] == facts["arms"]
    assert arms["len"].to_list() == pytest.approx(facts["participants"], rel=0.05)
    share_a, share_b = arms["bought_at"]
    assert [share_a, share_b] == pytest.approx(facts["expected_shares"], rel=0.2)
    odds_ratio = share_b / (1 - share_b) / (share_a / (1 - share_a))
    assert odds_ratio == pytest.approx(facts["odds_ratio"], rel=0.25)


@pytest.mark.parametrize(
    ("campaign", "least", "most"), [("simulated-summer-voucher", 1.4, 3.0), ("simulated-spring-menu", 0.8, 1.5)]
)
def test_a_voucher_sells_at_once_and_a_menu_does_not(
    crowd: Simulation, campaign: str, least: float, most: float
) -> None:
    rows = crowd.touchpoints
    mailed = rows.filter(campaign=campaign, action="sent").select("customer_id", "occurred_at")
    starts = mailed["occurred_at"].min()
    known = rows.filter(pl.col("occurred_at") < starts).select("customer_id").unique()
    people = known.join(mailed, on="customer_id", how="left").join(first_purchases(rows), on="customer_id", how="left")
    open_to_it = people.filter(pl.col("bought_at").is_null() | (pl.col("bought_at") > starts))
    soon = pl.col("bought_at") <= pl.lit(starts) + pl.duration(days=14)
    shares = open_to_it.group_by(pl.col("occurred_at").is_not_null()).agg(soon.sum() / pl.len())
    share = dict(shares.iter_rows())
    assert least < share[True] / share[False] < most


def test_conversions_are_rare(simulation: Simulation) -> None:
    rows = simulation.touchpoints
    people = rows.group_by("customer_id").agg(KNOWN_AT.min().alias("known_at"))
    months = pl.datetime_range(datetime(2024, 3, 1), datetime(2025, 4, 1), "1mo", time_zone="UTC", eager=True)
    snapshots = people.join(first_purchases(rows), on="customer_id", how="left").join(
        pl.DataFrame({"as_of": months.cast(pl.Datetime("us", "UTC"))}), how="cross"
    )
    waits = snapshots.filter(
        pl.col("known_at") <= pl.col("as_of"), pl.col("bought_at").is_null() | (pl.col("bought_at") > pl.col("as_of"))
    ).select(pl.col("bought_at") - pl.col("as_of"))["bought_at"]
    assert 0.02 < (waits <= timedelta(days=30)).sum() / len(waits) < 0.05
    assert 0.05 < (waits <= timedelta(days=90)).sum() / len(waits) < 0.12


def test_journeys_skip_step_back_sleep_and_return(simulation: Simulation) -> None:
    before = pl.all().shift(1).over("customer_id").name.prefix("from_")
    moves = simulation.truth.with_columns(before).drop_nulls("from_stage")
    counts = dict(
        ((start, end), number) for start, end, number in moves.group_by("from_stage", "stage").len().iter_rows()
    )
    assert counts["awareness", "conversion"] > 5
    assert counts["consideration", "advocacy"] > 5
    assert counts["consideration", "awareness"] > 50
    assert counts["conversion", "consideration"] > 50
    assert counts["advocacy", "conversion"] > 50
    assert moves.filter(~pl.col("from_dormant") & pl.col("dormant")).height > 500
    assert moves.filter(pl.col("from_dormant") & ~pl.col("dormant")).height > 500


def test_nobody_is_mailed_after_unsubscribing(simulation: Simulation) -> None:
    left = simulation.touchpoints.filter(action="unsubscribed").select("customer_id", left_at="occurred_at").unique()
    assert left.height > 50
    mailed = simulation.touchpoints.filter(action="sent").join(left, on="customer_id")
    assert mailed.filter(pl.col("occurred_at") > pl.col("left_at") + pl.duration(minutes=20)).is_empty()
