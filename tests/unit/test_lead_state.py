"""What the ledger knows of a lead after claims whose environment died, after notes, and after years."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.event.lead import Operation
from deliver_leads.lead_state import REMEMBERED_EVENTS, EventRecord, LeadState, State
from deliver_leads.outcome import Outcome
from tests.lead_records import SEEN_S, any_record, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP


def dead_claim(key: str, operation: Operation = UPDATE, **more: Any) -> EventRecord:
    """The journal entry of a claim that was never completed."""
    values = {"message_id": "claimed", "due_s": SEEN_S + 900, "owner": "dead"} | more
    return record(key, operation, state=State.UNDER_WAY, **values)


def note(key: str, **more: Any) -> EventRecord:
    """The journal entry of a message that was parked unread."""
    values = {"message_id": "unreadable", "reason": "name: is missing", "parked_as": Outcome.REJECTED} | more
    return record(key, state=State.PARKED, **values)


def after(entry: EventRecord, *events: EventRecord, known_s: int = 0) -> EventRecord:
    """The event of a journal entry, once a lead with these events has taken it in."""
    found = LeadState(known_s=known_s, events=events).with_journal((entry,)).find(entry.key)
    assert found is not None
    return found


class TestAClaimWhoseEnvironmentDied:
    """Nobody knows what its request did."""

    @pytest.mark.parametrize("operation", Operation)
    def test_it_counts_as_a_request_without_an_answer(self, operation: Operation) -> None:
        """It comes back when the queue's visibility timeout is over; a person can read what happened."""
        event = after(dead_claim("own", operation))
        assert (event.state, event.unanswered, event.deaths, event.attempts) == (State.WAITING, True, 1, 1)
        assert event.due_s == SEEN_S + 900
        assert event.reason == "the function ended while it delivered this event"

    def test_each_death_is_counted_on_top_of_what_is_known(self) -> None:
        """Three park the event, so none may be forgotten."""
        event = after(dead_claim("own"), record("own", deaths=1, attempts=4, order_ms=7, source="my.crm"))
        assert (event.deaths, event.attempts) == (2, 5)
        assert (event.order_ms, event.source) == (7, "my.crm")

    def test_claims_of_several_events_and_of_one_event_are_all_counted(self) -> None:
        """Nobody folded them in between, because each later claim died, too."""
        entries = (dead_claim("a", owner="1"), dead_claim("b", owner="2"), dead_claim("a", owner="3"))
        state = LeadState().with_journal(entries)
        assert {event.key: event.deaths for event in state.events} == {"a": 2, "b": 1}

    def test_a_claim_that_the_aws_client_repeated_is_one_death(self) -> None:
        """Its entry is there twice; three deaths park an event, so lost answers alone must not add up."""
        event = LeadState().with_journal((dead_claim("own"), note("other"), dead_claim("own"))).find("own")
        assert event is not None
        assert (event.deaths, event.attempts) == (1, 1)

    @pytest.mark.parametrize(
        ("came_back_s", "receive_count", "message_id", "deaths"),
        [
            (900, 2, "claimed", 1),  # when the visibility timeout was over, at its next receive
            (599, 2, "claimed", 0),
            (600, 2, "claimed", 1),
            (900, 3, "claimed", 0),
            (599, 1, "another", 1),  # another message of the event says nothing about the first one's end
        ],
    )
    def test_an_environment_that_handed_its_message_back_did_not_die(
        self, came_back_s: int, receive_count: int, message_id: str, deaths: int
    ) -> None:
        """It could not write the ledger a second time; however often, that must not park the event."""
        state = LeadState().with_journal((dead_claim("own", receive_count=1),))
        entry = dead_claim(
            "own", message_id=message_id, updated_s=SEEN_S + came_back_s, receive_count=receive_count
        )
        event = state.claimed(entry)
        assert (event.deaths, event.unanswered, event.receive_count) == (deaths, True, 0)

    @pytest.mark.parametrize(
        ("operation", "known_s", "began"),
        [(CREATE, 0, True), (CREATE, SEEN_S, False), (UPDATE, 0, False), (STOP, 0, False)],
    )
    def test_only_a_create_of_a_lead_that_was_never_shown_may_have_begun_it(
        self, operation: Operation, known_s: int, began: bool
    ) -> None:
        """Its POST may have left."""
        assert after(dead_claim("own", operation), known_s=known_s).began_lead is began

    def test_a_create_that_began_the_lead_stays_its_beginning(self) -> None:
        """Whatever its later attempts find."""
        known = record("own", CREATE, began_lead=True)
        assert after(dead_claim("own", CREATE), known, known_s=SEEN_S).began_lead

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_a_repeat_of_a_settled_event_takes_nothing_back(self, state: State) -> None:
        """It would have ended as a duplicate, so nothing was sent."""
        known = record("own", state=state, repeats_until_s=SEEN_S + 1, fields={"name": "x"})
        assert after(dead_claim("own"), known) == known

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_a_repeat_after_the_window_is_a_new_event(self, state: State) -> None:
        """It takes its own place in the order of the lead's events."""
        known = record("own", state=state, repeats_until_s=SEEN_S, order_ms=1, fields={"name": "x"})
        event = after(dead_claim("own", order_ms=2), known)
        assert (event.state, event.order_ms, event.deaths, event.fields) == (State.WAITING, 2, 1, {})

    def test_a_parked_message_that_came_back_stays_parked(self) -> None:
        """It would only have been acknowledged."""
        known = note("own")
        assert after(dead_claim("own", sent_s=SEEN_S - 1), known) == known

    def test_a_redriven_event_has_three_lives_again(self) -> None:
        """A person may have fixed why the function died over it."""
        event = after(dead_claim("own"), note("own", deaths=3))
        assert (event.state, event.deaths, event.parked_as) == (State.WAITING, 1, "")


