"""The table of `next_call`, row by row with the edges of each, and what holds for any state of a lead."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads import lead_state
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import MANDATORY, Json, Operation
from deliver_leads.lead_state import (
    CLOCK_SKEW_S,
    SEQUENCE,
    STOPPED,
    EventRecord,
    LeadState,
    Setter,
    State,
)
from deliver_leads.next_call import (
    CRASHES_TO_PARK,
    OVERDUE_CHECKED_AFTER_S,
    NextCall,
    Refuse,
    Send,
    Skip,
    Wait,
    next_call,
    setters_of,
)
from deliver_leads.outcome import Outcome
from tests.lead_records import any_record, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP
MINUTE_MS = 60_000
NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000
OVERDUE_S = 900
WINDOW_S = 86_400
LEAD: dict[str, Json] = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
DUPLICATE = Skip(Outcome.DUPLICATE, "the same event was delivered before")
SUPERSEDED = Skip(Outcome.DUPLICATE, "later events have set all of its fields", superseded=True)
NEW = LeadState()


def event(key: str, operation: Operation, minute: float, due_in_s: int = 30, **more: Any) -> EventRecord:
    """An event that was sent at this minute from now, waits, and is expected back."""
    return record(key, operation, order_ms=NOW_MS + round(minute * MINUTE_MS), due_s=NOW_S + due_in_s, **more)


def lead_with(**fields: Any) -> dict[str, Json]:
    """The lead with these fields beside the mandatory ones, or without those that are None."""
    return {name: value for name, value in (LEAD | fields).items() if value is not None}


def after(state: LeadState, done: EventRecord, *, begins: bool = False, **fields: Any) -> LeadState:
    """The lead after this event was delivered with these fields."""
    lead = lead_with(**fields)
    setters = setters_of(state, done, lead, lead, begins=begins)
    return state.with_final(replace(done, state=State.DELIVERED), setters, oldest_s=0)


def decide(
    own: EventRecord,
    state: LeadState = NEW,
    *others: EventRecord,
    from_content: bool = False,
    alone: bool = False,
    now_s: int = NOW_S,
    **fields: Any,
) -> NextCall:
    """What to do with an event whose lead has these fields, while these others of it are open, too."""
    state = replace(state, open=(*state.open, *others))
    key = IdempotencyKey(own.key, own.digest, from_content)
    return next_call(state, own, key, lead_with(**fields), now_s, WINDOW_S, OVERDUE_S, alone=alone)


def send(own: EventRecord, state: LeadState = NEW, *others: EventRecord, **more: Any) -> Send:
    """As `decide`, for an event that is to be sent."""
    step = decide(own, state, *others, **more)
    assert isinstance(step, Send)
    return step


def shown(known_s: int = NOW_S) -> LeadState:
    """A lead that an answer showed at this time."""
    return LeadState("2345", known_s)


class TestACopyOfAFinalEvent:
    """The same key and the same content."""

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    @pytest.mark.parametrize("operation", Operation)
    @pytest.mark.parametrize("days", [-100, 0, 100])
    def test_with_a_producers_key_it_is_a_duplicate_whenever_it_was_sent(
        self, operation: Operation, state: State, days: int
    ) -> None:
        """As long as the key is remembered."""
        known = NEW.with_final(event("own", operation, 0, state=state), {}, 0)
        assert decide(event("own", operation, days * 1440), known) == DUPLICATE

    def test_a_create_stays_a_duplicate_after_25_updates(self) -> None:
        """Whatever came between: its POST would restart the lead's e-mails."""
        state = after(NEW, event("own", CREATE, -60), begins=True)
        for number in range(25):
            state = after(state, event(f"update {number}", UPDATE, number - 50), context=str(number))
        assert decide(event("own", CREATE, 0), state) == DUPLICATE

    @pytest.mark.parametrize("direction", [1, -1])
    def test_without_a_key_a_create_is_a_duplicate_if_both_were_sent_within_the_window(
        self, direction: int
    ) -> None:
        """One millisecond further apart they are two events. The time of their delivery says nothing."""
        known = after(NEW, event("own", CREATE, 0), begins=True)
        for apart_ms, is_copy in ((WINDOW_S * 1000 - 1, True), (WINDOW_S * 1000, False)):
            own = replace(event("own", CREATE, 0), order_ms=NOW_MS + direction * apart_ms)
            step = decide(own, known, from_content=True, context="as new as the event itself")
            assert (step == DUPLICATE) is is_copy

    def test_each_copy_of_a_create_begins_the_window_anew(self) -> None:
        """What is repeated every night stays a duplicate."""
        state = after(NEW, event("own", CREATE, 0), begins=True)
        for night in range(1, 30):
            copy = event("own", CREATE, night * 1000)
            assert decide(copy, state, from_content=True) == DUPLICATE
            state = state.with_copy(copy)

    @pytest.mark.parametrize("between", [CREATE, UPDATE])
    def test_a_stop_counts_again_after_an_event_that_has_set_the_sequence_since(
        self, between: Operation
    ) -> None:
        """Else a person who was put into a sequence again would get e-mails after the second stop."""
        state = after(NEW, event("stop", STOP, 0))
        again = event("stop", STOP, 2)
        assert decide(again, state) == DUPLICATE
        assert decide(again, after(state, event("other", between, 1), context="a")) == DUPLICATE
        begun = after(state, event("other", between, 1), scheduleName="Warm")
        assert isinstance(decide(again, begun), Send)

    @pytest.mark.parametrize("minute", [-1, 3])
    def test_a_stop_is_a_duplicate_if_the_sequence_was_not_set_between_both(self, minute: int) -> None:
        """Before the first it has ended what was set; after the copy, the later event holds."""
        state = after(after(NEW, event("stop", STOP, 0)), event("other", UPDATE, minute), scheduleId="7")
        assert decide(event("stop", STOP, 2), state) == DUPLICATE

    @pytest.mark.xfail(
        strict=True,
        reason="with_copy renews the order of the stop's key, but not that of the sequence's setter",
    )
    def test_after_the_copy_of_a_stop_an_event_from_between_starts_no_sequence(self) -> None:
        """As when that event is delivered before the copy: the stop was asked for last in both cases."""
        state = after(NEW, event("stop", STOP, 0))
        copy = event("stop", STOP, 2)
        assert decide(copy, state) == DUPLICATE
        step = send(event("between", UPDATE, 1), state.with_copy(copy), context="a", scheduleName="Warm")
        assert "scheduleName" not in step.fields

    @pytest.mark.parametrize("operation", Operation)
    def test_it_is_a_duplicate_however_often_the_function_crashed(self, operation: Operation) -> None:
        """A person would look for a lead that is fine."""
        own = event("own", operation, 0, crashes=3, crashes_alone=3)
        assert decide(own, after(NEW, own)) == DUPLICATE


