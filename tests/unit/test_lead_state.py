"""What holds of a lead after claims whose environment crashed, after copies and redrives, and after years."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.contract import Outcome
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
    State,
)
from deliver_leads.setters import Setter
from tests.lead_records import SEEN_S, final, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP


def crashed_claim(key: str, operation: Operation = UPDATE, **more: Any) -> EventRecord:
    """The journal entry of a claim that was never completed."""
    values = {"message_id": "claimed", "due_s": SEEN_S + 900, "owner": "crashed", "receive_count": 1} | more
    return record(key, operation, state=State.UNDER_WAY, **values)


def next_claim(key: str, operation: Operation = UPDATE, **more: Any) -> EventRecord:
    """The claim at the message's next receive, when the visibility timeout is over."""
    return crashed_claim(key, operation, **({"updated_s": SEEN_S + 900, "receive_count": 2} | more))


def parked(key: str, operation: Operation = UPDATE, **more: Any) -> EventRecord:
    """A parked event."""
    return record(key, operation, state=State.PARKED, **({"parked_as": Outcome.REJECTED} | more))


def after(entry: EventRecord, *events: EventRecord, known_s: int = 0) -> EventRecord:
    """The event of a journal entry, once a lead with these events has taken it in."""
    return event_of(LeadState(known_s=known_s, open=events).with_journal((entry,)), entry.key)


def event_of(state: LeadState, key: str) -> EventRecord:
    """The state's only open event with this key."""
    [found] = [each for each in state.open if each.key == key]
    return found


def open_keys(state: LeadState) -> set[str]:
    """Which events are open."""
    return {each.key for each in state.open}


class TestAClaimThatWasNotCompleted:
    """Nothing shows what its request did."""

    @pytest.mark.parametrize("operation", Operation)
    def test_it_counts_as_a_request_without_an_answer(self, operation: Operation) -> None:
        """It comes back when the queue's visibility timeout is over; a person can read what happened."""
        event = after(crashed_claim("own", operation))
        assert (event.state, event.unanswered, event.attempts) == (State.WAITING, True, 1)
        assert event.due_s == SEEN_S + 900
        assert event.reason == "the function ended while it delivered this event"

    def test_it_adds_to_what_is_known_of_the_event(self) -> None:
        """Its place in the order of the lead's events stays, too."""
        known = record("own", crashes=1, crashes_alone=1, attempts=4, order_ms=7, source="my.crm")
        event = after(crashed_claim("own"), known)
        assert (event.crashes, event.crashes_alone, event.attempts) == (1, 1, 5)
        assert (event.order_ms, event.source) == (7, "my.crm")

    def test_claims_of_several_events_and_of_one_event_are_all_counted(self) -> None:
        """None was completed in between, because each later claim crashed, too."""
        entries = (
            crashed_claim("a", owner="1"),
            crashed_claim("b", owner="2"),
            next_claim("a", owner="3"),
        )
        state = LeadState().with_journal(entries)
        assert {event.key: event.attempts for event in state.open} == {"a": 2, "b": 1}

    def test_a_claim_that_the_aws_client_repeated_is_one_claim(self) -> None:
        """Its entry is there twice; lost answers alone must not add up to crashes."""
        entries = (crashed_claim("own"), crashed_claim("other", owner="2"), crashed_claim("own"))
        state = LeadState().with_journal(entries)
        assert (event_of(state, "own").attempts, event_of(state, "own").crashes) == (1, 0)
        assert state.claimed(next_claim("own")).crashes == 1

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_a_claim_of_a_final_event_takes_nothing_back(self, state: State) -> None:
        """A copy would have ended as a duplicate, so nothing was sent."""
        known = LeadState(finals={"own": final(state=state)})
        lead = known.with_journal((crashed_claim("own"),))
        assert lead.finals == known.finals
        # It may have been a new event with the same content, after the window, whose POST left.
        assert [each.unanswered for each in lead.open] == [True]
        assert lead.with_copy(crashed_claim("own")).open == ()

    def test_a_claim_with_the_key_of_a_final_event_and_other_content_is_another_event(self) -> None:
        """Only key and content together say which event it is."""
        state = LeadState(finals={"own": final()}).with_journal((crashed_claim("own", digest="other"),))
        assert [each.digest for each in state.open] == ["other"]

    def test_a_parked_message_that_came_back_stays_parked(self) -> None:
        """It would only have been acknowledged."""
        known = parked("own")
        assert after(crashed_claim("own", message_id=known.message_id), known) == known

    def test_a_claim_that_was_never_completed_of_a_redriven_event_begins_its_new_try(self) -> None:
        """What crashed before it was parked counts no longer."""
        event = after(crashed_claim("own", redriven=True), parked("own", crashes=3, crashes_alone=3))
        assert (event.state, event.crashes, event.crashes_alone, event.parked_as) == (State.WAITING, 0, 0, "")
        assert event.unanswered


