"""Parked leads as a table, and what a person has changed in it.

A row is an event with one body, however often that is parked. What a person leaves alone stays as it is,
because only the cells that differ are put into the body: the table need not hold everything.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deliver_leads.contract import DETAIL_TYPES, LEAD_FIELDS
from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.lead import Json, Operation
from leadctl.deployed_settings import DeployedSettings
from leadctl.importing.columns import CUSTOM
from leadctl.importing.table import REASON, Row, Table
from leadctl.output import without_mark
from leadctl.parked.message import Parked
from leadctl.parked.safe_cell import original, safe
from leadctl.parked.selection import in_words

PARKED_ID, OPERATION = "parked_id", "operation"
_OWN = (PARKED_ID, REASON, OPERATION)
# So that there is a cell for what is missing.
_ALWAYS = ("name", "lastName", "email", "assistantEmail")
_TEXTS = frozenset(LEAD_FIELDS) - {"id", "scheduleId", "customFields"}
_DETAIL_TYPE_OF = {operation: name for name, operation in DETAIL_TYPES.items()}
# Excel cuts a cell off after 32,767.
_LONGEST_CELL = 32_000


class _Body:
    """A body of ours: a plain message, an event of the bus, or a topic's notification with one of them."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for a body that holds no lead where ours have one."""
        try:
            self._outer = self._event = json.loads(without_mark(text))
            if self._outer.get("Type") == "Notification" and "Message" in self._outer:
                self._event = json.loads(without_mark(self._outer["Message"]))
            if "detail-type" in self._event:
                # Only the stack's mappings know where the lead is in an event of another type.
                operation, self._holder = DETAIL_TYPES[self._event["detail-type"]], self._event["detail"]
            else:
                operation, self._holder = self._event.get("operation"), self._event
            # As it was published, "" if it is none.
            self.operation = operation if isinstance(operation, str) else ""
            self.lead: dict[str, Json] = {**self._holder["lead"]}
        except (AttributeError, LookupError, TypeError, RecursionError) as error:
            raise ValueError from error

    def with_changes(self, lead: Mapping[str, Json], operation: str) -> str:
        """The body with another lead or operation, and all else as it is."""
        self._holder["lead"] = lead
        if "detail-type" in self._event:
            self._event["detail-type"] = _DETAIL_TYPE_OF[operation]
        else:
            self._event["operation"] = operation
        if self._event is not self._outer:
            self._outer["Message"] = json.dumps(self._event)
        return json.dumps(self._outer)


def address_in(message: Parked) -> str | None:
    """The lead's address as it was published, however wrong it is."""
    try:
        given = _Body(message.body).lead.get("email")
    except ValueError:
        return None
    return None if given is None else _shown(given)


@dataclass(frozen=True)
class Exported:
    """A table of leads for a file, and the messages that have no row: `parked edit` can correct those."""

    text: str
    rows: int
    left_out: list[Parked]


def export(messages: Iterable[Parked]) -> Exported:
    """As comma separated text, one row for each event and body."""
    rows: dict[str, dict[str, str]] = {}
    left_out = []
    for message in messages:
        row = _row(message)
        if row is None:
            left_out.append(message)
        else:
            rows[message.parked_id] = row
    used = {name for row in rows.values() for name in row}
    known = [name for name in LEAD_FIELDS if name in used and name not in _ALWAYS]
    free = sorted(used - set(known) - set(_ALWAYS) - set(_OWN))
    file = io.StringIO()
    writer = csv.DictWriter(file, [*_OWN, *_ALWAYS, *known, *free], restval="")
    writer.writeheader()
    writer.writerows({name: safe(text) for name, text in row.items()} for row in rows.values())
    return Exported(file.getvalue(), len(rows), left_out)


def _row(message: Parked) -> dict[str, str] | None:
    try:
        body = _Body(message.body)
        fields = {name: _shown(value) for name, value in _columns(body.lead).items()}
        "".join(fields.values()).encode()
    except ValueError:  # half of a surrogate pair, too
        return None
    if any(len(text) > _LONGEST_CELL for text in fields.values()):
        return None
    why = f"{message.reason}: {in_words(message.detail)}"[:_LONGEST_CELL]
    return {PARKED_ID: message.parked_id, REASON: why, OPERATION: body.operation} | fields


def _columns(lead: Mapping[str, Json]) -> dict[str, Json]:
    """The values that have a column. A custom field has one of its own, as in an imported file."""
    shown = {name: value for name, value in lead.items() if _is_column(name)}
    custom = _custom(lead)
    if custom is not None:
        shown.pop("customFields", None)
        shown |= {CUSTOM + name: value for name, value in custom.items()}
    return shown


def _is_column(name: str) -> bool:
    """Whether a field's name comes back as it is, and is none of ours."""
    is_plain = name.isprintable() and name == name.strip() == safe(name) != ""
    return is_plain and name.casefold() not in _OWN and not name.startswith(CUSTOM)


def _custom(lead: Mapping[str, Json]) -> dict[str, Json] | None:
    """The custom fields by their names; None unless each has a name of its own that can be a column's."""
    found: dict[str, Json] = {}
    given = lead.get("customFields") or []
    for entry in given if isinstance(given, list) else [None]:
        name = entry.get("name") if isinstance(entry, dict) and set(entry) == {"name", "value"} else None
        if not isinstance(name, str) or name in found or not _is_column(name):
            return None
        found[name] = entry["value"] if isinstance(entry, dict) else None
    return found


