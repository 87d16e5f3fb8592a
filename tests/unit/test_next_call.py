"""The table of `next_call`, row by row with the edges of each, and what holds for any state of a lead."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.contract import Outcome
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import MANDATORY, Json, Operation
from deliver_leads.lead_state import (
    CLOCK_SKEW_S,
    MOST_FINALS,
    MOST_SETTERS,
    RANKS_A_MS,
    EventRecord,
    Final,
    LeadState,
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
)
from deliver_leads.setters import SEQUENCE, Setter, new_setters
from tests.lead_records import DIGEST, any_record, final, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP
NOW_S = 1_800_000_000
OVERDUE_S = 900
WINDOW_S = 36 * 3600
LEAD: dict[str, Json] = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
COPY = Skip(Outcome.DUPLICATE, "the same event was delivered before")
SUPERSEDED = Skip(Outcome.DUPLICATE, "later events have set all of its fields", superseded=True)


def at(minute: float) -> int:
    """The `order_ms` of an event that is sent at this minute from now."""
    return round((NOW_S + 60 * minute) * 1000)


def lead_of(fields: Mapping[str, Any]) -> dict[str, Json]:
    """A lead with these fields beside the mandatory ones (None: without)."""
    return {name: value for name, value in {**LEAD, **fields}.items() if value is not None}


def setters_of(state: LeadState, own: EventRecord, sent: Mapping[str, Json]) -> dict[str, Setter]:
    """What an event has set by sending these of its fields."""
    rank = state.rank(own.order_ms, is_create=own.is_create)
    return new_setters(state.setters, own.operation, rank, sent)


def decide(
    own: EventRecord, state: LeadState, *, from_content: bool = False, alone: bool = False, **fields: Any
) -> NextCall:
    """What to do now with an event whose lead has these fields beside the mandatory ones."""
    key = IdempotencyKey(own.key, own.digest, from_content)
    return next_call(state, own, key, lead_of(fields), NOW_S, WINDOW_S, OVERDUE_S, alone=alone)


def send(own: EventRecord, state: LeadState, **fields: Any) -> Send:
    """As `decide`, for an event that is to be sent."""
    step = decide(own, state, **fields)
    assert isinstance(step, Send)
    return step


def waiting(key: str, operation: Operation, minute: float, due_in_s: int = 30, **more: Any) -> EventRecord:
    """An event that was sent at this minute and is expected back."""
    return record(key, operation, order_ms=at(minute), due_s=NOW_S + due_in_s, **more)


def lead(*events: EventRecord, **more: Any) -> LeadState:
    """A lead with these open events."""
    return LeadState(open=events, **more)


def delivered(state: LeadState, key: str, operation: Operation, minute: float, **fields: Any) -> LeadState:
    """The lead after an event that was sent at this minute and has set the mandatory fields and these."""
    own, asked = waiting(key, operation, minute, state=State.DELIVERED), lead_of(fields)
    known = replace(state, known_s=NOW_S)
    setters = setters_of(state, own, asked)
    return known.with_final(own, setters, oldest_s=0)


NOTHING = LeadState()


class TestACopy:
    """An event that was delivered or superseded before, whatever came between."""

    @pytest.mark.parametrize("operation", Operation)
    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_it_is_a_duplicate_however_late_it_is(self, operation: Operation, state: State) -> None:
        """Its producer gave it a key, which holds as long as it is remembered."""
        finals = {"own": final(operation, at(0), state=state)}
        assert decide(waiting("own", operation, 10**6), LeadState(finals=finals)) == COPY

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize(("apart_s", "is_copy"), [(0, True), (WINDOW_S - 1, True), (WINDOW_S, False)])
    def test_content_identifies_a_create_within_the_window(
        self, sign: int, apart_s: int, is_copy: bool
    ) -> None:
        """The window lies between the times at which both were sent: an outage takes none of it."""
        state = LeadState(finals={"own": final(CREATE, at(0))})
        step = decide(waiting("own", CREATE, sign * apart_s / 60), state, from_content=True)
        assert (step == COPY) is is_copy
        assert isinstance(step, Skip if is_copy else Send)

    @pytest.mark.parametrize("from_content", [True, False])
    def test_a_create_is_one_after_25_updates(self, from_content: bool) -> None:
        """They push each other out, and no create."""
        state = delivered(NOTHING, "own", CREATE, 0, context="a")
        for minute in range(1, 26):
            state = delivered(state, f"update {minute}", UPDATE, minute, context=f"{minute}")
        assert len(state.finals) == MOST_FINALS + 1
        assert decide(waiting("own", CREATE, 30), state, from_content=from_content, context="a") == COPY

    def test_it_is_one_whatever_the_function_crashed_over(self) -> None:
        """A person would look for a lead that is fine."""
        state = LeadState(finals={"own": final()})
        assert decide(waiting("own", UPDATE, 0, crashes=9, crashes_alone=9), state) == COPY

    @pytest.mark.parametrize(
        ("later", "fields"), [(CREATE, {}), (CREATE, {"scheduleName": "Warm"}), (UPDATE, {"scheduleId": 1})]
    )
    def test_the_copy_of_a_stop_is_sent_if_e_mails_may_have_been_started_between_the_two(
        self, later: Operation, fields: dict[str, Any]
    ) -> None:
        """They are to end again."""
        state = delivered(NOTHING, "own", STOP, 0)
        assert decide(waiting("own", STOP, 2), state) == COPY
        restarted = delivered(state, "later", later, 1, **fields)
        assert send(waiting("own", STOP, 2), restarted).fields == LEAD
        assert decide(waiting("own", STOP, 0.5), restarted) == COPY

    @pytest.mark.parametrize("unanswered", [True, False])
    def test_the_copy_of_a_stop_is_sent_if_a_create_from_between_is_still_open(
        self, unanswered: bool
    ) -> None:
        """Its request may have started e-mails, or would start them."""
        state = delivered(NOTHING, "own", STOP, 0)
        open_create = waiting("create", CREATE, 1, unanswered=unanswered)
        assert send(waiting("own", STOP, 2), state.with_open(open_create)).fields == LEAD

    def test_the_copy_of_a_stop_is_one_if_an_update_between_left_the_sequence_alone(self) -> None:
        """It has set other fields."""
        state = delivered(delivered(NOTHING, "own", STOP, 0), "other", UPDATE, 1, context="a")
        assert decide(waiting("own", STOP, 2), state) == COPY

    def test_after_the_copy_of_a_stop_an_event_from_between_starts_no_sequence(self) -> None:
        """As when that event is delivered before the copy: the stop was asked for last in both cases."""
        state = delivered(NOTHING, "own", STOP, 0)
        copy = waiting("own", STOP, 2)
        assert decide(copy, state) == COPY
        between = waiting("between", UPDATE, 1)
        step = send(between, state.with_copy(copy), context="a", scheduleName="Warm")
        assert "scheduleName" not in step.fields


class TestARefusedEvent:
    """A person has to decide."""

    @pytest.mark.parametrize("operation", Operation)
    @pytest.mark.parametrize("minute", [-1, 0, 1])
    def test_a_key_that_is_used_again_with_other_content_is_refused(
        self, operation: Operation, minute: int
    ) -> None:
        """It is neither the event that was delivered, nor would a copy of it be known later."""
        state = LeadState(finals={"own": final(operation, at(0), digest="other")})
        assert decide(waiting("own", operation, minute), state) == Refuse(
            "an event with the same idempotencyKey was delivered before, with other content; "
            "give each event a key of its own"
        )

    @pytest.mark.parametrize("operation", Operation)
    def test_an_event_over_which_the_function_crashed_three_times_is_refused(
        self, operation: Operation
    ) -> None:
        """Only crashes alone are its own; two may have had another cause."""
        own = waiting("own", operation, 0, crashes=9, crashes_alone=CRASHES_TO_PARK)
        assert CRASHES_TO_PARK == 3
        for alone in (True, False):
            assert decide(own, NOTHING, alone=alone) == Refuse(
                "3 attempts at it alone left no result in the ledger: the function crashed, or delivered it "
                "and could not write the ledger"
            )
        fewer = replace(own, crashes_alone=CRASHES_TO_PARK - 1)
        assert isinstance(decide(fewer, NOTHING, alone=True), Send)

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("field", ["name", "assistantEmail"])
    def test_an_event_that_would_undo_a_mandatory_field_is_refused(
        self, operation: Operation, field: str
    ) -> None:
        """That field can't be left out; a person sends what still holds."""
        state = delivered(NOTHING, "later", UPDATE, 1, **{field: "another@example.net"})
        step = decide(waiting("own", operation, 0), state, context="a")
        assert isinstance(step, Refuse)
        assert f"another {field}," in step.reason

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize(("minute", "is_refused"), [(-1, True), (0, True), (1, False)])
    def test_an_event_is_refused_if_it_is_no_longer_known_who_has_set_a_field_of_it(
        self, operation: Operation, minute: int, is_refused: bool
    ) -> None:
        """A later event may have, which it would undo. Fields with a setter are no doubt."""
        state = replace(delivered(NOTHING, "other", UPDATE, -2), setters_floor=at(0) * RANKS_A_MS)
        assert isinstance(
            decide(waiting("own", operation, minute), state, context="a"), Refuse if is_refused else Send
        )
        assert isinstance(decide(waiting("own", operation, minute), state), Send)

    def test_an_event_that_is_older_than_128_setters_is_refused_and_a_stop_is_sent(self) -> None:
        """Without the stop, e-mails to a person go on."""
        fields = {f"field {number}": "a" for number in range(99)}
        state = delivered(NOTHING, "first", UPDATE, 1, **fields)
        state = delivered(state, "second", UPDATE, 2, **{f"other {name}": "b" for name in fields})
        assert len(state.setters) == MOST_SETTERS
        assert isinstance(decide(waiting("own", UPDATE, 0), state, context="a"), Refuse)
        assert send(waiting("own", STOP, 0), state, context="a").fields == LEAD | {"context": "a"}


