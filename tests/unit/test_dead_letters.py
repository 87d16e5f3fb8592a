"""Parking: the original body, with everything a person needs, whatever its size and characters."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_sqs import SQSClient

from deliver_leads.contract import Outcome
from deliver_leads.dead_letters import LARGEST_MESSAGE_BYTES, DeadLetterQueue
from deliver_leads.event.message import Message
from deliver_leads.outcome import RejectedError


@pytest.fixture
def sqs() -> Iterator[SQSClient]:
    """An SQS of moto's."""
    with mock_aws():
        yield boto3.client("sqs")


def park(sqs: SQSClient, message: Message, error: RejectedError) -> dict[str, Any]:
    """The parked message as a person receives it."""
    url = sqs.create_queue(QueueName="parked")["QueueUrl"]
    DeadLetterQueue(sqs, url).park(message, "event-1", Outcome.REJECTED, error)
    [parked] = sqs.receive_message(
        QueueUrl=url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    return dict(parked)


def request_for(message: Message, queue_url: str, error: RejectedError | None = None) -> dict[str, Any]:
    """What SQS is asked for when the message is parked."""
    sent: dict[str, Any] = {}

    class Sqs:
        def send_message(self, **request: Any) -> None:
            sent.update(request)

    DeadLetterQueue(Sqs(), queue_url).park(message, "event-1", Outcome.REJECTED, error or RejectedError("no"))
    return sent


def message(body: str = '{"operation": 1}', **more: Any) -> Message:
    """A message that is to be parked."""
    return Message("message-1", "receipt", body, 1, 1_795_166_999_500, **more)


def attributes_of(parked: dict[str, Any]) -> dict[str, str]:
    """Names and values."""
    return {name: value["StringValue"] for name, value in parked["MessageAttributes"].items()}


def test_a_parked_lead_keeps_its_body_and_says_why(sqs: SQSClient) -> None:
    """An operator can act on it, and a redrive finds the identity it had."""
    parked = park(
        sqs, message(), RejectedError("answered 400", detail="answered 400: no such assistant", status=400)
    )
    assert parked["Body"] == '{"operation": 1}'
    assert attributes_of(parked) == {
        "reason": "rejected",
        "detail": "answered 400: no such assistant",
        "status": "400",
        "messageId": "message-1",
        "eventId": "event-1",
        "firstSeen": "2026-11-20T09:29:59.500+00:00",
    }


def test_a_lead_that_is_parked_again_keeps_the_time_it_was_first_seen(sqs: SQSClient) -> None:
    """A redrive gives a message a new sent time."""
    parked = park(sqs, message(parked_first_seen="2026-11-01T00:00:00+00:00"), RejectedError("no"))
    assert attributes_of(parked)["firstSeen"] == "2026-11-01T00:00:00+00:00"
    assert attributes_of(parked)["status"] == "-"


@pytest.mark.parametrize("spare_bytes", [0, 6, 20, 100, 200, 400])
def test_a_body_of_the_largest_size_is_parked_with_as_much_of_the_reason_as_fits(
    spare_bytes: int,
) -> None:
    """A message that can't be parked would be retried for days."""
    body = "é" * ((LARGEST_MESSAGE_BYTES - spare_bytes) // 2)
    attributes = request_for(message(body), "url", RejectedError("ü" * 500))["MessageAttributes"]
    size = len(body.encode()) + sum(
        len(name) + len("String") + len(value["StringValue"].encode()) for name, value in attributes.items()
    )
    assert size <= LARGEST_MESSAGE_BYTES
    assert all(value["StringValue"] for value in attributes.values())
    assert spare_bytes < 20 or attributes["reason"]["StringValue"] == "rejected"


def test_characters_that_sqs_refuses_are_replaced(sqs: SQSClient) -> None:
    """The API's words may hold anything."""
    parked = park(sqs, message(), RejectedError("no", detail="bad \x00 \ud800 word\n"))
    assert attributes_of(parked)["detail"] == "bad ? ? word\n"


def test_a_message_with_a_group_is_parked_in_it_without_a_deduplication_id() -> None:
    """Fair queues give messages groups, but SQS refuses a deduplication id on every standard queue."""
    request = request_for(message(group_id="tenant-1"), "https://sqs.example.com/1/parked")
    assert request["MessageGroupId"] == "tenant-1"
    assert "MessageDeduplicationId" not in request


def test_a_message_without_a_group_is_parked_without_one() -> None:
    """SQS takes no empty group."""
    request = request_for(message(), "https://sqs.example.com/1/parked")
    assert not {"MessageGroupId", "MessageDeduplicationId"} & request.keys()


def test_the_sent_time_comes_back_exactly_from_a_parked_lead() -> None:
    """It decides which of two events of a lead is the later one, to the millisecond."""
    for sent_ms in range(1_795_166_999_000, 1_795_166_999_000 + 1000):
        parked = request_for(replace(message(), sent_ms=sent_ms), "https://sqs.example.com/1/parked")
        first_seen = parked["MessageAttributes"]["firstSeen"]["StringValue"]
        redriven = replace(message(), sent_ms=sent_ms + 1, parked_first_seen=first_seen)
        assert redriven.order_ms == sent_ms
