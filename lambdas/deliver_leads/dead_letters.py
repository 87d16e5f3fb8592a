"""Parking a lead in the dead-letter queue: the original body, with attributes that say why."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .contract import DeadLetterAttribute, Outcome
from .event.message import Message
from .outcome import DeliveryError

# An SQS message with its attributes holds at most 1 MiB (AWS quota since 2025).
LARGEST_MESSAGE_BYTES = 1_048_576
# Characters that SQS refuses in a text, with InvalidMessageContents. Not compiled here, because that takes 5
# ms of each cold start.
_NOT_SQS_TEXT = "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


class DeadLetterQueue:
    """The queue in which a lead waits for a person. Safe under threads (a boto3 client is)."""

    def __init__(self, sqs: Any, queue_url: str) -> None:  # noqa: ANN401 - a boto3 SQS client
        self._sqs = sqs
        self._queue_url = queue_url

    def park(self, message: Message, event_id: str, reason: Outcome, error: DeliveryError) -> None:
        """Raises botocore's `ClientError` or `BotoCoreError`: then the lead must stay in the lead queue."""
        attributes = {
            DeadLetterAttribute.REASON: reason,
            DeadLetterAttribute.MESSAGE_ID: message.message_id,
            DeadLetterAttribute.EVENT_ID: event_id,
            DeadLetterAttribute.FIRST_SEEN: message.parked_first_seen or _iso_time(message.sent_at),
            DeadLetterAttribute.STATUS: str(error.status) if error.status is not None else "-",
            DeadLetterAttribute.DETAIL: error.detail,
        }
        # Of SQS's fair queues.
        groups = {"MessageGroupId": message.group_id} if message.group_id else {}
        self._sqs.send_message(
            QueueUrl=self._queue_url,
            MessageBody=message.body,
            MessageAttributes=_fitting(attributes, LARGEST_MESSAGE_BYTES - len(message.body.encode())),
            **groups,
        )


def _fitting(attributes: Mapping[DeadLetterAttribute, str], room_bytes: int) -> dict[str, dict[str, str]]:
    """Returns as many of the attributes, in order, as fit beside the body; the last of them is cut short."""
    fitting: dict[str, dict[str, str]] = {}
    for name, value in attributes.items():
        room_bytes -= len(name) + len("String")
        text = re.sub(_NOT_SQS_TEXT, "?", value).encode()[: max(0, room_bytes)].decode("utf-8", "ignore")
        if not text:
            break
        fitting[name] = {"DataType": "String", "StringValue": text}
        room_bytes -= len(text.encode())
    return fitting


def _iso_time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
