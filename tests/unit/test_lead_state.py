"""What is known of a lead after crashes, after an event was sent again, and after its bounds were reached."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.event.lead import Operation
from deliver_leads.lead_state import (
    CLOCK_SKEW_S,
    MOST_FINAL_CREATES,
    MOST_FINALS,
    MOST_OPEN,
    MOST_SETTERS,
    SHOWN_EVENTS,
    EventRecord,
    LeadState,
    Setter,
    State,
)
from deliver_leads.outcome import Outcome
from tests.lead_records import SEEN_S, any_record, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP
NEW = LeadState()


def crashed_claim(key: str, operation: Operation = UPDATE, **more: Any) -> EventRecord:
    """The journal entry of a claim that was never completed."""
    values = {"message_id": "claimed", "due_s": SEEN_S + 900, "owner": "crashed", "receive_count": 1} | more
    return record(key, operation, state=State.UNDER_WAY, **values)


def after(*entries: EventRecord, known: EventRecord | None = None) -> EventRecord:
    """The one open event, once a lead has taken these journal entries in."""
    [found] = LeadState(open=(known,) if known else ()).with_journal(entries).open
    return found


def claimed(state: LeadState, entry: EventRecord) -> EventRecord:
    """The event as the next claim finds it, when its message came back after the visibility timeout."""
    return state.claimed(replace(entry, updated_s=SEEN_S + 900, receive_count=entry.receive_count + 1))


class TestAClaimThatWasNeverCompleted:
    """Nobody knows what its request did."""

    @pytest.mark.parametrize("operation", Operation)
    def test_it_counts_as_a_request_without_an_answer(self, operation: Operation) -> None:
        """It comes back when the queue's visibility timeout is over; a person can read what happened."""
        event = after(crashed_claim("own", operation))
        assert (event.state, event.unanswered, event.attempts) == (State.WAITING, True, 1)
        assert (event.due_s, event.message_id) == (SEEN_S + 900, "claimed")
        assert event.reason == "the function ended while it delivered this event"

    @pytest.mark.parametrize(("alone", "crashes_alone"), [(True, 1), (False, 0)])
    def test_a_crash_counts_for_the_parking_only_if_the_event_was_alone(
        self, alone: bool, crashes_alone: int
    ) -> None:
        """Else another event may have caused it. It is known at the next claim of the event."""
        entry = crashed_claim("own", alone=alone)
        event = claimed(NEW.with_journal((entry,)), entry)
        assert (event.crashes, event.crashes_alone, event.receive_count) == (1, crashes_alone, 0)

    def test_each_crash_is_counted_on_top_of_what_is_known(self) -> None:
        """Three alone park the event, so none may be forgotten."""
        known = record("own", crashes=2, crashes_alone=1, attempts=4, order_ms=7, source="my.crm")
        entry = crashed_claim("own", alone=True)
        state = LeadState(open=(known,)).with_journal((entry,))
        event = claimed(state, entry)
        assert (event.crashes, event.crashes_alone, event.attempts) == (3, 2, 5)
        assert (event.order_ms, event.source) == (7, "my.crm")

    def test_a_crash_is_counted_once_however_many_events_follow(self) -> None:
        """Only the next claim of the event itself counts it."""
        entry = crashed_claim("own", alone=True)
        state = NEW.with_journal((entry,))
        event = claimed(state, entry)
        again = claimed(state.with_open(replace(event, state=State.WAITING)), entry)
        assert (again.crashes, again.crashes_alone) == (1, 1)

    def test_claims_of_several_events_and_of_one_event_are_all_counted(self) -> None:
        """No completion came in between, because each later claim crashed, too."""
        first = crashed_claim("a", owner="1")
        entries = (
            first,
            crashed_claim("b", owner="2"),
            replace(first, owner="3", updated_s=SEEN_S + 900, receive_count=2),
        )
        state = NEW.with_journal(entries)
        again = replace(first, updated_s=SEEN_S + 1800, receive_count=3, due_s=SEEN_S + 2700)
        assert {each.key: each.attempts for each in state.open} == {"a": 2, "b": 1}
        assert replace(state.claimed(again), updated_s=0).crashes == 2

    def test_a_claim_that_the_aws_client_repeated_is_one_crash(self) -> None:
        """Its entry is there twice; crashes park an event, so lost answers alone must not add up."""
        entry = crashed_claim("own")
        state = NEW.with_journal((entry, crashed_claim("other", owner="2"), entry))
        assert {each.key: each.attempts for each in state.open} == {"own": 1, "other": 1}
        assert claimed(state, entry).crashes == 1

    @pytest.mark.parametrize(
        ("came_back_s", "receive_count", "message_id", "crashes"),
        [
            (900, 2, "claimed", 1),  # when the visibility timeout was over, at its next receive
            (599, 2, "claimed", 0),  # early, because the environment set a delay
            (600, 2, "claimed", 1),
            (900, 3, "claimed", 0),  # a receive in between, in which no claim was possible
            (599, 1, "another", 1),  # another message of the event says nothing about the first one's end
            (900, 3, "another", 1),
        ],
    )
    def test_an_environment_that_gave_its_message_a_delay_did_not_crash(
        self, came_back_s: int, receive_count: int, message_id: str, crashes: int
    ) -> None:
        """It could not write the ledger a second time; however often, that must not park the event."""
        state = NEW.with_journal((crashed_claim("own", alone=True),))
        entry = crashed_claim(
            "own", message_id=message_id, updated_s=SEEN_S + came_back_s, receive_count=receive_count
        )
        event = state.claimed(entry)
        assert (event.crashes, event.crashes_alone) == (crashes, crashes)
        assert (event.unanswered, event.receive_count, event.alone) == (True, 0, False)

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_the_claim_of_a_copy_of_a_final_event_takes_nothing_back(self, state: State) -> None:
        """It would have ended as a duplicate, so nothing was sent."""
        known = NEW.with_final(record("own", state=state), {"name": Setter(0, "x")}, 0)
        assert known.with_journal((crashed_claim("own"),)) == known

    def test_the_claim_of_other_content_with_the_key_of_a_final_event_is_taken_in(self) -> None:
        """It is another event, and is refused when it comes back."""
        known = NEW.with_final(record("own", state=State.DELIVERED), {}, 0)
        [event] = known.with_journal((crashed_claim("own", digest="another"),)).open
        assert event.digest == "another"

    @pytest.mark.xfail(
        strict=True,
        reason="with_journal takes the claim for one of a copy, so that its POST and its crash are forgotten",
    )
    def test_the_claim_of_a_create_sent_again_after_the_window_counts_as_unanswered(self) -> None:
        """It has the key and the content of a final one, and is POSTed all the same: a new event."""
        known = NEW.with_final(record("own", CREATE, state=State.DELIVERED), {}, 0)
        entry = crashed_claim("own", CREATE, order_ms=30 * 86_400_000)
        event = claimed(known.with_journal((entry,)), entry)
        assert (event.unanswered, event.crashes) == (True, 1)

    def test_a_parked_message_that_came_back_stays_parked(self) -> None:
        """It would only have been acknowledged."""
        known = record("own", state=State.PARKED)
        assert after(crashed_claim("own", sent_s=SEEN_S - 1), known=known) == known

    def test_a_redriven_event_has_three_tries_again(self) -> None:
        """A person may have fixed why the function crashed over it."""
        known = record("own", state=State.PARKED, crashes=3, crashes_alone=3, parked_as=Outcome.REJECTED)
        entry = crashed_claim("own", redriven=True, alone=True)
        state = LeadState(open=(known,)).with_journal((entry,))
        [event] = state.open
        assert (event.state, event.parked_as) == (State.WAITING, "")
        again = claimed(state, entry)
        assert (again.crashes, again.crashes_alone) == (1, 1)


