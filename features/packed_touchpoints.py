"""Touchpoints packed to be divided and written: rows of one width, in which numbers stand for words and customers.

What is text (messages, and words of which there are too many to be numbered) stands apart, with the number of its row.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from features.event_log import NEVER, EventLog, Int32s, Int64s
from features.touchpoints import CONTENT, Codes, Keys, event_keys, once_each
from features.word_codes import WordNumbers

NUMBERED = ("channel", "action", "campaign", "variant", "conversation_id")
UNRECORDED = np.iinfo(np.int64).min
ROW = np.dtype(
    [
        *(("customer", "<u8"), ("occurred_us", "<i8"), ("recorded_us", "<i8"), ("event", "<u8"), ("value", "<f8")),
        *((column, "<i4") for column in NUMBERED),
        ("is_company", "<i4"),
    ]
)
"""`customer` and `event` are `customer_keys` and `event_keys`; `value` is NaN, `recorded_us` UNRECORDED where null."""

Rows = npt.NDArray[np.void]
Buffer = bytes | memoryview
Words = Mapping[str, pl.Series]
"""The words of each column by their numbers."""


NO_TEXTS = pl.DataFrame(schema={"row": pl.UInt32})
NO_MESSAGES = pl.DataFrame(schema={"event_id": pl.String, "text": pl.String})


class Packed(NamedTuple):
    """Rows of ROW, and `texts`: `row` (UInt32), `event_id` and `text` of each message, and words without a number."""

    rows: Rows
    texts: pl.DataFrame


NOTHING = Packed(np.empty(0, ROW), NO_TEXTS)


def customer_keys(customer_ids: pl.Series, seed: int) -> Keys:
    """A number for each customer, 64 bits of a hash; the same for equal ids, in one version of Polars."""
    return customer_ids.hash(seed).to_numpy()


def pack(frame: pl.DataFrame, numbers: WordNumbers, seed: int) -> Packed:
    """Pack checked touchpoints (columns of `TOUCHPOINT_TYPES`), in their order; `numbers` learns their words."""
    rows = np.empty(frame.height, ROW)
    rows["customer"] = customer_keys(frame["customer_id"], seed)
    rows["occurred_us"] = frame["occurred_at"].to_physical().to_numpy()
    rows["recorded_us"] = frame["recorded_at"].to_physical().fill_null(UNRECORDED).to_numpy()
    rows["event"] = event_keys(frame["event_id"])
    rows["value"] = frame["value"].fill_null(float("nan")).to_numpy() + 0.0  # -0.0 becomes 0.0
    rows["is_company"] = frame["actor"].eq_missing("company").to_numpy()  # the customer's where it is not said
    texts = {"text": frame["text"]}
    for column in NUMBERED:
        numbered = numbers.number(frame[column])
        if numbered is None:
            texts[column] = frame[column]
        rows[column] = NEVER if numbered is None else numbered
    return Packed(rows, _told(frame["event_id"], texts))


def _told(event_ids: pl.Series, texts: Mapping[str, pl.Series]) -> pl.DataFrame:
    """The rows that have text, and their texts; only columns that have any."""
    some = {column: text for column, text in texts.items() if text.null_count() < len(text)}
    if not some:
        return NO_TEXTS
    told = pl.DataFrame(some).with_row_index("row").filter(pl.any_horizontal(pl.col(*some).is_not_null()))
    if "text" not in some:
        return told
    named = event_ids.gather(told["row"])
    return told.with_columns(event_id=named.set(told["text"].is_null(), None))


def join(packs: Sequence[Packed]) -> Packed:
    """All of these, one at least, one below the other."""
    first = np.cumsum([0, *(len(pack.rows) for pack in packs)])
    texts = [
        pack.texts.with_columns(pl.col("row") + pl.lit(start, pl.UInt32))
        for start, pack in zip(first.tolist(), packs, strict=False)
    ]
    # As bytes: NumPy copies records field by field.
    rows = np.concatenate([pack.rows.view(np.uint8) for pack in packs]).view(ROW)
    return Packed(rows, pl.concat(texts, how="diagonal"))


def divide(packed: Packed, buckets: int) -> Iterator[tuple[int, Packed]]:
    """The rows of each bucket that has any, in their order; a customer's bucket is the remainder of its key."""
    bucket = bucket_of(packed.rows["customer"], buckets)
    order = np.argsort(bucket, kind="stable")
    rows, texts = packed.rows.take(order), packed.texts
    if texts.height:
        place = np.empty(len(order), np.uint32)
        place[order] = np.arange(len(order), dtype=np.uint32)
        texts = texts.with_columns(row=place[texts["row"].to_numpy()]).sort("row")
    ends = np.cumsum(np.bincount(bucket, minlength=buckets))
    text_ends = np.searchsorted(texts["row"].to_numpy(), ends)
    start = text_start = 0
    for each, (end, text_end) in enumerate(zip(ends.tolist(), text_ends.tolist(), strict=True)):
        if end > start:
            own = texts[text_start:text_end].with_columns(pl.col("row") - pl.lit(start, pl.UInt32))
            yield each, Packed(rows[start:end], own)
        start, text_start = end, text_end


