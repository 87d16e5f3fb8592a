"""One lead event: admitted by the breaker, claimed in the ledger, sent; then its message is settled."""

import random
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from .api.http_client import Deadline, HttpClient
from .api.leads_api import LeadsApi
from .breaker import CircuitBreaker, Evidence
from .dead_letters import DeadLetterQueue
from .event.envelope import LeadEvent, Reading, UnreadableError
from .event.lead import Operation
from .event.message import Message
from .ledger import Claim, Duplicate, Ledger, State
from .outcome import (
    BreakerOpenError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    Outcome,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UnknownLeadError,
)
from .retry_policy import deferral_delay_s, retry_delay_s
from .settings import Settings


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt at one message; free of personal data, so it can be logged.

    `delay_s` is None for a message that leaves the lead queue (delivered, or `parked` in the dead-letter
    queue), else the seconds until it comes back.
    """

    message: Message
    event: LeadEvent | None
    event_id: str
    outcome: Outcome
    delay_s: int | None = None
    parked: bool = False
    status: int | None = None
    reason: str | None = None
    lead_id: int | str | None = None
    lead_state: str | None = None
    ledger_written: bool = True
    duration_ms: int = 0


class Delivery:
    """Delivers lead events. Safe under threads; one for each execution environment."""

    def __init__(
        self,
        settings: Settings,
        http: HttpClient,
        api: LeadsApi,
        ledger: Ledger,
        dead_letters: DeadLetterQueue,
        breaker: CircuitBreaker,
    ) -> None:
        self._settings = settings
        self._http = http
        self._api = api
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._breaker = breaker

    def attempt(self, message: Message, reading: Reading, deadline: Deadline) -> Attempt:
        """Never raises: an unforeseen error is a retry, so that a bug harms no other lead of the batch."""
        if isinstance(reading, UnreadableError):
            return self._settle(message, reading, reading)
        started = time.monotonic()
        try:
            attempt = self._deliver(message, reading, deadline)
        except DeliveryError as error:
            attempt = self._settle(message, reading, error)
        except Exception as error:
            attempt = self._settle(message, reading, RetryError(_describe(error), shared=False))
        return replace(attempt, duration_ms=round((time.monotonic() - started) * 1000))

    def defer(self, message: Message, reading: Reading, ahead: Attempt) -> Attempt:
        """Returns a message untried, because the one `ahead`, an earlier event of the lead, is going back."""
        error = DeferredError("waits for an earlier event of its lead", delay_s=(ahead.delay_s or 0) + 1)
        return self._settle(message, reading, error)

    def _deliver(self, message: Message, event: LeadEvent, deadline: Deadline) -> Attempt:
        self._http.require_time(deadline)
        is_probe = self._breaker.admit(deadline() - self._http.longest_call_s)
        evidence, cause = Evidence.NONE, ""
        try:
            claim = self._ledger.claim(event, message, lease_s=deadline())
            if isinstance(claim, Duplicate):
                return Attempt(message, event, event.event_id, Outcome.DUPLICATE, lead_id=claim.lead_id)
            try:
                lead = self._send(claim, deadline)
            except DeliveryError as error:
                evidence, cause = _evidence(error), error.summary
                raise self._release(claim, error) from None
            evidence = Evidence.HEALTHY
            written = self._ledger.complete(claim, lead)
        finally:
            self._breaker.settle(is_probe, evidence, cause)
        return Attempt(
            message,
            event,
            event.event_id,
            Outcome.DELIVERED,
            status=lead.status,
            lead_id=lead.lead_id,
            lead_state=lead.state,
            ledger_written=written,
        )

    def _send(self, claim: Claim, deadline: Deadline) -> DeliveredLead:
        event = claim.event
        if event.operation is Operation.CREATE and claim.maybe_sent:
            try:
                # A later update that was applied proves the create, and must not be undone by confirming.
                return self._ledger.find_follower(event) or self._api.confirm(event.lead, deadline)
            except UnknownLeadError:
                claim.maybe_sent = False
        try:
            return self._api.send(event.operation, event.lead, deadline)
        except UnconfirmedError:
            claim.maybe_sent = True
            raise

    def _release(self, claim: Claim, error: DeliveryError) -> DeliveryError:
        """Returns the error to act on, after noting in the ledger what the next attempt must know."""
        if isinstance(error, UnknownLeadError):
            claim.unknown_since = claim.unknown_since or int(time.time())
            if time.time() - claim.unknown_since >= self._settings.update_grace_s:
                why = "7Targets doesn't know this lead, and no create came within the grace period"
                error = RejectedError(
                    f"{error.summary}: {why}", detail=f"{error.detail} ({why})", status=error.status
                )
                claim.unknown_since = None
        if claim.maybe_sent and claim.event.operation is Operation.CREATE:
            error.create_may_stand = True
            self._ledger.release(claim, State.SENDING)
        else:
            is_rejected = isinstance(error, RejectedError)
            self._ledger.release(claim, State.REJECTED if is_rejected else State.WAITING)
        return error

    def _settle(self, message: Message, reading: Reading, error: DeliveryError) -> Attempt:
        age_s = max(0.0, time.time() - message.sent_at)
        event = reading if isinstance(reading, LeadEvent) else None
        outcome = error.outcome
        if error.create_may_stand and outcome in {Outcome.REJECTED, Outcome.RETRY}:
            outcome = Outcome.UNCONFIRMED
        park = isinstance(error, RejectedError) or (
            age_s >= self._settings.park_after_s and not _was_never_tried(error)
        )
        delay_s = None if park else self._delay_s(message, age_s, error)
        reason = error.summary
        if park:
            try:
                self._dead_letters.park(message, reading.event_id, outcome, error)
            except (ClientError, BotoCoreError) as fault:
                park = False
                delay_s = self._delay_s(message, age_s, error)
                reason = f"{reason}; the dead-letter queue refused it ({type(fault).__name__})"
        return Attempt(
            message,
            event,
            reading.event_id,
            outcome,
            delay_s=delay_s,
            parked=park,
            status=error.status,
            reason=reason,
        )

    def _delay_s(self, message: Message, age_s: float, error: DeliveryError) -> int:
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
        return retry_delay_s(
            message.receive_count,
            age_s,
            base_s=base_s,
            max_s=max_s,
            jitter=jitter,
            retry_after_s=error.retry_after_s if isinstance(error, RetryError) else None,
        )


def _evidence(error: DeliveryError) -> Evidence:
    if isinstance(error, RetryError) and error.shared:
        return Evidence.FAULT
    # The API did answer: a rejection or an unknown lead says that it works.
    return Evidence.HEALTHY if error.status is not None else Evidence.NONE


def _was_never_tried(error: DeliveryError) -> bool:
    """True when another attempt held the event or time ran out. Such a lead isn't parked for its age."""
    return isinstance(error, DeferredError) and not isinstance(error, BreakerOpenError)


def _describe(error: Exception) -> str:
    """Where an unforeseen error arose, without its message: that may quote personal data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"internal error: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
