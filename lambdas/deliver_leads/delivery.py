"""The way of one lead event: admitted by breaker and pace, claimed, sent, and parked or returned.

What to do is decided in two pure places: `next_call.py` before anything is sent, `after_call.py` afterwards.
"""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import get_ident

from botocore.exceptions import BotoCoreError, ClientError

from .after_call import (
    delivered,
    failed,
    is_old,
    judge,
    longest_delay_with_open_claim_s,
    not_delivered,
    superseded,
)
from .api.http_client import LONGEST_AWS_CALL_S, HttpClient, TimeLeft
from .api.leads_api import LeadsApi
from .attempt import Attempt
from .aws_error import error_code
from .breaker import CircuitBreaker, Evidence
from .contract import RESERVE_S, Outcome
from .dead_letters import DeadLetterQueue
from .event.envelope import LeadEvent, Reading
from .event.lead import Json, Operation
from .event.message import Message
from .ledger import Claim, Completion, EarlyClaim, Ledger
from .next_call import Refuse, Send, Skip, Wait, next_call
from .outcome import (
    BlockedError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    LedgerError,
    NotNowError,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UndecidedError,
    UnknownLeadError,
    describe_unforeseen,
)
from .pace import Pace
from .setters import SEQUENCE_FIELDS
from .settings import Settings

