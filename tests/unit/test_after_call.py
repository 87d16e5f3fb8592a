"""The table of `after_call`, row by row, and when a message comes back."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.after_call import (
    LAST_AGE_S,
    Verdict,
    delivered,
    failed,
    is_old,
    judge,
    longest_delay_with_open_claim_s,
    not_delivered,
    superseded,
)
from deliver_leads.contract import LAST_RECEIVE, Outcome
from deliver_leads.event.lead import Json, Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import LONGEST_REASON, RANKS_A_MS, EventRecord, LeadState, State
from deliver_leads.outcome import (
    BlockedError,
    BreakerOpenError,
    DeferredError,
    DeliveredLead,
    DeliveryError,
    LedgerError,
    NoRoomError,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UndecidedError,
    UnknownLeadError,
)
from deliver_leads.setters import SEQUENCE, Setter, fingerprint
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT
from tests.lead_records import final, record

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP
SETTINGS = Settings.from_environment(ENVIRONMENT)
NOW_S = 1_800_000_000
LEAD: dict[str, Json] = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
LONGEST_PROBE_INTERVAL_S = 300
UNKNOWN = UnknownLeadError("404 not found", detail="404 for Jane", status=404)
TURNED_AWAY = RetryError("503", status=503)
NEVER_TRIED = DeferredError("waits for an earlier event of its lead", delay_s=31)
HAPPENED: dict[str, Any] = {
    "unanswered": True,
    "due_s": NOW_S + 30,
    "unknown_since_s": NOW_S - 10,
    "crashes": 2,
    "crashes_alone": 1,
    "reason": "503",
    "updated_s": NOW_S - 30,
    "attempts": 3,
}


def message(age_s: float = 0, receive_count: int = 1) -> Message:
    """A message that was sent so long ago."""
    return Message("message-1", "receipt", "{}", receive_count, round((NOW_S - age_s) * 1000))


def verdict_on(
    error: DeliveryError, own: EventRecord | None = None, *, jitter: float = 0, **of_message: Any
) -> Verdict:
    """What becomes of a message whose event was not delivered."""
    return judge(error, own, message(**of_message), NOW_S, SETTINGS, LONGEST_PROBE_INTERVAL_S, jitter)


SENT: dict[str, Json] = {"name": "Jane", "email": "jane@example.com"}


class TestADeliveredEvent:
    """2xx with the lead."""

    def test_it_is_final_and_the_lead_is_known(self) -> None:
        """What it has set and that an answer showed the lead are all that later events need."""
        own = record("own", CREATE, order_ms=7, **HAPPENED)
        other = record("other", unknown_since_s=NOW_S)
        lead = delivered(
            LeadState(open=(own, other)),
            own,
            SENT,
            DeliveredLead(2345, "Cold", 200),
            NOW_S,
            SETTINGS,
        )
        assert (lead.lead_id, lead.known_s, lead.open) == ("2345", NOW_S, (other,))
        assert lead.finals == {"own": final(CREATE, 7)}
        rank = 7 * RANKS_A_MS
        assert lead.setters == {
            "name": Setter(rank, fingerprint(SENT, "name")),
            SEQUENCE: Setter(0),
        }

    @pytest.mark.parametrize("state", [State.DELIVERED, State.SUPERSEDED])
    def test_people_are_shown_what_became_of_it(self, state: State) -> None:
        """Nothing is left of the attempts that failed but their number."""
        own = record("own", **HAPPENED)
        if state is State.DELIVERED:
            lead = delivered(LeadState(), own, {}, DeliveredLead(1, None, 200), NOW_S, SETTINGS)
        else:
            lead = superseded(LeadState(), own, "later events have set all", NOW_S, SETTINGS)
        [shown] = lead.shown
        assert (shown.state, shown.updated_s) == (state, NOW_S)
        assert shown.attempts == own.attempts + (state is State.DELIVERED)
        assert shown.reason == ("" if state is State.DELIVERED else "later events have set all")
        assert (shown.unanswered, shown.due_s, shown.unknown_since_s, shown.crashes) == (False, 0, 0, 0)

    @pytest.mark.parametrize("operation", Operation)
    def test_after_a_create_what_7targets_called_unknown_counts_as_sent_just_after_it(
        self, operation: Operation
    ) -> None:
        """Before any answer showed the lead; the state after this one shows it."""
        own, other = record("own", operation, order_ms=7), record("other", unknown_since_s=NOW_S)
        answer = DeliveredLead(1, None, 200)
        lead = delivered(LeadState(open=(other,)), own, {}, answer, NOW_S, SETTINGS)
        assert lead.begun_ms == (7 if own.is_create else 0)

    def test_a_superseded_event_says_nothing_of_the_lead(self) -> None:
        """Nothing was sent."""
        own = record("own", order_ms=7)
        state = LeadState(known_s=5, open=(own,))
        lead = superseded(state, own, "", NOW_S, SETTINGS)
        assert (lead.known_s, lead.open, lead.setters) == (5, (), {})
        assert lead.finals == {"own": final(order_ms=7, state=State.SUPERSEDED)}

    def test_events_that_were_sent_before_the_ledgers_time_are_forgotten(self) -> None:
        """The settings say how long a copy is known."""
        oldest_ms = (NOW_S - SETTINGS.ledger_s) * 1000
        state = LeadState(finals={"old": final(order_ms=oldest_ms - 1), "kept": final(order_ms=oldest_ms)})
        lead = superseded(state, record("own", order_ms=NOW_S * 1000), "", NOW_S, SETTINGS)
        assert set(lead.finals) == {"kept", "own"}


def after(
    error: DeliveryError,
    own: EventRecord,
    *others: EventRecord,
    last_success_s: float = NOW_S,
) -> tuple[EventRecord, DeliveryError]:
    """The event after a call that ended with this error."""
    return failed(LeadState(open=others), own, error, NOW_S, last_success_s, SETTINGS)


class TestAFailedCall:
    """The event as its calls left it, and what the last error means for it."""

    @pytest.mark.parametrize("unanswered", [True, False])
    @pytest.mark.parametrize("error", [TURNED_AWAY, RejectedError("400"), BlockedError("403")])
    def test_an_answer_to_this_call_says_nothing_of_an_earlier_request(
        self, error: DeliveryError, unanswered: bool
    ) -> None:
        """That one may still have had its effect."""
        own = record("own", unanswered=unanswered, attempts=2)
        assert after(error, own) == (replace(own, attempts=3), error)

    def test_a_request_without_an_answer_is_remembered(self) -> None:
        """Whatever was answered before it."""
        left, error = after(UnconfirmedError("no answer"), record("own", CREATE))
        assert (left.unanswered, left.attempts) == (True, 1)
        assert isinstance(error, UnconfirmedError)

    def test_a_404_shows_that_the_request_before_it_left_no_trace(self) -> None:
        """The settling time is over, so it can't take effect any more."""
        assert not after(UNKNOWN, record("own", unanswered=True))[0].unanswered