class TestANote:
    """What became of a message that nobody could read; it is stored without a claim."""

    def test_it_is_remembered_like_an_event(self) -> None:
        """A person who looks the lead up finds the reason."""
        assert after(note("own")) == note("own")

    def test_each_note_counts(self) -> None:
        """Two messages that nobody could read are two events."""
        state = LeadState().with_journal((note("a"), note("b")))
        assert {event.key for event in state.events} == {"a", "b"}

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_it_takes_no_delivery_back(self, state: State) -> None:
        """The good message with that key was delivered."""
        known = record("own", state=state)
        assert after(note("own"), known) == known

    def test_it_does_not_settle_another_message_that_waits(self) -> None:
        """Later events go on waiting for that one."""
        known = record("own", message_id="readable")
        assert after(note("own"), known) == known

    def test_it_settles_the_claim_of_the_same_message_before_it(self) -> None:
        """The message was parked, and the ledger failed just then: nobody waits for it."""
        state = LeadState().with_journal((dead_claim("own"), note("own", message_id="claimed")))
        event = state.find("own")
        assert event is not None
        assert (event.state, event.parked_as, event.unanswered) == (State.PARKED, Outcome.REJECTED, True)

    def test_it_keeps_what_an_earlier_request_may_have_done(self) -> None:
        """The doubt whether the lead exists outlives the message."""
        event = after(
            note("own"), record("own", CREATE, message_id="unreadable", unanswered=True, attempts=2)
        )
        assert (event.state, event.unanswered, event.attempts) == (State.PARKED, True, 2)
        assert (event.reason, event.parked_as) == ("name: is missing", Outcome.REJECTED)