@pytest.mark.parametrize("operation", Operation)
class TestTheFirstRows:
    """They are the same for every operation."""

    def test_a_key_that_was_used_with_other_content_is_refused(self, operation: Operation) -> None:
        """Neither a copy, nor certain to be meant as a new event."""
        known = after(NEW, event("own", operation, 0))
        step = decide(event("own", operation, 1, digest="another"), known)
        assert isinstance(step, Refuse)
        assert "give each event a key of its own" in step.reason

    @pytest.mark.parametrize("parked_as", [Outcome.REJECTED, Outcome.UNCONFIRMED, Outcome.RETRY])
    def test_a_parked_message_that_comes_back_is_not_parked_again(
        self, operation: Operation, parked_as: Outcome
    ) -> None:
        """Its acknowledgement was lost; a person has it already, with this outcome and reason."""
        own = event("own", operation, 0, state=State.PARKED, parked_as=parked_as, reason="no such assistant")
        assert decide(own) == Skip(parked_as, "no such assistant")

    def test_an_event_over_which_the_function_crashed_three_times_alone_is_refused(
        self, operation: Operation
    ) -> None:
        """Two crashes may have had another cause."""
        own = event("own", operation, 0, crashes=CRASHES_TO_PARK, crashes_alone=CRASHES_TO_PARK)
        step = decide(own, alone=True)
        assert isinstance(step, Refuse)
        assert step.reason.startswith("3 attempts at it alone left no result in the ledger")
        fewer = replace(own, crashes=9, crashes_alone=CRASHES_TO_PARK - 1)
        assert isinstance(decide(fewer, alone=True), Send)

    def test_after_any_crash_an_event_is_tried_alone(self, operation: Operation) -> None:
        """Then a further crash harms no other event, and is known to be this one's."""
        own = event("own", operation, 0, crashes=1)
        step = decide(own)
        assert isinstance(step, Wait)
        assert (step.delay_s, step.alone) == (0, True)
        assert isinstance(decide(own, alone=True), Send)

    def test_an_event_waits_for_an_earlier_one_with_its_key_and_other_content(
        self, operation: Operation
    ) -> None:
        """If that one is delivered, this one is refused; if it is parked, this one takes its place."""
        own, other = event("key", operation, 1, digest="b"), event("key", operation, 0, digest="a")
        assert isinstance(decide(own, NEW, other), Wait)
        assert isinstance(decide(own, NEW, replace(other, state=State.PARKED)), Send)


