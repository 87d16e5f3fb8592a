"""What the ledger knows about one lead, as a value. Pure: no clock, no I/O.

    (nothing) ── claim ──> under way ──┬─ answered 2xx ──────────────> delivered
                             ^         ├─ a later event has set it all > superseded
                             │         ├─ for a person to decide ────> parked ──┐
                             │         └─ turned away, unanswered,              │ redrive
                             │            waits for another event ─> waiting ───┤
                             └────────────────── claim ─────────────────────────┘

`unanswered` goes along with any state: a request left, and nothing has shown since whether it took effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .event.lead import Operation

# More are not remembered, because the whole item is written with each event. What is pushed out is the event
# that was settled longest ago: a repeat of it counts as a new event.
REMEMBERED_EVENTS = 20
# A producer may send an update or stop just before the create that it belongs to. There was no lead yet that
# it could have meant, so it counts as sent right after the create that began the lead.
SENT_BEFORE_ITS_CREATE_MS = 900_000


class State(StrEnum):
    """What became of an event, as it is stored."""

    UNDER_WAY = "under_way"
    WAITING = "waiting"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Whether 7Targets has what the event asked for, or something later."""
        return self in {State.DELIVERED, State.SUPERSEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event of a lead. Times named `_s` are epoch seconds, `order_ms` epoch milliseconds; 0 is "none".

    `order_ms` tells which of two events is the later one; `sent_s`: when its message was sent, which differs
    after a redrive. `due_s`: when its message is expected back. `unknown_since_s`: since when 7Targets says
    that it doesn't know the lead.
    `repeats_until_s`: until then a repeat is a duplicate. `fields`: what a delivered event has set, with a
    fingerprint of each value. `deaths`: how often an execution environment ended while it delivered the
    event; `receive_count`: its message's at the last of these, and at a claim, else 0. `began_lead`: its POST
    was sent while nothing was known of the lead. `reason` and `source` are free of personal data.
    """

    key: str
    operation: Operation | None
    order_ms: int
    sent_s: int
    message_id: str
    source: str
    first_seen_s: int
    updated_s: int
    state: State = State.UNDER_WAY
    owner: str = ""
    attempts: int = 0
    deaths: int = 0
    receive_count: int = 0
    unanswered: bool = False
    began_lead: bool = False
    due_s: int = 0
    unknown_since_s: int = 0
    repeats_until_s: int = 0
    reason: str = ""
    parked_as: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_create(self) -> bool:
        """Whether it is a create: alone among the operations, it may begin a lead."""
        return self.operation is Operation.CREATE

    def was_handed_back(self, claim: "EventRecord") -> bool:
        """Whether this claim shows that the environment of the last death lived on, and had only failed to
        write the ledger.

        Who lives hands the message back for half of the visibility timeout at most, which is over at `due_s`.
        Or it comes back sooner than the ledger lets its lead go, and so has been received in between. What a
        death left invisible comes back after five sixths of that time at the earliest, because the function
        had it for one sixth at most (infra/config.py).
        """
        is_early = 3 * (claim.updated_s - self.updated_s) < 2 * (self.due_s - self.updated_s)
        was_between = claim.receive_count > self.receive_count + 1
        is_same = self.receive_count > 0 and claim.message_id == self.message_id
        return is_same and (is_early or was_between)


@dataclass(frozen=True, slots=True)
class LeadState:
    """One lead: its id at 7Targets, when an answer showed it last (0: never), and its events."""

    lead_id: str = ""
    known_s: int = 0
    events: tuple[EventRecord, ...] = ()

    def find(self, key: str) -> EventRecord | None:
        """The event with this key."""
        return next((event for event in self.events if event.key == key), None)

    def order_of(self, event: EventRecord) -> tuple[int, bool, int]:
        """Which of two events is the later one, whose fields win. One place for each, so that no three events
        can wait for each other.
        """
        begins = [
            each.order_ms
            for each in self.events
            if each.began_lead
            and not event.is_create
            and 0 <= each.order_ms - event.order_ms < SENT_BEFORE_ITS_CREATE_MS
        ]
        return max([event.order_ms, *begins]), bool(begins), event.order_ms

    def claimed(self, entry: EventRecord) -> EventRecord:
        """The event that a claim's entry is about: the one that is known, or a new one."""
        known = self.find(entry.key)
        if known is None:
            return replace(entry, owner="", receive_count=0)
        known = replace(known, deaths=known.deaths - known.was_handed_back(entry), receive_count=0)
        is_another = entry.message_id != known.message_id and entry.sent_s >= known.updated_s
        if known.state is State.PARKED and is_another:
            # Sent again since it was parked, so it starts anew, except for what an earlier request may have
            # done. A message that was sent before that is a copy, or the parked one itself: no change.
            return replace(
                known,
                state=State.WAITING,
                operation=entry.operation,
                order_ms=entry.order_ms,
                sent_s=entry.sent_s,
                message_id=entry.message_id,
                deaths=0,
                unknown_since_s=0,
                parked_as="",
            )
        if known.state.is_final and entry.first_seen_s >= known.repeats_until_s:
            return replace(entry, owner="", receive_count=0)
        return known

    def with_event(self, event: EventRecord) -> "LeadState":
        """The state with this event in the place of the one with its key."""
        others = tuple(each for each in self.events if each.key != event.key)
        return replace(self, events=(*others, event))

    def with_journal(self, entries: tuple[EventRecord, ...]) -> "LeadState":
        """The state after entries that were added since it was written, in their order."""
        state, owners = self, set[str]()
        for entry in entries:
            # The AWS client repeats a claim whose answer was lost, which adds its entry again.
            if not entry.owner or entry.owner not in owners:
                state = state.with_event(_with_entry(state, entry))
            owners.add(entry.owner)
        return state

    def pruned(self, oldest_s: int) -> "LeadState":
        """Without the events that nobody asks about any more, because nothing happened to them since."""
        kept = sorted(
            (event for event in self.events if event.updated_s >= oldest_s),
            key=lambda event: event.updated_s,
        )
        settled = [event for event in kept if event.state is not State.WAITING and not event.unanswered]
        forgotten = {event.key for event in settled[: max(0, len(kept) - REMEMBERED_EVENTS)]}
        return replace(self, events=tuple(event for event in kept if event.key not in forgotten))


def _with_entry(state: LeadState, entry: EventRecord) -> EventRecord:
    if entry.state is State.UNDER_WAY:
        record = state.claimed(entry)
        if record.state.is_final or record.state is State.PARKED:
            return record  # nothing was left to do for it
        # The environment ended before it could say what came of its request: it may have had its effect.
        begins = entry.is_create and not state.known_s
        return replace(
            record,
            state=State.WAITING,
            message_id=entry.message_id,
            updated_s=entry.updated_s,
            due_s=entry.due_s,
            attempts=record.attempts + 1,
            deaths=record.deaths + 1,
            receive_count=entry.receive_count,
            unanswered=True,
            began_lead=record.began_lead or begins,
            reason="the function ended while it delivered this event",
        )
    known = state.find(entry.key)
    if known is None:
        return entry
    if known.state.is_final or (known.state is State.WAITING and known.message_id != entry.message_id):
        return known  # what became of another message with this key takes nothing back
    return replace(
        known,
        state=entry.state,
        message_id=entry.message_id,
        updated_s=entry.updated_s,
        due_s=entry.due_s,
        reason=entry.reason,
        parked_as=entry.parked_as,
    )
