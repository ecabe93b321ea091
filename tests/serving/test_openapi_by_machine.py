"""Schemathesis reads our OpenAPI document and asks what it promises: seeded, bounded, without network."""

from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import make_app
from serving.scorer import Scorer
from serving.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = {"POST /score", "POST /explain", "GET /model", "GET /livez", "GET /readyz"}


def ask(operation: Any) -> set[int]:
    """The statuses that an operation answers with; every answer is checked."""
    statuses: set[int] = set()

    @settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def once(case: Any) -> None:
        response = case.call()
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    once()
    return statuses


def test_what_the_document_says_is_true(plain_bundle: Path) -> None:
    app = make_app(Scorer.load(plain_bundle), Settings(max_customers=20, max_touchpoints=50))
    asked: dict[str, set[int]] = {}
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation: Any = found.ok()
        asked[operation.label] = ask(operation)
    assert set(asked) == OPERATIONS
    assert 200 in asked["POST /score"]
