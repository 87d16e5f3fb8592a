"""The runbook's remedy of each alarm, followed as it is written there for a fault made on purpose."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.stack.deployment import Deployment
from local.stack.user_pool import Credentials
from local.stack.waiting import wait_until
from tests.documents import PROJECT, section, shell_blocks
from tests.e2e.leads import EVENT_TIMEOUT_S, count, new_lead, park, plain, send, wait_for_leads
from tests.e2e.shell import RUNBOOK, Operator, blocks

pytestmark = pytest.mark.e2e

# What the emulator doesn't show of an alarm's heading; the runbook says so, too.
NOT_SHOWN = {
    "LeadsNotFlowing",  # its commands are about alarms
    "FunctionNearTimeout",  # no REPORT lines
    "LeadsNearParking",  # the remedy is a deployment
    "InFlightNearLimit",  # no limit
    "EventsLost",  # no metrics of EventBridge's
    "OutcomeEventsLost",  # no quota of PutEvents
}
# tests/e2e/test_check.py follows it.
SHOWN_ELSEWHERE = {"CheckFailed"}
FOLLOWED: set[str] = set()

Test = Callable[..., None]


def follows(*alarms: str) -> Callable[[Test], Test]:
    """Notes whose remedy a test follows."""
    FOLLOWED.update(alarms)
    return lambda test: test


def see_more(operator: Operator, alarm: str) -> str:
    """What the command prints with which the heading begins."""
    return operator.run(shell_blocks(section(RUNBOOK, alarm))[0])


def sees(operator: Operator, alarm: str, *words: str) -> None:
    """Looks until all words are shown: the emulator's log lines come late."""

    def are_shown() -> bool:
        shown = see_more(operator, alarm)
        return all(word in shown for word in words)

    wait_until(f"{', '.join(words)} under {alarm}", are_shown, timeout_s=EVENT_TIMEOUT_S)


@contextmanager
def function_variables(deployment: Deployment, **changed: str) -> Iterator[None]:
    """A deployment with wrong variables; the end stands for the deployment that puts them right."""
    function = {"FunctionName": deployment.outputs["FunctionName"]}
    client = deployment.emulator.client("lambda")
    variables = client.get_function_configuration(**function)["Environment"]["Variables"]
    client.update_function_configuration(**function, Environment={"Variables": variables | changed})
    try:
        yield
    finally:
        client.update_function_configuration(**function, Environment={"Variables": variables})


