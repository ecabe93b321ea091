"""What a task on Spark does with its batches: the same checks, the same order and the same scores as a list here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from features.errors import BadData, BadEnvironment
from features.event_log import to_us
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from serving import executor, shipment
from serving.batch import score_partition
from serving.executor import Asked, Shipped
from serving.mixed_rows import Kind, from_batch, mixed_rows, raise_faults, to_batches
from serving.score_frame import UTC_US
from serving.scorer import Scorer

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
EVERYBODY = Asked(to_us(AS_OF), reasons=True, ending=".parquet")


def touchpoints(*acts: tuple[str, str, int]) -> pl.DataFrame:
    """Customer, action and day of January."""
    rows = [
        {"customer_id": who, "action": action, "occurred_at": datetime(2026, 1, day, tzinfo=UTC), "channel": "web"}
        for who, action, day in acts
    ]
    return pl.DataFrame(rows, schema=TOUCHPOINT_TYPES).with_columns(actor=pl.lit("customer"))


SIX = touchpoints(
    ("buyer", "purchase", 15), ("buyer", "visited", 9), ("buyer", "visited", 9),
    ("guest", "visited", 5), ("shy", "asked", 10), ("shy", "asked", 3),
)  # fmt: skip


def batches(frame: pl.DataFrame, rows: int = 2) -> Iterator[pa.RecordBatch]:
    """A frame as Spark hands it to a task, some rows at a time."""
    for part in frame.iter_slices(rows):
        yield from to_batches(part)


def together(made: Iterator[pa.RecordBatch]) -> pl.DataFrame:
    return pl.concat([from_batch(batch) for batch in made])


def of_kind(rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    return rows.filter(pl.col("kind") == kind)


@pytest.fixture
def root(plain_bundle: Path, tmp_path: Path) -> Path:
    """A folder as Spark leaves it on an executor: the bundle, unpacked."""
    (tmp_path / "journeycast-plain").mkdir()
    (tmp_path / "journeycast-plain" / "bundle").symlink_to(plain_bundle)
    return tmp_path


@pytest.fixture
def shipped(plain_bundle: Path) -> Shipped:
    executor.open_scorer.cache_clear()
    return Shipped(
        shipment.code_sha256(), "journeycast-plain", Scorer.load(plain_bundle).model_version, has_market=False
    )


# Reading


def test_whole_files_are_checked_by_the_rules_of_lists_here(tmp_path: Path) -> None:
    path = tmp_path / "touchpoints.csv"
    path.write_text(
        "customer_id,occurred_at,channel,action,mood\n"
        "a,2026-01-02T00:00:00Z,web,visited,good\n"
        ",2026-01-02,web,visited,\n"
        "b,2026-01-03T00:00:00Z,web,asked,\n"
    )
    asked = pl.DataFrame({"file_path": [str(path)], "content": pl.Series([None], dtype=pl.Binary)})
    rows = together(executor.check_files_of(batches(asked), "touchpoints", {str(path): (7, "shown.csv")}))
    sound = of_kind(rows, Kind.TOUCHPOINT)
    assert sound.select("customer_id", "actor").rows() == [("a", "customer"), ("b", "customer")]
    rejects = of_kind(rows, Kind.REJECT).select("file", "row", "codes").rows()
    assert rejects == [(7, 2, "customer_id_missing;occurred_at_naive")]
    assert of_kind(rows, Kind.READ).select("file", "row").rows() == [(7, 3)]
    assert of_kind(rows, Kind.IGNORED)["codes"].to_list() == ["mood"]


def test_a_file_that_comes_with_its_bytes_is_read_from_them() -> None:
    content = b"customer_id,occurred_at,channel,action\na,2026-01-02T00:00:00Z,web,visited\n"
    asked = pl.DataFrame({"file_path": ["hdfs://x/t.csv"], "content": [content]})
    rows = together(executor.check_files_of(batches(asked), "touchpoints", {"hdfs://x/t.csv": (0, "hdfs://x/t.csv")}))
    assert of_kind(rows, Kind.TOUCHPOINT)["customer_id"].to_list() == ["a"]


def test_a_file_that_cannot_be_read_is_told_by_the_name_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("customer,when\n1,2\n")
    asked = pl.DataFrame({"file_path": [str(path)], "content": pl.Series([None], dtype=pl.Binary)})
    rows = together(executor.check_files_of(batches(asked), "touchpoints", {str(path): (0, "t.csv")}))
    with pytest.raises(BadData) as caught:
        raise_faults(of_kind(rows, Kind.FAULT)["codes"].to_list())
    assert caught.value.code == "bad_columns"
    assert all(line.startswith("t.csv: ") for line in caught.value.faults)


def test_rows_that_spark_read_are_checked_by_the_same_rules() -> None:
    frame = pl.DataFrame(
        {
            "customer_id": ["a", None, "c"],
            "occurred_at": [AS_OF, AS_OF, None],
            "channel": ["web"] * 3,
            "action": ["visited"] * 3,
            "file_path": ["file:///data/a%20b.parquet"] * 3,
            "row": [1, 2, 3],
        },
        schema_overrides={"occurred_at": UTC_US},
    )
    rows = together(executor.check_batches_of(batches(frame, 3), "touchpoints", {"/data/a b.parquet": (4, "a b")}))
    assert of_kind(rows, Kind.TOUCHPOINT)["customer_id"].to_list() == ["a"]
    assert of_kind(rows, Kind.REJECT).select("file", "row", "codes").rows() == [
        (4, 2, "customer_id_missing"),
        (4, 3, "occurred_at_missing"),
    ]


def test_times_without_zone_are_a_fault_and_no_trace() -> None:
    naive = pl.DataFrame({"customer_id": ["a"], "occurred_at": [datetime(2026, 1, 1)], "channel": ["web"],
                          "action": ["asked"], "file_path": ["/t.parquet"], "row": [1]})  # fmt: skip
    read = executor.check_batches_of(iter(pa.table(naive.to_arrow()).to_batches()), "touchpoints",
                                     {"/t.parquet": (0, "t.parquet")})  # fmt: skip
    with pytest.raises(BadData, match=r"t\.parquet: 'occurred_at' has no time zone"):
        raise_faults(of_kind(together(read), Kind.FAULT)["codes"].to_list())


def test_a_stage_history_becomes_touchpoints_and_snapshots_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    path.write_text("customer_id,stage,since\na,won,2026-01-02T00:00:00Z\n")
    asked = pl.DataFrame({"file_path": [str(path)], "content": pl.Series([None], dtype=pl.Binary)})
    names = {str(path): (2, "any.csv")}
    history = together(executor.check_files_of(batches(asked), "stage history", names))
    assert of_kind(history, Kind.TOUCHPOINT).select("channel", "action").rows() == [("crm", "stage: won")]
    path.write_text("customer_id,as_of\nb,2026-01-02T00:00:00Z\na,2026-01-03T00:00:00Z\n")
    pairs = together(executor.check_files_of(batches(asked), "snapshots", names))
    assert of_kind(pairs, Kind.ASKED).select("customer_id", "file", "row").rows() == [("b", 2, 1), ("a", 2, 2)]


# Whole customers


@pytest.mark.parametrize("most_rows", [1, 2, 3, 100])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_no_customer_is_divided(most_rows: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MOST_ROWS", most_rows)
    some = mixed_rows(SIX, Kind.TOUCHPOINT)
    nobodys = mixed_rows(pl.DataFrame({"row": [1]}), Kind.READ)
    mixed = pl.concat([some[:3], nobodys, some[3:], nobodys])
    parts = list(executor.whole_customers(batches(mixed, rows)))
    customers = [who for part in parts for who in part["customer_id"].unique(maintain_order=True).drop_nulls()]
    assert customers == ["buyer", "guest", "shy"]
    assert pl.concat(parts).filter(pl.col("customer_id").is_not_null()).equals(some)
    assert sum(part["customer_id"].null_count() for part in parts) == 2


def test_a_customer_larger_than_a_part_is_held_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MOST_ROWS", 10)
    giant = touchpoints(*[("giant", "visited", 1 + i % 28) for i in range(500)])
    some = pl.concat([SIX.filter(pl.col("customer_id") == "buyer"), giant, SIX.filter(pl.col("customer_id") == "shy")])
    parts = list(executor.whole_customers(batches(mixed_rows(some, Kind.TOUCHPOINT), 7)))
    assert [part.height for part in parts if "giant" in part["customer_id"]] == [500]


def test_duplicates_go_once_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MOST_ROWS", 2)
    rows = together(executor.deduplicate(batches(mixed_rows(SIX, Kind.TOUCHPOINT))))
    assert of_kind(rows, Kind.TOUCHPOINT).select(*TOUCHPOINT_TYPES).equals(drop_duplicates(SIX))
    assert of_kind(rows, Kind.DUPLICATES)["row"].sum() == 1
    assert of_kind(rows, Kind.CUSTOMERS)["row"].sum() == 3


# Scoring


@pytest.mark.parametrize("most_rows", [1, 100])
def test_everybody_has_the_scores_of_one_part(
    most_rows: int, root: Path, shipped: Shipped, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "MOST_ROWS", most_rows)
    placed = together(executor.deduplicate(batches(mixed_rows(SIX, Kind.TOUCHPOINT))))
    scores = together(executor.score(batches(placed), EVERYBODY, shipped, root))
    everybody = pl.DataFrame({"customer_id": ["buyer", "guest", "shy"], "as_of": pl.Series([AS_OF] * 3, dtype=UTC_US)})
    expected = score_partition(Scorer.load(plain_bundle), SIX, everybody, reasons=True)
    assert scores.drop("file", "row").equals(expected)


def test_asked_pairs_keep_their_places_and_strangers_have_a_row(
    root: Path, shipped: Shipped, plain_bundle: Path
) -> None:
    moments = pl.Series([AS_OF, AS_OF - timedelta(days=10), AS_OF, AS_OF], dtype=UTC_US)
    asked = pl.DataFrame({"customer_id": ["shy", "shy", "unknown", "buyer"], "as_of": moments})
    pairs = mixed_rows(asked.with_columns(file=0, row=pl.int_range(1, 5)), Kind.ASKED)
    rows = pl.concat([mixed_rows(SIX, Kind.TOUCHPOINT), pairs]).sort("customer_id", maintain_order=True)
    placed = together(executor.deduplicate(batches(rows)))
    scores = together(executor.score(batches(placed), Asked(None, False, ".parquet"), shipped, root)).sort("row")
    assert scores["row"].to_list() == [1, 2, 3, 4]
    assert scores.drop("file", "row").equals(score_partition(Scorer.load(plain_bundle), SIX, asked))


def test_another_bundle_than_the_one_sent_is_refused(root: Path, shipped: Shipped) -> None:
    other = Shipped(shipped.code_sha256, shipped.bundle, "000000000000", has_market=False)
    with pytest.raises(BadEnvironment) as caught:
        executor.open_scorer(other, root)
    assert caught.value.code == "other_bundle"


# Messages


def test_messages_are_listed_once_a_part_as_they_are_hashed(trained: Path, tmp_path: Path) -> None:
    said = [("a", "Hello  there"), ("a", "Hello there"), ("b", "Hello there"), ("b", " ")]
    rows = touchpoints(*((who, "asked", 2 + i) for i, (who, _) in enumerate(said)))
    rows = rows.with_columns(text=pl.Series([text for _, text in said]))
    (tmp_path / "journeycast-text").mkdir()
    (tmp_path / "journeycast-text" / "bundle").symlink_to(trained / "bundle")
    sent = Shipped(
        shipment.code_sha256(), "journeycast-text", Scorer.load(trained / "bundle").model_version, has_market=False
    )
    listed = together(executor.list_texts(batches(mixed_rows(rows, Kind.TOUCHPOINT)), EVERYBODY, sent, tmp_path))
    assert listed["text"].to_list() == ["Hello there"]
    (vector,) = together(executor.embed_texts(batches(listed), sent, tmp_path))["vector"].to_list()
    assert len(vector) == 4 * 384


# What is sent


def test_other_code_than_was_sent_is_refused() -> None:
    shipment.check_code(shipment.code_sha256())
    with pytest.raises(BadEnvironment) as caught:
        shipment.check_code("0" * 64)
    assert caught.value.code == "other_code"


def test_the_archives_hold_the_code_whose_hash_is_sent(tmp_path: Path) -> None:
    import zipfile

    for archive in shipment.pack_code(tmp_path):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(tmp_path / "home" / archive.stem)
    assert shipment.code_sha256(tmp_path / "home") == shipment.code_sha256()
