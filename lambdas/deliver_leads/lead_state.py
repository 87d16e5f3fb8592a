"""What holds of one lead, as a value. Pure: no clock, no I/O.

An event of a lead is open, or final:

    (nothing) ── claim ──> under way ──┬─ answered 2xx ──────────────> delivered  ┐
                             ^         ├─ a later event has set it all > superseded ┘ final
                             │         ├─ for a person to decide ────> parked ──┐
                             │         └─ turned away, unanswered,              │ redrive
                             │            waits for another event ─> waiting ───┤
                             └────────────────── claim ─────────────────────────┘

`unanswered` goes along with an open event: a request left, and nothing has shown since whether it took
effect.

No decision needs a list of what happened: what a later event has set is in `setters`, one for each field, and
which events were delivered before is in `finals`. Each part has a bound. If something is dropped that a POST
would need to know, `has_forgotten` is set, and no create of the lead is POSTed without asking first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .event.lead import Operation
from .setters import Setters, new_setters

# Clocks of SQS, EventBridge and two execution environments may differ by seconds: AWS keeps each within a
# second of UTC, and this is far more.
CLOCK_SKEW_S = 30
MOST_OPEN = 8
# Of updates and stops, and of creates.
MOST_FINALS = 10
MOST_FINAL_CREATES = 32
MOST_SETTERS = 128
SHOWN_EVENTS = 3
LONGEST_REASON = 200
# An update or stop that was sent so shortly before its create counts as sent after it.
SENT_BEFORE_ITS_CREATE_MS = 900_000
# Each millisecond has more ranks than that time has milliseconds, so that all that was sent in it ranks
# between its create and what follows that.
RANKS_A_MS = 1_000_000


class State(StrEnum):
    """What became of an event, as it is stored."""

    UNDER_WAY = "under_way"
    WAITING = "waiting"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event of a lead. Times named `_s` are epoch seconds, `_ms` epoch milliseconds; 0 is "none".

    `key` and `digest` say which event it is (event/idempotency_key.py). `order_ms`: when it was first sent,
    by which the later of two events is found; `sent_s`: when its message was sent; `redriven`: whether
    that was after a parking. `due_s`: when its message is expected back. `unknown_since_s`: since when
    7Targets says that it doesn't know the lead. `crashes`: how often an execution environment ended while it
    delivered the event; `crashes_alone`: those of them while no other event was under way.
    `receive_count` (its message's, from 1) and `alone` are those of an open claim, which is one that was not
    completed, because the function crashed or could not write; without one they are 0 and False. `UNDER_WAY`
    is stored in the journal only. `reason` and `source` are free of personal data.
    """

    key: str
    digest: str
    operation: Operation | None
    order_ms: int
    sent_s: int
    redriven: bool = False
    message_id: str
    source: str
    first_seen_s: int
    updated_s: int
    state: State = State.UNDER_WAY
    owner: str = ""
    attempts: int = 0
    crashes: int = 0
    crashes_alone: int = 0
    receive_count: int = 0
    alone: bool = False
    unanswered: bool = False
    due_s: int = 0
    unknown_since_s: int = 0
    reason: str = ""
    parked_as: str = ""

    @property
    def is_create(self) -> bool:
        """Whether it is a create: alone among the operations, it may begin a lead."""
        return self.operation is Operation.CREATE

    def is_same(self, other: "EventRecord") -> bool:
        """Whether both are the same event."""
        return self.key == other.key and self.digest == other.digest

    def was_only_unwritten(self, next_claim: "EventRecord") -> bool:
        """Whether the next claim shows that the environment of this one didn't crash, but failed to write.

        In parts of the visibility timeout: an environment has a message for a sixth at most (config.py), and
        gives it a delay of a third at most if it can't write (`after_call.py`), so the next claim comes by a
        half; after a crash, at five sixths at the earliest. The border is at two thirds. A claim's `due_s` is
        its time plus the visibility timeout.
        """
        since_s, timeout_s = next_claim.updated_s - self.updated_s, self.due_s - self.updated_s
        return next_claim.message_id == self.message_id and 3 * since_s < 2 * timeout_s

    def next_try(self, claim: "EventRecord") -> "EventRecord":
        """This open event as a claim finds it."""
        known = self._without_open_claim(claim) if self.receive_count else self
        if known.operation is Operation.STOP_FOLLOWUP:  # it has to end what began since, too
            known = replace(known, order_ms=max(known.order_ms, claim.order_ms))
        if known.state is not State.PARKED or not known._is_sent_again(claim):
            return known
        return replace(
            claim,
            state=State.WAITING,
            owner="",
            receive_count=0,
            alone=False,
            due_s=0,
            first_seen_s=known.first_seen_s,
            attempts=known.attempts,
            unanswered=known.unanswered,
        )

    def _without_open_claim(self, next_claim: "EventRecord") -> "EventRecord":
        """The event with the crash of its open claim counted, if the next claim shows that it crashed."""
        crashed = not self.was_only_unwritten(next_claim)
        # If the message was received in between and not claimed, the time shows no crash for certain. That is
        # enough to try the event alone, but not to park it.
        is_certain = (
            next_claim.message_id != self.message_id or next_claim.receive_count == self.receive_count + 1
        )
        return replace(
            self,
            receive_count=0,
            alone=False,
            crashes=self.crashes + crashed,
            crashes_alone=self.crashes_alone + (crashed and self.alone and is_certain),
        )

    def _is_sent_again(self, claim: "EventRecord") -> bool:
        """Whether a message was sent after this event was parked. One from before is a copy of it.

        `sent_s` is SQS's clock and `updated_s` the function's. A redriven message counts as sent afterwards
        unless it certainly was not: then two of one event were redriven together, and the other was parked.
        """
        if claim.redriven:
            is_later = claim.sent_s >= self.updated_s - CLOCK_SKEW_S
        else:
            is_later = claim.sent_s > self.updated_s + CLOCK_SKEW_S
        return claim.message_id != self.message_id and is_later


