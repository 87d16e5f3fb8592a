"""What identifies an event: the one place that knows how a key is made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from .address import same_address
from .lead import ADDRESS_FIELDS, Json, Operation
from .loggable import sha256


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes two events of one lead the same event: `text` and `digest` are the same.

    `digest` is that of the content as it was published, before any default: another setting makes no other
    event. `from_content` is true for a create without a key of its producer's, which only its content
    identifies, so that it counts as the same for a shorter time. Both texts are stored, and `text` is logged:
    they are hashes.
    """

    text: str
    digest: str
    from_content: bool


def derive_key(
    given: str | None, operation: Operation, published: Mapping[str, Json], event_id: str
) -> IdempotencyKey:
    """The producer's key; else, for a create, all that it says of its lead; else the event's id.

    The producer's key holds for one operation: a CRM that gives its record's id with every event still means
    three things by a create, an update and a stop.
    """
    content = f"{operation} {_canonical(published)}"
    digest = sha256(content)[:12]
    if given is not None:
        return IdempotencyKey(_short(f"key {operation} {given}"), digest, from_content=False)
    if operation is Operation.CREATE:
        return IdempotencyKey(_short(f"content {content}"), digest, from_content=True)
    return IdempotencyKey(_short(f"event {event_id}"), digest, from_content=False)


def _short(text: str) -> str:
    """64 bits, because it distinguishes the events of one lead only."""
    return sha256(text)[:16]


def hash_address(email: str) -> str:
    """The lead's name in ledger and log: the SHA-256 of its address, however it is written."""
    return sha256(same_address(email))


def _canonical(lead: Mapping[str, Json]) -> str:
    """One text for one content, whatever the order of the fields and the case of the addresses."""
    folded = {
        name: same_address(field) if name in ADDRESS_FIELDS and isinstance(field, str) else field
        for name, field in lead.items()
    }
    return json.dumps(folded, sort_keys=True, separators=(",", ":"))
