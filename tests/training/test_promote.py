"""What becomes of the gate's decision."""

from __future__ import annotations

import pytest

from features.errors import BadUsage
from training import tracking
from training.promote import settle


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the registry is told, in turn; version 7 has lost the place meanwhile."""
    calls: list[tuple[object, ...]] = []

    def promote(version: str, over: str) -> None:
        if over == "7":
            raise BadUsage("champion_moved", "judge it anew")
        calls.append(("promoted", version, over))

    monkeypatch.setattr(tracking, "promote_version", promote)
    monkeypatch.setattr(tracking, "tag_version", lambda version, tags: calls.append(("noted", version, tags)))
    return calls


def test_a_decision_is_noted_once_the_place_is_given(told: list[tuple[object, ...]]) -> None:
    settle("2", "1", ["promoted: better", "judged on 9 rows"], is_promoted=True)
    settle("3", "2", ["not promoted: worse"], is_promoted=False)

    assert told == [
        ("promoted", "2", "1"),
        ("noted", "2", {"gate": "promoted: better; judged on 9 rows"}),
        ("noted", "3", {"gate": "not promoted: worse"}),
    ]


def test_nothing_is_noted_where_the_place_cannot_be_given(told: list[tuple[object, ...]]) -> None:
    with pytest.raises(BadUsage):
        settle("8", "7", ["promoted: better"], is_promoted=True)

    assert told == []