def bucket_of(keys: Keys, buckets: int) -> npt.NDArray[np.uint16]:
    """The bucket of each customer's key."""
    return (keys % np.uint64(buckets)).astype(np.uint16)


def to_bytes(packed: Packed) -> list[Buffer]:
    """What is to be written: how many rows, the rows, and the texts as an Arrow stream where there are any."""
    stream = io.BytesIO()
    if packed.texts.height:
        packed.texts.write_ipc_stream(stream, compression="lz4")
    return [len(packed.rows).to_bytes(8, "little"), packed.rows.view(np.uint8).data, stream.getbuffer()]


def from_bytes(content: bytes) -> Packed:
    """What `to_bytes` was given."""
    rows = np.frombuffer(content, ROW, int.from_bytes(content[:8], "little"), 8)
    texts = content[8 + rows.nbytes :]
    return Packed(rows, pl.read_ipc_stream(io.BytesIO(texts)) if texts else NO_TEXTS)


def event_log(packed: Packed, words: Words, customer_ids: pl.Series, seed: int) -> EventLog:
    """The log of these touchpoints, each once, as `drop_duplicates` and `EventLog.from_frame` make it.

    `customer_ids` are those of all rows, sorted, and no two have one key.
    """
    rows, texts = packed
    customer = _places(rows["customer"], customer_keys(customer_ids, seed))
    occurred_us, recorded_us = rows["occurred_us"].copy(), rows["recorded_us"]
    known_us = np.maximum(occurred_us, recorded_us)
    coded = {column: _coded(column, packed, words) for column in NUMBERED}
    text = _text_of_row(texts, len(rows))
    content = partial(_content, packed, customer, coded, text)
    order = once_each(customer, occurred_us, known_us, rows["event"].copy(), content)
    text = text[order]
    said = text != NEVER
    messages = texts[text[said]] if said.any() else NO_MESSAGES
    return EventLog(
        customer_ids=customer_ids.to_list(),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(customer[order], minlength=len(customer_ids)))]),
        occurred_us=occurred_us[order],
        known_us=known_us[order],
        channel=coded["channel"].codes[order],
        action=coded["action"].codes[order],
        campaign=coded["campaign"].codes[order],
        conversation=coded["conversation_id"].codes[order],
        is_company=rows["is_company"][order] != 0,
        value=rows["value"][order],
        text=np.where(said, np.cumsum(said) - 1, NEVER).astype(np.int32),
        channels=coded["channel"].words.to_list(),
        actions=coded["action"].words.to_list(),
        campaigns=coded["campaign"].words.to_list(),
        conversations=coded["conversation_id"].words.to_list(),
        texts=messages["text"].to_list(),
        event_ids=messages["event_id"].to_list(),
    )


class _Coded(NamedTuple):
    codes: Int32s
    words: pl.Series


def _places(keys: Keys, of_all: Keys) -> Codes:
    """The place of each key among all of them."""
    places = pl.DataFrame({"key": of_all}).with_row_index("place")
    found = pl.DataFrame({"key": keys}).join(places, on="key", how="left", maintain_order="left")
    return found["place"].to_numpy(writable=True)


def _coded(column: str, packed: Packed, words: Words) -> _Coded:
    """A column's words as numbers, those too that were not numbered when the rows were packed."""
    codes, known = packed.rows[column].copy(), words[column]
    if column not in packed.texts.columns:
        return _Coded(codes, known)
    told = packed.texts.select("row", word=column).drop_nulls()
    every = pl.concat([known, told["word"]]).unique(maintain_order=True).alias("word")
    places = every.to_frame().with_row_index("place")
    codes[told["row"].to_numpy()] = told.join(places, on="word", how="left", maintain_order="left")["place"].to_numpy()
    return _Coded(codes, every)


def _text_of_row(texts: pl.DataFrame, rows: int) -> Int32s:
    """Which of the texts each row said, NEVER for none."""
    found = np.full(rows, NEVER, np.int32)
    if "text" in texts.columns:
        said = texts["text"].is_not_null().to_numpy()
        found[texts["row"].to_numpy()[said]] = np.flatnonzero(said)
    return found


def _content(packed: Packed, customer: Codes, coded: Mapping[str, _Coded], text: Int32s, at: Int64s) -> pl.DataFrame:
    """All that these rows hold, columns and values in the order of `touchpoints.CONTENT`."""
    rows, texts = packed.rows.take(at), packed.texts
    words = {column: of.words.gather(_or_null(of.codes[at])) for column, of in coded.items()}
    said = _or_null(text[at])
    columns = {
        "customer_id": customer[at],
        "occurred_at": rows["occurred_us"],
        "recorded_at": rows["recorded_us"],
        "actor": rows["is_company"] == 0,  # "company" comes before "customer"
        "value": pl.Series(rows["value"], nan_to_null=True),
        "text": texts["text"].gather(said) if "text" in texts.columns else None,
        "event_id": texts["event_id"].gather(said) if "text" in texts.columns else None,
        **words,
    }
    return pl.DataFrame(columns).select(*CONTENT, event=pl.Series(rows["event"]))


def _or_null(places: Int32s) -> pl.Series:
    return pl.Series(places).set(pl.Series(places < 0), None)
