"""Guards that run in every training: what must not be known among the inputs ends it, by name, unless allowed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from features.errors import BadData, BadUsage
from features.event_log import Bools, EventLog
from features.journey import conversion_column
from features.rows import Embed
from features.stage_rules import evidence_rows
from models.bundle import load_bundle, save_bundle
from models.journey_model import Asked, JourneyModel, Reader
from training.labels import LabelledRows
from training.lone_predictors import LonePredictor, lone_predictors
from training.rereading import Sample, changed_alone, changed_without_evidence, changed_without_future
from training.settings import Leak
from training.split import FOLDS, person_folds
from training.twins import twin_pairs

LEAKS: Final[tuple[Leak, ...]] = get_args(Leak)
MOST_TWINS: Final = 0.01  # of the labelled customers
SHADOW_SHARE: Final = 0.99  # of an action's touchpoints stand beside the defining act, and of those beside it
LEAST_SHADOWS: Final = 20
REREAD_ROWS: Final = 100
ALONE_ROWS: Final = 20
MOST_NAMED: Final = 5


@dataclass(frozen=True)
class Found:
    """What one guard has found, in words."""

    leak: Leak
    told: str


def check_allowed(names: Collection[str]) -> None:
    """Raise BadUsage for a name that no guard has."""
    unknown = [name for name in names if name not in LEAKS]
    if unknown:
        near = get_close_matches(unknown[0], LEAKS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadUsage("no_such_leak", f"--allow-leak {unknown[0]}: expected one of {', '.join(LEAKS)}{hint}")


def check_rows(
    rows: LabelledRows,
    reader: Reader,
    read: Asked,
    log: EventLog,
    embed: Embed | None,
    seed: int,
    allowed: Collection[str],
) -> list[str]:
    """Check labelled rows that `reader` has read from the log; returns in words what was found and is `allowed`.

    Raises BadData, telling all that was found, where a leak is not allowed by its name.
    """
    found = [
        *_telling_features(rows, reader, read, seed),
        *_reread(rows, reader, read, log, embed, seed),
        *_shadows(reader, log),
        *_twins(rows, log),
    ]
    return _allowed(found, allowed)


def check_model(
    model: JourneyModel, rows: LabelledRows, read: Asked, log: EventLog, seed: int, allowed: Collection[str]
) -> list[str]:
    """Check that a saved and reopened model answers some of the rows as it does in training; as `check_rows`."""
    sample = Sample.draw(log, rows.customer, rows.as_of_us, read, ALONE_ROWS, seed)
    with tempfile.TemporaryDirectory(prefix="journeycast-") as folder:
        save_bundle(model, None, Path(folder) / "bundle")
        reopened = load_bundle(Path(folder) / "bundle").model
    before, after = (vars(one.forecast(sample.read)) for one in (model, reopened))
    changed = [name for name in before if not _equal(before[name], after[name])]
    return _allowed([*_changes("serving_difference", changed, "saving and opening the bundle")], allowed)


def _allowed(found: list[Found], allowed: Collection[str]) -> list[str]:
    refused = [leak for leak in found if leak.leak not in allowed]
    if refused:
        codes = list(dict.fromkeys(leak.leak for leak in refused))
        told = [f"{leak.told}; if that is right, go on with --allow-leak {leak.leak}" for leak in refused]
        raise BadData(f"leak_{codes[0]}" if len(codes) == 1 else "leaks", told)
    return [f"{leak.leak}: {leak.told}" for leak in found]


def _reread(
    rows: LabelledRows, reader: Reader, read: Asked, log: EventLog, embed: Embed | None, seed: int
) -> list[Found]:
    sample = Sample.draw(log, rows.customer, rows.as_of_us, read, REREAD_ROWS, seed)
    future = changed_without_future(sample, reader, embed)
    if future:  # the others read the past alone as well, and would find it again
        return [*_changes("future", future, "what became known after as_of")]
    alone = Sample.draw(log, rows.customer, rows.as_of_us, read, ALONE_ROWS, seed)
    return [
        *_changes("label_evidence", changed_without_evidence(sample, reader, embed), "hidden evidence"),
        *_changes("serving_difference", changed_alone(alone, reader, embed), "the other customers"),
    ]


def _changes(leak: Leak, changed: list[str], without: str) -> Iterator[Found]:
    if changed:
        named = ", ".join(f"'{name}'" for name in changed[:MOST_NAMED])
        more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
        yield Found(leak, f"{named}{more} depend on {without}; no feature may")


def _telling_features(rows: LabelledRows, reader: Reader, read: Asked, seed: int) -> Iterator[Found]:
    names = [feature.name for feature in reader.catalog]
    folds = person_folds(rows.customer_id, FOLDS, seed)
    wordless = replace(read.conversion, pools=None)
    for h, horizon in enumerate(rows.horizons_days):
        is_last = h == len(rows.horizons_days) - 1  # whoever converts within one horizon does within the last
        shown = read.conversion if is_last else wordless
        for told in lone_predictors(shown, names, reader.phrases, rows.converted[:, h], folds, seed):
            yield Found("telling_feature", _too_well(told, conversion_column(horizon)))


def _too_well(told: LonePredictor, target: str) -> str:
    alike = f" (and so do {', '.join(told.alike)})" if told.alike else ""
    return (
        f"{told.feature} alone tells {target} with a ROC AUC of {told.roc_auc:.3f} and is certain of "
        f"{told.certain_share:.0%} of one outcome{alike} ({told.rows:,} rows, {told.converted:,} converted; the best "
        f"of the others: {told.rest_roc_auc:.3f}): it may have been recorded after the outcome; hide it by "
        "hide = { channels = […], actions = […] } in the journey file's [labels], or give the touchpoints' recorded_at"
    )


def _shadows(reader: Reader, log: EventLog) -> Iterator[Found]:
    """Actions that happen when the hidden act that makes the stage labels does, and only then."""
    if not reader.stage_by_rule:
        return
    journey = reader.journey
    hidden = evidence_rows(journey.hidden_evidence(labels_by_rule=True), log)
    for evidence in journey.defining_evidence:
        defining = evidence_rows([evidence], log)
        if defining.sum() >= LEAST_SHADOWS:
            for channel, action in _beside(log, defining, hidden):
                yield Found(
                    "label_evidence",
                    f"{channel} / {action} happens at the very moments of hidden evidence that makes the stage labels, "
                    "and at no other; hide it by hide = { actions = […] } in the journey file's [labels]",
                )


def _beside(log: EventLog, defining: Bools, hidden: Bools) -> Iterator[tuple[str, str]]:
    customer = np.repeat(np.arange(len(log.customer_ids)), np.diff(log.offsets))
    _, moment = np.unique(np.stack([customer, log.occurred_us]), axis=1, return_inverse=True)
    moment = moment.ravel()
    of_defining = np.zeros(int(moment.max()) + 1, dtype=np.bool_)
    of_defining[moment[defining]] = True
    pair = log.channel.astype(np.int64) * len(log.actions) + log.action
    for code in np.unique(pair[of_defining[moment] & ~hidden]):
        of_pair = np.zeros_like(of_defining)
        of_pair[moment[(pair == code) & ~hidden]] = True
        both = int((of_pair & of_defining).sum())
        if both >= LEAST_SHADOWS and both >= SHADOW_SHARE * max(of_pair.sum(), of_defining.sum()):
            channel, action = divmod(int(code), len(log.actions))
            yield log.channels[channel], log.actions[action]


def _twins(rows: LabelledRows, log: EventLog) -> Iterator[Found]:
    twins = len(np.unique(twin_pairs(log, rows.customer)))
    customers = len(np.unique(rows.customer[rows.customer >= 0]))
    if twins > MOST_TWINS * customers:
        yield Found(
            "twin_customers",
            f"{twins:,} of {customers:,} labelled customers have another's history under an id of their own and "
            "would be learnt from and judged on at once; merge them upstream: one customer_id for one person",
        )


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.tobytes() == np.asarray(other).tobytes()
    return bool(one == other)
