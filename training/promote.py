"""One promotion as the command runs it: who has the place, who wants it, and what the gate says of both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from features.errors import BadUsage
from features.inputs import Tell
from training import tracking
from training.contender import Contender
from training.gate import in_words, judge_at_gate
from training.gate_rule import Rule
from training.prepare import read_labelled
from training.settings import Settings


def run_promotion(
    challenger: str, champion: str, asked: Settings, rule: Rule, now: Callable[[], datetime], tell: Tell
) -> bool:
    """Judge two registered models on the rows that the settings name; the better one serves from now on.

    Tells why, a line each, and returns whether the challenger has the place now. Raises BadUsage where one of the two
    is not registered, and what reading and `judge_at_gate` raise.
    """
    version, held_by = tracking.registered_version(challenger), tracking.registered_version(champion)
    if version is None or held_by is None:
        missing = challenger if version is None else champion
        raise BadUsage("no_model", f"{missing} was not found; register one with journeycast train --register")
    serving = tracking.registered_version(tracking.CHAMPION_REFERENCE)
    if serving not in (held_by, None):
        raise BadUsage("not_champion", f"{champion} is version {held_by}, but version {serving} has the place")
    one, other = (
        Contender.open(tracking.download_bundle(tracking.version_reference(name))) for name in (version, held_by)
    )
    log, rows = read_labelled(asked, one.model.reader.journey, f"{tracking.REGISTERED_MODEL}-{version}.", now, tell)
    comparison, decision = judge_at_gate(one, other, log, rows, asked.fit.seed, rule)
    why = in_words(comparison, decision)
    settle(version, held_by, why, decision.is_promoted)
    for line in why:
        tell(line)
    return decision.is_promoted


def settle(version: str, over: str, why: list[str], is_promoted: bool) -> None:
    """Give the version the place where the gate says so, and note the decision on it.

    Raises BadUsage where the version that it was judged against has lost the place meanwhile; nothing is noted then.
    """
    if is_promoted:
        tracking.promote_version(version, over)
    tracking.tag_version(version, {"gate": "; ".join(why)})