class TestALeadThat7TargetsDoesNotKnow:
    """404 to an update or stop."""

    @pytest.mark.parametrize("operation", [UPDATE, STOP])
    def test_the_first_time_begins_the_grace_period(self, operation: Operation) -> None:
        """Its create may be under way."""
        left, error = after(UNKNOWN, record("own", operation))
        assert (left.unknown_since_s, error) == (NOW_S, UNKNOWN)

    def test_it_is_waited_for_during_the_grace_period(self) -> None:
        """Which goes on."""
        since_s = NOW_S - SETTINGS.update_grace_s + 1
        own = record("own", unknown_since_s=since_s, due_s=NOW_S)
        left, error = after(UNKNOWN, own)
        assert (left.unknown_since_s, error) == (since_s, UNKNOWN)

    def test_after_the_grace_period_it_is_for_a_person(self) -> None:
        """7Targets takes other leads, so the address of the API is right."""
        own = record("own", unknown_since_s=NOW_S - SETTINGS.update_grace_s, due_s=NOW_S)
        _, error = after(UNKNOWN, own)
        assert isinstance(error, RejectedError)
        assert error.summary == (
            "404 not found: 7Targets doesn't know this lead, and no create came within the grace period"
        )
        assert error.detail.startswith("404 for Jane")
        assert error.status == 404

    @pytest.mark.parametrize("last_success_s", [0, NOW_S - SETTINGS.update_grace_s])
    def test_after_it_the_event_waits_on_if_nothing_was_delivered_since(self, last_success_s: int) -> None:
        """A wrong leadsApiUrl answers 404 to all, and a new environment has delivered nothing yet.

        It is no fault that others share, because nothing shows that.
        """
        own = record("own", unknown_since_s=NOW_S - SETTINGS.update_grace_s, due_s=NOW_S)
        _, error = after(UNKNOWN, own, last_success_s=last_success_s)
        assert isinstance(error, UnknownLeadError)
        assert not error.shared
        assert "leadsApiUrl" in error.summary
        assert isinstance(after(UNKNOWN, own, last_success_s=NOW_S)[1], RejectedError)

    @pytest.mark.parametrize(("late_s", "is_new"), [(0, False), (1, True)])
    def test_an_event_that_comes_back_long_after_it_was_due_begins_its_grace_period_anew(
        self, late_s: int, is_new: bool
    ) -> None:
        """An outage held it up, and its create, too."""
        due_s = NOW_S - SETTINGS.visibility_timeout_s - late_s
        left, error = after(UNKNOWN, record("own", unknown_since_s=1, due_s=due_s))
        assert (left.unknown_since_s == NOW_S) is is_new
        assert isinstance(error, UnknownLeadError) is is_new

    @pytest.mark.parametrize(("late_s", "waits"), [(0, True), (1, False)])
    def test_it_waits_as_long_as_a_create_of_the_lead_waits(self, late_s: int, waits: bool) -> None:
        """However long 7Targets is down; but not for a create that was removed."""
        own = record("own", unknown_since_s=1, due_s=NOW_S)
        due_s = NOW_S - SETTINGS.visibility_timeout_s + 1 - late_s
        _, error = after(UNKNOWN, own, record("create", CREATE, due_s=due_s))
        assert isinstance(error, UnknownLeadError if waits else RejectedError)

    def test_behind_a_parked_create_the_reason_says_so(self) -> None:
        """A person sends that again first."""
        own = record("own", unknown_since_s=1, due_s=NOW_S)
        _, error = after(UNKNOWN, own, record("create", CREATE, state=State.PARKED))
        assert isinstance(error, RejectedError)
        assert "its create is parked: send that again first" in error.summary


