"""The delivery ledger on moto: who may send for a lead, what is remembered, and what survives a crash."""

import json
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from deliver_leads import after_call
from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.idempotency_key import IdempotencyKey, derive_key
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.lead_state import (
    CLOCK_SKEW_S,
    LONGEST_REASON,
    MOST_FINAL_CREATES,
    MOST_FINALS,
    MOST_OPEN,
    MOST_SETTERS,
    SHOWN_EVENTS,
    EventRecord,
    Final,
    LeadState,
    Setter,
    State,
)
from deliver_leads.ledger import (
    HELD_LEAD_CHECKED_AFTER_S,
    MOST_JOURNAL_ENTRIES,
    Claim,
    Completion,
    Ledger,
)
from deliver_leads.next_call import setters_of
from deliver_leads.outcome import (
    DeferredError,
    DeliveredLead,
    LedgerError,
    Outcome,
    RetryError,
    UndecidedError,
)
from deliver_leads.settings import Settings
from tests.clock import Clock
from tests.lead_records import SEEN_S, any_state, record
from tests.ledger_table import TABLE, create_ledger_table
from tests.settings import ENVIRONMENT

SETTINGS = Settings.from_environment(ENVIRONMENT)
LEASE_S = 120
HELD_S = LEASE_S + CLOCK_SKEW_S + SETTINGS.settling_s
# When the message of an environment that crashed comes back.
CRASHED_S = SETTINGS.visibility_timeout_s
LEAD_HASH = "hash-1"
ITEM_KEY = {"lead": {"S": LEAD_HASH}, "event": {"S": "#lead"}}
LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
OPEN = record("0123456789abcdef", Operation.STOP_FOLLOWUP, digest="d" * 12, order_ms=SEEN_S * 1000)
FINAL = Final(State.DELIVERED, True, "d" * 12, SEEN_S * 1000)


def event(
    key: str = "key#1", operation: Operation = Operation.CREATE, lead_hash: str = LEAD_HASH
) -> LeadEvent:
    """A lead event with this identity."""
    return LeadEvent(
        operation,
        dict(LEAD),
        lead_hash,
        IdempotencyKey(key, "digest", from_content=False),
        "event-1",
        "my.crm",
    )


def message(
    message_id: str = "message-1",
    sent_ms: int = 1_799_999_000_000,
    receive_count: int = 1,
    parked_event_id: str | None = None,
) -> Message:
    """The event's message."""
    return Message(message_id, "receipt", "{}", receive_count, sent_ms, parked_event_id=parked_event_id)


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


def delivered(granted: Claim, lead: Mapping[str, Any] = LEAD) -> LeadState:
    """The lead after the claimed event was delivered just now."""
    setters = setters_of(granted.state, granted.record, lead, lead, begins=True)
    answer = DeliveredLead(2345, "Cold", 201)
    return after_call.delivered(granted.state, granted.record, setters, answer, int(time.time()), SETTINGS)


def waits(granted: Claim) -> LeadState:
    """The lead while the claimed event waits for its next attempt."""
    return granted.state.with_open(replace(granted.record, state=State.WAITING))


