"""The rows that travel between Spark's stages: touchpoints, asked pairs, and word of what was read, of one form."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import polars as pl
import pyarrow as pa

from features.errors import BadData, BadEnvironment, BadUsage, Fault
from features.touchpoints import TOUCHPOINT_TYPES
from serving.score_frame import REASONS, SETS, UTC_US

NO_PANDAS = "PySpark does not yet fully support pandas"  # says Spark 4.3, of frames of pandas, which are not used here
FAULTS: dict[str, type[Fault]] = {kind.__name__: kind for kind in (BadUsage, BadData, BadEnvironment)}


class Kind(IntEnum):
    """What a row is. All but the first two have no customer."""

    TOUCHPOINT = 0
    ASKED = 1  # `file`, `row`: its place
    REJECT = 2  # `file`, `row`: its place; `codes`: why
    READ = 3  # `row`: how many rows
    DUPLICATES = 4  # `row`: how many touchpoints
    CUSTOMERS = 5  # `row`: how many customers have a touchpoint
    IGNORED = 6  # `codes`: a column's name
    FAULT = 7  # `codes`: the fault as JSON


ROWS = pl.Schema(
    {
        **TOUCHPOINT_TYPES,
        "as_of": UTC_US,
        "kind": pl.Int32(),
        "file": pl.Int32(),
        "row": pl.Int64(),
        "codes": pl.String(),
    }
)
"""The touchpoint, the pair asked for (customer_id, as_of), what kind of row it is, and where it was read."""

# For each type of a column: Arrow's, and Spark's name of it.
TYPES: list[tuple[Any, pa.DataType, str]] = [
    (pl.String(), pa.string(), "string"),
    (UTC_US, pa.timestamp("us", "UTC"), "timestamp"),
    (pl.Float64(), pa.float64(), "double"),
    (pl.Float32(), pa.float32(), "float"),
    (pl.Int32(), pa.int32(), "int"),
    (pl.Int64(), pa.int64(), "bigint"),
    (pl.Binary(), pa.binary(), "binary"),
    (SETS, pa.list_(pa.string()), "array<string>"),
    (
        REASONS,
        pa.list_(
            pa.struct(
                [("feature", pa.string()), ("value", pa.float64()), ("effect", pa.float64()), ("event_id", pa.string())]
            )
        ),
        "array<struct<feature: string, value: double, effect: double, event_id: string>>",
    ),
]


def spark_schema(schema: pl.Schema) -> str:
    """The schema in Spark's words."""
    names = [(name.replace("`", "``"), _spark_type(kind)) for name, kind in schema.items()]
    return ", ".join(f"`{name}` {kind}" for name, kind in names)


def mapped(
    frame: Any, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: pl.Schema
) -> Any:
    """Spark's frame of what `function` makes of the batches of each partition of Spark's `frame`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_PANDAS, FutureWarning)
        return frame.mapInArrow(function, spark_schema(schema))


def to_batches(frame: pl.DataFrame) -> Iterator[pa.RecordBatch]:
    """A frame as Spark takes it."""
    schema = pa.schema([(name, _arrow_type(kind)) for name, kind in frame.schema.items()])
    yield from frame.to_arrow().cast(schema).to_batches()


def from_batch(batch: pa.RecordBatch) -> pl.DataFrame:
    """A frame of what Spark hands over; times with a zone are in UTC, whatever the zone of Spark's session."""
    frame = pl.DataFrame(pl.from_arrow(batch))
    zoned = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone]
    return frame.with_columns(pl.col(zoned).dt.convert_time_zone("UTC"))


def mixed_rows(frame: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """Rows of one kind; the columns that `frame` has not are null."""
    rows = frame.with_columns(pl.lit(kind.value, pl.Int32).alias("kind"))
    columns = [pl.col(name) if name in rows.columns else pl.lit(None).alias(name) for name in ROWS]
    return rows.select(columns).cast(ROWS)


def counted(kind: Kind, rows: int, place: int | None = None) -> pl.DataFrame:
    """Word of how many there were of something, in the file at that place."""
    return mixed_rows(pl.DataFrame({"row": [rows], "file": [place]}), kind)


def fault_row(fault: Fault) -> pl.DataFrame:
    """Word of a fault: raised in a task, it would be tried again and end in a trace."""
    told = json.dumps([type(fault).__name__, fault.code, fault.faults])
    return mixed_rows(pl.DataFrame({"codes": [told]}), Kind.FAULT)


def raise_faults(told: list[str]) -> None:
    """Raise what tasks have told by `fault_row`, all at once, if they have."""
    if told:
        found = sorted({(kind, code, tuple(faults)) for kind, code, faults in map(json.loads, told)})
        codes, kinds = {code for _, code, _ in found}, [FAULTS[kind] for kind, _, _ in found]
        lines = dict.fromkeys(line for _, _, faults in found for line in faults)
        raise kinds[0](codes.pop() if len(codes) == 1 else "bad_files", lines)


def _arrow_type(kind: Any) -> pa.DataType:
    return next(arrow for polars, arrow, _ in TYPES if polars == kind)


def _spark_type(kind: Any) -> str:
    return next(spark for polars, _, spark in TYPES if polars == kind)