class TestWhichEventAClaimIsAbout:
    """The known one, or a new one with its key."""

    def test_a_new_key_is_a_new_event(self) -> None:
        """Without the name of its owner, which belongs to the claim."""
        entry = dead_claim("own")
        assert LeadState(events=(record("other"),)).claimed(entry) == replace(entry, owner="")

    def test_an_event_that_waits_keeps_its_place_and_its_history(self) -> None:
        """A repeat of its message by the producer makes it no later event."""
        known = record("own", order_ms=1, deaths=1, unanswered=True)
        assert LeadState(events=(known,)).claimed(dead_claim("own", order_ms=2)) == known

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_a_settled_event_is_known_until_its_window_ends(self, state: State) -> None:
        """After that, the key names a new event."""
        known = record("own", state=state, repeats_until_s=SEEN_S + 1)
        entry = dead_claim("own")
        assert LeadState(events=(known,)).claimed(entry) == known
        late = replace(entry, first_seen_s=SEEN_S + 1)
        assert LeadState(events=(known,)).claimed(late) == replace(late, owner="")

    def test_the_parked_message_itself_finds_its_event_parked(self) -> None:
        """It is acknowledged without being parked again."""
        known = note("own", message_id="claimed")
        entry = dead_claim("own", sent_s=SEEN_S - 1)
        assert LeadState(events=(known,)).claimed(entry) == known

    def test_a_copy_that_was_sent_before_the_event_was_parked_changes_nothing(self) -> None:
        """Else two copies over which the function dies would revive each other for ever."""
        known = note("own", message_id="the other copy")
        entry = dead_claim("own", sent_s=SEEN_S - 1)
        assert LeadState(events=(known,)).claimed(entry) == known

    def test_a_message_sent_after_the_event_was_parked_starts_it_anew(self) -> None:
        """As if it had never failed, but a request without an answer may still have had its effect."""
        known = note(
            "own",
            operation=None,
            order_ms=1,
            deaths=3,
            unanswered=True,
            began_lead=True,
            unknown_since_s=1,
        )
        event = LeadState(events=(known,)).claimed(dead_claim("own", CREATE, order_ms=2))
        assert (event.state, event.operation, event.message_id) == (State.WAITING, CREATE, "claimed")
        assert (event.order_ms, event.deaths, event.parked_as) == (2, 0, "")
        assert event.unknown_since_s == 0
        assert (event.unanswered, event.began_lead) == (True, True)


class TestWhatIsForgotten:
    """The whole item is written with each event, so its size is bounded."""

    def test_the_events_that_were_settled_longest_ago_make_room(self) -> None:
        """Twenty are remembered, whatever their order in the item."""
        events = [
            record(f"event {age}", state=State.DELIVERED, updated_s=SEEN_S - age)
            for age in (*range(10, REMEMBERED_EVENTS + 3), *range(10))
        ]
        kept = LeadState(events=tuple(events)).pruned(oldest_s=0)
        assert {event.key for event in kept.events} == {f"event {age}" for age in range(REMEMBERED_EVENTS)}

    @pytest.mark.parametrize(
        "more", [{"state": State.WAITING}, {"state": State.PARKED, "unanswered": True}], ids=str
    )
    def test_an_event_that_waits_or_is_in_doubt_stays(self, more: dict[str, Any]) -> None:
        """Without it, a later event would go first, or a create be posted again."""
        old = record("old", updated_s=1, **more)
        others = [
            record(f"other {age}", state=State.DELIVERED, updated_s=SEEN_S - age)
            for age in range(REMEMBERED_EVENTS)
        ]
        kept = LeadState(events=(old, *others)).pruned(oldest_s=0)
        assert kept.find("old") == old
        assert len(kept.events) == REMEMBERED_EVENTS
        assert kept.find(f"other {REMEMBERED_EVENTS - 1}") is None

    def test_an_event_to_which_nothing_happened_for_so_long_is_forgotten(self) -> None:
        """No message lives that long, so even one that waited can't come back."""
        events = tuple(record(f"{age}", updated_s=SEEN_S - age, unanswered=True) for age in range(3))
        assert [event.key for event in LeadState(events=events).pruned(SEEN_S - 1).events] == ["1", "0"]

    @given(st.lists(any_record(updated_s=st.integers(1, 50)), unique_by=lambda event: event.key, max_size=40))
    def test_nothing_else_is_forgotten(self, events: list[EventRecord]) -> None:
        """Only as many as are too many, only settled ones, and none that is newer than one that stays."""
        state = LeadState("2345", SEEN_S, tuple(events))
        kept = state.pruned(oldest_s=0)
        assert (kept.lead_id, kept.known_s) == (state.lead_id, state.known_s)
        forgotten = [event for event in events if kept.find(event.key) is None]
        must_stay = [event for event in events if event.state is State.WAITING or event.unanswered]
        assert len(kept.events) == min(len(events), max(REMEMBERED_EVENTS, len(must_stay)))
        assert not [event for event in must_stay if event in forgotten]
        newest = max((event.updated_s for event in forgotten), default=0)
        assert all(event.updated_s >= newest for event in kept.events if event not in must_stay)


def test_an_event_takes_the_place_of_the_one_with_its_key() -> None:
    """A lead has each event once."""
    state = LeadState(events=(record("a"), record("b")))
    changed = record("a", reason="another")
    assert set(map(id, state.with_event(changed).events)) == {id(changed), id(state.events[1])}
    assert state.find("c") is None
