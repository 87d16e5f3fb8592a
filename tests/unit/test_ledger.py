"""The delivery ledger on moto: which attempt may send for a lead, what is remembered, and what it costs."""

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
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from deliver_leads.contract import Outcome
from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import Json, Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import (
    CLOCK_SKEW_S,
    LONGEST_REASON,
    MOST_FINAL_CREATES,
    MOST_FINALS,
    MOST_OPEN,
    MOST_SETTERS,
    RANKS_A_MS,
    SHOWN_EVENTS,
    EventRecord,
    LeadState,
    State,
)
from deliver_leads.ledger import (
    HELD_LEAD_CHECKED_AFTER_S,
    MOST_JOURNAL_ENTRIES,
    Claim,
    Completion,
    Ledger,
)
from deliver_leads.ledger_item import read_journal, read_state, write_state
from deliver_leads.outcome import DeferredError, LedgerError, UndecidedError
from deliver_leads.setters import Setter, new_setters
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT
from tests.clock import Clock
from tests.lead_records import DIGEST, SEEN_S, any_state, final, record
from tests.ledger_table import TABLE, create_ledger_table

SETTINGS = Settings.from_environment(ENVIRONMENT)
LEASE_S = 120
HELD_S = LEASE_S + CLOCK_SKEW_S + SETTINGS.settling_s
# When the message of an environment that crashed comes back.
CRASHED_S = SETTINGS.visibility_timeout_s
LEAD_HASH = "hash-1"
ITEM_KEY = {"lead": {"S": LEAD_HASH}, "event": {"S": "#lead"}}
LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}


def event(
    key: str = "key#1",
    operation: Operation = Operation.CREATE,
    lead_hash: str = LEAD_HASH,
    **fields: Json,
) -> LeadEvent:
    """A lead event with this identity."""
    identity = IdempotencyKey(key, DIGEST, from_content=False)
    return LeadEvent(operation, {**LEAD, **fields}, lead_hash, identity, "event-1", "my.crm")


def message(
    message_id: str = "message-1", sent_ms: int = 1_799_999_000_000, receive_count: int = 1
) -> Message:
    """The event's message."""
    return Message(message_id, "receipt", "{}", receive_count, sent_ms)


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


def item(dynamodb: DynamoDBClient, lead_hash: str = LEAD_HASH) -> dict[str, Any]:
    """A lead's item, in DynamoDB's notation."""
    key: dict[str, Any] = {**ITEM_KEY, "lead": {"S": lead_hash}}
    return dict(dynamodb.get_item(TableName=TABLE, Key=key)["Item"])


def delivered(granted: Claim) -> LeadState:
    """The lead once the claimed event is delivered, just now."""
    own, lead = granted.record, granted.event.lead
    done = replace(own, state=State.DELIVERED, updated_s=int(time.time()))
    known = replace(granted.state, lead_id="2345", known_s=int(time.time()))
    return known.with_final(
        done,
        new_setters({}, own.operation, own.order_ms * RANKS_A_MS, lead),
        int(time.time()) - SETTINGS.ledger_s,
    )


def waits(granted: Claim, **more: Any) -> LeadState:
    """The lead if the claimed event comes back later."""
    return granted.state.with_open(replace(granted.record, **({"state": State.WAITING} | more)))