class TestWhichEventAClaimIsAbout:
    """The open one with its key and its content, or a new one."""

    @pytest.mark.parametrize("more", [{"key": "other"}, {"digest": "another"}])
    def test_another_key_or_other_content_is_a_new_event(self, more: dict[str, Any]) -> None:
        """Without the name of its owner and its receives, which belong to the claim."""
        entry = crashed_claim("own", alone=True)
        known = replace(record("own"), **more)
        assert LeadState(open=(known,)).claimed(entry) == replace(
            entry, owner="", receive_count=0, alone=False
        )

    def test_an_event_that_waits_keeps_its_place_and_its_history(self) -> None:
        """A repeat of its message by the producer makes it no later event."""
        known = record("own", order_ms=1, crashes=1, unanswered=True)
        assert LeadState(open=(known,)).claimed(crashed_claim("own", order_ms=2)) == known

    @pytest.mark.parametrize(
        "more",
        [
            {"message_id": "message of own"},  # acknowledging it failed
            {"message_id": "message of own", "sent_s": SEEN_S + 999, "redriven": True},
            {"sent_s": SEEN_S - 1},
            {"sent_s": SEEN_S + CLOCK_SKEW_S},
        ],
    )
    def test_a_copy_from_before_the_parking_finds_the_event_parked(self, more: dict[str, Any]) -> None:
        """Else two copies over which the function crashes would restart each other for ever."""
        known = record("own", state=State.PARKED, parked_as=Outcome.REJECTED)
        assert LeadState(open=(known,)).claimed(crashed_claim("own", **more)) == known

    @pytest.mark.parametrize(
        "more", [{"redriven": True, "sent_s": SEEN_S - 1}, {"sent_s": SEEN_S + CLOCK_SKEW_S + 1}]
    )
    def test_a_message_sent_after_the_parking_starts_the_event_anew(self, more: dict[str, Any]) -> None:
        """As if it had never failed, but a request without an answer may still have had its effect."""
        known = record(
            "own",
            state=State.PARKED,
            parked_as=Outcome.REJECTED,
            reason="no such assistant",
            first_seen_s=7,
            order_ms=1,
            attempts=4,
            crashes=3,
            crashes_alone=3,
            unanswered=True,
            unknown_since_s=1,
        )
        entry = crashed_claim("own", order_ms=2, **more)
        event = LeadState(open=(known,)).claimed(entry)
        assert event == record(
            "own",
            message_id="claimed",
            order_ms=2,
            sent_s=entry.sent_s,
            redriven=entry.redriven,
            first_seen_s=7,
            attempts=4,
            unanswered=True,
        )


