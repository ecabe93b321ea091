"""What a training leaves in its run, asked of a real store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from training import tracking
from training.backtest import Backtest, BacktestRow
from training.run_record import environment, record_backtest

NAN = float("nan")


def row(target: str, month: int, roc_auc: float) -> BacktestRow:
    cut, until = datetime(2026, month, 1, tzinfo=UTC), datetime(2026, month + 1, 1, tzinfo=UTC)
    return BacktestRow(target, cut, until, 100 * month, 40, 10, 0.25, roc_auc, 0.5, 0.4)


def test_each_fold_of_a_backtest_is_a_run_and_each_figure_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    rows = (row("conversion_30d", 2, 0.7), row("conversion_90d", 2, NAN), row("conversion_30d", 3, 0.8))
    with tracking.tracked_run("spring", {}, {}) as run_id:
        record_backtest(Backtest(rows, {}))
    client = tracking.mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert run.data.metrics["backtest/conversion_30d/roc_auc_median"] == pytest.approx(0.75)
    curve = client.get_metric_history(run_id, "backtest/conversion_30d/roc_auc")
    assert sorted((figure.step, figure.value) for figure in curve) == [(0, 0.7), (1, 0.8)]
    folds = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'", order_by=["attributes.run_name"]
    )
    assert [fold.info.run_name for fold in folds] == ["back-test from 2026-02-01", "back-test from 2026-03-01"]
    assert folds[0].data.params["training_rows"] == "200"
    assert folds[0].data.metrics["conversion_30d/roc_auc"] == 0.7
    assert folds[0].data.metrics["conversion_30d/base_rate"] == 0.25
    assert "conversion_90d/roc_auc" not in folds[0].data.metrics
    assert folds[0].data.tags["not_finite"] == "conversion_90d/roc_auc"


def test_the_environment_names_what_computes_and_no_folder() -> None:
    told = environment()
    assert {"python", "system", "processor", "processors", "libraries"} == set(told)
    assert str(Path.home()) not in repr(told)
