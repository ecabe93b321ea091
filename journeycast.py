"""The command line: journeycast simulate, train, tune, retrain, promote, evaluate, features, market, score, serve …"""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from features.errors import BadData, BadEnvironment, BadUsage, Fault, whereabouts
from features.reporter import Form, Reporter

if TYPE_CHECKING:
    from models.base_rates import BaseRates
    from serving.scorer import Scorer
    from training.settings import Settings

__version__ = importlib.metadata.version("journeycast")
EXTRAS = {
    "sql": ("psycopg",),
    "spark": ("pyspark", "py4j", "pyarrow"),
    "serve": ("bentoml", "_bentoml_sdk", "_bentoml_impl", "pydantic_settings", "starlette"),
    "train": (
        "lightgbm",
        "mlflow",
        "onnx",
        "optuna",
        "pandas",
        "psutil",
        "py3langid",
        "sentence_transformers",
        "sklearn",
        "threadpoolctl",
        "torch",
        "transformers",
    ),
}
EMBEDDER_HELP = (
    "minilm; static, many times as fast for 2 to 4 points of ROC AUC (measured on two data sets, docs/adr/0009); "
    "a sentence-transformers folder; or none."
)
FOLLOWED = "models:/journeycast@"  # an alias may move to another version
NOT_PROMOTED = 1  # for a scheduler to tell apart from a fault
DEFECT = 70  # of this program, as sysexits.h has it; Python's own 1 would say "not promoted"
EXIT_CODES = {BadUsage: 2, BadData: 3, BadEnvironment: 4}

