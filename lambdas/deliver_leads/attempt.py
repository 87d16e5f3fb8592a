"""What came of one attempt at one message."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .contract import Outcome
from .event.envelope import Reading
from .event.message import Message
from .ledger import Completion


@dataclass(frozen=True, slots=True)
class Attempt:
    """All but `message`, `reading` and `sequence` is free of personal data.

    `delay_s` is None for a message that leaves the lead queue (delivered, or `parked` in the dead-letter
    queue), else the seconds until it comes back. `deferred`: nothing was tried, which is no fault.
    `delivery_s` of a delivered event: the seconds since it was first sent. `crashes` of an event that has to
    be tried alone: how often the function crashed while it delivered the event. `completion` is written into
    the ledger together with those of other attempts.
    """

    message: Message
    reading: Reading
    outcome: Outcome
    delay_s: int | None = None
    parked: bool = False
    status: int | None = None
    reason: str | None = None
    lead_id: int | str | None = None
    lead_state: str | None = None
    next_schedule_time: int | str | None = None
    sequence: Mapping[str, int | str] = field(default_factory=dict)
    ledger_written: bool = True
    deferred: bool = False
    parking_refused: bool = False
    delivery_s: float | None = None
    crashes: int = 0
    completion: Completion | None = None
    duration_ms: int = 0
