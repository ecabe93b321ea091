"""The gate and retraining as a scheduler meets them: exit codes, the alias, and why, against a real store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import journeycast
from features.errors import BadUsage
from training import fit_conversion, fit_stage, tracking

LOG = "others/touchpoints.parquet"


class Ended(NamedTuple):
    code: int
    said: str


Run = Callable[..., Ended]


@pytest.fixture
def run(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `journeycast` in a folder with a store whose champion does not know sixty of the 300 customers in LOG."""
    journeycast.simulate(store / "others", customers=300, seed=12)
    monkeypatch.setattr(fit_conversion, "ROUNDS", (4, 8))
    monkeypatch.setattr(fit_stage, "ROUNDS", (2, 4))

    def journeycast_with(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["journeycast", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            journeycast.main()
        return Ended(int(ended.value.code or 0), capsys.readouterr().err)

    return journeycast_with


def champion() -> str:
    return str(tracking.mlflow.MlflowClient().get_model_version_by_alias("journeycast", "champion").version)


def gate_of(version: str) -> str:
    return str(tracking.mlflow.MlflowClient().get_model_version("journeycast", version).tags["gate"])


def test_a_retraining_is_recorded_registered_judged_and_can_be_taken_back(run: Run) -> None:
    ended = run("retrain", "--touchpoints", LOG, "--out", "fresh", "--embedder", "none")
    assert ended.code in (0, 1), ended.said
    told = next(line for line in ended.said.splitlines() if line.startswith(("promoted: ", "not promoted: ")))
    assert told.startswith("promoted: ") == (ended.code == 0)
    assert champion() == ("2" if ended.code == 0 else "1")
    assert gate_of("2").startswith(told)
    last = tracking.mlflow.MlflowClient().search_runs(["1"], order_by=["start_time DESC"], max_results=1)[0]
    assert last.info.status == "FINISHED"
    assert last.data.metrics["gate/rows"] > 50
    assert last.data.metrics["gate/left_out"] > 100  # of the 240 ids from which the champion has learnt
    assert "registered as version 2" in ended.said

    tracking.promote_version("2")
    assert run("promote", "--rollback") == Ended(0, "version 1 is the champion again; version 2 is not\n")
    assert champion() == "1"
    refused = run("promote", "--rollback")
    assert (refused.code, refused.said.split(":")[0]) == (2, "no_former_champion")

    # Judged against one, it must not take the place of another.
    tracking.promote_version("2")
    moved = run("promote", "--challenger", "models:/journeycast/1", "--champion", "models:/journeycast/1",
                "--touchpoints", LOG)  # fmt: skip
    assert (moved.code, moved.said.split(":")[0]) == (2, "not_champion")
    with pytest.raises(BadUsage, match="version 2 is the champion by now, and version 3 was judged against version 1"):
        tracking.promote_version("3", over="1")
    assert champion() == "2"
    tracking.roll_back()

    # The same rows again, by hand: the challenger has learnt from most of them.
    by_hand = run("promote", "--challenger", "models:/journeycast/2", "--touchpoints", LOG)
    assert by_hand.code == ended.code, by_hand.said
    assert "rows left out, from which one of the two may have learnt" in by_hand.said


def test_a_champion_is_not_promoted_over_itself_and_strange_references_are_refused(run: Run) -> None:
    ended = run("promote", "--challenger", "models:/journeycast/1", "--touchpoints", LOG)
    assert ended.code == 1
    assert "not promoted: challenger and champion are the same model\n" in ended.said
    assert champion() == "1"
    for challenger, code in (("bundle", "not_registered"), ("models:/journeycast/9", "no_model")):
        refused = run("promote", "--challenger", challenger, "--touchpoints", LOG)
        assert (refused.code, refused.said.split(":")[0]) == (2, code)
    assert run("promote", "--challenger", "models:/journeycast/1").said.startswith("nothing_to_judge_on")
