"""A market in a file of its own: a survey fresher than the bundle's, for that bundle and those that read alike.

The file is safetensors: the arrays of `Market`, and as bytes the base rates of its day (JSON), the SHA-256 of what
the reader tells apart, and that of all that the file holds. It is checked whole before any figure is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from features.errors import BadEnvironment, BadUsage
from features.market import MOST_MOMENTS, Market, no_market
from models.base_rates import LEAST, MOST, BaseRate, BaseRates
from models.calibration import FARTHEST
from models.journey_model import Reader

FORMAT = 2
FIGURES = tuple(field.name for field in fields(Market))
READER, CONTENT, BASE_RATES = "reader_sha256", "content_sha256", "base_rates"
MOST_BYTES = 16_000_000  # 64 surveys with 250 kinds take under half a megabyte

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class FresherMarket:
    """A survey fresher than the bundle's, and how many convert nowadays, where that is known."""

    market: Market
    base_rates: BaseRates

    @property
    def version(self) -> str:
        """A name for the figures: equal names, equal figures."""
        return _sha256(_figures(self)).hex()[:8]


def write_market(fresher: FresherMarket, reader: Reader, out: Path) -> None:
    """Write a market that `reader` has surveyed; an older file stays as it was until the new one is complete.

    Raises BadUsage where `out` is a folder, BadEnvironment where the file cannot be written.
    """
    if out.is_dir():
        raise BadUsage("out_folder", f"--out {out} is a folder; name a file in it")
    arrays = _figures(fresher) | {READER: _as_array(reader_sha256(reader))}
    arrays[CONTENT] = _as_array(_sha256(arrays))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(safetensors.numpy.save(dict(sorted(arrays.items()))), out)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None


def read_market(path: Path, reader: Reader) -> FresherMarket:
    """Read a market for this reader.

    Raises BadUsage where there is none or it is another reader's, BadEnvironment where the file is damaged.
    """
    arrays = _checked_arrays(path)
    if arrays[READER].tobytes() != reader_sha256(reader):
        raise BadUsage(
            "other_market",
            f"{path} is the market of a bundle with another journey or vocabulary; survey it again with "
            "`journeycast market` and this bundle",
        )
    market = Market(**{name: arrays[name] for name in FIGURES})
    if not _is_sound(market, no_market(reader.vocabulary, reader.journey)):
        raise _damaged(path)
    return FresherMarket(market, _read_rates(arrays[BASE_RATES], path))


def reader_sha256(reader: Reader) -> bytes:
    """What a market must share with a bundle: the journey, the kinds in their order, and what is hidden."""
    kinds = [asdict(kind) for kind in reader.vocabulary.kinds]
    told_apart = [FORMAT, reader.journey.to_dict(), kinds, reader.stage_by_rule]
    return hashlib.sha256(json.dumps(told_apart, sort_keys=True).encode()).digest()


def _checked_arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise BadUsage("no_market", f"{path} is no file; survey a market with `journeycast market`")
    if path.stat().st_size > MOST_BYTES:
        raise _damaged(path)
    try:
        arrays: Arrays = safetensors.numpy.load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError):  # the last two: types that NumPy has not
        raise _damaged(path) from None
    if arrays.keys() != {*FIGURES, BASE_RATES, READER, CONTENT} or arrays.pop(CONTENT).tobytes() != _sha256(arrays):
        raise _damaged(path)
    return arrays


def _figures(fresher: FresherMarket) -> Arrays:
    arrays: Arrays = {name: np.ascontiguousarray(getattr(fresher.market, name)) for name in FIGURES}
    rates = {column: asdict(rate) for column, rate in fresher.base_rates.items()}
    return arrays | {BASE_RATES: _as_array(json.dumps(rates, sort_keys=True).encode())}


def _read_rates(told: npt.NDArray[Any], path: Path) -> BaseRates:
    try:
        rates = {column: BaseRate(**rate) for column, rate in json.loads(told.tobytes()).items()}
        sound = all(LEAST <= of.rate <= MOST and abs(of.shift) <= FARTHEST for of in rates.values())
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if not sound:
        raise _damaged(path)
    return rates


def _is_sound(market: Market, like: Market) -> bool:
    """Whether the figures have the types and shapes of `like`, at one to MOST_MOMENTS rising moments, and no count is
    negative."""
    moments = len(market.moments_us) if market.moments_us.ndim == 1 else 0
    figures = [(getattr(market, name), getattr(like, name)) for name in FIGURES]
    return (
        1 <= moments <= MOST_MOMENTS
        and all(found.dtype == wanted.dtype for found, wanted in figures)
        and all(found.shape == (moments, *wanted.shape[1:]) for found, wanted in figures)
        and bool((np.diff(market.moments_us) > 0).all())
        and all(found.min(initial=0) >= 0 for found, _ in figures[1:])
    )


def _sha256(arrays: Arrays) -> bytes:
    content = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.digest()


def _as_array(content: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)


def _write_whole(content: bytes, out: Path) -> None:
    handle, draft_name = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    draft = Path(draft_name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        draft.chmod(0o644)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _damaged(path: Path) -> BadEnvironment:
    return BadEnvironment(
        "market_corrupt", f"{path} is no market, or damaged; survey it again with `journeycast market`"
    )