class TestWhetherItIsParked:
    """Each row of the table, by the error."""

    @pytest.mark.parametrize(("unanswered", "outcome"), [(False, "rejected"), (True, "unconfirmed")])
    def test_what_is_refused_is_parked_at_once(self, unanswered: bool, outcome: str) -> None:
        """If a request has no answer, a person has to look whether it took effect."""
        verdict = verdict_on(RejectedError("400"), record("own", unanswered=unanswered))
        assert (verdict.parks, verdict.outcome) == (True, outcome)

    def test_a_rejection_of_an_event_that_was_not_looked_up_is_parked_as_such(self) -> None:
        """Nothing of an unreadable event was ever sent."""
        assert verdict_on(RejectedError("name: is missing")).outcome == Outcome.REJECTED

    def test_what_7targets_holds_without_showing_it_is_parked_as_unconfirmed(self) -> None:
        """A person has to look."""
        verdict = verdict_on(UndecidedError("another sequence"), record("own"))
        assert (verdict.parks, verdict.outcome) == (True, Outcome.UNCONFIRMED)

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (TURNED_AWAY, Outcome.RETRY),
            (UNKNOWN, Outcome.RETRY),
            (BlockedError("403"), Outcome.BLOCKED),
            (BreakerOpenError("the API is down"), Outcome.RETRY),
            (UnconfirmedError("no answer"), Outcome.UNCONFIRMED),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_is_turned_away_or_unanswered_waits_and_is_parked_when_it_is_old(
        self, error: DeliveryError, outcome: Outcome
    ) -> None:
        """With its last outcome."""
        own = record("own", unanswered=isinstance(error, UnconfirmedError))
        for age_s, parks in ((SETTINGS.park_after_s - 1, False), (SETTINGS.park_after_s, True)):
            verdict = verdict_on(error, own, age_s=age_s)
            assert (verdict.parks, verdict.outcome) == (parks, outcome)
            assert is_old(message(age_s), NOW_S, SETTINGS) is parks

    @pytest.mark.parametrize("error", [TURNED_AWAY, BlockedError("403")])
    def test_an_old_event_without_an_answer_is_parked_as_unconfirmed(self, error: DeliveryError) -> None:
        """Whatever its last call was answered, an earlier one may have had its effect."""
        verdict = verdict_on(error, record("own", unanswered=True), age_s=SETTINGS.park_after_s)
        assert (verdict.parks, verdict.outcome) == (True, Outcome.UNCONFIRMED)

    def test_while_it_waits_an_event_without_an_answer_is_unconfirmed_unless_it_is_blocked(self) -> None:
        """A wrong setting is what a person has to see."""
        own = record("own", unanswered=True)
        assert verdict_on(TURNED_AWAY, own).outcome == Outcome.UNCONFIRMED
        assert verdict_on(BlockedError("403"), own).outcome == Outcome.BLOCKED

    @pytest.mark.parametrize("error", [NEVER_TRIED, LedgerError("ThrottlingException")])
    @pytest.mark.parametrize("own", [None, record("own")])
    def test_what_was_never_tried_is_not_parked_for_its_age(
        self, error: DeliveryError, own: EventRecord | None
    ) -> None:
        """Nothing is wrong with it."""
        verdict = verdict_on(error, own, age_s=LAST_AGE_S - 1, receive_count=LAST_RECEIVE - 1)
        assert (verdict.parks, verdict.outcome) == (False, Outcome.RETRY)

    @pytest.mark.parametrize("of_message", [{"age_s": LAST_AGE_S}, {"receive_count": LAST_RECEIVE}], ids=str)
    @pytest.mark.parametrize("error", [NEVER_TRIED, LedgerError("ThrottlingException"), TURNED_AWAY])
    def test_what_sqs_is_about_to_lose_is_parked_with_a_reason(
        self, error: DeliveryError, of_message: dict[str, Any]
    ) -> None:
        """If the ledger could not be looked at, nothing shows whether a request took effect."""
        verdict = verdict_on(error, record("own"), **of_message)
        assert (verdict.parks, verdict.outcome) == (True, Outcome.RETRY)
        verdict = verdict_on(error, None, **of_message)
        assert (verdict.parks, verdict.outcome) == (True, Outcome.UNCONFIRMED)
        assert is_old(message(**of_message), NOW_S, SETTINGS)

    def test_a_delivered_event_that_the_ledger_does_not_hold_is_parked_when_it_is_old(self) -> None:
        """Else it would be sent again until SQS drops it."""
        error = UnconfirmedError("delivered, but the ledger could not be written", shared=False)
        assert not verdict_on(error).parks
        verdict = verdict_on(error, age_s=SETTINGS.park_after_s)
        assert (verdict.parks, verdict.outcome) == (True, Outcome.UNCONFIRMED)


