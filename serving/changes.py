"""What changed since older scores: who moved to another stage or band, how many went where, and whom to address now.

A band is a customer's place in the market the model was calibrated on, by `conversion_percentile`: the top 10 %, the
next 20 %, the next 30 %, the rest; who has converted already, or is not known at all, is in none of these.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from features.errors import BadData, BadUsage
from features.parquet_file import UNREADABLE
from serving.score_manifest import file_sha256, manifest_path, read_manifest

CONVERTED, NOT_KNOWN = "converted", "no_data"
BANDS = {"top_10": 90.0, "next_20": 70.0, "next_30": 40.0, "rest": 0.0}  # from this percentile on
MOVED, TRANSITIONS = "moved.csv", "transitions.csv"
CHANGE_FILES = (MOVED, TRANSITIONS, *(f"retarget.{band}.csv" for band in BANDS))


def write_changes(older: Path, newer: Path, folder: Path) -> list[str]:
    """Compare two files of scores; write CSV files into `folder` and return their names.

    `moved.csv`: customers whose stage or band is another one, likeliest to convert first. `transitions.csv`: how many
    customers went from which stage or band to which, those who stayed included; empty where one list has them not.
    `retarget.<band>.csv`: everybody now in the band, likeliest first, with the band before. A customer who comes
    several times in a file counts with the latest as_of. Raises BadData where a file holds no scores.
    """
    both = _standings(older).join(_standings(newer), on="customer_id", how="full", coalesce=True, suffix="_after")
    both = both.rename({"stage": "stage_before", "band": "band_before"}).sort(
        "conversion_after", "customer_id", descending=[True, False], nulls_last=True
    )
    moved = both.filter(
        pl.col("as_of").is_not_null(),
        pl.col("as_of_after").is_not_null(),
        pl.col("stage_before").ne_missing(pl.col("stage_after"))
        | pl.col("band_before").ne_missing(pl.col("band_after")),
    )
    stand = ("stage_before", "stage_after", "band_before", "band_after", "conversion_before", "conversion_after")
    moved.rename({"conversion": "conversion_before"}).select("customer_id", *stand).write_csv(folder / MOVED)
    pl.concat(_transitions(both)).write_csv(folder / TRANSITIONS)
    return [MOVED, TRANSITIONS, *_write_bands(both, folder)]


def check_scores(path: Path) -> None:
    """Raise BadUsage where there is no such file, BadData where it holds no scores or is not whole.

    That it is whole is told by the manifest beside it; without one, by the end of its last line.
    """
    if not path.is_file():
        raise BadUsage("no_scores", f"--compare {path} is not there; give a file that journeycast score wrote")
    if not _is_whole(path):
        raise BadData("scores_damaged", f"{path} is not as journeycast score wrote it; give a whole file")
    try:
        _columns(path, _scan(path))
    except UNREADABLE:
        raise _no_scores(path) from None


def band_of(percentile: pl.Expr) -> pl.Expr:
    """The name of the band; null, an already converted customer's percentile, is `converted`."""
    bands = [pl.when(percentile >= least).then(pl.lit(name)) for name, least in BANDS.items()]
    return pl.coalesce(*bands, pl.lit(CONVERTED))


def _transitions(both: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for kind in ("stage", "band"):
        ends = {"before": f"{kind}_before", "after": f"{kind}_after"}
        counts = both.group_by(pl.col(column).alias(end) for end, column in ends.items()).agg(customers=pl.len())
        yield counts.sort("before", "after").select(pl.lit(kind).alias("of"), "before", "after", "customers")


def _write_bands(both: pl.DataFrame, folder: Path) -> Iterator[str]:
    for band in BANDS:
        name = f"retarget.{band}.csv"
        chosen = both.filter(pl.col("band_after") == band)
        chosen.select(
            "customer_id", stage="stage_after", conversion="conversion_after", band_before="band_before"
        ).write_csv(folder / name)
        yield name


def _standings(path: Path) -> pl.DataFrame:
    """One row a customer: as_of (text), stage, band and the shortest horizon's conversion, null where there is none."""
    try:
        scores = _scan(path)
        found = _columns(path, scores)
        percentile = pl.col("conversion_percentile") if "conversion_percentile" in found else None
        not_known = pl.col("reliability") == NOT_KNOWN if "reliability" in found else pl.lit(False)
        shortest = next((name for name in found if name.startswith("conversion")), None)
        return (
            scores.select(
                pl.col("customer_id").cast(pl.String),
                pl.col("as_of").cast(pl.String),
                stage=pl.col("stage") if "stage" in found else pl.lit(None, pl.String),
                band=pl.lit(None, pl.String)
                if percentile is None
                else pl.when(not_known).then(pl.lit(NOT_KNOWN)).otherwise(band_of(percentile.cast(pl.Float64))),
                conversion=pl.lit(None, pl.Float64) if shortest is None else pl.col(shortest).cast(pl.Float64),
            )
            .sort("as_of", maintain_order=True)
            .unique("customer_id", keep="last", maintain_order=True)
            .collect()
        )
    except UNREADABLE:
        raise _no_scores(path) from None


def _columns(path: Path, scores: pl.LazyFrame) -> list[str]:
    found = scores.collect_schema().names()
    if not {"customer_id", "as_of"} <= set(found):
        raise BadData("no_scores", f"{path} holds no scores; expected the columns customer_id and as_of among others")
    if "conversion_percentile" not in found and any(name.startswith("conversion") for name in found):
        raise BadData("no_scores", f"{path} lacks conversion_percentile; give a file as journeycast score wrote it")
    return found


def _is_whole(path: Path) -> bool:
    if manifest_path(path).is_file():
        told: str = read_manifest(path)["output"]["sha256"]
        return file_sha256(path) == told
    with path.open("rb") as file:
        last = file.seek(0, os.SEEK_END)
        file.seek(max(last - 1, 0))
        return path.suffix == ".parquet" or file.read() in (b"", b"\n")


def _no_scores(path: Path) -> BadData:
    return BadData("no_scores", f"{path} cannot be read as scores; give a file that journeycast score wrote")


def _scan(path: Path) -> pl.LazyFrame:
    if path.suffix == ".parquet":
        return pl.scan_parquet(path, glob=False)
    if path.suffix == ".csv":
        return pl.scan_csv(path, infer_schema=False, glob=False)
    return pl.scan_ndjson(path)
