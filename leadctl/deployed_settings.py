"""The settings of the deployed function that decide how it reads an event."""

import json
from dataclasses import dataclass, field

from deliver_leads.contract import unpack_mappings
from deliver_leads.event.envelope import Mapper
from deliver_leads.event.mappings import EventMapper
from leadctl.problems import is_denied
from leadctl.target import Target


@dataclass(frozen=True)
class DeployedSettings:
    """Without a value: `is_known` is false when the function's settings couldn't be read."""

    lead_defaults: dict[str, str] = field(default_factory=dict)
    event_sources: tuple[str, ...] = ()
    mapper: Mapper = field(default_factory=lambda: EventMapper(()))
    token_url: str | None = None
    is_known: bool = True

    @classmethod
    def of(cls, target: Target) -> "DeployedSettings":
        """Reads them from the function's environment."""
        try:
            function = target.client("lambda").get_function_configuration(
                FunctionName=target.output("FunctionName")
            )
        except Exception as error:
            if is_denied(error):
                return cls(is_known=False)
            raise
        variables = function.get("Environment", {}).get("Variables", {})
        return cls(
            lead_defaults=json.loads(variables.get("LEAD_DEFAULTS") or "{}"),
            event_sources=tuple(json.loads(variables.get("EVENT_SOURCES") or "[]")),
            mapper=EventMapper(unpack_mappings(variables["MAPPINGS"]) if "MAPPINGS" in variables else ()),
            token_url=variables.get("TOKEN_URL"),
        )