class TestOpenEvents:
    """Eight at most, because the whole item is written with each event."""

    def test_an_event_takes_the_place_of_itself_only(self) -> None:
        """Others with its key and other content stay, because they are other events."""
        other, another = record("a", digest="another"), record("b")
        state = LeadState(open=(record("a"), other, another)).with_open(record("a", reason="changed"))
        assert set(state.open) == {other, another, record("a", reason="changed")}

    def test_a_parked_event_makes_room_for_another_with_its_key(self) -> None:
        """A person has sent it again with other content."""
        parked = record("a", digest="another", state=State.PARKED)
        state = LeadState(open=(parked,)).with_open(record("a"))
        assert (state.open, state.has_forgotten) == ((record("a"),), False)

    def test_if_that_was_a_create_without_an_answer_this_is_remembered(self) -> None:
        """Its POST may have had its effect."""
        parked = record("a", CREATE, digest="another", state=State.PARKED, unanswered=True)
        assert LeadState(open=(parked,)).with_open(record("a", CREATE)).has_forgotten

    def test_what_only_waits_goes_first_the_latest_first_and_then_what_is_parked(self) -> None:
        """Earlier events keep later ones waiting. A create without an answer goes last of all."""
        by_importance = [
            record("waits later", order_ms=20),
            record("waits", order_ms=10),
            record("parked before", state=State.PARKED, updated_s=SEEN_S - 1),
            record("parked", state=State.PARKED),
            record("create later", CREATE, order_ms=5),
            record("create", CREATE, order_ms=4),
            record("no answer later", unanswered=True, order_ms=3),
            record("no answer", unanswered=True, order_ms=2),
            record("crashed", crashes=1),
            record("crashed more", crashes=2),
            record("create without an answer", CREATE, unanswered=True),
        ]
        state = NEW
        for each in by_importance:
            state = state.with_open(each)
        assert [each.key for each in state.open] == [each.key for each in by_importance[-MOST_OPEN:]]
        assert not state.has_forgotten

    def test_a_create_without_an_answer_that_has_to_go_is_remembered_by_a_mark(self) -> None:
        """After it, no create of the lead is POSTed without asking first."""
        creates = [record(f"{place}", CREATE, order_ms=place, unanswered=True) for place in range(MOST_OPEN)]
        state = LeadState(open=tuple(creates))
        assert not state.with_open(record("update")).has_forgotten
        assert state.with_open(record("earlier", CREATE, order_ms=-1, unanswered=True)).has_forgotten

    @pytest.mark.xfail(
        strict=True, reason="with_open looks at the other events only for creates that were lost"
    )
    def test_so_is_the_new_event_itself_if_it_has_to_go(self) -> None:
        """The later of nine creates without an answer."""
        creates = [record(f"{place}", CREATE, order_ms=place, unanswered=True) for place in range(MOST_OPEN)]
        later = record("later", CREATE, order_ms=99, unanswered=True)
        assert LeadState(open=tuple(creates)).with_open(later).has_forgotten

    @given(st.lists(any_record(), max_size=20))
    def test_no_doubt_is_forgotten_without_a_mark(self, events: list[EventRecord]) -> None:
        """Whatever came, there are at most eight, and as many as came while there was room."""
        state = NEW
        for each in events:
            state = state.with_open(each)
        assert len(state.open) <= MOST_OPEN
        if not state.has_forgotten and len(events) <= MOST_OPEN:
            in_doubt = {(each.key, each.digest) for each in state.open if each.is_create and each.unanswered}
            last = {(each.key, each.digest): each for each in events}
            assert {key for key, each in last.items() if each.is_create and each.unanswered} == in_doubt


def final(state: LeadState, key: str, operation: Operation = UPDATE, **more: Any) -> LeadState:
    """The state after this event was delivered."""
    return state.with_final(record(key, operation, state=State.DELIVERED, **more), {}, 0)


