from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadEnvironment, BadUsage
from features.table_files import column_names, find_files, read_table, rows_told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.CSV", "_SUCCESS", ".hidden.csv", "notes.txt", "deep/c.csv", "deep/d.jsonl", "x[1].csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"a":1}\n' if name.endswith("jsonl") else "a\n1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("b.csv", ["b.csv"]),
        ("", ["a.CSV", "b.csv", "x[1].csv"]),
        ("x[1].csv", ["x[1].csv"]),
        ("?.csv", ["b.csv"]),
        ("**/*.csv", ["b.csv", "deep/c.csv", "x[1].csv"]),
        ("deep/../b.csv", ["deep/../b.csv"]),
        ("deep/*", ["deep/c.csv", "deep/d.jsonl"]),
    ],
)
def test_a_path_a_folder_or_a_glob_names_files(folder: Path, source: str, found: list[str]) -> None:
    expected = [folder / name for name in found]
    assert find_files(str(folder / source)) == expected
    assert find_files(folder / source) == expected


def test_several_sources_name_each_file_once(folder: Path) -> None:
    assert find_files([folder / "b.csv", str(folder / "?.csv"), folder / "deep" / "c.csv"]) == [
        folder / "b.csv",
        folder / "deep" / "c.csv",
    ]


def test_a_link_to_a_file_is_that_file(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "b.csv")
    assert column_names(find_files(folder / "link.csv")[0]) == ["a"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.csv", r"nothing\.csv is not there"),
        ("nothing*.csv", r"nothing\*\.csv is not there"),
        ("d?ep", r"d\?ep matches folders alone; expected files"),
        ("notes.txt", r"ends in '\.txt'; expected \.parquet, \.csv, \.jsonl, \.ndjson"),
        ("_SUCCESS", "ends in ''"),
        ("deep", "holds CSV and JSON Lines files; expected one kind"),
        ("empty", "holds no table files; expected one kind"),
        ("pipe.csv", "is no plain file"),
        ("broken.csv", "is not there"),
    ],
)
def test_a_source_that_cannot_be_read_is_usage(folder: Path, source: str, message: str) -> None:
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.csv")
    (folder / "broken.csv").symlink_to(folder / "gone.csv")
    with pytest.raises(BadUsage, match=message) as raised:
        find_files(folder / source)
    assert raised.value.code == "bad_source"


def test_all_faults_of_all_sources_are_reported_together(folder: Path) -> None:
    with pytest.raises(BadUsage) as raised:
        find_files([folder / "nothing.csv", folder / "b.csv", folder / "notes.txt"])
    assert len(raised.value.faults) == 2


def test_no_source_is_usage() -> None:
    with pytest.raises(BadUsage, match="no source was given"):
        find_files([])


@pytest.mark.parametrize("read", [column_names, lambda path: list(read_table(path, list))])
@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "gone.parquet"])
def test_a_file_that_the_system_refuses_is_the_environment(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    with pytest.raises(BadEnvironment, match="cannot be read: No such file"):
        read(tmp_path / name)


def test_a_parquet_file_tells_its_rows_and_others_do_not(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1, 2, 3]}).write_parquet(tmp_path / "three.parquet")
    pl.DataFrame({"a": [1, 2, 3]}).write_csv(tmp_path / "three.csv")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")

    assert [rows_told(tmp_path / name) for name in ("three.parquet", "three.csv", "damaged.parquet", "gone.csv")] == [
        3, 0, 0, 0,
    ]  # fmt: skip
