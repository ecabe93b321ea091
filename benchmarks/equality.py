"""One machine, Spark and the endpoint's code on the same customers: how many numbers differ, and by how much.

The bundle and the touchpoints are yours; everybody, or the first `--customers`, is scored at `--as-of` with reasons.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from features.event_log import to_us
from features.touchpoints import read_touchpoints
from serving.cluster_list import ClusterOrder
from serving.schemas import Touchpoint
from serving.score_list import Order, score_list
from serving.scorer import Scorer
from serving.spark import open_session, score_on_cluster

console = Console(highlight=False)


def main() -> None:
    """Print for each pair of ways how many rows are equal, and the largest difference of a number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--touchpoints", type=Path, required=True)
    parser.add_argument("--as-of", type=datetime.fromisoformat, required=True)
    parser.add_argument("--customers", type=int, default=20_000)
    given = parser.parse_args()
    touchpoints = read_touchpoints(given.touchpoints).frame
    chosen = touchpoints["customer_id"].unique().sort()[: given.customers]
    touchpoints = touchpoints.filter(pl.col("customer_id").is_in(chosen.implode()))
    scorer, as_of_us = Scorer.load(given.bundle), to_us(given.as_of)
    with tempfile.TemporaryDirectory() as name:
        source, here, there = (Path(name) / f"{each}.parquet" for each in ("touchpoints", "here", "there"))
        touchpoints.write_parquet(source)
        order = Order([source], as_of_us, None, [], True, 0.05, 8 * 10**9)
        score_list(scorer, order, here, None, lambda *_: None)
        asked = ClusterOrder([str(source)], as_of_us, None, None, True, 0.05)
        score_on_cluster(open_session(), scorer, given.bundle, None, asked, str(there))
        rows = {"one machine": pl.read_parquet(here).to_dicts()}
        rows["Spark"] = pl.read_parquet(there / "part-*").to_dicts()
    histories = [
        (part["customer_id"][0], [Touchpoint(**row) for row in part.drop("customer_id").to_dicts()])
        for part in touchpoints.partition_by("customer_id", maintain_order=True)
    ]
    rows["the endpoint's code"] = scorer.score_histories(histories, as_of_us, reasons=True)
    for way, other in rows.items():
        tell(way, rows["one machine"], other)


def tell(way: str, wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    """Equal rows, and the largest difference of a number in the others."""
    equal = sum(one == other for one, other in zip(wanted, found, strict=True))
    differences = [
        abs(one[name] - other[name])
        for one, other in zip(wanted, found, strict=True)
        for name in one
        if isinstance(one[name], float) and isinstance(other[name], float)
    ]
    console.print(
        f"{way:20} {equal:,} of {len(wanted):,} rows equal to the last bit; "
        f"largest difference {max(differences, default=0.0)}"
    )


if __name__ == "__main__":
    main()
