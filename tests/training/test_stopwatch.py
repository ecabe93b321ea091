"""Seconds by phase, on a clock that a test moves."""

from training.progress import silent
from training.stopwatch import Stopwatch


def test_phases_and_the_steps_within_them_are_counted() -> None:
    now = [0.0]
    stopwatch = Stopwatch(lambda: now[0])
    told: list[tuple[str, int, int]] = []
    with stopwatch.phase("reading"):
        now[0] += 2.0
    with stopwatch.phase("training"):
        report = stopwatch.watching(lambda *step: told.append(step), "training")
        for seconds in (3.0, 4.0):
            report("Fitting the stage (on trial)", 0, 1)
            now[0] += seconds
            report("Fitting the stage (on trial)", 1, 1)
        report("Embedding messages", 5, 5)  # done before it was told to begin
        now[0] += 1.0
    assert stopwatch.metrics() == {
        "seconds/reading": 2.0,
        "seconds/training": 8.0,
        "seconds/training/fitting_the_stage_on_trial": 7.0,
        "seconds/training/embedding_messages": 0.0,
    }
    assert told[0] == ("Fitting the stage (on trial)", 0, 1)
    assert len(told) == 5


def test_a_phase_that_fails_counts_too() -> None:
    now = iter((1.0, 6.0))
    stopwatch = Stopwatch(lambda: next(now))
    try:
        with stopwatch.phase("training"):
            raise ValueError
    except ValueError:
        stopwatch.watching(silent, "training")
    assert stopwatch.metrics() == {"seconds/training": 5.0}
