"""The table of `after_call`, row by row with the edges of each."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.after_call import (
    LAST_AGE_S,
    LAST_RECEIVE,
    Verdict,
    delivered,
    failed,
    is_old,
    judge,
    longest_delay_with_open_claim_s,
    not_delivered,
    superseded,
)
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import LONGEST_REASON, EventRecord, LeadState, Setter, State
from deliver_leads.outcome import (
    BlockedError,
    BreakerOpenError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    LedgerError,
    Outcome,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UndecidedError,
    UnknownLeadError,
)
from deliver_leads.settings import Settings
from tests.lead_records import SEEN_S, record
from tests.settings import ENVIRONMENT

CREATE, UPDATE = Operation.CREATE, Operation.UPDATE
SETTINGS = Settings.from_environment(ENVIRONMENT)
OVERDUE_S = SETTINGS.visibility_timeout_s
GRACE_S = SETTINGS.update_grace_s
LONGEST_PROBE_S = 300
OWN = record("own")
TURNED_AWAY = RetryError("503")
UNANSWERED = UnconfirmedError("no answer in time")
UNKNOWN = UnknownLeadError("answered 404", detail="Lead not found", status=404)
NOT_TRIED = DeferredError("waits for an earlier event of its lead", delay_s=7)
BREAKER_OPEN = BreakerOpenError("the API is down")
LEDGER_FAILED = LedgerError("ThrottlingException")
UNDECIDED = UndecidedError("another sequence")
REJECTED = RejectedError("422")
BLOCKED = BlockedError("the credentials are wrong", status=401)
NOTHING_WAS_SENT = [NOT_TRIED, LEDGER_FAILED]
ATTEMPTS_FAILED = [TURNED_AWAY, UNANSWERED, UNKNOWN, BREAKER_OPEN, BLOCKED]


def message(age_s: float = 0, receive_count: int = 1) -> Message:
    """The event's message, sent so long ago."""
    return Message("message-1", "receipt", "{}", receive_count, round((SEEN_S - age_s) * 1000))


def verdict(
    error: DeliveryError, own: EventRecord | None = OWN, age_s: float = 0, receive_count: int = 1, **more: Any
) -> Verdict:
    """What becomes of an event of this age, without jitter."""
    settings = replace(SETTINGS, **more)
    return judge(error, own, message(age_s, receive_count), SEEN_S, settings, LONGEST_PROBE_S, jitter=0)


class TestAnEventThatIsDone:
    """The first two rows."""

    def test_an_answer_that_shows_the_lead_makes_it_final(self) -> None:
        """Nothing is left of its failures; the lead is known by its id, as of now."""
        own = record("own", CREATE, unanswered=True, due_s=1, unknown_since_s=1, crashes=2, crashes_alone=1)
        state = LeadState(open=(own, other := record("other")))
        setters = {"name": Setter(0, "value")}
        lead = DeliveredLead(4711, "Cold", 201)
        settings = replace(SETTINGS, ledger_s=SEEN_S + 100)
        after = delivered(state, own, setters, lead, SEEN_S + 9, settings)
        assert (after.lead_id, after.known_s) == ("4711", SEEN_S + 9)
        assert (after.open, after.setters) == ((other,), setters)
        assert (after.finals["own"].state, after.finals["own"].is_create) == (State.DELIVERED, True)
        [shown] = after.shown
        assert shown == record(
            "own",
            CREATE,
            state=State.DELIVERED,
            attempts=1,
            updated_s=SEEN_S + 9,
            digest="",
            sent_s=0,
        )

    def test_what_later_events_have_set_is_superseded(self) -> None:
        """No call was made, so nothing shows the lead anew."""
        state = LeadState("7", 5, open=(OWN,))
        settings = replace(SETTINGS, ledger_s=SEEN_S + 100)
        after = superseded(state, OWN, "later events have set all", SEEN_S, settings)
        assert (after.lead_id, after.known_s, after.open) == ("7", 5, ())
        assert after.finals["own"].state is State.SUPERSEDED
        assert (after.shown[-1].reason, after.shown[-1].attempts) == ("later events have set all", 0)

    def test_finals_older_than_the_ledgers_time_go(self) -> None:
        """That is as long as keys are remembered."""
        lead = DeliveredLead(4711, "Cold", 201)
        oldest_ms = (SEEN_S - SETTINGS.ledger_s) * 1000
        state = LeadState()
        for order_ms in (oldest_ms - 1, oldest_ms, SEEN_S * 1000):
            state = delivered(state, record(f"{order_ms}", order_ms=order_ms), {}, lead, SEEN_S, SETTINGS)
        assert set(state.finals) == {f"{oldest_ms}", f"{SEEN_S * 1000}"}


