"""Everything a training has learned, and the one way to ask it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np

from features.anchors import Anchors, embed_anchors
from features.catalog import Feature
from features.conversations import last_messages
from features.event_log import Bools, EventLog, Floats, Int64s
from features.journey import Journey
from features.market import Market, survey
from features.market_features import MARKET_FEATURES, market_features
from features.phrases import Phrases
from features.rows import Embed, FeatureRows, alike_but_for, build_rows, each_once, feature_catalog
from features.stage_records import stage_records
from features.stage_rules import evidence_rows
from features.vocabulary import Vocabulary
from models.base_rates import BaseRates, hazard_shifts, moved_bounds
from models.calibration import sigmoid
from models.conversion import ConversionModel, cumulative
from models.learnt_customers import LearntCustomers
from models.reliability import History, Reliability, UsualRange, judge_reliability
from models.stage import StageModel
from models.stage_examples import StageByExamples


@dataclass(frozen=True)
class Forecast:
    """What the model says of each row; `stage` and `conversion` are None where training had no such labels.

    Shapes: `stage` and `plausible` (rows, stages), `conversion`, `low` and `high` (rows, horizons), the others (rows,).
    `decided` is the stage to name.
    """

    stage: Floats | None
    decided: Int64s | None
    plausible: Bools | None
    conversion: Floats | None
    low: Floats | None
    high: Floats | None
    percentile: Floats | None
    reliability: list[Reliability]


@dataclass(frozen=True)
class Asked:
    """The rows of one question: what each model may see of them."""

    conversion: FeatureRows
    stage: FeatureRows


@dataclass(frozen=True)
class Reader:
    """How touchpoints are read into rows, in training and in every answer.

    `stage_by_rule`: the journey's rules made the stage labels, so the stage model must not see what they look at.
    `stage_by_record`: a CRM's stage history did, so it must not see what the CRM recorded.
    `phrases`: those that count in a conversation, None where no text is read.
    """

    journey: Journey
    vocabulary: Vocabulary
    reads_text: bool
    stage_by_rule: bool
    market: Market
    stage_by_record: bool = False
    phrases: Phrases | None = None

    @property
    def stage_reads_record(self) -> bool:
        """Whether the stage model sees which stage a CRM recorded."""
        return self.vocabulary.stages_recorded and not self.stage_by_record

    @cached_property
    def catalog(self) -> list[Feature]:
        """The columns that the models choose from, in order."""
        catalog = feature_catalog(self.vocabulary, self.reads_text, tuple(self.journey.examples))
        return [*catalog, *MARKET_FEATURES]

    @cached_property
    def column_of(self) -> dict[str, int]:
        """Where in the catalog a feature of this name stands."""
        return {feature.name: column for column, feature in enumerate(self.catalog)}

    def anchors(self, embed: Embed) -> Anchors:
        """The vectors of the tone's sentences and of the journey's examples, embedded once for each `embed`."""
        if embed not in self._anchors:
            self._anchors[embed] = embed_anchors(self.journey.examples, embed)
        return self._anchors[embed]

    @cached_property
    def _anchors(self) -> dict[Embed, Anchors]:
        return {}

    def read(self, log: EventLog, customer: Int64s, as_of_us: Int64s, embed: Embed | None) -> Asked:
        """Build the feature rows of each (customer, as_of). `embed` may be None where no text is read."""
        if self.reads_text and embed is None:
            raise ValueError("these rows read text; give the embedder")
        if not self.reads_text:
            embed = None
        anchors = None if embed is None else self.anchors(embed)
        market = market_features(self.market, log, self.vocabulary, self._not_the_markets(log), customer, as_of_us)
        always, *from_stage = self._hidden(log)
        if from_stage and embed is not None:
            embed = each_once(embed)
        read = partial(
            build_rows, log, self.vocabulary, embed=embed, anchors=anchors, phrases=self.phrases, market=market
        )
        conversion = read(always, customer, as_of_us)
        if not from_stage:
            return Asked(conversion, conversion)
        alike = alike_but_for(conversion, from_stage[0] != always, log, customer)
        return Asked(conversion, read(from_stage[0], customer, as_of_us, alike=alike))

    def texts_to_embed(self, log: EventLog, customer: Int64s, as_of_us: Int64s) -> list[str]:
        """The messages that `read` would embed for these rows."""
        if not self.reads_text:
            return []
        records = stage_records(log, self.vocabulary.stages)
        needed = [last_messages(log, hidden | records, customer, as_of_us).needed(log) for hidden in self._hidden(log)]
        return [log.texts[text] for text in np.unique(np.concatenate(needed))]

    def _hidden(self, log: EventLog) -> list[Bools]:
        """Touchpoints that the conversion model must not see and, where they are others, those for the stage model."""
        always = evidence_rows(self.journey.hidden_evidence(labels_by_rule=False), log)
        hides_record = self.stage_by_record and self.vocabulary.stages_recorded
        if not (self.stage_by_rule or hides_record):
            return [always]
        from_stage = evidence_rows(self.journey.hidden_evidence(labels_by_rule=self.stage_by_rule), log)
        if hides_record:
            from_stage |= stage_records(log, self.journey.stages)
        return [always] if np.array_equal(always, from_stage) else [always, from_stage]

    def survey(self, log: EventLog, moments_us: Int64s) -> Market:
        """Survey the market of a log as `read` looks at it."""
        return survey(log, self.vocabulary, self.journey, self._not_the_markets(log), moments_us)

    def _not_the_markets(self, log: EventLog) -> Bools:
        """Touchpoints that no figure of the market counts: what the stage must not be told from, and CRM records."""
        hidden = evidence_rows(self.journey.hidden_evidence(labels_by_rule=self.stage_by_rule), log)
        return hidden | stage_records(log, self.journey.stages)


@dataclass(frozen=True)
class JourneyModel:
    """The fitted state of one training; `stage` or `conversion` is None where it had no such labels.

    `about` says how and on what it was trained, and how well it did; JSON-ready. `base_rates`, where known, say how
    many convert nowadays: every forecast moves to them. `learnt` knows from whom it has learnt; None where nobody has
    kept that.
    """

    reader: Reader
    stage: StageModel | StageByExamples | None
    conversion: ConversionModel | None
    usual: UsualRange
    about: dict[str, Any]
    base_rates: BaseRates = field(default_factory=dict)
    learnt: LearntCustomers | None = None

    def forecast(self, asked: Asked) -> Forecast:
        """Answer for rows that `reader` has read."""
        history = self._history(asked.conversion)
        nothing_known = self.nothing_known(asked)
        stage = decided = plausible = conversion = low = high = percentile = None
        if self.stage is not None:
            stage = self.stage.probabilities(asked.stage, nothing_known)
            decided = self.stage.decided(stage, nothing_known)
            plausible = self.stage.plausible(stage, decided)
        if self.conversion is not None:
            log_odds = self.conversion.log_odds(asked.conversion, nothing_known)
            conversion = cumulative(sigmoid(log_odds))
            low, high = self.conversion.bounds(conversion)
            percentile = self.conversion.percentile(conversion[:, 0])
            if self.base_rates:  # bounds and ranks are those of the training's rates: they move with the forecast
                moved = cumulative(sigmoid(log_odds + self.rate_shifts(self.conversion)))
                low, high = moved_bounds(low, high, conversion, moved)
                conversion = moved
        by_examples = isinstance(self.stage, StageByExamples)
        reliability = judge_reliability(history, self.usual.unusual(asked.conversion.features), by_examples)
        return Forecast(stage, decided, plausible, conversion, low, high, percentile, reliability)

    def rate_shifts(self, conversion: ConversionModel) -> Floats:
        """What newer base rates add to the log-odds of each interval's hazard, 0 where none are. Shape (horizons,)."""
        return hazard_shifts(self.base_rates, conversion.horizons_days)

    def nothing_known(self, asked: Asked) -> Bools:
        """Rows without a single usable touchpoint. Shape (rows,)."""
        nothing: Bools = self._column(asked.conversion, "any touchpoint: times ever") == 0
        return nothing

    def days_since_own_last(self, asked: Asked) -> Floats:
        """Days from the customer's own last act until as_of, NaN where there is none. Shape (rows,)."""
        return self._column(asked.conversion, "by the customer: days since the last")

    def _history(self, rows: FeatureRows) -> History:
        return History(
            touchpoints=self._column(rows, "any touchpoint: times ever"),
            days_since_last=self._column(rows, "any touchpoint: days since the last"),
            mean_gap_days=self._column(rows, "mean gap between touchpoints"),
            unheard_of_share=self._column(rows, "share of unheard-of touchpoints"),
        )

    def _column(self, rows: FeatureRows, name: str) -> Floats:
        return rows.features[:, self.reader.column_of[name]].astype(np.float64)
