"""Whether a challenger takes the champion's place: the rule, and why, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from training.comparison import Comparison, Difference

LEAST_OF_EACH: Final = 20  # rows with a conversion, and without one


@dataclass(frozen=True)
class Rule:
    """What the gate allows. A champion is stale when the challenger has learnt from rows so many days later."""

    stale_after_days: float = 90.0
    most_size_ratio: float = 2.0
    most_time_ratio: float = 2.0
    most_ece_gain: float = 0.01


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes the champion, and the reasons."""

    is_promoted: bool
    reasons: tuple[str, ...]


def decide(found: Comparison, rule: Rule = Rule()) -> Decision:
    """Promote what is better beyond doubt and harms nothing; and what is merely no worse, where the champion is stale.

    Better beyond doubt: the interval of log loss lies below 0, or that of average precision above it (for the stage:
    log loss, macro-F1). Worse beyond doubt in any of them, in calibration, in a slice, in size or in time is harm, and
    harm is never promoted.
    """
    if too_few := _too_few(found):
        return Decision(False, (too_few,))
    if harm := tuple(_harm(found, rule)):
        return Decision(False, harm)
    if better := tuple(_better(found)):
        return Decision(True, better)
    nothing = f"no difference beyond doubt on {found.rows:,} rows ({_measured(found)})"
    if found.days_fresher >= rule.stale_after_days:
        stale = f"the champion is stale: the challenger has learnt from rows {found.days_fresher:.0f} days later"
        return Decision(True, (f"{stale} (limit {rule.stale_after_days:g})", nothing))
    return Decision(False, (nothing,))


def _too_few(found: Comparison) -> str:
    others = found.rows - found.converted
    if found.log_loss is not None and min(found.converted, others) >= LEAST_OF_EACH:
        return ""
    if found.log_loss is None and found.stage_log_loss is not None and found.rows >= 2 * LEAST_OF_EACH:
        return ""
    return (
        f"it cannot be told: {found.rows:,} rows from which neither has learnt, {found.converted:,} of them converted "
        f"({found.left_out:,} left out); expected at least {LEAST_OF_EACH} with a conversion and {LEAST_OF_EACH} "
        "without: give later rows or other customers; a champion made by `journeycast train` has learnt from all rows "
        "of its day, one made by `journeycast retrain` leaves some to judge by"
    )


def _harm(found: Comparison, rule: Rule) -> Iterator[str]:
    for name, difference, sign in _measures(found):
        if difference.low * sign > 0 and difference.high * sign > 0:
            yield f"{name} is worse beyond doubt: {_told(difference)}"
    if found.ece is not None and found.ece.value > rule.most_ece_gain and found.ece.low > 0:
        yield f"calibration (ECE) is worse beyond doubt: {_told(found.ece)}, more than {rule.most_ece_gain:g}"
    for name, difference in found.slices.items():
        if difference.low > 0:
            yield f"log loss is worse beyond doubt for {name}: {_told(difference)}"
    if found.size_ratio > rule.most_size_ratio:
        yield f"the bundle is {found.size_ratio:.1f} times as large (limit {rule.most_size_ratio:g})"
    if found.time_ratio > rule.most_time_ratio:
        yield f"a score takes {found.time_ratio:.1f} times as long (limit {rule.most_time_ratio:g})"


def _better(found: Comparison) -> Iterator[str]:
    for name, difference, sign in _measures(found):
        if difference.low * sign < 0 and difference.high * sign < 0:
            yield f"{name} is better beyond doubt: {_told(difference)} on {found.rows:,} rows"


def _measures(found: Comparison) -> Iterator[tuple[str, Difference, int]]:
    """Each measure with the sign of what is worse."""
    for name, difference, sign in (
        ("log loss", found.log_loss, 1),
        ("average precision", found.average_precision, -1),
        ("log loss of the stage", found.stage_log_loss, 1),
        ("macro-F1 of the stage", found.stage_macro_f1, -1),
    ):
        if difference is not None:
            yield name, difference, sign


def _measured(found: Comparison) -> str:
    return "; ".join(f"{name} {_told(difference)}" for name, difference, _ in _measures(found))


def _told(difference: Difference) -> str:
    return f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
