"""Tables and files as a cluster reads them: Spark where it reads as we do, else our own reader, one task a file.

Spark reads tables and Parquet, in pieces. CSV, JSON Lines and Parquet with types that Spark has not are read whole, by
the reader of lists on one machine, so every row keeps or breaks the contract there and here alike.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from features.checked_table import contract_types
from features.columns import match_columns
from features.errors import BadData, BadUsage
from features.parquet_file import parquet_schema
from features.table_files import ENDINGS, KINDS, find_files
from serving.executor import CONTRACTS, check_batches_of, check_files_of, plain_path
from serving.mixed_rows import ROWS, mapped

TABLE = "table:"
# What Spark makes the same values of as Polars does.
SPARK_READS = (pl.String, pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.Boolean, pl.Date)
UNKNOWN_BYTES = 1 << 50  # beyond this, a table's size is a guess of Spark's


class File(NamedTuple):
    """A file by the path that Spark knows it by, and the name by which it is shown."""

    path: str
    shown: str
    size: int


@dataclass(frozen=True)
class ClusterRows:
    """Spark's frame of the rows read (`mixed_rows.ROWS`), and of what: `names[i]` is shown for `file` `first` + i.

    `size` counts bytes, None where it is not known.
    """

    rows: Any
    first: int
    names: list[str]
    ignored_columns: list[str]
    size: int | None


def read_sources(session: Any, sources: Sequence[str], contract: str, first: int = 0) -> ClusterRows:
    """Read and check sources, each a path, folder or glob of this machine, an address, or `table:NAME`.

    Files count from `first` on. Raises BadUsage for a source that is not there, BadData where columns are missing; what
    is wrong within the files is told among the rows.
    """
    tables = [source.removeprefix(TABLE) for source in sources if source.startswith(TABLE)]
    addresses = [source for source in sources if "://" in source]
    local = [source for source in sources if not source.startswith(TABLE) and "://" not in source]
    here = [_local_file(path) for path in (find_files(local) if local or not sources else [])]
    there = [file for address in addresses for file in _remote_files(session, address)]
    names = {plain_path(file.path): (first + i, file.shown) for i, file in enumerate([*here, *there])}
    names |= {f"{TABLE}{table}": (first + len(names) + i, f"{TABLE}{table}") for i, table in enumerate(tables)}
    of_spark, whole = _divided(here)
    parts, ignored = [], dict[str, None]()
    for frame, shown in [
        *((_parquet(session, group), group[0].shown) for group in of_spark),
        *_remote_parquet(session, [file for file in there if _is_parquet(file)]),
        *((_table(session, table), f"{TABLE}{table}") for table in tables),
    ]:
        chosen, others = _columns(Path(shown), [name for name in frame.columns if name not in PLACE], contract)
        ignored |= dict.fromkeys(others)
        read = frame.select(*map(_name, (*chosen, *PLACE)))
        parts.append(mapped(read, partial(check_batches_of, contract=contract, names=names), ROWS))
    for frame in (_paths(session, whole), _contents(session, [file for file in there if not _is_parquet(file)])):
        if frame is not None:
            parts.append(mapped(frame, partial(check_files_of, contract=contract, names=names), ROWS))
    sizes = [*(file.size for file in [*here, *there]), *(_table_bytes(session, table) for table in tables)]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionAll(part)
    size = None if any(each is None for each in sizes) else sum(each or 0 for each in sizes)
    return ClusterRows(rows, first, [shown for _, shown in names.values()], list(ignored), size)


PLACE = ("file_path", "row")
PLACED = ("_metadata.file_path AS file_path", "_metadata.row_index + 1 AS row")


def _columns(path: Path, found: list[str], contract: str) -> tuple[list[str], list[str]]:
    schema, required, _ = CONTRACTS[contract]
    chosen = match_columns(path, found, contract_types(schema), required)
    return chosen, [name for name in found if name not in chosen]


def _local_file(path: Path) -> File:
    return File(os.path.abspath(path), str(path), path.stat().st_size)  # noqa: PTH100 - as Spark: .. goes, links stay


def _divided(files: Sequence[File]) -> tuple[list[list[File]], list[File]]:
    """Groups of Parquet files with equal columns that Spark can read, and all others."""
    groups, whole = defaultdict[tuple[Any, ...], list[File]](list), list[File]()
    faults: list[BadData] = []
    for file in files:
        if not _is_parquet(file):
            whole.append(file)
            continue
        try:
            schema = parquet_schema(Path(file.path))
        except BadData as fault:
            faults.append(BadData(fault.code, [line.replace(file.path, file.shown) for line in fault.faults]))
            continue
        if all(_spark_reads(kind) for kind in schema.values()):
            groups[tuple(schema.items())].append(file)
        else:
            whole.append(file)
    if faults:
        raise BadData(faults[0].code, [line for fault in faults for line in fault.faults])
    return list(groups.values()), whole


def _spark_reads(kind: pl.DataType) -> bool:
    return isinstance(kind, SPARK_READS) or (isinstance(kind, pl.Datetime) and kind.time_unit != "ns")


def _is_parquet(file: File) -> bool:
    return PurePosixPath(file.path).suffix.lower() == ".parquet"


def _parquet(session: Any, files: Sequence[File], **options: Any) -> Any:
    addresses = [_as_glob(f"file://{file.path}" if file.path.startswith("/") else file.path) for file in files]
    frame = session.read.options(**options).parquet(*addresses)
    return frame.selectExpr(*map(_name, frame.columns), *PLACED)


def _remote_parquet(session: Any, files: Sequence[File]) -> list[tuple[Any, str]]:
    return [(_parquet(session, files, mergeSchema="true"), files[0].shown)] if files else []


def _table(session: Any, table: str) -> Any:
    frame = session.table(table)
    return frame.selectExpr("*", f"'{TABLE}{table}' AS file_path", "0L AS row")


def _paths(session: Any, files: Sequence[File]) -> Any:
    """The paths of whole files, one to a partition."""
    if not files:
        return None
    paths = ", ".join(_quoted(file.path) for file in files)
    numbered = session.range(0, len(files), 1, len(files))
    return numbered.selectExpr(
        f"element_at(array({paths}), CAST(id + 1 AS int)) AS file_path", "CAST(NULL AS binary) AS content"
    )


def _contents(session: Any, files: Sequence[File]) -> Any:
    if not files:
        return None
    read = session.read.format("binaryFile").load([_as_glob(file.path) for file in files])
    return read.selectExpr("path AS file_path", "content")


def _name(column: str) -> str:
    escaped = column.replace("`", "``")
    return f"`{escaped}`"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _as_glob(address: str) -> str:
    """An address that stands for itself where Spark expects a pattern."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", address)


def _remote_files(session: Any, address: str) -> list[File]:
    """What Hadoop finds at an address, by the rules of `find_files`."""
    path = session._jvm.org.apache.hadoop.fs.Path(address)
    system = path.getFileSystem(session._jsc.hadoopConfiguration())
    found = []
    for status in system.globStatus(path) or []:
        found += list(system.listStatus(status.getPath())) if status.isDirectory() else [status]
    files = [status for status in found if not status.getPath().getName().startswith((".", "_"))]
    named = [File(status.getPath().toString(), status.getPath().toString(), status.getLen()) for status in files
             if status.isFile() and PurePosixPath(status.getPath().getName()).suffix.lower() in KINDS]  # fmt: skip
    if not named:
        raise BadUsage("bad_source", f"{address} holds no table; expected files ({ENDINGS}), a folder or a glob")
    return sorted(named)


def _table_bytes(session: Any, table: str) -> int | None:
    size = int(str(session.table(table)._jdf.queryExecution().optimizedPlan().stats().sizeInBytes()))
    return size if size < UNKNOWN_BYTES else None
