"""Parked leads corrected as a table: exported, changed in a spreadsheet, imported; none lost or repeated."""

import csv
import io
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.outcome import RejectedError
from leadctl.parked.safe_cell import original, safe
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import LEAD, event_of, parked_body
from tests.spreadsheet import spreadsheet

FORMULAS = "=+-@\uff1d\uff0b\uff0d\uff20"


def park(stage: Stage, *bodies: object) -> None:
    """Parks them as message-1, message-2 and so on."""
    for number, body in enumerate(bodies, 1):
        error = RejectedError("lead.phone: must be a string, not a number")
        stage.park(body, error, message_id=f"message-{number}", sent_s=1_795_000_000 + number)


def exported(stage: Stage, file: str = "leads.csv", code: int = 0) -> list[dict[str, str]]:
    """The rows of an export."""
    Path(file).unlink(missing_ok=True)
    result = stage.run("parked", "export", file)
    assert result.exit_code == code, result.stderr
    return list(csv.DictReader(io.StringIO(Path(file).read_text("utf-8-sig"), newline="")))


def write(rows: list[dict[str, str]], file: str = "leads.csv", delimiter: str = ",") -> None:
    """As a spreadsheet saves them."""
    with Path(file).open("w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def imported(stage: Stage, *words: str, code: int = 0) -> dict[str, Any]:
    """What the import of the file says in JSON."""
    result = stage.run("import", "leads.csv", "--yes", "-o", "json", *words)
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def leads(stage: Stage) -> list[dict[str, Any]]:
    """What is in the lead queue now; it is taken out."""
    return [json.loads(each["Body"])["lead"] for each in stage.take()]


def left(stage: Stage) -> int:
    """How many messages are parked; they are taken out."""
    return len(stage.take("DeadLetterQueueUrl"))


def test_six_leads_of_one_reason_are_corrected_by_an_export_and_an_import(stage: Stage) -> None:
    """What was changed is sent with its event's identity, and isn't parked any more."""
    park(stage, *(parked_body(number, phone=number) for number in range(6)))
    rows = exported(stage)
    assert list(rows[0])[:3] == ["parked_id", "reason", "operation"]
    assert rows[0]["reason"] == "rejected: lead.phone: must be a string, not a number"
    write([row | {"phone": "+1 202 555 0100"} for row in rows])
    assert imported(stage)["sent"] == 6
    messages = stage.take()
    assert sorted(json.loads(each["Body"])["lead"]["email"] for each in messages) == [
        f"jane.{number}@example.com" for number in range(6)
    ]
    assert {event_of(each).lead["phone"] for each in messages} == {"+1 202 555 0100"}
    assert {event_of(each).event_id for each in messages} == {f"message-{number}" for number in range(1, 7)}
    assert {each["MessageAttributes"]["firstSeen"]["StringValue"][:10] for each in messages} == {"2026-11-18"}
    assert left(stage) == 0


def test_a_number_in_a_field_of_texts_is_right_as_it_is_shown(stage: Stage) -> None:
    """Nobody can see the difference in a table."""
    park(stage, parked_body(phone=12))
    exported(stage)
    assert imported(stage)["sent"] == 1
    assert leads(stage)[0]["phone"] == "12"


def test_rows_that_are_deleted_or_left_alone_stay_parked(stage: Stage) -> None:
    """Only what a person has changed is sent."""
    park(stage, *map(parked_body, range(3)))
    deleted, alone, changed = exported(stage)
    write([alone, changed | {"lastName": "Doe"}])
    found = imported(stage, code=3)
    assert (found["sent"], found["unchanged"]) == (1, 1)
    assert [lead["email"] for lead in leads(stage)] == [changed["email"]]
    ids = {
        f"{each['eventId']}"
        for each in json.loads(stage.run("parked", "list", "--each", "-o", "json").stdout)
    }
    assert ids == {row["parked_id"].partition("#")[0] for row in (deleted, alone)}


BODIES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "plain": lambda lead: {"operation": "create", "lead": lead, "x-trace": 7},
    "bus": lambda lead: {
        "detail-type": "Lead Created",
        "source": "crm",
        "id": "e-1",
        "detail": {"lead": lead},
    },
    "topic": lambda lead: {
        "Type": "Notification",
        "MessageId": "n-1",
        "Message": json.dumps({"operation": "create", "lead": lead}),
    },
}


