"""Table files: where a source's files are, and which reader each needs."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from features.csv_file import csv_column_names, read_csv
from features.errors import BadData, BadEnvironment, BadUsage
from features.json_lines_file import json_lines_column_names, read_json_lines
from features.parquet_file import parquet_column_names, parquet_rows, read_parquet
from features.raw_table import ChooseColumns, RawTable

Source = str | Path | Sequence[str | Path]


class Kind(NamedTuple):
    """How files of one kind are read."""

    name: str
    column_names: Callable[[Path], list[str]]
    rows_told: Callable[[Path], int]
    read: Callable[[Path, ChooseColumns], Iterator[RawTable]]


def _untold(_: Path) -> int:
    return 0


JSON_LINES = Kind("JSON Lines", json_lines_column_names, _untold, read_json_lines)
KINDS = {
    ".parquet": Kind("Parquet", parquet_column_names, parquet_rows, read_parquet),
    ".csv": Kind("CSV", csv_column_names, _untold, read_csv),
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
}
ENDINGS = ", ".join(KINDS)


def find_files(source: Source) -> list[Path]:
    """The files that a path, a folder, a glob or several of these name, each once.

    A folder stands for the table files directly in it, by name, hidden ones (`.x`, `_SUCCESS`) apart; they must be of
    one kind. A path that exists is never read as a glob.

    Raises BadUsage, naming every source that is not there, is no plain file or has an ending that is not read.
    """
    sources = [source] if isinstance(source, str | Path) else source
    files: dict[Path, None] = {}
    faults: list[str] = [] if sources else ["no source was given; expected a file, a folder or a glob"]
    for each in sources:
        if "://" in str(each):
            faults.append(
                "a source is an address; expected a file, a folder or a glob, or postgresql://… together with --query"
            )
            continue
        try:
            files.update(dict.fromkeys(_files_at(each)))
        except BadUsage as fault:
            faults.extend(fault.faults)
    if faults:
        raise BadUsage("bad_source", faults)
    return list(files)


def column_names(path: Path) -> list[str]:
    """The names of the file's columns, as they stand there. Raises BadData, BadEnvironment."""
    try:
        return _kind(path).column_names(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def rows_told(path: Path) -> int:
    """How many rows the file says that it has; 0 where it does not tell, or cannot be read, which reading will say."""
    try:
        return _kind(path).rows_told(path)
    except (BadData, OSError):
        return 0


def read_table(path: Path, choose: ChooseColumns) -> Iterator[RawTable]:
    """The columns of the file that `choose` picks from the names found, in batches of bounded size, at least one.

    Raises BadData, BadEnvironment; a batch that was yielded before stays what it was.
    """
    try:
        yield from _kind(path).read(path, choose)
    except OSError as error:
        raise _unreadable(path, error) from None


def _kind(path: Path) -> Kind:
    return KINDS[path.suffix.lower()]


def _unreadable(path: Path, error: OSError) -> BadEnvironment:
    return BadEnvironment("file_unreadable", f"{path} cannot be read: {error.strerror}")


def _files_at(source: str | Path) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        return _files_in(path)
    if path.exists():
        return [_table_file(path)]
    found = glob.glob(str(source), recursive=True)  # noqa: PTH207 - Path.glob needs the folder and the pattern apart
    matches = [path for path in map(Path, sorted(found)) if path.exists()]
    if not matches:
        raise BadUsage("bad_source", f"{source} is not there; expected a file ({ENDINGS}), a folder or a glob")
    files = [match for match in matches if not match.is_dir()]
    if not files:
        raise BadUsage("bad_source", f"{source} matches folders alone; expected files ({ENDINGS})")
    return [_table_file(match) for match in files]


def _files_in(folder: Path) -> list[Path]:
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]
    files = [path for path in visible if path.suffix.lower() in KINDS and path.is_file()]
    kinds = sorted({_kind(path).name for path in files})
    if len(kinds) != 1:
        found = " and ".join(kinds) or "no table"
        raise BadUsage("bad_source", f"{folder} holds {found} files; expected one kind of {ENDINGS}: name the files")
    return files


def _table_file(path: Path) -> Path:
    if not path.is_file():
        raise BadUsage("bad_source", f"{path} is no plain file; expected a file ({ENDINGS}), a folder or a glob")
    if path.suffix.lower() not in KINDS:
        raise BadUsage("bad_source", f"{path} ends in '{path.suffix}'; expected {ENDINGS}")
    return path