app = typer.Typer(
    help="Where every customer stands on the journey, how likely each is to convert, and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
reporter = Reporter(partial(datetime.now, UTC))

SOURCES_HELP = "Parquet, CSV or JSON Lines: files, folders, globs."
TouchpointSource = Annotated[list[str], typer.Option("--touchpoints", help=SOURCES_HELP)]
ConfiguredTouchpoints = Annotated[
    list[str], typer.Option("--touchpoints", default_factory=list, show_default=False, help=SOURCES_HELP)
]
JourneyFile = Annotated[
    Path | None, typer.Option("--journey", help="Journey file; the four-stage default without one.")
]
LabelSource = Annotated[str | None, typer.Option("--labels", help="Labels or a CRM's stage history.")]
StageHistorySource = Annotated[
    str | None, typer.Option("--stage-history", help="A CRM's stages, as features: customer_id, stage, since.")
]
Splits = Annotated[
    list[str] | None, typer.Option("--split", help="Use the labels of this split only; may be repeated.")
]
BundleReference = Annotated[str, typer.Option("--bundle", help="A bundle folder or models:/journeycast@champion.")]
MarketFile = Annotated[
    Path | None, typer.Option("--market", help="Use this market (of `journeycast market`), not the bundle's.")
]
LogFormat = Annotated[Form, typer.Option("--log-format", help="Tell for people, or as JSON Lines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Tell nothing but faults.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="The configuration of a training (TOML); options here win over it.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Set section.key=value of the configuration; may be repeated.")
]
Engine = Annotated[
    Literal["local", "spark"], typer.Option(help="Where: here, or on Spark (spark-submit, SPARK_MASTER, local).")
]
RejectShare = Annotated[float, typer.Option(help="Stop with exit code 3 above this share of rejected rows.")]
AllowedLeaks = Annotated[
    list[str] | None, typer.Option(help="Go on although this guard has found a leak; may be repeated.")
]
StaleAfterDays = Annotated[
    float, typer.Option(help="A champion that learnt from rows so many days older gives way to one that is no worse.")
]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal results.")]
ConfiguredSeed = Annotated[int | None, typer.Option("--seed", help="Equal seeds give equal results; 0 without one.")]
EmbedderName = Annotated[str | None, typer.Option("--embedder", help=EMBEDDER_HELP)]


def main() -> None:
    """Run the command line; a fault ends it with its message and exit code, never with a trace."""
    # As Ctrl-C does: temporary folders go, and a run in MLflow does not stay RUNNING.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Else Python goes through every object of every library once more before it ends: half a second.
    atexit.register(gc.freeze)
    try:
        app(prog_name="journeycast")
    except Fault as fault:
        _end(fault)
    except ModuleNotFoundError as error:
        extra = next(
            (extra for extra, packages in EXTRAS.items() if (error.name or "").split(".")[0] in packages), None
        )
        if extra is None:
            raise
        _end(BadEnvironment("missing_extra", f"{error.name} is not installed; install journeycast[{extra}]"))
    except OSError as error:
        _end(BadEnvironment("system_refused", f"{error.filename or 'the system'}: {error.strerror or error}"))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # Polars' panics too; without the message, which may hold what a customer said
        reporter.fault("defect", f"Journeycast has failed; please report these lines of its code: {whereabouts(error)}")
        sys.exit(DEFECT)


def _end(fault: Fault) -> None:
    for line in fault.faults:
        reporter.fault(fault.code, line)
    sys.exit(next(code for kind, code in EXIT_CODES.items() if isinstance(fault, kind)))


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    customers: Annotated[int, typer.Option(help="How many customers.")] = 2000,
    seed: Seed = 0,
    difficulty: Annotated[float, typer.Option(help="From 0, plain to see, to 1, hardly to be told.")] = 0.5,
) -> None:
    """Simulate journeys: touchpoints, and the truth behind them in a file of its own. Nothing in them is real."""
    import features.simulate

    simulation = features.simulate.simulate(customers, seed, difficulty)
    features.simulate.write_simulation(simulation, out)
    reporter.say(f"{simulation.touchpoints.height:,} simulated touchpoints of {customers:,} customers in {out}")


@app.command()
def train(
    touchpoints: ConfiguredTouchpoints,
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    journey: JourneyFile = None,
    labels: LabelSource = None,
    split: Splits = None,
    seed: ConfiguredSeed = None,
    embedder: EmbedderName = None,
    register: Annotated[bool, typer.Option("--register", help="Register the model in MLflow as journeycast.")] = False,
    max_reject_share: Annotated[
        float | None, typer.Option(help="Stop with exit code 3 above this share of rejected rows; 0.05 without one.")
    ] = None,
    stage_history: StageHistorySource = None,
    config: ConfigFile = None,
    change: Changes = None,
    backtest: Annotated[int | None, typer.Option(help="Train and judge at this many earlier moments as well.")] = None,
    allow_leak: AllowedLeaks = None,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Learn stage and conversion from touchpoints; write a bundle and record the run in MLflow."""
    from time import perf_counter

    from training.backtest_table import backtest_table
    from training.leak_guards import check_allowed
    from training.run import run_training
    from training.stopwatch import Stopwatch
    from training.verdict_table import verdict_table

    reporter.speak(log_format, quiet)
    check_allowed(allow_leak or ())
    given = {
        **_given(touchpoints, journey, labels, stage_history, seed, embedder),
        "data.splits": split,
        "data.max_reject_share": max_reject_share,
        "backtest.folds": backtest,
        "fit.allow_leaks": allow_leak,
    }
    asked = _settings(config, given, change)
    now, stopwatch = partial(datetime.now, UTC), Stopwatch(perf_counter)
    run = run_training(asked, out, register, now, stopwatch, reporter.say, reporter.progress)
    if judgement := run.training.judgement:
        reporter.show(verdict_table(judgement), "judgement", judgement.metrics())
    if run.tested:
        reporter.show(backtest_table(run.tested), "backtest", run.tested.metrics())
    for line in run.told(out):
        reporter.say(line)


@app.command()
def tune(
    touchpoints: ConfiguredTouchpoints,
    out: Annotated[Path, typer.Option(help="Configuration to write, for train --config.")],
    journey: JourneyFile = None,
    labels: LabelSource = None,
    split: Splits = None,
    seed: ConfiguredSeed = None,
    embedder: EmbedderName = None,
    stage_history: StageHistorySource = None,
    config: ConfigFile = None,
    change: Changes = None,
    trials: Annotated[int, typer.Option(min=1, help="Trees to try for each model, with those tried before.")] = 30,
    study: Annotated[Path | None, typer.Option(help="Where trials are kept; beside --out without one.")] = None,
) -> None:
    """Search for better trees, and say what they gain on rows that no trial saw. Stopped, it goes on where it was."""
    from training.tune_run import run_search

    given = {**_given(touchpoints, journey, labels, stage_history, seed, embedder), "data.splits": split}
    asked = _settings(config, given, change)
    now = partial(datetime.now, UTC)
    for gain in run_search(asked, out, trials, study, now, reporter.say, reporter.progress):
        reporter.say(str(gain))
    reporter.say(f"trees found in {out}: journeycast train --config {out}")


@app.command()
def retrain(
    touchpoints: ConfiguredTouchpoints,
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    journey: JourneyFile = None,
    labels: LabelSource = None,
    seed: ConfiguredSeed = None,
    embedder: EmbedderName = None,
    stage_history: StageHistorySource = None,
    config: ConfigFile = None,
    change: Changes = None,
    stale_after_days: StaleAfterDays = 90.0,
    allow_leak: AllowedLeaks = None,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Learn anew, register, and let the gate decide on later rows held out: exit code 0 promoted, 1 not promoted."""
    from time import perf_counter

    from training.gate_rule import Rule
    from training.leak_guards import check_allowed
    from training.retrain import run_retraining
    from training.stopwatch import Stopwatch

    reporter.speak(log_format, quiet)
    check_allowed(allow_leak or ())
    given = {**_given(touchpoints, journey, labels, stage_history, seed, embedder), "fit.allow_leaks": allow_leak}
    asked = _settings(config, given, change)
    now, stopwatch = partial(datetime.now, UTC), Stopwatch(perf_counter)
    rule = Rule(stale_after_days=stale_after_days)
    done = run_retraining(asked, out, rule, now, stopwatch, reporter.say, reporter.progress)
    for line in (*done.why, *done.run.told(out)):
        reporter.say(line)
    sys.exit(0 if done.is_promoted else NOT_PROMOTED)


def _given(
    touchpoints: list[str],
    journey: Path | None,
    labels: str | None,
    stage_history: str | None,
    seed: int | None,
    embedder: str | None,
) -> dict[str, object]:
    """What every training may be given on the command line, by its key in a configuration; None: not given."""
    return {
        "data.touchpoints": touchpoints or None,
        "journey": None if journey is None else str(journey),
        "data.labels": labels,
        "data.stage_history": stage_history,
        "fit.seed": seed,
        "fit.embedder": embedder,
    }


def _settings(config: Path | None, given: dict[str, object], change: list[str] | None) -> Settings:
    """The configuration, with what is given on the command line on top, and --set on top of that."""
    from training.settings import load_settings, read_changes

    known = {key: value for key, value in given.items() if value is not None}
    return load_settings(config, known | read_changes(change or ()))


@app.command()
def promote(
    challenger: Annotated[str | None, typer.Option(help="A registered version: models:/journeycast/VERSION.")] = None,
    touchpoints: Annotated[list[str] | None, typer.Option(help="Touchpoints to judge both on.")] = None,
    champion: Annotated[str, typer.Option(help="Who has the place.")] = "models:/journeycast@champion",
    labels: LabelSource = None,
    split: Splits = None,
    seed: Seed = 0,
    stale_after_days: StaleAfterDays = 90.0,
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Give the place back to the former champion.")] = False,
) -> None:
    """Judge challenger and champion on the same rows; the better one serves. Exit code 0 promoted, 1 not promoted.

    Rows that are rejected are listed in journeycast-VERSION.rejects.csv in the working folder.
    """
    from training import tracking
    from training.gate_rule import Rule
    from training.promote import run_promotion

    if rollback:
        left, back = tracking.roll_back()
        reporter.say(f"version {back} is the champion again; version {left} is not")
        return
    if challenger is None or not touchpoints:
        raise BadUsage("nothing_to_judge_on", "give --challenger models:/journeycast/VERSION and --touchpoints")
    asked = _judging(touchpoints, labels, split, seed, max_reject_share, stage_history)
    now = partial(datetime.now, UTC)
    is_promoted = run_promotion(challenger, champion, asked, Rule(stale_after_days=stale_after_days), now, reporter.say)
    sys.exit(0 if is_promoted else NOT_PROMOTED)


@app.command()
def evaluate(
    bundle: BundleReference,
    touchpoints: TouchpointSource,
    labels: Annotated[str, typer.Option("--labels", help="Labels or a CRM's stage history.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, card.html and its pictures.")],
    split: Splits = None,
    seed: Seed = 0,
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Judge a bundle on labelled rows, beside prevalence and recency."""
    from training.contender import Contender
    from training.evaluate_run import run_evaluation
    from training.verdict_table import verdict_table

    reporter.speak(log_format, quiet)
    asked = _judging(touchpoints, labels, split, seed, max_reject_share, stage_history)
    judged = Contender.open(_bundle_folder(bundle))
    judgement = run_evaluation(judged, asked, out, partial(datetime.now, UTC), reporter.say)
    reporter.show(verdict_table(judgement), "judgement", judgement.metrics())


def _judging(
    touchpoints: list[str],
    labels: str | None,
    split: list[str] | None,
    seed: int,
    max_reject_share: float,
    stage_history: str | None,
) -> Settings:
    """What finished models are judged on."""
    from features.rejects import check_reject_options

    check_reject_options(max_reject_share, None, ())
    given = _given(touchpoints, None, labels, stage_history, seed, None)
    return _settings(None, given | {"data.splits": split, "data.max_reject_share": max_reject_share}, None)


@app.command("features")
def list_features(
    bundle: BundleReference,
    form: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")] = "table",
    touchpoints: Annotated[
        list[str] | None, typer.Option("--touchpoints", help="Write the features of these customers to --out.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Feature rows: .parquet, .csv, .jsonl (a folder with Spark).")] = None,
    as_of: Annotated[str | None, typer.Option(help="Everybody's at this time, e.g. 2026-01-31T00:00:00Z.")] = None,
    snapshots: Annotated[str | None, typer.Option(help="Those of these pairs: a file of customer_id, as_of.")] = None,
    seen_by: Annotated[
        Literal["conversion", "stage"], typer.Option(help="Which model's: that of the stage may see less.")
    ] = "conversion",
    market: MarketFile = None,
    memory: Annotated[str, typer.Option(help="The most memory to use, e.g. 500MB; Spark has its own.")] = "2GB",
    engine: Engine = "local",
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
) -> None:
    """Print what each feature of a bundle is called, in which unit it is, and what it means.

    With --touchpoints and --out, write the features of each (customer, as_of) instead, to learn from.
    """
    if touchpoints is None or out is None:
        if touchpoints is not None or out is not None:
            raise BadUsage("rows_or_list", "give --touchpoints and --out together, or neither to list the features")
        from models.bundle import load_bundle
        from serving.feature_list import print_features

        print_features(load_bundle(_bundle_folder(bundle)).model.reader.catalog, form)
        return
    from serving.feature_rows import SCORERS

    _check_asked(as_of, snapshots)
    at_us = None if as_of is None else _moment_us(as_of)
    given = (touchpoints, at_us, snapshots, stage_history, False, max_reject_share)
    if engine == "spark":
        folder = _bundle_folder(bundle)
        _answer_on_spark(SCORERS[seen_by].load(folder, market=market), folder, market, given, out)
        return
    manifest = _answer_here(SCORERS[seen_by], bundle, market, given, Path(out), memory)
    reporter.say(f"{manifest['rows']:,} rows of features in {out}")


@app.command()
def market(
    bundle: BundleReference,
    touchpoints: TouchpointSource,
    as_of: Annotated[str, typer.Option(help="Survey what was known at this time, e.g. 2026-01-31T00:00:00Z.")],
    out: Annotated[Path, typer.Option(help="File to write, for --market.")],
    base_rate: Annotated[
        list[str] | None,
        typer.Option(help="How many convert nowadays: 30d=4% for each horizon, or `seen`; forecasts move with it."),
    ] = None,
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
) -> None:
    """Survey the market at a time: one fresher than that of the bundle's training day."""
    import numpy as np

    from features.event_log import to_us
    from features.inputs import read_log, read_recorded
    from features.market import Tally
    from features.table_files import find_files
    from models.base_rates import read_rates
    from models.bundle_files import check_target
    from models.market_file import FresherMarket, write_market
    from serving.market_table import market_table
    from training.base_rate_survey import seen_rates, told_rates
    from training.contender import Contender

    moment = _moment(as_of)
    check_target(out, [file for source in (touchpoints, stage_history) if source for file in find_files(source)])
    surveying = Contender.open(_bundle_folder(bundle))
    model, reader = surveying.model, surveying.model.reader
    are_seen = base_rate == ["seen"]
    told = [] if are_seen else read_rates(base_rate or [], model.conversion.horizons_days if model.conversion else ())
    rejects = f"{out}.stages.rejects.csv"
    recorded = read_recorded(stage_history, reader.journey, max_reject_share, rejects, reporter.say)
    log = read_log(touchpoints, max_reject_share, f"{out}.rejects.csv", recorded, reporter.say)
    surveyed = reader.survey(log, np.array([to_us(moment)], dtype=np.int64))
    if not surveyed.tallies[-1, Tally.CUSTOMERS_365D]:
        raise BadData(
            "empty_market", f"nobody was seen in the 365 days before {as_of}; give a time that the touchpoints reach"
        )
    rates: BaseRates = {}
    if told:
        rates = told_rates(model, log, surveying.embed, to_us(moment), told)
        for column, rate in rates.items():
            reporter.say(f"{column}: {rate.rate:.2%} was told; the hazard's log-odds move by {rate.shift:+.2f}")
    elif are_seen:
        rates, seen = seen_rates(model, log, surveying.embed, to_us(moment))
        for of in seen:
            reporter.say(str(of))
    write_market(FresherMarket(surveyed, rates), reader, out)
    reporter.show(market_table(reader, surveyed))
    reporter.say(f"market in {out}")


@app.command()
def score(
    bundle: BundleReference,
    touchpoints: TouchpointSource,
    out: Annotated[
        str,
        typer.Option(help="Scores: .parquet, .csv, .jsonl (a folder with Spark), or postgresql://…/database#table."),
    ],
    query: Annotated[str | None, typer.Option(help="The SELECT, where --touchpoints is postgresql://…")] = None,
    as_of: Annotated[str | None, typer.Option(help="Score everybody at this time, e.g. 2026-01-31T00:00:00Z.")] = None,
    snapshots: Annotated[str | None, typer.Option(help="Score these pairs: a file of customer_id, as_of.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="Add signed reasons to each row.")] = False,
    compare: Annotated[Path | None, typer.Option(help="Older scores: write who has moved since beside --out.")] = None,
    market: MarketFile = None,
    memory: Annotated[
        str | None, typer.Option(help="The most memory to use, e.g. 500MB; usually 2GB. Spark has its own.")
    ] = None,
    engine: Engine = "local",
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
    log_format: LogFormat = "text",
    quiet: Quiet = False,
) -> None:
    """Score a list of customers. A run that was stopped goes on where it was when started again, but for Spark's.

    Spark also reads addresses (hdfs://, s3a://) and table:NAME; what has no scheme must be seen by all its workers.
    """
    from serving.scorer import Scorer

    reporter.speak(log_format, quiet)
    _check_asked(as_of, snapshots)
    at_us = None if as_of is None else _moment_us(as_of)
    given = (touchpoints, at_us, snapshots, stage_history, reasons, max_reject_share)
    if engine == "spark":
        if query is not None or compare is not None or out.startswith("postgres"):
            raise BadUsage("local_only", "--query, --compare and tables of PostgreSQL need --engine local")
        folder = _bundle_folder(bundle)
        _answer_on_spark(Scorer.load(folder, market=market), folder, market, given, out)
        return
    if "://" in out:
        from serving.score_table import check_address, check_table, scores_file, shown_address, write_table

        check_address(out)
        file = scores_file(out)
        manifest = _answer_here(Scorer, bundle, market, given, file, memory, query, compare, partial(check_table, out))
        write_table(file, out)
        file.unlink()
        shown = shown_address(out)
    else:
        manifest, shown = _answer_here(Scorer, bundle, market, given, Path(out), memory, query, compare), out
    reporter.say(f"{manifest['rows']:,} scores by model {manifest['model_version']} in {shown}")


Given = tuple[list[str], int | None, str | None, str | None, bool, float]
"""A list that is asked for, as a `ClusterOrder` has it: touchpoints, as_of in microseconds, snapshots, stage history,
whether reasons are wanted, the share of rows that may be rejected."""


def _check_asked(as_of: str | None, snapshots: str | None) -> None:
    if (as_of is None) == (snapshots is None):
        raise BadUsage("as_of_or_snapshots", "give either --as-of TIME or --snapshots FILE")


def _answer_here(
    kind: type[Scorer],
    bundle: str,
    market: Path | None,
    given: Given,
    out: Path,
    memory: str | None,
    query: str | None = None,
    compare: Path | None = None,
    check: Callable[[Sequence[str]], None] | None = None,
) -> dict[str, Any]:
    """Answer a list on this machine; returns the manifest of what was written to `out`.

    `check` is told the columns before: `out` is then on its way to where they must fit, and a file that an earlier run
    could not bring there is taken as it is.
    """
    from features.inputs import make_folder, read_recorded, touchpoint_sources
    from features.snapshots_file import read_snapshots
    from features.table_files import find_files
    from serving.memory_plan import read_memory, usual_memory
    from serving.score_file import check_output
    from serving.score_list import Order, score_list

    touchpoints, at_us, snapshots, stage_history, reasons, share = given
    files, fetch = touchpoint_sources(touchpoints, query)
    others = [file for source in (snapshots, stage_history) if source for file in find_files(source)]
    check_output(out, [*files, *others, *([market] if market else [])])
    if out.resolve().parent in {Path(source).resolve() for source in touchpoints if Path(source).is_dir()}:
        raise BadUsage("out_is_input", f"--out {out} lies in a folder that is read; the next run would read it, too")
    memory_bytes = usual_memory() if memory is None else read_memory(memory)
    scorer = kind.load(_bundle_folder(bundle), threads=2, market=market)
    recorded = read_recorded(stage_history, scorer.journey, share, f"{out}.stages.rejects.csv", reporter.say)
    make_folder(out.parent)
    pairs = read_snapshots(snapshots, f"{out}.snapshots.rejects.csv") if snapshots else None
    order = Order(
        files, at_us, pairs, others, reasons, share, memory_bytes, fetch, recorded, check, is_kept=check is not None
    )
    with reporter.progress() as report:
        manifest = score_list(scorer, order, out, compare, report)
    _tell_counts(manifest, out)
    if compare is not None:
        reporter.say(f"what has changed since {compare}: {out}.moved.csv, .transitions.csv and .retarget.BAND.csv")
    return manifest


def _answer_on_spark(scorer: Scorer, bundle: Path, market: Path | None, given: Given, out: str) -> None:
    from serving.cluster_list import ClusterOrder
    from serving.spark import open_session, score_on_cluster

    manifest = score_on_cluster(open_session(), scorer, bundle, market, ClusterOrder(*given), out)
    _tell_counts(manifest, out)
    reporter.say(f"{manifest['rows']:,} rows by model {scorer.model_version} in the folder {out}")


def _tell_counts(manifest: dict[str, Any], out: Path | str) -> None:
    """What became of the rows read, and how many answers deserve which doubt."""
    from features.inputs import tell_read

    tell_read(manifest["touchpoints"], f"{out}.rejects.csv", reporter.say)
    if manifest["reliability"]:
        counts = (f"{code} {rows:,}" for code, rows in manifest["reliability"].items())
        reporter.say(f"reliability: {', '.join(counts)}")


@app.command()
def serve(
    bundle: BundleReference,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
    market: MarketFile = None,
) -> None:
    """Answer POST /score until stopped, by the bundle that stands there or, with models:/journeycast@ALIAS, follows."""
    import serving.launch

    if not bundle.startswith(FOLLOWED):
        serving.launch.serve(_bundle_folder(bundle), host, port, market)
        return
    from training.followed_champion import followed

    with followed(bundle, reporter.say) as folder:
        serving.launch.serve(folder, host, port, market)


@app.command()
def make_key(name: Annotated[str, typer.Argument(help="Who will use it, e.g. crm.")]) -> None:
    """Make an API key for the endpoint: the key once, and the line for its key file, which does not hold it."""
    from serving.keys import entry
    from serving.keys import make_key as make

    key = make()
    line = entry(name, key)
    reporter.say(f"Give the key to {name}; it is shown this once. The line goes into JOURNEYCAST_SERVE_KEY_FILE.")
    print(key, line, sep="\n")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    customers: Annotated[int, typer.Option(help="How many customers to simulate.")] = 1500,
) -> None:
    """Simulate, train, record, serve and score, and show what came of it."""
    import serving.demo

    serving.demo.run(out, customers)


def _bundle_folder(reference: str) -> Path:
    if not reference.startswith(("models:/", "runs:/")):
        return Path(reference)
    from training.tracking import download_bundle

    return download_bundle(reference)


def _moment_us(as_of: str) -> int:
    from features.event_log import to_us

    return to_us(_moment(as_of))


def _moment(as_of: str) -> datetime:
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise BadUsage("bad_time", "--as-of is no ISO time; write for example 2026-01-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise BadUsage("naive_time", "--as-of has no zone; add Z for UTC or an offset such as +01:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise BadUsage("bad_time", "--as-of is in UTC before year 1 or after year 9999") from None


if __name__ == "__main__":  # spark-submit takes a file
    main()
