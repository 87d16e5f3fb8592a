"""One parked message: why it is parked, and how its event keeps its identity when it is sent again."""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from deliver_leads.contract import DeadLetterAttribute
from deliver_leads.event.address import same_address
from deliver_leads.event.envelope import LeadEvent, UnreadableError, read_event
from deliver_leads.event.loggable import sha256
from deliver_leads.event.message import Message
from leadctl.deployed_settings import DeployedSettings
from leadctl.moments import epoch, iso, iso_ms
from leadctl.output import without_mark

# EventBridge's longest event age: it gives an event up, and so sends it to the queue, by then.
_LONGEST_TRIED_S = 86_400


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

    @property
    def parked_id(self) -> str:
        """Its event with its body: the same when it is sent again unchanged and parked again."""
        return f"{self.event_id}#{sha256(self.body)[:8]}"

    def with_body(self, body: str) -> "Parked":
        """The same parked message, to be sent again with another body and its own identity."""
        return replace(self, body=body, attributes=self.sent_attributes())

    @property
    def size(self) -> int:
        """In bytes; the attributes generously."""
        return len(self.body.encode()) + len(str(self.attributes).encode())

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
        """By which the function recognises a keyless update or stop."""
        return self.text(DeadLetterAttribute.EVENT_ID) or self.message_id

    def as_message(self) -> Message:
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
                "body": self.body,
                "messageAttributes": attached,
            }
        )

    def read(self, settings: DeployedSettings) -> LeadEvent | UnreadableError:
        """As the function reads it."""
        try:
            return read_event(
                self.as_message(), settings.lead_defaults, settings.event_sources, settings.mapper
            )
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
        """The message attributes with which it is sent again: its own, and those that identify it.

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

    def json_line(self) -> str:
        """Everything, for a file."""
        return json.dumps(self.as_json(), ensure_ascii=False) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Everything, for `show` and for files: personal data too."""
        return {
            "messageId": self.message_id,
            "queue": self.place,
            "reason": self.reason,
            "detail": self.detail,
            "status": self.status,
            "firstSeen": iso(self.first_seen_s),
            "parked": iso(self.sent_s),
            "eventId": self.event_id,
            "groupId": self.group_id,
            "attributes": {
                name: value["StringValue"]
                for name, value in self.attributes.items()
                if "StringValue" in value
            },
            "body": self.body,
        }


def names_person(body: str, address: str) -> bool:
    """Whether a body that can't be read as an event holds the address, as it was typed or in its one form."""
    text = body.lower()
    return address.lower() in text or same_address(address) in text


def _published_s(body: str) -> float | None:
    try:
        event = json.loads(without_mark(body))
    except ValueError:
        return None
    return epoch(event.get("time")) if isinstance(event, dict) else None
