"""Events of a lead as the ledger stores them: one with the values that matter to a test, or any."""

from typing import Any

from hypothesis import strategies as st

from deliver_leads.event.lead import Operation
from deliver_leads.lead_state import EventRecord, Final, LeadState, Setter, State

SEEN_S = 1_800_000_000
HASHES = st.text("0123456789abcdef", min_size=1, max_size=16)
ORDERS = st.integers(0, 10**13)


def record(key: str, operation: Operation | None = Operation.UPDATE, **more: Any) -> EventRecord:
    """An event that waits, sent at the time 0 of its lead's order, with these values instead."""
    values: dict[str, Any] = {
        "digest": "digest",
        "order_ms": 0,
        "sent_s": SEEN_S,
        "message_id": f"message of {key}",
        "source": "sqs",
        "first_seen_s": SEEN_S,
        "updated_s": SEEN_S,
        "state": State.WAITING,
    }
    return EventRecord(key=key, operation=operation, **(values | more))


def any_record(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[EventRecord]:
    """Any event that can be stored; `strategies` say otherwise for some of its values."""
    counts, times, texts = st.integers(0, 5), st.integers(0, 10**10), st.text(max_size=20)
    values: dict[str, st.SearchStrategy[Any]] = {
        "key": HASHES,
        "digest": HASHES,
        "operation": st.sampled_from([*Operation, None]),
        "order_ms": ORDERS,
        "sent_s": times,
        "redriven": st.booleans(),
        "message_id": st.text(min_size=1, max_size=20),
        "source": texts,
        "first_seen_s": st.integers(1, 10**10),
        "updated_s": st.integers(SEEN_S, 10**10),
        "state": st.sampled_from([state for state in State if state is not State.UNDER_WAY]),
        "owner": st.just(""),
        "attempts": counts,
        "crashes": counts,
        "crashes_alone": counts,
        "receive_count": counts,
        "alone": st.booleans(),
        "unanswered": st.booleans(),
        "due_s": times,
        "unknown_since_s": times,
        "reason": texts,
        "parked_as": texts,
    }
    return st.builds(EventRecord, **(values | strategies))


def any_state() -> st.SearchStrategy[LeadState]:
    """Any state of a lead that can be stored."""
    finals = st.builds(
        Final, st.sampled_from([State.DELIVERED, State.SUPERSEDED]), st.booleans(), HASHES, ORDERS
    )
    return st.builds(
        LeadState,
        st.text(max_size=10),
        st.integers(0, 10**10),
        st.booleans(),
        st.dictionaries(
            st.text(min_size=1, max_size=13), st.builds(Setter, ORDERS, HASHES, st.booleans()), max_size=3
        ),
        ORDERS,
        st.dictionaries(HASHES, finals, max_size=3),
        st.lists(any_record(), max_size=3).map(tuple),
        st.lists(any_record(), max_size=3).map(tuple),
    )
