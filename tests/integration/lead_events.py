"""Lead events, faults and looks at the API that several files of tests share."""

import json
import time
from typing import Any

from tests.integration.conftest import Pipeline
from tests.integration.simulated_queue import SimulatedQueue

HOUR_S, DAY_S = 3600, 86_400


def lead(name: str = "jane", **fields: object) -> dict[str, object]:
    """A lead of that name."""
    return {
        "name": name.title(),
        "email": f"{name}@example.com",
        "assistantEmail": "sam@example.net",
    } | fields


def create(name: str = "jane", **fields: object) -> dict[str, object]:
    """A create of that lead."""
    return {"operation": "create", "lead": lead(name, **fields)}


def update(name: str = "jane", **fields: object) -> dict[str, object]:
    """An update of that lead."""
    return {"operation": "update", "lead": lead(name, **fields)}


def stop(name: str = "jane") -> dict[str, object]:
    """A stop of that lead's follow-up."""
    return {"operation": "stop_followup", "lead": lead(name)}


def record(body: object, number: int, **attributes: str) -> dict[str, Any]:
    """A record that never was in a queue."""
    return {
        "messageId": f"message-{number}",
        "receiptHandle": f"receipt-{number}",
        "body": json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))}
        | attributes,
    }


def fail_once(operation: str, **fault: object) -> dict[str, object]:
    """A rule for the sandbox."""
    return {"operation": operation, "times": 1, "fault": fault}


def jane(pipeline: Pipeline) -> dict[str, Any]:
    """The lead as 7Targets holds it."""
    return pipeline.leads()["jane@example.com"]


def calls_for_jane(pipeline: Pipeline) -> list[tuple[str, int | None]]:
    """Her calls that arrived: operation and status."""
    return [
        (each["operation"], each["status"])
        for each in pipeline.ask_sandbox("requests")
        if each["email"] == "jane@example.com"
    ]


def break_api(queue: SimulatedQueue) -> None:
    """Until `pipeline.fail()`: six other leads have opened the breaker."""
    queue.pipeline.fail({"operation": "leads", "fault": {"kind": "status", "status": 503}})
    queue.deliver(*[queue.send(create(f"other{number}")) for number in range(6)])