@pytest.mark.parametrize("kind", BODIES)
def test_only_the_changed_cells_change_in_a_body(stage: Stage, kind: str) -> None:
    """Whatever its wrapping is, and whatever a table can't hold."""
    odd = {
        "scheduleId": 5,
        "active": True,
        "tags": ["a", {"b": None}],
        "a\tb": "c",
        "reason": "why",
        " x ": 1,
    }
    custom = [{"name": "Budget", "value": 5000}, {"name": "Note", "value": "x;=1+1"}]
    lead = LEAD | {"context": "-1\r\n=2;=3", "customFields": custom} | odd
    park(stage, BODIES[kind](lead))
    [row] = exported(stage)
    assert (row["customFields.Budget"], row["active"], row["operation"]) == ("5000", "true", "create")
    write([row | {"lastName": "Doe", "customFields.Budget": "", "active": "false"}])
    assert imported(stage)["sent"] == 1
    [message] = stage.take()
    assert (
        json.loads(message["Body"])
        == json.loads(
            json.dumps(BODIES[kind](lead | {"lastName": "Doe", "customFields": custom[1:], "active": False}))
        )
        or kind == "topic"
    )
    assert event_of(message).lead["customFields"] == custom[1:]
    assert event_of(message).lead["tags"] == odd["tags"]
    assert event_of(message).lead["lastName"] == "Doe"


def test_an_update_of_a_lead_that_is_not_there_becomes_a_create(stage: Stage) -> None:
    """The operation is a cell, too."""
    park(stage, parked_body())
    [row] = exported(stage)
    write([row | {"operation": "creat"}])
    assert imported(stage, code=3)["wrong"] == {
        "2": ["operation: must be one of create, update, stop_followup"]
    }
    write([row | {"operation": "create"}])
    assert imported(stage)["sent"] == 1
    assert json.loads(stage.take()[0]["Body"])["operation"] == "create"


def test_what_is_still_wrong_stays_parked_with_its_line_and_the_same_file_is_corrected(stage: Stage) -> None:
    """The right ones go at once, and no second time."""
    park(stage, *map(parked_body, range(2)))
    rows = [row | {"email": f"{number} at example.com"} for number, row in enumerate(exported(stage))]
    write([rows[0], rows[1] | {"email": "right@example.com"}])
    found = imported(stage, code=3)
    assert (found["sent"], list(found["wrong"])) == (1, ["2"])
    assert found["wrong"]["2"][0].startswith("email: is not an e-mail address")
    write([rows[0] | {"email": "now.right@example.com"}, rows[1] | {"email": "right@example.com"}])
    found = imported(stage)
    assert (found["sent"], found["gone"]) == (1, 1)
    assert sorted(lead["email"] for lead in leads(stage)) == ["now.right@example.com", "right@example.com"]
    assert left(stage) == 0


@pytest.mark.parametrize(
    ("operation", "batch"),
    [("ChangeMessageVisibilityBatch", 1), ("SendMessageBatch", 2), ("DeleteMessageBatch", 1)],
)
def test_ctrl_c_at_any_call_loses_nothing_and_repeats_only_the_same_event(
    stage: Stage, operation: str, batch: int
) -> None:
    """The same command again sends the rest; what was sent twice has one key and one content."""
    bodies = [parked_body(number) for number in range(12)]
    del bodies[0]["idempotencyKey"]  # the event's id is its key
    park(stage, *bodies)
    write([row | {"lastName": "Doe"} for row in exported(stage)])

    def interrupt() -> None:
        if stage.operations().count(operation) == batch:
            raise KeyboardInterrupt

    stage.before[operation] = interrupt
    result = stage.run("import", "leads.csv", "--yes")
    assert result.exit_code == 130, result.output
    assert "The same command again" in result.stderr or "Nothing was changed" in result.stderr
    del stage.before[operation]
    imported(stage)
    events = [event_of(message) for message in stage.take()]
    assert len({(event.lead_hash, event.key) for event in events}) == 12
    assert len(events) <= 22
    assert left(stage) == 0
    assert imported(stage)["gone"] == 12
    assert leads(stage) == []


def test_a_lead_that_somebody_has_sent_again_meanwhile_is_not_sent(stage: Stage) -> None:
    """Or has dropped: it isn't parked any more."""
    park(stage, parked_body(1), parked_body(2))
    rows = exported(stage)
    stage.run("parked", "retry", "message-1", "--yes")
    stage.run("parked", "drop", "message-2", "--yes")
    assert len(leads(stage)) == 1
    write([row | {"lastName": "Doe"} for row in rows])
    result = stage.run("import", "leads.csv", "--yes")
    assert (result.exit_code, leads(stage)) == (0, [])
    assert "2  not parked any more, sent or dropped since the export" in result.stderr


