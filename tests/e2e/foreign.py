"""The worked examples of other people's events, ready to be put on a bus of the deployed stack."""

import json
import uuid
from typing import Any

from local.stack.deployment import Deployment
from tests.foreign_events import IGNORED, load, mappings

# PutEvents takes no source that begins with "aws.": those are AWS's own and its partners'.
_PARTNER, _STAND_IN = "aws.partner/", "partner/"
_ADDRESS = "jane.doe@example.com"


def foreign_mappings() -> list[dict[str, Any]]:
    """The examples' mappings, for events that a test may put."""
    return list(json.loads(json.dumps(mappings()).replace(_PARTNER, _STAND_IN)))


def new_foreign_event(example: str, address: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """An example's event, of a person nobody has seen before unless the address says it, and the lead it must
    become; of an event that is left out, no lead."""
    lead: dict[str, Any] = (
        {"lead": {}, "idempotencyKey": "unused"} if example in IGNORED else load(example, "lead")
    )
    texts = [json.dumps(load(example, "event")), json.dumps(lead["lead"])]
    address = address or f"{uuid.uuid4().hex}@example.com"
    given, new = lead["idempotencyKey"], uuid.uuid4()
    key = str(new.int)[: len(given)] if given.isdigit() else new.hex  # a number stays one
    event, expected = (
        json.loads(text.replace(_ADDRESS, address).replace(given, key).replace(_PARTNER, _STAND_IN))
        for text in texts
    )
    return event, expected


def put(deployment: Deployment, event: dict[str, Any]) -> str:
    """Puts the event on the stack's bus; returns its id."""
    answer = deployment.events.put_events(
        Entries=[
            {
                "EventBusName": deployment.outputs["EventBusName"],
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": json.dumps(event["detail"]),
            }
        ]
    )
    assert answer["FailedEntryCount"] == 0, answer
    return str(answer["Entries"][0]["EventId"])
