"""What the ledger holds of a lead: with the values that matter to a test, or any that can be stored."""

from typing import Any

from hypothesis import strategies as st

from deliver_leads.event.lead import Operation
from deliver_leads.lead_state import (
    MOST_FINALS,
    MOST_OPEN,
    MOST_SETTERS,
    SHOWN_EVENTS,
    EventRecord,
    Final,
    LeadState,
    State,
)
from deliver_leads.setters import Setter

SEEN_S = 1_800_000_000
DIGEST = "digest"


def record(key: str, operation: Operation | None = Operation.UPDATE, **more: Any) -> EventRecord:
    """An event that waits, sent at the time 0 of its lead's order, with these values instead."""
    values: dict[str, Any] = {
        "digest": DIGEST,
        "order_ms": 0,
        "sent_s": SEEN_S,
        "message_id": f"message of {key}",
        "source": "sqs",
        "first_seen_s": SEEN_S,
        "updated_s": SEEN_S,
        "state": State.WAITING,
    }
    return EventRecord(key=key, operation=operation, **(values | more))


def final(operation: Operation = Operation.UPDATE, order_ms: int = 0, **more: Any) -> Final:
    """A delivered event with the content of a `record`."""
    values: dict[str, Any] = {"state": State.DELIVERED, "digest": DIGEST} | more
    return Final(is_create=operation is Operation.CREATE, order_ms=order_ms, **values)


_HASHES = st.text("0123456789abcdef", min_size=12, max_size=12)
_TIMES_S = st.integers(0, 10**10)
_TIMES_MS = st.integers(0, 10**13)


def any_record(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[EventRecord]:
    """Any event that can be stored; `strategies` say otherwise for some of its values."""
    counts, texts = st.integers(0, 5), st.text(max_size=20)
    values: dict[str, st.SearchStrategy[Any]] = {
        "key": st.text(min_size=1, max_size=20),
        "digest": _HASHES,
        "operation": st.sampled_from([*Operation, None]),
        "order_ms": _TIMES_MS,
        "sent_s": _TIMES_S,
        "message_id": st.text(min_size=1, max_size=20),
        "source": texts,
        "first_seen_s": st.integers(1, 10**10),
        "updated_s": st.integers(SEEN_S, 10**10),
        "state": st.sampled_from(State),
        "owner": texts,
        "attempts": counts,
        "crashes": counts,
        "crashes_alone": counts,
        "receive_count": counts,
        "alone": st.booleans(),
        "unanswered": st.booleans(),
        "due_s": _TIMES_S,
        "unknown_since_s": _TIMES_S,
        "reason": texts,
        "parked_as": texts,
    }
    return st.builds(EventRecord, **(values | strategies))


def any_state() -> st.SearchStrategy[LeadState]:
    """Any lead that can be stored."""
    setters = st.builds(Setter, _TIMES_MS, _HASHES)
    finals = st.builds(
        Final, st.sampled_from([State.DELIVERED, State.SUPERSEDED]), st.booleans(), _HASHES, _TIMES_MS
    )
    return st.builds(
        LeadState,
        lead_id=st.text(max_size=10),
        known_s=_TIMES_S,
        has_forgotten=st.booleans(),
        setters=st.dictionaries(st.text(min_size=1, max_size=10), setters, max_size=MOST_SETTERS // 16),
        setters_floor=_TIMES_MS,
        finals=st.dictionaries(_HASHES, finals, max_size=MOST_FINALS // 4),
        open=st.lists(any_record(), max_size=MOST_OPEN // 2).map(tuple),
        shown=st.lists(any_record(), max_size=SHOWN_EVENTS).map(tuple),
    )
