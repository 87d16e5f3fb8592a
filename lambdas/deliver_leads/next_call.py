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

from .contract import LEAD_FIELDS
from .event.idempotency_key import IdempotencyKey
from .event.lead import MANDATORY, Json, Operation
from .event.loggable import sha256
from .lead_state import CLOCK_SKEW_S, SEQUENCE, STARTED, STOPPED, EventRecord, Final, LeadState, Setter, State
from .outcome import Outcome

CRASHES_TO_PARK = 3
OVERDUE_CHECKED_AFTER_S = 60
SENT_BEFORE_ITS_CREATE_MS = 900_000
SEQUENCE_FIELDS = frozenset({"scheduleId", "scheduleName"})


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
    """To be sent, with these fields. `may_exist`: a create has to find out first whether the lead exists."""

    fields: Mapping[str, Json]
    may_exist: bool


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
    was_shown = _was_shown(state, own, window_s)
    may_exist = was_shown or state.has_forgotten or _may_have_begun(state, own)
    is_there = was_shown and not any(each.unknown_since_s > state.known_s for each in state.open)
    ahead = [
        each
        for each in state.open
        if each.state is State.WAITING and now_s < each.due_s + overdue_s and _goes_first(each, own, is_there)
    ]
    if ahead:
        due_s = max(each.due_s for each in ahead)
        delay_s = due_s + 1 - now_s if due_s >= now_s else OVERDUE_CHECKED_AFTER_S
        return Wait(delay_s, "waits for an earlier event of its lead")
    return _send(state, own, lead, may_exist)


def setters_of(
    state: LeadState, own: EventRecord, lead: Mapping[str, Json], sent: Mapping[str, Json], *, begins: bool
) -> dict[str, Setter]:
    """The registers (a field each, and one for the sequence) that an event has set by sending these fields.

    `begins`: it was sent as POST, which starts a sequence even if it names none. A register of a later event
    stays as it is, because the API wants name and assistant with each update.
    """
    if own.operation is Operation.STOP_FOLLOWUP:
        # Its fields only name the lead. It ends the sequence, which no earlier event may start again.
        registers = {SEQUENCE: STOPPED}
    else:
        registers = {
            _register(name): _fingerprint(lead, _register(name))
            for name in sent
            if name not in {"email", "id"}
        }
        if begins:
            registers.setdefault(SEQUENCE, STARTED)
    is_new = begins and not state.known_s and any(each.unknown_since_s for each in state.open)
    early_ms = own.order_ms - (SENT_BEFORE_ITS_CREATE_MS if is_new else 0)
    setters = {}
    for name, value in sorted(registers.items()):
        before = state.setters.get(name)
        if before is None or before.value == STARTED or not _is_later(before, own):
            order_ms = max(own.order_ms, before.order_ms if before else 0)
            setters[name] = Setter(order_ms, value, early_ms)
    return setters


def _register(name: str) -> str:
    """A known field's own name; what a producer names freely is hashed, because it may be anything."""
    if name in SEQUENCE_FIELDS:
        return SEQUENCE
    return name if name in LEAD_FIELDS else f"#{sha256(name)[:12]}"


def _fingerprint(lead: Mapping[str, Json], register: str) -> str:
    """Distinguishes two values of a field without keeping them; the address in it serves as the salt."""
    values = [lead[name] for name in sorted(lead) if _register(name) == register]
    return sha256(repr((str(lead["email"]).lower(), register, values)))[:12]


def _is_copy(state: LeadState, own: EventRecord, final: Final, window_s: int | None) -> bool:
    if window_s is not None:
        return abs(own.order_ms - final.order_ms) < window_s * 1000
    sequence = state.setters.get(SEQUENCE)
    if own.operation is not Operation.STOP_FOLLOWUP or sequence is None or sequence.value == STOPPED:
        return True
    return not final.order_ms < sequence.order_ms < own.order_ms


def _was_shown(state: LeadState, own: EventRecord, window_s: int) -> bool:
    """Whether an answer has shown the lead since the event was sent, or in the window before that."""
    return state.known_s > 0 and state.known_s > own.order_ms / 1000 - window_s - CLOCK_SKEW_S


def _may_have_begun(state: LeadState, own: EventRecord) -> bool:
    return any(each.is_create and each.unanswered for each in (*state.open, own))


def _goes_first(other: EventRecord, own: EventRecord, is_there: bool) -> bool:
    if own.is_same(other) or (own.is_create and not other.is_create and not is_there):
        return False
    return own.order_ms > other.order_ms


def _was_set_later(state: LeadState, own: EventRecord, name: str) -> bool:
    """Whether a later event has set the field."""
    setter = state.setters.get(_register(name))
    return setter is not None and setter.value != STARTED and _is_later(setter, own)


def _has_set(state: LeadState, own: EventRecord, lead: Mapping[str, Json], name: str) -> bool:
    register = _register(name)
    setter = state.setters.get(register)
    is_own = setter is not None and own.order_ms in {setter.order_ms, setter.early_ms}
    return setter is not None and is_own and setter.value == _fingerprint(lead, register)


def _is_later(setter: Setter, own: EventRecord) -> bool:
    """Whether a field's setter wins over this event.

    A bus doesn't keep the order in which a create and its update are published. So if 7Targets has called the
    lead unknown before its create, an update that was sent a little before that one counts as sent after it,
    because there was no lead yet that it could have meant.
    """
    return (setter.order_ms if own.is_create else setter.early_ms) > own.order_ms


def _send(state: LeadState, own: EventRecord, lead: Mapping[str, Json], may_exist: bool) -> NextCall:
    later = {name for name in lead if _was_set_later(state, own, name)}
    fields = {name: value for name, value in lead.items() if name in MANDATORY or name not in later}
    if own.operation is Operation.STOP_FOLLOWUP:
        return Send(fields, may_exist)
    own_names = set(lead) - {"email", "id"}
    # It has set the others itself if it was delivered before and its key was dropped since.
    if all(name in later or _has_set(state, own, lead, name) for name in own_names):
        return Skip(Outcome.DUPLICATE, "later events have set all of its fields", superseded=True)
    if own.order_ms <= state.setters_floor_ms and any(
        _register(name) not in state.setters for name in own_names
    ):
        return Refuse("it is too old: it is no longer known which event of the lead has set its fields last")
    would_undo = [
        name
        for name in MANDATORY
        if name in later and state.setters[_register(name)].value != _fingerprint(lead, name)
    ]
    if would_undo:
        return Refuse(
            f"a later event of the lead, with another {' and '.join(would_undo)}, was delivered first; "
            "send what still holds as a new update"
        )
    return Send(fields, may_exist)
