"""The table of `next_call`, row by row with the edges of each, and what holds for any state of a lead."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.event.lead import MANDATORY, Json, Operation
from deliver_leads.lead_state import EventRecord, LeadState, State
from deliver_leads.next_call import (
    DEATHS_TO_PARK,
    OVERDUE_CHECKED_AFTER_S,
    NextCall,
    Refuse,
    Send,
    Skip,
    Wait,
    fingerprints,
    next_call,
)
from deliver_leads.outcome import Outcome
from tests.lead_records import any_record, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP
MINUTE_MS = 60_000
NOW_S = 1_800_000_000
OVERDUE_S = 900
KNOWN_WINDOW_S = 86_400
LEAD: dict[str, Json] = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}


def decide(own: EventRecord, *others: EventRecord, known_s: int = 0, **fields: Any) -> NextCall:
    """What to do now with an event whose lead has these fields beside the mandatory ones (None: without)."""
    state = LeadState("2345" if known_s else "", known_s, others).with_event(own)
    lead = {name: value for name, value in (LEAD | fields).items() if value is not None}
    return next_call(state, own, lead, NOW_S, KNOWN_WINDOW_S, OVERDUE_S)


def send(own: EventRecord, *others: EventRecord, known_s: int = 0, **fields: Any) -> Send:
    """As `decide`, for an event that is to be sent."""
    step = decide(own, *others, known_s=known_s, **fields)
    assert isinstance(step, Send)
    return step


def waiting(key: str, operation: Operation, minute: float, due_in_s: int = 30, **more: Any) -> EventRecord:
    """An event that was sent at this minute and is expected back."""
    return record(key, operation, order_ms=round(minute * MINUTE_MS), due_s=NOW_S + due_in_s, **more)


def delivered(key: str, operation: Operation, minute: float, **fields: Json) -> EventRecord:
    """An event that was sent at this minute and has set the mandatory fields and these."""
    lead = LEAD | fields
    order_ms = round(minute * MINUTE_MS)
    return record(key, operation, order_ms=order_ms, state=State.DELIVERED, fields=fingerprints(lead, lead))


@pytest.mark.parametrize("operation", Operation)
class TestAnEventThatIsDoneWith:
    """The first rows, which are the same for every operation."""

    @pytest.mark.parametrize(
        ("state", "reason"), [(State.DELIVERED, "delivered before"), (State.SUPERSEDED, "set by a later one")]
    )
    def test_a_settled_event_is_a_duplicate_until_its_window_ends(
        self, operation: Operation, state: State, reason: str
    ) -> None:
        """In the window's last second it is one still, and one second later it is a new event."""
        noted = reason if state is State.SUPERSEDED else ""
        own = record("own", operation, state=state, reason=noted, repeats_until_s=NOW_S + 1)
        assert decide(own) == Skip(Outcome.DUPLICATE, reason)
        assert isinstance(decide(replace(own, repeats_until_s=NOW_S)), Send)

    @pytest.mark.parametrize("parked_as", [Outcome.REJECTED, Outcome.UNCONFIRMED, Outcome.RETRY])
    def test_a_parked_message_that_comes_back_is_not_parked_again(
        self, operation: Operation, parked_as: Outcome
    ) -> None:
        """Its acknowledgement was lost; a person has it already, with this outcome and reason."""
        own = record("own", operation, state=State.PARKED, parked_as=parked_as, reason="no such assistant")
        assert decide(own) == Skip(parked_as, "no such assistant")

    def test_an_event_that_the_function_died_over_three_times_is_refused(self, operation: Operation) -> None:
        """It would go on to take its neighbours along; two deaths may have had another cause."""
        assert decide(record("own", operation, deaths=DEATHS_TO_PARK)) == Refuse(
            "the function failed or ended 3 times while it delivered this event"
        )
        assert isinstance(decide(record("own", operation, deaths=DEATHS_TO_PARK - 1)), Send)

    def test_a_delivered_event_is_a_duplicate_however_often_the_function_died(
        self, operation: Operation
    ) -> None:
        """A person would look for a lead that is fine."""
        own = record("own", operation, state=State.DELIVERED, repeats_until_s=NOW_S + 1, deaths=3)
        assert isinstance(decide(own), Skip)


