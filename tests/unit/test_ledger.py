"""The delivery ledger on moto: who may send for a lead, what is remembered, and what survives a death."""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from deliver_leads.event.envelope import LeadEvent, UnreadableError
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import REMEMBERED_EVENTS, EventRecord, LeadState, State
from deliver_leads.ledger import (
    CLOCK_SKEW_S,
    HELD_LEAD_CHECKED_AFTER_S,
    Claim,
    Completion,
    Ledger,
    new_record,
)
from deliver_leads.outcome import DeferredError, Outcome, RetryError
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT
from tests.clock import Clock
from tests.lead_records import SEEN_S, any_record, record
from tests.ledger_table import TABLE, create_ledger_table

SETTINGS = Settings.from_environment(ENVIRONMENT)
LEASE_S = 120
HELD_S = LEASE_S + CLOCK_SKEW_S + SETTINGS.settling_s
# When the message of an environment that died comes back.
DEAD_S = SETTINGS.visibility_timeout_s
LEAD_HASH = "hash-1"
ITEM_KEY = {"lead": {"S": LEAD_HASH}, "event": {"S": "#lead"}}
LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}


def event(
    key: str = "key#1", operation: Operation = Operation.CREATE, lead_hash: str = LEAD_HASH
) -> LeadEvent:
    """A lead event with this identity."""
    return LeadEvent(
        operation, dict(LEAD), lead_hash, IdempotencyKey(key, from_content=False), "event-1", "my.crm"
    )


