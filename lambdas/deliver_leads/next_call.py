"""What to do next with an event of a lead, given what holds of the lead. Pure.

The first row that fits applies.

| what holds                                       | create                     | update, stop_followup      |
|--------------------------------------------------|----------------------------|----------------------------|
| the event was delivered or superseded before     |                            |                            |
| (1), whatever came between                       | `Skip` (duplicate)         | `Skip` (duplicate; 2)      |
| another event with its key was delivered before  | `Refuse`                   | `Refuse`                   |
| it is parked, and was not sent again since       | `Skip`, not parked again   | `Skip`, not parked again   |
| three attempts, made alone, left no              |                            |                            |
| result in the ledger                             | `Refuse`                   | `Refuse`                   |
| the function has crashed while it delivered this |                            |                            |
| event and others                                 | `Wait`, to be tried alone  | `Wait`, to be tried alone  |
| an earlier event of the lead is still to come    | `Wait` (3)                 | `Wait`                     |
| later events have set all fields of this one     | `Skip` (superseded)        | `Skip` (superseded; 4)     |
| a later event has set another name or assistant, |                            |                            |
| but not all fields of this one; or nothing shows |                            |                            |
| who has set a field last, because it is too long |                            |                            |
| ago                                              | `Refuse`                   | `Refuse` (4)               |
| the lead may exist: an answer showed it after    | `Send` its own fields, as  | `Send` its own fields; 404:|
| one window before the event was sent, a create   | PUT; 404: as POST (5)      | wait for its create        |
| has no answer, or something was forgotten        |                            |                            |
| nothing of these                                 | `Send`, as POST            | as in the row above        |

So a create with a key that is sent again, even after 25 updates, is a duplicate; an old update that arrives
last sets only what no later one has set; a create that is redriven a day after a stop is sent as PUT without
the sequence, because the stop has set that; a key that is used again with other content is refused.

(1) The same key and the same content. Without a producer's key, a create counts as the same if the two were
sent within the window. (2) A stop is a duplicate only if no create or update has set the sequence since.
(3) Always for an earlier create. For an earlier update or stop only if an answer showed the lead and none has
called it unknown since, because such an event waits for this create. An event counts as still to come until
`overdue_s` after it was due. (4) Never a stop: it is sent in any case, because without it e-mails to a person
go on. (5) Without its sequence, which follows in a second PUT only if the answered lead shows another one.

"Own fields" are those that no later event has set. What is superseded is reported as a duplicate. All orders
and windows are between the times at which events were first sent, so that an outage or a redrive changes
nothing. While a request without an answer may still take effect, nothing of this is asked: the ledger refuses
the claim until the settling time is over. `after_call.py` says what follows.
docs/decisions/0001-a-create-in-doubt-is-sent-as-an-update.md says what remains possible.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .event.idempotency_key import IdempotencyKey
from .event.lead import MANDATORY, Json, Operation
from .lead_state import CLOCK_SKEW_S, EventRecord, Final, LeadState, State
from .outcome import Outcome
from .setters import SEQUENCE, STOPPED, entry_of, fingerprint, is_set_later

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

    `may_exist`: a create has to find out first whether the lead exists. `has_sequence`: an event has started,
    set or stopped the lead's sequence, or may have.
    """

    fields: Mapping[str, Json]
    may_exist: bool
    has_sequence: bool


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
    """`own` is the event as the state has it, or new; `window_s`: how long an answer shows the lead.

    `overdue_s`: an event whose message has not come back so long after it was due is no longer waited for,
    because a person may have removed it. At least the lead queue's visibility timeout, after which a message
    comes back whose own delay could not be set. `alone`: no other event is under way in this environment.
    """
    final = state.finals.get(own.key)
    if final and final.digest != own.digest and own.state is not State.PARKED:
        return Refuse(
            "an event with the same idempotencyKey was delivered before, with other content; "
            "give each event a key of its own"
        )
    is_same = final is not None and final.digest == own.digest
    if final and is_same and _is_copy(state, own, final, window_s if key.from_content else None):
        return Skip(Outcome.DUPLICATE, "the same event was delivered before")
    if own.state is State.PARKED:
        return Skip(Outcome(own.parked_as), own.reason)
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
    return _send(state, own, lead, _may_exist(state, own, window_s))


def _is_copy(state: LeadState, own: EventRecord, final: Final, window_s: int | None) -> bool:
    if window_s is not None:
        return abs(own.order_ms - final.order_ms) < window_s * 1000
    sequence = state.setters.get(SEQUENCE)
    if own.operation is not Operation.STOP_FOLLOWUP or sequence is None or sequence.value == STOPPED:
        return True
    return not final.order_ms < sequence.order_ms < own.order_ms


def _may_exist(state: LeadState, own: EventRecord, window_s: int) -> bool:
    """Whether 7Targets may have the lead because of a create that this one could repeat."""
    was_shown = state.known_s > own.order_ms / 1000 - window_s - CLOCK_SKEW_S and state.known_s > 0
    may_have_begun = any(state.may_have_begun(each) for each in (*state.open, own))
    return was_shown or state.has_forgotten or may_have_begun


def _goes_first(other: EventRecord, own: EventRecord, known_s: int) -> bool:
    if own.is_same(other) or own.operation is Operation.STOP_FOLLOWUP:
        return False
    if own.is_create and not other.is_create and known_s <= other.unknown_since_s:
        return False
    return own.order_ms > other.order_ms


def _send(state: LeadState, own: EventRecord, lead: Mapping[str, Json], may_exist: bool) -> NextCall:
    setters = state.setters
    later = {name for name in lead if is_set_later(setters, name, own.order_ms)}
    fields = {name: value for name, value in lead.items() if name in MANDATORY or name not in later}
    has_sequence = SEQUENCE in setters or own.unanswered or state.has_forgotten
    send = Send(fields, may_exist, has_sequence)
    if own.operation is Operation.STOP_FOLLOWUP:
        return send
    own_names = set(lead) - {"email", "id"}
    # A create asks for e-mails as well, even if it names no sequence.
    if own_names <= later and (has_sequence or not own.is_create):
        return Skip(Outcome.DUPLICATE, "later events have set all of its fields", superseded=True)
    if own.order_ms <= state.setters_floor_ms and any(entry_of(name) not in setters for name in own_names):
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