@dataclass(frozen=True, slots=True)
class Final:
    """An event that was delivered or superseded: enough to recognise a copy of it.

    `order_ms`: when the event, or the last copy of it, was first sent.
    """

    state: State
    is_create: bool
    digest: str
    order_ms: int


@dataclass(frozen=True, slots=True)
class LeadState:
    """One lead.

    `known_s`: when an answer showed it last (0: never). `setters`: by their entries (setters.py); fields
    whose setter was pushed out were set at the rank `setters_floor` or before. `begun_ms`: the order of the
    create that began the lead, if an update or stop had got a 404 before (else 0). `finals`: by their keys.
    `shown`: the events that became final last, for people; no decision reads them.
    """

    lead_id: str = ""
    known_s: int = 0
    has_forgotten: bool = False
    setters: Setters = field(default_factory=dict)
    setters_floor: int = 0
    begun_ms: int = 0
    finals: Mapping[str, Final] = field(default_factory=dict)
    open: tuple[EventRecord, ...] = ()
    shown: tuple[EventRecord, ...] = ()

    def claimed(self, claim: EventRecord) -> EventRecord:
        """The event that a claim is about: one that is open, or a new one."""
        known = next((each for each in self.open if each.is_same(claim)), None)
        return known.next_try(claim) if known else replace(claim, owner="", receive_count=0, alone=False)

    def was_shown(self, create: EventRecord, window_s: int) -> bool:
        """Whether an answer showed the lead after the create was sent, or within one window before."""
        return self.known_s > max(0, create.order_ms / 1000 - window_s - CLOCK_SKEW_S)

    def leaves_doubt(self, event: EventRecord) -> bool:
        """Whether a POST could repeat this create, or undo this stop.

        A request of it had no answer, and no answer has shown the lead since.
        """
        is_harmed = event.operation in {Operation.CREATE, Operation.STOP_FOLLOWUP}
        return is_harmed and event.unanswered and event.updated_s > self.known_s

    def with_open(self, event: EventRecord) -> "LeadState":
        """The state with this event among the open ones."""
        others = [each for each in self.open if not each.is_same(event)]
        kept = sorted([*others, event], key=_importance)[-MOST_OPEN:]
        lost = any(self.leaves_doubt(each) for each in (*others, event) if each not in kept)
        return replace(self, open=tuple(kept), has_forgotten=self.has_forgotten or lost)

    def with_copy(self, event: EventRecord) -> "LeadState":
        """Moves the time of the final event to that of its copy, and drops the copy from the open ones."""
        final = self.finals[event.key]
        order_ms = max(final.order_ms, event.order_ms)
        setters = self.setters
        if event.operation is Operation.STOP_FOLLOWUP:
            rank = self.rank(order_ms, is_create=False)
            setters = {**setters, **new_setters(setters, event.operation, rank, {})}
        finals = {**self.finals, event.key: replace(final, order_ms=order_ms)}
        others = tuple(each for each in self.open if not each.is_same(event))
        return replace(self, finals=finals, setters=setters, open=others)

    def rank(self, order_ms: int, *, is_create: bool) -> int:
        """The place of an event among those of its lead: the event with the highest one sets a field.

        It is the event's order, but for what was sent a little before the create at `begun_ms`: that has its
        place just after the create.
        """
        before_ms = self.begun_ms - order_ms
        if is_create or not 0 < before_ms < SENT_BEFORE_ITS_CREATE_MS:
            return order_ms * RANKS_A_MS
        return self.begun_ms * RANKS_A_MS + SENT_BEFORE_ITS_CREATE_MS - before_ms

    def begun_by(self, create: EventRecord) -> "LeadState":
        """The state after the create that began the lead.

        A bus doesn't keep the order in which a create and its update are published. So if 7Targets didn't
        know the lead when its update came, updates and stops from before the create count as sent after it.
        """
        was_unknown = any(each.unknown_since_s > self.known_s for each in self.open)
        return replace(self, begun_ms=create.order_ms) if was_unknown else self

    def with_final(self, event: EventRecord, setters: Setters, oldest_s: int) -> "LeadState":
        """The state with this event final, and what it has set. Finals sent before `oldest_s` are dropped."""
        before = self.finals.get(event.key)
        own = Final(
            event.state,
            event.is_create,
            event.digest,
            max(event.order_ms, before.order_ms if before else 0),
        )
        finals = {key: each for key, each in self.finals.items() if each.order_ms >= oldest_s * 1000}
        finals[event.key] = own
        latest = sorted(finals, key=lambda key: finals[key].order_ms)
        creates = [key for key in latest if finals[key].is_create]
        others = [key for key in latest if not finals[key].is_create]
        kept = {*creates[-MOST_FINAL_CREATES:], *others[-MOST_FINALS:]}
        lost = len(creates) > MOST_FINAL_CREATES
        merged = {**self.setters, **setters}
        names = sorted(merged, key=lambda name: merged[name].rank)
        floor = max((merged[name].rank for name in names[:-MOST_SETTERS]), default=0)
        return replace(
            self,
            # An event that was parked with its key counts as corrected by this one.
            open=tuple(
                each
                for each in self.open
                if not each.is_same(event) and (each.key != event.key or each.state is not State.PARKED)
            ),
            finals={key: finals[key] for key in latest if key in kept},
            has_forgotten=self.has_forgotten or lost,
            setters={name: merged[name] for name in names[-MOST_SETTERS:]},
            setters_floor=max(self.setters_floor, floor),
            shown=(*self.shown, replace(event, digest="", order_ms=0, sent_s=0, redriven=False))[
                -SHOWN_EVENTS:
            ],
        )

    def with_journal(self, entries: Iterable[EventRecord]) -> "LeadState":
        """The state after claims that were never completed, in their order."""
        state = self
        # The AWS client repeats a claim whose answer was lost, which adds its entry again.
        for entry in {each.owner: each for each in entries}.values():
            state = state._with_claim(entry)
        return state

    def _with_claim(self, entry: EventRecord) -> "LeadState":
        record = self.claimed(entry)
        if record.state is State.PARKED:
            return self  # a copy, which sends nothing
        # Nothing was written after this claim, so its request may have had its effect.
        return self.with_open(
            replace(
                record,
                state=State.WAITING,
                message_id=entry.message_id,
                updated_s=entry.updated_s,
                due_s=entry.due_s,
                attempts=record.attempts + 1,
                receive_count=entry.receive_count,
                alone=entry.alone,
                unanswered=True,
                reason="the function ended while it delivered this event",
            )
        )


def _importance(event: EventRecord) -> tuple[bool, int, bool, bool, int]:
    """The least is forgotten first: events that only wait, the latest first, then those that are parked."""
    return (
        event.is_create and event.unanswered,
        event.crashes,
        event.unanswered,
        event.is_create,
        -event.order_ms if event.state is State.WAITING else event.updated_s,
    )
