"""What tests put into a stage: leads, parked bodies, alarms, the function's answers, a local run."""

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from deliver_leads.event.envelope import LeadEvent, read_event
from deliver_leads.event.message import Message
from deliver_leads.lead_state import State
from deliver_leads.ledger import Claim
from tests.leadctl.conftest import Stage

JANE = "jane@example.com"
BODY = {
    "operation": "create",
    "idempotencyKey": "webinar-2041",
    "lead": {"name": "Jane", "email": JANE, "assistantEmail": "sam@example.com"},
}
LEAD: dict[str, Any] = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.com"}
CHECKED = {"ok": True, "checked": ["secret", "ledger"], "notChecked": [], "problems": []}


def claim(stage: Stage, body: dict[str, Any] = BODY, message_id: str = "message-1") -> Claim:
    """An attempt has begun, as the function notes it."""
    message = Message(message_id, "receipt", json.dumps(body), 1, int(time.time() * 1000))
    event = read_event(message, {})
    assert isinstance(event, LeadEvent)
    return stage.ledger.claim(event, message, lease_s=60)


def complete(stage: Stage, claimed: Claim, lead_id: str = "", **changes: Any) -> None:
    """The attempt has ended, as the function notes it."""
    record, state = replace(claimed.record, **changes), claimed.state
    is_final = record.state is State.DELIVERED
    after = state.with_final(record, {}, oldest_s=0) if is_final else state.with_open(record)
    assert stage.ledger.complete(claimed, replace(after, lead_id=lead_id))


def parked_body(number: int = 1, **fields: Any) -> dict[str, Any]:
    """An update of a lead of its own."""
    lead = LEAD | {"email": f"jane.{number}@example.com"} | fields
    return {"operation": "update", "idempotencyKey": f"crm-{number}", "lead": lead}


def event_of(message: dict[str, Any]) -> LeadEvent:
    """A message of the lead queue as the function reads it."""
    attached = {
        name: {"stringValue": value["StringValue"]} for name, value in message["MessageAttributes"].items()
    }
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": "",
        "body": message["Body"],
        "messageAttributes": attached,
        "attributes": message["Attributes"],
    }
    return read_event(Message.from_record(record), {})


def raise_alarm(name: str, state: str = "ALARM", **dimensions: str) -> None:
    """An alarm of the stage's, in that state."""
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=f"LeadMonitoring-dev-{name}",
        Namespace="n",
        MetricName="m",
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName=f"LeadMonitoring-dev-{name}", StateValue=state, StateReason="-")


def answer_of_function(stage: Stage, payload: object, **more: Any) -> None:
    """What the invoked function answers."""
    stage.answers["Invoke"] = lambda _: {"Payload": io.BytesIO(json.dumps(payload).encode()), **more}


def write_local_run(folder: Path, stage: Stage, **changed: Any) -> None:
    """The file that a local run leaves for leadctl."""
    run = {
        "endpointUrl": "http://127.0.0.1:4566",
        "region": "us-east-1",
        "account": "000000000000",
        "accessKeyId": "test",
        "secretAccessKey": "test",
        "stackName": "LeadDelivery-dev",
        "outputs": stage.outputs,
    }
    (folder / ".local").mkdir()
    (folder / ".local" / "run.json").write_text(json.dumps(run | changed), "utf-8")
