"""What to do next with an event of a lead, after what the ledger knows of the lead. Pure.

The first row that fits applies.

| what the ledger knows                            | create                     | update, stop_followup      |
|--------------------------------------------------|----------------------------|----------------------------|
| the event was delivered or superseded, and its   |                            |                            |
| window is not over                               | `Skip` (duplicate)         | `Skip` (duplicate)         |
| the event was parked after this message was sent | `Skip`, not parked again   | `Skip`, not parked again   |
| three attempts at it ended without a word        | `Refuse`                   | `Refuse`                   |
| an earlier event of the lead is still to come    | `Wait` (1)                 | `Wait`                     |
| a later event has set all fields of this one     | `Skip` (superseded)        | `Skip` (superseded; 2)     |
| a later event has set another name or assistant, |                            |                            |
| but not all fields of this one                   | `Refuse`                   | `Refuse` (2)               |
| the lead may exist: a create without an answer,  | `Send` its own fields, as  | `Send` its own fields; 404:|
| or 7Targets showed it within the known window    | PUT; 404: as POST (3)      | wait for its create (4)    |
| nothing of these                                 | `Send`, as POST            | as in the row above        |

(1) Always for an earlier create. For an earlier update or stop only if the lead may exist and 7Targets has
not called it unknown, because such an event waits for this create. An event counts as still to come until
`overdue_s` after it was due. (2) Never a stop: it is sent in any case, because without it e-mails to a person
go on. (3) Without its sequence, which follows in a second PUT only if the answered lead shows another one.
(4) Until the grace period is over and no create waits; then it is parked, or blocked (delivery.py).

"Own fields" are those that no later event has set. What is superseded is reported as a duplicate. While a
request without an answer may still take effect, nothing of this is asked: the ledger refuses the claim until
the settling time is over.
docs/decisions/0001-a-create-in-doubt-is-sent-as-an-update.md says what remains possible.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from .event.lead import MANDATORY, Json, Operation
from .lead_state import EventRecord, LeadState, State
from .outcome import Outcome

DEATHS_TO_PARK = 3
OVERDUE_CHECKED_AFTER_S = 60
SEQUENCE_FIELDS = frozenset({"scheduleId", "scheduleName"})


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing is left to do: the message is acknowledged."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Another event of the lead goes first; come back after `delay_s` seconds."""

    delay_s: int
    reason: str


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
    lead: Mapping[str, Json],
    now_s: int,
    known_window_s: int,
    overdue_s: int,
) -> NextCall:
    """`own` is the event as the state has it, or new; `known_window_s`: how long an answer shows the lead.

    `overdue_s`: an event whose message has not come back so long after it was due is no longer waited for,
    because a person may have removed it. At least the lead queue's visibility timeout, after which a message
    comes back whose own delay could not be set.
    """
    if own.state.is_final and now_s < own.repeats_until_s:
        return Skip(Outcome.DUPLICATE, own.reason or "delivered before")
    if own.state is State.PARKED:
        return Skip(Outcome(own.parked_as), own.reason)
    if own.deaths >= DEATHS_TO_PARK:
        return Refuse(f"the function failed or ended {own.deaths} times while it delivered this event")
    may_exist = _may_exist(state, now_s, known_window_s)
    to_come = [
        each for each in state.events if each.state is State.WAITING and now_s < each.due_s + overdue_s
    ]
    ahead = [each for each in to_come if _goes_first(state, each, own, may_exist)]
    if ahead:
        due_s = max(each.due_s for each in ahead)
        delay_s = due_s + 1 - now_s if due_s >= now_s else OVERDUE_CHECKED_AFTER_S
        return Wait(delay_s, "waits for an earlier event of its lead")
    return _send(state, own, lead, may_exist)


def fingerprint(email: Json, field: str, value: Json) -> str:
    """Tells two values of a lead's field apart without keeping them; the address in it serves as the salt."""
    return hashlib.sha256(repr((str(email).lower(), field, value)).encode()).hexdigest()[:12]


def fingerprints(lead: Mapping[str, Json], names: Mapping[str, Json]) -> dict[str, str]:
    """Those of the fields that an event has set."""
    return {name: fingerprint(lead["email"], name, lead[name]) for name in names if name != "email"}


def _may_exist(state: LeadState, now_s: int, known_window_s: int) -> bool:
    was_shown = state.known_s > 0 and now_s - state.known_s < known_window_s
    return was_shown or any(each.is_create and each.unanswered for each in state.events)


def _goes_first(state: LeadState, other: EventRecord, own: EventRecord, may_exist: bool) -> bool:
    if other.key == own.key:
        return False
    if own.is_create and not other.is_create and (other.unknown_since_s or not may_exist):
        return False
    return state.order_of(own) > state.order_of(other)


def _send(state: LeadState, own: EventRecord, lead: Mapping[str, Json], may_exist: bool) -> NextCall:
    later = {
        name: value
        for each in sorted(state.events, key=state.order_of)
        if each.state is State.DELIVERED
        and each.key != own.key
        and state.order_of(each) > state.order_of(own)
        for name, value in each.fields.items()
    }
    superseded = {
        name
        for name in lead
        if name in later or (name in SEQUENCE_FIELDS and not SEQUENCE_FIELDS.isdisjoint(later))
    }
    fields = {name: value for name, value in lead.items() if name in MANDATORY or name not in superseded}
    if own.operation is Operation.STOP_FOLLOWUP:
        return Send(fields, may_exist)
    if set(lead) - {"email", "id"} <= superseded:
        return Skip(Outcome.DUPLICATE, "a later event has set all of its fields")
    would_undo = [
        name
        for name in MANDATORY
        if name in later and later[name] != fingerprint(lead["email"], name, lead[name])
    ]
    if would_undo:
        return Refuse(
            f"a later event of the lead, with another {' and '.join(would_undo)}, was delivered first; "
            "send what still holds as a new update"
        )
    return Send(fields, may_exist)
