"""An SQS record as the function sees it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..contract import DeadLetterAttribute


@dataclass(frozen=True, slots=True)
class Message:
    """A record, reduced to what the function acts on.

    Times are epoch seconds. `parked_event_id` and `parked_first_seen` come from the attributes of a message
    that was parked before: a redrive gives a message a new id and a new sent time (AWS: "redriven
    messages are assigned a new messageID and enqueueTime").
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: float
    group_id: str | None = None
    parked_event_id: str | None = None
    parked_first_seen: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Message":
        """Reads a record of a Lambda SQS event; only `messageId` and `receiptHandle` must be there."""
        attributes = record.get("attributes") or {}
        noted = record.get("messageAttributes") or {}
        body = record.get("body")
        return cls(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=body if isinstance(body, str) else json.dumps(body),
            receive_count=int(attributes.get("ApproximateReceiveCount", "1")),
            sent_at=int(attributes.get("SentTimestamp", "0")) / 1000,
            group_id=attributes.get("MessageGroupId"),
            parked_event_id=(noted.get(DeadLetterAttribute.EVENT_ID) or {}).get("stringValue"),
            parked_first_seen=(noted.get(DeadLetterAttribute.FIRST_SEEN) or {}).get("stringValue"),
        )
