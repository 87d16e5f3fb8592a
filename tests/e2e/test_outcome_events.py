"""The deployed stack publishes what became of its events, and never takes that for a lead."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.contract.test_outcome_documents import SCHEMA, rules
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead, plain, send, wait_for_leads

pytestmark = pytest.mark.e2e

SOURCE = "7targets-lead-delivery"


class Consumer:
    """A rule of the test's own on the stack's bus, with a queue as its target."""

    def __init__(self, deployment: Deployment, pattern: Any, **target: Any) -> None:
        self._deployment = deployment
        self._name = f"test-{uuid.uuid4().hex}"
        self._bus = deployment.outputs["EventBusName"]
        self._queue_url = deployment.sqs.create_queue(QueueName=self._name)["QueueUrl"]
        named = deployment.sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=["QueueArn"])
        deployment.events.put_rule(Name=self._name, EventBusName=self._bus, EventPattern=json.dumps(pattern))
        arn = named["Attributes"]["QueueArn"]
        deployment.events.put_targets(
            Rule=self._name, EventBusName=self._bus, Targets=[{"Id": "1", "Arn": arn, **target}]
        )
        self.received: list[Any] = []

    def wait_for(self, count: int) -> list[Any]:
        """All that has come, once it is as much."""

        def has_come() -> bool:
            answer = self._deployment.sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self._deployment.sqs.delete_message(
                    QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                self.received.append(json.loads(message["Body"]))
            return len(self.received) >= count

        wait_until(f"{count} events at the consumer", has_come, timeout_s=EVENT_TIMEOUT_S)
        return self.received

    def close(self) -> None:
        self._deployment.events.remove_targets(Rule=self._name, EventBusName=self._bus, Ids=["1"])
        self._deployment.events.delete_rule(Name=self._name, EventBusName=self._bus)
        self._deployment.sqs.delete_queue(QueueUrl=self._queue_url)


@pytest.fixture
def consumer(deployment: Deployment) -> Iterator[Consumer]:
    """Takes all outcome events."""
    consumer = Consumer(deployment, {"source": [SOURCE]})
    yield consumer
    consumer.close()


def publish(deployment: Deployment, source: str, detail_type: str, detail: object) -> str:
    """Puts an event on the stack's bus, returns its id."""
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}
    answer = deployment.events.put_events(
        Entries=[{"EventBusName": deployment.outputs["EventBusName"], **entry}]
    )
    return str(answer["Entries"][0]["EventId"])


def test_outcomes_reach_a_consumer_and_do_not_come_back_as_leads(
    deployment: Deployment, consumer: Consumer
) -> None:
    """Delivered, duplicate and rejected: three events, then none, and nothing parked but the rejected one."""
    lead = new_lead()
    created = publish(deployment, "crm.example", "Lead Created", {"lead": lead, "idempotencyKey": "crm-7"})
    wait_for_leads(deployment, [lead])
    publish(deployment, "crm.example", "Lead Created", {"lead": lead, "idempotencyKey": "crm-7"})
    refused = publish(deployment, "crm.example", "Lead Created", {"lead": {}})
    events = consumer.wait_for(3)
    for event in events:
        Draft202012Validator(SCHEMA).validate(event)
        assert lead["email"] not in json.dumps(event)
    by_type = {event["detail-type"]: event["detail"] for event in events}
    assert by_type.keys() == {"Lead Delivered", "Lead Duplicate", "Lead Rejected"}
    delivered = by_type["Lead Delivered"]
    held = deployment.sandbox.leads()[lead["email"]]
    assert (delivered["eventId"], delivered["idempotencyKey"]) == (created, "crm-7")
    assert (delivered["leadId"], delivered["nextScheduleTime"]) == (
        str(held["id"]),
        held["nextScheduleTime"],
    )
    assert by_type["Lead Duplicate"]["leadId"] == str(held["id"])
    assert by_type["Lead Rejected"]["eventId"] == refused

    # Whatever had come back was taken by now: a lead that was sent after it is delivered.
    last = new_lead()
    send(deployment, plain(last))
    wait_for_leads(deployment, [lead, last])
    assert len(consumer.wait_for(4)) == 4
    [letter] = deployment.take_dead_letters()
    assert letter["MessageAttributes"]["eventId"]["StringValue"] == refused


def test_a_lead_that_is_published_under_the_integrations_source_does_not_vanish(
    deployment: Deployment,
) -> None:
    """Only what became of leads is left out by the rule: a lead is delivered, a misspelt type is parked."""
    lead = new_lead()
    publish(deployment, SOURCE, "Lead Created", {"lead": lead})
    misspelt = publish(deployment, SOURCE, "Lead Craeted", {"lead": new_lead()})
    wait_for_leads(deployment, [lead])
    [letter] = deployment.take_dead_letters()
    assert letter["MessageAttributes"]["eventId"]["StringValue"] == misspelt


@pytest.mark.parametrize("rule", ["CrmRule", "ChatRule"])
def test_the_example_rules_take_real_outcomes(deployment: Deployment, rule: str) -> None:
    """Their patterns match, and what their templates make of an event is JSON."""
    properties = rules()[rule]
    [target] = properties["Targets"]
    consumer = Consumer(deployment, properties["EventPattern"], InputTransformer=target["InputTransformer"])
    try:
        lead = new_lead()
        publish(deployment, "crm.example", "Lead Created", {"lead": lead, "idempotencyKey": "crm-7"})
        publish(deployment, "crm.example", 'Lead "Craeted"', {"lead": lead})
        [made] = consumer.wait_for(1)
    finally:
        consumer.close()
    if rule == "CrmRule":
        assert (made["recordId"], made["status"]) == ("crm-7", "delivered")
        assert made["sevenTargetsUrl"].endswith(str(deployment.sandbox.leads()[lead["email"]]["id"]))
    else:
        assert made["content"]["title"] == "Lead Rejected"
        assert "'Lead Created'" in made["content"]["description"]