def fail(
    error: DeliveryError,
    own: EventRecord = OWN,
    *open_events: EventRecord,
    was_unknown: bool = False,
    last_success_s: float = SEEN_S,
) -> tuple[EventRecord, DeliveryError]:
    """The event after its calls have ended so just now."""
    state = LeadState(open=open_events)
    return failed(state, own, error, was_unknown, SEEN_S, last_success_s, SETTINGS)


class TestWhatACallThatFailedMeans:
    """Of its request, and of its lead."""

    @pytest.mark.parametrize("error", [TURNED_AWAY, UNANSWERED, UNKNOWN, BLOCKED, REJECTED, UNDECIDED])
    def test_each_counts_as_an_attempt(self, error: DeliveryError) -> None:
        """People read it."""
        assert fail(error)[0].attempts == OWN.attempts + 1

    def test_a_request_without_an_answer_is_remembered(self) -> None:
        """It may have taken effect."""
        assert fail(UNANSWERED) == (replace(OWN, attempts=1, unanswered=True), UNANSWERED)

    @pytest.mark.parametrize("error", [TURNED_AWAY, BLOCKED, REJECTED])
    def test_an_answer_to_a_later_request_says_nothing_of_it(self, error: DeliveryError) -> None:
        """Only a 404 does."""
        own = replace(OWN, unanswered=True)
        assert fail(error, own) == (replace(own, attempts=1), error)

    @pytest.mark.parametrize(
        ("error", "was_unknown"), [(UNKNOWN, False), (TURNED_AWAY, True), (REJECTED, True)]
    )
    def test_a_404_shows_that_it_left_no_trace(self, error: DeliveryError, was_unknown: bool) -> None:
        """Be it the answer to the update that asks for the lead, or to the event's own."""
        own, _ = fail(error, replace(OWN, unanswered=True), was_unknown=was_unknown)
        assert not own.unanswered

    def test_a_post_without_an_answer_after_a_404_is_remembered(self) -> None:
        """The 404 was before it."""
        assert fail(UNANSWERED, was_unknown=True)[0].unanswered


class TestALeadThat7TargetsDoesNotKnow:
    """404 to an update or stop."""

    def test_within_the_grace_period_it_waits_for_its_create(self) -> None:
        """The period begins with the first 404."""
        own, error = fail(UNKNOWN)
        assert (own.unknown_since_s, error) == (SEEN_S, UNKNOWN)
        again = replace(OWN, unknown_since_s=SEEN_S - GRACE_S + 1, due_s=SEEN_S)
        assert fail(UNKNOWN, again) == (replace(again, attempts=1), UNKNOWN)

    def test_later_it_is_rejected(self) -> None:
        """In words for the person who finds it; 7Targets' own go into the dead letter only."""
        own = replace(OWN, unknown_since_s=SEEN_S - GRACE_S, due_s=SEEN_S)
        _, error = fail(UNKNOWN, own)
        assert isinstance(error, RejectedError)
        assert error.summary == (
            "answered 404: 7Targets doesn't know this lead, and no create came within the grace period"
        )
        assert error.detail.startswith("Lead not found (")
        assert error.status == 404

    def test_an_outage_in_between_begins_the_period_anew(self) -> None:
        """It held up the event's create as well."""
        first_s = SEEN_S - 9 * GRACE_S
        on_time = replace(OWN, unknown_since_s=first_s, due_s=SEEN_S - OVERDUE_S)
        assert isinstance(fail(UNKNOWN, on_time)[1], RejectedError)
        own, error = fail(UNKNOWN, replace(on_time, due_s=on_time.due_s - 1))
        assert (own.unknown_since_s, error) == (SEEN_S, UNKNOWN)

    def test_it_waits_as_long_as_a_create_waits(self) -> None:
        """An outage may hold that up for hours; but not for one that is overdue, which may be gone."""
        own = replace(OWN, unknown_since_s=SEEN_S - GRACE_S, due_s=SEEN_S)
        create = record("create", CREATE, due_s=SEEN_S - OVERDUE_S + 1)
        assert fail(UNKNOWN, own, create)[1] is UNKNOWN
        for other in (replace(create, due_s=SEEN_S - OVERDUE_S), replace(create, operation=UPDATE)):
            assert isinstance(fail(UNKNOWN, own, other)[1], RejectedError)

    def test_behind_a_parked_create_its_reason_says_so(self) -> None:
        """A person who sends only the update again would park it again."""
        own = replace(OWN, unknown_since_s=SEEN_S - GRACE_S, due_s=SEEN_S)
        _, error = fail(UNKNOWN, own, record("create", CREATE, state=State.PARKED))
        assert isinstance(error, RejectedError)
        assert "its create is parked: send that again first" in error.summary

    @pytest.mark.parametrize(("success_s", "is_blocked"), [(-1, True), (0, True), (1, False)])
    def test_if_nothing_was_taken_since_the_address_of_the_api_is_to_blame(
        self, success_s: int, is_blocked: bool
    ) -> None:
        """A wrong leadsApiUrl answers 404 to every lead; none may be parked for that."""
        since_s = SEEN_S - GRACE_S
        own = replace(OWN, unknown_since_s=since_s, due_s=SEEN_S)
        _, error = fail(UNKNOWN, own, last_success_s=since_s + success_s)
        assert isinstance(error, BlockedError) is is_blocked
        if is_blocked:
            assert "leadsApiUrl" in error.summary
            assert error.status == 404


