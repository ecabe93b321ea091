import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from starlette.routing import Route

from features.journey import DEFAULT_JOURNEY
from serving.app import make_app
from serving.openapi import describe_api
from serving.schemas import History, ScoreRequest, Touchpoint
from serving.settings import Settings

MODEL = {"model_version": "v1", "journey": DEFAULT_JOURNEY.to_dict(), "horizons_days": [30, None]}


def parts(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in the document, with the name it stands under."""
    yield name, value
    if isinstance(value, dict):
        for key, part in value.items():
            yield from parts(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from parts(part)


@pytest.mark.parametrize("model", [MODEL, None])
def test_it_is_valid_openapi_3_0_as_salesforce_reads_it(model: dict[str, Any] | None) -> None:
    document = describe_api(model)
    assert document["openapi"] == "3.0.3"
    OpenAPIV30SpecValidator(document).validate()
    operations = [value for name, value in parts(document) if name == "operationId"]
    assert len(set(operations)) == len(operations) == 5
    assert all(re.fullmatch(r"[A-Za-z](?!.*__)[A-Za-z0-9_]{0,79}(?<!_)", operation) for operation in operations)
    assert not {"anyOf", "oneOf", "allOf"} & {name for name, _ in parts(document)}
    assert max(len(value) for name, value in parts(document) if name == "description") <= 1_333


def test_objects_are_named_not_nested() -> None:
    schemas = describe_api(MODEL)["components"]["schemas"]
    for schema in schemas.values():
        assert all(part.get("type") != "object" for part in schema["properties"].values())


def test_the_requests_are_those_that_are_read() -> None:
    schemas = describe_api(MODEL)["components"]["schemas"]
    for name, struct in (("ScoreRequest", ScoreRequest), ("Customer", History), ("Touchpoint", Touchpoint)):
        assert set(schemas[name]["properties"]) == set(struct.__struct_fields__)
        required = struct.__struct_fields__[: len(struct.__struct_fields__) - len(struct.__struct_defaults__)]
        assert set(schemas[name]["required"]) == set(required)


def test_the_columns_are_those_of_the_model() -> None:
    columns = list(describe_api(MODEL)["components"]["schemas"]["Score"]["properties"])
    assert columns == [
        "customer_id", "as_of", "stage", "stage_awareness", "stage_consideration", "stage_conversion",
        "stage_advocacy", "plausible_stages", "furthest_stage", "conversion_30d", "conversion_30d_low",
        "conversion_30d_high", "conversion", "conversion_low", "conversion_high", "conversion_percentile",
        "reliability", "model_version", "reasons", "error",
    ]  # fmt: skip


def test_every_path_is_one_of_the_endpoints() -> None:
    routes = {(route.path, method) for route in make_app(None, Settings()).routes if isinstance(route, Route)
              for method in route.methods or ()}  # fmt: skip
    for path, operations in describe_api(None)["paths"].items():
        assert all((path, method.upper()) in routes for method in operations)
