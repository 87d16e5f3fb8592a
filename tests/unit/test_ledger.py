"""The delivery ledger: who may send, who must confirm first, and what is a duplicate."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.idempotency_key import IdempotencyKey
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.ledger import CLOCK_SKEW_S, HELD_EVENT_CHECKED_AFTER_S, Claim, Duplicate, Ledger, State
from deliver_leads.outcome import DeferredError, DeliveredLead, RetryError
from tests.clock import Clock
from tests.ledger_table import TABLE, create_ledger_table

DAY_S = 24 * 3600
LEAD = DeliveredLead(2345, "Cold", 201)
MESSAGE = Message("message-1", "receipt", "{}", 1, 0.0)


def event(key: str = "create#k", lead_hash: str = "hash-1") -> LeadEvent:
    """A lead event with this identity."""
    return LeadEvent(
        Operation.CREATE, {}, lead_hash, IdempotencyKey(key, from_content=key == "create#k"), "event-1"
    )


@pytest.fixture
def clock() -> Clock:
    """Starts at some time."""
    return Clock()


@pytest.fixture
def dynamodb() -> Iterator[DynamoDBClient]:
    """A DynamoDB with the ledger's table."""
    with mock_aws():
        client = boto3.client("dynamodb")
        create_ledger_table(client)
        yield client


def ledger_on(dynamodb: Any, clock: Clock) -> Ledger:
    """A ledger with the default windows."""
    return Ledger(dynamodb, TABLE, duplicate_window_s=DAY_S, key_window_s=14 * DAY_S, clock=clock)


@pytest.fixture
def ledger(dynamodb: DynamoDBClient, clock: Clock) -> Ledger:
    """The ledger under test."""
    return ledger_on(dynamodb, clock)


def claim(ledger: Ledger, of: LeadEvent | None = None) -> Claim:
    """A claim that is granted."""
    granted = ledger.claim(of or event(), MESSAGE, lease_s=120)
    assert isinstance(granted, Claim)
    return granted


def test_a_new_event_may_be_sent_without_confirming(ledger: Ledger) -> None:
    """Nothing of it can stand at 7Targets."""
    assert claim(ledger).maybe_sent is False


def test_a_delivered_event_is_a_duplicate_inside_its_window(ledger: Ledger, clock: Clock) -> None:
    """A repeat by the producer, EventBridge or SQS ends here, and names the lead."""
    ledger.complete(claim(ledger), LEAD)
    clock.now += DAY_S - 1
    assert ledger.claim(event(), MESSAGE, lease_s=120) == Duplicate("2345")


def test_after_the_window_the_event_is_new_even_if_dynamodb_has_not_deleted_it(
    ledger: Ledger, clock: Clock
) -> None:
    """Time to live deletes days late, so the expiry is checked."""
    ledger.complete(claim(ledger), LEAD)
    clock.now += DAY_S
    assert claim(ledger).maybe_sent is False


@pytest.mark.parametrize("key", ["key#k", "event#k"])
def test_explicit_keys_and_event_ids_are_remembered_longer(ledger: Ledger, clock: Clock, key: str) -> None:
    """They say "the same event" for certain, an address only "the same person"."""
    ledger.complete(claim(ledger, event(key)), LEAD)
    clock.now += 14 * DAY_S - 1
    assert isinstance(ledger.claim(event(key), MESSAGE, lease_s=120), Duplicate)


def test_two_leads_with_one_key_are_two_events(ledger: Ledger) -> None:
    """A producer that repeats a key by mistake loses no lead."""
    ledger.complete(claim(ledger, event("key#k", "hash-1")), LEAD)
    assert claim(ledger, event("key#k", "hash-2"))


def test_an_event_that_another_attempt_holds_is_deferred_until_its_lease_is_over(
    ledger: Ledger, clock: Clock
) -> None:
    """Two execution environments with the same message at once send it once."""
    claim(ledger)
    with pytest.raises(DeferredError) as caught:
        ledger.claim(event(), MESSAGE, lease_s=120)
    assert caught.value.delay_s == HELD_EVENT_CHECKED_AFTER_S
    clock.now += 120 + CLOCK_SKEW_S - 3
    with pytest.raises(DeferredError) as caught:
        ledger.claim(event(), MESSAGE, lease_s=120)
    assert caught.value.delay_s == 4


def test_after_a_kill_the_next_attempt_has_to_confirm(ledger: Ledger, clock: Clock) -> None:
    """The killed one may have sent the lead."""
    claim(ledger)
    clock.now += 120 + CLOCK_SKEW_S
    assert claim(ledger).maybe_sent is True


@pytest.mark.parametrize(
    ("state", "must_confirm"), [(State.WAITING, False), (State.REJECTED, False), (State.SENDING, True)]
)
def test_a_released_event_may_be_claimed_at_once_and_remembers_whether_it_may_stand(
    ledger: Ledger, state: State, must_confirm: bool
) -> None:
    """A redrive after a rejection really sends; a lost answer is never forgotten."""
    ledger.release(claim(ledger), state)
    assert claim(ledger).maybe_sent is must_confirm