class TestWhetherAnEventIsParked:
    """The rows of `judge`."""

    @pytest.mark.parametrize("error", [REJECTED, UNDECIDED])
    def test_what_is_refused_for_the_leads_sake_is_parked_at_once(self, error: DeliveryError) -> None:
        """Sending it again can't help."""
        assert verdict(error).parks

    @pytest.mark.parametrize("error", ATTEMPTS_FAILED)
    def test_what_was_turned_away_is_parked_at_the_parking_age(self, error: DeliveryError) -> None:
        """Not a second before. Its lead is looked up first then."""
        for age_s, parks in ((SETTINGS.park_after_s - 1, False), (SETTINGS.park_after_s, True)):
            assert verdict(error, age_s=age_s).parks is parks
            assert is_old(message(age_s), SEEN_S, SETTINGS) is parks

    @pytest.mark.parametrize("error", NOTHING_WAS_SENT)
    def test_what_was_not_tried_waits_until_the_queue_is_about_to_lose_it(self, error: DeliveryError) -> None:
        """Time must not park an event that nothing is known against."""
        assert not verdict(error, age_s=LAST_AGE_S - 1, receive_count=LAST_RECEIVE - 1).parks
        assert verdict(error, age_s=LAST_AGE_S).parks
        assert verdict(error, receive_count=LAST_RECEIVE).parks

    @pytest.mark.parametrize("error", ATTEMPTS_FAILED)
    def test_every_event_is_parked_with_its_reason_before_the_queue_loses_it(
        self, error: DeliveryError
    ) -> None:
        """SQS gives none. Its lead is looked up first then."""
        assert verdict(error, receive_count=LAST_RECEIVE).parks
        assert not verdict(error, receive_count=LAST_RECEIVE - 1).parks
        assert is_old(message(receive_count=LAST_RECEIVE), SEEN_S, SETTINGS)
        assert not is_old(message(receive_count=LAST_RECEIVE - 1), SEEN_S, SETTINGS)


class TestTheOutcome:
    """As what an event comes back, or is parked."""

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (TURNED_AWAY, Outcome.RETRY),
            (UNANSWERED, Outcome.UNCONFIRMED),
            (BLOCKED, Outcome.BLOCKED),
            (REJECTED, Outcome.REJECTED),
            (UNDECIDED, Outcome.UNCONFIRMED),
            (NOT_TRIED, Outcome.RETRY),
            (BREAKER_OPEN, Outcome.RETRY),
        ],
    )
    @pytest.mark.parametrize("age_s", [0, LAST_AGE_S])
    def test_it_is_that_of_the_attempt(self, error: DeliveryError, outcome: Outcome, age_s: float) -> None:
        """As long as each request has an answer."""
        assert verdict(error, age_s=age_s).outcome is outcome

    @pytest.mark.parametrize(
        "error", [TURNED_AWAY, UNANSWERED, BLOCKED, REJECTED, UNDECIDED, NOT_TRIED, BREAKER_OPEN]
    )
    def test_what_is_parked_after_a_request_without_an_answer_is_unconfirmed(
        self, error: DeliveryError
    ) -> None:
        """A person has to look at 7Targets first, whatever came last."""
        assert verdict(error, replace(OWN, unanswered=True), LAST_AGE_S).outcome is Outcome.UNCONFIRMED

    def test_what_comes_back_then_is_unconfirmed_but_a_wrong_setting_keeps_its_name(self) -> None:
        """The alarm of blocked leads has to ring."""
        own = replace(OWN, unanswered=True)
        assert verdict(TURNED_AWAY, own).outcome is Outcome.UNCONFIRMED
        assert verdict(BLOCKED, own).outcome is Outcome.BLOCKED

    @pytest.mark.parametrize("error", [LEDGER_FAILED, NOT_TRIED, TURNED_AWAY])
    def test_what_could_not_be_looked_up_is_parked_as_unconfirmed(self, error: DeliveryError) -> None:
        """It may have been delivered before. Until then it only comes back."""
        assert verdict(error, None).outcome is Outcome.RETRY
        assert verdict(error, None, LAST_AGE_S) == replace(
            verdict(error, None, LAST_AGE_S), outcome=Outcome.UNCONFIRMED, parks=True
        )

    def test_an_unreadable_event_is_rejected(self) -> None:
        """It has no place in the ledger, and nothing of it was ever sent."""
        assert verdict(REJECTED, None).outcome is Outcome.REJECTED

    def test_delivered_but_not_noted_is_unconfirmed_and_parked_in_the_end(self) -> None:
        """It was sent, but the ledger doesn't know it."""
        assert verdict(UNANSWERED, None) == replace(
            verdict(UNANSWERED, None), outcome=Outcome.UNCONFIRMED, parks=False
        )
        assert verdict(UNANSWERED, None, SETTINGS.park_after_s).parks


