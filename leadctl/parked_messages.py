"""Messages in the two dead-letter queues: looking at them without keeping them, sending, deleting.

SQS can't list a queue. So messages are received, which hides them from everybody else for a while, and what
isn't touched is given back at once. If leadctl is killed, they come back by themselves.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from deliver_leads.contract import DeadLetterAttribute
from deliver_leads.event.envelope import LeadEvent, UnreadableError, read_event
from deliver_leads.event.message import Message
from leadctl.deployed_settings import DeployedSettings
from leadctl.moments import epoch, iso_ms
from leadctl.target import Target

# How long a message is hidden from everybody else, unless it is given back.
LOOKED_AT_S = 300
LARGEST_BATCH = 10
# SQS's bound for all messages of a batch together was this for years, and still is in some emulators.
LARGEST_BATCH_BYTES = 262_144
# More would take minutes, and their bodies a lot of memory.
MOST_READ = 10_000
# The message group in which the stack's rule puts all its events on a FIFO queue.
GROUP_OF_THE_RULE = "leads"
# Its longest event age: EventBridge gives an event up, and so sends it to the queue, by then.
_LONGEST_TRIED_S = 86_400
_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "hidden": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


class Place(StrEnum):
    """The two dead-letter queues, in an operator's words."""

    LEADS = "leads"  # what the function parked, or SQS after 1,000 receives
    EVENTS = "events"  # what EventBridge couldn't put into the lead queue

    @property
    def output(self) -> str:
        """The stack's output with the queue's URL."""
        return {"leads": "DeadLetterQueueUrl", "events": "RuleDeadLetterQueueUrl"}[self]


@dataclass(frozen=True)
class Parked:
    """One parked message. `attributes` are SQS's message attributes as they came."""

    place: Place
    queue_url: str
    message_id: str
    receipt_handle: str
    body: str
    attributes: dict[str, Any]
    sent_s: float
    group_id: str | None

    @classmethod
    def from_sqs(cls, place: Place, queue_url: str, message: Any) -> "Parked":  # noqa: ANN401 - boto3's dict
        """Reads what ReceiveMessage answers."""
        system = message.get("Attributes", {})
        return cls(
            place=place,
            queue_url=queue_url,
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            attributes=message.get("MessageAttributes", {}),
            sent_s=int(system.get("SentTimestamp", 0)) / 1000,
            group_id=system.get("MessageGroupId"),
        )

    def text(self, name: str) -> str | None:
        """A message attribute."""
        value = self.attributes.get(name, {}).get("StringValue")
        return str(value) if value is not None else None

    @property
    def reason(self) -> str:
        """The outcome with which it was parked, or why it never got so far."""
        if self.place is Place.EVENTS:
            return "undelivered"
        return self.text(DeadLetterAttribute.REASON) or "given up"

    @property
    def detail(self) -> str:
        """The problems, or the API's or EventBridge's words."""
        known = self.text(DeadLetterAttribute.DETAIL)
        if known is not None:
            return known
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html, and SNS's own names.
        words = [self.text(name) for name in ("ERROR_CODE", "ERROR_MESSAGE", "ErrorCode", "ErrorMessage")]
        said = ": ".join(word for word in words if word)
        return said or "SQS moved it here after 1,000 receives, so the function didn't say why"

    @property
    def status(self) -> str | None:
        """The API's HTTP status."""
        status = self.text(DeadLetterAttribute.STATUS)
        return None if status == "-" else status

    @property
    def event_id(self) -> str:
        """By which the function tells a keyless update or stop from others."""
        return self.text(DeadLetterAttribute.EVENT_ID) or self.message_id

    def as_message(self, body: str | None = None) -> Message:
        """As the function sees it when it is sent again."""
        attached = {
            name: {"stringValue": value["StringValue"]}
            for name, value in self.sent_attributes().items()
            if "StringValue" in value
        }
        return Message.from_record(
            {
                "messageId": self.message_id,
                "receiptHandle": "",
                "body": self.body if body is None else body,
                "messageAttributes": attached,
            }
        )

    def read(self, settings: DeployedSettings, body: str | None = None) -> LeadEvent | UnreadableError:
        """As the function reads it."""
        try:
            return read_event(self.as_message(body), settings.lead_defaults, settings.event_sources)
        except UnreadableError as error:
            return error

    @property
    def first_seen_s(self) -> float:
        """When its event came first: it decides which of two events of a lead is the later one."""
        known = epoch(self.text(DeadLetterAttribute.FIRST_SEEN))
        if known is not None:
            return known
        published = _published_s(self.body) if self.place is Place.EVENTS else None
        if published is not None and 0 <= self.sent_s - published <= _LONGEST_TRIED_S:
            return published
        return self.sent_s

    def sent_attributes(self) -> dict[str, Any]:
        """The message attributes with which it is sent again: its own, and what the function tells it by.

        A message that was sent again has a new id and a new time. The function takes the old ones from these
        attributes, but only where there is a reason too. SQS takes ten of them.
        """
        known = {name: value for name, value in self.attributes.items() if value.get("DataType")}
        if DeadLetterAttribute.REASON in known:
            return known
        added = {
            DeadLetterAttribute.REASON: self.reason,
            DeadLetterAttribute.EVENT_ID: self.event_id,
            DeadLetterAttribute.FIRST_SEEN: iso_ms(self.first_seen_s),
        }
        typed = {str(name): {"DataType": "String", "StringValue": text} for name, text in added.items()}
        return dict(islice((typed | {n: v for n, v in known.items() if n not in typed}).items(), 10))


