"""The deployed stack when all is well, judged at the sandbox."""

import json
import uuid

import pytest

from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead, plain, send, wait_for_leads

pytestmark = pytest.mark.e2e


def test_plain_eventbridge_and_sns_events_all_arrive(deployment: Deployment) -> None:
    """The three ways an event may take into the lead queue end in a lead at the API."""
    by_queue, by_bus, by_topic = new_lead(), new_lead(), new_lead()
    send(deployment, plain(by_queue))
    deployment.events.put_events(
        Entries=[
            {
                "EventBusName": deployment.outputs["EventBusName"],
                "Source": "crm.example",
                "DetailType": "Lead Created",
                "Detail": json.dumps({"lead": by_bus}),
            }
        ]
    )
    sns = deployment.emulator.client("sns")
    topic = sns.create_topic(Name=f"leads-{uuid.uuid4().hex}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=deployment.outputs["LeadQueueArn"])
    sns.publish(TopicArn=topic, Message=plain(by_topic))
    wait_for_leads(deployment, [by_queue, by_bus, by_topic])


def test_a_warm_function_fetches_one_token_for_several_batches(deployment: Deployment) -> None:
    """The access token outlives an invocation: three batches one after another cost one token request."""
    for _ in range(3):
        lead = new_lead()
        send(deployment, plain(lead))
        wait_for_leads(deployment, [lead])
    assert deployment.sandbox.summary()["tokens_fetched"] == 1


def test_an_update_that_overtakes_its_create_waits_for_it(deployment: Deployment) -> None:
    """An update for a lead nobody knows yet is neither lost nor parked, and is applied after the create."""
    lead = new_lead(phone="+12125550100")
    send(deployment, plain({**lead, "phone": "+12125550199"}, "update"))
    wait_until(
        "the early update",
        lambda: any(each["status"] == 404 for each in deployment.sandbox.requests()),
        timeout_s=EVENT_TIMEOUT_S,
    )
    send(deployment, plain(lead))
    wait_for_leads(deployment, [lead])
    assert deployment.sandbox.leads()[lead["email"]]["phone"] == "+12125550199"
    assert deployment.take_dead_letters() == []
