"""One event, checked as the function checks it, before it leaves."""

import json
from pathlib import Path

import pytest

from deliver_leads.event.envelope import read_event
from deliver_leads.event.message import Message
from leadctl.commands.send import EXAMPLES
from tests.leadctl.conftest import Stage

FIELDS = ("--name", "Jane", "--email", "jane@example.com", "--assistant", "sam@example.com")


def test_an_event_is_made_of_options(stage: Stage) -> None:
    """With the lead's fields, any other field, and the producer's key."""
    result = stage.run(
        *("send", "--operation", "create", *FIELDS, "--last-name", "Doe", "--key", "crm-1", "--yes"),
        *("--set", "designation=CEO", "--set", 'customFields=[{"name": "Budget", "value": "5"}]'),
        *("--set", "phone=12"),
    )
    assert result.exit_code == 0, result.stderr
    [message] = stage.take()
    assert json.loads(message["Body"]) == {
        "operation": "create",
        "idempotencyKey": "crm-1",
        "lead": {
            "name": "Jane",
            "lastName": "Doe",
            "email": "jane@example.com",
            "assistantEmail": "sam@example.com",
            "designation": "CEO",
            "customFields": [{"name": "Budget", "value": "5"}],
            "phone": "12",
        },
    }
    assert message["MessageId"] in result.stdout


@pytest.mark.parametrize("operation", sorted(EXAMPLES))
def test_an_example_can_be_sent_as_it_is(stage: Stage, operation: str) -> None:
    """Printed without a stage, piped back by -."""
    example = stage.run("send", "--example", operation)
    assert stage.operations() == []
    assert read_event(Message("m", "", example.stdout, 1, 0), {}).operation == operation
    assert stage.run("send", "-", "--yes", stdin=example.stdout).exit_code == 0
    assert len(stage.take()) == 1


def test_a_file_with_a_byte_order_mark_is_sent_without_it(stage: Stage, tmp_path: Path) -> None:
    """Windows' editors and PowerShell write one, into a file or a pipe."""
    text = "\ufeff" + json.dumps(EXAMPLES["create"])
    (tmp_path / "event.json").write_text(text, "utf-8")
    assert stage.run("send", str(tmp_path / "event.json"), "--yes").exit_code == 0
    assert stage.run("send", "-", "--yes", stdin=text).exit_code == 0
    assert [json.loads(each["Body"]) for each in stage.take()] == [EXAMPLES["create"]] * 2


def test_a_wrong_event_is_not_sent_and_every_problem_is_said(stage: Stage) -> None:
    """In the function's own words."""
    result = stage.run("send", "--operation", "create", "--name", "Jane", "--email", "jane", "--yes")
    assert result.exit_code == 3
    assert (
        '\n  lead.email: is not an e-mail address, because it has no "@"\n  lead.assistantEmail: is missing'
        in result.stderr
    )
    assert stage.take() == []


def test_a_dry_run_checks_and_sends_nothing(stage: Stage) -> None:
    """The body is shown."""
    result = stage.run("send", "--operation", "update", *FIELDS, "--dry-run")
    assert result.exit_code == 0
    assert '"email": "jane@example.com"' in result.stderr
    assert stage.take() == []


def test_off_a_terminal_nothing_is_sent_without_yes(stage: Stage) -> None:
    """A create can't be undone."""
    assert stage.run("send", "--operation", "create", *FIELDS).exit_code == 2
    assert stage.take() == []


@pytest.mark.parametrize(
    "words",
    [(), FIELDS, ("file.json", *FIELDS), ("--operation", "create", *FIELDS, "--set", "x")],
    ids=["nothing", "no operation", "file and fields", "set without a value"],
)
def test_what_cannot_be_meant_is_a_usage_error(stage: Stage, words: tuple[str, ...]) -> None:
    """There is no default operation."""
    assert stage.run("send", *words, "--yes").exit_code == 2
    assert stage.operations() == []


def test_a_file_that_is_no_text_is_said(stage: Stage) -> None:
    """A spreadsheet, say."""
    Path("leads.xlsx").write_bytes(b"PK\xff\xfe")
    result = stage.run("send", "leads.xlsx", "--yes")
    assert result.exit_code == 3
    assert "isn't text in UTF-8" in result.stderr


def test_a_file_that_is_not_there_is_said(stage: Stage) -> None:
    """No traceback."""
    result = stage.run("send", "no.json", "--yes")
    assert (result.exit_code, result.stderr) == (1, "no.json: No such file or directory.\n")
