"""From a row to a lead with its key, by the function's own rules, or to everything that is wrong with it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deliver_leads.event.address import same_address
from deliver_leads.event.envelope import LeadEvent, UnreadableError, read_event
from deliver_leads.event.idempotency_key import derive_key
from deliver_leads.event.lead import Json, Operation
from deliver_leads.event.loggable import sha256
from deliver_leads.event.message import Message
from leadctl.importing.columns import Columns
from leadctl.importing.scratch import Scratch
from leadctl.importing.table import Row, Table

# SQS takes more since 2025, but not in every emulator, and no lead needs a quarter of it.
LARGEST_BODY_BYTES = 200_000
_encode = json.JSONEncoder(ensure_ascii=False).encode
NO_SUCH_ASSISTANT = "assistantEmail: the 7Targets user has no such assistant"


@dataclass(frozen=True, slots=True)
class Lead:
    """A row that can be sent. `key` is its `idempotencyKey`, made of its content."""

    number: int
    fields: Mapping[str, Json]
    lead_hash: str
    key: str

    def ledger_key(self, operation: Operation) -> str:
        """By which the ledger knows the event."""
        return derive_key(self.key, operation, {}, "").text

    def body(self, operation: Operation) -> str:
        """The message."""
        return _json({"operation": operation, "idempotencyKey": self.key, "lead": self.fields})


@dataclass(frozen=True, slots=True)
class Wrong:
    """A row that can't be sent, with a sentence for each reason; none repeats a value."""

    row: Row
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """What makes leads of a table's rows: the columns, and the settings of the stage that they go to."""

    columns: Columns
    lead_defaults: Mapping[str, str]
    event_sources: tuple[str, ...] = ()
    campaign: str = ""
    # The addresses of the user's assistants, as `same_address` gives them; None if they aren't known.
    assistants: frozenset[str] | None = None

    def check(self, row: Row) -> Lead | Wrong:
        """Alone, without the other rows."""
        if row.problem:
            return Wrong(row, (row.problem,))
        fields, problems = self.columns.lead(row)
        body = _json({"operation": Operation.CREATE, "lead": fields})
        if len(body.encode("utf-8", "replace")) > LARGEST_BODY_BYTES:
            return Wrong(row, (f"has more than {LARGEST_BODY_BYTES:,} bytes",))
        try:
            event = read_event(Message("-", "", body, 1, 0), self.lead_defaults, self.event_sources)
        except UnreadableError as error:
            found = (each.removeprefix("lead.") for each in error.summary.split(" | "))
            return Wrong(row, (*problems, *found))
        if (
            self.assistants is not None
            and same_address(str(event.lead["assistantEmail"])) not in self.assistants
        ):
            problems.append(NO_SUCH_ASSISTANT)
        if problems:
            return Wrong(row, tuple(problems))
        if (
            isinstance(given := fields["email"], str)
            and given.casefold() != str(event.lead["email"]).casefold()
        ):
            self.columns.cleaner.freed["around an address"] += 1
        return Lead(row.number, event.lead, event.lead_hash, content_key(event, self.campaign))

    def checked(self, table: Table, scratch: Scratch) -> Iterator[Lead | Wrong]:
        """The rows that are meant; the second one of a lead is wrong, because 7Targets has one of each."""
        for row in table.rows():
            if not row.problem and not self.columns.takes(row):
                continue
            found = self.check(row)
            if isinstance(found, Lead):
                first = scratch.first_row(found.lead_hash, found.number)
                if first != found.number:
                    found = Wrong(row, (f"same lead as {table.unit} {first}",))
            yield found


def content_key(event: LeadEvent, campaign: str) -> str:
    """Equal for equal leads, in whichever row, order or file, and different as soon as a field differs.

    Made of the lead with the stage's defaults, the addresses in lower case.
    """
    key = derive_key(None, Operation.CREATE, event.lead, "")
    return f"import-{sha256(f'{key.text} {campaign}')}"


def _json(value: object) -> str:
    text = _encode(value)
    # The only two characters in JSON that SQS refuses.
    return json.dumps(value) if "\ufffe" in text or "\uffff" in text else text
