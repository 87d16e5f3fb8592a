"""Other people's EventBridge events as lead events, by the patterns and paths of the setting `mappings`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..contract import MAPPING_IGNORES
from .envelope import Envelope, Ignored, Mapped
from .lead import TEXT_FIELDS, Json, Operation

if TYPE_CHECKING:
    from .mapping_functions import Path

KEY_FIELD = "idempotencyKey"
_ABSENT = object()
_IS_ABSENT: Json = {"exists": False}


def misfit(pattern: Json, value: object, path: str = "pattern") -> str:
    """The path of the first part of an EventBridge pattern that an event doesn't fit; empty if it fits.

    As EventBridge has it: each field of the pattern must be there, with one of the values that are listed for
    it, or be absent if `{"exists": false}` is listed; of an array, one element must fit; texts, numbers and
    booleans are never equal to each other.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern.html
    """
    if isinstance(value, list) and value:
        return min((misfit(pattern, element, path) for element in value), key=bool)
    if isinstance(pattern, dict):
        inside = value if isinstance(value, dict) else {}
        found = (
            misfit(inner, inside.get(name, _ABSENT), f"{path}.{name}") for name, inner in pattern.items()
        )
        return next(filter(None, found), "")
    if not isinstance(pattern, list):
        return path
    if value is _ABSENT or isinstance(value, dict | list):
        return "" if _IS_ABSENT in pattern else path
    return "" if any(type(listed) is type(value) and listed == value for listed in pattern) else path


@dataclass(frozen=True, slots=True)
class _Mapping:
    """One entry of the setting; `operation` is None for events that are left out, `paths` are by field."""

    name: str
    pattern: dict[str, Json]
    operation: Operation | None
    paths: Mapping[str, "Path"]
    constants: Mapping[str, Json]

    def read(self, event: dict[str, Json]) -> Envelope | Ignored:
        """Reads the event into an envelope, whose fields are not checked yet; never raises."""
        if self.operation is None:
            return Ignored(self.name)
        path = f'mapping "{self.name}": '
        # Unless the mapping gives a key, the event's own id: it stays the same however often it is delivered.
        lead, key = dict(self.constants), event.get("id")
        origins = {field: f" ({each.text})" for field, each in self.paths.items()}
        problems = []
        for field, each in self.paths.items():
            where = f"{path}{field if field == KEY_FIELD else f'lead.{field}'}{origins[field]}"
            try:
                value = _found(field, each.find(event))
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
        """Raises whatever a mapping is wrong with: `cdk synth` has checked them."""
        self._mappings: list[_Mapping] = []
        if not mappings:
            return
        # Imported here, so that only stages with mappings pay for it at a cold start.
        from .mapping_functions import Path

        for entry in mappings:
            is_left_out = entry["operation"] == MAPPING_IGNORES
            self._mappings.append(
                _Mapping(
                    entry["name"],
                    entry["pattern"],
                    None if is_left_out else Operation(entry["operation"]),
                    {field: Path(text) for field, text in entry.get("fields", {}).items()},
                    entry.get("constants", {}),
                )
            )

    def __call__(self, event: dict[str, Json]) -> Mapped:
        """What the first mapping that it fits makes of it; else why those of its source don't take it."""
        why_not = []
        for mapping in self._mappings:
            where = misfit(mapping.pattern, event)
            if not where:
                return mapping.read(event)
            if not misfit(mapping.pattern["source"], event.get("source")):
                takes = f'mapping "{mapping.name}": takes events of this source'
                why_not.append(f"{takes}, but {where} doesn't fit this one")
        return why_not


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