def test_a_lead_that_was_parked_again_unchanged_takes_the_correction(stage: Stage) -> None:
    """It has a new message, but the event and the body that the table is about."""
    park(stage, parked_body())
    write([row | {"lastName": "Doe"} for row in exported(stage)])
    stage.take("DeadLetterQueueUrl")
    stage.park(parked_body(), message_id="message-9", event_id="message-1")
    assert imported(stage)["sent"] == 1
    assert left(stage) == 0


def test_a_lead_that_somebody_has_corrected_meanwhile_is_not_overwritten(stage: Stage) -> None:
    """Its body isn't the one that the table is about."""
    park(stage, parked_body())
    write([row | {"lastName": "Doe"} for row in exported(stage)])
    stage.take("DeadLetterQueueUrl")
    stage.park(parked_body(phone="1"), message_id="message-9", event_id="message-1")
    assert imported(stage, code=3)["edited"] == 1
    assert leads(stage) == []


def test_a_lead_that_somebody_takes_while_the_question_waits_is_left(stage: Stage) -> None:
    """It is in the other person's hands."""
    park(stage, parked_body())
    write([row | {"lastName": "Doe"} for row in exported(stage)])
    stage.answers["ChangeMessageVisibilityBatch"] = lambda _: {"Failed": [{"Id": "0"}]}
    assert imported(stage, code=3)["sent"] == 0
    assert leads(stage) == []


def test_a_lead_that_somebody_looks_at_is_not_said_to_be_gone(stage: Stage) -> None:
    """The same command later sends it."""
    park(stage, parked_body())
    write([row | {"lastName": "Doe"} for row in exported(stage)])
    url = stage.outputs["DeadLetterQueueUrl"]
    [held] = stage.sqs.receive_message(QueueUrl=url, VisibilityTimeout=100)["Messages"]
    result = stage.run("import", "leads.csv", "--yes")
    assert result.exit_code == 3
    assert "1  not parked any more, or somebody looks at them at the moment" in result.stderr
    assert "try in 5 minutes" in result.stderr
    stage.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0
    )
    assert imported(stage)["sent"] == 1


def test_one_event_that_is_parked_twice_is_one_row_and_goes_once(stage: Stage) -> None:
    """A copy of what can't be read as an event is parked, too."""
    for message_id in ("message-1", "message-2"):
        stage.park(parked_body(phone=12), message_id=message_id, event_id="message-1")
    assert len(exported(stage)) == 1
    assert imported(stage)["sent"] == 1
    assert len(leads(stage)) == 1
    assert left(stage) == 0


def test_a_byte_order_mark_hides_no_lead_from_the_table(stage: Stage) -> None:
    """The function reads over it, in a topic's message, too."""
    marked = "\ufeff" + json.dumps(parked_body(7))
    park(stage, marked, "\ufeff" + json.dumps({"Type": "Notification", "Message": marked}))
    assert "Exported: 2 leads" in stage.run("parked", "export", "leads.csv").stderr


def test_what_no_table_can_hold_is_named_and_stays_parked(stage: Stage) -> None:
    """No JSON, no lead, a text that a spreadsheet would cut off, half a character, another's event."""
    foreign = {"detail-type": "Contact Created", "detail": {"lead": LEAD}}
    park(
        stage,
        "no JSON",
        {"operation": "create"},
        parked_body(context="x" * 40_000),
        parked_body(name="\ud800"),
        ["operation"],
        {"Type": "Notification", "Message": "no JSON"},
        {"operation": "create", "lead": [1]},
        foreign,
        parked_body(7),
    )
    result = stage.run("parked", "export", "leads.csv")
    assert result.exit_code == 3
    assert "Exported: 1 lead" in result.stderr
    assert "8 messages aren't in it, because no table can hold them: " in result.stderr
    assert left(stage) == 9


def test_a_field_for_all_rows_is_an_option(stage: Stage) -> None:
    """So a wrong assistant of a hundred leads takes no spreadsheet."""
    park(stage, parked_body(1), parked_body(2))
    exported(stage)
    assert imported(stage, "--set", "assistantEmail=kim@example.com")["sent"] == 2
    assert {lead["assistantEmail"] for lead in leads(stage)} == {"kim@example.com"}


def test_options_for_new_leads_are_refused(stage: Stage) -> None:
    """They would be given in vain."""
    park(stage, parked_body())
    exported(stage)
    result = stage.run("import", "leads.csv", "--yes", "--campaign", "two", "--map", "a=phone")
    assert result.exit_code == 2
    assert "leads.csv holds parked leads, for which --map, --campaign can't be given." in result.stderr
    assert left(stage) == 1


