"""What is to be learnt of each (customer, as_of): its stage, and whether a conversion followed within each horizon."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

from features.errors import BadData
from features.event_log import DAY_US, EventLog, Int64s, from_us
from features.journey import Evidence, Journey
from features.stage_records import without_stage_records
from features.stage_rules import evidence_rows, stages_at
from training.settings import Snapshots
from training.snapshots import DEFAULT_SNAPSHOTS, choose_snapshots, snapshots

Int8s = npt.NDArray[np.int8]
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows to learn from or to judge on.

    `customer` indexes the log's customers (-1: no touchpoints). `stage` is the journey's index, -1 unknown. `converted`
    (rows, horizons) is 1, 0, or -1 where it is not known, not over yet, or the customer had converted before. None
    among `horizons_days` is "in the end". `left_out` counts what was not used, by reason. The stage comes from the
    journey's rules (`stage_by_rule`), from a CRM's stage history (`stage_by_record`) or from a labels file.
    """

    customer_id: list[str]
    customer: Int64s
    as_of_us: Int64s
    stage: Int8s
    horizons_days: tuple[int | None, ...]
    converted: Int8s
    stage_by_rule: bool
    left_out: dict[str, int]
    stage_by_record: bool = False

    def __len__(self) -> int:
        return len(self.as_of_us)

    def take(self, rows: Int64s) -> LabelledRows:
        """Some of the rows, by index."""
        return replace(
            self,
            customer_id=[self.customer_id[row] for row in rows],
            customer=self.customer[rows],
            as_of_us=self.as_of_us[rows],
            stage=self.stage[rows],
            converted=self.converted[rows],
        )


def rows_by_rule(journey: Journey, log: EventLog, chosen: Snapshots = DEFAULT_SNAPSHOTS) -> LabelledRows:
    """Rows at the `chosen` snapshots, labelled by the journey's rules and conversion actions.

    Raises BadData where the record is too short, or the cohort too narrow, for a single row.
    """
    log = without_stage_records(log, journey.stages)
    customer, as_of_us, left_out = choose_snapshots(log, journey, chosen)
    if left_out and len(customer) == 0:
        raise BadData(
            "no_rows",
            f"the cohort's rules leave no row: {', '.join(f'{count} {rule}' for rule, count in left_out.items())}; "
            "ask for less in [snapshots]",
        )
    if len(customer) == 0:
        raise BadData(
            "no_rows",
            f"found {len(log)} touchpoints, too few or too close in time for a single snapshot; expected a record of "
            "several days or, better, months",
        )
    rows = _labelled_by_rule(journey, log, [log.customer_ids[c] for c in customer], customer, as_of_us)
    return replace(rows, left_out=left_out | rows.left_out)


def rows_at(journey: Journey, log: EventLog, moment_us: int) -> LabelledRows:
    """A row of everybody lately seen at a moment, labelled as in `rows_by_rule`."""
    log = without_stage_records(log, journey.stages)
    customer, as_of_us = snapshots(log, np.array([moment_us], dtype=np.int64))
    return _labelled_by_rule(journey, log, [log.customer_ids[c] for c in customer], customer, as_of_us)


def rows_by_stage_history(
    journey: Journey, log: EventLog, history: pl.DataFrame, chosen: Snapshots = DEFAULT_SNAPSHOTS
) -> LabelledRows:
    """Rows at the `chosen` snapshots whose stage a CRM recorded: the last one begun (`since`) by as_of.

    `history` has customer_id, stage and since. Conversions come from the touchpoints.
    """
    rows = rows_by_rule(journey, log, chosen)
    asked = pl.DataFrame(
        {"customer_id": rows.customer_id, "as_of": [from_us(moment) for moment in rows.as_of_us]},
        schema={"customer_id": pl.String, "as_of": pl.Datetime("us", "UTC")},
    ).with_row_index("row")
    order = pl.col("stage").replace_strict(list(journey.stages), range(len(journey.stages)), default=UNKNOWN)
    begun = history.sort("since", "recorded_at", order)  # of stages begun at once, the one recorded last
    found = asked.sort("as_of").join_asof(
        begun, left_on="as_of", right_on="since", by="customer_id", check_sortedness=False
    )
    stage = _stage_codes(journey, found.sort("row")["stage"])
    return replace(rows, stage=stage, stage_by_rule=False, stage_by_record=True)