class TestCrashes:
    """The claim after one that was not completed shows whether the environment crashed."""

    @pytest.mark.parametrize(("alone", "crashes_alone"), [(True, 1), (False, 0)])
    def test_only_a_crash_of_a_claim_made_alone_counts_towards_the_three(
        self, alone: bool, crashes_alone: int
    ) -> None:
        """Any other event of the batch may have been the cause."""
        state = LeadState().with_journal((crashed_claim("own", alone=alone),))
        event = state.claimed(next_claim("own"))
        assert (event.crashes, event.crashes_alone) == (1, crashes_alone)
        assert (event.unanswered, event.receive_count, event.alone) == (True, 0, False)

    def test_each_crash_is_counted_however_many_claims_are_in_the_journal(self) -> None:
        """A crash is counted when the next claim comes: the last one's is not known yet."""
        entries = [
            crashed_claim(
                "own",
                owner=str(number),
                alone=number > 0,
                updated_s=SEEN_S + 900 * number,
                due_s=SEEN_S + 900 * (number + 1),
                receive_count=number + 1,
            )
            for number in range(4)
        ]
        event = event_of(LeadState().with_journal(entries), "own")
        assert (event.crashes, event.crashes_alone, event.attempts) == (3, 2, 4)

    @pytest.mark.parametrize(
        ("came_back_s", "receive_count", "message_id", "crashes", "is_certain"),
        [
            (900, 2, "claimed", 1, True),  # when the visibility timeout was over, at its next receive
            (599, 2, "claimed", 0, True),
            (600, 2, "claimed", 1, True),
            (599, 3, "claimed", 0, True),
            (900, 3, "claimed", 1, False),  # a receive without a claim came between
            (
                599,
                1,
                "another",
                1,
                True,
            ),  # another message of the event says nothing about the first one's end
        ],
    )
    @pytest.mark.parametrize("alone", [True, False])
    def test_an_environment_that_gave_its_message_a_delay_did_not_crash(
        self,
        came_back_s: int,
        receive_count: int,
        message_id: str,
        crashes: int,
        is_certain: bool,
        alone: bool,
    ) -> None:
        """It could not write the ledger a second time; however often, that must not park the event.

        What may have been a crash is tried alone, so that it harms no other event, but isn't parked for it.
        """
        state = LeadState().with_journal((crashed_claim("own", alone=alone),))
        claim = next_claim(
            "own", message_id=message_id, updated_s=SEEN_S + came_back_s, receive_count=receive_count
        )
        event = state.claimed(claim)
        assert (event.crashes, event.crashes_alone) == (crashes, crashes * (alone and is_certain))
        assert (event.unanswered, event.receive_count) == (True, 0)

    def test_a_crash_is_counted_once_however_many_claims_follow(self) -> None:
        """The event that a claim finds shows no claim that is not completed any more."""
        state = LeadState().with_journal((crashed_claim("own"),))
        event = state.claimed(next_claim("own"))
        assert state.with_open(event).claimed(next_claim("own", receive_count=3)).crashes == 1


