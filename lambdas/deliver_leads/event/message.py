"""An SQS record as the function sees it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..contract import DeadLetterAttribute

# SQS keeps a message for 14 days at most, so SQS did not set a time that is further off: the console's
# sample event, for example, has one of 2018.
_BELIEVABLE_AGE_MS = 15 * 86_400 * 1000


@dataclass(frozen=True, slots=True)
class Message:
    """A record, reduced to what the function acts on.

    `sent_ms` is in epoch milliseconds. `parked_event_id` and `parked_first_seen` come from the attributes of
    a message that was parked before: a redrive gives a message a new id and a new sent time (AWS: "redriven
    messages are assigned a new messageID and enqueueTime").
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_ms: int
    group_id: str | None = None
    parked_event_id: str | None = None
    parked_first_seen: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Message":
        """Reads a record of a Lambda SQS event; only `messageId` and `receiptHandle` must be there."""
        attributes = record.get("attributes") or {}
        attached = record.get("messageAttributes") or {}
        # Only the function itself attaches a reason; a producer's own attributes mean nothing here.
        noted = attached if DeadLetterAttribute.REASON in attached else {}
        body = record.get("body")
        return cls(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=body if isinstance(body, str) else json.dumps(body),
            receive_count=max(1, _whole_number_or(attributes.get("ApproximateReceiveCount"), 1)),
            sent_ms=_believable_or_now(_whole_number_or(attributes.get("SentTimestamp"), 0)),
            group_id=attributes.get("MessageGroupId"),
            parked_event_id=(noted.get(DeadLetterAttribute.EVENT_ID) or {}).get("stringValue"),
            parked_first_seen=(noted.get(DeadLetterAttribute.FIRST_SEEN) or {}).get("stringValue"),
        )

    @property
    def sent_at(self) -> float:
        """When the message was sent, in epoch seconds."""
        return self.sent_ms / 1000

    @property
    def order_ms(self) -> int:
        """The time by which a lead's events are ordered: when the event first came, in epoch milliseconds.

        A redriven message was sent again long after its event came, so the time it was first seen counts.
        """
        first_seen_ms = _epoch_ms(self.parked_first_seen)
        # Any producer can set that attribute, but none can make its event later than SQS took it.
        return self.sent_ms if first_seen_ms is None else min(first_seen_ms, self.sent_ms)


def _whole_number_or(text: object, otherwise: int) -> int:
    try:
        return int(str(text))
    except ValueError:
        return otherwise


def _believable_or_now(sent_ms: int) -> int:
    now_ms = int(time.time() * 1000)
    return sent_ms if abs(now_ms - sent_ms) <= _BELIEVABLE_AGE_MS else now_ms


def _epoch_ms(iso_time: str | None) -> int | None:
    """The time in epoch milliseconds; None for a text that is no time or has no offset from UTC."""
    try:
        moment = datetime.fromisoformat(iso_time or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else round(moment.timestamp() * 1000)