@pytest.mark.parametrize("parked_as", [Outcome.REJECTED, Outcome.UNCONFIRMED, Outcome.RETRY])
@pytest.mark.parametrize("operation", Operation)
def test_a_parked_message_that_comes_back_is_not_parked_again(
    operation: Operation, parked_as: Outcome
) -> None:
    """Its acknowledgement was lost; a person has it already, with this outcome and reason."""
    own = record("own", operation, state=State.PARKED, parked_as=parked_as, reason="wrong", crashes=1)
    assert decide(own, NOTHING) == Skip(parked_as, "wrong")


class TestWaiting:
    """Another event goes first, or none may be beside it."""

    @pytest.mark.parametrize("operation", Operation)
    def test_an_event_over_which_the_function_has_crashed_is_tried_alone(self, operation: Operation) -> None:
        """Then a second crash affects no other event, and is counted for the right one."""
        own = waiting("own", operation, 0, crashes=1)
        step = decide(own, NOTHING)
        assert isinstance(step, Wait)
        assert (step.delay_s, step.alone) == (0, True)
        assert isinstance(decide(own, NOTHING, alone=True), Send)

    @pytest.mark.parametrize("earlier", Operation)
    def test_an_update_waits_for_any_earlier_event(self, earlier: Operation) -> None:
        """It comes back just after that one was due, so that one search of the ledger is enough."""
        step = decide(waiting("own", UPDATE, 1), lead(waiting("earlier", earlier, 0, due_in_s=30)))
        assert step == Wait(31, "waits for an earlier event of its lead")

    @pytest.mark.parametrize("earlier", Operation)
    @pytest.mark.parametrize("known_s", [0, NOW_S])
    def test_a_stop_waits_for_no_event(self, earlier: Operation, known_s: int) -> None:
        """E-mails would go on for as long as that one fails, which may be days."""
        own, other = waiting("own", STOP, 1), waiting("earlier", earlier, 0, unanswered=True)
        assert isinstance(decide(own, lead(other, known_s=known_s)), Send)

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    def test_of_two_events_with_one_key_and_other_content_the_earlier_goes_first(
        self, operation: Operation
    ) -> None:
        """The later one is refused once that is delivered."""
        own, other = waiting("key", operation, 1), waiting("key", operation, 0, digest="other")
        state = lead(own, other)
        assert isinstance(decide(own, state), Wait)
        assert isinstance(decide(other, state), Send)

    def test_an_event_does_not_wait_for_a_parked_one_with_its_key(self) -> None:
        """A person has corrected that one and sent it again."""
        parked = record("own", digest="other", state=State.PARKED, due_s=NOW_S + 30)
        assert isinstance(decide(waiting("own", UPDATE, 1), lead(parked)), Send)

    def test_a_create_waits_for_an_earlier_create(self) -> None:
        """The lead begins with the first."""
        assert isinstance(decide(waiting("own", CREATE, 1), lead(waiting("earlier", CREATE, 0))), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_waits_for_an_update_or_stop_only_if_an_answer_showed_the_lead(
        self, earlier: Operation
    ) -> None:
        """Otherwise both would wait: that event can't be delivered before the lead exists."""
        own, other = waiting("own", CREATE, 1), waiting("earlier", earlier, 0)
        assert isinstance(decide(own, lead(other)), Send)
        assert isinstance(decide(own, lead(other, known_s=NOW_S)), Wait)

    @pytest.mark.parametrize("earlier", [UPDATE, STOP])
    def test_a_create_does_not_wait_for_an_event_that_waits_for_its_lead(self, earlier: Operation) -> None:
        """7Targets answered 404 to that event, whatever the ledger knows."""
        other = waiting("earlier", earlier, 0, unknown_since_s=NOW_S)
        assert isinstance(decide(waiting("own", CREATE, 1), lead(other, known_s=NOW_S - 10)), Send)

    def test_a_create_waits_if_an_answer_showed_the_lead_after_another_was_parked_without_it(self) -> None:
        """The lead is there now, so the earlier update can be delivered first."""
        parked = record("parked", state=State.PARKED, unknown_since_s=NOW_S - 9_000, updated_s=NOW_S - 5_000)
        state = lead(parked, waiting("earlier", UPDATE, 0), known_s=NOW_S)
        assert isinstance(decide(waiting("own", CREATE, 1), state), Wait)

    @pytest.mark.parametrize("own", Operation)
    @pytest.mark.parametrize("minute", [1, 2])
    def test_no_event_waits_for_one_of_the_same_time_or_a_later_one(
        self, own: Operation, minute: int
    ) -> None:
        """Two that wait for each other would wait for ever."""
        state = lead(waiting("other", UPDATE, minute), known_s=NOW_S)
        assert isinstance(decide(waiting("own", own, 1), state), Send)

    def test_no_event_waits_for_itself(self) -> None:
        """A copy that was sent later finds it among the open ones."""
        own = waiting("own", UPDATE, 0)
        assert isinstance(decide(replace(own, order_ms=at(1)), lead(own)), Send)

    def test_no_event_waits_for_one_that_is_parked(self) -> None:
        """It may stay there for days."""
        other = waiting("other", CREATE, 0, state=State.PARKED)
        assert isinstance(decide(waiting("own", UPDATE, 1), lead(other)), Send)

    def test_an_event_that_is_overdue_is_waited_for_a_while(self) -> None:
        """Its message may be under way; after a visibility timeout a person may have removed it."""
        own = waiting("own", UPDATE, 1)
        assert decide(own, lead(waiting("other", UPDATE, 0, due_in_s=0))) == Wait(
            1, "waits for an earlier event of its lead"
        )
        for late_s in (1, OVERDUE_S - 1):
            step = decide(own, lead(waiting("other", UPDATE, 0, due_in_s=-late_s)))
            assert isinstance(step, Wait)
            assert step.delay_s == OVERDUE_CHECKED_AFTER_S
        assert isinstance(decide(own, lead(waiting("other", UPDATE, 0, due_in_s=-OVERDUE_S))), Send)

    def test_with_a_longer_visibility_timeout_it_is_waited_for_longer(self) -> None:
        """After a crash, or when its delay could not be set, a message comes back only then."""
        own, other = waiting("own", UPDATE, 1), waiting("other", UPDATE, 0, due_in_s=-OVERDUE_S)
        key = IdempotencyKey(own.key, own.digest, from_content=False)
        step = next_call(lead(other), own, key, LEAD, NOW_S, WINDOW_S, OVERDUE_S + 1, alone=False)
        assert isinstance(step, Wait)

    def test_the_one_that_is_due_last_says_when_to_come_back(self) -> None:
        """All earlier ones have to be through."""
        others = [waiting(f"other {due}", UPDATE, 0, due_in_s=due) for due in (10, 500, -100)]
        step = decide(waiting("own", UPDATE, 1), lead(*others))
        assert isinstance(step, Wait)
        assert step.delay_s == 501


class TestFieldsThatALaterEventHasSet:
    """An event that is delivered late leaves them out."""

    @pytest.mark.parametrize("operation", Operation)
    def test_they_are_left_out_and_the_others_are_sent(self, operation: Operation) -> None:
        """The mandatory fields go along, because each call needs them."""
        state = delivered(NOTHING, "later", UPDATE, 1, context="b", shoeSize="9")
        own = waiting("own", operation, 0)
        assert send(own, state, context="a", shoeSize="8", phone="1").fields == LEAD | {"phone": "1"}

    def test_an_old_update_that_arrives_last_sets_only_what_no_later_one_has_set(self) -> None:
        """However many came between."""
        state = delivered(NOTHING, "create", CREATE, 0, context="0")
        for minute in range(2, 30):
            state = delivered(state, f"update {minute}", UPDATE, minute, context=f"{minute}")
        assert send(waiting("own", UPDATE, 1), state, context="1", phone="1").fields == LEAD | {"phone": "1"}

    @pytest.mark.parametrize(
        ("asked", "set_later"), [("scheduleId", "scheduleName"), ("scheduleName", "scheduleId")]
    )
    def test_a_sequence_is_one_field_with_two_names(self, asked: str, set_later: str) -> None:
        """At 7Targets the id wins over the name, so an older id would undo a newer name."""
        state = delivered(NOTHING, "later", UPDATE, 1, **{set_later: "7"})
        step = send(waiting("own", UPDATE, 0), state, **{asked: "5", "context": "a"})
        assert step.fields == LEAD | {"context": "a"}

    @pytest.mark.parametrize("minute", [0, -1])
    def test_an_event_of_the_same_time_or_an_earlier_one_takes_nothing_away(self, minute: int) -> None:
        """Own fields win."""
        state = delivered(NOTHING, "other", UPDATE, minute, context="b")
        assert send(waiting("own", UPDATE, 0), state, context="a").fields["context"] == "a"

    def test_a_later_stop_leaves_no_sequence_to_start(self) -> None:
        """An earlier event's sequence would start the e-mails again; its other fields are sent."""
        state = delivered(NOTHING, "stop", STOP, 1)
        step = send(waiting("own", CREATE, 0), state, scheduleName="Warm", context="a")
        assert step.fields == LEAD | {"context": "a"}

    def test_a_create_that_is_redriven_a_day_after_a_stop_is_sent_as_put_without_its_sequence(self) -> None:
        """A POST would restart the e-mails to a person who was to get none."""
        state = delivered(NOTHING, "stop", STOP, 24 * 60)
        assert send(waiting("own", CREATE, 0), state, scheduleName="Warm") == Send(
            LEAD, may_exist=True, needs_mails=False
        )

    def test_a_mandatory_field_that_only_a_stop_followed_is_sent(self) -> None:
        """A stop sets no name, so the event's own one is not set yet."""
        state = delivered(NOTHING, "stop", STOP, 1)
        assert send(waiting("own", UPDATE, 0), state, scheduleName="Warm", name="Janet").fields == LEAD | {
            "name": "Janet"
        }

    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    @pytest.mark.parametrize("lead_id", [None, 2345])
    @pytest.mark.parametrize("name", ["Janet", LEAD["name"]])
    def test_an_event_of_which_nothing_is_left_is_superseded(
        self, operation: Operation, lead_id: int | None, name: str
    ) -> None:
        """The id names the lead, and is nothing to set."""
        state = delivered(NOTHING, "later", UPDATE, 1, name=name, context="b", scheduleName="Warm")
        assert decide(waiting("own", operation, 0), state, context="a", id=lead_id) == SUPERSEDED

    def test_a_stop_is_sent_even_then(self) -> None:
        """Without it e-mails to a person go on; its name only says which lead is meant."""
        state = delivered(NOTHING, "later", UPDATE, 1, name="Janet", scheduleName="Warm")
        assert send(waiting("own", STOP, 0), state).fields == LEAD

    def test_the_last_of_several_later_values_counts(self) -> None:
        """The lead has its old name again, so nothing is undone."""
        state = delivered(delivered(NOTHING, "there", UPDATE, 1, name="Janet"), "back", UPDATE, 2)
        assert send(waiting("own", UPDATE, 0), state, phone="1").fields == LEAD | {"phone": "1"}

    def test_the_case_of_the_address_makes_no_other_value(self) -> None:
        """One address in upper and lower case is one lead, and its name is the same."""
        state = delivered(NOTHING, "later", UPDATE, 1, email="JANE@EXAMPLE.COM")
        assert isinstance(decide(waiting("own", UPDATE, 0), state, context="a"), Send)

    def test_what_a_producer_names_freely_is_kept_as_a_hash(self) -> None:
        """A field's name may be anything, an address too; values are kept as fingerprints."""
        state = delivered(NOTHING, "own", UPDATE, 0, context="secret", **{"jane@example.com": "secret"})
        assert not [word for word in ("jane", "Jane", "secret", "sam@") if word in repr(state.setters)]
        assert {"name", "assistantEmail", "context"} < set(state.setters)
        assert len(state.setters) == 4

    def test_a_setter_of_a_later_event_stays(self) -> None:
        """The mandatory fields go along with each call, whoever has set them last."""
        state = delivered(NOTHING, "later", UPDATE, 1, context="b")
        own = waiting("own", UPDATE, 0)
        setters = setters_of(state, own, lead_of({"phone": "1"}))
        assert set(setters) == {"phone"}


class TestWhetherTheLeadMayExist:
    """What makes a create find out first."""

    def test_a_create_of_a_lead_of_which_nothing_is_known_is_posted(self) -> None:
        """With all of its fields."""
        own = waiting("own", CREATE, 0)
        assert decide(own, NOTHING, phone="1") == Send(
            LEAD | {"phone": "1"}, may_exist=False, needs_mails=True
        )

    @pytest.mark.parametrize(
        ("before_s", "may_exist"),
        [(-1, True), (WINDOW_S, True), (WINDOW_S + CLOCK_SKEW_S - 1, True), (WINDOW_S + CLOCK_SKEW_S, False)],
    )
    def test_a_lead_that_an_answer_showed_may_exist_until_the_window_ends(
        self, before_s: int, may_exist: bool
    ) -> None:
        """From the answer to the sending of the create, by two clocks; months later a POST is meant."""
        own = waiting("own", CREATE, -(10**5))
        state = lead(known_s=own.order_ms // 1000 - before_s)
        assert send(own, state).may_exist is may_exist

    @pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
    def test_a_lead_may_exist_after_a_create_without_an_answer(self, state: State) -> None:
        """Whichever event's it was, and even if a person has it by now."""
        other = record("other", CREATE, state=state, unanswered=True)
        assert send(waiting("own", CREATE, -(10**5)), lead(other)).may_exist

    @pytest.mark.parametrize(("later_s", "may_exist"), [(-1, True), (0, False), (1, False)])
    def test_a_create_without_an_answer_is_no_doubt_once_an_answer_showed_the_lead(
        self, later_s: int, may_exist: bool
    ) -> None:
        """Then the window counts, as for any lead: a second webinar's create is POSTed."""
        other = record("other", CREATE, state=State.PARKED, unanswered=True)
        state = lead(other, known_s=other.updated_s + later_s)
        assert send(waiting("own", CREATE, 10**5), state).may_exist is may_exist

    @pytest.mark.parametrize("unanswered", [True, False])
    def test_an_event_says_whether_anything_has_touched_the_lead_s_sequence(self, unanswered: bool) -> None:
        """If not, a create that is sent as an update starts no e-mails."""
        own = waiting("own", CREATE, 0, unanswered=unanswered)
        updated = delivered(NOTHING, "update", UPDATE, 1, phone="1")
        for state in (NOTHING, updated):
            assert send(own, state, context="a").needs_mails is not unanswered
        assert not send(own, delivered(updated, "stop", STOP, 1), context="a").needs_mails
        assert not send(waiting("own", UPDATE, 0), NOTHING, context="a").needs_mails

    def test_a_stop_that_is_open_counts_as_well(self) -> None:
        """It may have ended the e-mails already, so nothing is wrong with a create whose lead gets none."""
        state = lead(waiting("stop", STOP, -1, due_in_s=-OVERDUE_S), known_s=NOW_S)
        assert not send(waiting("own", CREATE, 0), state).needs_mails

    @pytest.mark.parametrize(
        ("minute", "more", "is_sent"),
        [
            (1, {}, False),
            (-1, {}, True),
            (1, {"state": State.PARKED}, True),
            (1, {"state": State.PARKED, "unanswered": True}, False),
        ],
        ids=["waits", "sent before", "parked", "parked without an answer"],
    )
    @pytest.mark.parametrize("operation", [CREATE, UPDATE])
    def test_an_event_starts_no_sequence_that_a_later_stop_is_to_end(
        self, operation: Operation, minute: int, more: dict[str, Any], is_sent: bool
    ) -> None:
        """Or may have ended, though it has no answer."""
        stop = waiting("stop", STOP, minute, due_in_s=-OVERDUE_S, **more)
        state = lead(stop, known_s=NOW_S)
        step = send(waiting("own", operation, 0), state, scheduleName="Warm", context="a")
        assert ("scheduleName" in step.fields) is is_sent

    def test_a_create_that_is_posted_has_its_sequence_though_a_later_stop_waits(self) -> None:
        """Without it the POST would start another one."""
        state = lead(waiting("stop", STOP, 1))
        assert "scheduleName" in send(waiting("own", CREATE, 0), state, scheduleName="Warm").fields

    def test_a_create_is_superseded_only_if_something_has_touched_the_lead_s_sequence(self) -> None:
        """An update that overtook it has set its fields, but started no e-mails."""
        own, updated = waiting("own", CREATE, 0), delivered(NOTHING, "update", UPDATE, 1)
        assert send(own, updated) == Send(LEAD, may_exist=True, needs_mails=True)
        assert decide(waiting("own", UPDATE, 0), updated) == SUPERSEDED
        assert decide(own, delivered(updated, "stop", STOP, 2)) == SUPERSEDED

    def test_a_lead_may_exist_after_the_own_request_without_an_answer(self) -> None:
        """No blind repeat."""
        assert send(waiting("own", CREATE, 0, unanswered=True), NOTHING).may_exist

    def test_a_lead_may_exist_once_a_create_was_forgotten(self) -> None:
        """It may be the very one."""
        assert send(waiting("own", CREATE, 10**8), lead(has_forgotten=True)).may_exist

    @pytest.mark.parametrize(("operation", "may_exist"), [(UPDATE, False), (STOP, True), (None, False)])
    def test_of_other_operations_only_a_stop_without_an_answer_makes_a_create_find_out(
        self, operation: Operation | None, may_exist: bool
    ) -> None:
        """None creates a lead; but a POST would undo a stop of a lead that 7Targets had from elsewhere."""
        other = record("other", operation, state=State.PARKED, unanswered=True)
        assert send(waiting("own", CREATE, 0), lead(other)).may_exist is may_exist


NEAR_NOW = st.integers(-2 * OVERDUE_S, 2 * OVERDUE_S).map(lambda seconds: NOW_S + seconds)
ORDERS = st.integers(-20, 20).map(at)
VALUES = st.dictionaries(
    st.sampled_from(("name", "assistantEmail", "context", "phone", "scheduleId", "scheduleName", "shoeSize")),
    st.sampled_from("ab"),
)
DIGESTS = st.sampled_from([DIGEST, "other"])
EVENTS = any_record(
    key=st.sampled_from("abcde"),
    digest=DIGESTS,
    operation=st.sampled_from(Operation),
    state=st.sampled_from([State.WAITING, State.PARKED]),
    order_ms=ORDERS,
    due_s=NEAR_NOW,
    unknown_since_s=st.sampled_from([0, NOW_S]),
    crashes_alone=st.integers(0, CRASHES_TO_PARK),
    parked_as=st.sampled_from([Outcome.REJECTED, Outcome.UNCONFIRMED]),
)


@st.composite
def states(draw: st.DrawFn) -> LeadState:
    """A lead with up to five open events and some delivered ones, within minutes of each other."""
    state = NOTHING
    for order_ms, operation, fields in draw(
        st.lists(st.tuples(ORDERS, st.sampled_from(Operation), VALUES), max_size=4)
    ):
        minute = (order_ms - at(0)) / 60_000
        state = delivered(state, draw(st.sampled_from("abcdefgh")), operation, minute, **fields)
    opened = draw(st.lists(EVENTS, max_size=5, unique_by=lambda event: (event.key, event.digest)))
    return replace(
        state,
        known_s=draw(st.just(0) | NEAR_NOW | NEAR_NOW.map(lambda second: second - WINDOW_S)),
        has_forgotten=draw(st.booleans()),
        setters_floor=draw(st.just(0) | ORDERS.map(lambda order_ms: order_ms * RANKS_A_MS)),
        open=tuple(opened),
    )


def next_of(
    state: LeadState, own: EventRecord, fields: Mapping[str, Json], *, now_s: int = NOW_S
) -> NextCall:
    """What to do with an event, tried alone."""
    key = IdempotencyKey(own.key, own.digest, from_content=own.is_create)
    return next_call(state, own, key, lead_of(fields), now_s, WINDOW_S, OVERDUE_S, alone=True)


@given(states(), EVENTS, VALUES)
def test_any_state_has_a_next_call_and_only_a_lead_in_doubt_is_not_posted(
    state: LeadState, own: EventRecord, fields: Mapping[str, Json]
) -> None:
    """No state raises; after a create without an answer, or a forgotten one, no create is POSTed."""
    step = next_of(state, own, fields)
    assert isinstance(step, Skip | Wait | Refuse | Send)
    in_doubt = any(state.leaves_doubt(each) for each in (*state.open, own)) or state.has_forgotten
    if isinstance(step, Send):
        assert step.may_exist or not in_doubt
        assert set(MANDATORY) <= set(step.fields)
        assert step.fields.items() <= lead_of(fields).items()


@given(states(), EVENTS, VALUES)
def test_all_fields_that_no_later_event_has_set_are_sent(
    state: LeadState, own: EventRecord, fields: Mapping[str, Json]
) -> None:
    """Nothing that was asked for is dropped without a later event that has set it, too."""
    step = next_of(state, own, fields)
    if isinstance(step, Send):
        of_the_sequence = {"scheduleId", "scheduleName"}
        dropped = {
            SEQUENCE if name in of_the_sequence else name for name in fields if name not in step.fields
        }
        known = {name for name in dropped if name != "shoeSize"}
        if any(each.operation is STOP and each.order_ms > own.order_ms for each in state.open):
            known -= {SEQUENCE}
        assert all(state.setters[name].rank >= own.order_ms * RANKS_A_MS for name in known)


def moved(state: LeadState, by_s: int) -> LeadState:
    """The same lead, with everything that happened so many seconds later."""
    by_ms = by_s * 1000
    finals: dict[str, Final] = {
        key: replace(each, order_ms=each.order_ms + by_ms) for key, each in state.finals.items()
    }
    return replace(
        state,
        known_s=state.known_s and state.known_s + by_s,
        setters={
            name: Setter(each.rank + by_ms * RANKS_A_MS, each.value) for name, each in state.setters.items()
        },
        setters_floor=state.setters_floor and state.setters_floor + by_ms * RANKS_A_MS,
        begun_ms=state.begun_ms and state.begun_ms + by_ms,
        finals=finals,
        open=tuple(moved_event(each, by_s) for each in state.open),
    )


def moved_event(event: EventRecord, by_s: int) -> EventRecord:
    """The same event, so many seconds later."""
    return replace(
        event,
        order_ms=event.order_ms + by_s * 1000,
        due_s=event.due_s + by_s,
        unknown_since_s=event.unknown_since_s and event.unknown_since_s + by_s,
        updated_s=event.updated_s + by_s,
    )


@given(states(), EVENTS, VALUES, st.integers(-(10**8), 10**8))
def test_only_the_times_between_events_matter(
    state: LeadState, own: EventRecord, fields: Mapping[str, Json], by_s: int
) -> None:
    """What is decided at one time is decided at any other."""
    later = next_of(moved(state, by_s), moved_event(own, by_s), fields, now_s=NOW_S + by_s)
    assert later == next_of(state, own, fields)


@given(states(), EVENTS, VALUES, st.integers(0, 10**6))
def test_an_outage_changes_what_is_waited_for_and_nothing_else(
    state: LeadState, own: EventRecord, fields: Mapping[str, Json], outage_s: int
) -> None:
    """Orders and windows are between the times at which events were sent."""
    step, later = (next_of(state, own, fields, now_s=NOW_S + late_s) for late_s in (0, outage_s))
    assert later == step or isinstance(step, Wait)


KINDS: tuple[dict[str, Any], ...] = (
    {"operation": CREATE},
    {"operation": CREATE, "unanswered": True},
    {"operation": UPDATE},
    {"operation": STOP, "unknown_since_s": NOW_S},
    {"operation": UPDATE, "digest": "other"},
)


@pytest.mark.parametrize("known_s", [0, NOW_S])
def test_of_three_events_that_wait_at_least_one_may_go(known_s: int) -> None:
    """If each waited for another, they would wait until SQS drops them. All kinds, in all orders."""
    for kinds, minutes in product(product(KINDS, repeat=3), product((0, 6, 12), repeat=3)):
        events = [
            waiting(f"event {index}", minute=minute, **kind)
            for index, (kind, minute) in enumerate(zip(kinds, minutes, strict=True))
        ]
        state = lead(*events, known_s=known_s)
        assert not all(isinstance(next_of(state, own, {}), Wait) for own in events), events


@given(states())
def test_events_never_wait_in_a_circle(state: LeadState) -> None:
    """One that was sent first waits for no other."""
    if state.open:
        first = min(state.open, key=lambda each: each.order_ms)
        assert not isinstance(next_of(state, first, {}), Wait)


@given(states(), EVENTS)
def test_a_wait_ends(state: LeadState, own: EventRecord) -> None:
    """It lasts until the last earlier event is due, and at most 15 minutes more."""
    end_s = max((event.due_s for event in state.open), default=0) + OVERDUE_S
    step = next_of(state, own, {})
    if isinstance(step, Wait):
        assert 1 <= step.delay_s <= max(OVERDUE_CHECKED_AFTER_S, end_s - OVERDUE_S + 1 - NOW_S)
    assert not isinstance(next_of(state, own, {}, now_s=end_s), Wait)


ASKED = st.tuples(st.sampled_from([CREATE, UPDATE]), VALUES)


@given(st.lists(ASKED, min_size=2, max_size=6), st.data())
def test_no_field_is_set_back_by_an_earlier_event_whatever_the_order_of_deliveries(
    asked: list[tuple[Operation, dict[str, Json]]], data: st.DataObject
) -> None:
    """Each field ends with the value of the last event that asked for it and was not refused.

    Copies of events, and of events that were forgotten, change nothing.
    """
    deliveries = data.draw(st.lists(st.sampled_from(range(len(asked))), min_size=2, max_size=12))
    state, at_7targets, done = NOTHING, dict[str, Json](), set[int]()
    for number in deliveries:
        operation, fields = asked[number]
        own = waiting(f"{number}", operation, number)
        step = next_of(state, own, fields)
        if not isinstance(step, Refuse):
            done.add(number)
        if isinstance(step, Send):
            at_7targets |= by_entry(step.fields)
            setters = setters_of(state, own, step.fields)
            state = state.with_final(replace(own, state=State.DELIVERED), setters, oldest_s=0)
        if data.draw(st.booleans()):
            state = replace(state, finals={})
    wanted: dict[str, Json] = {}
    for number in sorted(done):
        wanted |= by_entry(lead_of(asked[number][1]))
    assert at_7targets == wanted


def by_entry(fields: Mapping[str, Json]) -> dict[str, Json]:
    """The fields, with those of the sequence as one."""
    both = ("scheduleId", "scheduleName")
    own = {name: value for name, value in fields.items() if name not in both}
    sequence: list[Json] = [fields.get(name) for name in both]
    return own | ({SEQUENCE: sequence} if any(name in fields for name in both) else {})


class TestWhatAnEventHasSet:
    """The entries that an answer with the lead changes."""

    def test_only_the_fields_that_were_sent_are_set(self) -> None:
        """A later event has set the others."""
        asked = lead_of({"context": "a", "phone": "1"})
        sent = {name: value for name, value in asked.items() if name != "context"}
        set_by = setters_of(LeadState(), record("own", UPDATE), sent)
        assert set(set_by) == {"name", "assistantEmail", "phone"}

    def test_a_stop_sets_the_sequence_alone(self) -> None:
        """Its other fields only name the lead."""
        lead = lead_of({})
        assert set(setters_of(LeadState(), record("own", STOP), lead)) == {SEQUENCE}

    def test_a_create_sets_the_sequence_even_if_it_names_none(self) -> None:
        """It starts the assistant's default one; whatever names or stops one wins over that."""
        state = delivered(NOTHING, "create", CREATE, 1)
        assert state.setters[SEQUENCE] == Setter(0)
        assert "scheduleName" in send(waiting("own", UPDATE, 0), state, scheduleName="Warm").fields

    def test_a_create_that_names_no_sequence_leaves_a_stop_in_its_place(self) -> None:
        """Nothing shows for certain that it was POSTed, and an older update must not start e-mails again."""
        state = delivered(delivered(NOTHING, "stop", STOP, 1), "create", CREATE, 2)
        step = send(waiting("own", UPDATE, 0), state, scheduleName="Warm", context="a")
        assert "scheduleName" not in step.fields


class TestAnUpdateThatWasSentBeforeItsCreate:
    """A bus doesn't keep the order in which the two are published."""

    def begun(self, unknown_since_s: int = NOW_S, known_s: int = 0) -> LeadState:
        """A lead that began with a create sent at the order 1,000,000, while an update waited."""
        asked, waits = lead_of({"phone": "1"}), record("waits", unknown_since_s=unknown_since_s)
        created = record("create", CREATE, order_ms=1_000_000)
        state = LeadState(open=(waits,), known_s=known_s).begun_by(created)
        setters = setters_of(state, created, asked)
        return replace(state.with_final(created, setters, oldest_s=0), known_s=NOW_S + 1)

    @pytest.mark.parametrize(
        ("order_ms", "unknown_since_s", "known_s", "wins"),
        [
            (999_999, NOW_S, 0, True),
            (100_001, NOW_S, NOW_S - 1, True),
            (100_000, NOW_S, 0, False),
            (999_999, 0, 0, False),
            (999_999, NOW_S, NOW_S, False),
        ],
        ids=["just before", "unknown again", "long before", "not called unknown", "shown since"],
    )
    def test_its_fields_win_if_7targets_had_called_the_lead_unknown(
        self, order_ms: int, unknown_since_s: int, known_s: int, wins: bool
    ) -> None:
        """There was no lead yet that it could have meant, whether or not it is the update that came then."""
        state = self.begun(unknown_since_s, known_s)
        step = send(record("update", order_ms=order_ms), state, phone="2", company="Acme")
        assert ("phone" in step.fields) is wins

    def test_of_two_such_updates_the_later_one_wins_and_an_earlier_create_does_not(self) -> None:
        """Whichever is delivered first."""
        state, later = self.begun(), record("later", order_ms=999_500)
        state = state.with_final(later, setters_of(state, later, lead_of({"phone": "3"})), oldest_s=0)
        for own in (record("earlier", order_ms=999_499), record("other", CREATE, order_ms=999_900)):
            assert "phone" not in send(own, state, phone="2", company="Acme").fields

    def test_an_event_sent_after_the_create_wins_over_such_an_update(self) -> None:
        """The update counts as sent just after the create, and not later."""
        state, early = self.begun(), record("early", order_ms=999_999)
        state = state.with_final(early, setters_of(state, early, lead_of({"phone": "3"})), oldest_s=0)
        for operation in (UPDATE, CREATE):
            own = record("own", operation, order_ms=1_000_001)
            assert "phone" in send(own, state, phone="2", company="Acme").fields

    def test_the_copy_of_such_a_stop_is_one_unless_the_sequence_was_set_between_the_two(self) -> None:
        """The stop has its place after the create, too."""
        state, stop = self.begun(), record("stop", STOP, order_ms=999_000)
        state = state.with_final(stop, setters_of(state, stop, LEAD), oldest_s=0)
        assert decide(record("stop", STOP, order_ms=999_500), state) == COPY
        renewed = state.with_copy(record("stop", STOP, order_ms=999_500))
        own = record("update", order_ms=999_400)
        assert "scheduleName" not in send(own, renewed, scheduleName="Warm", company="Acme").fields
        assert "scheduleName" in send(own, state, scheduleName="Warm", company="Acme").fields

    def test_a_stop_outranks_a_sequence_that_a_later_create_started_without_naming_one(self) -> None:
        """An event from before the stop may not start the e-mails again, in whatever order the three come."""
        asked = lead_of({})
        created, stop = record("create", CREATE, order_ms=3), record("stop", STOP, order_ms=2)
        state = LeadState().with_final(created, setters_of(LeadState(), created, asked), oldest_s=0)
        state = state.with_final(stop, setters_of(state, stop, asked), oldest_s=0)
        own = record("update", order_ms=1)
        assert "scheduleName" not in send(own, state, scheduleName="Webinar", company="Acme").fields

    def test_a_parked_event_with_a_used_key_is_no_copy_of_the_delivered_one(self) -> None:
        """Its own copies are acknowledged as parked, and not as duplicates."""
        own = replace(parked_with_other_content(), reason="used before")
        state = LeadState(finals={"own": final()}, open=(own,))
        assert decide(own, state) == Skip(Outcome.REJECTED, "used before")


def parked_with_other_content() -> EventRecord:
    """An event that was parked because its key was used before."""
    return record("own", digest="other", state=State.PARKED, parked_as=Outcome.REJECTED)
