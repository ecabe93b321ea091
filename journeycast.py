"""The command line: journeycast simulate | train | evaluate | features | market | score | serve | make-key | demo."""

from __future__ import annotations

import importlib.metadata
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from features.errors import BadData, BadEnvironment, BadUsage, Fault

if TYPE_CHECKING:
    import polars as pl

    from features.embedder import Embedder
    from features.event_log import EventLog
    from features.journey import Journey
    from features.rows import Embed
    from serving.cluster_list import ClusterOrder
    from training.labels import LabelledRows

__version__ = importlib.metadata.version("journeycast")
EXTRAS = {
    "sql": ("psycopg",),
    "spark": ("pyspark", "py4j", "pyarrow"),
    "serve": ("bentoml", "_bentoml_sdk", "_bentoml_impl", "pydantic_settings", "starlette"),
    "train": ("mlflow", "onnx", "pandas", "sentence_transformers", "sklearn", "torch", "transformers"),
}
EMBEDDER_HELP = (
    "minilm; static, many times as fast for 2 to 4 points of ROC AUC (measured on two data sets, docs/adr/0009); "
    "a sentence-transformers folder; or none."
)
EXIT_CODES = {BadUsage: 2, BadData: 3, BadEnvironment: 4}

app = typer.Typer(
    help="Where every customer stands on the journey, how likely each is to convert, and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

TouchpointSource = Annotated[
    list[str], typer.Option("--touchpoints", help="Parquet, CSV or JSON Lines: files, folders, globs.")
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
RejectShare = Annotated[float, typer.Option(help="Stop with exit code 3 above this share of rejected rows.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal results.")]


def main() -> None:
    """Run the command line; a fault ends it with its message and exit code, never with a trace."""
    # As Ctrl-C does: temporary folders go, and a run in MLflow does not stay RUNNING.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
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


def _end(fault: Fault) -> None:
    for line in fault.faults:
        _say(Text.assemble((fault.code, "bold red"), ": ", line))
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
    _say(f"{simulation.touchpoints.height:,} simulated touchpoints of {customers:,} customers in {out}")


@app.command()
def train(
    touchpoints: TouchpointSource,
    out: Annotated[Path, typer.Option(help="Bundle folder to write.")],
    journey: Annotated[Path | None, typer.Option(help="Journey file; the four-stage default without one.")] = None,
    labels: LabelSource = None,
    split: Splits = None,
    seed: Seed = 0,
    embedder: Annotated[str, typer.Option(help=EMBEDDER_HELP)] = "minilm",
    register: Annotated[bool, typer.Option("--register", help="Register the model in MLflow as journeycast.")] = False,
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
) -> None:
    """Learn stage and conversion from touchpoints; write a bundle and record the run in MLflow."""
    from features.journey import load_journey
    from models.bundle import check_out, save_bundle
    from training import tracking
    from training.train import train as fit_and_judge
    from training.verdict_table import verdict_table

    frame = load_journey(journey)
    check_out(out)
    recorded = _read_recorded(stage_history, frame, max_reject_share, f"{out}.stages.rejects.csv", is_training=True)
    log = _read_log(touchpoints, max_reject_share, f"{out}.rejects.csv", recorded, until=datetime.now(UTC))
    rows = _labelled_rows(frame, log, labels, split, max_reject_share, f"{out}.labels.rejects.csv")
    _tell_left_out(frame, log, rows)
    folder, text = _embedder(embedder, log)
    parameters = {
        "journey": frame.name,
        "seed": seed,
        "rows": len(rows),
        "split": split,
        "reads_text": text is not None,
    }
    with tracking.tracked_run(out.name, parameters, {"labels": "given" if labels else "by rule"}) as run:
        with _progress() as report:
            embed = None if text is None else _watched(text, report)
            training = fit_and_judge(rows, log, frame, embed, seed, report)
        version = save_bundle(training.model, folder, out)
        tracking.log_metrics(training.judgement.metrics() if training.judgement else {})
        registered = tracking.log_bundle(out, register)
    if training.judgement:
        console.print(verdict_table(training.judgement))
    else:
        _say("Too few rows to hold some out: this model has not been judged.")
    _say(
        f"bundle {version} in {out}; MLflow run {run}" + (f", registered as version {registered}" if registered else "")
    )


@app.command()
def evaluate(
    bundle: BundleReference,
    touchpoints: TouchpointSource,
    labels: Annotated[str, typer.Option("--labels", help="Labels or a CRM's stage history.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json.")],
    split: Splits = None,
    seed: Seed = 0,
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
) -> None:
    """Judge a bundle on labelled rows, beside prevalence and recency."""
    import json

    from features.embedder import Embedder
    from models.bundle import load_bundle
    from training.evaluate import is_stage_judged, judge_model
    from training.verdict_table import verdict_table

    loaded = load_bundle(_bundle_folder(bundle))
    model = loaded.model
    frame = model.reader.journey
    recorded = _read_recorded(stage_history, frame, max_reject_share, f"{out}/stages.rejects.csv")
    log = _read_log(touchpoints, max_reject_share, f"{out}/rejects.csv", recorded, until=datetime.now(UTC))
    rows = _labelled_rows(frame, log, labels, split, max_reject_share, f"{out}/labels.rejects.csv")
    embedder = None
    if loaded.embedder_folder:
        embedder = Embedder.with_cache(loaded.embedder_folder, threads=2, files=loaded.embedder_files)
    if rows.stage_by_rule != model.reader.stage_by_rule:
        _say("These labels and the bundle know the stage by different means (rules, or given): it is not judged.")
    elif not is_stage_judged(model.reader, rows):
        _say("The bundle's stage model reads what the CRM recorded, and so do these labels: the stage is not judged.")
    judgement = judge_model(model, log, rows, embedder.embed if embedder else None, seed)
    (out / "metrics.json").write_text(
        json.dumps({"model_version": loaded.version, **judgement.metrics()}, indent=1) + "\n"
    )
    console.print(verdict_table(judgement))


@app.command("features")
def list_features(
    bundle: BundleReference,
    form: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print.")] = "table",
) -> None:
    """Print what each feature of a bundle is called, in which unit it is, and what it means."""
    from models.bundle import load_bundle
    from serving.feature_list import print_features

    print_features(load_bundle(_bundle_folder(bundle)).model.reader.catalog, form)


@app.command()
def market(
    bundle: BundleReference,
    touchpoints: TouchpointSource,
    as_of: Annotated[str, typer.Option(help="Survey what was known at this time, e.g. 2026-01-31T00:00:00Z.")],
    out: Annotated[Path, typer.Option(help="File to write, for --market.")],
    max_reject_share: RejectShare = 0.05,
) -> None:
    """Survey the market at a time: one fresher than that of the bundle's training day."""
    import numpy as np

    from features.event_log import to_us
    from features.table_files import find_files
    from models.bundle import load_bundle
    from models.market_file import write_market
    from serving.market_table import market_table

    moment = _moment(as_of)
    if out.resolve() in {path.resolve() for path in find_files(touchpoints)}:
        raise BadUsage("out_is_input", f"--out {out} is one of the files to read; name another file")
    reader = load_bundle(_bundle_folder(bundle)).model.reader
    log = _read_log(touchpoints, max_reject_share, f"{out}.rejects.csv", None)
    surveyed = reader.survey(log, np.array([to_us(moment)], dtype=np.int64))
    write_market(surveyed, reader, out)
    console.print(market_table(reader, surveyed))
    _say(f"market in {out}")


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
    memory: Annotated[str, typer.Option(help="The most memory to use, e.g. 500MB; Spark has its own.")] = "2GB",
    engine: Annotated[
        Literal["local", "spark"], typer.Option(help="Where: here, or on Spark (spark-submit, SPARK_MASTER, local).")
    ] = "local",
    max_reject_share: RejectShare = 0.05,
    stage_history: StageHistorySource = None,
) -> None:
    """Score a list of customers. A run that was stopped goes on where it was when started again, but for Spark's.

    Spark also reads addresses (hdfs://, s3a://) and table:NAME; what has no scheme must be seen by all its workers.
    """
    from features.event_log import to_us
    from features.snapshots_file import read_snapshots
    from features.table_files import find_files
    from serving.memory_plan import read_memory
    from serving.score_file import check_output
    from serving.score_list import Order, score_list
    from serving.scorer import Scorer

    if (as_of is None) == (snapshots is None):
        raise BadUsage("as_of_or_snapshots", "give either --as-of TIME or --snapshots FILE")
    if engine == "spark":
        if query is not None or compare is not None or out.startswith("postgres"):
            raise BadUsage("local_only", "--query, --compare and tables of PostgreSQL need --engine local")
        from serving.cluster_list import ClusterOrder

        at_us = None if as_of is None else to_us(_moment(as_of))
        asked = ClusterOrder(touchpoints, at_us, snapshots, stage_history, reasons, max_reject_share)
        _score_on_spark(_bundle_folder(bundle), market, asked, out)
        return
    to_table = "://" in out
    if to_table:
        from serving.score_table import scores_file, shown_address, write_table
    file = scores_file(out) if to_table else Path(out)
    files, fetch = _sources(touchpoints, query)
    other_files = [file for source in (snapshots, stage_history) if source for file in find_files(source)]
    check_output(file, [*files, *other_files, *([market] if market else [])])
    moment_us, memory_bytes = None if as_of is None else to_us(_moment(as_of)), read_memory(memory)
    scorer = Scorer.load(_bundle_folder(bundle), threads=2, market=market)
    recorded = _read_recorded(stage_history, scorer.journey, max_reject_share, f"{file}.stages.rejects.csv")
    pairs = read_snapshots(snapshots) if snapshots else None
    order = Order(
        files, moment_us, pairs, other_files, reasons, max_reject_share, memory_bytes, fetch=fetch, recorded=recorded
    )
    with _progress() as report:
        manifest = score_list(scorer, order, file, compare, report)
    _tell_read(**manifest["touchpoints"], reject_file=f"{file}.rejects.csv")
    if to_table:
        write_table(file, out)
        file.unlink()
    _say(f"{manifest['rows']:,} scores by model {scorer.model_version} in {shown_address(out) if to_table else out}")


def _score_on_spark(bundle: Path, market: Path | None, order: ClusterOrder, out: str) -> None:
    from serving.scorer import Scorer
    from serving.spark import open_session, score_on_cluster

    scorer = Scorer.load(bundle, market=market)
    manifest = score_on_cluster(open_session(), scorer, bundle, market, order, out)
    _tell_read(**manifest["touchpoints"], reject_file=f"{out}.rejects.csv")
    _say(f"{manifest['rows']:,} scores by model {scorer.model_version} in the folder {out}")


@app.command()
def serve(
    bundle: BundleReference,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3000,
    market: MarketFile = None,
) -> None:
    """Answer POST /score until stopped."""
    import serving.service

    serving.service.serve(_bundle_folder(bundle), host, port, market)


@app.command()
def make_key(name: Annotated[str, typer.Argument(help="Who will use it, e.g. crm.")]) -> None:
    """Make an API key for the endpoint: the key once, and the line for its key file, which does not hold it."""
    from serving.keys import entry
    from serving.keys import make_key as make

    key = make()
    line = entry(name, key)
    _say(f"Give the key to {name}; it is shown this once. The line goes into JOURNEYCAST_SERVE_KEY_FILE.")
    print(key, line, sep="\n")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    customers: Annotated[int, typer.Option(help="How many customers to simulate.")] = 1500,
) -> None:
    """Simulate, train, record, serve and score, and show what came of it."""
    import serving.demo

    serving.demo.run(out, customers)