def rows_by_labels(journey: Journey, log: EventLog, labels: pl.DataFrame) -> LabelledRows:
    """Rows as a labels file gives them; what it leaves out (a horizon, the stage) comes from the touchpoints.

    `labels` has customer_id, as_of, stage, converted and horizon_days; one (customer, as_of) may come once a horizon.
    Where the journey names no horizon, a label's horizon is taken as the end. Raises BadData for a stage that the
    journey does not know, for labels that fall as the horizon grows, and where no labelled customer has a touchpoint
    or no labelled horizon is the journey's.
    """
    log = without_stage_records(log, journey.stages)
    pairs = labels.select("customer_id", "as_of").unique(maintain_order=True).with_row_index("row")
    placed = labels.join(pairs, on=["customer_id", "as_of"], maintain_order="left")
    customer_ids = pairs["customer_id"].to_list()
    customer, as_of_us = log.customer_rows(customer_ids), pairs["as_of"].dt.epoch("us").to_numpy().astype(np.int64)
    if (customer < 0).all():
        raise BadData(
            "no_common_customer",
            f"none of the {len(set(customer_ids))} customers in the labels has a touchpoint; expected the same "
            "customer_id in both: check how the ids are written",
        )
    seen = _labelled_by_rule(journey, log, customer_ids, customer, as_of_us)
    stage = _given_stage(journey, placed, len(pairs))
    given = _given_conversions(journey, placed, len(pairs))
    horizons = _horizons(journey, log, set(given))
    learnt = dict(zip(seen.horizons_days, seen.converted.T, strict=True))
    unused = placed.filter(pl.col("converted").is_not_null() & ~_used_horizon(journey)).height
    if unused and not given:
        raise BadData(
            "no_common_horizon",
            f"the labels' conversions are for {_horizons_in(labels)} days, the journey asks for "
            f"{', '.join(map(str, journey.conversion.horizons_days))}; put the labels' horizons into horizons_days",
        )
    derived = [horizon for horizon in horizons if horizon not in given]
    return replace(
        seen,
        stage=seen.stage if stage is None else stage,
        stage_by_rule=stage is None and seen.stage_by_rule,
        horizons_days=horizons,
        converted=_side_by_side(horizons, given, learnt, len(pairs)),
        left_out={
            "labels for a horizon that the journey does not name": unused,
            "labelled customers without a touchpoint": int((customer < 0).sum()),
            **{f"{_not_over(horizon)} (not labelled)": seen.left_out[_not_over(horizon)] for horizon in derived},
        },
    )


def _side_by_side(
    horizons: tuple[int | None, ...], given: dict[int | None, Int8s], learnt: dict[int | None, Int8s], n_rows: int
) -> Int8s:
    """Shape (rows, horizons). Who converts within a horizon does so within every longer one; labels must say so too."""
    columns = [given[horizon] if horizon in given else learnt[horizon] for horizon in horizons]
    converted = np.array(columns, dtype=np.int8).reshape(len(horizons), n_rows).T.copy()
    labelled = np.array([horizon in given for horizon in horizons], dtype=np.bool_)
    yes_by_then = np.logical_or.accumulate(labelled & (converted == 1), axis=1)
    no_until_then = np.logical_or.accumulate((labelled & (converted == 0))[:, ::-1], axis=1)[:, ::-1]
    if fall := int((yes_by_then & no_until_then).any(axis=1).sum()):
        raise BadData(
            "falling_labels",
            f"{fall} rows are labelled converted within one horizon but not within a longer one; a conversion within "
            "a horizon lies within every longer one",
        )
    # Labels win over what the touchpoints say. A window not yet over stays unknown: else only its "yes" would count.
    converted[yes_by_then & ~labelled & (converted == 0)] = 1
    converted[no_until_then & ~labelled & (converted == 1)] = 0
    return converted


def _labelled_by_rule(
    journey: Journey, log: EventLog, customer_ids: list[str], customer: Int64s, as_of_us: Int64s
) -> LabelledRows:
    horizons = [days for days in _horizons(journey, log, set()) if days is not None]
    observed_until_us = int(log.known_us.max(initial=0))
    converted = np.full((len(customer), len(horizons)), UNKNOWN, dtype=np.int8)
    if horizons:
        conversions = Evidence(actions=frozenset(journey.conversion.actions))
        _converted_within(
            log.offsets,
            log.occurred_us,
            evidence_rows([conversions], log),
            customer,
            as_of_us,
            np.array(horizons, dtype=np.int64) * DAY_US,
            observed_until_us,
            journey.conversion.repeatable,
            converted,
        )
    stage = stages_at(journey, log, customer, as_of_us) if journey.labels.rules else np.full(len(customer), UNKNOWN)
    immature = {
        _not_over(horizon): int(np.sum(as_of_us + horizon * DAY_US > observed_until_us)) for horizon in horizons
    }
    return LabelledRows(
        customer_id=customer_ids,
        customer=customer,
        as_of_us=as_of_us,
        stage=stage.astype(np.int8),
        horizons_days=tuple(horizons),
        converted=converted,
        stage_by_rule=bool(journey.labels.rules),
        left_out=immature,
    )


