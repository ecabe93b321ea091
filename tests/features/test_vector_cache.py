"""A cache that may forget and must never be wrong."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.vector_cache import Vector, VectorCache, cache_folder, text_hash

MODEL = "ab" * 32
HELLO = text_hash("hello")
THANKS = text_hash("thanks")
VECTOR = np.array([0.1, -0.0, 3e-45], np.float32)

Opened = Callable[..., VectorCache]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    """Opens caches with nothing in memory yet, at `path` unless told otherwise."""
    caches: list[VectorCache] = []

    def opened(at: Path = path, model: str = MODEL, **bounds: int) -> VectorCache:
        caches.append(VectorCache(at, 3, model, **bounds))
        return caches[-1]

    yield opened
    for cache in caches:
        cache.close()


def many(count: int) -> dict[bytes, Vector]:
    return {text_hash(str(number)): np.full(3, number, np.float32) for number in range(count)}


def same(found: dict[bytes, Vector], expected: dict[bytes, Vector]) -> bool:
    return {key: v.tobytes() for key, v in found.items()} == {key: v.tobytes() for key, v in expected.items()}


def kept(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
    connection.close()
    return int(rows)


def test_a_text_hash_is_blake2b_128() -> None:
    assert HELLO.hex() == "46fb7408d4f285228f4af516ea25851b"


def test_the_folder_is_the_variables_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JOURNEYCAST_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("JOURNEYCAST_CACHE")
    assert cache_folder().name == "journeycast"


def test_what_was_put_is_found_to_the_bit(opened: Opened) -> None:
    cache = opened()
    cache.put_many({HELLO: VECTOR})
    assert same(cache.get_many([HELLO, THANKS]), {HELLO: VECTOR})
    assert same(opened().get_many([HELLO, THANKS]), {HELLO: VECTOR})


def test_a_vector_found_cannot_be_changed(opened: Opened) -> None:
    cache = opened()
    cache.put_many({HELLO: VECTOR})
    with pytest.raises(ValueError, match="read-only"):
        cache.get_many([HELLO])[HELLO][0] = 1


def test_models_do_not_see_each_others_vectors(opened: Opened) -> None:
    opened().put_many({HELLO: VECTOR})
    assert opened(model="cd" * 32).get_many([HELLO]) == {}


def test_the_file_is_its_owners_only(opened: Opened, path: Path) -> None:
    opened().put_many({HELLO: VECTOR})
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_more_than_one_query_holds_are_found(opened: Opened) -> None:
    opened().put_many(many(1234))
    assert same(opened().get_many(list(many(1234))), many(1234))


def test_memory_keeps_what_was_used_last(opened: Opened, path: Path) -> None:
    cache = opened(memory_entries=2)
    cache.put_many(many(2))
    first, second, third = many(3)
    cache.get_many([first])
    cache.put_many({third: VECTOR})
    cache.close()
    path.unlink()
    assert set(cache.get_many([first, second, third])) == {first, third}


def test_the_oldest_go_when_the_file_is_full(opened: Opened, path: Path) -> None:
    cache = opened(memory_entries=0, max_bytes=80_000)
    keys = list(many(3000))
    for start in range(0, 3000, 100):
        cache.put_many({key: VECTOR for key in keys[start : start + 100]})
    found = set(cache.get_many(keys))
    assert found == set(keys[-len(found) :])
    assert 300 < len(found) < 1200
    cache.close()
    assert path.stat().st_size <= 120_000


def test_a_file_too_small_for_one_vector_keeps_none(opened: Opened) -> None:
    cache = opened(memory_entries=0, max_bytes=1)
    cache.put_many({HELLO: VECTOR})
    assert cache.get_many([HELLO]) == {}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vectors SET blob = x'0000803f00000000000080bf'",
        "UPDATE vectors SET checksum = x'0000000000000000'",
        "UPDATE vectors SET blob = 'text'",
        "UPDATE vectors SET blob = NULL, checksum = NULL",
        "UPDATE vectors SET blob = x'00', checksum = x'00'",
    ],
)
def test_a_row_that_is_not_what_was_put_is_not_found(opened: Opened, path: Path, damage: str) -> None:
    cache = opened()
    cache.put_many({HELLO: VECTOR})
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    assert opened().get_many([HELLO]) == {}
    opened().put_many({HELLO: VECTOR})
    assert same(opened().get_many([HELLO]), {HELLO: VECTOR})


@pytest.mark.parametrize("size", [0, 1, 99, 4096, 8192, 12_000, 30_000])
def test_a_truncated_file_is_begun_anew(opened: Opened, path: Path, size: int) -> None:
    cache = opened()
    cache.put_many(many(1000))
    cache.close()
    os.truncate(path, size)
    assert_only_right_vectors(opened)


def test_a_file_of_another_kind_is_set_aside(opened: Opened, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("These are my notes, and not a cache at all. " * 10)
    assert_only_right_vectors(opened)
    assert path.with_name("vectors.sqlite.damaged").read_text().startswith("These are my notes")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_database_of_another_kind_is_set_aside(opened: Opened, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (note TEXT)")
    connection.close()
    assert_only_right_vectors(opened)
    assert path.with_name("vectors.sqlite.damaged").exists()


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "vectors.sqlite"
    cache = VectorCache(path, 3, MODEL)
    cache.put_many(many(200))
    cache.close()
    return path.read_bytes()


@settings(max_examples=25)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_never_gives_a_wrong_vector(
    tmp_path_factory: pytest.TempPathFactory, sound_file: bytes, place: float, bit: int
) -> None:
    content = bytearray(sound_file)
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "vectors.sqlite"
    path.write_bytes(content)
    damaged = VectorCache(path, 3, MODEL)
    found = damaged.get_many(list(many(200)))
    damaged.put_many(many(200))
    damaged.close()
    assert same(found, {key: many(200)[key] for key in found})


def assert_only_right_vectors(opened: Opened) -> None:
    """Whatever is found is right, and a cache put again keeps what it is given, at the second try at the latest."""
    found = opened().get_many(list(many(1000)))
    assert same(found, {key: many(1000)[key] for key in found})
    for _ in range(2):
        opened().put_many(many(1000))
    assert same(opened().get_many(list(many(1000))), many(1000))


def test_processes_share_the_file_and_may_write_at_once(opened: Opened, path: Path) -> None:
    program = (
        "import sys, numpy; from pathlib import Path; from features.vector_cache import VectorCache, text_hash;"
        f"cache = VectorCache(Path(sys.argv[1]), 3, {MODEL!r});"
        "sys.stdin.read();"
        "[cache.put_many({text_hash(str(n)): numpy.full(3, n, 'f4')}) for n in range(int(sys.argv[2]), 400, 2)];"
        "cache.close()"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), first], stdin=subprocess.PIPE) for first in "01"
    ]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert same(opened().get_many(list(many(400))), many(400))


def test_a_fork_opens_the_file_for_itself(opened: Opened, path: Path) -> None:
    program = (
        "import os, sys, numpy; from pathlib import Path; from features.vector_cache import VectorCache, text_hash;"
        f"cache = VectorCache(Path(sys.argv[1]), 3, {MODEL!r}, memory_entries=0);"
        "put = lambda n: cache.put_many({text_hash(str(n)): numpy.full(3, n, 'f4')});"
        "put(0); child = os.fork(); put(2 if child else 1);"
        "assert len(cache.get_many([text_hash('0')])) == 1;"
        "sys.exit(os.waitpid(child, 0)[1] if child else 0)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    assert same(opened().get_many(list(many(3))), many(3))


def test_without_a_usable_folder_memory_is_enough(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    cache = opened(tmp_path / "file" / "vectors.sqlite")
    cache.put_many({HELLO: VECTOR})
    cache.put_many({THANKS: VECTOR})
    assert same(cache.get_many([HELLO, THANKS]), {HELLO: VECTOR, THANKS: VECTOR})
    assert [record.message.partition("vectors.sqlite")[2] for record in caplog.records] == [
        " cannot be used (File exists); vectors are kept in memory only"
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_in_a_read_only_folder_memory_is_enough(opened: Opened, tmp_path: Path) -> None:
    opened().put_many({HELLO: VECTOR})
    tmp_path.chmod(0o500)
    cache = opened()
    cache.put_many({THANKS: VECTOR})
    assert same(cache.get_many([THANKS]), {THANKS: VECTOR})
    tmp_path.chmod(0o700)


def test_on_a_full_disk_memory_is_enough(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    cache = opened()
    cache.put_many({HELLO: VECTOR})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        cache.put_many(many(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(cache.get_many(list(many(5000))), many(5000))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_vector_of_another_length_is_not_found_though_its_checksum_holds(opened: Opened, path: Path) -> None:
    longer = VectorCache(path, 4, MODEL)
    longer.put_many({HELLO: np.ones(4, np.float32), THANKS: np.ones(4, np.float32)})
    longer.close()
    cache = opened()
    assert cache.get_many([HELLO, THANKS]) == {}
    cache.put_many({HELLO: VECTOR})
    assert same(opened().get_many([HELLO, THANKS]), {HELLO: VECTOR})


@pytest.mark.parametrize("size", [0, 1, 31, 32, 5000, 50_000])
def test_a_truncated_log_of_writes_gives_no_wrong_vector(opened: Opened, path: Path, tmp_path: Path, size: int) -> None:
    cache = opened()
    cache.put_many(many(1000))
    crashed = tmp_path / "crashed" / path.name  # as a process leaves it that was killed: the file and its -wal
    crashed.parent.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), crashed.with_name(path.name + suffix))
    os.truncate(crashed.with_name(path.name + "-wal"), size)
    for _ in range(2):
        found = opened(crashed).get_many(list(many(1000)))
        assert same(found, {key: many(1000)[key] for key in found})
        opened(crashed).put_many(many(1000))
    assert same(opened(crashed).get_many(list(many(1000))), many(1000))