def test_a_column_of_the_persons_own_is_ignored_and_named(stage: Stage) -> None:
    """Notes beside the leads aren't sent to 7Targets."""
    park(stage, parked_body())
    [row] = exported(stage)
    write([row | {"lastName": "Doe", "Notes": "call her"}])
    result = stage.run("import", "leads.csv", "--yes")
    assert "Ignored: Notes" in result.stderr
    assert "Notes" not in leads(stage)[0]


def test_rows_of_no_parked_lead_are_wrong(stage: Stage) -> None:
    """Without an id, or with one for the second time."""
    park(stage, parked_body())
    [row] = exported(stage)
    write([row | {"lastName": "Doe"}, row | {"lastName": "Roe"}, row | {"parked_id": ""}])
    assert imported(stage, code=3)["wrong"] == {
        "3": ["is the same parked lead as line 2"],
        "4": ["has no parked_id: a new lead belongs into a file without that column"],
    }
    assert [lead["lastName"] for lead in leads(stage)] == ["Doe"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(stage: Stage) -> None:
    """In no past tense."""
    park(stage, parked_body())
    write([row | {"lastName": "Doe"} for row in exported(stage)])
    result = stage.run("import", "leads.csv", "--dry-run")
    assert result.exit_code == 0
    assert "1  to be sent" in result.stderr
    assert "Changed: lastName in 1 row" in result.stderr
    assert result.stdout == ""
    assert leads(stage) == []
    assert left(stage) == 1


@pytest.mark.parametrize("form", ["semicolons", "workbook"])
def test_a_table_is_taken_in_the_form_in_which_a_spreadsheet_saves_it(stage: Stage, form: str) -> None:
    """It is found out as that of any import; numbers come as a workbook has them."""
    park(stage, parked_body(phone="4915112345", context="=1\n2"))
    [row] = exported(stage)
    changed = row | {"lastName": "Groß"}
    if form == "semicolons":
        write([changed], delimiter=";")
    else:
        cells: list[object] = [4915112345.0 if name == "phone" else cell for name, cell in changed.items()]
        Path("leads.csv").write_bytes(spreadsheet(("Leads", "visible", [list(changed), cells])))
    assert imported(stage)["sent"] == 1
    [lead] = leads(stage)
    assert lead == parked_body(phone="4915112345", context="=1\n2", lastName="Groß")["lead"]


def test_the_file_is_for_this_user_only_and_overwrites_nothing(stage: Stage) -> None:
    """Corrections that weren't imported yet have no other copy."""
    park(stage, parked_body())
    exported(stage)
    assert stat.S_IMODE(Path("leads.csv").stat().st_mode) == 0o600
    result = stage.run("parked", "export", "-o", "leads.csv")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        1,
        "leads.csv is there already, and isn't overwritten.",
    )


def test_stdout_takes_either_form(stage: Stage) -> None:
    """For a pipe."""
    park(stage, parked_body())
    assert stage.run("parked", "export", "-o", "csv").stdout.startswith("parked_id,reason,operation,name,")
    assert json.loads(stage.run("parked", "export", "-").stdout)["messageId"]
    assert stage.run("parked", "export").exit_code == 2


def test_a_corrected_table_is_an_import_like_any_other_to_a_script(stage: Stage) -> None:
    """Its end is in the table of exit codes."""
    park(stage, parked_body())
    result = stage.run("parked", "export", "-o", "leads.csv")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == (
        "Correct the cells, leave parked_id alone, then: leadctl import leads.csv"
    )
    assert stage.run("import", "leads.csv", "--yes").exit_code == 3  # unchanged, so still parked
    assert stage.run("import", "leads.csv").exit_code == 3
    write([{"parked_id": "message-1#0", "name": "Jane"}])
    assert stage.run("import", "leads.csv", "--yes").exit_code == 3


@given(st.text(st.sampled_from(FORMULAS + "'a0\"; \t\r\n,1"), max_size=8) | st.text(max_size=20))
def test_a_cell_is_never_a_formula_and_comes_back_as_it_was(text: str) -> None:
    """Nor where another delimiter would begin a cell."""
    cell = safe(text)
    assert original(cell) == text
    for delimiter in ",;\t":
        for part in cell.split(delimiter) if delimiter != "," else [cell]:
            for line in re.split("[\r\n]", part):
                assert not line.lstrip('" ').startswith(tuple(FORMULAS)), cell


@pytest.mark.parametrize("text", ["0151", "49151234567890", "1/2", "2026-01-05", "1E5", "3.10"])
def test_a_number_that_a_spreadsheet_would_rewrite_is_kept_as_a_text(text: str) -> None:
    """A telephone number loses its zero, a code becomes a date."""
    assert safe(text) == f"'{text}"
    assert original(f"'{text}") == text
    assert original(text) == text
