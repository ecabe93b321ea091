"""How the endpoint is set up: by environment variables, checked once at start."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from features.errors import BadUsage

BUNDLE_VARIABLE = "JOURNEYCAST_BUNDLE"
PREFIX = "JOURNEYCAST_SERVE_"


class Settings(BaseSettings):
    """Each field is read from `JOURNEYCAST_SERVE_<FIELD>`, only `bundle` from `JOURNEYCAST_BUNDLE`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    bundle: Path | None = Field(default=None, validation_alias=BUNDLE_VARIABLE)
    market: Path | None = None  # fresher than the bundle's
    workers: PositiveInt = 1
    access_log: bool = False

    # Who may call: API keys as name:sha256, and secrets of callers that sign.
    keys: str = Field(default="", repr=False)
    key_file: Path | None = None
    secret_file: Path | None = None
    public_url: str | None = None  # as callers know it, where a proxy stands before; HubSpot signs it
    anyone: bool = False  # let anyone in though others than this machine can call
    open_metrics: bool = False

    body_limit_bytes: PositiveInt = 32_000_000  # 1,000 customers of 100 touchpoints
    bodies_limit_bytes: PositiveInt = 128_000_000  # of all requests that a worker has begun
    requests_at_once: PositiveInt = 64  # begun in a worker; beyond that callers are told to come back
    rate_per_s: PositiveFloat | None = None  # of one caller in one worker
    rate_burst: PositiveInt = 100
    idempotency_bytes: PositiveInt = 16_000_000  # of answers kept for an Idempotency-Key
    max_customers: PositiveInt = 1_000
    max_touchpoints: PositiveInt = 10_000  # of one customer
    customers_at_once: PositiveInt = 100  # scored before other requests get their turn

    body_timeout_s: PositiveFloat = 10.0  # until the whole body has come
    deadline_s: PositiveFloat = 25.0  # until the answer; HubSpot's workflows wait 30 s
    drain_s: PositiveFloat = 2.0  # not ready, but answering, before the end begins
    shutdown_timeout_s: PositiveInt = 29  # of both together
    watch_s: PositiveFloat = 1.0  # between two looks whether the bundle has changed

    @model_validator(mode="after")
    def _let_requests_finish(self) -> Settings:
        if self.shutdown_timeout_s < self.drain_s + self.deadline_s:
            needed = math.ceil(self.drain_s + self.deadline_s)
            raise ValueError(
                f"{PREFIX}SHUTDOWN_TIMEOUT_S is {self.shutdown_timeout_s}, less than {PREFIX}DRAIN_S and "
                f"{PREFIX}DEADLINE_S together: it would cut requests off; set it to {needed} or more"
            )
        return self

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", address):
            raise ValueError("expected an address such as https://scores.example.com")
        return address

    def in_words(self) -> str:
        """All settings, one line, without those that say who may call."""
        shown = self.model_dump(mode="json", exclude={"keys"})
        return f"{PREFIX}…: " + ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings from the environment.

        Raises BadUsage naming every variable that is unknown or wrong, never its value.
        """
        faults = _unknown_variables(os.environ)
        try:
            settings = cls()
        except ValidationError as error:
            faults += [_in_words(fault["loc"], fault["msg"]) for fault in error.errors(include_input=False)]
        if faults:
            raise BadUsage("bad_settings", faults)
        return settings


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = [field.upper() for field in Settings.model_fields if field != "bundle"]
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known)
    return [
        f"{name} is not a setting of the endpoint.{_suggestion(name.removeprefix(PREFIX), known)}" for name in unknown
    ]


def _suggestion(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f" Did you mean {PREFIX}{near[0]}?" if near else f" After {PREFIX} comes one of: {', '.join(known)}."


def _in_words(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    field = str(location[0])
    return f"{field if field == BUNDLE_VARIABLE else f'{PREFIX}{field}'.upper()}: {message}"
