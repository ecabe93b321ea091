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
        "keys": "",
        "key_file": None,
        "secret_file": None,
        "public_url": None,
        "anyone": False,
        "open_metrics": False,
        "body_limit_bytes": 32_000_000,
        "bodies_limit_bytes": 128_000_000,
        "requests_at_once": 64,
        "rate_per_s": None,
        "rate_burst": 100,
        "idempotency_bytes": 16_000_000,
        "max_customers": 1_000,
        "max_touchpoints": 10_000,
        "customers_at_once": 100,
        "body_timeout_s": 10.0,
        "deadline_s": 25.0,
        "drain_s": 2.0,
        "shutdown_timeout_s": 29,
        "watch_s": 1.0,
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
    known = ", ".join(name.upper() for name in Settings.model_fields if name != "bundle")
    assert known.startswith("MARKET, WORKERS, ACCESS_LOG, KEYS, ")
    assert caught.value.faults == (
        f"JOURNEYCAST_SERVE_PASSWORD is not a setting of the endpoint. After JOURNEYCAST_SERVE_ comes one of: {known}.",
        "JOURNEYCAST_SERVE_WORKER is not a setting of the endpoint. Did you mean JOURNEYCAST_SERVE_WORKERS?",
        "JOURNEYCAST_SERVE_DEADLINE_S: Input should be a valid number, unable to parse string as a number",
    )


def test_what_contradicts_or_is_no_address_is_told_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNEYCAST_SERVE_DEADLINE_S", "60")
    with pytest.raises(BadUsage, match=r"^JOURNEYCAST_SERVE_SHUTDOWN_TIMEOUT_S is 29, .* set it to 62 or more$"):
        Settings.from_environment()
    monkeypatch.setenv("JOURNEYCAST_SERVE_PUBLIC_URL", "notaurl")
    with pytest.raises(BadUsage, match=r"^JOURNEYCAST_SERVE_PUBLIC_URL: expected an address such as https://"):
        Settings.from_environment()


def test_in_words_the_settings_are_complete_but_for_who_may_call() -> None:
    words = Settings(keys="CANARY", workers=3).in_words()
    assert words.startswith("JOURNEYCAST_SERVE_…: workers=3, access_log=False, anyone=False, ")
    assert "rate_burst=100" in words
    assert "CANARY" not in words + repr(Settings(keys="CANARY"))


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf"), 27.5])
def test_a_deadline_is_positive_finite_and_within_the_shutdown(deadline_s: float) -> None:
    with pytest.raises(ValidationError):
        Settings(deadline_s=deadline_s)


def test_settings_stay_as_they_are() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().workers = 2
