"""A journey model fitted: the same bytes every time, from what its rows may know and nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import BadData
from features.event_log import is_known
from features.journey import DEFAULT_JOURNEY, Hide, Journey, StageLabels
from features.market import no_market
from models.bundle import save_bundle
from models.journey_model import JourneyModel
from training.fit import fit
from training.labels import LabelledRows

pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    """What a fit has reported of its steps."""
    return []


@pytest.fixture(scope="module")
def model(few, embed, told: list[tuple[str, int, int]], request: pytest.FixtureRequest) -> JourneyModel:
    request.getfixturevalue("few_trees")
    return fit(few.rows, few.log, DEFAULT_JOURNEY, embed, 0, lambda *step: told.append(step))


@pytest.fixture
def embedder_folder(tmp_path: Path) -> Path:
    (tmp_path / "embedder").mkdir()
    (tmp_path / "embedder" / "config.json").write_text("{}")
    return tmp_path / "embedder"


def hashes(model: JourneyModel, embedder_folder: Path, out: Path) -> dict[str, str]:
    save_bundle(model, embedder_folder, out)
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def marketless(model: JourneyModel) -> JourneyModel:
    nobody = no_market(model.reader.vocabulary, model.reader.journey)
    return replace(model, reader=replace(model.reader, market=nobody))


def earlier(rows: LabelledRows, share: float) -> LabelledRows:
    return rows.take(np.flatnonzero(rows.as_of_us <= np.quantile(rows.as_of_us, share)))


def test_two_fits_give_the_same_bytes(model: JourneyModel, few, embed, embedder_folder: Path, tmp_path: Path) -> None:
    again = fit(few.rows, few.log, DEFAULT_JOURNEY, embed, 0)
    one, other = (hashes(of, embedder_folder, tmp_path / name) for of, name in [(model, "one"), (again, "other")])

    assert len(one) == 7
    assert one == other


def test_the_reader_is_as_the_rows_were_labelled(model: JourneyModel, few) -> None:
    assert (model.reader.reads_text, model.reader.stage_by_rule) == (True, True)
    assert model.reader.journey is DEFAULT_JOURNEY
    assert model.conversion.horizons_days == (30, 90)
    assert model.conversion.text_head is not None
    assert model.about == {}

    brought = fit(replace(few.rows, stage_by_rule=False), few.log, DEFAULT_JOURNEY, None, 0)
    assert (brought.reader.reads_text, brought.reader.stage_by_rule) == (False, False)
    assert brought.reader.phrases is None
    assert brought.conversion.text_head is brought.stage.text_head is None


def test_what_no_row_may_know_changes_nothing(few, embed, embedder_folder: Path, tmp_path: Path) -> None:
    """Whatever was known after the last as_of of a customer might as well have been something else.

    Only the market of the training day, which no row reads, knows of it.
    """
    rows, log = earlier(few.rows, 0.6), few.log
    last_us = np.full(len(log.customer_ids), -1)
    np.maximum.at(last_us, rows.customer, rows.as_of_us)
    future = ~is_known(log.known_us, np.repeat(last_us, np.diff(log.offsets)))
    levitated = len(log.actions)
    other = replace(
        log,
        actions=[*log.actions, "levitated"],
        action=np.where(future, levitated, log.action).astype(np.int32),
        value=np.where(future, 1e6, log.value),
    )

    assert 1000 < future.sum() < len(log) - 1000
    one, changed = (
        hashes(marketless(fit(rows, of, DEFAULT_JOURNEY, embed, 0)), embedder_folder, tmp_path / name)
        for of, name in [(log, "one"), (other, "changed")]
    )
    assert one == changed


def test_what_the_journey_hides_changes_nothing(few, embed, embedder_folder: Path, tmp_path: Path) -> None:
    hiding = Journey(
        name="hiding",
        stages=DEFAULT_JOURNEY.stages,
        conversion=DEFAULT_JOURNEY.conversion,
        labels=StageLabels(rules=DEFAULT_JOURNEY.labels.rules, hide=Hide(actions=("visited",))),
    )
    log = few.log
    hidden = log.action == log.actions.index("visited")
    other = replace(
        log,
        campaign=np.where(hidden, 0, log.campaign).astype(np.int32),
        value=np.where(hidden, 1e6, log.value),
        is_company=log.is_company ^ hidden,
    )

    one, changed = (fit(few.rows, of, hiding, embed, 0) for of in (log, other))
    assert hashes(one, embedder_folder, tmp_path / "one") == hashes(changed, embedder_folder, tmp_path / "changed")
    assert not any("visited" in kind.name for kind in one.reader.vocabulary.kinds)


def test_phrases_are_learnt_from_messages_that_rows_may_know(model: JourneyModel, few, embed) -> None:
    """Neither what a row knows later nor what the journey hides or a CRM recorded teaches a phrase."""
    rows, log = earlier(few.rows, 0.6), few.log
    last_us = np.full(len(log.customer_ids), -1)
    np.maximum.at(last_us, rows.customer, rows.as_of_us)
    known = is_known(log.known_us, np.repeat(last_us, np.diff(log.offsets)))
    texts = list(log.texts)
    for event in np.flatnonzero((log.text >= 0) & ~known):
        texts[log.text[event]] = "utterly new"
    one, other = (fit(rows, of, DEFAULT_JOURNEY, embed, 0) for of in (log, replace(log, texts=texts)))

    assert one.reader.phrases.names == other.reader.phrases.names
    assert one.reader.phrases.inverse_frequency.tolist() == other.reader.phrases.inverse_frequency.tolist()
    assert 0 < len(one.reader.phrases.names) < len(model.reader.phrases.names)
    assert "utterly new" in fit(few.rows, replace(log, texts=texts), DEFAULT_JOURNEY, embed, 0).reader.phrases.names


def test_customers_without_touchpoints_may_be_labelled(few) -> None:
    strangers = replace(
        few.rows,
        customer_id=[
            f"stranger{number}" if number % 3 == 0 else name for number, name in enumerate(few.rows.customer_id)
        ],
        customer=np.where(np.arange(len(few.rows)) % 3 == 0, -1, few.rows.customer),
    )
    model = fit(strangers, few.log, DEFAULT_JOURNEY, None, 0)
    asked = model.reader.read(few.log, strangers.customer[:4], strangers.as_of_us[:4], None)

    assert [code == "no_data" for code in model.forecast(asked).reliability] == [True, False, False, True]


def test_either_part_may_be_missing(few) -> None:
    unknown = np.full_like(few.rows.stage, -1)
    no_stage = fit(replace(few.rows, stage=unknown), few.log, DEFAULT_JOURNEY, None, 0)
    no_conversion = fit(
        replace(few.rows, horizons_days=(), converted=few.rows.converted[:, :0]), few.log, DEFAULT_JOURNEY, None, 0
    )

    assert no_stage.stage is None
    assert no_stage.conversion is not None
    assert no_conversion.conversion is None
    assert no_conversion.stage is not None


def test_where_nothing_is_known_there_is_nothing_to_learn(few) -> None:
    nothing = replace(few.rows, stage=np.full_like(few.rows.stage, -1), converted=np.full_like(few.rows.converted, -1))
    with pytest.raises(BadData, match=r"no row has a known stage .* or touchpoints with purchase") as refused:
        fit(nothing, few.log, DEFAULT_JOURNEY, None, 0)

    assert refused.value.code == "nothing_to_learn"


def test_too_few_conversions_are_refused(few) -> None:
    with pytest.raises(BadData, match="conversion_30d: found 0 rows with a conversion") as refused:
        fit(replace(few.rows, converted=np.zeros_like(few.rows.converted)), few.log, DEFAULT_JOURNEY, None, 0)

    assert refused.value.code == "too_few_conversions"


@pytest.mark.usefixtures("model")
def test_it_tells_how_far_it_is(told: list[tuple[str, int, int]]) -> None:
    steps = [
        "Learning what words tell of the stage",
        "Fitting the stage",
        "Learning what words tell of converting",
        "Fitting conversion_30d",
        "Fitting conversion_90d",
    ]
    assert told == [(step, done, 1) for step in steps for done in (0, 1)]


def test_unusual_rows_are_few_in_training_and_many_where_all_is_a_thousand_times_as_much(
    model: JourneyModel, few, embed
) -> None:
    features = model.reader.read(few.log, few.rows.customer, few.rows.as_of_us, embed).conversion.features

    assert model.usual.unusual(features).mean() <= 0.005
    assert model.usual.unusual(features * 1e3).mean() > 0.9
