"""Vectors that were embedded elsewhere and come as a file: looked up before the machine's own cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from features.errors import BadEnvironment
from features.vector_cache import Vector, VectorCache

KEY_BYTES = 16  # of `text_hash`


class GivenVectors(VectorCache):
    """The vectors of a file that `write_vectors` made, and beneath them the machine's cache.

    The file is mapped, so the processes of a machine share its pages. Raises BadEnvironment where it does not hold
    vectors of this dimension.
    """

    def __init__(self, file: Path, dimension: int, model_sha256: str) -> None:
        super().__init__(None, dimension, model_sha256)
        size = KEY_BYTES + 4 * dimension
        if file.stat().st_size % size:
            raise BadEnvironment(
                "vectors_unusable", f"{file} does not hold vectors of {dimension} numbers; start again"
            )
        rows = (
            np.memmap(file, np.uint8, "r").reshape(-1, size) if file.stat().st_size else np.zeros((0, size), np.uint8)
        )
        self._rows = rows
        self._place = {key.tobytes(): place for place, key in enumerate(rows[:, :KEY_BYTES])}

    def get_many(self, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """The read-only vectors of those hashes that are known."""
        given = {key: self._rows[self._place[key], KEY_BYTES:].view("<f4") for key in hashes if key in self._place}
        return given | super().get_many([key for key in hashes if key not in given])


def write_vectors(vectors: Mapping[bytes, bytes], file: Path) -> None:
    """Write vectors (float32, little endian) by their `text_hash`."""
    with file.open("wb") as out:
        for key, vector in sorted(vectors.items()):
            out.write(key + vector)