class TestWhatIsStored:
    """The event that was not delivered, as the ledger gets it."""

    def test_an_event_that_waits_is_expected_when_its_message_is_due(self) -> None:
        """Later events of the lead wait for it until then."""
        verdict = Verdict(Outcome.RETRY, parks=False, delay_s=30)
        own = record("own", attempts=2, unanswered=True)
        stored = not_delivered(own, message(), verdict, "503", NOW_S)
        assert stored == replace(
            own, message_id="message-1", updated_s=NOW_S, due_s=NOW_S + 30, reason="503", parked_as=""
        )

    def test_a_parked_event_is_expected_no_longer(self) -> None:
        """It is stored with its outcome, for its own message that may come back."""
        verdict = Verdict(Outcome.UNCONFIRMED, parks=True, delay_s=30)
        stored = not_delivered(record("own", due_s=5), message(), verdict, "503", NOW_S)
        assert (stored.state, stored.due_s, stored.parked_as) == (State.PARKED, 0, Outcome.UNCONFIRMED)

    def test_a_reason_is_cut(self) -> None:
        """The whole item is written with each event of the lead."""
        verdict = Verdict(Outcome.RETRY, parks=True, delay_s=30)
        stored = not_delivered(record("own"), message(), verdict, "x" * 999, NOW_S)
        assert stored.reason == "x" * LONGEST_REASON


