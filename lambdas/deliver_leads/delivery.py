"""One lead event: admitted by the breaker, claimed in the ledger, sent; then its message is settled."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from .api.http_client import LONGEST_AWS_CALL_S, Deadline, HttpClient
from .api.leads_api import LeadsApi
from .breaker import CircuitBreaker, Evidence
from .dead_letters import DeadLetterQueue
from .event.envelope import LeadEvent, Reading, UnreadableError
from .event.lead import Json, Operation
from .event.message import Message
from .lead_state import EventRecord, LeadState, State
from .ledger import Claim, Completion, EarlyClaim, Ledger
from .next_call import SEQUENCE_FIELDS, Refuse, Send, Skip, Wait, fingerprints, next_call
from .outcome import (
    BlockedError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    Outcome,
    RejectedError,
    RetryError,
    SuspectError,
    UnconfirmedError,
    UndecidedError,
    UnknownLeadError,
    describe_unforeseen,
)
from .settings import Settings
from .settlement import Attempt, Settlement


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
        self._breaker = breaker
        self._settlement = Settlement(settings, ledger, dead_letters, breaker)

    def claim_new(
        self, events: Sequence[tuple[LeadEvent, Message]], deadline: Deadline
    ) -> list[EarlyClaim | None]:
        """Claims leads that may be new in one call; None for those that are not to be tried now."""
        try:
            self._http.require_time(deadline)
        except DeliveryError:
            return [None] * len(events)
        if self._breaker.is_open:
            return [None] * len(events)
        return [*self._ledger.claim_new(events, lease_s=deadline())]

    def prepare(self, deadline: Deadline) -> None:
        """Fetches the environment's first token. What goes wrong, each lead's own attempt will tell."""
        if not self._breaker.is_open:
            with suppress(Exception):
                self._api.fetch_first_token(deadline)

    def complete(self, attempts: Sequence[Attempt], deadline: Deadline) -> list[Attempt]:
        """Writes the completions that attempts have left, in one call."""
        completions = [attempt.completion for attempt in attempts if attempt.completion]

        def has_time() -> bool:
            return deadline() > 2 * LONGEST_AWS_CALL_S + 1  # the visibility timeouts follow

        written = iter(self._ledger.complete_together(completions, has_time) if completions else [])
        return [
            self._noted(attempt, next(written)) if attempt.completion else attempt for attempt in attempts
        ]

    def attempt(
        self,
        message: Message,
        reading: Reading,
        deadline: Deadline,
        *,
        early: EarlyClaim | None = None,
        together: bool = False,
        alone: bool = False,
    ) -> Attempt:
        """Never raises: an unforeseen error is a retry, so that a bug harms no other lead of the batch.

        `together`: a delivery's completion is left to `complete`. `alone`: no other event is under way in
        this environment.
        """
        if isinstance(reading, UnreadableError):
            return self._settlement.settle(message, reading, reading)
        started = time.monotonic()
        try:
            attempt = self._deliver(message, reading, deadline, early, together, alone)
        except DeliveryError as error:
            attempt = self._settlement.settle(message, reading, error)
        except Exception as error:
            attempt = self._settlement.settle(
                message, reading, RetryError(describe_unforeseen(error), shared=False)
            )
        return replace(attempt, duration_ms=round((time.monotonic() - started) * 1000))

    def _deliver(
        self,
        message: Message,
        event: LeadEvent,
        deadline: Deadline,
        early: EarlyClaim | None,
        together: bool,
        alone: bool,
    ) -> Attempt:
        owner, claim = (early.owner, early.claim) if early else ("", None)
        try:
            self._http.require_time(deadline)
            is_probe = self._breaker.admit(deadline() - self._http.longest_call_s)
        except DeliveryError as error:
            record = claim.record if claim else None
            return self._settlement.settle(message, event, error, claim, record)
        result: DeliveredLead | DeliveryError | None = None
        try:
            claim = claim or self._ledger.claim(event, message, lease_s=deadline(), owner=owner)
            step = next_call(
                claim.state,
                claim.record,
                event.lead,
                int(time.time()),
                self._settings.duplicate_window_s,
                self._settings.visibility_timeout_s,
            )
            if isinstance(step, Skip):
                return self._skip(message, claim, step)
            if isinstance(step, Refuse):
                return self._settlement.settle(
                    message, event, RejectedError(step.reason), claim, claim.record
                )
            if isinstance(step, Wait):
                delay_s = min(step.delay_s, self._settings.retry_max_delay_s)
                return self._settlement.settle(
                    message, event, DeferredError(step.reason, delay_s=delay_s), claim, claim.record
                )
            if claim.record.deaths and not alone:
                suspect = SuspectError("waits to be tried alone, because the function died over it")
                return self._settlement.settle(message, event, suspect, claim, claim.record)
            record, result = self._send(claim, step, deadline)
            if isinstance(result, DeliveryError):
                return self._settlement.settle(message, event, result, claim, record)
            return self._conclude(message, claim, record, step, result, together)
        finally:
            self._breaker.settle(is_probe, _evidence(result), _subject(event, result), _cause(result))

    def _skip(self, message: Message, claim: Claim, step: Skip) -> Attempt:
        record = claim.record
        if record.state in {State.UNDER_WAY, State.WAITING}:
            now_s = int(time.time())
            record = replace(
                record,
                state=State.SUPERSEDED,
                reason=step.reason,
                updated_s=now_s,
                repeats_until_s=now_s + self._window_s(message, claim.event),
            )
        if not self._ledger.complete(claim, record):
            why = f"{step.reason}, but the ledger could not be written"
            error = DeferredError(why, delay_s=self._settings.settling_s)
            return replace(self._settlement.settle(message, claim.event, error), ledger_written=False)
        return Attempt(
            message,
            claim.event,
            step.outcome,
            reason=step.reason,
            lead_id=claim.state.lead_id or None,
        )

    def _send(
        self, claim: Claim, step: Send, deadline: Deadline
    ) -> tuple[EventRecord, DeliveredLead | DeliveryError]:
        """The event as its calls leave it, and what came of the last of them."""
        event = claim.event
        record = replace(claim.record, attempts=claim.record.attempts + 1)
        begins = False
        try:
            if event.operation is Operation.CREATE:
                if step.may_exist:
                    try:
                        return record, self._assign(step.fields, deadline)
                    except UnknownLeadError:
                        # By now the settling time is over: the earlier request left no trace.
                        record = replace(record, unanswered=False)
                begins = not claim.state.known_s
            lead = self._api.send(event.operation, step.fields, deadline)
            return replace(record, began_lead=record.began_lead or begins), lead
        except UnknownLeadError as error:
            return self._await_create(claim.state, replace(record, unanswered=False), error)
        except UnconfirmedError as error:
            return replace(record, unanswered=True, began_lead=record.began_lead or begins), error
        except DeliveryError as error:
            return record, error
        except Exception as error:
            # Nobody foresaw where this arose, so a request may have left.
            unforeseen = UnconfirmedError(describe_unforeseen(error), shared=False)
            return replace(record, unanswered=True), unforeseen

    def _assign(self, fields: Mapping[str, Json], deadline: Deadline) -> DeliveredLead:
        """Sends a create as an update, for a lead that may exist, and so that its sequence isn't restarted.

        Raises `UnknownLeadError` when 7Targets doesn't have the lead, so that the create may be POSTed.
        """
        asked = {name: value for name, value in fields.items() if name in SEQUENCE_FIELDS}
        others = {name: value for name, value in fields.items() if name not in SEQUENCE_FIELDS}
        lead = self._api.send(Operation.UPDATE, others, deadline)
        if _is_in_sequence(lead, asked):
            return lead
        lead = self._api.send(Operation.UPDATE, fields, deadline)
        if _is_in_sequence(lead, asked):
            return lead
        why = "7Targets has the lead, but leaves it in another sequence than the create asks for"
        raise UndecidedError(why, status=lead.status)

    def _await_create(
        self, state: LeadState, record: EventRecord, error: UnknownLeadError
    ) -> tuple[EventRecord, DeliveryError]:
        """Waits a grace period for the create of an update or stop, and longer while one is known to wait."""
        now_s, overdue_s = int(time.time()), self._settings.visibility_timeout_s
        # An event that comes back much later than it was due was held up by an outage; so was its create.
        is_on_time = now_s <= record.due_s + overdue_s
        since_s = record.unknown_since_s if record.unknown_since_s and is_on_time else now_s
        record = replace(record, unknown_since_s=since_s)
        create_waits = any(
            each.is_create and each.state is State.WAITING and now_s < each.due_s + overdue_s
            for each in state.events
        )
        if now_s - since_s < self._settings.update_grace_s or create_waits:
            return record, error
        if self._api.last_success_s <= since_s:
            hint = "check the setting leadsApiUrl, because nothing was taken since; or send the lead's create"
            return record, BlockedError(error.summary, remedy=hint, detail=error.detail, status=error.status)
        why = "7Targets doesn't know this lead, and no create came within the grace period"
        return record, RejectedError(
            f"{error.summary}: {why}", detail=f"{error.detail} ({why})", status=error.status
        )

    def _conclude(
        self,
        message: Message,
        claim: Claim,
        record: EventRecord,
        step: Send,
        lead: DeliveredLead,
        together: bool,
    ) -> Attempt:
        event, now_s = claim.event, int(time.time())
        if event.operation is Operation.STOP_FOLLOWUP:
            # Its fields only name the lead. It ends the sequence, which no earlier event may start again.
            fields = dict.fromkeys(sorted(SEQUENCE_FIELDS), "")
        else:
            fields = fingerprints(event.lead, step.fields)
        record = replace(
            record,
            state=State.DELIVERED,
            message_id=message.message_id,
            updated_s=now_s,
            repeats_until_s=now_s + self._window_s(message, event),
            unanswered=False,
            due_s=0,
            unknown_since_s=0,
            deaths=0,
            reason="",
            parked_as="",
            fields=fields,
        )
        attempt = Attempt(
            message,
            event,
            Outcome.DELIVERED,
            status=lead.status,
            lead_id=lead.lead_id,
            lead_state=lead.state,
            # A redriven message counts from when its event first came, because its lead has waited since. Not
            # negative when clocks differ: CloudWatch then gives no percentiles.
            delivery_s=max(0.0, time.time() - message.order_ms / 1000),
            next_schedule_time=lead.next_schedule_time,
            sequence=lead.sequence,
        )
        lead_id = str(lead.lead_id)
        if together:
            return replace(attempt, completion=Completion(claim, record, lead_id))
        return self._noted(attempt, self._ledger.complete(claim, record, lead_id))

    def _noted(self, attempt: Attempt, written: bool) -> Attempt:
        """A delivery of which the ledger knows, or could not be told."""
        if written:
            return attempt
        why = "delivered, but the ledger could not be written; it is sent again, as an update"
        error = DeferredError(why, delay_s=self._settings.settling_s)
        settled = self._settlement.settle(attempt.message, attempt.reading, error)
        # Not deferred: something was sent.
        return replace(settled, ledger_written=False, deferred=False, duration_ms=attempt.duration_ms)

    def _window_s(self, message: Message, event: LeadEvent) -> int:
        """How long a repeat is a duplicate. A redriven message may have a twin that is redriven later."""
        is_redriven = message.parked_event_id is not None
        is_short = event.key.from_content and not is_redriven
        return self._settings.duplicate_window_s if is_short else self._settings.key_window_s


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


def _subject(event: LeadEvent, result: DeliveredLead | DeliveryError | None) -> str:
    """An assistant that isn't the user's own is refused with 403, whoever the lead is."""
    is_refused = isinstance(result, BlockedError) and result.status == 403
    return str(event.lead["assistantEmail"]) if is_refused else event.lead_hash


def _cause(result: DeliveredLead | DeliveryError | None) -> str:
    return result.summary if isinstance(result, DeliveryError) else ""