class TestWhenItComesBack:
    """The delays of `judge`."""

    def test_an_event_that_was_not_tried_says_itself_when(self) -> None:
        """However often it was received."""
        assert verdict(NOT_TRIED, receive_count=50).delay_s == 7

    def test_what_was_turned_away_comes_back_after_the_table_of_delays(self) -> None:
        """And not before the API wants it."""
        delays = [verdict(TURNED_AWAY, receive_count=count).delay_s for count in (1, 2, 3, 50)]
        base_s, max_s = SETTINGS.retry_base_delay_s, SETTINGS.retry_max_delay_s
        assert delays == [base_s, 2 * base_s, 4 * base_s, max_s]
        assert verdict(RetryError("429", retry_after_s=max_s + 5)).delay_s == max_s + 5

    def test_a_request_without_an_answer_is_left_alone_until_the_settling_time_is_over(self) -> None:
        """Until then the ledger refuses the lead."""
        assert verdict(UNANSWERED, settling_s=555).delay_s == 556

    @given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 14 * 86_400))
    def test_with_an_open_breaker_it_is_back_within_one_delay_step_after_recovery(
        self, receive_count: int, jitter: float, age_s: float
    ) -> None:
        """The longest pause between probes and the delay together stay within one step, at any age."""
        by = message(age_s, receive_count)
        delay_s = judge(BREAKER_OPEN, OWN, by, SEEN_S, SETTINGS, LONGEST_PROBE_S, jitter).delay_s
        assert 1 <= delay_s <= SETTINGS.retry_max_delay_s - LONGEST_PROBE_S

    @pytest.mark.parametrize(("settling_s", "visibility_timeout_s"), [(60, 900), (600, 900), (60, 3600)])
    def test_a_message_whose_claim_stays_open_comes_back_early_enough_to_show_no_crash(
        self, settling_s: int, visibility_timeout_s: int
    ) -> None:
        """Before two thirds of the visibility timeout, with a minute for the calls before it."""
        settings = replace(SETTINGS, settling_s=settling_s, visibility_timeout_s=visibility_timeout_s)
        longest_s = longest_delay_with_open_claim_s(settings)
        assert longest_s >= settling_s
        if settling_s < visibility_timeout_s / 2 - 60:
            assert 3 * (longest_s + 60) < 2 * visibility_timeout_s


class TestWhatIsStoredOfIt:
    """The event after `not_delivered`."""

    def test_an_event_that_comes_back_waits(self) -> None:
        """Until it is due."""
        came_back = Verdict(Outcome.UNCONFIRMED, parks=False, delay_s=30)
        own = replace(OWN, state=State.UNDER_WAY, unanswered=True)
        assert not_delivered(own, message(), came_back, "no answer", SEEN_S + 5) == replace(
            own,
            state=State.WAITING,
            message_id="message-1",
            updated_s=SEEN_S + 5,
            due_s=SEEN_S + 35,
            reason="no answer",
        )

    def test_a_parked_event_is_due_no_more(self) -> None:
        """With the outcome that its copies get."""
        parked = Verdict(Outcome.REJECTED, parks=True, delay_s=30)
        own = replace(OWN, due_s=SEEN_S + 9)
        assert not_delivered(own, message(), parked, "422", SEEN_S + 5) == replace(
            own,
            state=State.PARKED,
            message_id="message-1",
            updated_s=SEEN_S + 5,
            due_s=0,
            reason="422",
            parked_as=Outcome.REJECTED,
        )

    def test_a_long_reason_is_cut(self) -> None:
        """The whole of it is in the dead letter; the item has a bound."""
        parked = Verdict(Outcome.REJECTED, parks=True, delay_s=30)
        assert not_delivered(OWN, message(), parked, "x" * 999, 0).reason == "x" * LONGEST_REASON