def message(message_id: str = "message-1", sent_ms: int = 1_799_999_000_000) -> Message:
    """The event's message."""
    return Message(message_id, "receipt", "{}", 1, sent_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The ledger's clock, which begins when the first event of a test record was seen."""
    turned = Clock(SEEN_S)
    monkeypatch.setattr(time, "time", turned)
    return turned


@pytest.fixture
def dynamodb() -> Iterator[DynamoDBClient]:
    """A DynamoDB with the ledger's table."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_ledger_table(client)
        yield client


@pytest.fixture
def ledger(dynamodb: DynamoDBClient, clock: Clock) -> Ledger:
    """The ledger under test."""
    return Ledger(dynamodb, SETTINGS)


def claim(ledger: Ledger, of: LeadEvent | None = None, by: Message | None = None) -> Claim:
    """A claim that is granted."""
    return ledger.claim(of or event(), by or message(), LEASE_S)


def item(dynamodb: DynamoDBClient) -> dict[str, Any]:
    """The lead's item, in DynamoDB's notation."""
    return dict(dynamodb.get_item(TableName=TABLE, Key=ITEM_KEY)["Item"])


def delivered(granted: Claim) -> EventRecord:
    """The claimed event, delivered just now."""
    return replace(
        granted.record, state=State.DELIVERED, updated_s=int(time.time()), repeats_until_s=SEEN_S * 2
    )


class TestAClaim:
    """One event of a lead at a time."""

    def test_a_new_lead_is_claimed_with_a_new_event(self, ledger: Ledger) -> None:
        """Nothing is known but what the message says."""
        granted = claim(ledger, event("key#1", Operation.UPDATE), message("message-7", sent_ms=1234))
        assert granted.state.events == ()
        assert granted.state.known_s == 0
        assert granted.record == EventRecord(
            key="key#1",
            operation=Operation.UPDATE,
            order_ms=1234,
            sent_s=1,
            message_id="message-7",
            source="my.crm",
            first_seen_s=SEEN_S,
            updated_s=SEEN_S,
            due_s=SEEN_S + SETTINGS.visibility_timeout_s,
        )

    @pytest.mark.parametrize("key", ["key#1", "key#2"])
    def test_no_event_of_a_lead_is_claimed_while_one_is_under_way(
        self, ledger: Ledger, clock: Clock, key: str
    ) -> None:
        """Until the lease is over, and then as long as the last request may take effect."""
        claim(ledger)
        clock.now += HELD_S - 0.001
        with pytest.raises(DeferredError):
            claim(ledger, event(key))
        clock.now += 0.001
        assert claim(ledger, event(key))

    @pytest.mark.parametrize(("left_s", "delay_s"), [(HELD_S, HELD_LEAD_CHECKED_AFTER_S), (3.0, 4), (0.5, 2)])
    def test_the_other_event_comes_back_soon_and_not_before_the_lease_is_over(
        self, ledger: Ledger, clock: Clock, left_s: float, delay_s: int
    ) -> None:
        """Most attempts end long before their lease."""
        claim(ledger)
        clock.now += HELD_S - left_s
        with pytest.raises(DeferredError) as caught:
            claim(ledger)
        assert caught.value.delay_s == delay_s

    def test_the_other_event_changes_nothing(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """What is under way can be completed as if nobody had asked."""
        claim(ledger)
        before = item(dynamodb)
        with pytest.raises(DeferredError):
            claim(ledger, event("key#2"))
        assert item(dynamodb) == before

    def test_two_leads_with_one_key_are_two_events(self, ledger: Ledger) -> None:
        """A producer that repeats a key by mistake loses no lead."""
        ledger.complete(first := claim(ledger, event(lead_hash="hash-1")), delivered(first))
        assert claim(ledger, event(lead_hash="hash-2")).state.events == ()

    def test_a_claim_that_the_aws_client_repeats_is_granted_once(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The first answer was lost. That is no death, and leaves no trace once the event is complete."""
        ledger = Ledger(AnswersAreLost(dynamodb), SETTINGS)
        granted = claim(ledger)
        assert granted.state.events == ()
        assert granted.record.deaths == 0
        assert ledger.complete(granted, delivered(granted))
        assert item(dynamodb)["journal"] == {"L": []}

    def test_a_repeated_claim_still_shows_how_many_died_before_it(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The lost answer had shown it first. A claim that was repeated before its death is one death."""
        forgetful = Ledger(AnswersAreLost(dynamodb), SETTINGS)
        for deaths in range(3):
            assert claim(forgetful).record.deaths == deaths
            clock.now += DEAD_S


class TestACompletion:
    """The second write: what became of the event, and the lead is free again."""

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(stored=any_record(), lead_id=st.text(max_size=10))
    def test_every_value_of_an_event_comes_back_as_it_was_stored(
        self, ledger: Ledger, dynamodb: DynamoDBClient, stored: EventRecord, lead_id: str
    ) -> None:
        """A value that got lost would let an event be sent again, or never."""
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        assert ledger.complete(claim(ledger), stored, lead_id=lead_id)
        state = claim(ledger, event("another")).state
        assert state.events == (stored,)
        assert (state.lead_id, state.known_s) == (lead_id, SEEN_S if lead_id else 0)

    def test_a_delivery_costs_two_writes_and_no_read(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """They are most of what a lead costs."""
        calls: list[str] = []
        dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        ledger.complete(granted := claim(ledger), delivered(granted), lead_id="2345")
        assert calls == ["UpdateItem", "UpdateItem"]

    def test_the_next_event_may_be_claimed_at_once(self, ledger: Ledger) -> None:
        """It sees the event before it."""
        ledger.complete(first := claim(ledger), done := delivered(first), lead_id="2345")
        assert claim(ledger, event("key#2")).state.events == (done,)

    def test_after_a_request_without_an_answer_the_lead_is_left_alone_for_a_while(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """The request may still take effect, after any other that is sent meanwhile."""
        clock.now += 0.5
        ledger.complete(granted := claim(ledger), granted.record, quiet_s=60)
        clock.now += 60 - 0.1
        for key in ("key#1", "key#2"):
            with pytest.raises(DeferredError):
                claim(ledger, event(key))
        clock.now = math.ceil(clock.now)
        assert claim(ledger)

    def test_when_the_lead_was_last_shown_stays_until_it_is_shown_again(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """An attempt that failed says nothing about it."""
        ledger.complete(granted := claim(ledger), delivered(granted), lead_id="2345")
        clock.now += 10
        ledger.complete(granted := claim(ledger, event("key#2")), granted.record)
        state = claim(ledger, event("key#3")).state
        assert (state.lead_id, state.known_s) == ("2345", SEEN_S)

    def test_an_attempt_that_lost_its_lease_changes_nothing(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """It hung for minutes; another attempt has the lead, and has found its request without an answer."""
        slow = claim(ledger)
        clock.now += HELD_S
        quick = claim(ledger)
        before = item(dynamodb)
        assert ledger.complete(slow, delivered(slow)) is False
        assert item(dynamodb) == before
        assert ledger.complete(quick, delivered(quick)) is True
        assert ledger.complete(slow, slow.record) is False
        assert claim(ledger).record.state is State.DELIVERED

    def test_an_attempt_whose_lease_is_over_but_not_taken_is_still_believed(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Nobody else has sent anything for the lead."""
        granted = claim(ledger)
        clock.now += HELD_S * 2
        assert ledger.complete(granted, delivered(granted)) is True

    def test_a_completion_that_the_aws_client_repeats_counts_as_written(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The first answer was lost; the repeat is refused, because the lead is free already."""
        ledger = Ledger(AnswersAreLost(dynamodb), SETTINGS)
        granted = claim(ledger)
        assert ledger.complete(granted, delivered(granted)) is True

    def test_the_number_of_remembered_events_is_bounded(self, ledger: Ledger, clock: Clock) -> None:
        """Each kilobyte of the item costs with every event of the lead."""
        for number in range(REMEMBERED_EVENTS + 2):
            clock.now += 1
            ledger.complete(granted := claim(ledger, event(f"key#{number}")), delivered(granted))
        kept = [each.key for each in claim(ledger, event("new")).state.events]
        assert kept == [f"key#{number}" for number in range(2, REMEMBERED_EVENTS + 2)]

    def test_an_event_to_which_nothing_happened_for_the_ledgers_time_is_forgotten(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Even in a lead that goes on having events."""
        ledger.complete(granted := claim(ledger, event("old")), delivered(granted))
        clock.now += SETTINGS.ledger_s + 1
        ledger.complete(granted := claim(ledger, event("new")), delivered(granted))
        assert [each.key for each in claim(ledger, event("next")).state.events] == ["new"]


class TestTheJournal:
    """What was added since the events were written last."""

    def test_a_claim_whose_environment_died_is_a_request_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Both for the event itself and for the next event of its lead."""
        claim(ledger)
        clock.now += DEAD_S
        [dead] = claim(ledger, event("key#2"), message("message-2")).state.events
        assert (dead.key, dead.state, dead.unanswered, dead.deaths) == ("key#1", State.WAITING, True, 1)
        clock.now += DEAD_S
        own = claim(ledger)
        assert own.record.deaths == 1
        assert {each.key: each.deaths for each in own.state.events} == {"key#1": 1, "key#2": 1}

    def test_a_death_is_counted_once_however_many_claims_follow(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The completion has folded it into the events."""
        claim(ledger)
        clock.now += DEAD_S
        for _ in range(2):
            granted = claim(ledger, event("key#2"))
            ledger.complete(granted, replace(granted.record, state=State.WAITING))
            assert item(dynamodb)["journal"] == {"L": []}
        assert claim(ledger).record.deaths == 1

    def test_an_attempt_whose_completion_failed_counts_as_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """It may have been delivered."""
        granted = claim(ledger)
        assert Ledger(Broken(THROTTLE), SETTINGS).complete(granted, delivered(granted)) is False
        clock.now += HELD_S
        assert claim(ledger).record.unanswered

    def test_a_note_on_an_unknown_lead_is_found_by_its_first_claim(
        self, ledger: Ledger, dynamodb: DynamoDBClient
    ) -> None:
        """It holds up nobody."""
        unreadable = record(
            "key#9", state=State.PARKED, parked_as=Outcome.REJECTED, reason="name: is missing"
        )
        assert ledger.note(LEAD_HASH, unreadable) is True
        assert claim(ledger).state.events == (unreadable,)

    def test_a_note_that_is_added_while_an_event_is_under_way_survives_its_completion(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The completion takes away only what its claim has seen."""
        claim(ledger, event("dead"))
        ledger.note(LEAD_HASH, early := record("early", state=State.PARKED, parked_as=Outcome.REJECTED))
        clock.now += HELD_S
        granted = claim(ledger)
        ledger.note(LEAD_HASH, late := record("late", state=State.PARKED, parked_as=Outcome.REJECTED))
        assert ledger.complete(granted, done := delivered(granted)) is True
        assert [entry["M"]["key"]["S"] for entry in item(dynamodb)["journal"]["L"]] == ["late"]
        state = claim(ledger, event("next")).state
        assert {each.key for each in state.events} == {"dead", "early", "late", "key#1"}
        assert (state.find("early"), state.find("late"), state.find("key#1")) == (early, late, done)

    def test_a_note_takes_no_delivery_back(self, ledger: Ledger) -> None:
        """An unreadable repeat of a delivered event."""
        ledger.complete(granted := claim(ledger), done := delivered(granted))
        ledger.note(LEAD_HASH, record("key#1", state=State.PARKED, parked_as=Outcome.REJECTED))
        assert claim(ledger).record == done


class TestWhatAClaimFinds:
    """The event as it was left."""

    def test_a_parked_message_that_comes_back_finds_itself_parked(self, ledger: Ledger) -> None:
        """So that it is not parked again."""
        parked = replace((granted := claim(ledger)).record, state=State.PARKED, parked_as=Outcome.REJECTED)
        ledger.complete(granted, parked)
        assert claim(ledger).record == parked

    def test_a_parked_event_that_was_sent_again_starts_anew(self, ledger: Ledger) -> None:
        """A redrive gives the message another id."""
        granted = claim(ledger)
        ledger.complete(
            granted, replace(granted.record, state=State.PARKED, parked_as=Outcome.REJECTED, deaths=3)
        )
        again = claim(ledger, by=message("redriven", sent_ms=SEEN_S * 1000)).record
        assert (again.state, again.deaths, again.message_id) == (State.WAITING, 0, "redriven")

    def test_the_key_of_a_delivered_event_is_free_again_after_its_window(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Though the event is still remembered, for whoever asks what became of it."""
        granted = claim(ledger)
        ledger.complete(granted, replace(delivered(granted), repeats_until_s=SEEN_S + 100))
        clock.now += 100
        again = claim(ledger, by=message("message-2", sent_ms=99))
        assert (again.record.state, again.record.order_ms) == (State.UNDER_WAY, 99)
        assert [each.state for each in again.state.events] == [State.DELIVERED]


class TestWhatIsStored:
    """The item as it lies in the table."""

    def test_each_write_keeps_the_item_for_the_ledgers_time(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """DynamoDB deletes it only after its last event is of no use any more."""

        def expires_in_s() -> int:
            return int(item(dynamodb)["expiresAt"]["N"]) - int(clock.now)

        granted = claim(ledger)
        assert expires_in_s() == SETTINGS.ledger_s
        clock.now += 10
        ledger.complete(granted, delivered(granted))
        assert expires_in_s() == SETTINGS.ledger_s
        clock.now += 10
        ledger.note(LEAD_HASH, record("key#2", state=State.PARKED))
        assert expires_in_s() == SETTINGS.ledger_s

    def test_no_personal_data_is_stored(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """Hashes, states and times are."""
        granted = claim(ledger)
        under_way = json.dumps(item(dynamodb))
        ledger.complete(granted, delivered(granted), lead_id="2345")
        for text in (under_way, json.dumps(item(dynamodb))):
            assert not [value for value in LEAD.values() if value in text]

    def test_an_event_that_is_done_takes_little_room(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """What is empty is left out: twenty events have to fit into a few write units."""
        ledger.complete(granted := claim(ledger), delivered(granted))
        [stored] = item(dynamodb)["events"]["L"]
        assert set(stored["M"]) == {
            "key",
            "operation",
            "orderMs",
            "sentS",
            "messageId",
            "source",
            "firstSeenS",
            "updatedS",
            "dueS",
            "repeatsUntilS",
            "state",
        }


class Broken:
    """A DynamoDB whose writes fail."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def update_item(self, **_: object) -> None:
        raise self.fault


class AnswersAreLost:
    """A DynamoDB whose first answer to each write is lost, so that the AWS client repeats the write."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self.dynamodb = dynamodb

    def update_item(self, **request: Any) -> Any:
        self.dynamodb.update_item(**request)
        return self.dynamodb.update_item(**request)


THROTTLE = ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")
NO_NETWORK = EndpointConnectionError(endpoint_url="https://example.com")


class TestALedgerThatCanNotBeWritten:
    """Without its ledger the function sends nothing, and loses nothing."""

    @pytest.mark.parametrize(
        ("fault", "name"), [(THROTTLE, "ThrottlingException"), (NO_NETWORK, "EndpointConnectionError")]
    )
    def test_no_claim_is_granted(self, clock: Clock, fault: Exception, name: str) -> None:
        """A send could be a repeat. It is not the leads API's fault, so the breaker stays as it is."""
        with pytest.raises(RetryError, match=name) as caught:
            claim(Ledger(Broken(fault), SETTINGS))
        assert caught.value.shared is False

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
    def test_what_became_of_an_event_is_told_and_not_raised(self, clock: Clock, fault: Exception) -> None:
        """Raising would hide how the attempt ended."""
        broken = Ledger(Broken(fault), SETTINGS)
        granted = Claim(event(), "owner", LeadState(), record("key#1"), 1)
        assert broken.complete(granted, granted.record) is False
        assert broken.note(LEAD_HASH, granted.record) is False


class JointWritesFail:
    """Carries out a batch of statements, but for the first; then its answer is lost, if so wanted."""

    def __init__(self, dynamodb: Any, *, first: bool = False, fault: Exception | None = None) -> None:
        self._dynamodb = dynamodb
        self._refuses_first = first
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    def batch_execute_statement(self, Statements: list[Any]) -> dict[str, Any]:  # noqa: N803
        refused = [{"Error": {"Code": "ThrottlingError"}}] if self._refuses_first else []
        carried_out = Statements[len(refused) :]
        answers = []
        if carried_out:
            answers = self._dynamodb.batch_execute_statement(Statements=carried_out)["Responses"]
        if self._fault:
            raise self._fault
        return {"Responses": refused + answers}


def no_time() -> bool:
    """Nothing is left of the invocation's time."""
    return False


class TestWritesOfSeveralLeads:
    """One call, in which each lead has its own condition and its own result."""

    @pytest.fixture
    def events(self) -> list[tuple[LeadEvent, Message]]:
        """Creates of two leads."""
        return [(event(lead_hash=f"hash-{number}"), message(f"message-{number}")) for number in (1, 2)]

    def test_new_leads_are_claimed_as_by_a_claim_of_each(
        self, ledger: Ledger, dynamodb: DynamoDBClient, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """The same right to send, and the same item but for the owner."""
        [together, _] = ledger.claim_new(events, LEASE_S)
        assert together.claim
        stored = item(dynamodb)
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        alone = ledger.claim(*events[0], LEASE_S, owner=together.owner)
        assert together.claim == alone
        assert stored == item(dynamodb)

    def test_a_lead_that_is_known_is_left_to_a_claim_of_its_own(
        self, ledger: Ledger, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """Only that one returns what is known of it."""
        ledger.complete(first := claim(ledger), delivered(first), lead_id="7")
        [known, new] = ledger.claim_new(events, LEASE_S)
        assert known.claim is None
        assert new.claim
        assert ledger.claim(*events[0], LEASE_S, known.owner).state.lead_id == "7"

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK, KeyError("Responses")])
    def test_a_claim_whose_answer_was_lost_is_taken_up_by_its_owner(
        self,
        dynamodb: DynamoDBClient,
        clock: Clock,
        events: list[tuple[LeadEvent, Message]],
        fault: Exception,
    ) -> None:
        """It is no other's claim, and no death."""
        ledger = Ledger(JointWritesFail(dynamodb, fault=fault), SETTINGS)
        [early, _] = ledger.claim_new(events, LEASE_S)
        assert early.claim is None
        granted = ledger.claim(*events[0], LEASE_S, early.owner)
        assert (granted.state.events, granted.record.deaths, granted.journal_length) == ((), 0, 2)

    def test_deliveries_are_completed_as_by_a_completion_of_each(
        self, ledger: Ledger, dynamodb: DynamoDBClient, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """The next claim finds them, whatever came into the journal meanwhile."""
        claims = [each.claim for each in ledger.claim_new(events, LEASE_S)]
        assert ledger.note(LEAD_HASH, record("key#noted", state=State.PARKED))
        completions = [Completion(each, delivered(each), "7") for each in claims if each]
        assert ledger.complete_together(completions, no_time) == [True, True]
        state = claim(ledger, event("key#2")).state
        assert state.lead_id == "7"
        assert {each.key: each.state for each in state.events} == {
            "key#1": State.DELIVERED,
            "key#noted": State.PARKED,
        }

    def test_an_attempt_that_lost_its_lease_completes_nothing(
        self, ledger: Ledger, clock: Clock, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """Whoever has the lead now decides; the other lead is completed."""
        claims = [each.claim for each in ledger.claim_new(events, LEASE_S)]
        clock.now += HELD_S
        claim(ledger)
        completions = [Completion(each, delivered(each), "7") for each in claims if each]
        assert ledger.complete_together(completions, lambda: True) == [False, True]

    @pytest.mark.parametrize("has_time", [True, False])
    def test_what_is_refused_is_completed_alone_while_there_is_time(
        self,
        dynamodb: DynamoDBClient,
        clock: Clock,
        events: list[tuple[LeadEvent, Message]],
        has_time: bool,
    ) -> None:
        """So that a throttled statement doesn't send its lead again."""
        ledger = Ledger(JointWritesFail(dynamodb, first=True), SETTINGS)
        claims = [ledger.claim(*each, LEASE_S) for each in events]
        completions = [Completion(each, delivered(each), "7") for each in claims]
        assert ledger.complete_together(completions, lambda: has_time) == [has_time, True]

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK, TypeError("a bug")])
    def test_a_completion_whose_answer_was_lost_counts_as_written(
        self,
        dynamodb: DynamoDBClient,
        clock: Clock,
        events: list[tuple[LeadEvent, Message]],
        fault: Exception,
    ) -> None:
        """Tried alone, it finds its own result."""
        claims = [Ledger(dynamodb, SETTINGS).claim(*each, LEASE_S) for each in events]
        ledger = Ledger(JointWritesFail(dynamodb, fault=fault), SETTINGS)
        completions = [Completion(each, delivered(each), "7") for each in claims]
        assert ledger.complete_together(completions, lambda: True) == [True, True]


@pytest.mark.parametrize(
    ("key", "stored_as"),
    [(IdempotencyKey("key#7", from_content=False), "key#7"), (None, "message#message-1")],
)
def test_an_unreadable_event_is_recorded_by_its_key_or_else_by_its_message(
    key: IdempotencyKey | None, stored_as: str
) -> None:
    """The key may be just what could not be read."""
    unreadable = UnreadableError(["name: is missing"], "event-1", lead_hash=LEAD_HASH, key=key)
    noted = new_record(unreadable, message(), SEEN_S)
    assert (noted.key, noted.operation, noted.source) == (stored_as, None, "sqs")
