"""What follows the answer to an event's call, or a call that was not made. Pure.

The first row that fits applies; `next_call.py` says what comes before.

| what came of the event                             | it is then                | its message               |
|----------------------------------------------------|---------------------------|---------------------------|
| 2xx with the lead                                  | delivered                 | is acknowledged           |
| a copy; or later events have set all of its fields | as before; superseded     | is acknowledged           |
| 404 to an update or stop, for good (1)             | parked (rejected)         | goes to the dead-letter q.|
| refused because of the lead, or by `next_call`     | parked (rejected; 2)      | goes to the dead-letter q.|
| SQS will soon drop the message (3)                 | parked (4)                | goes to the dead-letter q.|
| another event of the lead goes first, no time was  | waiting                   | comes back                |
| left, or the ledger can't be read or written       |                           |                           |
| anything else, and older than `parkAfterHours`     | parked (4)                | goes to the dead-letter q.|
| anything else: turned away, unanswered, other 404s | waiting                   | comes back                |

(1) The grace period is over, no create of the lead waits, and this environment has delivered something since
the first 404. (2) `unconfirmed` if nothing shows whether it took effect. (3) It is 13 days old, of SQS's 14,
or was received 900 times, of the 1,000 after which SQS moves it away without a reason. (4) With its last
outcome; but as `unconfirmed` if a request of it has no answer or the ledger could not be looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .contract import LAST_RECEIVE, Outcome
from .event.lead import Json
from .event.message import Message
from .lead_state import LONGEST_REASON, EventRecord, LeadState, State
from .outcome import (
    BreakerOpenError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    LedgerError,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UnknownLeadError,
)
from .retry_policy import line_delay_s, retry_delay_s
from .setters import new_setters
from .settings import Settings

# SQS keeps a message for 14 days (infra/entrance.py).
LAST_AGE_S = 13 * 86_400


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an event that was not delivered. `delay_s`: when its message comes back, if it does."""

    outcome: Outcome
    parks: bool
    delay_s: int


def delivered(
    state: LeadState,
    own: EventRecord,
    sent: Mapping[str, Json],
    lead: DeliveredLead,
    now_s: int,
    settings: Settings,
) -> LeadState:
    """The lead after an answer that shows it. `sent`: the fields that the event has set."""
    final = replace(_done(own, now_s), state=State.DELIVERED, attempts=own.attempts + 1)
    begun = state.begun_by(own) if own.is_create else state
    rank = begun.rank(own.order_ms, is_create=own.is_create)
    setters = new_setters(begun.setters, own.operation, rank, sent)
    known = replace(begun, lead_id=str(lead.lead_id), known_s=now_s)
    return known.with_final(final, setters, now_s - settings.ledger_s)


def superseded(state: LeadState, own: EventRecord, reason: str, now_s: int, settings: Settings) -> LeadState:
    """The lead after an event of which nothing was left to set."""
    final = replace(_done(own, now_s), state=State.SUPERSEDED, reason=reason)
    return state.with_final(final, {}, now_s - settings.ledger_s)


def _done(own: EventRecord, now_s: int) -> EventRecord:
    return replace(
        own,
        updated_s=now_s,
        unanswered=False,
        due_s=0,
        unknown_since_s=0,
        crashes=0,
        crashes_alone=0,
        reason="",
        parked_as="",
    )


def failed(
    state: LeadState,
    own: EventRecord,
    error: DeliveryError,
    now_s: int,
    last_success_s: float,
    settings: Settings,
) -> tuple[EventRecord, DeliveryError]:
    """The event after calls of which the last one ended with `error`, and what that means for it.

    `last_success_s`: when this environment last delivered something.
    """
    own = replace(own, attempts=own.attempts + 1)
    if isinstance(error, UnconfirmedError):
        return replace(own, unanswered=True), error
    if not isinstance(error, UnknownLeadError):
        return own, error
    # What has delayed an overdue event delays its create, too, so the grace period begins anew.
    overdue_s = settings.visibility_timeout_s
    since_s = own.unknown_since_s if own.unknown_since_s and now_s <= own.due_s + overdue_s else now_s
    own = replace(own, unanswered=False, unknown_since_s=since_s)
    creates = [each for each in state.open if each.is_create]
    create_waits = any(each.state is State.WAITING and now_s < each.due_s + overdue_s for each in creates)
    if now_s - since_s < settings.update_grace_s or create_waits:
        return own, error
    if last_success_s <= since_s:
        why = "nothing was delivered since, so check the setting leadsApiUrl, or send the lead's create"
        return own, UnknownLeadError(
            f"{error.summary}: {why}", detail=error.detail, status=error.status, shared=False
        )
    is_parked = any(each.state is State.PARKED for each in creates)
    why = "7Targets doesn't know this lead, and " + (
        "its create is parked: send that again first"
        if is_parked
        else "no create came within the grace period"
    )
    return own, RejectedError(
        f"{error.summary}: {why}", detail=f"{error.detail} ({why})", status=error.status
    )


