"""Labelled rows become a journey model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from features.errors import BadData
from features.event_log import Bools, EventLog, is_known
from features.journey import Journey
from features.market import no_market, survey_moments
from features.phrases import learn_phrases
from features.rows import Embed
from features.stage_records import stage_records
from features.stage_rules import evidence_rows
from features.vocabulary import learn_vocabulary
from models.journey_model import Asked, JourneyModel, Reader
from models.reliability import learn_usual_range
from training.boosting import telling_columns
from training.fit_conversion import fit_conversion
from training.fit_stage import fit_stage
from training.fit_stage_examples import stage_by_examples
from training.labels import LabelledRows
from training.learnable import learnable
from training.progress import Report, silent
from training.split import FOLDS, person_folds
from training.tree_choice import ALL_AS_THEY_ARE, TreeChoices


def fit(
    rows: LabelledRows,
    log: EventLog,
    journey: Journey,
    embed: Embed | None,
    seed: int,
    report: Report = silent,
    trees: TreeChoices = ALL_AS_THEY_ARE,
) -> JourneyModel:
    """Fit a journey model on all the rows; `embed` None leaves the conversation out.

    Calibration, intervals and the number of trees come from five person-wise folds of the rows. Deterministic for a
    seed on one machine. A horizon that cannot be learnt is left out where something else can be. Raises BadData where
    there is nothing to learn, or too few conversions.
    """
    rows, _ = learnable(rows)
    reader = learn_reader(rows, log, journey, embed is not None)
    return fit_read(rows, reader, reader.read(log, rows.customer, rows.as_of_us, embed), seed, report, trees)


def learn_reader(rows: LabelledRows, log: EventLog, journey: Journey, reads_text: bool) -> Reader:
    """How touchpoints will be read: the kinds and phrases that some row may know, and the market, by day."""
    usable = _usable(rows, log, journey)
    vocabulary = learn_vocabulary(log, usable, journey.stages, journey.features)
    phrases = learn_phrases(log, usable & ~stage_records(log, journey.stages)) if reads_text else None
    nothing = no_market(vocabulary, journey)
    blind = Reader(journey, vocabulary, reads_text, rows.stage_by_rule, nothing, rows.stage_by_record, phrases)
    moments_us = survey_moments(rows.as_of_us, int(log.known_us.max(initial=0)))
    return replace(blind, market=blind.survey(log, moments_us))


def fit_read(
    rows: LabelledRows,
    reader: Reader,
    asked: Asked,
    seed: int,
    report: Report = silent,
    trees: TreeChoices = ALL_AS_THEY_ARE,
) -> JourneyModel:
    """Fit on rows that `reader` has read; raises what `fit` raises."""
    journey = reader.journey
    folds = person_folds(rows.customer_id, FOLDS, seed)
    # Folds fill the processor. Threads that BLAS starts beside them wait for each other: a solution of 0.1 s took 10.
    with threadpool_limits(1, "blas"):
        learnt = fit_stage(asked.stage, rows.stage, len(journey.stages), folds, seed, report, trees.stage)
        stage = learnt or stage_by_examples(reader)
        conversion = fit_conversion(
            asked.conversion, rows.as_of_us, rows.horizons_days, rows.converted, folds, seed, report, trees.conversion
        )
    if stage is None and conversion is None:
        raise BadData(
            "nothing_to_learn",
            "no row has a known stage and no horizon has known conversions; expected a labels file with `stage` or "
            f"`converted`, label rules that are met, examples of what is said in two stages, or touchpoints with "
            f"{', '.join(journey.conversion.actions)}",
        )
    features = asked.conversion.features
    usual = learn_usual_range(features, telling_columns(features), rows.as_of_us)
    return JourneyModel(reader, stage, conversion, usual, {})


def _usable(rows: LabelledRows, log: EventLog, journey: Journey) -> Bools:
    """Touchpoints that some row may know: those of its customer by its last as_of, and not hidden."""
    last_us = np.full(len(log.customer_ids), np.iinfo(np.int64).min)
    known = rows.customer >= 0
    np.maximum.at(last_us, rows.customer[known], rows.as_of_us[known])
    hidden = evidence_rows(journey.hidden_evidence(labels_by_rule=False), log)
    usable: Bools = is_known(log.known_us, np.repeat(last_us, np.diff(log.offsets))) & ~hidden
    return usable
