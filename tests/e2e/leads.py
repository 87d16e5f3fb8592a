"""Made-up leads for the deployed stack: sending them, and waiting for them at the sandbox."""

import json
import uuid
from typing import Any

from local.stack.deployment import Deployment
from local.stack.waiting import wait_until

EVENT_TIMEOUT_S = 180.0


def new_lead(**fields: Any) -> dict[str, Any]:
    """A lead nobody has seen before: the ledger outlives a test."""
    return {"name": "Zoë", "email": f"{uuid.uuid4().hex}@example.com", **fields}


def plain(lead: dict[str, Any], operation: str = "create") -> str:
    return json.dumps({"operation": operation, "lead": lead})


def send(deployment: Deployment, body: str) -> str:
    """Puts a message into the lead queue, returns its id."""
    answer = deployment.sqs.send_message(QueueUrl=deployment.outputs["LeadQueueUrl"], MessageBody=body)
    return str(answer["MessageId"])


def wait_for_leads(deployment: Deployment, leads: list[dict[str, Any]]) -> None:
    emails = {lead["email"] for lead in leads}
    wait_until(
        "the leads at the sandbox",
        lambda: emails <= deployment.sandbox.leads().keys(),
        timeout_s=EVENT_TIMEOUT_S,
    )
    wait_until("an empty lead queue", lambda: deployment.lead_queue_count() == 0, timeout_s=EVENT_TIMEOUT_S)


def wait_for_dead_letter(deployment: Deployment) -> tuple[dict[str, Any], dict[str, str]]:
    """The only parked message, which is taken out, and its attributes."""
    letters: list[dict[str, Any]] = []

    def is_parked() -> bool:
        letters.extend(deployment.take_dead_letters())
        return letters != []

    wait_until("the dead letter", is_parked, timeout_s=EVENT_TIMEOUT_S)
    [letter] = letters
    return letter, {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}


def park(deployment: Deployment, *leads: dict[str, Any]) -> list[str]:
    """Parks leads by an API that refuses them for the moment. Returns the parked messages' ids."""
    refusal = {"kind": "status", "status": 422, "body": {"message": "not now"}}
    deployment.sandbox.set_faults([{"operation": "create", "fault": refusal}])
    for lead in leads:
        send(deployment, plain(lead))
    wait_until("parked leads", lambda: deployment.lead_queue_count() == 0, timeout_s=EVENT_TIMEOUT_S)
    deployment.sandbox.set_faults([])
    answer = deployment.sqs.receive_message(
        QueueUrl=deployment.outputs["DeadLetterQueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    by_email = {json.loads(each["Body"])["lead"]["email"]: each["MessageId"] for each in answer["Messages"]}
    return [by_email[lead["email"]] for lead in leads]


def count(deployment: Deployment, output: str) -> int:
    """Messages in a queue, those in flight too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = deployment.sqs.get_queue_attributes(QueueUrl=deployment.outputs[output], AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)
