"""A long list is scored in slices: between them others get their turn, and a request past its deadline ends."""

from __future__ import annotations

FIRST_SLICE = 4  # customers, of whom it is not yet known what they cost
SLICE_S = 0.25  # how long others may wait for a slice


def next_slice(customers: int, took_s: float, most: int) -> int:
    """How many customers to score at once, after `customers` took `took_s`: about `SLICE_S` worth of work.

    A customer whose messages are all new costs a hundred times what one costs whose messages are known.
    """
    fitting = int(customers * SLICE_S / max(took_s, 1e-6))
    return max(1, min(fitting, 4 * customers, most))
