"""`leadctl import` against the deployed stack: interrupted, resumed, corrected, and no lead created twice."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from leadctl.importing.importer import AHEAD
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.e2e.shell import write_run_file
from tests.spreadsheet import spreadsheet

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parents[2]
# More than may be ahead of what is settled, so that there is something left after an interruption.
ROWS = AHEAD + 400
IMPORT_TIMEOUT_S = 240.0
HEADER = "First_Name;Last_Name;Email_ID;phone;Assistant;Notes\r\n"


def start(folder: Path, file: str, *more: str) -> subprocess.Popen[str]:
    """Calls leadctl as a person at a terminal who says yes."""
    command = [
        *(sys.executable, "-m", "leadctl", "import", file),
        *("--local", "--yes", "--wait", "-o", "json", *more),
    ]
    return subprocess.Popen(  # noqa: S603 - our own program
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    out, err = process.communicate(timeout=IMPORT_TIMEOUT_S)
    assert "Traceback" not in err
    return process.returncode, out, err


def create_by_event(deployment: Deployment, emails: Sequence[str]) -> None:
    """The same leads come by another way first, with other keys."""
    for email in emails:
        lead = {"name": "Zoë", "email": email, "assistantEmail": "sam@example.com"}
        event = {"operation": "create", "idempotencyKey": f"form-{email}", "lead": lead}
        deployment.sqs.send_message(
            QueueUrl=deployment.outputs["LeadQueueUrl"], MessageBody=json.dumps(event)
        )
    wait_until("these leads", lambda: set(emails) <= deployment.sandbox.leads().keys(), timeout_s=180)


def test_a_file_is_imported_in_spite_of_an_interruption(deployment: Deployment, tmp_path: Path) -> None:
    """5 % of the rows are wrong, the API refuses 2 %, some leads came before; corrected, all go through."""
    write_run_file(tmp_path, deployment)
    name = uuid.uuid4().hex[:8]
    emails = [f"{name}.{number}{' at ' if number % 20 == 7 else '@'}example.com" for number in range(ROWS)]
    refused = [email for number, email in enumerate(emails) if number % 50 == 3]
    refusal = {"kind": "status", "status": 422, "body": {"message": "on the suppression list"}}
    deployment.sandbox.set_faults(
        [{"operation": "leads", "email": email, "fault": refusal} for email in refused]
    )
    before = [emails[0], emails[ROWS - 1]]
    create_by_event(deployment, before)
    lines = [f"Zoë;Doe {number};{email};+1202;sam@example.com;x\r\n" for number, email in enumerate(emails)]
    (tmp_path / "leads.csv").write_bytes((HEADER + "".join(lines)).encode("cp1252"))

    process = start(tmp_path, "leads.csv")
    wait_until("some leads", lambda: len(deployment.sandbox.leads()) > 50, timeout_s=IMPORT_TIMEOUT_S)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert "The same command again goes on" in err
    wait_until("an empty queue", lambda: deployment.lead_queue_count() == 0, timeout_s=IMPORT_TIMEOUT_S)
    delivered = len(deployment.sandbox.leads())

    code, out, err = finish(start(tmp_path, "leads.csv"))
    assert code == 3, err
    wrong = [email for email in emails if "@" not in email]
    good = len(emails) - len(wrong) - len(refused)
    result = json.loads(out)
    assert (result["delivered"], result["skipped"]) == (good - len(before), len(before))
    assert (result["refused"], result["wrong"], result["underWay"]) == (len(refused), len(wrong), 0)
    assert delivered < good
    assert result["sent"] > 0
    assert {lead["creates"] for lead in deployment.sandbox.leads().values()} == {1}

    invalid = (tmp_path / "leads_invalid.csv").read_bytes().decode("cp1252").splitlines(keepends=True)
    assert invalid[0] == HEADER.replace("\r\n", ";reason\r\n")
    kept = [line for line in lines if line.split(";")[2] in {*wrong, *refused}]
    assert [line[: line.rindex(';"')] + "\r\n" for line in invalid[1:]] == kept
    assert sum("on the suppression list" in line for line in invalid) == len(refused)

    deployment.sandbox.set_faults([])
    corrected = "".join(invalid).replace(" at ", "@").replace("+1202", "+1203")
    (tmp_path / "leads_invalid.csv").write_bytes(corrected.encode("cp1252"))
    code, out, err = finish(start(tmp_path, "leads_invalid.csv"))
    assert code == 0, err
    assert json.loads(out)["delivered"] == len(wrong) + len(refused)
    assert len(deployment.sandbox.leads()) == ROWS
    assert {lead["creates"] for lead in deployment.sandbox.leads().values()} == {1}


SET = ("--set", "assistantEmail=sam@example.com")
COVER: list[list[object]] = [["Trade Fair Munich 2026", None], ["Made by", "Max"], [], []]
SHEET: list[list[object]] = [
    ["Trade Fair Munich 2026", None, None],
    [],
    ["Vorname", "Nachname", "E-Mail-Adresse"],
    ["Cem", "#N/A", "cem@example.com"],
    ["#N/A", "Nobody", "nobody@example.com"],
]
FILES: dict[str, tuple[bytes, tuple[str, ...], int]] = {
    # A3, A6 (an error value is no name), A13, A12: one byte of zero.
    "linkedin.csv": (
        b'Notes:\n"When exporting, some addresses are missing."\n\n'
        b'First Name, "Last Name", URL, Email Address, Company, Position\n'
        b'"Ada", "Nord", x, ada@example.com, "Acme, Inc", CTO\n'
        b"#NAME?, Two, x, two@example.com, , \n"
        b"Bo\0b, Three, x, three@example.com, , \n",
        SET,
        3,
    ),
    # A4, U4, A5 in each column.
    "form.csv": (
        b"Timestamp,Email Address,First Name,Email Address,Phone,Mobile,Title,Job Title\n"
        b'1,eli@example.com,"=""Eli""",eli.work@example.com,\'0049151123456,0151 1,Dr.,"=""CEO"""\n',
        (*SET, "--map", "#2=email"),
        0,
    ),
    # A7.
    "facebook.xls": (
        "id\tfull_name\temail\tphone_number\nl:1001\tZoë Müller\tzoe@example.com\tp:+4915112345678\n".encode(
            "utf-16"
        ),
        (*SET, "--split-name"),
        0,
    ),
    # U3, and the operator's table: one command for a workbook with a cover sheet, one for a German CSV.
    "fair.xlsx": (spreadsheet(("Cover", "visible", COVER), ("Leads", "visible", SHEET)), SET, 3),
    "kontakte.csv": (
        "Vorname;Nachname;E-Mail-Adresse;Telefon\r\nJürgen;Groß;jg@example.com;030 123456\r\n".encode(
            "cp1252"
        ),
        SET,
        0,
    ),
    # A8.
    "export.xls": (b"<html><table><tr><td>Amy</td><td>amy@example.com</td></tr></table></html>", SET, 2),
}