def judge(
    error: DeliveryError,
    own: EventRecord | None,
    message: Message,
    now: float,
    settings: Settings,
    longest_probe_interval_s: float,
    jitter: float,
) -> Verdict:
    """`own` is the event after its calls, or None for one that could not be looked up in the ledger.

    `jitter` is from 0 to 1.
    """
    parks = _parks(error, message, now, settings)
    outcome = error.outcome
    # Of an event that was not looked up nothing is known: if it is parked, that counts as doubt.
    is_in_doubt = own.unanswered if own else parks and isinstance(error, RetryError)
    if is_in_doubt and (parks or outcome is Outcome.RETRY):
        outcome = Outcome.UNCONFIRMED
    return Verdict(outcome, parks, _delay_s(error, message, now, settings, longest_probe_interval_s, jitter))


def is_old(message: Message, now: float, settings: Settings) -> bool:
    """Whether an event is parked unless it is delivered by this attempt. Its lead is then looked up first."""
    return now - message.sent_at >= settings.park_after_s or _is_nearly_lost(message, now)


def not_delivered(
    own: EventRecord, message: Message, verdict: Verdict, reason: str, now_s: int
) -> EventRecord:
    """The event as it is to be stored."""
    return replace(
        own,
        state=State.PARKED if verdict.parks else State.WAITING,
        message_id=message.message_id,
        updated_s=now_s,
        due_s=0 if verdict.parks else now_s + verdict.delay_s,
        reason=reason[:LONGEST_REASON],
        parked_as=verdict.outcome if verdict.parks else "",
    )


def longest_delay_with_open_claim_s(settings: Settings) -> int:
    """The longest delay for a message whose claim may be left in the ledger.

    A message stays away longer after a crash, which shows in its next claim (lead_state.py).
    """
    return settings.visibility_timeout_s // 3


def _is_nearly_lost(message: Message, now: float) -> bool:
    return now - message.sent_at >= LAST_AGE_S or message.receive_count >= LAST_RECEIVE


def _parks(error: DeliveryError, message: Message, now: float, settings: Settings) -> bool:
    if isinstance(error, RejectedError) or _is_nearly_lost(message, now):
        return True
    return not isinstance(error, DeferredError | LedgerError) and is_old(message, now, settings)


def _delay_s(
    error: DeliveryError,
    message: Message,
    now: float,
    settings: Settings,
    longest_probe_interval_s: float,
    jitter: float,
) -> int:
    base_s, max_s = settings.retry_base_delay_s, settings.retry_max_delay_s
    if isinstance(error, DeferredError):
        return round(error.delay_s)
    age_s = max(0.0, now - message.sent_at)
    if isinstance(error, RetryError) and error.place_s is not None:
        return line_delay_s(error.place_s, age_s, max_s=max_s, jitter=jitter)
    delay_s = retry_delay_s(
        message.receive_count,
        age_s,
        base_s=base_s,
        max_s=max_s,
        jitter=jitter,
        retry_after_s=error.retry_after_s if isinstance(error, RetryError) else None,
    )
    if isinstance(error, BreakerOpenError):
        # Shorter by a probe interval, so that an event that was deferred just before the API recovers is
        # delivered within `max_s` all the same.
        return min(delay_s, max(base_s, max_s - round(longest_probe_interval_s)))
    # Until the settling time is over the ledger refuses the lead.
    return max(delay_s, settings.settling_s + 1) if isinstance(error, UnconfirmedError) else delay_s
