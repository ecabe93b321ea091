"""LightGBM as training uses it: reproducible, one thread a fold, folds side by side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from features.aggregate import Float32s
from features.event_log import Floats, Int64s
from models.trees import Trees
from training.split import FOLDS

Codes = npt.NDArray[np.int8]
Parameters = Mapping[str, float | str | bool]


def telling_columns(features: Float32s) -> Int64s:
    """Columns that vary and do not repeat an earlier one, rising; the first column where none does."""
    earlier: set[bytes] = set()
    telling = []
    for column in range(features.shape[1]):
        values = features[:, column]
        known = values[~np.isnan(values)]
        varies = len(known) > 0 and (len(known) < len(values) or known.min() < known.max())
        content = hashlib.blake2b(values.tobytes()).digest()
        if varies and content not in earlier:
            earlier.add(content)
            telling.append(column)
    return np.array(telling or [0], dtype=np.int64)  # LightGBM wants a column, even one that tells nothing


def grow(
    features: Float32s, target: Codes, start: Floats, columns: Int64s, parameters: Parameters, rounds: int, seed: int
) -> Trees:
    """Trees over some columns of the rows whose target is known (not -1), correcting the raw scores `start`."""
    known = target >= 0
    booster = _grow(features[np.ix_(known, columns)], target[known], start[known], parameters, rounds, seed)
    return Trees(booster.model_to_string(), columns)


def out_of_fold(
    features: Float32s,
    target: Codes,
    start: Floats,
    columns: Int64s,
    folds: Codes,
    parameters: Parameters,
    rounds: Sequence[int],
    seed: int,
) -> Floats:
    """Raw scores of every row by trees that never saw its person, added to `start`, after each number of rounds.

    `start` has shape (rows, classes), one class for a binary objective; the result (len(rounds), rows, classes). A fold
    whose other folds hold a single class keeps its start: nothing can be learnt for it.
    """
    raw = np.repeat(start[None], len(rounds), axis=0)
    chosen, stopped = features[:, columns], Event()

    def predict(fold: int) -> None:
        learn, asked = (target >= 0) & (folds != fold), folds == fold
        if not asked.any() or len(np.unique(target[learn])) < 2:
            return
        booster = _grow(chosen[learn], target[learn], start[learn], parameters, max(rounds), seed, stopped)
        for i, count in enumerate(rounds):
            predicted = booster.predict(chosen[asked], raw_score=True, num_iteration=count, num_threads=1)
            raw[i, asked] += np.asarray(predicted).reshape(raw[i, asked].shape)

    # Folds side by side, one thread each: LightGBM's own threads wait for each other at every split.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            list(pool.map(predict, range(FOLDS)))
        except BaseException:
            stopped.set()  # or Ctrl-C would wait for the folds begun
            raise
    return raw


def _grow(
    features: Float32s,
    target: Codes,
    start: Floats,
    parameters: Parameters,
    rounds: int,
    seed: int,
    stopped: Event | None = None,
) -> lgb.Booster:
    fixed = {"seed": seed, "deterministic": True, "force_col_wise": True, "num_threads": 1, "verbosity": -1}
    data = lgb.Dataset(features, target, init_score=start.ravel(order="F"))

    def end_if_stopped(_: object) -> None:
        if stopped is not None and stopped.is_set():
            raise InterruptedError

    return lgb.train({**parameters, **fixed}, data, rounds, callbacks=[end_if_stopped])