class TestWaiting:
    """An earlier event of the lead goes first."""

    @pytest.mark.parametrize("own", [UPDATE, STOP])
    @pytest.mark.parametrize("earlier", Operation)
    def test_an_update_or_stop_waits_for_any_earlier_event(self, own: Operation, earlier: Operation) -> None:
        """It comes back just after that one was due, so that one search of the ledger is enough."""
        step = decide(waiting("own", own, 1), waiting("earlier", earlier, 0, due_in_s=30))
        assert step == Wait(31, "waits for an earlier event of its lead")

    def test_a_create_waits_for_an_earlier_create(self) -> None:
        """The lead begins with the first."""
        assert isinstance(decide(waiting("own", CREATE, 1), waiting("earlier", CREATE, 0)), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_waits_for_an_update_or_stop_only_if_the_lead_may_exist(
        self, earlier: Operation
    ) -> None:
        """Otherwise both would wait: that event can't be delivered before the lead exists."""
        own, other = waiting("own", CREATE, 1), waiting("earlier", earlier, 0)
        assert isinstance(decide(own, other), Send)
        assert isinstance(decide(own, other, known_s=NOW_S), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_does_not_wait_for_an_event_that_waits_for_its_lead(self, earlier: Operation) -> None:
        """7Targets answered 404 to that event, whatever the ledger knows."""
        other = waiting("earlier", earlier, 0, unknown_since_s=NOW_S - 10)
        assert isinstance(decide(waiting("own", CREATE, 1), other, known_s=NOW_S), Send)

    @pytest.mark.parametrize("own", Operation)
    @pytest.mark.parametrize("minute", [1, 2])
    def test_no_event_waits_for_one_of_the_same_time_or_a_later_one(
        self, own: Operation, minute: int
    ) -> None:
        """Two that wait for each other would wait for ever."""
        assert isinstance(decide(waiting("own", own, 1), waiting("other", UPDATE, minute)), Send)

    @pytest.mark.parametrize("state", [State.DELIVERED, State.PARKED, State.SUPERSEDED])
    def test_no_event_waits_for_one_that_is_settled(self, state: State) -> None:
        """What is parked may stay there for days."""
        other = waiting("other", CREATE, 0, state=state)
        assert isinstance(decide(waiting("own", UPDATE, 1), other), Send)

    def test_an_event_that_is_overdue_is_waited_for_a_while(self) -> None:
        """Its message may be under way; after 15 minutes a person may have removed it."""
        own = waiting("own", UPDATE, 1)
        assert decide(own, waiting("other", UPDATE, 0, due_in_s=0)) == Wait(
            1, "waits for an earlier event of its lead"
        )
        for late_s in (1, OVERDUE_S - 1):
            step = decide(own, waiting("other", UPDATE, 0, due_in_s=-late_s))
            assert isinstance(step, Wait)
            assert step.delay_s == OVERDUE_CHECKED_AFTER_S
        assert isinstance(decide(own, waiting("other", UPDATE, 0, due_in_s=-OVERDUE_S)), Send)

    def test_with_a_longer_visibility_timeout_it_is_waited_for_longer(self) -> None:
        """A message whose environment died, or whose delay could not be set, comes back only then."""
        own, other = waiting("own", UPDATE, 1), waiting("other", UPDATE, 0, due_in_s=-OVERDUE_S)
        state = LeadState(events=(other, own))
        step = next_call(state, own, LEAD, NOW_S, KNOWN_WINDOW_S, overdue_s=OVERDUE_S + 1)
        assert isinstance(step, Wait)

    def test_the_one_that_is_due_last_tells_when_to_come_back(self) -> None:
        """All earlier ones have to be through."""
        others = [waiting(f"other {due}", UPDATE, 0, due_in_s=due) for due in (10, 500, -100)]
        step = decide(waiting("own", UPDATE, 1), *others)
        assert isinstance(step, Wait)
        assert step.delay_s == 501


class TestTheBeginningOfALead:
    """It can't have been updated before it existed, so the create that began it counts as sent earlier."""

    @pytest.mark.parametrize("operation", [UPDATE, STOP])
    def test_an_update_sent_up_to_15_minutes_before_waits_for_the_create(self, operation: Operation) -> None:
        """The create's POST may have left, so the create doesn't wait for the update."""
        create = waiting("create", CREATE, 15, began_lead=True, unanswered=True)
        update = waiting("update", operation, 0.01)
        assert isinstance(decide(update, create), Wait)
        assert isinstance(decide(create, update), Send)

    def test_an_update_sent_more_than_15_minutes_before_goes_first(self) -> None:
        """That long no producer's events overtake each other: it was meant for a lead of before."""
        create = waiting("create", CREATE, 15.01, began_lead=True, unanswered=True)
        update = waiting("update", UPDATE, 0)
        assert isinstance(decide(update, create), Send)
        assert isinstance(decide(create, update), Wait)

    def test_the_updates_fields_win_over_those_of_the_create_that_it_overtook(self) -> None:
        """The producer sent both within minutes, and meant the update to change the new lead."""
        create = replace(delivered("create", CREATE, 15, context="old"), began_lead=True)
        assert send(waiting("update", UPDATE, 0.01), create, context="new").fields["context"] == "new"
        assert (
            "context" not in send(waiting("update", UPDATE, -0.01), create, context="new", phone="1").fields
        )

    def test_updates_that_overtook_one_create_keep_their_own_order(self) -> None:
        """Both count as sent after the create, and still one of them is the later one."""
        create = replace(delivered("create", CREATE, 3), began_lead=True)
        first, second = waiting("first", UPDATE, 1), waiting("second", UPDATE, 2)
        assert isinstance(decide(second, create, first), Wait)
        assert isinstance(decide(first, create, second), Send)
        set_second = delivered("second", UPDATE, 2, context="b")
        assert "context" not in send(first, create, set_second, context="a", phone="1").fields

    def test_a_create_that_did_not_begin_the_lead_counts_as_sent_when_it_was(self) -> None:
        """The lead was there before, so an earlier update was meant for it."""
        create = delivered("create", CREATE, 1, context="later")
        assert (
            "context" not in send(waiting("update", UPDATE, 0), create, context="earlier", phone="1").fields
        )

    def test_of_two_creates_the_later_one_wins_even_if_it_began_the_lead(self) -> None:
        """Both ask for the lead as a whole."""
        create = replace(delivered("create", CREATE, 1, context="later"), began_lead=True)
        assert "context" not in send(waiting("own", CREATE, 0), create, context="earlier", phone="1").fields


class TestFieldsThatALaterEventHasSet:
    """An event that is delivered late leaves them out."""

    @pytest.mark.parametrize("operation", Operation)
    def test_they_are_left_out_and_the_others_are_sent(self, operation: Operation) -> None:
        """The mandatory fields go along, because each call needs them."""
        step = send(
            waiting("own", operation, 0), delivered("later", UPDATE, 1, context="b"), context="a", phone="1"
        )
        assert step.fields == LEAD | {"phone": "1"}

    @pytest.mark.parametrize(
        ("asked", "set_later"), [("scheduleId", "scheduleName"), ("scheduleName", "scheduleId")]
    )
    def test_a_sequence_is_one_field_with_two_names(self, asked: str, set_later: str) -> None:
        """At 7Targets the id wins over the name, so an older id would undo a newer name."""
        earlier_fields: dict[str, Any] = {asked: "5"}
        later = delivered("later", UPDATE, 1, **{set_later: "7"})
        step = send(waiting("own", UPDATE, 0), later, context="a", **earlier_fields)
        assert step.fields == LEAD | {"context": "a"}

    @pytest.mark.parametrize("state", [State.WAITING, State.PARKED, State.SUPERSEDED])
    def test_only_a_delivered_event_has_set_anything(self, state: State) -> None:
        """What a later event asks for may never come true."""
        later = replace(delivered("later", UPDATE, 1, context="b"), state=state)
        assert send(waiting("own", UPDATE, 0), later, context="a").fields["context"] == "a"

    @pytest.mark.parametrize("minute", [0, -1])
    def test_an_event_of_the_same_time_or_an_earlier_one_takes_nothing_away(self, minute: int) -> None:
        """Own fields win."""
        other = delivered("other", UPDATE, minute, context="b")
        assert send(waiting("own", UPDATE, 0), other, context="a").fields["context"] == "a"

    def test_an_earlier_delivery_of_the_event_itself_takes_nothing_away(self) -> None:
        """Its window is over, so this is a new event with the key of an old one, whatever their times say."""
        state = LeadState(events=(delivered("own", UPDATE, 1, context="a"),))
        own = waiting("own", UPDATE, 0, state=State.UNDER_WAY)
        step = next_of(state, own, LEAD | {"context": "a"})
        assert step == Send(LEAD | {"context": "a"}, may_exist=False)

    def test_a_later_stop_leaves_no_sequence_to_start(self) -> None:
        """An earlier event's sequence would start the e-mails again; its other fields are sent."""
        ended = {"scheduleId": "", "scheduleName": ""}
        stop = replace(delivered("stop", STOP, 1), fields=ended)
        step = send(waiting("own", CREATE, 0), stop, known_s=NOW_S, scheduleName="Warm", context="a")
        assert step.fields == LEAD | {"context": "a"}

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("field", ["name", "assistantEmail"])
    def test_an_event_that_would_undo_a_mandatory_field_is_refused(
        self, operation: Operation, field: str
    ) -> None:
        """That field can't be left out; a person sends what still holds."""
        later = delivered("later", UPDATE, 1, **{field: "another@example.net"})
        step = decide(waiting("own", operation, 0), later, known_s=NOW_S, context="a")
        assert isinstance(step, Refuse)
        assert f"another {field}," in step.reason

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("lead_id", [None, 2345])
    @pytest.mark.parametrize("name", ["Janet", LEAD["name"]])
    def test_it_is_a_duplicate_when_nothing_of_it_is_left(
        self, operation: Operation, lead_id: int | None, name: str
    ) -> None:
        """The id names the lead, and is nothing to set."""
        later = delivered("later", UPDATE, 1, name=name, context="b")
        step = decide(waiting("own", operation, 0), later, known_s=NOW_S, context="a", id=lead_id)
        assert step == Skip(Outcome.DUPLICATE, "a later event has set all of its fields")

    def test_a_mandatory_field_that_only_a_stop_followed_is_sent(self) -> None:
        """A stop sets no name, so the event's own one is not set yet."""
        stop = replace(delivered("stop", STOP, 1), fields={"scheduleId": "", "scheduleName": ""})
        assert send(waiting("own", UPDATE, 0), stop, scheduleName="Warm").fields == LEAD

    def test_a_stop_is_sent_even_then(self) -> None:
        """Without it e-mails to a person go on; its name only says which lead is meant."""
        later = delivered("later", UPDATE, 1, name="Janet")
        assert send(waiting("own", STOP, 0), later).fields == LEAD

    def test_the_last_of_several_later_values_counts(self) -> None:
        """The lead has its old name again, so nothing is undone."""
        others = [delivered("back", UPDATE, 2), delivered("there", UPDATE, 1, name="Janet")]
        assert send(waiting("own", UPDATE, 0), *others, phone="1").fields == LEAD | {"phone": "1"}

    def test_the_case_of_the_address_makes_no_other_value(self) -> None:
        """One address in upper and lower case is one lead, and its name is the same."""
        later = delivered("later", UPDATE, 1, email="JANE@EXAMPLE.COM")
        assert isinstance(decide(waiting("own", UPDATE, 0), later, context="a"), Send)


class TestWhetherTheLeadMayExist:
    """What tells a create that it has to find out first."""

    def test_a_create_of_a_lead_of_which_nothing_is_known_is_posted(self) -> None:
        """With all of its fields."""
        assert decide(waiting("own", CREATE, 0), phone="1") == Send(LEAD | {"phone": "1"}, may_exist=False)

    @pytest.mark.parametrize(
        ("age_s", "may_exist"), [(0, True), (KNOWN_WINDOW_S - 1, True), (KNOWN_WINDOW_S, False)]
    )
    def test_a_lead_that_7targets_showed_may_exist_until_the_window_ends(
        self, age_s: int, may_exist: bool
    ) -> None:
        """A POST within minutes of another would restart e-mails; months later it is meant."""
        assert send(waiting("own", CREATE, 0), known_s=NOW_S - age_s).may_exist is may_exist

    @pytest.mark.parametrize("state", State)
    def test_a_lead_may_exist_after_a_create_without_an_answer(self, state: State) -> None:
        """Whichever event's it was, and even if a person has it by now."""
        other = record("other", CREATE, state=state, unanswered=True)
        assert send(waiting("own", CREATE, 0), other).may_exist

    def test_a_lead_may_exist_after_the_own_request_without_an_answer(self) -> None:
        """No blind repeat."""
        assert send(waiting("own", CREATE, 0, unanswered=True)).may_exist

    @pytest.mark.parametrize("operation", [UPDATE, STOP, None])
    def test_no_other_operation_creates_a_lead(self, operation: Operation | None) -> None:
        """A lost answer to an update says nothing about the lead."""
        other = record("other", operation, state=State.PARKED, unanswered=True)
        assert not send(waiting("own", CREATE, 0), other).may_exist


NEAR_NOW = st.integers(-2 * OVERDUE_S, 2 * OVERDUE_S).map(lambda seconds: NOW_S + seconds)
NAMES = ("name", "assistantEmail", "context", "phone", "scheduleId", "scheduleName", "id")
VALUES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["a", "b"]))
LEADS = VALUES.map(lambda values: LEAD | values)
FIELDS = LEADS.map(lambda lead: fingerprints(lead, lead))


