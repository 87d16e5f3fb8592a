"""leadctl against the deployed stack: what it says is what the function did."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead, wait_for_leads
from tests.e2e.shell import write_run_file

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]


class Leadctl:
    """leadctl as a process, in a folder with the local run's file."""

    def __init__(self, folder: Path, deployment: Deployment) -> None:
        self._folder = folder
        write_run_file(folder, deployment)

    def run(self, *words: str, stdin: str = "") -> tuple[int, Any]:
        """Its exit code, and its stdout as JSON."""
        ended = self.call(*words, "-o", "json", stdin=stdin)
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    def call(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """The process that has ended."""
        ended = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "leadctl", "--local", *words],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ended.stderr
        return ended


@pytest.fixture
def leadctl(tmp_path: Path, deployment: Deployment) -> Leadctl:
    """leadctl for the deployed stack."""
    return Leadctl(tmp_path, deployment)


def states(found: dict[str, Any]) -> list[str]:
    """The states of the events of the leads that were found."""
    return [event["state"] for lead in found["leads"] for event in lead["events"]]


def test_a_lead_is_sent_and_found_by_address_id_and_key(deployment: Deployment, leadctl: Leadctl) -> None:
    """The ids come from the function's log."""
    lead = new_lead(assistantEmail="sam@example.com")
    event = {"operation": "create", "idempotencyKey": lead["email"].split("@")[0], "lead": lead}
    code, sent = leadctl.run("send", "-", "--yes", stdin=json.dumps(event))
    assert code == 0
    wait_for_leads(deployment, [lead])
    code, found = leadctl.run("find", lead["email"])
    assert (code, states(found)) == (0, ["delivered"])
    for what in (found["leads"][0]["leadId"], sent["messageId"], event["idempotencyKey"]):
        # The log also has the tests before, after which the sandbox began its ids anew.
        assert found["leads"][0] in leadctl.run("find", what)[1]["leads"]
    assert leadctl.run("find", new_lead()["email"])[0] == 3


def test_a_rejected_lead_is_corrected_and_delivered(
    deployment: Deployment, leadctl: Leadctl, tmp_path: Path
) -> None:
    """The lead goes from the parked message to 7Targets, and nothing is left behind."""
    lead = new_lead(assistantEmail="sam@example.com")
    wrong = {"operation": "create", "lead": lead | {"phone": 12}}
    deployment.sqs.send_message(QueueUrl=deployment.outputs["LeadQueueUrl"], MessageBody=json.dumps(wrong))
    wait_until("a parked lead", lambda: leadctl.run("parked", "list")[1] != [], timeout_s=EVENT_TIMEOUT_S)
    code, found = leadctl.run("find", lead["email"])
    # The ledger doesn't know what can't be read as an event; the dead-letter queue does.
    assert (code, states(found)) == (3, [])
    [parked] = found["parked"]
    assert "lead.phone: must be a string" in parked["detail"]
    (tmp_path / "right.json").write_text(json.dumps(wrong | {"lead": lead}), "utf-8")
    edit = ("parked", "edit", parked["messageId"], "--file", str(tmp_path / "right.json"), "--yes")
    assert leadctl.run(*edit)[0] == 0
    wait_for_leads(deployment, [lead])
    assert leadctl.run("parked", "list") == (0, [])


def test_six_leads_of_one_reason_are_corrected_by_an_export_and_an_import(
    deployment: Deployment, leadctl: Leadctl, tmp_path: Path
) -> None:
    """Each is created once, also when the import ends before it has deleted what it sent."""
    leads = [new_lead(assistantEmail="sam@example.com", phone="0") for _ in range(6)]
    refusal = {"kind": "status", "status": 422, "body": {"message": "the phone is no number"}}
    deployment.sandbox.set_faults(
        [{"operation": "leads", "email": lead["email"], "fault": refusal} for lead in leads]
    )
    for lead in leads:
        event = {"operation": "create", "idempotencyKey": lead["email"], "lead": lead}
        deployment.sqs.send_message(
            QueueUrl=deployment.outputs["LeadQueueUrl"], MessageBody=json.dumps(event)
        )

    def are_parked() -> bool:
        rows = leadctl.run("parked", "list")[1]
        return [row["count"] for row in rows] == [6]

    wait_until("six parked leads of one reason", are_parked, timeout_s=EVENT_TIMEOUT_S)
    assert leadctl.run("parked", "retry", "--all", "--wait", "--yes")[1]["parkedAgain"] == 6
    deployment.sandbox.set_faults([])
    parked = leadctl.call("parked", "export", "-").stdout.splitlines()

    assert leadctl.call("parked", "export", "-o", "leads.csv").returncode == 0
    table = tmp_path / "leads.csv"
    rows = list(csv.DictReader(table.read_text("utf-8-sig").splitlines()))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"phone": "+1 202 555 0100"} for row in rows)
    code, found = leadctl.run("import", "leads.csv", "--wait", "--yes")
    assert (code, found["sent"], found["delivered"]) == (0, 6, 6)
    assert leadctl.run("parked", "list") == (0, [])

    calls = deployment.sandbox.leads()
    for line in map(json.loads, parked):  # as if none had been deleted
        deployment.sqs.send_message(
            QueueUrl=deployment.outputs["DeadLetterQueueUrl"],
            MessageBody=line["body"],
            MessageAttributes={
                name: {"DataType": "String", "StringValue": text} for name, text in line["attributes"].items()
            },
        )
    code, found = leadctl.run("import", "leads.csv", "--wait", "--yes")
    assert (code, found["sent"], found["delivered"]) == (0, 6, 6)
    wait_until("an empty queue", lambda: deployment.lead_queue_count() == 0, timeout_s=EVENT_TIMEOUT_S)
    assert deployment.sandbox.leads() == calls
    assert {lead["creates"] for lead in calls.values()} == {1}
    assert leadctl.run("parked", "list") == (0, [])


def test_leads_wait_while_it_is_paused(deployment: Deployment, leadctl: Leadctl) -> None:
    """And go when it is resumed."""
    assert leadctl.run("pause", "--reason", "a test", "--yes")[0] == 0
    lead = new_lead(assistantEmail="sam@example.com")
    leadctl.run("send", "-", "--yes", stdin=json.dumps({"operation": "create", "lead": lead}))
    code, status = leadctl.run("status")
    assert (code, status["pauseReason"], status["leadQueue"]["waiting"]) == (3, "a test", 1)
    assert leadctl.run("resume", "--yes")[0] == 0
    wait_for_leads(deployment, [lead])
    assert leadctl.run("status")[1]["sentence"] == "Leads flow. None is parked."


def test_the_doctor_finds_a_closed_mapping(deployment: Deployment, leadctl: Leadctl) -> None:
    """Rights and calls are those of the real stack."""
    before = {row["part"]: row["verdict"] for row in leadctl.run("doctor")[1]}
    assert before["function"] == before["event source mapping"] == before["rule"] == "right"
    leadctl.run("pause", "--reason", "a test", "--yes")
    code, rows = leadctl.run("doctor")
    leadctl.run("resume", "--yes")
    after = {row["part"]: row["verdict"] for row in rows}
    assert code == 3
    assert after == before | {"event source mapping": "wrong"}
