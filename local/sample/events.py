"""The sample's lead events: what is published, and what must become of each."""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local.stack.deployment import Deployment

SAMPLE = Path(__file__).with_name("leads.csv")
# The stack's setting leadDefaults in the run; most rows of the sample leave the assistant to it.
LEAD_DEFAULTS = {"assistantEmail": "sam@example.com", "source": "Website form"}
# The problem of leads in the sample that are well formed, and that the sandbox refuses with these words.
REFUSED_WORDS = "the address is on the suppression list"
LARGEST_BATCH = 10  # of SendMessageBatch and of PutEvents

_DETAIL_TYPES = {"create": "Lead Created", "update": "Lead Updated", "stop_followup": "Lead Followup Stopped"}
_NOT_FIELDS = ("channel", "operation", "idempotencyKey", "problem")


@dataclass(frozen=True)
class SampleEvent:
    """One event to publish. `body` is what goes out; `problem` is what the reason of its rejection must name.

    `expected` is an outcome: delivered, duplicate or rejected.
    """

    channel: str
    operation: str
    lead: dict[str, Any]
    body: str
    expected: str
    problem: str = ""
    key: str = ""

    @property
    def email(self) -> str:
        return str(self.lead.get("email", "")).strip().lower()


@dataclass(frozen=True)
class Published:
    """An event under way: `id` is SQS's message id or EventBridge's event id."""

    event: SampleEvent
    id: str


def read_sample() -> list[SampleEvent]:
    """The rows of the sample, in the order they are to be published; an empty cell is an absent field."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return [_read_row(row) for row in csv.DictReader(file)]


def malformed_events() -> Iterator[SampleEvent]:
    """What no spreadsheet could hold: bodies and types that a producer got wrong."""
    lead = {"name": "Nadia", "email": "nadia@example.com"}
    plain = {"operation": "create", "lead": lead}
    envelope = {"id": "made-up", "detail-type": "Lead Created", "detail": {"lead": lead}}
    bodies: dict[str, tuple[str, Any]] = {
        "not JSON": ("body", "name=Nadia&email=nadia@example.com"),
        "cut off": ("body", json.dumps(plain)[:-9]),
        "an array": ("body", [plain]),
        "a phone as a number": ("lead.phone", {**plain, "lead": {**lead, "phone": 4930231250}}),
        "no lead": ("lead", {"operation": "create"}),
        "a key that is no text": ("idempotencyKey", {**plain, "idempotencyKey": 12}),
        "an unknown detail-type": ("detail-type", {**envelope, "detail-type": "Lead Deleted"}),
        "an envelope in an envelope": ("detail", {**envelope, "detail": envelope}),
    }
    for problem, content in bodies.values():
        body = content if isinstance(content, str) else json.dumps(content)
        yield SampleEvent("sqs", "", {}, body, "rejected", problem)


def repeats(events: Iterable[SampleEvent], count: int) -> list[SampleEvent]:
    """`count` events to publish once more: half creates without a key, half events of any kind with one."""
    good = [event for event in events if event.expected == "delivered"]
    keyless = [event for event in good if event.operation == "create" and not event.key]
    with_key = [event for event in good if event.key]
    half = count // 2
    chosen = keyless[:: len(keyless) // half][:half] + with_key[:: len(with_key) // half][:half]
    return [replace(event, expected="duplicate") for event in chosen]


def publish(deployment: Deployment, events: Iterable[SampleEvent]) -> Iterator[list[Published]]:
    """Publishes in the given order, in batches of neighbours that take one channel; yields each batch."""
    for channel, neighbours in itertools.groupby(events, key=lambda event: event.channel):
        send = _put_events if channel == "eventbridge" else _send_messages
        rest = list(neighbours)
        for start in range(0, len(rest), LARGEST_BATCH):
            batch = rest[start : start + LARGEST_BATCH]
            ids = send(deployment, batch)
            yield [Published(event, event_id) for event, event_id in zip(batch, ids, strict=True)]


def _read_row(row: dict[str, str]) -> SampleEvent:
    lead = {name: value for name, value in row.items() if value and name not in _NOT_FIELDS}
    content: dict[str, Any] = {"lead": lead}
    if row["idempotencyKey"]:
        content["idempotencyKey"] = row["idempotencyKey"]
    if row["channel"] == "sqs" and row["operation"]:
        content["operation"] = row["operation"]
    return SampleEvent(
        channel=row["channel"],
        operation=row["operation"],
        lead=lead,
        body=json.dumps(content, ensure_ascii=False),
        expected="rejected" if row["problem"] else "delivered",
        problem=row["problem"],
        key=row["idempotencyKey"],
    )


def _send_messages(deployment: Deployment, batch: list[SampleEvent]) -> list[str]:
    answer = deployment.sqs.send_message_batch(
        QueueUrl=deployment.outputs["LeadQueueUrl"],
        Entries=[{"Id": str(number), "MessageBody": event.body} for number, event in enumerate(batch)],
    )
    ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
    return [ids[str(number)] for number in range(len(batch))]


def _put_events(deployment: Deployment, batch: list[SampleEvent]) -> list[str]:
    answer = deployment.events.put_events(
        Entries=[
            {
                "EventBusName": deployment.outputs["EventBusName"],
                "Source": "crm.example",
                "DetailType": _DETAIL_TYPES[event.operation],
                "Detail": event.body,
            }
            for event in batch
        ]
    )
    return [entry["EventId"] for entry in answer["Entries"]]
