"""All that the import needs of AWS: the lead queue and the ledger. `leadctl/aws_door.py` has it on boto3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Progress(Enum):
    """How far an event is."""

    OPEN = "open"  # waits, or is under way
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"  # a later event of the lead has set all that it asked for
    PARKED = "parked"


@dataclass(frozen=True)
class KnownEvent:
    """One event in the ledger; `reason` is free of personal data."""

    progress: Progress
    is_create: bool
    reason: str = ""


@dataclass(frozen=True)
class KnownLead:
    """One lead in the ledger, with its events by their keys. `is_at_7targets`: an answer has shown it."""

    is_at_7targets: bool = False
    events: Mapping[str, KnownEvent] = field(default_factory=dict)

    @property
    def will_be_there(self) -> bool:
        """Whether it is at 7Targets, or a create of it is on the way."""
        return self.is_at_7targets or any(
            each.is_create and each.progress is Progress.OPEN for each in self.events.values()
        )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the lead queue. `lead_hash` and `key` are hashes."""

    body: str
    lead_hash: str
    key: str

    @property
    def size(self) -> int:
        """In bytes; lengths and names of the entry generously."""
        return len(self.body.encode()) + 500


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A message of a batch that the queue didn't take; `for_good`: nor will it ever."""

    index: int
    reason: str
    for_good: bool


class Door(Protocol):
    """Either call raises what AWS's client raises."""

    def look(self, lead_hashes: Sequence[str]) -> Mapping[str, KnownLead]:
        """Those leads of at most 100 that the ledger knows, as they are now."""
        ...

    def send(self, batch: Sequence[Outgoing]) -> Sequence[NotTaken]:
        """Sends at most ten messages; returns those that were not taken."""
        ...

    def words(self, keys: Sequence[str]) -> Mapping[str, str]:
        """What the API said of parked events, as far as their messages are still parked."""
        ...
