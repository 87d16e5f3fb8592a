"""The runbook's procedures, run as they are written there, against the deployed stack."""

import json
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from local.stack.deployment import Deployment
from local.stack.user_pool import Credentials
from local.stack.waiting import wait_until
from tests.documents import PROJECT
from tests.e2e.leads import EVENT_TIMEOUT_S, count, new_lead, park, plain, send, wait_for_leads
from tests.e2e.shell import RUNBOOK, Operator, blocks, log_lines

pytestmark = pytest.mark.e2e


def test_every_procedure_is_run_here_or_says_that_it_was_not_tried() -> None:
    """A command that nobody has run is a trap at night."""
    procedures_text = (PROJECT / RUNBOOK).read_text("utf-8").split("\n## Procedures\n")[1]
    headings = re.findall(r"^### (.+)$", procedures_text.split("\n## ")[0], re.MULTILINE)
    run_here = set(re.findall(r'blocks\("([^"]+)"\)', Path(__file__).read_text("utf-8")))
    procedures = {heading for heading in headings if blocks(heading)}
    assert procedures == run_here


def test_pause_keeps_leads_waiting_and_resume_lets_them_flow(operator: Operator, resumed: None) -> None:
    """The way to stop deliveries without losing one; also the remedy of LeadsNotTaken."""
    pause, resume = blocks("Pause and resume")
    deployment = operator.deployment
    assert "Paused." in operator.run(pause, REASON="a wrong assistant")
    lead = new_lead()
    send(deployment, plain(lead))
    assert deployment.lead_queue_count() == 1
    operator.run(resume)
    wait_for_leads(deployment, [lead])


def test_parked_leads_of_one_reason_are_listed_and_corrected_as_a_table(operator: Operator) -> None:
    """Two commands, and a spreadsheet between them; leads of another reason stay where they are."""
    deployment = operator.deployment
    leads = [new_lead() for _ in range(3)]
    park(deployment, *leads)
    other = new_lead()
    send(deployment, plain(other | {"phone": 12}))
    wait_until("four parked", lambda: count(deployment, "DeadLetterQueueUrl") == 4, timeout_s=EVENT_TIMEOUT_S)
    see, export, take_back = blocks("Correct parked leads")
    shown = operator.run(see)
    assert "3\t" in shown
    assert "leads API answered 422: not now" in shown
    assert leads[0]["email"] not in shown
    operator.run(export, REASON="not now")
    table = operator.folder / "leads.csv"
    table.write_text(table.read_text("utf-8-sig").replace("Zoë", "Zoe"), "utf-8")
    assert "3 delivered." in operator.run(take_back)
    assert {lead["name"] for lead in deployment.sandbox.leads().values()} == {"Zoe"}
    assert count(deployment, "DeadLetterQueueUrl") == 1


def test_one_parked_lead_of_several_is_sent_again(operator: Operator) -> None:
    """It is delivered as the event that it was; the others stay where they are, with their reasons."""
    deployment = operator.deployment
    leads = [new_lead() for _ in range(4)]
    ids = park(deployment, *leads)
    operator.run(blocks("Redrive parked leads")[0], MESSAGE_ID=ids[2])
    wait_for_leads(deployment, [leads[2]])
    assert deployment.sandbox.leads().keys() == {leads[2]["email"]}
    assert count(deployment, "DeadLetterQueueUrl") == 3
    redriven = [line for line in log_lines(deployment) if line["outcome"] == "delivered"]
    assert [line["event_id"] for line in redriven] != [line["message_id"] for line in redriven]


def test_events_of_the_rule_s_dead_letter_queue_are_redriven(operator: Operator) -> None:
    """The remedy of EventsUndelivered: AWS's move task refuses that queue."""
    deployment = operator.deployment
    leads = [new_lead() for _ in range(3)]
    for lead in leads:
        envelope = json.loads((PROJECT / "docs/events/eventbridge_create.json").read_text("utf-8"))
        deployment.sqs.send_message(
            QueueUrl=deployment.outputs["RuleDeadLetterQueueUrl"],
            MessageBody=json.dumps(envelope | {"id": str(uuid.uuid4()), "detail": {"lead": lead}}),
            MessageAttributes={"ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}},
        )
    see, redrive = blocks("Redrive the rule's dead-letter queue")
    assert "NO_PERMISSIONS" in operator.run(see)
    operator.run(redrive)
    wait_for_leads(deployment, leads)
    assert count(deployment, "RuleDeadLetterQueueUrl") == 0


@pytest.mark.skipif(shutil.which("jq") is None, reason="the procedure uses jq")
def test_the_policies_of_both_queues_are_put_back_as_the_template_has_them(operator: Operator) -> None:
    """The remedy of EventsUndelivered and EventsLost, where a deployment overlooks what somebody changed."""
    deployment = operator.deployment

    def policies() -> list[dict[str, object]]:
        urls = (deployment.outputs[f"{queue}Url"] for queue in ("LeadQueue", "RuleDeadLetterQueue"))
        found = (deployment.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]) for url in urls)
        return [json.loads(each["Attributes"].get("Policy") or "{}") for each in found]

    before = policies()
    for queue in ("LeadQueue", "RuleDeadLetterQueue"):
        deployment.sqs.set_queue_attributes(
            QueueUrl=deployment.outputs[f"{queue}Url"], Attributes={"Policy": ""}
        )
    assert policies() == [{}, {}]
    [put_back] = blocks("Put back what somebody changed")
    operator.run(put_back)
    assert policies() == before


