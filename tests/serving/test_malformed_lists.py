"""Ten thousand malformed rows of every kind among sound ones: none is scored, none is lost, each has its reason."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.event_log import to_us
from serving.score_list import Order, score_list
from serving.scorer import Scorer

MALFORMED = 10_000
HEADER = "customer_id,occurred_at,channel,action,event_id,recorded_at,actor,value,text"
SOUND = (
    "{id},2026-01-02T03:04:05Z,web,visited,,,,,",
    '{id},2026-01-02T03:04:05+05:30,web,visited,,2026-01-03 00:00:00Z,company,-0.5,"two\nlines, and a ""quote"""',
    "{id},2026-01-02T03:04:05.123456789Z,web,asked,{id}-1,,customer,1e3,=1+1",
    "{id},2026-01-02 03:04Z,web,visited,,,,,Café 5 €",
)
BROKEN = {
    ",2026-01-02T00:00:00Z,web,visited,,,,,": "customer_id_missing",
    "{id}\0,2026-01-02T00:00:00Z,web,visited,,,,,": "customer_id_has_nul",
    "{id},,web,visited,,,,,": "occurred_at_missing",
    "{id},2026-01-02T00:00:00,web,visited,,,,,": "occurred_at_naive",
    "{id},2026-02-30T00:00:00Z,web,visited,,,,,": "occurred_at_unreadable",
    "{id},1767312000,web,visited,,,,,": "occurred_at_unreadable",
    "{id},2026-01-02T00:00:00Z,,visited,,,,,": "channel_missing",
    "{id},2026-01-02T00:00:00Z,web,,,,,,": "action_missing",
    "{id},2026-01-02T00:00:00Z,web,visited,e\0,,,,": "event_id_has_nul",
    "{id},2026-01-02T00:00:00Z,web,visited,,2026-01-02 00:00,,,": "recorded_at_naive",
    "{id},2026-01-02T00:00:00Z,web,visited,,soon,,,": "recorded_at_unreadable",
    "{id},2026-01-02T00:00:00Z,web,visited,,,robot,,": "actor_unknown",
    '{id},2026-01-02T00:00:00Z,web,visited,,,,"1,5",': "value_unreadable",
    "{id},2026-01-02T00:00:00Z,web,visited,,,,nan,": "value_not_finite",
    "{id},2026-01-02T00:00:00Z,web,visited,,,,1e999,": "value_not_finite",
    "{id},2026-01-02T00:00:00Z,web,visited,,,,,said\0": "text_has_nul",
    "{id},2026-01-02T00:00:00Z,web": "row_wrong_width",
    "{id},2026-01-02T00:00:00Z,web,visited,,,,,,": "row_wrong_width",
}
BROKEN_LINES = {
    '{{"customer_id":"{id}","occurred_at":"2026-01-02T00:00:00","channel":"web","action":"visited"}}': (
        "occurred_at_naive"
    ),
    '{{"customer_id":"{id}","occurred_at":"2026-01-02T00:00:00Z","channel":"web"}}': "action_missing",
    '{{"customer_id":"{id}","occurred_at":"2026-01-02T00:00:00Z","channel":null,"action":"visited"}}': (
        "channel_missing"
    ),
    '{{"customer_id":"{id}","occurred_at":"2026-01-02T00:00:00Z",': "row_not_json",
    '["{id}"]': "row_not_object",
}


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


def drawn(sound: tuple[str, ...], broken: dict[str, str], rows: int) -> tuple[list[str], list[tuple[int, str]]]:
    """So many broken rows among as many sound ones, each customer's only row; and where each broken one stands."""
    kinds = [*broken, *sound]
    chosen = [kinds[i % len(broken)] for i in range(rows)] + [sound[i % len(sound)] for i in range(rows)]
    random.Random(7).shuffle(chosen)
    lines = [form.format(id=f"c{at:05}") for at, form in enumerate(chosen)]
    return lines, [(at + 1, broken[form]) for at, form in enumerate(chosen) if form in broken]


def scored(scorer: Scorer, source: Path, out: Path) -> dict[str, Any]:
    as_of_us = to_us(datetime(2026, 1, 20, tzinfo=UTC))
    order = Order([source], as_of_us, None, [], False, 0.6, 4 * 10**9)
    return score_list(scorer, order, out, None, lambda *_: None)


def check(manifest: dict[str, Any], out: Path, rows: int, expected: list[tuple[int, str]]) -> None:
    rejects = pl.read_csv(f"{out}.rejects.csv")
    assert list(rejects.select("row", "codes").iter_rows()) == expected
    assert pl.read_parquet(out).height + rejects.height == manifest["touchpoints"]["rows_read"] == 2 * rows
    assert manifest["rows"] == manifest["touchpoints"]["touchpoints"] == rows
    assert manifest["touchpoints"]["reject_codes"] == Counter(code for _, code in expected)


def test_each_malformed_csv_row_is_rejected_with_its_number_and_reason(scorer: Scorer, tmp_path: Path) -> None:
    lines, expected = drawn(SOUND, BROKEN, MALFORMED)
    source, out = tmp_path / "touchpoints.csv", tmp_path / "scores.parquet"
    source.write_bytes("\r\n".join(["\ufeff" + HEADER, *lines, ""]).encode())
    check(scored(scorer, source, out), out, MALFORMED, expected)


def test_each_malformed_json_line_is_rejected_with_its_number_and_reason(scorer: Scorer, tmp_path: Path) -> None:
    good = {"customer_id": "{id}", "occurred_at": "2026-01-02T00:00:00Z", "channel": "web", "action": "visited"}
    sound = json.dumps(good).replace('{"c', '{{"c').replace('"}', '"}}').replace('"{id}}"', '"{id}"')
    lines, expected = drawn((sound,), BROKEN_LINES, 1000)
    source, out = tmp_path / "touchpoints.jsonl", tmp_path / "scores.parquet"
    source.write_text("\n".join([sound.format(id="first"), *lines, ""]))
    expected = [(row + 1, code) for row, code in expected]
    manifest = scored(scorer, source, out)
    rejects = pl.read_csv(f"{out}.rejects.csv")
    assert list(rejects.select("row", "codes").iter_rows()) == expected
    assert pl.read_parquet(out).height + rejects.height == manifest["touchpoints"]["rows_read"] == 2001