class TestWhichEventAClaimIsAbout:
    """One that is open, or a new one."""

    def test_a_new_key_is_a_new_event(self) -> None:
        """Without what belongs to the claim: its owner and its receive."""
        claim = crashed_claim("own")
        assert LeadState(open=(record("other"),)).claimed(claim) == replace(claim, owner="", receive_count=0)

    def test_a_known_key_with_other_content_is_a_new_event(self) -> None:
        """A producer may use a key twice by mistake, and neither event may be taken for the other."""
        event = LeadState(open=(record("own", attempts=3),)).claimed(crashed_claim("own", digest="other"))
        assert (event.digest, event.attempts, event.state) == ("other", 0, State.UNDER_WAY)

    def test_an_event_that_waits_keeps_its_place_and_what_happened_to_it(self) -> None:
        """A copy of its message by the producer makes it no later event."""
        known = record("own", order_ms=1, crashes=1, unanswered=True)
        assert LeadState(open=(known,)).claimed(crashed_claim("own", order_ms=2)) == known

    def test_a_stop_that_waits_has_the_place_of_its_latest_copy(self) -> None:
        """It was asked for again after what was sent in between, and has to end that, too."""
        state = LeadState(open=(record("own", STOP, order_ms=2),))
        for order_ms, place_ms in ((1, 2), (3, 3)):
            assert state.claimed(crashed_claim("own", STOP, order_ms=order_ms)).order_ms == place_ms

    def test_the_parked_message_itself_finds_its_event_parked(self) -> None:
        """It is acknowledged without being parked again."""
        known = parked("own", message_id="claimed")
        assert LeadState(open=(known,)).claimed(crashed_claim("own", sent_s=SEEN_S + 10**6)) == known

    @pytest.mark.parametrize(
        ("sent_s", "state"),
        [
            (SEEN_S - CLOCK_SKEW_S, State.PARKED),
            (SEEN_S + CLOCK_SKEW_S, State.PARKED),
            (SEEN_S + CLOCK_SKEW_S + 1, State.WAITING),
        ],
    )
    def test_a_message_that_was_certainly_sent_after_the_event_was_parked_is_a_new_try(
        self, sent_s: int, state: State
    ) -> None:
        """Two clocks may differ by 30 s. What is redriven says so itself; any other is a copy in doubt."""
        redriven = crashed_claim("own", sent_s=sent_s, redriven=True)
        assert LeadState(open=(parked("own"),)).claimed(redriven).state is State.WAITING
        event = LeadState(open=(parked("own"),)).claimed(crashed_claim("own", sent_s=sent_s))
        assert event.state is state

    def test_of_two_messages_that_are_redriven_together_the_second_is_a_copy_once_the_first_is_parked(
        self,
    ) -> None:
        """Else two of an event that crashes the function would be parked by turns, for days."""
        redriven = crashed_claim("own", sent_s=SEEN_S - CLOCK_SKEW_S - 1, redriven=True)
        assert LeadState(open=(parked("own"),)).claimed(redriven).state is State.PARKED

    def test_a_new_try_keeps_only_the_doubt_the_first_time_and_the_attempts(self) -> None:
        """A request without an answer may still have had its effect; all else is as if it had not failed."""
        known = parked(
            "own",
            operation=CREATE,
            order_ms=1,
            crashes=3,
            crashes_alone=3,
            unanswered=True,
            attempts=4,
            first_seen_s=7,
            unknown_since_s=1,
            reason="no such assistant",
        )
        claim = crashed_claim("own", CREATE, order_ms=2, alone=True, redriven=True)
        event = LeadState(open=(known,)).claimed(claim)
        assert (event.state, event.message_id, event.order_ms) == (State.WAITING, "claimed", 2)
        assert (event.unanswered, event.attempts, event.first_seen_s) == (True, 4, 7)
        assert (event.crashes, event.crashes_alone, event.unknown_since_s) == (0, 0, 0)
        assert (event.parked_as, event.reason, event.owner) == ("", "", "")
        assert (event.due_s, event.receive_count, event.alone) == (0, 0, False)


