"""A market in a file: what is written is what is read, by those who read alike, and nothing damaged is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from features.errors import BadEnvironment, BadUsage
from features.event_log import EventLog, to_us
from features.journey import Journey
from features.market import MOST_MOMENTS, Market, no_market
from models import market_file
from models.base_rates import BaseRate
from models.journey_model import Reader
from models.market_file import FresherMarket, read_market, write_market

RATES = {"conversion_30d": BaseRate(0.04, -0.5)}
MOMENT = to_us(datetime(2025, 5, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def fresher(reader: Reader, log: EventLog) -> Market:
    return reader.survey(log, np.array([MOMENT], dtype=np.int64))


@pytest.fixture
def written(fresher: Market, reader: Reader, tmp_path: Path) -> Path:
    write_market(FresherMarket(fresher, RATES), reader, tmp_path / "new" / "market")
    return tmp_path / "new" / "market"


def refusal(path: Path, reader: Reader) -> str:
    with pytest.raises((BadUsage, BadEnvironment)) as refused:
        read_market(path, reader)
    assert str(path) in str(refused.value)
    return refused.value.code


def test_what_is_read_is_what_was_written(written: Path, fresher: Market, reader: Reader) -> None:
    again = read_market(written, reader)

    for field in fields(Market):
        assert getattr(again.market, field.name).tolist() == getattr(fresher, field.name).tolist()
    assert again.base_rates == RATES
    assert again.version == FresherMarket(fresher, RATES).version
    assert len({again.version, FresherMarket(fresher, {}).version, FresherMarket(reader.market, RATES).version}) == 3
    assert [path.name for path in written.parent.iterdir()] == ["market"]


def test_equal_markets_are_equal_files(written: Path, fresher: Market, reader: Reader, tmp_path: Path) -> None:
    write_market(FresherMarket(fresher, RATES), reader, tmp_path / "again")

    assert (tmp_path / "again").read_bytes() == written.read_bytes()


@pytest.mark.parametrize("other", ["kinds", "journey", "hidden"])
def test_the_market_of_another_reader_is_refused(other: str, written: Path, reader: Reader) -> None:
    kinds = replace(reader.vocabulary, kinds=reader.vocabulary.kinds[::-1])
    journey = Journey.from_dict(reader.journey.to_dict() | {"name": "another"})
    readers = {
        "kinds": replace(reader, vocabulary=kinds),
        "journey": replace(reader, journey=journey),
        "hidden": replace(reader, stage_by_rule=False),
    }

    assert refusal(written, readers[other]) == "other_market"


def test_a_bundle_trained_again_on_the_same_kinds_reads_it(written: Path, reader: Reader) -> None:
    heard_of_more = replace(reader.vocabulary, known_channels=frozenset({"radio"}))

    assert read_market(written, replace(reader, vocabulary=heard_of_more)).market.moments_us.tolist() == [MOMENT]


def test_no_flip_goes_unnoticed(written: Path, reader: Reader) -> None:
    content, random = written.read_bytes(), np.random.default_rng(5)
    for place in [0, 9, len(content) - 1, *random.integers(len(content), size=150).tolist()]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(random.integers(8))
        written.write_bytes(flipped)
        assert refusal(written, reader) == "market_corrupt"


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 64, b"{}", bytes(100)], ids=repr)
def test_what_is_no_market_is_refused(content: bytes, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "market").write_bytes(content)

    assert refusal(tmp_path / "market", reader) == "market_corrupt"


def test_a_cut_file_and_one_that_is_too_large_are_refused(
    written: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_file, "MOST_BYTES", written.stat().st_size - 1)
    assert refusal(written, reader) == "market_corrupt"

    written.write_bytes(written.read_bytes()[:-8])
    assert refusal(written, reader) == "market_corrupt"


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_where_there_is_no_file_none_is_read(path: str, reader: Reader, tmp_path: Path) -> None:
    assert refusal(tmp_path / path, reader) == "no_market"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda market: replace(market, tallies=market.tallies[:, 1:]),
        lambda market: replace(market, histograms=market.histograms[:, :, :79]),
        lambda market: replace(market, mix=market.mix.astype(np.float64)),
        lambda market: replace(market, stages=market.stages - 1_000_000),
        lambda market: replace(market, stages=np.vstack([market.stages, market.stages])),
        lambda market: replace(market, moments_us=market.moments_us.reshape(1, 1)),
        lambda market: repeated(market, 2),
        lambda market: replace(repeated(market, MOST_MOMENTS + 1), moments_us=np.arange(MOST_MOMENTS + 1)),
    ],
    ids=["tallies", "bins", "type", "negative", "moments of one", "axes", "not rising", "many"],
)
def test_figures_of_another_shape_are_refused_though_their_hash_is_right(
    spoil: Callable[[Market], Market], fresher: Market, reader: Reader, tmp_path: Path
) -> None:
    write_market(FresherMarket(spoil(fresher), {}), reader, tmp_path / "market")

    assert refusal(tmp_path / "market", reader) == "market_corrupt"


def test_a_market_of_no_moment_is_refused(reader: Reader, tmp_path: Path) -> None:
    write_market(FresherMarket(no_market(reader.vocabulary, reader.journey), {}), reader, tmp_path / "market")

    assert refusal(tmp_path / "market", reader) == "market_corrupt"


def test_another_safetensors_file_is_refused(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(safetensors.numpy.save({"weights": np.zeros(3)}))

    assert refusal(tmp_path / "weights", reader) == "market_corrupt"


def test_a_place_that_cannot_be_written_is_told(fresher: Market, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BadUsage, match="is a folder"):
        write_market(FresherMarket(fresher, {}), reader, tmp_path)
    with pytest.raises(BadEnvironment, match="cannot be written"):
        write_market(FresherMarket(fresher, {}), reader, tmp_path / "file" / "market")


def repeated(market: Market, times: int) -> Market:
    return Market(*(np.repeat(getattr(market, field.name), times, axis=0) for field in fields(Market)))