def _say(line: str | Text) -> None:
    """Print a line that may hold names of files and columns: nothing in it is markup, and no end of line is added."""
    console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _read_log(
    source: list[str],
    max_reject_share: float,
    reject_file: str,
    recorded: pl.DataFrame | None,
    until: datetime | None = None,
) -> EventLog:
    """What is known by `until`, with what a CRM `recorded`: a row of the future would make open windows look over."""
    from features.event_log import EventLog
    from features.touchpoints import drop_duplicates, known_by, read_touchpoints

    _make_folder(Path(reject_file).parent)
    read = read_touchpoints(source, max_reject_share, reject_file)
    _forget_older(reject_file, read.rejects)
    counts = (read.rows_read, read.frame.height, read.duplicates_dropped, read.rejects.height)
    _tell_read(*counts, read.ignored_columns, reject_file)
    whole = read.frame if recorded is None else drop_duplicates(read.frame.vstack(recorded))
    frame = whole if until is None else known_by(whole, until)
    if frame.height < whole.height:
        _say(f"{whole.height - frame.height:,} touchpoints lie in the future and are left out")
    return EventLog.from_frame(frame)


def _read_recorded(
    source: str | None, journey: Journey, max_reject_share: float, reject_file: str, is_training: bool = False
) -> pl.DataFrame | None:
    """The stages that a CRM recorded, as rows of the touchpoint table; None where none are given."""
    if source is None:
        return None
    from features.stage_history_file import as_touchpoints, read_stage_history, unknown_stages

    _make_folder(Path(reject_file).parent)
    read = read_stage_history(source, max_reject_share, reject_file)
    _forget_older(reject_file, read.rejects)
    _say(f"{read.rows_read:,} recorded stages read, {_rejected(read.rejects.height, reject_file)}")
    if unknown := unknown_stages(read.frame, journey.stages):
        told = f"the stage history holds stages that the journey does not know: {', '.join(unknown[:10])}"
        if is_training:
            known = ", ".join(journey.stages)
            raise BadData(
                "unknown_stage", f"{told}; it knows {known}: give a --journey file whose stages are the CRM's"
            )
        _say(f"{told}; they count as touchpoints that training never saw")
    return as_touchpoints(read.frame)