def _horizons(journey: Journey, log: EventLog, given: set[int | None]) -> tuple[int | None, ...]:
    """The horizons that can be learnt: those labelled and, where the journey's actions are recorded, those it names.

    Without a horizon the touchpoints cannot tell a "no" from a "not yet", so "in the end" needs labels.
    """
    recorded = set(journey.conversion.actions) & set(log.actions)
    from_touchpoints: set[int | None] = set(journey.conversion.horizons_days) if recorded else set()
    return tuple(sorted(given | from_touchpoints, key=lambda horizon: (horizon is None, horizon or 0)))


def _not_over(horizon_days: int | None) -> str:
    return f"windows of {horizon_days} days that are not over"


def _horizons_in(labels: pl.DataFrame) -> str:
    horizons = labels.filter(pl.col("converted").is_not_null())["horizon_days"].drop_nulls().unique().sort()
    return ", ".join(map(str, horizons.head(10)))


def _used_horizon(journey: Journey) -> pl.Expr:
    if not journey.conversion.horizons_days:
        return pl.lit(True)
    return pl.col("horizon_days").is_null() | pl.col("horizon_days").is_in(journey.conversion.horizons_days)


def _given_conversions(journey: Journey, placed: pl.DataFrame, n_rows: int) -> dict[int | None, Int8s]:
    """The labels' conversions by horizon, -1 where a row has none."""
    known = placed.filter(pl.col("converted").is_not_null() & _used_horizon(journey))
    if not journey.conversion.horizons_days:
        known = known.with_columns(horizon_days=pl.lit(None, dtype=pl.Int32))
    given: dict[int | None, Int8s] = {}
    for (horizon,), labels in known.group_by(["horizon_days"], maintain_order=True):
        converted = np.full(n_rows, UNKNOWN, dtype=np.int8)
        # Taken as "in the end", several horizons of one row may disagree: a conversion within any is one.
        np.maximum.at(converted, labels["row"].to_numpy(), labels["converted"].cast(pl.Int8).to_numpy())
        given[horizon if horizon is None else int(str(horizon))] = converted
    return given


def _given_stage(journey: Journey, placed: pl.DataFrame, n_rows: int) -> Int8s | None:
    known = placed.filter(pl.col("stage").is_not_null())
    if known.is_empty():
        return None
    stage = np.full(n_rows, UNKNOWN, dtype=np.int8)
    stage[known["row"].to_numpy()] = _stage_codes(journey, known["stage"])
    return stage


def _stage_codes(journey: Journey, stages: pl.Series) -> Int8s:
    unknown = sorted(set(stages.drop_nulls().unique()) - set(journey.stages))
    if unknown:
        raise BadData(
            "unknown_stage",
            f"the labels hold stages that the journey '{journey.name}' does not know: {', '.join(unknown[:10])}; "
            f"it knows {', '.join(journey.stages)}: give a --journey file whose stages are those of the labels",
        )
    return (
        stages.replace_strict(list(journey.stages), range(len(journey.stages)), default=UNKNOWN)
        .cast(pl.Int8)
        .to_numpy()
    )


@njit(cache=True)
def _converted_within(  # type: ignore[no-untyped-def]
    offsets, occurred_us, is_conversion, customer, as_of_us, horizons_us, observed_until_us, repeatable, converted
):
    """Label windows are (as_of, as_of + horizon]; one that reaches beyond the record stays unknown, never "no"."""
    for row in range(len(customer)):
        if customer[row] < 0:
            continue  # of someone unheard of, nothing is known: not even a "no"
        start, stop = offsets[customer[row]], offsets[customer[row] + 1]
        following = np.int64(2**62)
        before = False
        for event in range(start, stop):
            if is_conversion[event]:
                if occurred_us[event] <= as_of_us[row]:
                    before = True
                else:
                    following = occurred_us[event]
                    break
        if before and not repeatable:
            continue
        for h in range(len(horizons_us)):
            until = as_of_us[row] + horizons_us[h]
            if until <= observed_until_us:
                converted[row, h] = 1 if following <= until else 0