class TestWhatIsOpen:
    """Events that are still to come, or that a person has."""

    def test_an_event_takes_the_place_of_itself(self) -> None:
        """A lead has each event once."""
        state = LeadState(open=(record("a"), record("b")))
        changed = state.with_open(record("a", reason="another"))
        assert {each.key: each.reason for each in changed.open} == {"a": "another", "b": ""}

    def test_a_delivered_event_ends_a_parked_one_with_its_key_and_other_content(self) -> None:
        """A person has corrected it and sent it again."""
        state = LeadState(open=(parked("own", digest="wrong"),)).with_open(record("own"))
        assert {each.digest for each in state.open} == {"wrong", "digest"}
        assert state.with_final(replace(record("own"), state=State.DELIVERED), {}, 0).open == ()

    def test_an_event_leaves_one_that_waits_with_its_key_and_other_content(self) -> None:
        """That one goes first, and shows then whether the key was used twice."""
        state = LeadState(open=(record("own", digest="first"),)).with_open(record("own"))
        assert {each.digest for each in state.open} == {"first", "digest"}

    def test_eight_are_kept_and_the_latest_of_those_that_only_wait_goes_first(self) -> None:
        """It loses its place in the line only; creates and all others stay."""
        kinds = [
            record("waits", order_ms=5),
            record("create that waits", CREATE, order_ms=9),
            parked("parked"),
            record("unanswered", unanswered=True, order_ms=9),
            record("crashed", crashes=1, order_ms=9),
            record("unanswered create", CREATE, unanswered=True, order_ms=9),
        ]
        state = LeadState()
        for event in (*kinds, *(record(f"later {number}", order_ms=6 + number) for number in range(9))):
            state = state.with_open(event)
        assert len(state.open) == MOST_OPEN
        assert open_keys(state) >= {event.key for event in kinds}
        assert not state.has_forgotten

    def test_of_parked_events_the_oldest_goes_first(self) -> None:
        """A person is least likely to send that one again."""
        state = LeadState()
        for number in range(MOST_OPEN + 3):
            state = state.with_open(parked(f"{number}", updated_s=SEEN_S + number))
        assert open_keys(state) == {f"{number}" for number in range(3, MOST_OPEN + 3)}

    def test_an_event_that_waits_goes_before_a_parked_one(self) -> None:
        """Its message still comes back; a copy of the parked one must not be taken for a new event."""
        state = LeadState()
        for number in range(MOST_OPEN):
            state = state.with_open(parked(f"{number}"))
        state = state.with_open(record("waits", order_ms=1))
        assert open_keys(state) == {f"{number}" for number in range(MOST_OPEN)}

    @pytest.mark.parametrize(("operation", "is_doubt"), [(CREATE, True), (STOP, True), (UPDATE, False)])
    def test_a_create_or_stop_without_an_answer_that_is_pushed_out_is_remembered_as_a_doubt(
        self, operation: Operation, is_doubt: bool
    ) -> None:
        """After that no create of the lead is POSTed without asking first."""
        state = LeadState()
        for number in range(MOST_OPEN):
            state = state.with_open(record(f"{number}", CREATE, unanswered=True, order_ms=number))
        assert not state.has_forgotten
        one_more = record("one more", operation, unanswered=True, order_ms=99)
        assert state.with_open(one_more).has_forgotten is is_doubt

    def test_a_create_without_an_answer_that_makes_room_is_remembered_as_a_doubt(self) -> None:
        """It makes no difference which of them goes."""
        state = LeadState()
        for number in range(MOST_OPEN):
            state = state.with_open(record(f"{number}", CREATE, unanswered=True, order_ms=number))
        own = record("own", CREATE, unanswered=True, crashes=1)
        assert state.with_open(own).has_forgotten

    @given(st.permutations(range(MOST_OPEN + 1)))
    def test_no_create_without_an_answer_is_forgotten_without_a_doubt(self, orders: list[int]) -> None:
        """Whichever of nine comes last."""
        state = LeadState()
        for order in orders:
            state = state.with_open(record(f"{order}", CREATE, unanswered=True, order_ms=order))
        assert state.has_forgotten


def with_finals(*events: EventRecord, oldest_s: int = 0) -> LeadState:
    """A lead on which these events are final, one after another."""
    state = LeadState()
    for event in events:
        state = state.with_final(replace(event, state=State.DELIVERED), {}, oldest_s)
    return state


