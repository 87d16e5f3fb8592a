"""What becomes of a message whose event was not delivered: parked for a person, or back for later."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from botocore.exceptions import BotoCoreError, ClientError

from .aws_error import error_code
from .breaker import CircuitBreaker
from .dead_letters import DeadLetterQueue
from .event.envelope import Reading
from .event.message import Message
from .lead_state import EventRecord, State
from .ledger import Claim, Completion, Ledger, new_record
from .outcome import (
    BreakerOpenError,
    DeferredError,
    DeliveryError,
    LedgerError,
    Outcome,
    RejectedError,
    RetryError,
    SuspectError,
    UnconfirmedError,
)
from .retry_policy import deferral_delay_s, retry_delay_s
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt at one message.

    All but `message`, `reading` and `sequence` is free of personal data.

    `delay_s` is None for a message that leaves the lead queue (delivered, or `parked` in the dead-letter
    queue), else the seconds until it comes back. `deferred`: put off, which is no fault. `delivery_s` of a
    delivered event: the seconds since it was first sent. `deaths` of an event that has to be tried alone: how
    often an execution environment ended while it delivered the event. `completion` is written
    into the ledger together with those of other attempts.
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
    deaths: int = 0
    completion: Completion | None = None
    duration_ms: int = 0


class Settlement:
    """Settles messages. Safe under threads; one for each execution environment."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        dead_letters: DeadLetterQueue,
        breaker: CircuitBreaker,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._breaker = breaker

    def settle(
        self,
        message: Message,
        reading: Reading,
        error: DeliveryError,
        claim: Claim | None = None,
        record: EventRecord | None = None,
    ) -> Attempt:
        """Parks the event or gives its message a delay; `record` is the event as its attempt left it."""
        outcome, reason, now = error.outcome, error.summary, time.time()
        delay_s: int | None = self._delay_s(message, now, error)
        parked, parking_refused = self._is_for_a_person(message, now, error), False
        if record is not None and record.unanswered and (parked or outcome is Outcome.RETRY):
            outcome = Outcome.UNCONFIRMED
        if parked:
            try:
                self._dead_letters.park(message, reading.event_id, outcome, error)
                delay_s = None
            except (ClientError, BotoCoreError) as fault:
                parked, parking_refused = False, True
                reason = f"{reason}; the dead-letter queue refused it ({error_code(fault)})"
        settled = replace(
            record or new_record(reading, message, int(now)),
            state=State.PARKED if parked else State.WAITING,
            message_id=message.message_id,
            updated_s=int(now),
            due_s=int(now) + (delay_s or 0),
            reason=reason,
            parked_as=outcome if parked else "",
        )
        written = not isinstance(error, LedgerError)
        if claim is not None:
            quiet_s = self._settings.settling_s if isinstance(error, UnconfirmedError) else 0
            written = self._ledger.complete(claim, settled, quiet_s=quiet_s)
        if delay_s is not None and _leaves_a_claim(claim, written, error):
            delay_s = min(delay_s, self._longest_delay_of_the_living_s())
        if parked and reading.lead_hash is not None and (claim is None or not written):
            written = self._ledger.note(reading.lead_hash, settled)
        return Attempt(
            message,
            reading,
            outcome,
            delay_s=delay_s,
            parked=parked,
            status=error.status,
            reason=reason,
            ledger_written=written,
            deferred=isinstance(error, DeferredError),
            parking_refused=parking_refused,
            deaths=settled.deaths if isinstance(error, SuspectError) else 0,
        )

    def _is_for_a_person(self, message: Message, now: float, error: DeliveryError) -> bool:
        if isinstance(error, RejectedError):
            return True
        if _was_never_tried(error):
            return False
        return now - message.sent_at >= self._settings.park_after_s

    def _longest_delay_of_the_living_s(self) -> int:
        """A message that is back by then shows that nothing died over it: `EventRecord.was_handed_back`."""
        calls_s = 60
        return max(self._settings.settling_s, self._settings.visibility_timeout_s // 2 - calls_s)

    def _delay_s(self, message: Message, now: float, error: DeliveryError) -> int:
        age_s = max(0.0, now - message.sent_at)
        base_s, max_s = self._settings.retry_base_delay_s, self._settings.retry_max_delay_s
        jitter = random.random()  # noqa: S311 - spreads load, protects nothing
        if isinstance(error, BreakerOpenError):
            return deferral_delay_s(
                message.receive_count,
                age_s,
                base_s=base_s,
                max_s=max_s,
                longest_probe_interval_s=self._breaker.longest_interval_s,
                jitter=jitter,
            )
        if isinstance(error, DeferredError):
            return round(error.delay_s)
        delay_s = retry_delay_s(
            message.receive_count,
            age_s,
            base_s=base_s,
            max_s=max_s,
            jitter=jitter,
            retry_after_s=error.retry_after_s if isinstance(error, RetryError) else None,
        )
        if isinstance(error, UnconfirmedError):
            # Until then the ledger refuses the lead.
            return max(delay_s, self._settings.settling_s + 1)
        return delay_s


def _leaves_a_claim(claim: Claim | None, written: bool, error: DeliveryError) -> bool:
    """Whether the next claim may find one that was not completed."""
    if claim is None:
        return isinstance(error, LedgerError) and error.may_be_written
    return not written


def _was_never_tried(error: DeliveryError) -> bool:
    """True when another event goes first or time ran out. Such a lead isn't parked for its age."""
    return isinstance(error, DeferredError) and not isinstance(error, BreakerOpenError)