class TestFinalEvents:
    """Twelve updates and stops and 32 creates at most."""

    def test_a_delivered_event_is_final_and_no_longer_open(self) -> None:
        """Another with its key and other content stays open: it is refused when it comes back."""
        state = LeadState(open=(record("a"), other := record("a", digest="another")))
        state = final(state, "a")
        assert state.open == (other,)
        assert state.finals["a"].digest == "digest"

    def test_the_updates_that_were_sent_first_go_and_no_create_does(self) -> None:
        """A copy of an update changes nothing that a later one has set; a copy of a create is a POST."""
        state = final(NEW, "create", CREATE, order_ms=-1)
        for place in reversed(range(MOST_FINALS + 2)):
            state = final(state, f"{place}", order_ms=place)
        assert set(state.finals) == {"create", *(f"{place}" for place in range(2, MOST_FINALS + 2))}
        assert not state.has_forgotten

    def test_a_create_that_has_to_go_is_remembered_by_a_mark(self) -> None:
        """After it, no create of the lead is POSTed without asking first."""
        state = NEW
        for place in range(MOST_FINAL_CREATES):
            state = final(state, f"{place}", CREATE, order_ms=place)
        assert not state.has_forgotten
        state = final(state, "one more", CREATE, order_ms=99)
        assert (set(state.finals) & {"0", "1", "one more"}, state.has_forgotten) == ({"1", "one more"}, True)

    def test_what_was_sent_before_the_ledgers_time_goes(self) -> None:
        """No message is kept so long; that sets no mark, because a create is then meant."""
        state = final(final(NEW, "old", CREATE, order_ms=999), "as old as may be", CREATE, order_ms=1000)
        state = state.with_final(record("new", state=State.DELIVERED, order_ms=2000), {}, oldest_s=1)
        assert (set(state.finals), state.has_forgotten) == ({"as old as may be", "new"}, False)

    @pytest.mark.parametrize(("order_ms", "renewed_ms"), [(7, 7), (3, 5)])
    def test_a_copy_makes_its_event_as_new_as_itself_and_never_older(
        self, order_ms: int, renewed_ms: int
    ) -> None:
        """So that what is repeated every night is remembered as long as it goes on."""
        state = final(NEW, "own", order_ms=5)
        assert state.with_copy(record("own", order_ms=order_ms)).finals["own"].order_ms == renewed_ms
        assert final(state, "own", order_ms=order_ms).finals["own"].order_ms == renewed_ms

    def test_three_are_shown_to_people(self) -> None:
        """The last ones, without what decisions are made of."""
        state = NEW
        for place in range(SHOWN_EVENTS + 1):
            state = final(state, f"{place}", order_ms=place, attempts=place)
        assert [each.key for each in state.shown] == ["1", "2", "3"]
        assert {(each.digest, each.order_ms, each.sent_s) for each in state.shown} == {("", 0, 0)}
        assert state.shown[-1].attempts == SHOWN_EVENTS


class TestSetters:
    """One register for each field, 128 at most."""

    @staticmethod
    def with_setters(state: LeadState, orders: dict[str, int]) -> LeadState:
        """The state after an event that has set these fields."""
        setters = {name: Setter(order_ms, "value") for name, order_ms in orders.items()}
        return state.with_final(record("own", state=State.DELIVERED), setters, 0)

    def test_those_of_an_event_are_added_to_the_others(self) -> None:
        """Nothing is forgotten while there is room."""
        state = self.with_setters(self.with_setters(NEW, {"a": 1, "b": 1}), {"b": 2})
        assert {name: each.order_ms for name, each in state.setters.items()} == {"a": 1, "b": 2}
        assert state.setters_floor_ms == 0

    def test_the_oldest_go_and_leave_the_time_of_the_last_of_them(self) -> None:
        """Until that time, nothing shows who has set a field without a register."""
        full = self.with_setters(NEW, {f"{order}": order for order in range(1, MOST_SETTERS + 1)})
        assert (len(full.setters), full.setters_floor_ms) == (MOST_SETTERS, 0)
        state = self.with_setters(full, {"new": 999, "newer": 1000})
        assert len(state.setters) == MOST_SETTERS
        assert state.setters.keys().isdisjoint({"1", "2"})
        assert state.setters_floor_ms == 2

    def test_that_time_is_never_set_back(self) -> None:
        """A field that was set again may be pushed out again, earlier than others were."""
        full = self.with_setters(NEW, {f"{order}": order for order in range(1, MOST_SETTERS + 2)})
        state = replace(full, setters_floor_ms=500)
        assert self.with_setters(state, {"late": 1}).setters_floor_ms == 500
