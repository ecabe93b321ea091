"""What a job takes along to Spark's executors: this project's own code and the bundle, in archives, with their hashes.

Third-party packages are not among it: the executors' Python has them (`PYSPARK_PYTHON`, or an environment that
spark-submit sends).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from features.errors import BadEnvironment

ROOMS = ("features", "models", "serving")
COMPILED = "__pycache__"


def pack_code(folder: Path) -> list[Path]:
    """One archive for each room, in `folder`: `features.zip`, to be unpacked as `features`, and so on.

    Numba's compiled passes go along: it takes them where source and processor are the same, and compiles elsewhere.
    """
    home = Path(__file__).parents[1]
    archives = [folder / f"{room}.zip" for room in ROOMS]
    for archive in archives:
        room = home / archive.stem
        compiled = [path for path in (room / COMPILED).glob("*") if path.suffix in (".nbi", ".nbc")]
        _pack({path.relative_to(room).as_posix(): path for path in [*_sources(room), *compiled]}, archive)
    return archives


def pack_bundle(bundle: Path, market: Path | None, archive: Path) -> None:
    """An archive of the bundle, as `bundle/`, and of a market, as `market`."""
    files = {f"bundle/{path.relative_to(bundle).as_posix()}": path for path in bundle.rglob("*") if path.is_file()}
    _pack(files | ({} if market is None else {"market": market}), archive)


def code_sha256(home: Path | None = None) -> str:
    """One SHA-256 of the source of all rooms, here or as unpacked in `home`."""
    home = home or Path(__file__).parents[1]
    content = hashlib.sha256()
    for room in ROOMS:
        for path in _sources(home / room):
            content.update(f"{room}/{path.relative_to(home / room).as_posix()}\n".encode())
            content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def check_code(sha256: str) -> None:
    """Raise BadEnvironment unless the code that runs here is what was sent, wherever it was imported from."""
    if code_sha256() != sha256:
        raise BadEnvironment(
            "other_code", "an executor runs another Journeycast than was sent; remove it from the executors' Python"
        )


def _sources(room: Path) -> Iterator[Path]:
    found = [path for path in sorted(room.rglob("*")) if path.is_file() and COMPILED not in path.parts]
    yield from found


def _pack(files: dict[str, Path], archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, path in sorted(files.items()):
            packed.write(path, name)