class TestDelays:
    """When the message comes back."""

    def test_a_failed_call_is_repeated_after_the_retry_policys_delay(self) -> None:
        """It doubles at every receive, with jitter, and the API may ask for more."""
        own = record("own")
        assert verdict_on(TURNED_AWAY, own).delay_s == 30
        assert verdict_on(TURNED_AWAY, own, receive_count=3).delay_s == 120
        assert verdict_on(TURNED_AWAY, own, receive_count=3, jitter=1).delay_s == 60
        assert verdict_on(TURNED_AWAY, own, receive_count=99, age_s=86_400).delay_s == 3600
        assert verdict_on(RetryError("425", retry_after_s=500), own).delay_s == 500

    @pytest.mark.parametrize("error", [RetryError("429", place_s=7.5), NoRoomError("429", 7.5)])
    def test_an_event_without_room_comes_back_for_its_place_in_the_line(self, error: RetryError) -> None:
        """Whatever its receives, and whether its call was turned away or not made."""
        for receive_count in (1, 99):
            assert verdict_on(error, record("own"), receive_count=receive_count).delay_s == 8

    def test_an_event_that_was_not_tried_comes_back_when_its_reason_is_over(self) -> None:
        """Whatever its receives."""
        for receive_count in (1, 99):
            assert verdict_on(NEVER_TRIED, record("own"), receive_count=receive_count).delay_s == 31

    @given(st.integers(1, 899), st.floats(0, 1))
    def test_after_a_request_without_an_answer_it_comes_back_when_that_has_settled(
        self, receive_count: int, jitter: float
    ) -> None:
        """Before that the ledger refuses the lead."""
        verdict = verdict_on(UnconfirmedError(""), record("own"), receive_count=receive_count, jitter=jitter)
        assert verdict.delay_s > SETTINGS.settling_s

    @given(st.integers(1, 899), st.floats(0, 13 * 86_400), st.floats(0, 1))
    def test_while_the_breaker_is_open_it_is_back_in_time_for_the_first_delay_step_after_recovery(
        self, receive_count: int, age_s: float, jitter: float
    ) -> None:
        """The longest pause between probes and the delay together stay within one delay step."""
        error = BreakerOpenError("the API is down")
        delay_s = verdict_on(error, None, receive_count=receive_count, age_s=age_s, jitter=jitter).delay_s
        assert 1 <= delay_s <= SETTINGS.retry_max_delay_s - LONGEST_PROBE_INTERVAL_S

    def test_a_clock_that_is_behind_makes_no_message_younger_than_new(self) -> None:
        """SQS's clock and the function's may differ by seconds."""
        assert verdict_on(TURNED_AWAY, record("own"), age_s=-5).delay_s == 30

    def test_after_a_write_that_failed_the_next_claim_finds_that_nothing_crashed(self) -> None:
        """Even if the function had the message for a sixth of its visibility timeout, as at most."""
        visibility_s = SETTINGS.visibility_timeout_s
        claim = record("own", message_id="m", due_s=NOW_S + visibility_s, updated_s=NOW_S, receive_count=1)
        back_s = NOW_S + visibility_s // 6 + longest_delay_with_open_claim_s(SETTINGS)
        again = replace(claim, updated_s=back_s, receive_count=2)
        assert LeadState(open=(claim,)).claimed(again).crashes == 0
