"""The lead queue and the two dead-letter queues: what is in them, and sending parked leads again."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.page.history import one_form
from local.stack.deployment import Deployment

# Long enough to send a few hundred, short enough to be back soon if this process is killed meanwhile.
_HELD_S = 60
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_DEAD_LETTER_QUEUES = ("DeadLetterQueueUrl", "RuleDeadLetterQueueUrl")


@dataclass(frozen=True)
class QueuedMessage:
    """A message in a queue. `email` is empty when the body names none; `visible_at` is an epoch second."""

    id: str
    body: str
    attributes: Mapping[str, str]
    email: str
    visible_at: int
    sent_at: int

    @property
    def reason(self) -> str:
        """Why it was parked. EventBridge's own attributes are in capitals."""
        given = self.attributes
        text = (
            given.get("detail") or given.get("ERROR_MESSAGE") or given.get("reason") or "no reason is given"
        )
        # A field has another path in an event of the bus, which makes no other reason.
        return "; ".join(part.removeprefix("detail.") for part in text.split(" | "))

    @property
    def first_seen(self) -> float:
        """When the event first came, as an epoch second."""
        try:
            return datetime.fromisoformat(self.attributes["firstSeen"]).timestamp()
        except (KeyError, ValueError):
            return self.sent_at


def count_parked(deployment: Deployment) -> int:
    """The number of messages in both dead-letter queues, with those that somebody is looking at."""
    return sum(
        int(value)
        for output in _DEAD_LETTER_QUEUES
        for value in deployment.sqs.get_queue_attributes(
            QueueUrl=deployment.outputs[output], AttributeNames=list(_COUNTS)
        )["Attributes"].values()
    )


def waiting_messages(deployment: Deployment) -> list[QueuedMessage]:
    """All messages of the lead queue, with those in flight."""
    return _look_into(deployment, "LeadQueueUrl")


def parked_messages(deployment: Deployment) -> list[QueuedMessage]:
    """All messages of both dead-letter queues, the longest parked first."""
    return [message for output in _DEAD_LETTER_QUEUES for message in _look_into(deployment, output)]


def group_by_reason(messages: Iterable[QueuedMessage]) -> dict[str, list[QueuedMessage]]:
    """The parked messages by their reason, the commonest reason first."""
    groups: dict[str, list[QueuedMessage]] = {}
    for message in messages:
        groups.setdefault(message.reason, []).append(message)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def retry(deployment: Deployment, message_ids: Iterable[str]) -> list[str]:
    """Sends these parked messages to the lead queue, attributes and all; returns the new messages' ids.

    Each is deleted only after it was sent. If this process ends in between, the event is in both queues, and
    the second delivery is a duplicate for the ledger.
    """
    wanted = set(message_ids)
    return [
        _send_again(deployment, deployment.outputs[output], message)
        for output in _DEAD_LETTER_QUEUES
        for message in _take(deployment, deployment.outputs[output], wanted)
    ]


def _take(deployment: Deployment, queue_url: str, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """Receives the wanted ones; the others, which are received on the way, come back at the end."""
    others = []
    try:
        while wanted:
            answer = deployment.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HELD_S,
                MessageAttributeNames=["All"],
                AttributeNames=["All"],
            )
            for message in answer.get("Messages", []):
                if message["MessageId"] in wanted:
                    wanted.discard(message["MessageId"])
                    yield message
                else:
                    others.append(message["ReceiptHandle"])
            if not answer.get("Messages"):
                return
    finally:
        for handle in others:
            deployment.sqs.change_message_visibility(
                QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=0
            )


def _send_again(deployment: Deployment, parked_in: str, message: Mapping[str, Any]) -> str:
    group = message.get("Attributes", {}).get("MessageGroupId")
    sent = deployment.sqs.send_message(
        QueueUrl=deployment.outputs["LeadQueueUrl"],
        MessageBody=message["Body"],
        MessageAttributes={
            name: {"DataType": value["DataType"], "StringValue": value["StringValue"]}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        **({"MessageGroupId": group} if group else {}),
    )
    deployment.sqs.delete_message(QueueUrl=parked_in, ReceiptHandle=message["ReceiptHandle"])
    return str(sent["MessageId"])


def _look_into(deployment: Deployment, output: str) -> list[QueuedMessage]:
    return [_read(message) for message in deployment.emulator.messages(deployment.outputs[output])]


def _read(message: Mapping[str, Any]) -> QueuedMessage:
    attributes = {
        name: str(value.get("StringValue", "")) for name, value in message["MessageAttributes"].items()
    }
    body = str(message["Body"])
    return QueuedMessage(
        message["MessageId"],
        body,
        attributes,
        find_address(body),
        int(message["VisibleAt"]),
        int(message["SentTimestamp"]),
    )


def find_address(body: str) -> str:
    """The lead's address in a message, an event of the bus, or one that came through a topic."""
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for name in ("detail", "Message", "detail"):
        inner = content.get(name) if isinstance(content, dict) else None
        if isinstance(inner, str) and inner.startswith("{"):
            return find_address(inner)
        content = inner if isinstance(inner, dict) else content
    lead = content.get("lead") if isinstance(content, dict) else None
    email = lead.get("email") if isinstance(lead, dict) else None
    return one_form(email) if isinstance(email, str) else ""
