"""Events of a lead as the ledger stores them: one with the values that matter to a test, or any."""

from typing import Any

from hypothesis import strategies as st

from deliver_leads.event.lead import Operation
from deliver_leads.lead_state import EventRecord, State

SEEN_S = 1_800_000_000


def record(key: str, operation: Operation | None = Operation.UPDATE, **more: Any) -> EventRecord:
    """An event that waits, sent at the time 0 of its lead's order, with these values instead."""
    values: dict[str, Any] = {
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
        "key": st.text(min_size=1, max_size=20),
        "operation": st.sampled_from([*Operation, None]),
        "order_ms": st.integers(0, 10**13),
        "sent_s": times,
        "message_id": st.text(min_size=1, max_size=20),
        "source": texts,
        "first_seen_s": st.integers(1, 10**10),
        "updated_s": st.integers(SEEN_S, 10**10),
        "state": st.sampled_from([state for state in State if state is not State.UNDER_WAY]),
        "attempts": counts,
        "deaths": counts,
        "receive_count": counts,
        "unanswered": st.booleans(),
        "began_lead": st.booleans(),
        "due_s": times,
        "unknown_since_s": times,
        "repeats_until_s": times,
        "reason": texts,
        "parked_as": texts,
        "fields": st.dictionaries(st.text(min_size=1, max_size=10), texts, max_size=3),
    }
    return st.builds(EventRecord, **(values | strategies))