def _shown(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Correction:
    """A changed row: the message with its new body, and others with the same event and body."""

    message: Parked
    copies: Sequence[Parked]


@dataclass
class Corrections:
    """What a table says of the parked messages.

    `wrong`: by the number of its row, what is wrong with it. `changed`: in how many rows each column was
    changed. `ignored`: columns that are no field of a lead. `gone`: rows whose event isn't parked any more,
    `edited`: rows whose event is parked with another body than the one that was exported.
    """

    rows: int = 0
    unchanged: int = 0
    gone: int = 0
    edited: int = 0
    to_send: list[Correction] = field(default_factory=list)
    wrong: dict[int, list[str]] = field(default_factory=dict)
    changed: Counter[str] = field(default_factory=Counter)
    ignored: set[str] = field(default_factory=set)


def read_corrections(
    table: Table, messages: Iterable[Parked], settings: DeployedSettings, constants: Mapping[str, Json]
) -> Corrections:
    """`constants`: fields with one value in all rows, which wins over the table's."""
    parked: dict[str, list[Parked]] = {}
    events = set()
    for each in messages:
        parked.setdefault(each.parked_id, []).append(each)
        events.add(each.event_id)
    found = Corrections()
    seen: dict[str, int] = {}
    for row in table.rows():
        found.rows += 1
        cells = {name: original(str(text)).strip() for name, text in row.cells}
        parked_id = cells.get(PARKED_ID, "")
        problems = _row_problems(row, table, parked_id, seen)
        seen.setdefault(parked_id, row.number)
        if problems:
            found.wrong[row.number] = problems
        elif parked_id in parked:
            _correct(found, row.number, {**cells, **constants}, parked[parked_id], settings)
        elif parked_id.rpartition("#")[0] in events:
            found.edited += 1
        else:
            found.gone += 1
    return found


def _row_problems(row: Row, table: Table, parked_id: str, seen: Mapping[str, int]) -> list[str]:
    if row.problem:
        return [row.problem]
    if not parked_id:
        return [f"has no {PARKED_ID}: a new lead belongs into a file without that column"]
    if parked_id in seen:
        return [f"is the same parked lead as {table.unit} {seen[parked_id]}"]
    return []


def _correct(
    found: Corrections,
    number: int,
    cells: Mapping[str, Json],
    copies: Sequence[Parked],
    settings: DeployedSettings,
) -> None:
    message = copies[0]
    body = _Body(message.body)
    lead, changed, problems = _changed_lead(body.lead, cells, found.ignored)
    operation = str(cells.get(OPERATION, body.operation))
    if operation != body.operation:
        changed.append(OPERATION)
    if not changed:
        found.unchanged += 1
        return
    if operation not in list(Operation):
        problems.append(f"{OPERATION}: must be one of {', '.join(Operation)}")
    if not problems:
        corrected = message.with_body(body.with_changes(lead, operation))
        reading = corrected.read(settings)
        if isinstance(reading, LeadEvent):
            found.to_send.append(Correction(corrected, copies[1:]))
            found.changed.update(changed)
            return
        problems = [each.removeprefix("lead.") for each in in_words(reading.summary).split("; ")]
    found.wrong[number] = problems


def _changed_lead(
    before: Mapping[str, Json], cells: Mapping[str, Any], ignored: set[str]
) -> tuple[dict[str, Json], list[str], list[str]]:
    """The lead with what the cells change, the names of the columns that do, and what can't be done."""
    lead, custom, columns = dict(before), _custom(before), _columns(before)
    changed, problems = [], []
    for name, cell in cells.items():
        if name in _OWN:
            continue
        is_custom = name.startswith(CUSTOM)
        value = _value(name, cell, columns.get(name))
        if value == columns.get(name) and type(value) is type(columns.get(name)):
            continue
        if name not in columns and name not in LEAD_FIELDS and not is_custom:
            ignored.add(name)
            continue
        changed.append(name)
        if not is_custom:
            lead[name] = value
        elif custom is None:
            problems.append(f"{name}: this lead's customFields can't be changed in a table")
        else:
            custom[name.removeprefix(CUSTOM)] = value
    if custom is not None and any(name.startswith(CUSTOM) for name in changed):
        entries: list[Json] = [
            {"name": name, "value": value} for name, value in custom.items() if value is not None
        ]
        lead["customFields"] = entries
    return {name: value for name, value in lead.items() if value is not None}, changed, problems


def _value(name: str, cell: str, before: Json) -> Json:
    """What a cell says, in the type that the value had; a number in a field of texts becomes a text."""
    text = _one_form(cell)
    if text == _one_form(_shown(before)):
        is_number = isinstance(before, int | float) and not isinstance(before, bool)
        return text if is_number and name in _TEXTS else before
    if not text:
        return None
    if name not in _TEXTS and before is not None and not isinstance(before, str):
        try:
            return json.loads(text)  # type: ignore[no-any-return]
        except ValueError:
            return text
    return text


def _one_form(text: str) -> str:
    """Spreadsheets write line ends in their own way, and the function trims each text."""
    return text.strip().replace("\r\n", "\n").replace("\r", "\n")
