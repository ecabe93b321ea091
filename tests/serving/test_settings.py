from pathlib import Path

import pytest
from pydantic import ValidationError

from features.errors import BadUsage
from serving.settings import Settings


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOURNEYCAST_BUNDLE", raising=False)
    assert Settings.from_environment().model_dump() == {
        "bundle": None,
        "market": None,
        "workers": 1,
        "access_log": False,
        "body_limit_bytes": 6_000_000,
        "max_customers": 1_000,
        "max_touchpoints": 10_000,
        "customers_at_once": 100,
        "body_timeout_s": 10.0,
        "deadline_s": 28.0,
        "shutdown_timeout_s": 30,
    }


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNEYCAST_BUNDLE", "bundles/current")
    monkeypatch.setenv("JOURNEYCAST_SERVE_BODY_LIMIT_BYTES", "1000")
    settings = Settings.from_environment()
    assert (settings.bundle, settings.body_limit_bytes) == (Path("bundles/current"), 1000)


def test_all_faults_are_told_at_once_without_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNEYCAST_SERVE_WORKER", "2")
    monkeypatch.setenv("JOURNEYCAST_SERVE_PASSWORD", "CANARY")
    monkeypatch.setenv("JOURNEYCAST_SERVE_DEADLINE_S", "CANARY")
    with pytest.raises(BadUsage) as caught:
        Settings.from_environment()
    known = (
        "MARKET, WORKERS, ACCESS_LOG, BODY_LIMIT_BYTES, MAX_CUSTOMERS, MAX_TOUCHPOINTS, CUSTOMERS_AT_ONCE, "
        "BODY_TIMEOUT_S, DEADLINE_S, SHUTDOWN_TIMEOUT_S"
    )
    assert caught.value.faults == (
        f"JOURNEYCAST_SERVE_PASSWORD is not a setting of the endpoint. After JOURNEYCAST_SERVE_ comes one of: {known}.",
        "JOURNEYCAST_SERVE_WORKER is not a setting of the endpoint. Did you mean JOURNEYCAST_SERVE_WORKERS?",
        "JOURNEYCAST_SERVE_DEADLINE_S: Input should be a valid number, unable to parse string as a number",
    )


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf"), 31.0])
def test_a_deadline_is_positive_finite_and_within_the_shutdown(deadline_s: float) -> None:
    with pytest.raises(ValidationError):
        Settings(deadline_s=deadline_s)


def test_settings_stay_as_they_are() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().workers = 2
