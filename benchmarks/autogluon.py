"""How long a training takes, and how good it is, beside AutoGluon's medium preset on the same rows, in one run.

AutoGluon is given the features that this program has made, of touchpoints and messages alike (the pooled vectors too),
and the labels of the first horizon; it lives in an environment of its own, whose Python is named. The time of this
program's is that of learning the vocabulary and the market, reading and fitting, of both its models; its vectors are
cached. The first part of each set's split is learnt without and forecast.

    python -m benchmarks.autogluon --python OTHER_ENVIRONMENT/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.quality import SEED, DataSet, embed_of
from features.aggregate import Float32s
from features.rows import FeatureRows
from training.fit import fit_read, learn_reader
from training.metrics import judge_conversion

PEER = """
import json, sys, time
import numpy as np, pandas as pd
from autogluon.tabular import TabularPredictor
given = np.load(sys.argv[1])
columns = [f"c{k}" for k in range(given["learn"].shape[1])]
learn, asked = (pd.DataFrame(given[name], columns=columns) for name in ("learn", "asked"))
started = time.perf_counter()
predictor = TabularPredictor(label="converted", eval_metric="log_loss", verbosity=0, path=sys.argv[2])
limit_s = float(sys.argv[3]) or None
predictor.fit(learn.assign(converted=given["converted"].astype(int)), presets="medium_quality", time_limit=limit_s)
seconds = time.perf_counter() - started
chances = predictor.predict_proba(asked)[1].to_numpy()
print(json.dumps({"seconds": seconds, "chances": chances.tolist()}))
"""

console = Console(highlight=False)


def main() -> None:
    """Print both programs' time, log loss and AUC for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of an environment with autogluon.tabular")
    parser.add_argument(
        "--limit", type=float, default=120, help="seconds that AutoGluon may take; 0: as many as it likes"
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the data sets")
    parser.add_argument("--only", nargs="+", default=["lean_community", "bank_loans"], help="some of them")
    given = parser.parse_args()
    for name in given.only:
        beside_autogluon(DataSet.read(given.data / name), name, given.python, given.limit)


def beside_autogluon(data: DataSet, name: str, python: Path, limit_s: float) -> None:
    """Fit both on all parts but the first; print what they took and how they do on that one."""
    learn_rows, asked_rows = next(data.parts())
    train, test = data.rows.take(learn_rows), data.rows.take(asked_rows)
    embed = embed_of(data.log, "minilm")
    started = time.perf_counter()
    reader = learn_reader(train, data.log, data.journey, embed is not None)
    learn = reader.read(data.log, train.customer, train.as_of_us, embed)
    model = fit_read(train, reader, learn, SEED)
    seconds = time.perf_counter() - started
    asked = reader.read(data.log, test.customer, test.as_of_us, embed)
    forecast = model.forecast(asked).conversion
    assert forecast is not None
    known, judged = train.converted[:, 0] >= 0, test.converted[:, 0] >= 0
    with tempfile.TemporaryDirectory() as folder:
        np.savez(
            f"{folder}/rows.npz",
            learn=_table(learn.conversion)[known],
            asked=_table(asked.conversion)[judged],
            converted=train.converted[known, 0],
        )
        words = [str(python), "-c", PEER, f"{folder}/rows.npz", f"{folder}/models", str(limit_s)]
        peer = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    happened, ids = test.converted[judged, 0] == 1, [test.customer_id[row] for row in np.flatnonzero(judged)]
    for program, chances, took_s in (
        ("journeycast", forecast[judged, 0], seconds),
        ("AutoGluon", np.array(peer["chances"]), peer["seconds"]),
    ):
        figures = judge_conversion(happened, chances, ids, SEED, 0)
        console.print(
            f"{name:15} {program:11} {took_s:6.1f} s ({took_s / seconds:.2f} ×), {known.sum():,} rows learnt,"
            f" {len(happened):,} judged: log loss {figures.log_loss.value:.4f}, AUC {figures.roc_auc.value:.4f}",
            soft_wrap=True,
        )


def _table(rows: FeatureRows) -> Float32s:
    return rows.features if rows.pools is None else np.hstack([rows.features, rows.pools])


if __name__ == "__main__":
    main()
