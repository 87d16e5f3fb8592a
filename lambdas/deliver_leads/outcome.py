"""What can become of a lead event, and the errors that say what to do next.

    DeliveryError
    ├── RejectedError        caused by the lead: park it now
    │   └── UndecidedError   nothing shows whether the event took effect: park it now, a person looks
    └── RetryError           not caused by the lead: return it to the queue, for later
        ├── UnconfirmedError a request left and no answer came: wait for the settling time, then send again
        ├── UnknownLeadError an update or stop came before its create: wait a grace period
        ├── LedgerError      the ledger can't be used, so nothing was sent
        ├── BlockedError     a setting is wrong: a person fixes it, then leads flow by themselves
        ├── DeferredError    nothing was sent: no time left, or another event goes first
        └── NotNowError      nothing was sent because the API takes nothing now
            ├── BreakerOpenError  it is down
            └── NoRoomError       it is limited

Every error has a `summary` that is free of personal data (it is logged) and a `detail` that may hold the
API's own words about the lead (it goes to the dead-letter queue only).
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from .contract import Outcome


@dataclass(frozen=True, slots=True)
class DeliveredLead:
    """What 7Targets answered for a lead that it holds.

    `state` is the vendor's word (`Cold`, `New`, `DeActivated`, ...): a lead taken over the plan's limit
    comes back as `New` and is not followed up, so people must be able to see it. `sequence` holds the
    fields `scheduleId` and `scheduleName`, as far as they were answered. `next_schedule_time`: when the next
    message is sent, as 7Targets writes it. State and time are safe to log, `sequence` isn't.
    """

    lead_id: int | str
    state: str | None
    status: int
    sequence: Mapping[str, int | str] = field(default_factory=dict)
    next_schedule_time: int | str | None = None


class DeliveryError(Exception):
    """A lead event that was not delivered by this attempt."""

    outcome: ClassVar[Outcome]

    def __init__(self, summary: str, *, detail: str = "", status: int | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail or summary
        self.status = status


class RejectedError(DeliveryError):
    """Caused by the lead itself: sending it again can't help, so a person fixes or drops it."""

    outcome = Outcome.REJECTED


class UndecidedError(RejectedError):
    """A person has to look, because neither 7Targets nor the ledger shows whether the event took effect."""

    outcome = Outcome.UNCONFIRMED


class RetryError(DeliveryError):
    """Not caused by the lead.

    `shared` means that any other lead would have met the same fault, so it counts towards the circuit
    breaker; `retry_after_s` is what the API asked for, in seconds. `place_s`: the API is limited, and so many
    seconds from now it may have room.
    """

    outcome = Outcome.RETRY

    def __init__(
        self,
        summary: str,
        *,
        detail: str = "",
        status: int | None = None,
        shared: bool = True,
        retry_after_s: float | None = None,
        place_s: float | None = None,
    ) -> None:
        super().__init__(summary, detail=detail, status=status)
        self.shared = shared
        self.retry_after_s = retry_after_s
        self.place_s = place_s


class UnconfirmedError(RetryError):
    """The request left and no answer came: it took effect, may still do so, or never will."""

    outcome = Outcome.UNCONFIRMED


class UnknownLeadError(RetryError):
    """7Targets doesn't know the lead that is to be updated or stopped."""


class LedgerError(RetryError):
    """The ledger can't be read or written, and without it nothing may be sent."""

    def __init__(self, code: str, *, may_be_written: bool = False) -> None:
        """`may_be_written`: no answer came, so the write may have taken effect."""
        super().__init__(f"delivery ledger: {code}", shared=False)
        self.may_be_written = may_be_written


class BlockedError(RetryError):
    """Credentials or configuration are wrong. `summary` is `what` is wrong, and its `remedy`."""

    outcome = Outcome.BLOCKED

    def __init__(self, what: str, *, remedy: str = "", detail: str = "", status: int | None = None) -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what, detail=detail, status=status)
        self.what = what
        self.remedy = remedy


class DeferredError(RetryError):
    """Nothing was sent by this attempt. `delay_s` replaces the retry policy's own delay."""

    def __init__(self, summary: str, *, delay_s: float = 0) -> None:
        super().__init__(summary, shared=False)
        self.delay_s = delay_s


class NotNowError(RetryError):
    """Nothing was sent by this attempt because of the state that the API is in."""

    def __init__(self, summary: str, place_s: float | None = None) -> None:
        super().__init__(summary, shared=False, place_s=place_s)


class BreakerOpenError(NotNowError):
    """The API counts as down; the retry policy chooses the delay."""


class NoRoomError(NotNowError):
    """The API is limited, and the lead's turn isn't soon (`pace.py`)."""

    def __init__(self, cause: str, place_s: float) -> None:
        super().__init__(f"waits for its turn, because {cause}", place_s)


def describe_unforeseen(error: Exception) -> str:
    """Where an unexpected error arose, without its message, because that may quote personal data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"internal error: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