def test_files_as_people_bring_them_become_leads(deployment: Deployment, tmp_path: Path) -> None:
    """A command for each of them, and what 7Targets would hold then."""
    write_run_file(tmp_path, deployment)
    for name, (content, words, expected) in FILES.items():
        (tmp_path / name).write_bytes(content)
        code, _, err = finish(start(tmp_path, name, *words))
        assert code == expected, err
    held = ("name", "lastName", "phone", "company", "designation")
    assert {
        email: {field: lead[field] for field in held if lead.get(field)}
        for email, lead in deployment.sandbox.leads().items()
    } == {
        "ada@example.com": {
            "name": "Ada",
            "lastName": "Nord",
            "company": "Acme, Inc",
            "designation": "CTO",
        },
        "eli@example.com": {"name": "Eli", "phone": "0049151123456", "designation": "CEO"},
        "zoe@example.com": {"name": "Zoë", "lastName": "Müller", "phone": "+4915112345678"},
        "cem@example.com": {"name": "Cem"},
        "jg@example.com": {
            "name": "Jürgen",
            "lastName": "Groß",
            "phone": "030 123456",
        },
    }
    assert b"Bo\0b" in (tmp_path / "linkedin_invalid.csv").read_bytes()
    assert "Nobody" in (tmp_path / "fair_invalid.csv").read_text("utf-8")
