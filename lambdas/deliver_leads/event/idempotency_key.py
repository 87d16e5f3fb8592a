"""By which events are told apart: the one place that knows how a key is made."""

import hashlib
from dataclasses import dataclass

from .lead import Operation


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What makes two events of one lead the same event.

    `text` is stored and logged: it holds hashes only. `from_content` is true for a create without a key of
    its producer's: it is told apart by the lead itself, and so remembered for a shorter time.
    """

    text: str
    from_content: bool


def derive_key(
    given: str | None, operation: Operation, email: str, assistant: str, event_id: str
) -> IdempotencyKey:
    """The producer's key; else, for a create, its address and assistant; else the event's id."""
    if given is not None:
        return IdempotencyKey(f"key#{sha256(given)}", from_content=False)
    if operation is Operation.CREATE:
        return IdempotencyKey(f"create#{sha256(f'{email}|{assistant}')}", from_content=True)
    return IdempotencyKey(f"event#{sha256(event_id)}", from_content=False)


def hash_address(email: str) -> str:
    """The lead's name in ledger and log: the SHA-256 of its address in lower case."""
    return sha256(email.lower())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