class TestAClaim:
    """One event of a lead at a time."""

    def test_a_new_lead_is_claimed_with_a_new_event(self, ledger: Ledger) -> None:
        """Nothing is known but what the message says."""
        granted = claim(ledger, event("key#1", Operation.UPDATE), message("message-7", sent_ms=1234))
        assert granted.state == LeadState()
        assert granted.record == EventRecord(
            key="key#1",
            digest=DIGEST,
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
        assert claim(ledger, event(lead_hash="hash-2")).state == LeadState()

    def test_a_claim_that_the_aws_client_repeats_is_granted_once(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The first answer was lost. That is no crash, and leaves no trace once the event is complete."""
        ledger = Ledger(AnswersAreLost(dynamodb), SETTINGS)
        granted = claim(ledger)
        assert granted.state == LeadState()
        assert granted.record.crashes == 0
        assert ledger.complete(granted, delivered(granted))
        assert "journal" not in item(dynamodb)

    def test_a_repeated_claim_still_shows_how_often_the_function_crashed_before_it(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The lost answer had shown it first. A claim that was repeated before its crash is one crash."""
        forgetful = Ledger(AnswersAreLost(dynamodb), SETTINGS)
        for crashes in range(3):
            assert claim(forgetful, by=message(receive_count=crashes + 1)).record.crashes == crashes
            clock.now += CRASHED_S

    def test_a_claim_that_was_made_alone_is_known_as_such(self, ledger: Ledger, clock: Clock) -> None:
        """Only its crash counts towards the three that park an event."""
        for alone in (False, True):
            ledger.claim(event(), message(receive_count=1 + alone), LEASE_S, alone=alone)
            clock.now += CRASHED_S
        last = claim(ledger, by=message(receive_count=3)).record
        assert (last.crashes, last.crashes_alone) == (2, 1)


class TestACompletion:
    """The second write: what became of the event, and the lead is free again."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(any_state())
    def test_every_value_of_a_lead_comes_back_as_it_was_stored(
        self, ledger: Ledger, dynamodb: DynamoDBClient, stored: LeadState
    ) -> None:
        """A value that got lost would let an event be sent again, or never."""
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        assert ledger.complete(claim(ledger), stored)
        assert claim(ledger, event("another")).state == stored

    @given(any_state(), any_state())
    def test_a_state_leaves_nothing_of_the_one_before_it(self, before: LeadState, after: LeadState) -> None:
        """A write sets every attribute, an empty one too."""
        assert read_state({**write_state(before), **write_state(after)}) == after

    def test_a_delivery_costs_two_writes_and_no_read(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """They are most of what a lead costs."""
        calls: list[str] = []
        dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        ledger.complete(granted := claim(ledger), delivered(granted))
        assert calls == ["UpdateItem", "UpdateItem"]

    def test_after_a_request_without_an_answer_the_lead_is_left_alone_for_a_while(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """The request may still take effect, after any other that is sent meanwhile."""
        clock.now += 0.5
        ledger.complete(granted := claim(ledger), waits(granted), settling_s=60)
        clock.now += 60 - 0.1
        for key in ("key#1", "key#2"):
            with pytest.raises(DeferredError):
                claim(ledger, event(key))
        clock.now = math.ceil(clock.now)
        assert claim(ledger)

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
        assert ledger.complete(slow, waits(slow)) is False
        assert claim(ledger).state == delivered(quick)

    def test_an_attempt_whose_lease_is_over_but_not_taken_is_still_believed(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Nobody else has sent anything for the lead."""
        granted = claim(ledger)
        clock.now += HELD_S * 2
        assert ledger.complete(granted, delivered(granted)) is True

    def test_a_completion_that_is_repeated_seconds_later_finds_its_own_result(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """The joint write's answer was lost, so it is written alone; else a delivery would be sent again."""
        granted = claim(ledger)
        done = delivered(granted)
        assert ledger.complete(granted, done)
        clock.now += 5
        assert ledger.complete(granted, done)


class TestTheJournal:
    """The claims that were not completed."""

    def test_one_whose_environment_crashed_is_a_request_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Both for the event itself and for the next event of its lead."""
        claim(ledger)
        clock.now += CRASHED_S
        [crashed] = claim(ledger, event("key#2"), message("message-2")).state.open
        assert (crashed.key, crashed.state, crashed.unanswered) == ("key#1", State.WAITING, True)
        clock.now += CRASHED_S
        own = claim(ledger, by=message(receive_count=2))
        assert (own.record.crashes, own.record.unanswered) == (1, True)
        assert {each.key for each in own.state.open} == {"key#1", "key#2"}

    def test_an_attempt_whose_completion_failed_counts_as_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """It may have been delivered."""
        granted = claim(ledger)
        assert Ledger(Broken(THROTTLE), SETTINGS).complete(granted, delivered(granted)) is False
        clock.now += HELD_S
        again = claim(ledger, by=message(receive_count=2))
        assert (again.record.unanswered, again.record.crashes) == (True, 0)

    def crash(self, ledger: Ledger, clock: Clock, times: int) -> None:
        """So many claims of different events, none completed."""
        for number in range(times):
            claim(ledger, event(f"key#{number}", Operation.UPDATE), message(f"message-{number}"))
            clock.now += CRASHED_S

    def test_a_full_one_is_written_into_the_state_by_the_next_claim(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """So that the item has a bound, and no claim is forgotten."""
        self.crash(ledger, clock, MOST_JOURNAL_ENTRIES)
        full = item(dynamodb)
        assert len(read_journal(full)) == MOST_JOURNAL_ENTRIES
        granted = claim(ledger, event("own"))
        assert granted.state == read_state(full).with_journal(read_journal(full))
        assert len(granted.state.open) == MOST_JOURNAL_ENTRIES
        [own] = read_journal(item(dynamodb))
        assert own.key == "own"
        assert ledger.complete(granted, delivered(granted))

    def test_one_with_room_is_left_to_the_completion(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """An explicit write costs."""
        self.crash(ledger, clock, MOST_JOURNAL_ENTRIES - 1)
        claim(ledger, event("own"))
        assert len(read_journal(item(dynamodb))) == MOST_JOURNAL_ENTRIES

    def test_a_full_one_of_a_lead_that_is_held_stays(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """Its owner's completion takes it away."""
        self.crash(ledger, clock, MOST_JOURNAL_ENTRIES - 1)
        granted = claim(ledger, event("own"))
        before = item(dynamodb)
        with pytest.raises(DeferredError):
            claim(ledger, event("another"))
        assert item(dynamodb) == before
        assert ledger.complete(granted, delivered(granted))

    def test_one_that_another_claim_has_written_meanwhile_is_not_written_again(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """That claim has the lead now."""
        self.crash(Ledger(dynamodb, SETTINGS), clock, MOST_JOURNAL_ENTRIES)
        with pytest.raises(DeferredError):
            claim(Ledger(AnotherIsFaster(dynamodb), SETTINGS), event("own"))
        assert [each.key for each in read_journal(item(dynamodb))] == ["faster"]

    def test_one_whose_write_the_aws_client_repeats_is_written_once(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The repeat finds no full journal."""
        self.crash(Ledger(dynamodb, SETTINGS), clock, MOST_JOURNAL_ENTRIES)
        granted = claim(Ledger(AnswersAreLost(dynamodb), SETTINGS), event("own"))
        assert [each.attempts for each in granted.state.open] == [1] * MOST_JOURNAL_ENTRIES


class TestWhatAClaimFinds:
    """The event as it was left."""

    def test_a_parked_message_that_comes_back_finds_itself_parked(self, ledger: Ledger) -> None:
        """So that it is not parked again."""
        granted = claim(ledger)
        ledger.complete(granted, left := waits(granted, state=State.PARKED, parked_as=Outcome.REJECTED))
        assert claim(ledger).record == left.open[0]

    def test_a_parked_event_that_was_sent_again_starts_anew(self, ledger: Ledger) -> None:
        """A redrive gives the message another id."""
        granted = claim(ledger)
        parked_as = {"state": State.PARKED, "parked_as": Outcome.REJECTED}
        ledger.complete(granted, waits(granted, **parked_as, crashes_alone=3))
        redrive = replace(message("redriven", sent_ms=SEEN_S * 1000), parked_event_id="event-1")
        again = claim(ledger, by=redrive).record
        assert (again.state, again.crashes_alone, again.message_id) == (State.WAITING, 0, "redriven")

    def test_a_delivered_event_is_found_among_the_final_ones(self, ledger: Ledger) -> None:
        """By its key; that it is a copy, next_call says."""
        ledger.complete(granted := claim(ledger), delivered(granted))
        again = claim(ledger)
        assert again.record.state is State.UNDER_WAY
        assert again.state.finals == {"key#1": final(Operation.CREATE, 1_799_999_000_000)}


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

    def test_no_personal_data_is_stored(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """Hashes, states and times are."""
        granted = claim(ledger)
        under_way = json.dumps(item(dynamodb))
        ledger.complete(granted, delivered(granted))
        for text in (under_way, json.dumps(item(dynamodb))):
            assert not [value for value in LEAD.values() if value in text]


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


class AnotherIsFaster:
    """A DynamoDB in which another claim comes between this one's first and second write."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self.dynamodb = dynamodb
        self.writes = 0

    def update_item(self, **request: Any) -> Any:
        self.writes += 1
        if self.writes == 2:
            claim(Ledger(self.dynamodb, SETTINGS), event("faster"))
        return self.dynamodb.update_item(**request)


THROTTLE = ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")
NO_NETWORK = EndpointConnectionError(endpoint_url="https://example.com")


class TestALedgerThatCanNotBeWritten:
    """Without its ledger the function sends nothing, and loses nothing."""

    @pytest.mark.parametrize(
        ("fault", "name", "may_be_written"),
        [(THROTTLE, "ThrottlingException", False), (NO_NETWORK, "EndpointConnectionError", True)],
    )
    def test_no_claim_is_granted(
        self, clock: Clock, fault: Exception, name: str, may_be_written: bool
    ) -> None:
        """A send could be a repeat. It is not the leads API's fault, so the breaker stays as it is."""
        with pytest.raises(LedgerError, match=name) as caught:
            claim(Ledger(Broken(fault), SETTINGS))
        assert (caught.value.shared, caught.value.may_be_written) == (False, may_be_written)

    def test_what_no_repetition_cures_is_for_a_person(self, clock: Clock) -> None:
        """DynamoDB refuses the write itself, e.g. because the item is too large."""
        fault = ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")
        with pytest.raises(UndecidedError, match="ValidationException"):
            claim(Ledger(Broken(fault), SETTINGS))

    def test_a_table_of_another_form_is_no_fault_of_the_lead(self, clock: Clock) -> None:
        """The setting names a wrong table, so that all leads wait for somebody to correct it."""
        words = "The provided key element does not match the schema"
        fault = ClientError({"Error": {"Code": "ValidationException", "Message": words}}, "UpdateItem")
        with pytest.raises(LedgerError):
            claim(Ledger(Broken(fault), SETTINGS))

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
    def test_a_completion_that_failed_is_returned_and_not_raised(
        self, clock: Clock, fault: Exception
    ) -> None:
        """Raising would hide how the attempt ended."""
        granted = Claim(event(), "owner", LeadState(), record("key#1"))
        assert Ledger(Broken(fault), SETTINGS).complete(granted, waits(granted)) is False


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
        ledger.complete(first := claim(ledger), delivered(first))
        [known, new] = ledger.claim_new(events, LEASE_S)
        assert known.claim is None
        assert new.claim
        assert ledger.claim(*events[0], LEASE_S, owner=known.owner).state.lead_id == "2345"

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK, KeyError("Responses")])
    def test_a_claim_whose_answer_was_lost_is_taken_up_by_its_owner(
        self,
        dynamodb: DynamoDBClient,
        clock: Clock,
        events: list[tuple[LeadEvent, Message]],
        fault: Exception,
    ) -> None:
        """It is no other's claim, and no crash."""
        ledger = Ledger(JointWritesFail(dynamodb, fault=fault), SETTINGS)
        [early, _] = ledger.claim_new(events, LEASE_S)
        assert early.claim is None
        granted = ledger.claim(*events[0], LEASE_S, owner=early.owner)
        assert (granted.state, granted.record.crashes) == (LeadState(), 0)

    def test_deliveries_are_completed_as_by_a_completion_of_each(
        self, ledger: Ledger, dynamodb: DynamoDBClient, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """The next claim finds them, and the same item lies in the table."""
        claims = [each.claim for each in ledger.claim_new(events, LEASE_S)]
        completions = [Completion(each, delivered(each)) for each in claims if each]
        assert ledger.complete_together(completions, no_time) == [True, True]
        together = item(dynamodb)
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        ledger.complete(alone := ledger.claim(*events[0], LEASE_S), delivered(alone))
        assert together == item(dynamodb)

    def test_an_attempt_that_lost_its_lease_completes_nothing(
        self, ledger: Ledger, clock: Clock, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """The attempt that has the lead now decides; the other lead is completed."""
        claims = [each.claim for each in ledger.claim_new(events, LEASE_S)]
        clock.now += HELD_S
        claim(ledger)
        completions = [Completion(each, delivered(each)) for each in claims if each]
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
        completions = [Completion(each, delivered(each)) for each in claims]
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
        completions = [Completion(each, delivered(each)) for each in claims]
        assert ledger.complete_together(completions, lambda: True) == [True, True]


class Recording:
    """A DynamoDB that keeps the requests of its writes."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self.dynamodb = dynamodb
        self.requests: list[dict[str, Any]] = []

    def update_item(self, **request: Any) -> Any:
        self.requests.append(request)
        return self.dynamodb.update_item(**request)

    def batch_execute_statement(self, Statements: list[Any]) -> Any:  # noqa: N803
        self.requests += Statements
        return self.dynamodb.batch_execute_statement(Statements=Statements)


def size_of(value: dict[str, Any]) -> int:
    """Bytes of a value, as the DynamoDB developer guide counts them ("DynamoDB item sizes and formats")."""
    kind, content = next(iter(value.items()))
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content) + 1) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + size_of(each) for each in content)
    if kind == "M":
        return 3 + sum(1 + len(name) + size_of(each) for name, each in content.items())
    return 1


def item_size(stored: dict[str, Any]) -> int:
    """Bytes of an item."""
    return sum(len(name) + size_of(value) for name, value in stored.items())


HASH = "0123456789abcdef"


def largest(key: str, state: State) -> EventRecord:
    """An event with the longest values that each attribute can have."""
    return EventRecord(
        key=f"{key:>016}",
        digest=HASH[:12],
        operation=Operation.STOP_FOLLOWUP,
        order_ms=SEEN_S * 1000 + 999,
        sent_s=SEEN_S,
        message_id="m" * 36,
        source="s" * 128,
        first_seen_s=SEEN_S,
        updated_s=SEEN_S,
        state=state,
        attempts=999,
        crashes=99,
        crashes_alone=99,
        receive_count=999,
        alone=True,
        unanswered=True,
        due_s=SEEN_S,
        unknown_since_s=SEEN_S,
        reason="r" * LONGEST_REASON,
        parked_as=Outcome.UNCONFIRMED if state is State.PARKED else "",
    )


LARGEST = LeadState(
    lead_id="9" * 18,
    known_s=SEEN_S,
    has_forgotten=True,
    setters={
        f"#{number:012}": Setter(SEEN_S * 1000 * RANKS_A_MS, HASH[:12] if number < 2 else "")
        for number in range(MOST_SETTERS)
    },
    setters_floor=SEEN_S * 1000 * RANKS_A_MS,
    begun_ms=SEEN_S * 1000,
    finals={
        f"{number:016}": final(Operation.CREATE, SEEN_S * 1000, digest=HASH[:12])
        for number in range(MOST_FINALS + MOST_FINAL_CREATES)
    },
    open=tuple(largest(f"{number}", State.PARKED) for number in range(MOST_OPEN)),
    shown=tuple(largest(f"{number}", State.SUPERSEDED) for number in range(SHOWN_EVENTS)),
)


def request_units(*sizes: int) -> int:
    """What writes of items with these sizes cost: one for each kilobyte that is begun."""
    return sum(math.ceil(size / 1024) for size in sizes)


class TestSizes:
    """Each kilobyte of an item costs with every event of the lead, and AWS has quotas."""

    def fill_the_journal(self, ledger: Ledger, clock: Clock) -> None:
        """With claims that are as long as can be, and never completed."""
        for number in range(MOST_JOURNAL_ENTRIES):
            longest = replace(event(f"{number:016}", Operation.STOP_FOLLOWUP), source="s" * 128)
            claim(ledger, longest, message(f"{number:036}", receive_count=999))
            clock.now += CRASHED_S

    def test_the_largest_item_that_the_bounds_allow_is_below_17_kilobytes(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """With a full journal; far from the 400 KB that an item may have. All bounds are reached."""
        ledger.complete(claim(ledger), LARGEST)
        assert item_size(item(dynamodb)) < 14 * 1024
        self.fill_the_journal(ledger, clock)
        stored = item(dynamodb)
        assert read_state(stored) == LARGEST
        assert len(read_journal(stored)) == MOST_JOURNAL_ENTRIES
        assert item_size(stored) < 17 * 1024

    def test_every_expression_and_statement_keeps_awss_quotas(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """4 KB for an expression, 8,192 characters for a statement, whatever the lead."""
        recording = Recording(dynamodb)
        ledger = Ledger(recording, SETTINGS)
        ledger.complete(claim(ledger), LARGEST)
        self.fill_the_journal(ledger, clock)
        ledger.complete(claim(ledger), LARGEST)
        [early] = ledger.claim_new([(event(lead_hash="hash-2"), message())], LEASE_S)
        assert early.claim
        assert ledger.complete_together([Completion(early.claim, LARGEST)], no_time) == [True]
        kinds = ("UpdateExpression", "ConditionExpression", "Statement")
        texts = {kind: {each[kind] for each in recording.requests if kind in each} for kind in kinds}
        assert [len(texts[kind]) for kind in kinds] == [3, 3, 2]
        assert max(map(len, texts["UpdateExpression"] | texts["ConditionExpression"])) < 4 * 1024
        assert max(map(len, texts["Statement"])) < 8 * 1024

    def test_an_ordinary_leads_item_stays_within_2_kilobytes_and_costs_no_more_after_its_second_event(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """A create with nine fields, and then 30 updates, an hour apart. Claim and completion are written."""
        ledger, lead_hash = Ledger(dynamodb, SETTINGS), HASH * 4
        created = ("lastName", "source", "context", "phone", "company", "designation", "scheduleName")
        sizes, units = [], []
        for number in range(31):
            operation = Operation.UPDATE if number else Operation.CREATE
            fields: dict[str, Json] = dict.fromkeys(("context",) if number else created, f"{number}")
            asked = event(f"{number:016}", operation, lead_hash, **fields)
            identity = replace(asked.key, digest=HASH[:12])
            sent_ms = int(clock.now * 1000) - 900
            granted = claim(ledger, replace(asked, key=identity), message(f"{number:036}", sent_ms))
            claimed = item_size(item(dynamodb, lead_hash))
            ledger.complete(granted, delivered(granted))
            # DynamoDB counts the larger one of the item before and after a write.
            units.append(request_units(claimed, claimed))
            sizes.append(claimed)
            clock.now += 3600
        assert max(sizes) <= 2 * 1024
        assert units == [2, 2, *[4] * 29]