def _forget_older(reject_file: str, rejects: pl.DataFrame) -> None:
    """An older run's rejects are not this one's."""
    if not rejects.height:
        Path(reject_file).unlink(missing_ok=True)


def _sources(touchpoints: list[str], query: str | None) -> tuple[list[Path], Callable[[Path], None] | None]:
    """The files to read, and what fetches the query's rows where a database is asked."""
    from features.table_files import find_files

    if query is None:
        return find_files(touchpoints), None
    from features.postgresql import fetch_query, is_address

    if len(touchpoints) != 1 or not is_address(touchpoints[0]):
        raise BadUsage(
            "query_without_database", "--query needs --touchpoints postgresql://… and no other --touchpoints"
        )
    return [], partial(fetch_query, touchpoints[0], query)


def _tell_read(
    rows_read: int,
    touchpoints: int,
    duplicates_dropped: int,
    rejected: int,
    ignored_columns: Sequence[str],
    reject_file: str,
    reject_codes: dict[str, int] | None = None,
) -> None:
    del reject_codes  # they stand in the file
    _say(
        f"{rows_read:,} rows read: {touchpoints:,} touchpoints, "
        f"{duplicates_dropped:,} duplicates dropped, {_rejected(rejected, reject_file)}"
    )
    if ignored_columns:
        _say(f"columns that are no part of the contract, ignored: {', '.join(ignored_columns)}")


