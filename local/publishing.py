"""Publishing lead events to the deployed stack, through the bus or straight to the lead queue."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from local.stack.deployment import Deployment

LARGEST_BATCH = 10  # of SendMessageBatch and of PutEvents
SOURCE = "crm.example"
# The words with which the sandbox refuses the leads that a run chooses to have refused.
REFUSED_WORDS = "the address is on the suppression list"

# The names are written again here, because what judges the function shares no code with it.
_DETAIL_TYPES = {"create": "Lead Created", "update": "Lead Updated", "stop_followup": "Lead Followup Stopped"}


@dataclass(frozen=True)
class LeadToPublish:
    """One event to publish. `body` is what is sent; `problem` is what the reason of its rejection must name.

    `expected` is an outcome: delivered, duplicate or rejected. `group` is the message's group, for the queue
    only. `detail_type` is for the bus only; empty, it is the operation's.
    """

    channel: str
    operation: str
    lead: dict[str, Any]
    body: str
    expected: str
    problem: str = ""
    key: str = ""
    group: str = ""
    detail_type: str = ""

    @property
    def email(self) -> str:
        return str(self.lead.get("email", "")).strip().lower()


Event = TypeVar("Event", bound=LeadToPublish)


@dataclass(frozen=True)
class Published(Generic[Event]):
    """An event under way: `id` is SQS's message id or EventBridge's event id."""

    event: Event
    id: str


def publish(deployment: Deployment, events: Iterable[Event]) -> Iterator[list[Published[Event]]]:
    """Publishes in the given order, in batches of neighbours that take one channel; yields each batch."""
    for channel, neighbours in itertools.groupby(events, key=lambda event: event.channel):
        send = _put_events if channel == "eventbridge" else _send_messages
        rest = list(neighbours)
        for start in range(0, len(rest), LARGEST_BATCH):
            batch = rest[start : start + LARGEST_BATCH]
            ids = send(deployment, batch)
            yield [Published(event, event_id) for event, event_id in zip(batch, ids, strict=True)]


def _send_messages(deployment: Deployment, batch: Sequence[LeadToPublish]) -> list[str]:
    answer = deployment.sqs.send_message_batch(
        QueueUrl=deployment.outputs["LeadQueueUrl"],
        Entries=[
            {"Id": str(number), "MessageBody": event.body}
            | ({"MessageGroupId": event.group} if event.group else {})
            for number, event in enumerate(batch)
        ],
    )
    ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
    return [ids[str(number)] for number in range(len(batch))]


def _put_events(deployment: Deployment, batch: Sequence[LeadToPublish]) -> list[str]:
    answer = deployment.events.put_events(
        Entries=[
            {
                "EventBusName": deployment.outputs["EventBusName"],
                "Source": SOURCE,
                "DetailType": event.detail_type or _DETAIL_TYPES[event.operation],
                "Detail": event.body,
            }
            for event in batch
        ]
    )
    return [entry["EventId"] for entry in answer["Entries"]]