class TestWaiting:
    """An earlier event of the lead goes first."""

    @pytest.mark.parametrize("own", [UPDATE, STOP])
    @pytest.mark.parametrize("earlier", Operation)
    def test_an_update_or_stop_waits_for_any_earlier_event(self, own: Operation, earlier: Operation) -> None:
        """It comes back just after that one was due, so that one search of the ledger is enough."""
        step = decide(event("own", own, 1), NEW, event("earlier", earlier, 0, due_in_s=30))
        assert step == Wait(31, "waits for an earlier event of its lead")

    def test_a_create_waits_for_an_earlier_create(self) -> None:
        """The lead begins with the first."""
        assert isinstance(decide(event("own", CREATE, 1), NEW, event("earlier", CREATE, 0)), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_waits_for_an_update_or_stop_only_if_an_answer_showed_the_lead(
        self, earlier: Operation
    ) -> None:
        """Otherwise both would wait: that event can't be delivered before the lead exists."""
        own, other = event("own", CREATE, 1), event("earlier", earlier, 0)
        assert isinstance(decide(own, NEW, other), Send)
        assert isinstance(decide(own, LeadState(has_forgotten=True), other), Send)
        assert isinstance(decide(own, shown(), other), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_does_not_wait_for_an_event_that_waits_for_its_lead(self, earlier: Operation) -> None:
        """7Targets answered 404 to that event, whatever the ledger knows."""
        other = event("earlier", earlier, 0, unknown_since_s=NOW_S - 10)
        assert isinstance(decide(event("own", CREATE, 1), shown(), other), Send)

    @pytest.mark.xfail(
        strict=True, reason="a parked event's 404 counts, although an answer has shown the lead since"
    )
    def test_a_create_waits_if_an_answer_showed_the_lead_after_another_was_parked_without_it(self) -> None:
        """The lead is there now, so the earlier update can be delivered first."""
        parked = event("parked", UPDATE, -99, state=State.PARKED, unknown_since_s=NOW_S - 9_000)
        step = decide(event("own", CREATE, 1), shown(), parked, event("earlier", UPDATE, 0))
        assert isinstance(step, Wait)

    def test_no_event_waits_for_itself(self) -> None:
        """A copy that was sent later finds it among the open ones."""
        own = event("own", UPDATE, 0)
        assert isinstance(decide(replace(own, order_ms=own.order_ms + 1), shown(), own), Send)

    @pytest.mark.parametrize("own", Operation)
    @pytest.mark.parametrize("minute", [1, 2])
    def test_no_event_waits_for_one_of_the_same_time_or_a_later_one(
        self, own: Operation, minute: int
    ) -> None:
        """Two that wait for each other would wait for ever."""
        assert isinstance(decide(event("own", own, 1), NEW, event("other", UPDATE, minute)), Send)

    @pytest.mark.parametrize("operation", [UPDATE, STOP])
    def test_an_update_that_overtook_its_create_goes_first(self, operation: Operation) -> None:
        """Orders are times of sending alone; if the lead is new, the update is answered 404 and waits."""
        create = event("create", CREATE, 0.01, unanswered=True)
        assert isinstance(decide(event("own", operation, 0), NEW, create), Send)

    @pytest.mark.parametrize("operation", Operation)
    def test_no_event_waits_for_one_that_is_parked(self, operation: Operation) -> None:
        """What is parked may stay there for days."""
        other = event("other", CREATE, 0, state=State.PARKED)
        assert isinstance(decide(event("own", operation, 1), NEW, other), Send)

    def test_an_event_that_is_overdue_is_waited_for_a_while(self) -> None:
        """Its message may be under way; later a person may have removed it."""
        own = event("own", UPDATE, 1)
        assert decide(own, NEW, event("other", UPDATE, 0, due_in_s=0)) == Wait(
            1, "waits for an earlier event of its lead"
        )
        for late_s in (1, OVERDUE_S - 1):
            step = decide(own, NEW, event("other", UPDATE, 0, due_in_s=-late_s))
            assert isinstance(step, Wait)
            assert step.delay_s == OVERDUE_CHECKED_AFTER_S
        assert isinstance(decide(own, NEW, event("other", UPDATE, 0, due_in_s=-OVERDUE_S)), Send)

    def test_with_a_longer_visibility_timeout_it_is_waited_for_longer(self) -> None:
        """A message whose environment crashed, or whose delay could not be set, comes back only then."""
        own, other = event("own", UPDATE, 1), event("other", UPDATE, 0, due_in_s=-OVERDUE_S)
        key = IdempotencyKey("own", "digest", from_content=False)
        step = next_call(
            LeadState(open=(other,)), own, key, LEAD, NOW_S, WINDOW_S, overdue_s=OVERDUE_S + 1, alone=False
        )
        assert isinstance(step, Wait)

    def test_the_one_that_is_due_last_says_when_to_come_back(self) -> None:
        """All earlier ones have to be through."""
        others = [event(f"other {due}", UPDATE, 0, due_in_s=due) for due in (10, 500, -100)]
        step = decide(event("own", UPDATE, 1), NEW, *others)
        assert isinstance(step, Wait)
        assert step.delay_s == 501


class TestFieldsThatALaterEventHasSet:
    """An event that is delivered late leaves them out."""

    @pytest.mark.parametrize("operation", Operation)
    def test_they_are_left_out_and_the_others_are_sent(self, operation: Operation) -> None:
        """The mandatory fields go along, because each call needs them."""
        later = after(NEW, event("later", UPDATE, 1), context="b")
        step = send(event("own", operation, 0), later, context="a", phone="1")
        assert step.fields == LEAD | {"phone": "1"}

    def test_an_old_update_that_arrives_last_sets_only_what_no_later_one_has_set(self) -> None:
        """However many events came between: the register of each field is all that counts."""
        state = NEW
        for minute in range(1, 40):
            state = after(state, event(f"{minute}", UPDATE, minute), context=str(minute), company="x")
        step = send(event("own", UPDATE, 0), state, context="old", phone="1")
        assert step.fields == LEAD | {"phone": "1"}

    @pytest.mark.parametrize(
        ("asked", "set_later"), [("scheduleId", "scheduleName"), ("scheduleName", "scheduleId")]
    )
    def test_a_sequence_is_one_field_with_two_names(self, asked: str, set_later: str) -> None:
        """At 7Targets the id wins over the name, so an older id would undo a newer name."""
        set_fields: dict[str, Any] = {set_later: "7"}
        later = after(NEW, event("later", UPDATE, 1), **set_fields)
        own_fields: dict[str, Any] = {asked: "5"}
        step = send(event("own", UPDATE, 0), later, context="a", **own_fields)
        assert step.fields == LEAD | {"context": "a"}

    @pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
    def test_an_event_that_is_not_delivered_has_set_nothing(self, state: State) -> None:
        """What a later event asks for may never come true."""
        later = event("later", UPDATE, 1, state=state)
        assert send(event("own", UPDATE, 0), NEW, later, context="a").fields["context"] == "a"

    @pytest.mark.parametrize("minute", [0, -1])
    def test_an_event_of_the_same_time_or_an_earlier_one_takes_nothing_away(self, minute: int) -> None:
        """Own fields win."""
        other = after(NEW, event("other", UPDATE, minute), context="b")
        assert send(event("own", UPDATE, 0), other, context="a").fields["context"] == "a"

    def test_a_copy_of_an_event_whose_key_was_forgotten_is_known_by_its_fields(self) -> None:
        """All their registers are of its own time, with its own values."""
        own = event("own", UPDATE, 0)
        forgotten = replace(after(NEW, own, context="a"), finals={})
        assert decide(own, forgotten, context="a") == SUPERSEDED

    def test_an_event_that_shares_only_some_values_with_one_of_the_same_time_is_sent_whole(self) -> None:
        """Only a whole event can be a repeat."""
        other = after(NEW, event("other", UPDATE, 0), context="a")
        step = send(event("own", UPDATE, 0), other, context="a", phone="1")
        assert step.fields == LEAD | {"context": "a", "phone": "1"}

    def test_a_later_stop_leaves_no_sequence_to_start(self) -> None:
        """An earlier event's sequence would start the e-mails again; its other fields are sent."""
        stopped = replace(after(NEW, event("stop", STOP, 1)), known_s=NOW_S)
        step = send(event("own", CREATE, 0), stopped, scheduleName="Warm", context="a")
        assert step.fields == LEAD | {"context": "a"}

    def test_a_create_that_is_redriven_a_day_after_a_stop_is_no_post_and_starts_nothing(self) -> None:
        """Its order is when it was first sent, however late it comes."""
        stop = event("stop", STOP, 10)
        state = replace(after(NEW, stop), known_s=NOW_S + 600)
        own = event("own", CREATE, 0, redriven=True, sent_s=NOW_S + 86_400)
        step = decide(own, state, now_s=NOW_S + 10 * 86_400, scheduleId="7", context="a")
        assert step == Send(LEAD | {"context": "a"}, may_exist=True)

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("field", ["name", "assistantEmail"])
    def test_an_event_that_would_undo_a_mandatory_field_is_refused(
        self, operation: Operation, field: str
    ) -> None:
        """That field can't be left out; a person sends what still holds."""
        changed: dict[str, Any] = {field: "another@example.net"}
        later = after(NEW, event("later", UPDATE, 1), **changed)
        step = decide(event("own", operation, 0), later, context="a")
        assert isinstance(step, Refuse)
        assert f"another {field}," in step.reason

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("lead_id", [None, 2345])
    @pytest.mark.parametrize("name", ["Janet", LEAD["name"]])
    def test_it_is_superseded_when_nothing_of_it_is_left(
        self, operation: Operation, lead_id: int | None, name: str
    ) -> None:
        """The id names the lead, and is nothing to set. Several later events may have set it together."""
        later = after(NEW, event("later", UPDATE, 2), name=name)
        later = after(later, event("between", UPDATE, 1), name=name, context="b")
        assert decide(event("own", operation, 0), later, context="a", id=lead_id) == SUPERSEDED

    def test_a_mandatory_field_that_only_a_stop_followed_is_sent(self) -> None:
        """A stop sets no name, so the event's own one is not set yet."""
        stopped = after(NEW, event("stop", STOP, 1))
        assert send(event("own", UPDATE, 0), stopped, scheduleName="Warm").fields == LEAD

    def test_a_stop_is_sent_even_then(self) -> None:
        """Without it e-mails to a person go on; its name only says which lead is meant."""
        later = after(NEW, event("later", UPDATE, 1), name="Janet", scheduleId="7")
        assert send(event("own", STOP, 0), later).fields == LEAD

    def test_the_last_of_several_later_values_counts(self) -> None:
        """The lead has its old name again, so nothing is undone."""
        later = after(after(NEW, event("back", UPDATE, 2)), event("there", UPDATE, 1), name="Janet")
        assert send(event("own", UPDATE, 0), later, phone="1").fields == LEAD | {"phone": "1"}

    def test_the_case_of_the_address_makes_no_other_value(self) -> None:
        """One address in upper and lower case is one lead, and its name is the same."""
        later = after(NEW, event("later", UPDATE, 1), email="JANE@EXAMPLE.COM")
        assert isinstance(decide(event("own", UPDATE, 0), later, context="a"), Send)


class TestAnUpdateSentBeforeTheCreateThatBeganItsLead:
    """A bus keeps no order, and there was no lead yet that it could have meant."""

    @staticmethod
    def begun(minute: float, **fields: Json) -> LeadState:
        """The lead after a create that was sent at this minute has begun it."""
        state = after(NEW, event("create", CREATE, minute), begins=True, **fields)
        return replace(state, known_s=NOW_S)

    @pytest.mark.parametrize("more", [{}, {"attempts": 3, "unknown_since_s": NOW_S}])
    def test_its_fields_win_over_the_creates_up_to_15_minutes(self, more: dict[str, int]) -> None:
        """The producer meant the update to change the new lead. 404 is all that it was answered so far."""
        state = self.begun(15, context="old")
        assert send(event("own", UPDATE, 0, **more), state, context="new").fields["context"] == "new"
        too_early = event("own", UPDATE, -0.001, **more)
        step = decide(too_early, state, context="new", phone="1")
        assert isinstance(step, Send)
        assert "context" not in step.fields

    def test_even_its_name_wins(self) -> None:
        """It undoes nothing that was meant to hold."""
        assert send(event("own", UPDATE, 0), self.begun(1), name="Janet").fields["name"] == "Janet"

    def test_an_update_that_was_answered_with_something_else_was_meant_for_the_lead_before(self) -> None:
        """7Targets knew one then."""
        step = send(event("own", UPDATE, 0, attempts=1), self.begun(1, context="old"), context="a", phone="1")
        assert "context" not in step.fields

    def test_an_earlier_create_does_not_win(self) -> None:
        """Both ask for the lead as a whole."""
        step = send(event("own", CREATE, 0), self.begun(1, context="old"), context="a", phone="1")
        assert "context" not in step.fields

    def test_a_create_that_did_not_begin_the_lead_counts_as_sent_when_it_was(self) -> None:
        """The lead was there before, so an earlier update was meant for it."""
        state = after(shown(), event("create", CREATE, 1), begins=True, context="later")
        step = send(event("own", UPDATE, 0), state, context="a", phone="1")
        assert "context" not in step.fields

    def test_several_keep_their_own_order(self) -> None:
        """All count as sent after the create, and still one of them is the later one."""
        state = after(self.begun(3, context="old"), event("second", UPDATE, 2), context="b")
        step = send(event("first", UPDATE, 1), state, context="a", phone="1")
        assert step.fields == LEAD | {"phone": "1"}
        assert send(event("third", UPDATE, 2.5), state, context="c").fields["context"] == "c"


class TestFieldsWhoseSetterWasForgotten:
    """Nothing shows whether a later event has set them."""

    FORGETFUL = LeadState(setters_floor_ms=NOW_MS)

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    def test_an_event_as_old_as_a_forgotten_one_is_refused(self, operation: Operation) -> None:
        """It could set a field back."""
        step = decide(event("own", operation, 0), self.FORGETFUL, context="a")
        assert isinstance(step, Refuse)
        assert "too old" in step.reason
        assert isinstance(decide(event("own", operation, 0.001), self.FORGETFUL, context="a"), Send)

    def test_an_event_whose_fields_all_have_a_register_is_sent(self) -> None:
        """For these it is known."""
        known = replace(after(NEW, event("earlier", UPDATE, -9), context="b"), setters_floor_ms=NOW_MS)
        assert isinstance(decide(event("own", UPDATE, -1), known, context="a"), Send)

    def test_a_stop_is_sent(self) -> None:
        """Without it e-mails to a person go on."""
        assert isinstance(decide(event("own", STOP, -1), self.FORGETFUL), Send)


class TestWhatAnEventSets:
    """The registers that `setters_of` gives."""

    def of(
        self, operation: Operation, begins: bool = False, state: LeadState = NEW, **fields: Any
    ) -> Mapping[str, Setter]:
        """Those of an event that was sent now with all of these fields."""
        lead = lead_with(**fields)
        return setters_of(state, event("own", operation, 0), lead, lead, begins=begins)

    def test_it_sets_what_was_sent_but_not_what_names_the_lead(self) -> None:
        """Address and id only say which lead is meant."""
        assert set(self.of(UPDATE, context="a", id=7)) == {"name", "assistantEmail", "context"}

    def test_a_field_that_nobody_documents_is_hashed(self) -> None:
        """A producer may name it after a person."""
        free: dict[str, Any] = {"jane": "1", "jane@example.com": "2"}
        names = set(self.of(UPDATE, **free))
        assert len(names) == 4
        assert not [name for name in names if "jane" in name]

    @pytest.mark.parametrize(("begins", "sets_it"), [(True, True), (False, False)])
    def test_a_create_that_begins_the_lead_sets_the_sequence_even_without_naming_one(
        self, begins: bool, sets_it: bool
    ) -> None:
        """7Targets starts a POSTed lead in the assistant's own sequence."""
        assert (SEQUENCE in self.of(CREATE, begins=begins)) is sets_it

    def test_a_stop_sets_the_sequence_and_nothing_else(self) -> None:
        """Its fields only name the lead."""
        assert self.of(STOP, context="a") == {SEQUENCE: Setter(NOW_MS, STOPPED)}

    def test_the_register_of_a_later_event_stays(self) -> None:
        """Name and assistant go along with each call, and are then the same."""
        later = after(NEW, event("later", UPDATE, 1))
        assert set(self.of(UPDATE, state=later, context="a")) == {"context"}


class TestWhetherTheLeadMayExist:
    """What shows a create that it has to find out first."""

    def test_a_create_of_a_lead_of_which_nothing_is_known_is_posted(self) -> None:
        """With all of its fields."""
        assert decide(event("own", CREATE, 0), phone="1") == Send(LEAD | {"phone": "1"}, may_exist=False)

    @pytest.mark.parametrize(("more_s", "may_exist"), [(1, True), (0, False)])
    @pytest.mark.parametrize("late_days", [0, 30])
    def test_a_lead_that_was_shown_may_exist_until_the_window_before_the_create_was_sent(
        self, more_s: int, may_exist: bool, late_days: int
    ) -> None:
        """A POST within hours of another would restart e-mails; months later it is meant.

        The window is before the create's sending, not before its delivery: an outage changes nothing.
        """
        state = shown(NOW_S - WINDOW_S - CLOCK_SKEW_S + more_s)
        own = event("own", CREATE, 0)
        assert send(own, state, now_s=NOW_S + late_days * 86_400).may_exist is may_exist

    @pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
    def test_a_lead_may_exist_after_a_create_without_an_answer(self, state: State) -> None:
        """Whichever event's it was, and even if a person has it by now."""
        other = event("other", CREATE, 1, state=state, unanswered=True)
        assert send(event("own", CREATE, 0), NEW, other).may_exist

    def test_a_lead_may_exist_after_the_own_request_without_an_answer(self) -> None:
        """No blind repeat."""
        assert send(event("own", CREATE, 0, unanswered=True)).may_exist

    def test_a_lead_may_exist_once_a_create_was_forgotten(self) -> None:
        """For ever, because nothing shows which one it was."""
        assert send(event("own", CREATE, 0), LeadState(has_forgotten=True)).may_exist

    @pytest.mark.parametrize("operation", [UPDATE, STOP, None])
    def test_no_other_operation_creates_a_lead(self, operation: Operation | None) -> None:
        """A lost answer to an update says nothing about the lead."""
        other = record("other", operation, state=State.PARKED, unanswered=True)
        assert not send(event("own", CREATE, 0), NEW, other).may_exist


NEAR_NOW = st.integers(-2 * OVERDUE_S, 2 * OVERDUE_S).map(lambda seconds: NOW_S + seconds)
VALUE = st.sampled_from(["a", "b"])
OPTIONAL = ("context", "phone", "scheduleId", "scheduleName", "own field", "id")
LEADS = st.fixed_dictionaries(
    {"name": VALUE, "assistantEmail": VALUE}, optional=dict.fromkeys(OPTIONAL, VALUE)
)


def states(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[LeadState]:
    """A lead with up to five open events within minutes of each other."""
    near: dict[str, st.SearchStrategy[Any]] = {
        "key": st.sampled_from("abcde"),
        "order_ms": st.integers(0, 40).map(lambda minute: NOW_MS + minute * MINUTE_MS),
        "due_s": NEAR_NOW,
        "unknown_since_s": st.sampled_from([0, NOW_S]),
        "crashes": st.integers(0, CRASHES_TO_PARK),
        "state": st.sampled_from([State.WAITING, State.PARKED]),
        "parked_as": st.sampled_from([Outcome.REJECTED, Outcome.UNCONFIRMED]),
    }
    several = st.lists(
        any_record(**(near | strategies)), min_size=1, max_size=5, unique_by=lambda each: each.key
    )
    return st.builds(
        LeadState,
        known_s=st.one_of(st.just(0), NEAR_NOW),
        has_forgotten=st.booleans(),
        open=several.map(tuple),
    )


@given(states(), LEADS, st.booleans())
def test_any_state_has_a_next_call_and_no_lead_in_doubt_is_posted(
    state: LeadState, fields: dict[str, Any], alone: bool
) -> None:
    """No state raises; after a create without an answer, or a forgotten one, no create is POSTed."""
    in_doubt = state.has_forgotten or any(each.is_create and each.unanswered for each in state.open)
    for own in state.open:
        step = decide(own, state, alone=alone, **fields)
        if isinstance(step, Send) and in_doubt:
            assert step.may_exist


KINDS: tuple[dict[str, Any], ...] = (
    {"operation": CREATE},
    {"operation": CREATE, "unanswered": True},
    {"operation": UPDATE},
    {"operation": UPDATE, "key": "one key"},
    {"operation": STOP, "unknown_since_s": NOW_S},
)


@pytest.mark.parametrize("state", [NEW, shown(), LeadState(has_forgotten=True)])
def test_of_three_events_that_wait_at_least_one_may_go(state: LeadState) -> None:
    """If each waited for another, they would wait until SQS drops them. All kinds, in all orders."""
    for kinds, minutes in product(product(KINDS, repeat=3), product((0, 6, 12), repeat=3)):
        events = tuple(
            event(**({"key": f"event {index}", "minute": minute} | kind), digest=str(index))
            for index, (kind, minute) in enumerate(zip(kinds, minutes, strict=True))
        )
        full = replace(state, open=events)
        assert not all(isinstance(decide(own, full), Wait) for own in events), events


@given(states(state=st.just(State.WAITING)))
def test_no_events_wait_for_each_other(state: LeadState) -> None:
    """The one that was sent first waits for none, so that some event can always go."""
    first = min(state.open, key=lambda each: each.order_ms)
    assert not isinstance(decide(first, state, alone=True), Wait)


@given(states(state=st.just(State.WAITING)))
def test_a_wait_ends(state: LeadState) -> None:
    """It lasts until the last earlier event is due, and until that is overdue at most."""
    end_s = max(each.due_s for each in state.open) + OVERDUE_S
    for own in state.open:
        step = decide(own, state, alone=True)
        if isinstance(step, Wait):
            assert 1 <= step.delay_s <= max(OVERDUE_CHECKED_AFTER_S, end_s - OVERDUE_S + 1 - NOW_S)
        assert not isinstance(decide(own, state, alone=True, now_s=end_s), Wait)


EVENTS = st.lists(st.tuples(st.sampled_from(Operation), st.integers(0, 5), LEADS), min_size=1, max_size=10)


@given(EVENTS, st.integers(1, 8))
def test_no_field_is_set_back_by_an_earlier_event_whatever_the_order_of_deliveries(
    sent: list[tuple[Operation, int, dict[str, Any]]], most_setters: int
) -> None:
    """Nor when registers were forgotten. Only a stop is sent in any case, so that e-mails don't go on."""
    state = NEW
    remote: dict[str, tuple[int, object]] = {}
    with patch.object(lead_state, "MOST_SETTERS", most_setters):
        for place, (operation, minute, fields) in enumerate(sent):
            # Answered before, so that none was meant for a lead that a later create began.
            own = event(f"{place}", operation, minute, attempts=1)
            step = decide(own, state, **fields)
            if not isinstance(step, Send):
                continue
            begins = operation is CREATE and not step.may_exist
            for name, value in set_by(operation, step.fields, begins).items():
                order_ms, before = remote.get(name, (0, None))
                if operation is not STOP:
                    assert own.order_ms >= order_ms or value == before, name
                if own.order_ms >= order_ms:
                    remote[name] = own.order_ms, value
            setters = setters_of(state, own, lead_with(**fields), step.fields, begins=begins)
            done = replace(own, state=State.DELIVERED)
            state = replace(state.with_final(done, setters, 0), known_s=NOW_S)


def set_by(operation: Operation, fields: Mapping[str, Json], begins: bool) -> dict[str, object]:
    """What a call changes of a lead at 7Targets, where id and name of a sequence are one field."""
    if operation is STOP:
        return {SEQUENCE: STOPPED}
    sequence = (fields.get("scheduleId"), fields.get("scheduleName"))
    others = {
        name: value
        for name, value in fields.items()
        if name not in {"email", "id", "scheduleId", "scheduleName"}
    }
    return others | ({SEQUENCE: sequence} if begins or any(sequence) else {})


@given(EVENTS, LEADS, st.integers(0, 5))
def test_all_fields_that_no_later_event_has_set_are_sent(
    sent: list[tuple[Operation, int, dict[str, Any]]], fields: dict[str, Any], minute: int
) -> None:
    """Nothing that was asked for is dropped without a later event that asks for it, too."""
    state, later = NEW, set()
    for place, (operation, at, given_fields) in enumerate(sent):
        state = after(state, event(f"{place}", operation, at), **given_fields)
        later |= set(set_by(operation, given_fields, begins=False)) if at > minute else set()
    step = decide(event("own", UPDATE, minute), state, **fields)
    if isinstance(step, Send):
        own = {name for name in fields if name not in later}
        if SEQUENCE in later:
            own -= {"scheduleId", "scheduleName"}
        assert own - set(step.fields) == set()
        assert set(MANDATORY) <= set(step.fields)