@dataclass(frozen=True)
class Looked:
    """What was received. `hidden` messages are being looked at by others; `unread` were too many."""

    messages: list[Parked]
    hidden: int = 0
    unread: int = 0


class ParkedMessages:
    """The dead-letter queues of a target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sqs = target.client("sqs")
        self._held: dict[str, Parked] = {}

    def counts(self, place: Place) -> dict[str, int]:
        """Approximate, as SQS says: `waiting`, `hidden` (received by somebody), `delayed`."""
        return queue_counts(self._sqs, self._target.output(place.output))

    @contextmanager
    def look(self, places: Sequence[Place] = tuple(Place), most: int = MOST_READ) -> Iterator[Looked]:
        """Receives all there is, up to `most` of a queue, and gives back what is left of it at the end."""
        try:
            looked = [self._receive_all(place, most) for place in places]
            yield Looked(
                sorted(
                    (each for part in looked for each in part.messages), key=lambda each: each.first_seen_s
                ),
                sum(part.hidden for part in looked),
                sum(part.unread for part in looked),
            )
        finally:
            self._give_back()

    def _receive_all(self, place: Place, most: int) -> Looked:
        url, counts = self._target.output(place.output), self.counts(place)
        found: list[Parked] = []
        empty_answers = 0
        # SQS may answer with nothing although there is something; only its long polls ask all its servers.
        while len(found) < most and empty_answers < (1 if len(found) >= counts["waiting"] else 3):
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=LARGEST_BATCH,
                VisibilityTimeout=LOOKED_AT_S,
                WaitTimeSeconds=1 if len(found) < counts["waiting"] else 0,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            batch = [Parked.from_sqs(place, url, each) for each in answer.get("Messages", [])]
            self._held |= {each.message_id: each for each in batch}
            found += batch
            empty_answers = 0 if batch else empty_answers + 1
        return Looked(found, counts["hidden"], max(0, counts["waiting"] - len(found)))

    def keep_only(self, messages: Sequence[Parked]) -> None:
        """Gives back all others at once, because a person may now think for a while."""
        kept = {each.message_id: each for each in messages}
        self._held = {name: each for name, each in self._held.items() if name not in kept}
        self._give_back()
        self._held = kept

    def _give_back(self) -> None:
        for batch in batches(list(self._held.values())):
            self._set_visibility(batch, 0)
        self._held.clear()

    def _set_visibility(self, batch: Sequence[Parked], timeout_s: int) -> list[Parked]:
        """Those of the batch, all of one queue, for which SQS took the timeout."""
        answer = self._sqs.change_message_visibility_batch(
            QueueUrl=batch[0].queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": each.receipt_handle, "VisibilityTimeout": timeout_s}
                for index, each in enumerate(batch)
            ],
        )
        return [batch[int(each["Id"])] for each in answer.get("Successful", [])]

    def hold(self, messages: Sequence[Parked], timeout_s: int = LOOKED_AT_S) -> list[Parked]:
        """Those that are still ours, now for `timeout_s` seconds more; another may have taken the rest."""
        return [each for batch in batches(messages) for each in self._set_visibility(batch, timeout_s)]

    def send_again(self, messages: Sequence[Parked], bodies: Sequence[str] | None = None) -> list[Parked]:
        """Puts them into the lead queue; returns those that SQS took. Their parked messages stay.

        All in one batch; the caller deletes before it sends the next one.
        """
        texts = bodies or [each.body for each in messages]
        answer = self._sqs.send_message_batch(
            QueueUrl=self._target.output("LeadQueueUrl"),
            Entries=[
                {
                    "Id": str(index),
                    "MessageBody": text,
                    "MessageAttributes": each.sent_attributes(),
                    **self._group(each, text),
                }
                for index, (each, text) in enumerate(zip(messages, texts, strict=True))
            ],
        )
        return [messages[int(each["Id"])] for each in answer.get("Successful", [])]

    def _group(self, parked: Parked, body: str) -> dict[str, str]:
        if not self._target.is_fifo:
            return {"MessageGroupId": parked.group_id} if parked.group_id else {}
        # The same text of the same parked message is one message to SQS for five minutes: a second try after
        # leadctl was killed before it could delete. The next parking of this lead has another message id.
        digest = hashlib.sha256(f"{parked.message_id} {body}".encode()).hexdigest()
        return {
            "MessageGroupId": parked.group_id or GROUP_OF_THE_RULE,
            "MessageDeduplicationId": digest,
        }

    def delete(self, messages: Sequence[Parked]) -> list[Parked]:
        """Returns those that SQS deleted."""
        deleted: list[Parked] = []
        for batch in batches(messages):
            answer = self._sqs.delete_message_batch(
                QueueUrl=batch[0].queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": each.receipt_handle}
                    for index, each in enumerate(batch)
                ],
            )
            gone = [batch[int(each["Id"])] for each in answer.get("Successful", [])]
            for each in gone:
                self._held.pop(each.message_id, None)
            deleted += gone
        return deleted


def batches(messages: Iterable[Parked]) -> Iterator[list[Parked]]:
    """In their order; each of one queue and small enough for any of SQS's batch calls."""
    batch: list[Parked] = []
    size = 0
    for each in messages:
        bytes_ = len(each.body.encode()) + len(str(each.attributes).encode())
        is_full = len(batch) == LARGEST_BATCH or size + bytes_ > LARGEST_BATCH_BYTES
        if batch and (is_full or each.queue_url != batch[0].queue_url):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += bytes_
    if batch:
        yield batch


def queue_counts(sqs: Any, queue_url: str) -> dict[str, int]:  # noqa: ANN401 - a boto3 client
    """How many messages a queue has, as far as SQS knows at the moment."""
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_COUNTS.values()))
    return {name: int(answer["Attributes"].get(attribute, 0)) for name, attribute in _COUNTS.items()}


def _published_s(body: str) -> float | None:
    try:
        event = json.loads(body)
    except ValueError:
        return None
    return epoch(event.get("time")) if isinstance(event, dict) else None