def test_a_late_release_does_not_undo_what_another_attempt_did(ledger: Ledger, clock: Clock) -> None:
    """An attempt that lost its lease has no say any more."""
    slow = claim(ledger)
    clock.now += 120 + CLOCK_SKEW_S
    ledger.complete(claim(ledger), LEAD)
    assert ledger.release(slow, State.WAITING) is False
    assert isinstance(ledger.claim(event(), MESSAGE, lease_s=120), Duplicate)


def test_the_first_404_is_remembered_between_attempts(ledger: Ledger, clock: Clock) -> None:
    """The grace period of an update counts from there, not from the message's age."""
    first = claim(ledger)
    assert first.unknown_since is None
    first.unknown_since = 999
    ledger.release(first, State.WAITING)
    second = claim(ledger)
    assert second.unknown_since == 999
    second.unknown_since = None
    ledger.release(second, State.REJECTED)
    assert claim(ledger).unknown_since is None


def test_an_undelivered_event_is_remembered_longer_than_any_message_can_live(
    ledger: Ledger, clock: Clock
) -> None:
    """14 days in the lead queue and 14 in the dead-letter queue."""
    ledger.release(claim(ledger), State.SENDING)
    clock.now += 28 * DAY_S
    assert claim(ledger).maybe_sent is True


def test_nothing_but_hashes_and_states_is_stored(ledger: Ledger, dynamodb: DynamoDBClient) -> None:
    """No personal data at rest."""
    ledger.complete(claim(ledger), LEAD)
    [item] = dynamodb.scan(TableName=TABLE)["Items"]
    assert set(item) == {
        "lead",
        "event",
        "state",
        "owner",
        "leaseUntil",
        "operation",
        "messageId",
        "updatedAt",
        "expiresAt",
        "attempts",
        "leadId",
        "leadState",
    }


class Stubborn:
    """A DynamoDB whose writes fail, one way or another."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)

    def update_item(self, **_: object) -> None:
        raise self.faults.pop(0)

    query = update_item


THROTTLE = ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")
NO_NETWORK = EndpointConnectionError(endpoint_url="https://example.com")


@pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
def test_a_ledger_that_can_not_be_written_sends_nothing(clock: Clock, fault: Exception) -> None:
    """Without a claim a send could be a repeat; it is not the API's fault, so the breaker stays as it is."""
    with pytest.raises(RetryError) as caught:
        ledger_on(Stubborn(fault), clock).claim(event(), MESSAGE, lease_s=120)
    assert caught.value.shared is False


@pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
def test_a_delivery_that_can_not_be_noted_is_told_but_not_raised(clock: Clock, fault: Exception) -> None:
    """The lead is delivered; raising would send it again."""
    granted = Claim(event(), "owner", maybe_sent=False, unknown_since=None)
    assert ledger_on(Stubborn(fault), clock).complete(granted, LEAD) is False


@pytest.mark.parametrize("fault", [THROTTLE, NO_NETWORK])
def test_a_ledger_that_can_not_be_read_confirms_nothing(clock: Clock, fault: Exception) -> None:
    """The create stays unconfirmed and comes back."""
    with pytest.raises(RetryError) as caught:
        ledger_on(Stubborn(fault), clock).find_follower(event())
    assert caught.value.shared is False


def update_event() -> LeadEvent:
    """An update of the lead that `event` creates."""
    return LeadEvent(Operation.UPDATE, {}, "hash-1", IdempotencyKey("event#u", from_content=False), "event-2")


def test_an_update_under_way_makes_the_confirmation_of_its_create_wait(ledger: Ledger, clock: Clock) -> None:
    """In between, a confirming update would undo it; once it is delivered, it is the confirmation."""
    under_way = claim(ledger, update_event())
    with pytest.raises(DeferredError):
        ledger.find_follower(event())
    ledger.complete(under_way, LEAD)
    assert ledger.find_follower(event()) == DeliveredLead("2345", "Cold", None)


def test_an_update_that_was_not_applied_proves_nothing(ledger: Ledger) -> None:
    """It waits for its create."""
    ledger.release(claim(ledger, update_event()), State.WAITING)
    assert ledger.find_follower(event()) is None


class LosesFirstAnswer:
    """A DynamoDB whose answer to the first write is lost, so that botocore repeats the write."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        self.dynamodb = dynamodb

    def update_item(self, **request: Any) -> Any:
        self.dynamodb.update_item(**request)
        return self.dynamodb.update_item(**request)


def test_a_claim_that_botocore_had_to_repeat_is_granted_and_confirms(
    dynamodb: DynamoDBClient, clock: Clock
) -> None:
    """The repeat finds the lease of its own first try; what stood there before is no longer known."""
    granted = ledger_on(LosesFirstAnswer(dynamodb), clock).claim(event(), MESSAGE, lease_s=120)
    assert isinstance(granted, Claim)
    assert granted.maybe_sent is True