def states(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[LeadState]:
    """A lead with up to five events within minutes of each other."""
    near: dict[str, st.SearchStrategy[Any]] = {
        "key": st.sampled_from("abcde"),
        "order_ms": st.integers(0, 40).map(lambda minute: minute * MINUTE_MS),
        "due_s": NEAR_NOW,
        "repeats_until_s": NEAR_NOW,
        "unknown_since_s": st.sampled_from([0, NOW_S]),
        "deaths": st.integers(0, DEATHS_TO_PARK),
        "parked_as": st.sampled_from([Outcome.REJECTED, Outcome.UNCONFIRMED]),
        "fields": FIELDS,
    }
    events = any_record(**(near | strategies))
    several = st.lists(events, min_size=1, max_size=5, unique_by=lambda event: event.key)
    return st.builds(LeadState, st.just(""), st.one_of(st.just(0), NEAR_NOW), several.map(tuple))


def next_of(state: LeadState, own: EventRecord, lead: Mapping[str, Json], now_s: int = NOW_S) -> NextCall:
    """What to do with one event of the state."""
    return next_call(state, own, lead, now_s, KNOWN_WINDOW_S, OVERDUE_S)


@given(states(), LEADS)
def test_any_state_has_a_next_call_and_only_a_lead_in_doubt_is_not_posted(
    state: LeadState, lead: Mapping[str, Json]
) -> None:
    """No state raises; after a create without an answer no create is POSTed."""
    in_doubt = any(event.operation is CREATE and event.unanswered for event in state.events)
    for own in state.events:
        step = next_of(state, own, lead)
        assert isinstance(step, Skip | Wait | Refuse | Send)
        if isinstance(step, Send) and in_doubt:
            assert step.may_exist


@given(states(began_lead=st.just(False)), LEADS)
def test_no_call_undoes_what_a_later_event_has_set(state: LeadState, lead: Mapping[str, Json]) -> None:
    """Nothing is sent of it but the mandatory fields, and these only with the value that they have."""
    for own in state.events:
        step = next_of(state, own, lead)
        if not isinstance(step, Send):
            continue
        later = sorted(
            (
                event
                for event in state.events
                if event.state is State.DELIVERED and event.order_ms > own.order_ms
            ),
            key=lambda event: event.order_ms,
        )
        taken = {name for event in later for name in event.fields}
        assert taken.isdisjoint(set(step.fields) - set(MANDATORY))
        at_the_end = [event for event in later if event.order_ms == later[-1].order_ms]
        if len(at_the_end) == 1 and own.operation is not STOP:
            sent = fingerprints(lead, step.fields)
            assert all(sent[name] == at_the_end[0].fields[name] for name in ("name", "assistantEmail"))


@given(states(), LEADS)
def test_all_fields_that_no_other_event_has_set_are_sent(state: LeadState, lead: Mapping[str, Json]) -> None:
    """Nothing that was asked for is dropped without a later event that asks for it, too."""
    for own in state.events:
        step = next_of(state, own, lead)
        others = {name for event in state.events if event is not own for name in event.fields}
        if others & {"scheduleId", "scheduleName"}:
            others |= {"scheduleId", "scheduleName"}
        if isinstance(step, Send):
            assert {name: lead[name] for name in lead if name not in others}.items() <= step.fields.items()


KINDS: tuple[dict[str, Any], ...] = (
    {"operation": CREATE},
    {"operation": CREATE, "unanswered": True},
    {"operation": CREATE, "unanswered": True, "began_lead": True},
    {"operation": UPDATE},
    {"operation": STOP, "unknown_since_s": NOW_S},
)


@pytest.mark.parametrize("known_s", [0, NOW_S])
def test_of_three_events_that_wait_at_least_one_may_go(known_s: int) -> None:
    """If each waited for another, they would wait until SQS drops them. All kinds, in all orders."""
    for kinds, minutes in product(product(KINDS, repeat=3), product((0, 6, 12, 24), repeat=3)):
        events = [
            waiting(f"event {minute} {index}", minute=minute, **kind)
            for index, (kind, minute) in enumerate(zip(kinds, minutes, strict=True))
        ]
        state = LeadState("", known_s, tuple(events))
        assert not all(isinstance(next_of(state, own, LEAD), Wait) for own in events), events


@given(states(state=st.just(State.WAITING)))
def test_a_wait_ends(state: LeadState) -> None:
    """It lasts until the last earlier event is due, and at most 15 minutes more."""
    end_s = max(event.due_s for event in state.events) + OVERDUE_S
    for own in state.events:
        step = next_of(state, own, LEAD)
        if isinstance(step, Wait):
            assert 1 <= step.delay_s <= max(OVERDUE_CHECKED_AFTER_S, end_s - OVERDUE_S + 1 - NOW_S)
        assert not isinstance(next_of(state, own, LEAD, now_s=end_s), Wait)
