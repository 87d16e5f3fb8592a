"""A lead's fields as the 7Targets leads API takes them, and the check that a producer's lead has them.

Source of the fields: the API document ("Create a Lead", "Update a Lead"); `customFields` is in the vendor's
later help pages; the undocumented ones are what the vendor's own connectors send.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from ..contract import DEFAULTABLE_FIELDS, LEAD_FIELDS, MANDATORY_FIELDS
from .address import AddressError, normal_address, trimmed
from .loggable import loggable_name

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MANDATORY = MANDATORY_FIELDS
ADDRESS_FIELDS = ("email", "assistantEmail")
# Far more than any form has. What is remembered of a lead grows with its fields (lead_state.py).
MOST_FIELDS = 100
LONGEST_FIELD_NAME = 100
_DIGITS = re.compile(r"[0-9]{1,18}")
_IDS_END = 10**18


class Operation(StrEnum):
    """What a producer asks for; there is no default, since a create can't be undone."""

    CREATE = "create"
    UPDATE = "update"
    STOP_FOLLOWUP = "stop_followup"


def read_lead(
    value: Json,
    operation: Operation,
    defaults: Mapping[str, str],
    path: str,
    origins: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Json], list[str], list[str]]:
    """Returns the lead as it is sent, every problem found in it, and the names of fields nobody documents.

    Strings are trimmed; null, and a text that shows nothing, counts as absent and is left out, because the
    API leaves an absent field as it is. Addresses get their one form. Unknown fields are passed on
    unchanged; their names come in a form that is safe to log. A problem names the field by its `path` in the
    message, and by where it was read from if `origins` says so, and never repeats its value.
    """
    if not isinstance(value, dict):
        return {}, [f"{path}: must be a JSON object with the lead's fields, not {json_type(value)}"], []
    given = published(value)
    if len(given) > MOST_FIELDS:
        return {}, [f"{path}: has {len(given)} fields; at most {MOST_FIELDS} fields are taken"], []
    if any(len(name) > LONGEST_FIELD_NAME for name in given):
        return {}, [f"{path}: has a field whose name is longer than {LONGEST_FIELD_NAME} characters"], []
    lead = published(
        {
            name: defaults[name]
            for name in DEFAULTABLE_FIELDS
            if name in defaults and (operation is Operation.CREATE or name == "assistantEmail")
        }
    )
    problems: list[str] = []
    unknown: list[str] = []
    for name, field in given.items():
        lead[name] = field
        check = FIELD_CHECKS.get(name)
        if check is None:
            unknown.append(f"{path}.{loggable_name(name)}")
        elif problem := check(field):
            problems.append(f"{path}.{name}{origins.get(name, '')}: {problem}")
    problems += [
        f"{path}.{name}{origins.get(name, '')}: is missing; every {operation} needs it"
        for name in MANDATORY
        if name not in lead
    ]
    if operation is Operation.CREATE and "id" in lead:
        problems.append(f"{path}.id: can't be given on a create; 7Targets chooses the id")
    return lead, problems, unknown


def published(value: Mapping[str, Json]) -> dict[str, Json]:
    """A lead's fields as they were published: trimmed, addresses in one form, without what is absent."""
    given = {
        name: _one_form(name, field) if isinstance(field, str) else field for name, field in value.items()
    }
    return {name: field for name, field in given.items() if field is not None and field != ""}


def _one_form(name: str, text: str) -> str:
    if name in ADDRESS_FIELDS:
        try:
            return normal_address(text)
        except AddressError:
            pass  # the check of the field says why
    return trimmed(text)


def address_of(lead: Mapping[str, Json]) -> str | None:
    """The address that names the lead, however wrong the other fields are; None if it is no address."""
    email = lead.get("email")
    return email if isinstance(email, str) and _check_address(email) is None else None


def json_type(value: Json) -> str:
    """The JSON name of a value's type, for a message to a producer."""
    names: dict[type, str] = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names[type(value)]


def _check_text(value: Json) -> str | None:
    return None if isinstance(value, str) else f"must be a string, not {json_type(value)}"


def _check_address(value: Json) -> str | None:
    if not isinstance(value, str):
        return _check_text(value)
    try:
        normal_address(value)
    except AddressError as error:
        return str(error)
    return None


def _check_id(value: Json) -> str | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        return f"must be a positive whole number, not {json_type(value)}"
    return None if 0 < number < _IDS_END else "must be a positive whole number of at most 18 digits"


def _check_sequence_id(value: Json) -> str | None:
    # The document calls it a "valid sequence Id" without a type: both forms are passed on as they come.
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return None
    return f"must be a sequence's id, not {json_type(value)}"


def _check_custom_fields(value: Json) -> str | None:
    if not isinstance(value, list):
        return f'must be an array of {{"name", "value"}} objects, not {json_type(value)}'
    for index, entry in enumerate(value):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "value" not in entry:
            return f'entry {index} must be an object with "name" (a string) and "value"'
        if isinstance(entry["value"], dict | list):
            return f'entry {index}: its "value" must be a string, a number, true, false or null'
    return None


FIELD_CHECKS: dict[str, Callable[[Json], str | None]] = {
    **dict.fromkeys(LEAD_FIELDS, _check_text),
    **dict.fromkeys(ADDRESS_FIELDS, _check_address),
    "id": _check_id,
    "scheduleId": _check_sequence_id,
    "customFields": _check_custom_fields,
}

TEXT_FIELDS = frozenset(name for name, check in FIELD_CHECKS.items() if check is _check_text)
