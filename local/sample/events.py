"""The sample's lead events: what is published, and what must become of each."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.publishing import LeadToPublish

SAMPLE = Path(__file__).with_name("leads.csv")
# The stack's setting leadDefaults in the run; most rows of the sample have no assistant of their own.
LEAD_DEFAULTS = {"assistantEmail": "sam@example.com", "source": "Website form"}
_NOT_FIELDS = ("channel", "operation", "idempotencyKey", "problem")


def read_sample() -> list[LeadToPublish]:
    """The rows of the sample, in the order they are to be published; an empty cell is an absent field."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return [_read_row(row) for row in csv.DictReader(file)]


def malformed_events() -> Iterator[LeadToPublish]:
    """What no spreadsheet could hold: bodies and types that a producer got wrong, one of them on the bus."""
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
        "an envelope in an envelope": ("detail", {**envelope, "detail": envelope}),
    }
    for problem, content in bodies.values():
        body = content if isinstance(content, str) else json.dumps(content)
        yield LeadToPublish("sqs", "", {}, body, "rejected", problem)
    misspelt = json.dumps({"lead": lead})
    yield LeadToPublish(
        "eventbridge", "", {}, misspelt, "rejected", "detail-type", detail_type="Lead Craeted"
    )


def repeats(events: Iterable[LeadToPublish], count: int) -> list[LeadToPublish]:
    """`count` events to publish once more: half creates without a key, half events of any kind with one."""
    good = [event for event in events if event.expected == "delivered"]
    keyless = [event for event in good if event.operation == "create" and not event.key]
    with_key = [event for event in good if event.key]
    half = count // 2
    chosen = keyless[:: len(keyless) // half][:half] + with_key[:: len(with_key) // half][:half]
    return [replace(event, expected="duplicate") for event in chosen]


def _read_row(row: dict[str, str]) -> LeadToPublish:
    lead = {name: value for name, value in row.items() if value and name not in _NOT_FIELDS}
    content: dict[str, Any] = {"lead": lead}
    if row["idempotencyKey"]:
        content["idempotencyKey"] = row["idempotencyKey"]
    if row["channel"] == "sqs" and row["operation"]:
        content["operation"] = row["operation"]
    return LeadToPublish(
        channel=row["channel"],
        operation=row["operation"],
        lead=lead,
        body=json.dumps(content, ensure_ascii=False),
        expected="rejected" if row["problem"] else "delivered",
        problem=row["problem"],
        key=row["idempotencyKey"],
    )