@contextmanager
def short_visibility(deployment: Deployment) -> Iterator[None]:
    """Brings a batch back after seconds when its invocation ended without an answer."""
    queue = {"QueueUrl": deployment.outputs["LeadQueueUrl"]}
    before = deployment.sqs.get_queue_attributes(**queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    deployment.sqs.set_queue_attributes(**queue, Attributes={"VisibilityTimeout": "2"})
    try:
        yield
    finally:
        deployment.sqs.set_queue_attributes(**queue, Attributes=before)


def publish(deployment: Deployment) -> dict[str, Any]:
    """Sends a lead nobody has seen before."""
    lead = new_lead()
    send(deployment, plain(lead))
    return lead


def test_every_alarm_s_remedy_is_followed_or_said_not_to_be() -> None:
    """An operator relies on what was tried, and the runbook says what was not."""
    text = (PROJECT / RUNBOOK).read_text("utf-8")
    alarms = re.findall(r"^### (.+)$", text.split("\n## Alarms\n")[1].split("\n## ")[0], re.MULTILINE)
    assert set(alarms) == FOLLOWED | NOT_SHOWN | SHOWN_ELSEWHERE
    sentence = " ".join(text.split()).split("except those of ")[1].split(".")[0]
    said = re.findall(r"`(\w+)`", sentence)
    assert set(said) == NOT_SHOWN


@follows("FunctionFailing")
def test_a_function_that_fails_at_its_start_shows_why_and_a_deployment_is_enough(operator: Operator) -> None:
    """What came meanwhile is delivered after the visibility timeout.

    The emulator writes what a start failed of into its own log, not into the function's.
    """
    deployment = operator.deployment
    with short_visibility(deployment):
        with function_variables(deployment, LEADS_API_URL=""):
            lead = publish(deployment)
            wait_until(
                "the failed start",
                lambda: "LEADS_API_URL is not set" in deployment.emulator.output(),
                timeout_s=EVENT_TIMEOUT_S,
            )
            see_more(operator, "FunctionFailing")
        wait_for_leads(deployment, [lead])


@follows("FunctionThrottled")
def test_a_throttled_function_is_seen_and_let_go(operator: Operator) -> None:
    """Somebody reserved a concurrency of 0 for it."""
    deployment = operator.deployment
    function = {"FunctionName": deployment.outputs["FunctionName"]}
    with short_visibility(deployment):
        deployment.emulator.client("lambda").put_function_concurrency(
            **function, ReservedConcurrentExecutions=0
        )
        try:
            lead = publish(deployment)
            sees(operator, "FunctionThrottled", "ReservedFunctionConcurrent")
        finally:
            operator.run('aws lambda delete-function-concurrency --function-name "$(output FunctionName)"')
        wait_for_leads(deployment, [lead])


@follows("LeadsNotTaken")
def test_a_disabled_mapping_is_seen_and_enabled(operator: Operator, resumed: None) -> None:
    """Somebody paused it and forgot."""
    deployment = operator.deployment
    pause, resume = blocks("Pause and resume")
    operator.run(pause, REASON="a wrong assistant")
    lead = publish(deployment)
    sees(operator, "LeadsNotTaken", "paused it", "a wrong assistant")
    operator.run(resume)
    wait_for_leads(deployment, [lead])


@follows("ApiDown", "LeadsWaiting")
def test_an_outage_is_seen_and_passes(operator: Operator) -> None:
    """Nothing is to be done but to know it."""
    deployment = operator.deployment
    deployment.sandbox.kill()
    try:
        lead = publish(deployment)
        sees(operator, "ApiDown", "no connection")
        sees(operator, "LeadsWaiting", "no connection")
    finally:
        deployment.sandbox.start()
    wait_for_leads(deployment, [lead])


@follows("DeliveryBlocked")
def test_a_refused_secret_names_the_command_that_puts_it_right(operator: Operator) -> None:
    """The reason in the log is all that it takes."""
    deployment = operator.deployment
    deployment.fill_secret(Credentials("nobody", "nothing"))
    lead = publish(deployment)
    sees(operator, "DeliveryBlocked", "put-secret-value", deployment.outputs["SecretName"])
    (operator.folder / "credentials.json").write_text(json.dumps(vars(deployment.credentials)))
    operator.run(blocks("Rotate credentials")[0])
    wait_for_leads(deployment, [lead])


@follows("LeadsParked", "LeadsParkedForLong")
def test_a_parked_lead_shows_its_reason_and_is_sent_again(operator: Operator) -> None:
    """The API's own words say what to fix; here it has been fixed."""
    deployment = operator.deployment
    lead = new_lead()
    [message_id] = park(deployment, lead)
    for alarm in ("LeadsParked", "LeadsParkedForLong"):
        sees(operator, alarm, "leads API answered 422: not now")
    operator.run(blocks("Redrive parked leads")[0], MESSAGE_ID=message_id)
    wait_for_leads(deployment, [lead])
    assert count(deployment, "DeadLetterQueueUrl") == 0


@follows("ManyRejected")
def test_a_producer_s_mistake_is_seen_with_its_source(operator: Operator) -> None:
    """Its owner learns the field; the leads are published anew."""
    deployment = operator.deployment
    lead = new_lead()
    entry = {"EventBusName": deployment.outputs["EventBusName"], "Source": "crm.example"}
    wrong = json.dumps({"lead": {**lead, "email": "no address"}})
    deployment.events.put_events(Entries=[{**entry, "DetailType": "Lead Created", "Detail": wrong}])
    sees(operator, "ManyRejected", "crm.example", "email")
    send(deployment, plain(lead))
    wait_for_leads(deployment, [lead])


@follows("EventsUndelivered")
def test_undelivered_events_show_why_and_are_redriven(operator: Operator) -> None:
    """EventBridge's own words, and the policy that it needs."""
    deployment = operator.deployment
    lead = new_lead()
    envelope = json.loads((PROJECT / "docs/events/eventbridge_create.json").read_text("utf-8"))
    deployment.sqs.send_message(
        QueueUrl=deployment.outputs["RuleDeadLetterQueueUrl"],
        MessageBody=json.dumps(envelope | {"detail": {"lead": lead}}),
        MessageAttributes={"ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}},
    )
    sees(operator, "EventsUndelivered", "NO_PERMISSIONS")
    operator.run(blocks("Redrive the rule's dead-letter queue")[1])
    wait_for_leads(deployment, [lead])


@follows("LedgerFailing")
def test_a_missing_ledger_is_seen_and_another_one_adopted(operator: Operator) -> None:
    """Nothing is sent without it, and leads flow once the function has one."""
    deployment = operator.deployment
    with function_variables(deployment, LEDGER_TABLE="gone"):
        lead = publish(deployment)
        sees(operator, "LedgerFailing", "ResourceNotFoundException")
        assert deployment.sandbox.leads() == {}
    wait_for_leads(deployment, [lead])


@follows("ParkingRefused")
def test_a_missing_dead_letter_queue_is_seen_and_no_lead_is_lost(operator: Operator) -> None:
    """What can't be parked stays in the lead queue until it can."""
    deployment = operator.deployment
    missing = f"{deployment.outputs['DeadLetterQueueUrl']}-gone"
    with function_variables(deployment, DEAD_LETTER_QUEUE_URL=missing):
        send(deployment, "no lead")
        sees(operator, "ParkingRefused", "the dead-letter queue refused it")
    wait_until("the parked lead", lambda: count(deployment, "DeadLetterQueueUrl") == 1, timeout_s=90)


@follows("LeadsNotMailed")
def test_a_lead_that_is_not_mailed_is_seen_with_its_id(operator: Operator) -> None:
    """7Targets took it, in a state that sends no e-mails."""
    deployment = operator.deployment
    answer = {"id": 4711, "email": "jane@example.com", "state": "New"}
    fault = {"kind": "status", "status": 201, "body": answer, "stored": True}
    deployment.sandbox.set_faults([{"operation": "create", "fault": fault}])
    publish(deployment)
    sees(operator, "LeadsNotMailed", '"lead_id":4711', '"lead_state":"New"')


@follows("NoLeads")
def test_a_disabled_rule_is_seen_and_enabled(operator: Operator) -> None:
    """The commonest silence: events are published, and no rule takes them."""
    deployment = operator.deployment
    rule = {"Name": deployment.outputs["EventRuleName"], "EventBusName": deployment.outputs["EventBusName"]}
    deployment.events.disable_rule(**rule)
    try:
        sees(operator, "NoLeads", "it is disabled", "enable-rule")
    finally:
        enable = "aws events enable-rule --event-bus-name"
        operator.run(f'{enable} "$(output EventBusName)" --name "$(output EventRuleName)"')
    lead = new_lead()
    entry = {"EventBusName": rule["EventBusName"], "Source": "crm.example", "DetailType": "Lead Created"}
    deployment.events.put_events(Entries=[{**entry, "Detail": json.dumps({"lead": lead})}])
    wait_for_leads(deployment, [lead])