# If 7Targets took a lead of another assistant within this time, a 403 is counted by assistant.
ASSISTANT_TAKEN_S = 900


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
        pace: Pace,
    ) -> None:
        self._settings = settings
        self._http = http
        self._api = api
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._breaker = breaker
        self._pace = pace
        self._last_taken: tuple[str, float] = ("", 0.0)

    def claim_new(
        self, events: Sequence[tuple[LeadEvent, Message]], time_left: TimeLeft
    ) -> list[EarlyClaim | None]:
        """Claims, in one call, leads that may be new; None for each if nothing may be sent now."""
        try:
            self._http.require_time(time_left)
        except DeliveryError:
            return [None] * len(events)
        if self._breaker.is_open or not self._pace.has_room(len(events)):
            return [None] * len(events)
        return [*self._ledger.claim_new(events, lease_s=time_left())]

    def prepare(self, time_left: TimeLeft) -> None:
        """Fetches the environment's first token.

        Errors are ignored here: each attempt fetches the token itself and reports its own.
        """
        if not self._breaker.is_open:
            with suppress(Exception):
                self._http.require_time(time_left)
                self._api.fetch_first_token(time_left)

    def complete(self, attempts: Sequence[Attempt], time_left: TimeLeft) -> list[Attempt]:
        """Writes the completions that attempts have left, in one call."""
        completions = [attempt.completion for attempt in attempts if attempt.completion]
        written = iter(
            self._ledger.complete_together(completions, lambda: _has_time(time_left)) if completions else []
        )
        return [
            self._stored(attempt, next(written)) if attempt.completion else attempt for attempt in attempts
        ]

    def attempt(
        self,
        message: Message,
        reading: Reading,
        time_left: TimeLeft,
        *,
        early: EarlyClaim | None = None,
        completes_later: bool = False,
        alone: bool = False,
    ) -> Attempt:
        """Never raises: an unexpected error is a retry, so that a bug harms no other lead of the batch.

        `early`: what came of claiming its lead with others. `completes_later`: if the event is delivered,
        `complete` writes that into the ledger. `alone`: no other event is under way in this environment.
        """
        started = time.monotonic()
        try:
            if isinstance(reading, LeadEvent):
                attempt = self._deliver(message, reading, time_left, early, completes_later, alone)
            else:  # the reading is the error
                late = DeferredError("not parked, because the invocation's time is nearly over", delay_s=1)
                attempt = self._park_or_return(message, reading, reading if _has_time(time_left) else late)
        except Exception as error:
            if not isinstance(error, DeliveryError):
                error = RetryError(describe_unforeseen(error), shared=False)
            attempt = self._park_or_return(message, reading, error, leaves_claim=early is not None)
        return replace(attempt, duration_ms=round((time.monotonic() - started) * 1000))

    def _deliver(
        self,
        message: Message,
        event: LeadEvent,
        time_left: TimeLeft,
        early: EarlyClaim | None,
        completes_later: bool,
        alone: bool,
    ) -> Attempt:
        is_probe, refusal = self._admit(time_left)
        result: DeliveredLead | DeliveryError | None = None
        try:
            claim = early.claim if early else None
            if claim is None:
                # Though nothing may be sent, an old event is looked up, because the ledger says what it is
                # parked as; and a lead that an early claim may hold, because a completion has to end that.
                is_looked_up = early is not None or is_old(message, time.time(), self._settings)
                if refusal and not (isinstance(refusal, NotNowError) and is_looked_up):
                    raise refusal
                owner = early.owner if early else ""
                claim = self._ledger.claim(event, message, time_left(), owner=owner, alone=alone)
            step = next_call(
                claim.state,
                claim.record,
                event.key,
                event.lead,
                int(time.time()),
                self._settings.duplicate_window_s,
                self._settings.visibility_timeout_s,
                alone=alone,
            )
            if isinstance(step, Skip):
                return self._skip(message, claim, step)
            if isinstance(step, Wait):
                return self._wait(message, claim, step)
            if isinstance(step, Refuse):
                return self._park_or_return(message, event, RejectedError(step.reason), claim)
            if refusal:
                return self._park_or_return(message, event, refusal, claim)
            result, claim = self._send(claim, step, time_left)
            if isinstance(result, DeliveredLead):
                return self._conclude(message, claim, step, result, completes_later)
            return self._fail(message, claim, result)
        finally:
            self._pace.leave(get_ident())
            if refusal is None:
                self._note_health(is_probe, event, result)

    def _admit(self, time_left: TimeLeft) -> tuple[bool, DeliveryError | None]:
        """Whether the attempt is the breaker's probe, and why nothing may be sent now.

        What lines up must leave time for a call and for what follows it (`RESERVE_S`).
        """
        try:
            self._http.require_time(time_left)
            self._pace.line_up(get_ident(), time_left() - self._http.longest_call_s - RESERVE_S)
            return self._breaker.admit(time_left() - self._http.longest_call_s), None
        except DeliveryError as error:
            return False, error

    def _skip(self, message: Message, claim: Claim, step: Skip) -> Attempt:
        state, now_s = claim.state, int(time.time())
        if step.superseded:
            state = superseded(state, claim.record, step.reason, now_s, self._settings)
        elif step.outcome is Outcome.DUPLICATE:
            state = state.with_copy(claim.record)
        if not self._ledger.complete(claim, state):
            why = f"{step.reason}, but the ledger could not be written"
            error = DeferredError(why, delay_s=self._settings.settling_s)
            return replace(self._park_or_return(message, claim.event, error), ledger_written=False)
        return Attempt(message, claim.event, step.outcome, reason=step.reason, lead_id=state.lead_id or None)

    def _wait(self, message: Message, claim: Claim, step: Wait) -> Attempt:
        delay_s = min(step.delay_s, self._settings.retry_max_delay_s)
        waiting = self._park_or_return(
            message, claim.event, DeferredError(step.reason, delay_s=delay_s), claim
        )
        is_tried_alone = step.alone and not waiting.parked
        return replace(waiting, crashes=claim.record.crashes if is_tried_alone else 0)

    def _send(
        self, claim: Claim, step: Send, time_left: TimeLeft
    ) -> tuple[DeliveredLead | DeliveryError, Claim]:
        """The answer to the last of the event's calls, and the claim after those before it."""
        event = claim.event
        try:
            if event.operation is Operation.CREATE and step.may_exist:
                try:
                    return self._assign(step, time_left), claim
                except UnknownLeadError:
                    if claim.state.known_s and step.fields.keys() != event.lead.keys():
                        why = "7Targets no longer has this lead, of which there are later events"
                        raise UndecidedError(f"{why}; send what still holds as a new create") from None
                    # The 404 shows that an earlier request without an answer has left no trace.
                    claim = replace(claim, record=replace(claim.record, unanswered=False))
            return self._api.send(event.operation, step.fields, time_left), claim
        except DeliveryError as error:
            return error, claim
        except Exception as error:
            # It is not known where this arose, so a request may have left.
            return UnconfirmedError(describe_unforeseen(error), shared=False), claim

    def _assign(self, step: Send, time_left: TimeLeft) -> DeliveredLead:
        """Sends a create as an update, because a POST would restart the sequence of a lead that exists.

        Raises `UnknownLeadError` when 7Targets doesn't have the lead, so that the create may be POSTed.
        """
        fields = step.fields
        asked = {name: value for name, value in fields.items() if name in SEQUENCE_FIELDS}
        others = {name: value for name, value in fields.items() if name not in SEQUENCE_FIELDS}
        lead = self._api.send(Operation.UPDATE, others, time_left)
        if not asked and step.needs_mails and lead.next_schedule_time is None:
            why = "7Targets has the lead, sends it no e-mails, and starts none for a create sent as an update"
            raise UndecidedError(f"{why}; start its sequence there", status=lead.status)
        if _is_in_sequence(lead, asked):
            return lead
        lead = self._api.send(Operation.UPDATE, fields, time_left)
        if _is_in_sequence(lead, asked):
            return lead
        why = "7Targets has the lead, but leaves it in another sequence than the create asks for"
        raise UndecidedError(why, status=lead.status)

    def _fail(self, message: Message, claim: Claim, error: DeliveryError) -> Attempt:
        now_s = int(time.time())
        if isinstance(error, UndecidedError) and error.status:  # an answer has shown the lead
            claim = replace(claim, state=replace(claim.state, known_s=now_s))
        record, error = failed(
            claim.state, claim.record, error, now_s, self._api.last_success_s, self._settings
        )
        return self._park_or_return(message, claim.event, error, replace(claim, record=record))

    def _conclude(
        self,
        message: Message,
        claim: Claim,
        step: Send,
        lead: DeliveredLead,
        completes_later: bool,
    ) -> Attempt:
        event, own = claim.event, claim.record
        now_s = int(time.time())
        state = delivered(claim.state, own, step.fields, lead, now_s, self._settings)
        attempt = Attempt(
            message,
            event,
            Outcome.DELIVERED,
            status=lead.status,
            lead_id=lead.lead_id,
            lead_state=lead.state,
            # A redriven message counts from when its event first came, because its lead has waited since.
            # Never negative, though clocks differ: CloudWatch gives no percentiles of negative values.
            delivery_s=max(0.0, time.time() - message.order_ms / 1000),
            next_schedule_time=lead.next_schedule_time,
            sequence=lead.sequence,
        )
        if completes_later:
            return replace(attempt, completion=Completion(claim, state))
        return self._stored(attempt, self._ledger.complete(claim, state))

    def _stored(self, attempt: Attempt, written: bool) -> Attempt:
        """The delivered attempt; or one that comes back, if the ledger could not be written."""
        if written:
            return attempt
        error = UnconfirmedError("delivered, but the ledger could not be written", shared=False)
        again = self._park_or_return(attempt.message, attempt.reading, error, leaves_claim=True)
        return replace(again, ledger_written=False, duration_ms=attempt.duration_ms)

    def _park_or_return(
        self,
        message: Message,
        reading: Reading,
        error: DeliveryError,
        claim: Claim | None = None,
        leaves_claim: bool = False,
    ) -> Attempt:
        """Parks the event or gives its message a delay, and completes its claim.

        `leaves_claim`: no `claim` is given, but the ledger may hold one of this attempt.
        """
        now, own = time.time(), claim.record if claim else None
        jitter = random.random()  # noqa: S311 - spreads load, protects nothing
        verdict = judge(error, own, message, now, self._settings, self._breaker.longest_interval_s, jitter)
        reason, parking_refused = error.summary, False
        if verdict.parks:
            try:
                self._dead_letters.park(message, reading.event_id, verdict.outcome, error)
            except (ClientError, BotoCoreError) as fault:
                verdict, parking_refused = replace(verdict, parks=False), True
                reason = f"{reason}; the dead-letter queue refused it ({error_code(fault)})"
        written = not isinstance(error, LedgerError)
        leaves_claim = leaves_claim or (isinstance(error, LedgerError) and error.may_be_written)
        if claim:
            event = not_delivered(claim.record, message, verdict, reason, int(now))
            settling_s = self._settings.settling_s if isinstance(error, UnconfirmedError) else 0
            written = self._ledger.complete(claim, claim.state.with_open(event), settling_s)
            leaves_claim = not written
        delay_s = (
            min(verdict.delay_s, longest_delay_with_open_claim_s(self._settings))
            if leaves_claim
            else verdict.delay_s
        )
        return Attempt(
            message,
            reading,
            verdict.outcome,
            delay_s=None if verdict.parks else delay_s,
            parked=verdict.parks,
            status=error.status,
            reason=reason,
            ledger_written=written,
            deferred=isinstance(error, DeferredError | NotNowError),
            parking_refused=parking_refused,
        )

    def _note_health(
        self, is_probe: bool, event: LeadEvent, result: DeliveredLead | DeliveryError | None
    ) -> None:
        """Reports to the breaker what the attempt shows of the API that all leads share."""
        assistant, now = str(event.lead["assistantEmail"]), time.time()
        if isinstance(result, DeliveredLead):
            self._last_taken = assistant, now
        subject = event.lead_hash
        if isinstance(result, BlockedError) and result.status == 403:
            # Leads of another assistant pass, so the 403 is about this assistant, and not about the user.
            taken, at = self._last_taken
            subject = assistant if taken != assistant and now - at < ASSISTANT_TAKEN_S else subject
        cause = result.summary if isinstance(result, DeliveryError) else ""
        self._breaker.note(is_probe, _evidence(result), subject, cause)


def _has_time(time_left: TimeLeft) -> bool:
    """Whether there is time for one more AWS call and then the visibility timeouts."""
    return time_left() > 2 * LONGEST_AWS_CALL_S + 1


def _is_in_sequence(lead: DeliveredLead, asked: Mapping[str, Json]) -> bool:
    """Whether the answer shows the sequence that was asked for. Raises `UndecidedError` if it shows none."""
    for name in ("scheduleId", "scheduleName"):  # the API document: the id wins over the name
        if name in asked:
            if name not in lead.sequence:
                why = "7Targets has the lead, but its answer doesn't show in which sequence"
                raise UndecidedError(why, status=lead.status)
            return str(lead.sequence[name]) == str(asked[name])
    return True


def _evidence(result: DeliveredLead | DeliveryError | None) -> Evidence:
    if result is None:
        return Evidence.NONE
    if isinstance(result, RetryError) and result.shared:
        return Evidence.FAULT
    # The API did answer: a rejection or an unknown lead says that it works.
    return Evidence.HEALTHY if result.status is not None else Evidence.NONE
