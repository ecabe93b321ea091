"""The endpoint in OpenAPI 3.0.3, flat, as Salesforce External Services and the like read it.

They take operation names from `operationId` (a valid Apex identifier), cut descriptions at 1,333 characters, know no
`anyOf`, and ignore response headers and `security`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.journey import Journey, conversion_column

Schema = dict[str, Any]

TIME = {"type": "string", "format": "date-time"}
TEXT = {"type": "string"}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}


def describe_api(model: Mapping[str, Any] | None) -> Schema:
    """The document; `model` is what `GET /model` answers, so that the score columns are those of its journey."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Journeycast",
            "version": str(model["model_version"]) if model else "none",
            "description": "Where each customer stands on the journey, and how likely each is to convert.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/score": {"post": _scoring("score", "Score customers. A bad one gets an error, not the list.")},
            "/explain": {"post": _scoring("explain", "As score, with the reasons of each score.")},
            "/model": {"get": _reading("describeModel", "The model that answers: version, journey, quality.", "Model")},
            "/livez": {"get": _reading("checkLive", "Whether the process runs.", "Status")},
            "/readyz": {"get": _reading("checkReady", "Whether a model is ready to answer.", "Status")},
        },
        "components": {
            "schemas": {
                "ScoreRequest": _object(
                    {
                        "as_of": _said(TIME, "The moment to score at; now, if it is left out."),
                        "reasons": {"type": "boolean"},
                        "customers": _list_of("Customer"),
                    },
                    required=["customers"],
                ),
                "Customer": _object(
                    {"customer_id": TEXT, "touchpoints": _list_of("Touchpoint")},
                    required=["customer_id", "touchpoints"],
                ),
                "Touchpoint": _touchpoint(),
                "ScoreAnswer": _object({"model_version": TEXT, "as_of": TIME, "scores": _list_of("Score")}),
                "Score": _score(model),
                "Reason": _object(
                    {"feature": TEXT, "value": _or_null({"type": "number"}), "effect": {"type": "number"},
                     "event_id": _or_null(TEXT)}
                ),
                "RowError": _object({"code": TEXT, "message": TEXT, "field": TEXT}),
                "Error": _object({"code": TEXT, "message": TEXT, "field": TEXT, "request_id": TEXT}),
                "Status": _object({"status": TEXT, "model_version": TEXT}),
                "Model": _object(
                    {"model_version": TEXT, "features": {"type": "integer"}, "reads_text": {"type": "boolean"}}
                ),
            },
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
        },
        "security": [{"key": []}],
    }  # fmt: skip


def _scoring(operation: str, description: str) -> Schema:
    return {
        "operationId": operation,
        "description": description,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("ScoreRequest")}}},
        "responses": {"200": _answer("The scores, in the order asked.", "ScoreAnswer"), "default": _error()},
    }


def _reading(operation: str, description: str, schema: str) -> Schema:
    answers = {"200": _answer(description, schema), "default": _error()}
    return {"operationId": operation, "description": description, "responses": answers}


def _answer(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _error() -> Schema:
    return _answer("Why there is no answer; what was sent is not repeated.", "Error")


def _touchpoint() -> Schema:
    optional = ("event_id", "campaign", "variant", "conversation_id", "text", "customer_id")
    return _object(
        {
            "occurred_at": _said(TIME, "With its zone."),
            "channel": _said(TEXT, "web, email, chat, phone, store …"),
            "action": _said(TEXT, "viewed, clicked, asked, purchased …"),
            "recorded_at": _or_null(TIME),
            "actor": {"type": "string", "enum": ["customer", "company"]},
            "value": _or_null({"type": "number"}),
            **{name: _or_null(TEXT) for name in optional},
        },
        required=["occurred_at", "channel", "action"],
    )


def _score(model: Mapping[str, Any] | None) -> Schema:
    journey = Journey.from_dict(model["journey"]) if model and "journey" in model else None
    columns: Schema = {"customer_id": TEXT, "as_of": TIME, "stage": TEXT}
    if journey is not None:
        columns |= dict.fromkeys(journey.stage_columns.values(), PROBABILITY)
    columns |= {"plausible_stages": {"type": "array", "items": TEXT}, "furthest_stage": _or_null(TEXT)}
    for horizon in (model or {}).get("horizons_days", []):
        name = conversion_column(horizon)
        columns |= {column: _or_null(PROBABILITY) for column in (name, f"{name}_low", f"{name}_high")}
    columns |= {
        "conversion_percentile": _or_null({"type": "number", "minimum": 0, "maximum": 100}),
        "reliability": _said(
            TEXT, "ok, or why to doubt: no_data, little_data, stale, unusual, unknown_vocabulary, stage_by_examples."
        ),
        "model_version": TEXT,
        "reasons": _list_of("Reason"),
        "error": _ref("RowError"),
    }
    return _object(columns)


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _said(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}


def _or_null(schema: Schema) -> Schema:
    return schema | {"nullable": True}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
