"""A training as commands run it: what lies beside the bundle, and what its run keeps."""

from __future__ import annotations

from pathlib import Path

from models.bundle import load_bundle
from training import tracking
from training.run import card_beside


def test_the_card_lies_beside_the_bundle_and_in_the_run_with_each_picture(trained: Path, store: Path) -> None:
    (run,) = tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")
    kept = Path(tracking.mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(store / "kept")))
    page = card_beside(trained / "bundle").read_text("utf-8")
    pictures = sorted(path.name for path in (kept / "pictures").iterdir())

    assert (kept / "card.html").read_text("utf-8") == page
    assert load_bundle(trained / "bundle").version in page
    assert page.count("<svg ") == len(pictures)
    assert {"conversion_30d-calibration.svg", "conversion_90d-gain.svg", "stage-confusion.svg", "drift.svg"} <= {
        *pictures
    }
    assert "simulated-0" not in page


def test_a_bundles_card_has_its_name() -> None:
    assert card_beside(Path("made/bundle.v2")) == Path("made/bundle.v2.card.html")
