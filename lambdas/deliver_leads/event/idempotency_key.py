"""By which events are told apart: the one place that knows how a key is made."""

import json
from dataclasses import dataclass

from .lead import ADDRESS_FIELDS, Json, Operation
from .loggable import sha256


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes two events of one lead the same event.

    `text` is stored and logged: it holds hashes only. `from_content` is true for a create without a key of
    its producer's: it is told apart by the lead itself, and so remembered for a shorter time.
    """

    text: str
    from_content: bool


def derive_key(
    given: str | None, operation: Operation, lead: dict[str, Json], event_id: str
) -> IdempotencyKey:
    """The producer's key; else, for a create, all that it says of its lead; else the event's id.

    The producer's key holds for one operation: a CRM that gives its record's id with every event still means
    three things by a create, an update and a stop.
    """
    if given is not None:
        return IdempotencyKey(f"key#{operation}#{sha256(given)}", from_content=False)
    if operation is Operation.CREATE:
        return IdempotencyKey(f"create#{sha256(_canonical(lead))}", from_content=True)
    return IdempotencyKey(f"event#{sha256(event_id)}", from_content=False)


def hash_address(email: str) -> str:
    """The lead's name in ledger and log: the SHA-256 of its address in lower case."""
    return sha256(email.lower())


def _canonical(lead: dict[str, Json]) -> str:
    """One text for one content, whatever the order of the fields and the case of the addresses."""
    folded = {
        name: field.lower() if name in ADDRESS_FIELDS and isinstance(field, str) else field
        for name, field in lead.items()
    }
    return json.dumps(folded, sort_keys=True, separators=(",", ":"))
