"""What to do next with an event of a lead, given what holds of the lead. Pure.

The first row that fits applies. A *final* event was delivered or superseded before.

| what holds                                | create              | update              | stop_followup      |
|-------------------------------------------|---------------------|---------------------|--------------------|
| it is a copy of a final event (1)         | `Skip` (duplicate)  | `Skip` (duplicate)  | `Skip` (duplicate) |
| it is parked, and was not sent again      | `Skip` (as parked)  | `Skip` (as parked)  | `Skip` (as parked) |
| a final event has its key, other content  | `Refuse`            | `Refuse`            | `Refuse`           |
| three attempts at it alone left no result | `Refuse`            | `Refuse`            | `Refuse`           |
| the function crashed over it, and other   |                     |                     |                    |
| events are under way beside it            | `Wait`              | `Wait`              | `Wait`             |
| an earlier event of the lead waits (2)    | `Wait`              | `Wait`              | -                  |
| later events have set all it asks for     | `Skip` (superseded) | `Skip` (superseded) | -                  |
| a later event has set another name or     |                     |                     |                    |
| assistant; or which event has set a field |                     |                     |                    |
| of it last is forgotten                   | `Refuse`            | `Refuse`            | -                  |
| 7Targets may have the lead (3)            | `Send` as PUT (4)   | `Send`              | `Send`             |
| none of these                             | `Send` as POST      | `Send`              | `Send`             |

A create with a key that comes again, even after 25 updates, is a copy. An old update that comes last sets
what no later event has set. A create that is redriven a day after a stop is sent as PUT, without its
sequence. An event with a used key and other content is refused.

(1) Both have the same key and content, whatever came between. But a create without a producer's key is a copy
only if the two were sent within one window; and a stop only if between the two no create was sent and nothing
has set the sequence, because that may have started e-mails again.
(2) It counts as waiting until `overdue_s` after its message was due. A create waits for an update or stop
only if an answer has shown the lead, after any 404 to that event: otherwise that event waits for a create.
A stop waits for none, because e-mails to a person would go on; what it overtakes can't start them again.
(3) An answer showed the lead after the create was sent, or at most one window before that; or a request of a
create or stop had no answer, and nothing has shown the lead since; or something was forgotten that a POST
would need. A create of a lead that was shown longer ago is POSTed, because a second sign-up is to start
e-mails again.
(4) Without its sequence, which a second PUT sets if the answer shows another one; after a 404, as POST.

`Send` leaves out what a later event has set, but for name, e-mail address and assistant. A stop sets the
sequence, even while it waits or has no answer, but for what is sent as POST at once. All orders and windows
are between the times at which events were first sent, so an outage or a redrive changes nothing. While a
request without an answer may still take effect, the ledger grants no claim. `after_call.py` says what
follows; docs/decisions/0001 says what remains possible.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .contract import Outcome
from .event.idempotency_key import IdempotencyKey
from .event.lead import MANDATORY, Json, Operation
from .lead_state import EventRecord, Final, LeadState, State
from .setters import SEQUENCE, entry_of, fingerprint, is_set_later, new_setters

CRASHES_TO_PARK = 3
OVERDUE_CHECKED_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is left to do: the message is acknowledged. `superseded` by later events, or else a copy."""

    outcome: Outcome
    reason: str
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back after `delay_s` seconds. `alone`: then no other event may be under way."""

    delay_s: int
    reason: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """A person has to decide: the event is parked."""

    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """To be sent, with these fields.

    `may_exist`: 7Targets may have the lead. `needs_mails`: an answer to a PUT has to show that the lead gets
    e-mails, because a create asks for them, and no event has started, set or stopped the lead's sequence, or
    may have, however long ago.
    """

    fields: Mapping[str, Json]
    may_exist: bool
    needs_mails: bool


NextCall = Skip | Wait | Refuse | Send


def next_call(
    state: LeadState,
    own: EventRecord,
    key: IdempotencyKey,
    lead: Mapping[str, Json],
    now_s: int,
    window_s: int,
    overdue_s: int,
    *,
    alone: bool,
) -> NextCall:
    """`own` is the event as the state has it, or new; `window_s` is the setting duplicateWindowHours.

    `overdue_s`: an event whose message has not come back so long after it was due is no longer waited for,
    because a person may have removed it. It is at least the lead queue's visibility timeout, which applies if
    SQS refuses a message's delay. `alone`: no other event is under way in this environment.
    """
    final = state.finals.get(own.key)
    if final and _is_copy(state, own, final, window_s if key.from_content else None):
        return Skip(Outcome.DUPLICATE, "the same event was delivered before")
    if own.state is State.PARKED:
        return Skip(Outcome(own.parked_as), own.reason)
    if final and final.digest != own.digest:
        return Refuse(
            "an event with the same idempotencyKey was delivered before, with other content; "
            "give each event a key of its own"
        )
    if own.crashes_alone >= CRASHES_TO_PARK:
        return Refuse(
            f"{own.crashes_alone} attempts at it alone left no result in the ledger: the function crashed, "
            "or delivered it and could not write the ledger"
        )
    if own.crashes and not alone:
        return Wait(
            0, "is tried alone, because the function crashed while it delivered this event", alone=True
        )
    ahead = [
        each
        for each in state.open
        if each.state is State.WAITING
        and now_s < each.due_s + overdue_s
        and _goes_first(each, own, state.known_s)
    ]
    if ahead:
        due_s = max(each.due_s for each in ahead)
        delay_s = due_s + 1 - now_s if due_s >= now_s else OVERDUE_CHECKED_AFTER_S
        return Wait(delay_s, "waits for an earlier event of its lead")
    return _what_is_left(state, own, lead, _may_exist(state, own, window_s))


def _is_copy(state: LeadState, own: EventRecord, final: Final, window_s: int | None) -> bool:
    if final.digest != own.digest:
        return False
    if window_s is not None:
        return abs(own.order_ms - final.order_ms) < window_s * 1000
    if own.operation is not Operation.STOP_FOLLOWUP:
        return True
    events: tuple[Final | EventRecord, ...] = (*state.finals.values(), *state.open)
    starts = [state.rank(each.order_ms, is_create=True) for each in events if each.is_create]
    if SEQUENCE in state.setters:
        starts.append(state.setters[SEQUENCE].rank)
    first, last = (state.rank(each.order_ms, is_create=False) for each in (final, own))
    return not any(first < rank < last for rank in starts)


def _may_exist(state: LeadState, own: EventRecord, window_s: int) -> bool:
    """Whether 7Targets may have the lead, so that a POST could start its e-mails again."""
    is_in_doubt = any(state.leaves_doubt(each) for each in (*state.open, own))
    return state.was_shown(own, window_s) or state.has_forgotten or is_in_doubt


def _goes_first(other: EventRecord, own: EventRecord, known_s: int) -> bool:
    """Whether `own` would wait for `other`. `known_s`: when an answer showed the lead last."""
    if own.is_same(other) or own.operation is Operation.STOP_FOLLOWUP:
        return False
    if own.is_create and not other.is_create and known_s <= other.unknown_since_s:
        return False
    return own.order_ms > other.order_ms


def _what_is_left(state: LeadState, own: EventRecord, lead: Mapping[str, Json], may_exist: bool) -> NextCall:
    setters, rank = state.setters, state.rank(own.order_ms, is_create=own.is_create)
    # A stop that has no answer may have ended the e-mails, and one that waits will.
    stops = [
        each.order_ms
        for each in state.open
        if each.operation is Operation.STOP_FOLLOWUP and (each.unanswered or each.state is not State.PARKED)
    ]
    if stops and (may_exist or not own.is_create):
        stopped = state.rank(max(stops), is_create=False)
        setters = {**setters, **new_setters(setters, Operation.STOP_FOLLOWUP, stopped, {})}
    later = {name for name in lead if is_set_later(setters, name, rank)}
    fields = {name: value for name, value in lead.items() if name in MANDATORY or name not in later}
    has_sequence = SEQUENCE in setters or own.unanswered or state.has_forgotten
    needs_mails = own.is_create and not has_sequence
    send = Send(fields, may_exist, needs_mails)
    if own.operation is Operation.STOP_FOLLOWUP:
        return send
    own_names = set(lead) - {"email", "id"}
    if own_names <= later and not needs_mails:
        return Skip(Outcome.DUPLICATE, "later events have set all of its fields", superseded=True)
    if rank <= state.setters_floor and any(entry_of(name) not in setters for name in own_names):
        return Refuse("it is too old: it is no longer known which event of the lead has set its fields last")
    would_undo = [
        name
        for name in MANDATORY
        if name in later and setters[entry_of(name)].value != fingerprint(lead, name)
    ]
    if would_undo:
        return Refuse(
            f"a later event of the lead, with another {' and '.join(would_undo)}, was delivered first; "
            "send what still holds as a new update"
        )
    return send