@pytest.mark.skipif(shutil.which("jq") is None, reason="the procedure uses jq")
def test_a_dropped_lead_is_exported_and_can_come_back(operator: Operator) -> None:
    """Only the chosen one goes, and its file is all that it takes to send it."""
    deployment = operator.deployment
    leads = [new_lead() for _ in range(2)]
    ids = park(deployment, *leads)
    drop, send_again = blocks("Drop parked leads")
    operator.run(drop, MESSAGE_ID=ids[0])
    assert count(deployment, "DeadLetterQueueUrl") == 1
    assert deployment.sandbox.leads() == {}
    operator.run(send_again)
    wait_for_leads(deployment, [leads[0]])


def test_a_wrong_secret_is_put_right_and_leads_flow(operator: Operator) -> None:
    """The remedy of DeliveryBlocked, and both ways of a rotation: a new pair, and back to the one before."""
    deployment = operator.deployment
    put, back = blocks("Rotate credentials")
    deployment.fill_secret(Credentials("nobody", "nothing"))
    first = new_lead()
    send(deployment, plain(first))
    wait_until("a blocked lead", outcome_in_log(deployment, "blocked"), timeout_s=EVENT_TIMEOUT_S)
    operator.run(back)
    wait_for_leads(deployment, [first])
    credentials = operator.folder / "credentials.json"
    credentials.write_text(json.dumps(vars(deployment.credentials)))
    operator.run(put)
    second = new_lead()
    send(deployment, plain(second))
    wait_for_leads(deployment, [second])
    assert deployment.take_dead_letters() == []


def outcome_in_log(deployment: Deployment, outcome: str) -> Callable[[], bool]:
    return lambda: any(line["outcome"] == outcome for line in log_lines(deployment))


def test_the_ledger_is_restored_with_its_settings(operator: Operator) -> None:
    """A restored table knows the leads of the old one, and expires its items as that one did."""
    deployment = operator.deployment
    lead = new_lead()
    send(deployment, plain(lead))
    wait_for_leads(deployment, [lead])
    operator.pasted += blocks("Restore the ledger")
    dynamodb = deployment.emulator.client("dynamodb")
    operator.run("")
    restored = "LeadDelivery-dev-Ledger-restored"
    counts = [
        dynamodb.scan(TableName=name, Select="COUNT")["Count"]
        for name in (deployment.outputs["LedgerTableName"], restored)
    ]
    assert counts[0] == counts[1] > 0
    ttl = dynamodb.describe_time_to_live(TableName=restored)["TimeToLiveDescription"]
    assert (ttl["AttributeName"], ttl["TimeToLiveStatus"]) == ("expiresAt", "ENABLED")
    assert dynamodb.describe_table(TableName=restored)["Table"]["DeletionProtectionEnabled"]


def test_a_kept_ledger_is_found_and_recognised(operator: Operator) -> None:
    """The keys that the procedure says are those of the stack's own table.

    The emulator leaves out the time to live of a table that CloudFormation makes.
    """
    name = operator.deployment.outputs["LedgerTableName"]
    find, _ = blocks("Adopt a kept ledger")
    shown = operator.run(find, LEDGER=name)
    assert name in shown.split()
    assert "lead\tHASH\nevent\tRANGE\n" in shown


def test_leads_of_an_old_stack_s_queue_are_taken_over(operator: Operator) -> None:
    """Nothing reads a kept queue; its leads go through the new stack."""
    deployment = operator.deployment
    old = deployment.sqs.create_queue(QueueName=f"old-{uuid.uuid4().hex}")["QueueUrl"]
    # As JSON over several lines, with every kind of quote in it.
    leads = [new_lead(context="a\n'b' \"c\" `d` $e \\ é") for _ in range(3)]
    for lead in leads:
        deployment.sqs.send_message(
            QueueUrl=old, MessageBody=json.dumps({"operation": "create", "lead": lead}, indent=2)
        )
    operator.run(blocks("Adopt a kept ledger")[1], OLD_QUEUE_URL=old)
    wait_for_leads(deployment, leads)


def test_a_failed_first_deployment_is_cleared_away(operator: Operator) -> None:
    """Stack and table go although both are protected."""
    cloudformation = operator.deployment.emulator.client("cloudformation")
    cloudformation.create_stack(
        StackName="LeadDelivery-failed",
        TemplateBody=json.dumps({"Resources": {"Ledger": PROTECTED_TABLE}}),
        EnableTerminationProtection=True,
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="LeadDelivery-failed")
    operator.pasted += ["STAGE=failed", *blocks("When the first deployment fails")]
    operator.run("")
    tables = operator.deployment.emulator.client("dynamodb").list_tables()["TableNames"]
    assert not [name for name in tables if name.startswith("LeadDelivery-failed")]


PROTECTED_TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "DeletionPolicy": "Retain",
    "Properties": {
        "DeletionProtectionEnabled": True,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "lead", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "lead", "AttributeType": "S"}],
    },
}