class TestWhatIsFinal:
    """Enough to know a copy."""

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_an_event_that_is_final_is_open_no_longer(self, state: State) -> None:
        """Other events with its key stay open."""
        others = (record("own", digest="other"), record("other"))
        event = record("own", CREATE, order_ms=7)
        after_it = LeadState(open=(event, *others)).with_final(replace(event, state=state), {}, 0)
        assert after_it.open == others
        assert after_it.finals == {"own": final(CREATE, 7, state=state)}

    @pytest.mark.parametrize(("order_ms", "renewed_ms"), [(8, 8), (6, 7)])
    def test_a_copy_renews_the_time_of_its_event(self, order_ms: int, renewed_ms: int) -> None:
        """So that an event that is repeated each night stays a duplicate; never to an earlier time."""
        state = LeadState(finals={"own": final(CREATE, 7), "other": final()})
        renewed = state.with_copy(record("own", order_ms=order_ms))
        assert renewed.finals == {"own": final(CREATE, renewed_ms), "other": final()}

    def test_the_same_content_delivered_again_is_as_new_as_the_later_one(self) -> None:
        """Whichever of the two was delivered last."""
        state = with_finals(record("own", order_ms=9), record("own", order_ms=3))
        assert state.finals["own"].order_ms == 9

    def test_sixteen_are_kept_and_the_oldest_goes_first(self) -> None:
        """Whatever the order in which they were delivered."""
        state = with_finals(
            *(record(f"{order}", order_ms=order) for order in (*range(5, MOST_FINALS + 3), *range(5)))
        )
        assert set(state.finals) == {f"{order}" for order in range(3, MOST_FINALS + 3)}
        assert not state.has_forgotten

    def test_creates_are_kept_longest(self) -> None:
        """A create that is not remembered might be POSTed again."""
        state = with_finals(
            record("create", CREATE, order_ms=0),
            *(record(f"{order}", order_ms=order) for order in range(1, 26)),
        )
        assert len(state.finals) == MOST_FINALS + 1
        assert "create" in state.finals
        assert not state.has_forgotten

    def test_a_create_that_is_pushed_out_is_remembered_as_a_doubt(self) -> None:
        """After that no create of the lead is POSTed without asking first."""
        creates = [record(f"{order}", CREATE, order_ms=order) for order in range(MOST_FINAL_CREATES + 1)]
        assert not with_finals(*creates[:-1]).has_forgotten
        state = with_finals(*creates)
        assert state.has_forgotten
        assert "0" not in state.finals
        assert state.with_final(replace(record("next"), state=State.DELIVERED), {}, 0).has_forgotten

    def test_an_event_that_was_sent_before_the_ledgers_time_is_forgotten(self) -> None:
        """Even in a lead that goes on having events; that is no doubt, because no copy comes so late."""
        state = with_finals(
            record("old", CREATE, order_ms=9_999),
            record("kept", CREATE, order_ms=10_000),
            record("new", order_ms=20_000),
            oldest_s=10,
        )
        assert set(state.finals) == {"kept", "new"}
        assert not state.has_forgotten

    def test_the_last_three_are_shown_to_people(self) -> None:
        """Without what only decisions need; each kilobyte costs."""
        state = with_finals(*(record(f"{number}", attempts=number, order_ms=5) for number in range(5)))
        assert [(each.key, each.attempts) for each in state.shown] == [("2", 2), ("3", 3), ("4", 4)]
        assert len(state.shown) == SHOWN_EVENTS
        assert {(each.digest, each.order_ms, each.sent_s) for each in state.shown} == {("", 0, 0)}


def with_setters(state: LeadState, setters: dict[str, Setter]) -> LeadState:
    """The lead after an event that has set these."""
    return state.with_final(record("own", state=State.DELIVERED), setters, 0)


class TestSetters:
    """Which event has set a field last."""

    def test_a_field_has_one_and_the_others_stay(self) -> None:
        """That is all that decisions need of what happened."""
        state = with_setters(LeadState(setters={"name": Setter(1, "a"), "phone": Setter(1, "b")}), {})
        state = with_setters(state, {"name": Setter(2, "c")})
        assert state.setters == {"name": Setter(2, "c"), "phone": Setter(1, "b")}
        assert state.setters_floor == 0

    def test_128_are_kept_and_the_oldest_goes_first(self) -> None:
        """What was pushed out was set at the floor, or before."""
        orders = [*range(10, MOST_SETTERS + 4), *range(10)]
        state = with_setters(LeadState(), {f"field {order}": Setter(order, "") for order in orders})
        assert set(state.setters) == {f"field {order}" for order in range(4, MOST_SETTERS + 4)}
        assert state.setters_floor == 3

    def test_the_floor_never_falls(self) -> None:
        """A field that was pushed out earlier is still not known."""
        state = LeadState(setters_floor=50)
        state = with_setters(
            state, {f"field {order}": Setter(order, "") for order in range(MOST_SETTERS + 1)}
        )
        assert state.setters_floor == 50
        assert with_setters(state, {"name": Setter(99, "")}).setters_floor == 50

    @given(
        st.lists(
            st.dictionaries(st.integers(0, 300).map(str), st.integers(0, 10**6), max_size=90), max_size=6
        )
    )
    def test_what_a_setter_says_stays_known_or_is_below_the_floor(self, events: list[dict[str, int]]) -> None:
        """Whatever the order in which fields come."""
        state, last = LeadState(), dict[str, int]()
        for fields in events:
            newer = {name: order for name, order in fields.items() if order >= last.get(name, 0)}
            last |= newer
            state = with_setters(state, {name: Setter(order, "") for name, order in newer.items()})
        assert len(state.setters) <= MOST_SETTERS
        for name, order in last.items():
            known = state.setters.get(name)
            assert known == Setter(order, "") if known else order <= state.setters_floor
