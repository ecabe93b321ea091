"""One search as the command runs it: read, try trees, say what they gained, and write a configuration that has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Final

from features.errors import BadData, BadEnvironment, BadUsage
from features.inputs import Tell
from features.table_files import find_files
from models.bundle_files import check_target
from training import tracking
from training.fingerprint import of_labelled_rows, of_touchpoints
from training.labels import LabelledRows
from training.prepare import Prepared, prepare
from training.progress import Report
from training.run_record import record_data
from training.settings import Settings, Target, Trees, load_settings
from training.train import asked_for, split_rows
from training.tree_choice import TreeChoice, TreeChoices
from training.trial_rows import Part, inner_parts, only
from training.tune import Found, Gain, Tried, Watch, gains, search

STUDY: Final = ".study.db"


def run_search(
    asked: Settings,
    out: Path,
    trials: int,
    study: Path | None,
    now: Callable[[], datetime],
    tell: Tell,
    progress: Callable[[], AbstractContextManager[Report]],
) -> list[Gain]:
    """Search for trees for what the configuration learns; write the configuration with them to `out`.

    A search that was stopped goes on where it was: its trials stand in `study`, beside `out` where None is named.
    Raises what reading, labelling and fitting raise.
    """
    data = asked.data
    named = [*(data.touchpoints or ()), *(source for source in (data.labels, data.stage_history) if source)]
    check_target(out, [file for source in named for file in find_files(source)])
    _check_configuration(out)
    ready = prepare(asked, out, now, tell)
    name, seed = _name(ready), ready.settings.fit.seed
    file = study or out.with_name(out.name + STUDY)
    parameters = {"rows": len(ready.rows), "trials": trials, **ready.settings.about()}
    with tracking.tracked_run(f"search {out.stem}", parameters, {"kind": "search"}), progress() as report:
        seen, unseen = _parts(ready, report)
        record_data(ready.log, ready.rows, ready.journey, ready.settings.data)
        found = [
            search(target, parts, file, f"{target} {name}", trials, seed, _recorded(target), report)
            for target, parts in seen.items()
        ]
        gained = gains(TreeChoices(**{of_target.target: of_target.trees for of_target in found}), unseen, seed)
        _record(found, gained)
        _write(asked, ready, found, gained, out)
        tracking.log_file(out)
    return gained


def _check_configuration(out: Path) -> None:
    """Raise BadUsage where something else than a configuration is there."""
    if out.exists():
        try:
            load_settings(out, {})
        except BadUsage:
            raise BadUsage("out_exists", f"{out} exists and is no configuration; give another --out") from None


def _parts(ready: Prepared, report: Report) -> tuple[dict[Target, list[Part]], Part]:
    """The folds of the rows that a training learns from, by target; and these rows beside those it judges on."""
    rows, log, journey, seed = ready.rows, ready.log, ready.journey, ready.settings.fit.seed
    rows = asked_for(rows, ready.settings)
    split, embed = split_rows(rows, seed, ready.settings), ready.embed(report)
    learnt, judged = rows.take(split.train_rows), rows.take(split.test_rows)
    targets = [target for target in ready.settings.fit.learn if _is_known(only(learnt, target))]
    if not targets:
        raise BadData("nothing_to_learn", "no stage and no conversion is known, so there is nothing to search for")
    seen = {target: inner_parts(only(learnt, target), log, journey, embed, seed) for target in targets}
    return seen, Part.of_rows(learnt, judged, log, journey, embed)


def _is_known(rows: LabelledRows) -> bool:
    return bool((rows.stage >= 0).any() or (rows.converted >= 0).any())


def _name(ready: Prepared) -> str:
    """What a study must share with an earlier one to go on with it: the data, the labels, the seed."""
    rows = of_labelled_rows("labelled rows", ready.rows, ready.journey)
    return f"on {of_touchpoints(ready.log).digest} {rows.digest} seed {ready.settings.fit.seed}"


def _recorded(target: str) -> Watch:
    """Each trial as a run within the search's."""

    def watch(number: int, trees: TreeChoice, measure: Callable[[], Tried]) -> Tried:
        with tracking.tracked_run(f"{target} trial {number}", vars(trees), {"kind": "trial", "target": target}):
            tried = measure()
            for fold, loss in enumerate(tried.by_fold):
                tracking.log_metrics({"relative_log_loss_by_fold": loss}, fold)
            tracking.log_metrics({"relative_log_loss": tried.loss})
            tracking.set_tags({"ended_early": str(tried.was_ended_early).lower()})
        return tried

    return watch


def _record(found: Iterable[Found], gained: Iterable[Gain]) -> None:
    for of_target in found:
        counts = {"trials": of_target.trials, "ended_early": of_target.ended_early}
        tracking.log_metrics({f"{of_target.target}/{name}": float(count) for name, count in counts.items()})
    for gain in gained:
        figures = {"found": gain.found, "usual": gain.usual, "rows": float(gain.rows)}
        ends = {"difference": gain.difference.value, "low": gain.difference.low, "high": gain.difference.high}
        tracking.log_metrics({f"{gain.column}/log_loss_{name}": value for name, value in (figures | ends).items()})
    tracking.set_tags({"mlflow.note.content": "\n\n".join(map(str, gained))})


def _write(asked: Settings, ready: Prepared, found: Iterable[Found], gained: Iterable[Gain], out: Path) -> None:
    """A configuration for `train --config`: the one asked for, with trees that gained, and above it what they did."""
    trees = {
        f"{of_target.target}_trees": Trees(**vars(of_target.trees))
        for of_target in found
        if have_gained(of_target.target, gained)
    }
    settings = asked.resolved(ready.journey, asked.data.known_until).model_copy(update=trees)
    lines = [f"# {gain}" for gain in gained]
    draft = out.with_name(f".{out.name}.partial")
    try:
        draft.write_text("\n".join([*lines, "", settings.to_toml()]), "utf-8")
        draft.replace(out)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None


def have_gained(target: str, gained: Iterable[Gain]) -> bool:
    """Whether the trees found for a model have, over its columns, less log loss than the usual ones."""
    return sum(gain.difference.value for gain in gained if (gain.column == "stage") == (target == "stage")) < 0
