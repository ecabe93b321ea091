"""The one pass over the event log that makes touchpoint features, for one customer or fifty million.

Training, lists and the endpoint all call `aggregate`: what a model learns from is what it is asked with.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from features.event_log import DAY_US, Bools, EventLog, Int64s, is_known
from features.vocabulary import Vocabulary

Float32s = npt.NDArray[np.float32]

EVER = np.inf
WINDOWS_DAYS = (1.0, 7.0, 30.0, 90.0, 365.0, EVER)
HALF_LIVES_DAYS = (3.0, 30.0, 180.0)
SESSION_GAP_MINUTES = 30

# What is measured of each kind of touchpoint, in column order, after the windows and the half-lives.
KIND_MEASURES = (
    "days_since_last",
    "days_since_first",
    "touchpoints_since_last",
    "value_sum_30d",
    "value_sum",
    "value_mean",
    "value_last",
)
# What is measured of the history as a whole, in column order.
HISTORY_MEASURES = (
    "days_since_second_last",
    "gap_mean_days",
    "gap_deviation_days",
    "gap_now_to_mean",
    "gap_recent_to_mean",
    "burstiness",
    "active_days_30d",
    "active_days",
    "sessions_30d",
    "sessions",
    "company_share",
    "responses",
    "response_hours",
    "night_share",
    "weekend_share",
    "channel_entropy",
    "distinct_actions",
    "unheard_of_share",
)
MEASURES_OF_A_KIND = len(WINDOWS_DAYS) + len(HALF_LIVES_DAYS) + len(KIND_MEASURES)
RECENT_GAPS = 3
NOT_YET = np.int64(-(2**63))
LARGEST = np.finfo(np.float32).max


def aggregate(log: EventLog, vocabulary: Vocabulary, hidden: Bools, customer: Int64s, as_of_us: Int64s) -> Float32s:
    """Touchpoint features of each row (customer, as_of), from what was known at its as_of and is not `hidden`.

    `customer` indexes the log's customers, -1 for one without touchpoints. Shape (rows, columns of
    `catalog.touchpoint_features`): counts are 0 and times NaN where nothing happened.
    """
    rows = np.empty((len(customer), width(vocabulary)), dtype=np.float32)
    channel_kinds = np.array([i for i, kind in enumerate(vocabulary.kinds) if kind.family == "channel"], dtype=np.int64)
    action_kinds = np.array([i for i, kind in enumerate(vocabulary.kinds) if kind.family == "action"], dtype=np.int64)
    windows_us = np.array(WINDOWS_DAYS) * DAY_US
    decay_per_us = np.log(2.0) / (np.array(HALF_LIVES_DAYS) * DAY_US)
    _aggregate(
        log.offsets,
        log.occurred_us,
        log.known_us,
        log.value,
        log.is_company,
        vocabulary.kinds_of(log),
        hidden,
        vocabulary.unheard_of(log),
        customer,
        as_of_us,
        windows_us,
        decay_per_us,
        channel_kinds,
        action_kinds,
        len(vocabulary.kinds),
        rows,
    )
    # A value of 1e300 is lawful and beyond float32; infinity would spoil every sum of effects.
    return np.clip(rows, -LARGEST, LARGEST, out=rows)


def width(vocabulary: Vocabulary) -> int:
    """How many columns `aggregate` makes."""
    return len(vocabulary.kinds) * MEASURES_OF_A_KIND + len(HISTORY_MEASURES)


@njit(cache=True, nogil=True)
def _aggregate(  # type: ignore[no-untyped-def]
    offsets, occurred_us, known_us, value, is_company, kinds, hidden, unheard_of, customer, as_of_us,
    windows_us, decay_per_us, channel_kinds, action_kinds, n_kinds, rows,
):  # fmt: skip
    n_windows, n_decays = len(windows_us), len(decay_per_us)
    day = float(DAY_US)
    measures = n_windows + n_decays + len(KIND_MEASURES)
    of_kind = np.empty((n_kinds, measures))
    with_value = np.empty(n_kinds)
    window_count = np.empty(n_windows)
    decayed = np.empty(n_decays)
    for row in range(len(customer)):
        of_kind[:, : n_windows + n_decays] = 0.0
        of_kind[:, n_windows + n_decays :] = np.nan
        with_value[:] = 0.0
        out = rows[row]
        start, stop = 0, 0
        if customer[row] >= 0:
            start, stop = offsets[customer[row]], offsets[customer[row] + 1]
        now = as_of_us[row]
        seen = 0
        newer, last_us = now, now
        second_last_us = -1.0
        gap_sum, gap_square_sum, gap_recent_sum = 0.0, 0.0, 0.0
        active_days_30, active_days, last_day = 0, 0, np.int64(-(2**62))
        sessions_30, sessions = 0, 0
        company, unheard, night, weekend = 0, 0, 0, 0
        responses, response_us = 0, 0.0
        next_customer_us = NOT_YET
        # Newest first: the first touchpoint met of a kind is its last one.
        for event in range(stop - 1, start - 1, -1):
            if hidden[event] or not is_known(known_us[event], now):
                continue
            when = occurred_us[event]
            age = now - when
            for w in range(n_windows):
                window_count[w] = 1.0 if age < windows_us[w] else 0.0
            for d in range(n_decays):
                decayed[d] = np.exp(-age * decay_per_us[d])
            for slot in range(kinds.shape[1]):
                kind = kinds[event, slot]
                if kind < 0:
                    continue
                measured = of_kind[kind]
                for w in range(n_windows):
                    measured[w] += window_count[w]
                for d in range(n_decays):
                    measured[n_windows + d] += decayed[d]
                at = n_windows + n_decays
                if np.isnan(measured[at]):
                    measured[at] = age / day
                    measured[at + 2] = seen
                measured[at + 1] = age / day
                if not np.isnan(value[event]):
                    if with_value[kind] == 0.0:
                        measured[at + 3] = 0.0
                        measured[at + 4] = 0.0
                        measured[at + 6] = value[event]
                    with_value[kind] += 1.0
                    measured[at + 3] += value[event] * window_count[2]
                    measured[at + 4] += value[event]
                    measured[at + 5] = measured[at + 4] / with_value[kind]

            if seen == 0:
                last_us = when
            else:
                gap = float(newer - when)
                gap_sum += gap
                gap_square_sum += gap * gap
                if seen <= RECENT_GAPS:
                    gap_recent_sum += gap
                if seen == 1:
                    second_last_us = age
            if seen == 0 or newer - when > SESSION_GAP_MINUTES * 60_000_000:
                sessions += 1
                sessions_30 += int(age < windows_us[2])
            whole_day = when // DAY_US
            if whole_day != last_day:
                active_days += 1
                active_days_30 += int(age < windows_us[2])
                last_day = whole_day
            hour = (when % DAY_US) // 3_600_000_000
            night += int(hour < 6)
            weekend += int((whole_day + 3) % 7 >= 5)  # 1970-01-01 was a Thursday
            unheard += int(unheard_of[event])
            if is_company[event]:
                company += 1
                if next_customer_us != NOT_YET:
                    responses += 1
                    response_us += next_customer_us - when
                next_customer_us = NOT_YET
            else:
                next_customer_us = when
            newer = when
            seen += 1

        for kind in range(n_kinds):
            for m in range(measures):
                out[kind * measures + m] = of_kind[kind, m]
        at = n_kinds * measures
        out[at:] = np.nan
        out[at + 6] = active_days_30
        out[at + 7] = active_days
        out[at + 8] = sessions_30
        out[at + 9] = sessions
        out[at + 11] = responses
        out[at + 17] = 0.0
        if seen == 0:
            continue
        if seen > 1:
            gaps = seen - 1
            mean = gap_sum / gaps
            deviation = np.sqrt(max(gap_square_sum / gaps - mean * mean, 0.0))
            out[at] = second_last_us / day
            out[at + 1] = mean / day
            out[at + 2] = deviation / day
            if mean > 0:
                out[at + 3] = (now - last_us) / mean
                out[at + 4] = gap_recent_sum / min(gaps, RECENT_GAPS) / mean
                out[at + 5] = (deviation - mean) / (deviation + mean)
        out[at + 10] = company / seen
        if responses > 0:
            out[at + 12] = response_us / responses / 3_600_000_000
        out[at + 13] = night / seen
        out[at + 14] = weekend / seen
        entropy = 0.0
        for i in range(len(channel_kinds)):
            share = of_kind[channel_kinds[i], n_windows - 1] / seen
            if share > 0:
                entropy -= share * np.log(share)
        out[at + 15] = entropy
        distinct = 0
        for i in range(len(action_kinds)):
            distinct += int(of_kind[action_kinds[i], n_windows - 1] > 0)
        out[at + 16] = distinct
        out[at + 17] = unheard / seen
