"""Other people's EventBridge events as lead events, by the patterns and paths of the setting `mappings`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .envelope import Envelope
from .lead import TEXT_FIELDS, Json, Operation

KEY_FIELD = "idempotencyKey"


def matches(pattern: Json, value: Json) -> bool:
    """Whether an event, or a value in it, fits an EventBridge pattern of exact values.

    As EventBridge has it: each field of the pattern must be there, with one of the values that are listed for
    it; of an array, one element must fit; texts, numbers and booleans are never equal to each other.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
    """
    if isinstance(value, list):
        return any(matches(pattern, element) for element in value)
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and matches(inner, value[name]) for name, inner in pattern.items()
        )
    return isinstance(pattern, list) and any(
        type(listed) is type(value) and listed == value for listed in pattern
    )


@dataclass(frozen=True, slots=True)
class _Mapping:
    """One entry of the setting; `paths` are JMESPath expressions, compiled, by the lead's field."""

    name: str
    pattern: Json
    operation: Operation
    paths: Mapping[str, Any]
    constants: Mapping[str, Json]

    def read(self, event: dict[str, Json]) -> Envelope:
        """Reads the event into an envelope, whose fields are not checked yet; never raises."""
        path = f'mapping "{self.name}": '
        # Unless the mapping gives a key, the event's own id: it stays the same however often it is delivered.
        lead, key = dict(self.constants), event.get("id")
        origins = {field: f" ({compiled.expression})" for field, compiled in self.paths.items()}
        problems = []
        for field, compiled in self.paths.items():
            where = f"{path}{field if field == KEY_FIELD else f'lead.{field}'}{origins[field]}"
            try:
                value = _found(field, compiled.search(event))
            except Exception as error:
                # JMESPath's functions raise on types they don't take; their words would repeat the values.
                problems.append(f"{where}: can't be evaluated ({type(error).__name__})")
                continue
            if field != KEY_FIELD:
                lead[field] = value
            elif value is None or value == "":
                problems.append(
                    f"{where}: finds nothing; without a key, repetitions would count as new events"
                )
            else:
                key = value
        return Envelope(self.operation, {"lead": lead, KEY_FIELD: key}, path, problems, origins)


class EventMapper:
    """Reads the events that a mapping is meant for. Safe under threads."""

    def __init__(self, mappings: Sequence[Mapping[str, Any]]) -> None:
        self._mappings: list[_Mapping] = []
        if not mappings:
            return
        # Imported here, so that only stages with mappings pay for it at a cold start.
        import jmespath  # type: ignore[import-untyped]

        for entry in mappings:
            self._mappings.append(
                _Mapping(
                    entry["name"],
                    entry["pattern"],
                    Operation(entry["operation"]),
                    {field: jmespath.compile(text) for field, text in entry["fields"].items()},
                    entry.get("constants", {}),
                )
            )

    def __call__(self, event: dict[str, Json]) -> Envelope | None:
        """Reads the event by the first mapping whose pattern it fits; None if there is no such mapping."""
        for mapping in self._mappings:
            if matches(mapping.pattern, event):
                return mapping.read(event)
        return None


def _found(field: str, value: Any) -> Json:  # noqa: ANN401 - JMESPath can give more than JSON
    """The value that a path found, in the type of the lead's field. Raises `TypeError` or `ValueError` if it
    isn't JSON.

    Sources that have numbers where 7Targets has texts (a phone number, a record's id) are common.
    """
    # An expression reference (`&name`) and the infinity and NaN of `to_number` can't be sent on.
    json.dumps(value, allow_nan=False)
    if (field == KEY_FIELD or field in TEXT_FIELDS) and type(value) in {int, float}:
        return str(int(value) if value == int(value) else value)
    return value  # type: ignore[no-any-return]
