"""What a mapping of the setting `mappings` must be, checked before anything is built, with a sentence each.

A mapping is `{"name", "pattern", "operation", "fields", "constants"}`, without the last two if it leaves
events out; docs/events/mappings.md explains them.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import jmespath  # type: ignore[import-untyped]

from deliver_leads.contract import (
    DETAIL_TYPES,
    LEAD_FIELDS,
    MANDATORY_FIELDS,
    MAPPING_IGNORES,
    OWN_EVENT_SOURCE,
)
from deliver_leads.event.mapping_functions import MappingFunctions

from .setting_rules import is_text_for, suggestion

OPERATIONS = (*DETAIL_TYPES.values(), MAPPING_IGNORES)
KEYS = ("name", "pattern", "operation", "fields", "constants")
# The parts of an event that a pattern may match; the values of all but `detail` are texts.
PATTERN_KEYS = ("source", "detail-type", "account", "detail")
MAPPED_FIELDS = (*LEAD_FIELDS, "idempotencyKey")
# One address for all leads would make them one lead; the API takes no such text for the other two.
CONSTANT_FIELDS = tuple(field for field in LEAD_FIELDS if field not in {"id", "email", "customFields"})
# The names of operators, which EventBridge refuses as names of fields inside "$or". With mappings on an
# existing bus the rule's pattern has one.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
_OPERATORS = frozenset(
    {"$or", "anything-but", "prefix", "suffix", "equals-ignore-case", "numeric", "exists", "cidr", "wildcard"}
)


def mapping_problems(mappings: Sequence[Any], lead_defaults: Collection[str]) -> Iterator[str]:
    """A sentence for each thing that is wrong; `lead_defaults` are the fields that have a default."""
    names: list[str] = []
    patterns: dict[str, object] = {}
    for index, mapping in enumerate(mappings):
        name = mapping.get("name") if isinstance(mapping, Mapping) else None
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            # A reason repeats the name, so it must be safe to log.
            yield (
                f"mappings[{index}].name must be of up to 64 letters, digits and . _ -, "
                "because the reasons of parked leads name the mapping"
            )
            continue
        if name in names:
            yield f'mappings has two mappings named "{name}"; each needs a name of its own'
        names.append(name)
        for sentence in _problems_of(mapping, lead_defaults):
            yield f'mapping "{name}": {sentence}'
        pattern = mapping.get("pattern")
        for earlier, other in patterns.items():
            if other == pattern:
                yield f'mapping "{name}": has the pattern of "{earlier}", which comes first and so takes all'
        patterns[name] = pattern


def _problems_of(mapping: Mapping[str, Any], lead_defaults: Collection[str]) -> Iterator[str]:
    yield from (f"{key} is not known{suggestion(key, KEYS)}" for key in mapping if key not in KEYS)
    operation, fields = mapping.get("operation"), mapping.get("fields")
    constants = mapping.get("constants", {})
    yield from _pattern_problems(mapping.get("pattern"))
    if operation not in OPERATIONS:
        yield f"operation is {operation!r}, but must be one of {', '.join(OPERATIONS)}"
    if operation == MAPPING_IGNORES:
        if {"fields", "constants"} & mapping.keys():
            yield "fields and constants can't be given, because an event that is left out has no lead"
        return
    if not isinstance(fields, Mapping) or not isinstance(constants, Mapping):
        yield "fields must be an object of JMESPath expressions, and constants one of texts"
        return
    yield from _field_problems(fields)
    yield from _constant_problems(constants)
    yield from (f"{field} is in fields and in constants" for field in fields if field in constants)
    if operation == "create" and "id" in fields:
        yield "fields.id can't be given for a create, because 7Targets chooses the id"
    given = {*fields, *constants, *({"assistantEmail"} & set(lead_defaults))}
    for field in MANDATORY_FIELDS:
        if field not in given:
            default = ", or a default in leadDefaults" if field == "assistantEmail" else ""
            yield f"{field} is in neither fields nor constants, but every event needs it{default}"


def _pattern_problems(pattern: object) -> Iterator[str]:
    if not isinstance(pattern, Mapping) or "source" not in pattern:
        # Without a source, a mapping could take the lead events of other producers, or our own events.
        yield 'pattern must be an object with a "source", so that it takes the events of one producer only'
        return
    for key, value in pattern.items():
        if key not in PATTERN_KEYS:
            yield f"pattern.{key} is not known{suggestion(key, PATTERN_KEYS)}"
        elif key == "detail":
            yield from _detail_problems(value, "pattern.detail")
        elif not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            yield f"pattern.{key} must be a list of texts"
        elif key == "source" and OWN_EVENT_SOURCE in value:
            yield f'pattern.source has "{OWN_EVENT_SOURCE}", but the integration\'s own events are no leads'


def _detail_problems(pattern: object, path: str) -> Iterator[str]:
    if isinstance(pattern, Mapping) and pattern:
        for key, value in pattern.items():
            if key in _OPERATORS or "." in key or not key:
                yield f'{path} has "{key}", but only values may be given, under names without a "."'
            else:
                yield from _detail_problems(value, f"{path}.{key}")
    elif not isinstance(pattern, list) or not pattern or not all(map(_is_exact, pattern)):
        kinds = 'texts, whole numbers, true, false, null or {"exists": false}'
        yield f"{path} must be a list of exact values: {kinds}"


def _is_exact(value: object) -> bool:
    """Refuses fractions: EventBridge compares numbers as they are written, the function as they are read."""
    return value is None or isinstance(value, str | int) or value == {"exists": False}


def _field_problems(fields: Mapping[str, object]) -> Iterator[str]:
    for field, expression in fields.items():
        if field not in MAPPED_FIELDS:
            yield f"fields.{field} is no field of a lead{suggestion(field, MAPPED_FIELDS)}"
        if not isinstance(expression, str):
            yield f"fields.{field} must be a JMESPath expression"
            continue
        try:
            parsed = jmespath.compile(expression).parsed
        except jmespath.exceptions.JMESPathError as error:
            yield f"fields.{field} can't be read as JMESPath: {str(error).splitlines()[0]}"
        else:
            yield from (f"fields.{field} {sentence}" for sentence in _function_problems(parsed))


def _function_problems(node: Mapping[str, Any]) -> Iterator[str]:
    """JMESPath itself says these only once it meets an event for which the function is called."""
    if node["type"] == "function_expression":
        known, name, count = MappingFunctions.FUNCTION_TABLE, node["value"], len(node["children"])
        if name not in known:
            yield f"calls {name}(), which there isn't{suggestion(name, known)}"
        else:
            signature = known[name]["signature"]
            is_open = bool(signature) and signature[-1].get("variadic", False)
            if count < len(signature) or (count > len(signature) and not is_open):
                yield f"calls {name}() with {count} arguments, but it takes {len(signature)}"
    for child in node.get("children", []):
        if isinstance(child, Mapping):
            yield from _function_problems(child)


def _constant_problems(constants: Mapping[str, object]) -> Iterator[str]:
    for field, text in constants.items():
        if field not in CONSTANT_FIELDS:
            yield f"constants.{field} can't be a constant{suggestion(field, CONSTANT_FIELDS)}"
        elif not is_text_for(field, text):
            kind = "an e-mail address" if field == "assistantEmail" else "a text"
            yield f"constants.{field} must be {kind}"