class TestAClaim:
    """One event of a lead at a time."""

    def test_a_new_lead_is_claimed_with_a_new_event(self, ledger: Ledger) -> None:
        """Nothing is known but what the message says."""
        granted = claim(ledger, event("key#1", Operation.UPDATE), message("message-7", sent_ms=1234))
        assert granted.state == LeadState()
        assert granted.record == EventRecord(
            key="key#1",
            digest="digest",
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


class TestACompletion:
    """The second write: what became of the event, and the lead is free again."""

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(stored=any_state())
    def test_every_value_of_a_lead_comes_back_as_it_was_stored(
        self, ledger: Ledger, dynamodb: DynamoDBClient, stored: LeadState
    ) -> None:
        """A value that got lost would let an event be sent again, or never."""
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        assert ledger.complete(claim(ledger), stored)
        assert claim(ledger, event("another")).state == stored

    def test_nothing_of_an_earlier_state_is_left(self, ledger: Ledger) -> None:
        """Each completion writes all attributes."""
        full = LeadState("7", 1, True, {"name": Setter(1, "a")}, 1, {"a": FINAL}, (OPEN,), (OPEN,))
        for state in (full, LeadState()):
            assert ledger.complete(claim(ledger), state)
        assert claim(ledger).state == LeadState()

    def test_a_delivery_costs_two_writes_and_no_read(self, ledger: Ledger, dynamodb: DynamoDBClient) -> None:
        """They are most of what a lead costs."""
        calls: list[str] = []
        dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
        ledger.complete(granted := claim(ledger), delivered(granted))
        assert calls == ["UpdateItem", "UpdateItem"]

    def test_the_next_event_may_be_claimed_at_once(self, ledger: Ledger) -> None:
        """It sees the event before it, and an empty journal."""
        ledger.complete(first := claim(ledger), done := delivered(first))
        assert claim(ledger, event("key#2")).state == done

    def test_after_a_request_without_an_answer_the_lead_is_left_alone_for_a_while(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """The request may still take effect, after any other that is sent meanwhile."""
        clock.now += 0.5
        ledger.complete(granted := claim(ledger), waits(granted), quiet_s=60)
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
        assert ledger.complete(quick, done := delivered(quick)) is True
        assert ledger.complete(slow, waits(slow)) is False
        assert claim(ledger).state == done

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


class TestTheJournal:
    """Claims since the state was written last."""

    def test_a_claim_whose_environment_crashed_is_a_request_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """Both for the event itself and for the next event of its lead."""
        claim(ledger)
        clock.now += CRASHED_S
        [crashed] = claim(ledger, event("key#2"), message("message-2")).state.open
        assert (crashed.key, crashed.state, crashed.unanswered) == ("key#1", State.WAITING, True)
        clock.now += CRASHED_S
        own = claim(ledger, by=message(receive_count=2))
        assert own.record.crashes == 1
        assert {each.key: each.attempts for each in own.state.open} == {"key#1": 1, "key#2": 1}

    @pytest.mark.parametrize("alone", [True, False])
    def test_a_crash_is_counted_once_however_many_claims_follow(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock, alone: bool
    ) -> None:
        """The completion has taken it into the state, with whether the event was tried alone."""
        ledger.claim(event(), message(), LEASE_S, alone=alone)
        clock.now += CRASHED_S
        for _ in range(2):
            ledger.complete(granted := claim(ledger, event("key#2")), waits(granted))
            assert "journal" not in item(dynamodb)
        own = claim(ledger, by=message(receive_count=2)).record
        assert (own.crashes, own.crashes_alone) == (1, int(alone))

    def test_an_attempt_whose_completion_failed_counts_as_without_an_answer(
        self, ledger: Ledger, clock: Clock
    ) -> None:
        """It may have been delivered."""
        granted = claim(ledger)
        assert Ledger(Broken(THROTTLE), SETTINGS).complete(granted, delivered(granted)) is False
        clock.now += HELD_S
        assert claim(ledger).record.unanswered

    def test_a_full_journal_is_taken_into_the_state_by_the_next_claim(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The item has a bound, however often the function crashed, and no crash is forgotten."""
        for place in range(MOST_JOURNAL_ENTRIES):
            claim(ledger, by=message(receive_count=place + 1))
            clock.now += CRASHED_S
        assert len(item(dynamodb)["journal"]["L"]) == MOST_JOURNAL_ENTRIES
        own = claim(ledger, by=message(receive_count=MOST_JOURNAL_ENTRIES + 1))
        assert (own.record.crashes, own.record.attempts) == (MOST_JOURNAL_ENTRIES, MOST_JOURNAL_ENTRIES)
        [entry] = item(dynamodb)["journal"]["L"]
        assert int(entry["M"]["receiveCount"]["N"]) == MOST_JOURNAL_ENTRIES + 1
        assert ledger.complete(own, done := delivered(own))
        assert claim(ledger).state == done

    def test_a_full_journal_of_a_lead_that_is_held_is_left_alone(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """Its last claim is under way, and completes it."""
        for _ in range(MOST_JOURNAL_ENTRIES):
            clock.now += CRASHED_S
            last = claim(ledger)
        before = item(dynamodb)
        with pytest.raises(DeferredError):
            claim(ledger, event("key#2"))
        assert item(dynamodb) == before
        assert ledger.complete(last, delivered(last))

    @pytest.mark.xfail(
        strict=True,
        raises=ValueError,
        reason="moto fails at size() of a missing attribute; attribute_exists(journal[7]) says the same",
    )
    def test_a_full_journal_whose_write_the_aws_client_repeats_is_taken_in_once(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The repeat finds no full journal."""
        for _ in range(MOST_JOURNAL_ENTRIES):
            claim(ledger)
            clock.now += CRASHED_S
        assert claim(Ledger(AnswersAreLost(dynamodb), SETTINGS)).record.attempts == MOST_JOURNAL_ENTRIES

    def test_of_two_that_find_a_full_journal_only_one_takes_it_in(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """The other finds the lead held, and has changed nothing."""
        for place in range(MOST_JOURNAL_ENTRIES):
            claim(ledger, by=message(receive_count=place + 1))
            clock.now += CRASHED_S
        rival = Rival(dynamodb, lambda: claim(ledger, by=message(receive_count=MOST_JOURNAL_ENTRIES + 1)))
        with pytest.raises(DeferredError):
            claim(Ledger(rival, SETTINGS), event("key#2"))
        [entry] = item(dynamodb)["journal"]["L"]
        assert entry["M"]["key"]["S"] == "key#1"
        [open_event] = item(dynamodb)["openEvents"]["L"]
        assert open_event["M"]["attempts"] == {"N": str(MOST_JOURNAL_ENTRIES)}


class TestWhatAClaimFinds:
    """The event as it was left."""

    def test_a_parked_message_that_comes_back_finds_itself_parked(self, ledger: Ledger) -> None:
        """So that it is not parked again."""
        granted = claim(ledger)
        parked = replace(granted.record, state=State.PARKED, parked_as=Outcome.REJECTED)
        ledger.complete(granted, granted.state.with_open(parked))
        assert claim(ledger).record == parked

    @pytest.mark.parametrize("again", [{"sent_ms": (SEEN_S + 31) * 1000}, {"parked_event_id": "event-1"}])
    def test_a_parked_event_that_was_sent_again_starts_anew(
        self, ledger: Ledger, again: dict[str, Any]
    ) -> None:
        """A redrive gives the message another id, and an attribute shows it."""
        granted = claim(ledger)
        parked = replace(granted.record, state=State.PARKED, parked_as=Outcome.REJECTED, crashes=3)
        ledger.complete(granted, granted.state.with_open(parked))
        own = claim(ledger, by=message("redriven", **again)).record
        assert (own.state, own.crashes, own.message_id) == (State.WAITING, 0, "redriven")


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
        """Hashes, states and times are; of what a producer names freely, not even the name."""
        lead: dict[str, Any] = LEAD | {"janes.own.field": "her words"}
        granted = ledger.claim(replace(event(), lead=lead), message(), LEASE_S)
        under_way = json.dumps(item(dynamodb))
        ledger.complete(granted, delivered(granted, lead))
        for text in (under_way, json.dumps(item(dynamodb))):
            assert not [word for word in (*map(str, lead.values()), "janes.own.field") if word in text]
        assert len(item(dynamodb)["setters"]["M"]) == 4

    def test_an_ordinary_lead_costs_no_more_with_each_event(
        self, ledger: Ledger, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """A create with eight fields, then an update each hour: each write costs a unit for each kilobyte."""
        lead = LEAD | dict.fromkeys(("lastName", "source", "context", "phone", "scheduleName"), "words")
        claims, completions = [], []
        for number in range(40):
            clock.now += 3600
            create = number == 0
            own = LeadEvent(
                Operation.CREATE if create else Operation.UPDATE,
                dict(lead),
                LEAD_HASH,
                derive_key(f"record-1-{number}", Operation.UPDATE, lead, ""),
                str(uuid.UUID(int=number)),
                "my.crm",
            )
            by = message(str(uuid.UUID(int=number)), sent_ms=round(clock.now * 1000))
            granted = ledger.claim(own, by, LEASE_S)
            claims.append(size_of(item(dynamodb)))
            state = after_call.delivered(
                granted.state,
                granted.record,
                setters_of(granted.state, granted.record, lead, lead, begins=create),
                DeliveredLead(123456789, "Cold", 201),
                int(clock.now),
                SETTINGS,
            )
            assert ledger.complete(granted, state)
            completions.append(size_of(item(dynamodb)))
        before = [0, *completions]
        units = [
            (write_units(earlier, taken), write_units(taken, done))
            for earlier, taken, done in zip(before, claims, completions, strict=False)
        ]
        assert max(claims) <= 2048
        assert set(units[3:]) == {units[2]}

    def test_the_largest_item_is_far_below_what_dynamodb_takes(
        self, dynamodb: DynamoDBClient, clock: Clock
    ) -> None:
        """All parts at their bounds: 22 KB of 400. Expressions may have 4 KB, statements 8,192 characters."""
        watched = Watched(dynamodb)
        ledger = Ledger(watched, SETTINGS)
        largest = replace(
            OPEN,
            message_id="m" * 36,
            source="s" * 128,
            reason="\u20ac" * LONGEST_REASON,
            parked_as=Outcome.UNCONFIRMED,
            redriven=True,
            attempts=999,
            crashes=99,
            crashes_alone=99,
            receive_count=999,
            alone=True,
            unanswered=True,
            due_s=SEEN_S,
            unknown_since_s=SEEN_S,
            state=State.PARKED,
        )
        keys = [f"{number:016x}" for number in range(99)]
        full = LeadState(
            "9" * 18,
            SEEN_S,
            True,
            {f"#{number:012}": Setter(10**13, "f" * 12, begins=True) for number in range(MOST_SETTERS)},
            10**13,
            dict.fromkeys(keys[: MOST_FINALS + MOST_FINAL_CREATES], FINAL),
            tuple(replace(largest, key=key) for key in keys[:MOST_OPEN]),
            (largest,) * SHOWN_EVENTS,
        )
        own = replace(event(), source="s" * 128)
        by = message("m" * 36)
        [early] = ledger.claim_new([(own, by)], LEASE_S)
        assert early.claim
        assert ledger.complete_together([Completion(early.claim, full)], no_time) == [True]
        sizes = []
        for _ in range(MOST_JOURNAL_ENTRIES + 1):
            last = ledger.claim(own, by, LEASE_S)
            sizes.append(size_of(item(dynamodb)))
            clock.now += CRASHED_S
        assert ledger.complete(last, full)
        assert max(sizes) < 24 * 1024
        assert watched.longest["Statement"] < 8192
        assert watched.longest["UpdateExpression"] < 4096
        assert watched.longest["ConditionExpression"] < 4096


def write_units(before: int, after: int) -> int:
    """What a write costs: a unit for each kilobyte of the item, whichever of before and after is larger."""
    return math.ceil(max(before, after) / 1024)


def size_of(item: dict[str, Any]) -> int:
    """An item's size by the rules of AWS ("DynamoDB item sizes and formats")."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: dict[str, Any]) -> int:
    [(kind, content)] = value.items()
    if kind == "M":
        return 3 + len(content) + size_of(content)
    if kind == "L":
        return 3 + sum(1 + _value_size(each) for each in content)
    if kind == "N":
        return math.ceil(len(content.lstrip("-")) / 2) + 1
    return len(content.encode()) if kind == "S" else 1


class Watched:
    """A DynamoDB that notes how long the longest text of each kind was."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self._dynamodb = dynamodb
        self.longest: dict[str, int] = {}

    def update_item(self, **request: Any) -> Any:
        self._note(request)
        return self._dynamodb.update_item(**request)

    def batch_execute_statement(self, Statements: list[Any]) -> Any:  # noqa: N803
        for statement in Statements:
            self._note(statement)
        return self._dynamodb.batch_execute_statement(Statements=Statements)

    def _note(self, request: dict[str, Any]) -> None:
        for name, text in request.items():
            if isinstance(text, str):
                self.longest[name] = max(len(text.encode()), self.longest.get(name, 0))


class Rival:
    """A DynamoDB in which another claim is carried out just after the first answer."""

    def __init__(self, dynamodb: DynamoDBClient, other: Callable[[], object]) -> None:
        self._dynamodb = dynamodb
        self._other: Callable[[], object] | None = other

    def update_item(self, **request: Any) -> Any:
        try:
            return self._dynamodb.update_item(**request)
        finally:
            other, self._other = self._other, None
            if other:
                other()


class Broken:
    """A DynamoDB whose writes fail."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def update_item(self, **_: object) -> None:
        raise self.fault


class BreaksAfterwards:
    """A DynamoDB whose writes fail after the first one."""

    def __init__(self, dynamodb: DynamoDBClient, fault: Exception) -> None:
        self._writes: list[Callable[..., Any]] = [Broken(fault).update_item, dynamodb.update_item]

    def update_item(self, **request: Any) -> Any:
        return self._writes.pop()(**request)


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
    def test_a_completion_that_failed_is_returned_and_not_raised(
        self, clock: Clock, fault: Exception
    ) -> None:
        """Raising would hide how the attempt ended."""
        granted = Claim(event(), "owner", LeadState(), OPEN)
        assert Ledger(Broken(fault), SETTINGS).complete(granted, granted.state) is False

    def test_a_claim_that_never_can_be_written_is_for_a_person(self, clock: Clock) -> None:
        """No repetition cures it, so the event is parked with this reason."""
        fault = ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")
        with pytest.raises(UndecidedError, match="the ledger can't hold this lead: ValidationException"):
            claim(Ledger(Broken(fault), SETTINGS))

    @pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
    def test_no_claim_is_granted_when_a_full_journal_can_not_be_taken_in(
        self, dynamodb: DynamoDBClient, clock: Clock, fault: Exception
    ) -> None:
        """Nothing was changed, so the next claim tries it again."""
        ledger = Ledger(dynamodb, SETTINGS)
        for _ in range(MOST_JOURNAL_ENTRIES):
            claim(ledger)
            clock.now += CRASHED_S
        with pytest.raises(LedgerError):
            claim(Ledger(BreaksAfterwards(dynamodb, fault), SETTINGS))
        assert claim(ledger).record.attempts == MOST_JOURNAL_ENTRIES


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
        ledger.complete(first := claim(ledger), done := delivered(first))
        [known, new] = ledger.claim_new(events, LEASE_S)
        assert known.claim is None
        assert new.claim
        assert ledger.claim(*events[0], LEASE_S, owner=known.owner).state == done

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
        """The same item, as the next claim finds it."""
        claims = [each.claim for each in ledger.claim_new(events, LEASE_S)]
        completions = [Completion(each, delivered(each)) for each in claims if each]
        assert ledger.complete_together(completions, no_time) == [True, True]
        together = item(dynamodb)
        dynamodb.delete_item(TableName=TABLE, Key=ITEM_KEY)
        ledger.complete(granted := ledger.claim(*events[0], LEASE_S), delivered(granted))
        assert together == item(dynamodb)

    def test_an_attempt_that_lost_its_lease_completes_nothing(
        self, ledger: Ledger, clock: Clock, events: list[tuple[LeadEvent, Message]]
    ) -> None:
        """Whoever has the lead now decides; the other lead is completed."""
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
