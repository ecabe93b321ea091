"""From whom a model has learnt, so that it is never judged on them, without a list of who they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, Int64s

BITS_PER_CUSTOMER: Final = 10
HASHES: Final = 7

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LearntCustomers:
    """A Bloom filter over customer ids: it never forgets one, and takes about 1 % of strangers for one.

    It holds no id; who knows an id can ask whether it was probably there. Shape of `bits`: (bytes,).

    Source: Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970).
    """

    bits: Bytes

    @classmethod
    def of(cls, customer_ids: Iterable[str]) -> LearntCustomers:
        """The filter of these ids, the same whatever their order."""
        distinct = sorted(set(customer_ids))
        bits = np.zeros(8 * (len(distinct) * BITS_PER_CUSTOMER // 8 + 1), dtype=np.bool_)
        bits[_places(distinct, len(bits)).ravel()] = True
        return cls(np.packbits(bits))

    def holds(self, customer_ids: Sequence[str]) -> Bools:
        """Whether the model has, probably, learnt from each of these customers; False is certain. Shape (n,)."""
        set_bits = np.unpackbits(self.bits).astype(np.bool_)
        found: Bools = np.all(set_bits[_places(customer_ids, len(set_bits))], axis=1)
        return found


def _places(customer_ids: Sequence[str], n_bits: int) -> Int64s:
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8 * HASHES).digest() for name in customer_ids)
    places: Int64s = (np.frombuffer(digests, "<u8") % n_bits).astype(np.int64).reshape(-1, HASHES)
    return places
