"""The function's settings, read from its environment once per execution environment."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .contract import OutcomeEventsMode, unpack_mappings


class SettingsError(Exception):
    """One or more environment variables are missing or unreadable; the text lists all of them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every value the stack hands to the function.

    A field's name in upper case is its environment variable; units are in the names (`_s` is seconds).
    `calls_per_second` is this environment's part, 0 for one that is learnt (`pace.py`).
    """

    leads_api_url: str
    token_url: str
    secret_id: str
    lead_queue_url: str
    dead_letter_queue_url: str
    ledger_table: str
    lead_defaults: dict[str, str]
    event_sources: tuple[str, ...]
    only_recipients: tuple[str, ...]
    mappings: tuple[dict[str, Any], ...]
    parallel_calls: int
    calls_per_second: int
    connect_timeout_s: float
    read_timeout_s: float
    settling_s: int
    visibility_timeout_s: int
    duplicate_window_s: int
    ledger_s: int
    update_grace_s: int
    retry_base_delay_s: int
    retry_max_delay_s: int
    park_after_s: int
    outcome_events: OutcomeEventsMode
    event_bus: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises `SettingsError` that names everything missing or unreadable at once."""
        converters: dict[object, Callable[[str], object]] = {
            str: str,
            int: int,
            float: float,
            OutcomeEventsMode: OutcomeEventsMode,
            dict[str, str]: json.loads,
            tuple[str, ...]: lambda text: tuple(json.loads(text)),
            tuple[dict[str, Any], ...]: unpack_mappings,
        }
        values: dict[str, object] = {}
        problems: list[str] = []
        for field in fields(cls):
            name = field.name.upper()
            if not environment.get(name):
                problems.append(f"{name} is not set")
                continue
            try:
                values[field.name] = converters[field.type](environment[name])
            except (ValueError, TypeError):
                problems.append(f"{name} can't be read as {getattr(field.type, '__name__', field.type)}")
        if problems:
            raise SettingsError("The function's environment is incomplete: " + "; ".join(problems))
        return cls(**values)  # type: ignore[arg-type]