def _rejected(rows: int, reject_file: str) -> str:
    return f"{rows:,} rejected" + (f" (see {reject_file})" if rows else "")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{folder} cannot be made: {error.strerror}") from None


def _labelled_rows(
    journey: Journey,
    log: EventLog,
    labels: str | None,
    split: list[str] | None,
    max_reject_share: float,
    reject_file: str,
) -> LabelledRows:
    import polars as pl

    from features.labels_file import read_labels
    from features.stage_history_file import StageHistory
    from training.labels import rows_by_labels, rows_by_rule, rows_by_stage_history

    if labels is None:
        if split:
            raise BadUsage("split_without_labels", "--split picks rows of a labels file; give --labels too")
        return rows_by_rule(journey, log)
    read = read_labels(labels, max_reject_share, reject_file)
    _say(f"{read.rows_read:,} labels read, {_rejected(read.rejects.height, reject_file)}")
    if isinstance(read, StageHistory):
        if split:
            raise BadUsage("split_of_stage_history", "a stage history has no split column; leave --split out")
        return rows_by_stage_history(journey, log, read.frame)
    if read.frame.is_empty():
        raise BadData("no_labels", f"{labels} holds no label that can be used; expected customer_id, as_of and a label")
    chosen = read.frame.filter(pl.col("split").is_in(split)) if split else read.frame
    if chosen.is_empty():
        splits = sorted(read.frame["split"].drop_nulls().unique())
        found = ", ".join(splits[:10]) + (f" and {len(splits) - 10} more" if len(splits) > 10 else "") or "none"
        raise BadUsage("no_such_split", f"no label has split {' or '.join(split or [])}; the labels hold: {found}")
    return rows_by_labels(journey, log, chosen)


def _tell_left_out(journey: Journey, log: EventLog, rows: LabelledRows) -> None:
    for reason, count in rows.left_out.items():
        if count:
            _say(f"left out: {count:,} {reason}")
    if not rows.horizons_days:
        actions = " or ".join(journey.conversion.actions)
        near = [name for action in journey.conversion.actions for name in get_close_matches(action, log.actions, n=1)]
        _say(f"No touchpoint has the action {actions}, and no label says who converted: only the stage is learnt.")
        _say(f"Did you mean {near[0]}?" if near else "Check [conversion] in the journey file.")


def _embedder(source: str, log: EventLog) -> tuple[Path, Embedder] | tuple[None, None]:
    if source == "none" or not log.texts:
        return None, None
    from features.embedder import Embedder
    from training.embedder_export import exported_embedder

    folder = exported_embedder(source)
    return folder, Embedder.with_cache(folder, threads=2)


def _watched(embedder: Embedder, report: Callable[[str, int, int], None]) -> Embed:
    return lambda texts: embedder.embed(texts, lambda done, total: report("Embedding messages", done, total))


def _bundle_folder(reference: str) -> Path:
    if not reference.startswith(("models:/", "runs:/")):
        return Path(reference)
    from training.tracking import download_bundle

    return download_bundle(reference)


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


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each kind of work, with its rate and the time left."""
    columns = (*Progress.get_default_columns()[:-1], _Rate(), TimeRemainingColumn())
    bars, tasks = Progress(*columns, console=console), dict[str, TaskID]()

    def report(what: str, done: int, total: int) -> None:
        bars.start()
        task = tasks[what] if what in tasks else tasks.setdefault(what, bars.add_task(what))
        bars.update(task, completed=done, total=total or None)

    try:
        yield report
    finally:
        if tasks:  # else a fault would be told after an empty line
            bars.stop()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


if __name__ == "__main__":  # spark-submit takes a file
    main()
