"""Parked leads: looked at, sent again, corrected, exported, dropped; none is lost or kept from others."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from deliver_leads.event.envelope import read_event
from deliver_leads.event.message import Message
from deliver_leads.lead_state import State
from deliver_leads.outcome import RejectedError
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import BODY as CREATE
from tests.leadctl.stage_content import claim, complete, event_of

BODY: dict[str, Any] = {
    "operation": "update",
    "lead": {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.com"},
}
WRONG = BODY | {"lead": BODY["lead"] | {"email": "jane at example.com"}}


def parked_ids(stage: Stage) -> list[str]:
    """The ids of the parked messages, as `list --each` shows them."""
    rows = json.loads(stage.run("parked", "list", "--each", "-o", "json").stdout)
    return [row["messageId"] for row in rows]


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *replaced: tuple[str, str]) -> Path:
    """An editor that replaces a text at each call, and notes what it was shown."""
    script, shown = tmp_path / "editor.py", tmp_path / "shown"
    script.write_text(
        "import pathlib, sys\n"
        f"steps = {list(replaced)!r}\n"
        f"shown = pathlib.Path({str(shown)!r})\n"
        "before = shown.read_text() if shown.exists() else ''\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "text = path.read_text()\n"
        "shown.write_text(before + text + '=====')\n"
        "step = before.count('=====')\n"
        "if step < len(steps): path.write_text(text.replace(*steps[step]))\n",
        "utf-8",
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    return shown


def test_the_list_groups_by_reason_and_shows_no_address(stage: Stage) -> None:
    """A thousand leads with one cause are one line."""
    for name in ("ana", "leo"):
        error = RejectedError("answered 422", detail=f"answered 422: {name}@example.com is suppressed")
        stage.park(BODY, error, message_id=name)
    stage.park("no JSON", RejectedError("body: is not JSON"), message_id="other")
    result = stage.run("parked", "list")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["how many", "2", "1"]
    assert "answered 422: <address> is suppressed" in lines[1]


def test_what_was_looked_at_can_be_received_by_others_at_once(stage: Stage) -> None:
    """Two operators don't hide leads from each other."""
    for number in range(12):
        stage.park(BODY, message_id=f"message-{number}")
    assert len(parked_ids(stage)) == 12
    assert len(stage.take("DeadLetterQueueUrl")) == 12


def test_messages_that_somebody_else_looks_at_are_counted(stage: Stage) -> None:
    """An empty list would be a wrong one."""
    stage.park(BODY)
    stage.sqs.receive_message(QueueUrl=stage.outputs["DeadLetterQueueUrl"], VisibilityTimeout=100)
    result = stage.run("parked", "list")
    assert result.exit_code == 3
    assert "1 message more, which others look at" in result.stderr


def test_nothing_parked_is_said(stage: Stage) -> None:
    """And is no reason for a script to act."""
    result = stage.run("parked", "list")
    assert (result.exit_code, result.stdout) == (0, "Nothing is parked.\n")
    assert stage.run("parked", "list", "-o", "json").stdout == "[]\n"


@pytest.mark.parametrize("words", [[], ["--each"]])
def test_a_limited_list_says_of_how_many(stage: Stage, words: list[str]) -> None:
    """Counts of some would be read as counts of all."""
    for number in range(3):
        stage.park(BODY, message_id=f"message-{number}")
    result = stage.run("parked", "list", "--limit", "2", *words)
    assert result.stderr.splitlines()[-1] == "Only 2 of 3 are shown, the oldest, because of --limit."
    assert "--limit" not in stage.run("parked", "list", "--limit", "3", *words).stderr


def test_one_message_is_shown_whole(stage: Stage) -> None:
    """By the beginning of its id, or by that of the message that it was."""
    stage.park(BODY, message_id="message-1")
    [parked_id] = parked_ids(stage)
    for sought in (parked_id[:8], "message-1"):
        shown = stage.run("parked", "show", sought).stdout
        assert "answered 422: on the suppression list" in shown
        assert '"email": "jane@example.com"' in shown
    result = stage.run("parked", "show", "message-2")
    assert result.exit_code == 3
    assert "No parked message has the id message-2" in result.stderr


def test_a_retry_keeps_the_events_identity(stage: Stage) -> None:
    """An update without a key is recognised by its event's id, and its order is when it first came."""
    stage.park(BODY, message_id="message-1", sent_s=1_795_000_000)
    assert stage.run("parked", "retry", "--all", "--yes").stdout == "Sent again: 1.\n"
    [message] = stage.take()
    as_it_was = read_event(Message("message-1", "", json.dumps(BODY), 1, 0), {})
    assert event_of(message).key == as_it_was.key
    assert message["MessageAttributes"]["firstSeen"]["StringValue"].startswith("2026-11-1")
    assert stage.take("DeadLetterQueueUrl") == []


def test_a_message_that_sqs_moved_gets_the_identity_that_a_retry_would_take(stage: Stage) -> None:
    """It has no attributes of the function's, and a new id when it is sent again."""
    first_id = stage.send("DeadLetterQueueUrl", BODY)
    stage.run("parked", "retry", "--all", "--yes")
    [message] = stage.take()
    assert event_of(message).key == read_event(Message(first_id, "", json.dumps(BODY), 1, 0), {}).key


def test_an_undelivered_event_counts_as_sent_when_it_was_published(stage: Stage) -> None:
    """Else a retry of an old update would win over a newer one."""
    import time
    from datetime import UTC, datetime

    published = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat(timespec="seconds")
    event = {"detail-type": "Lead Updated", "id": "e-1", "time": published, "detail": {"lead": BODY["lead"]}}
    stage.send(
        "RuleDeadLetterQueueUrl",
        event,
    )
    assert stage.run("parked", "retry", "--queue", "events", "--yes").exit_code == 0
    [message] = stage.take()
    seen = message["MessageAttributes"]["firstSeen"]["StringValue"]
    assert datetime.fromisoformat(seen) == datetime.fromisoformat(published)
    assert event_of(message).event_id == "e-1"


def test_a_retry_that_ends_between_its_two_steps_loses_and_repeats_nothing(stage: Stage) -> None:
    """The replacement is in the lead queue and the original parked; the function takes both for one event."""
    stage.send("DeadLetterQueueUrl", BODY, MessageGroupId="tenant-1")
    stage.failures["DeleteMessageBatch"] = "InternalError"
    result = stage.run("parked", "retry", "--all", "--yes")
    assert result.exit_code == 1
    assert "may still be parked as well" in result.stderr
    del stage.failures["DeleteMessageBatch"]
    assert stage.run("parked", "retry", "--all", "--yes").exit_code == 0
    messages = stage.take()
    assert [each["Attributes"]["MessageGroupId"] for each in messages] == ["tenant-1"] * 2
    assert len({(event.key, event.lead_hash) for event in map(event_of, messages)}) == 1
    assert stage.take("DeadLetterQueueUrl") == []


def test_a_retry_that_cannot_send_leaves_all_parked(stage: Stage) -> None:
    """And says which right is missing."""
    stage.park(BODY)
    stage.failures["SendMessageBatch"] = "AccessDenied"
    result = stage.run("parked", "retry", "--all", "--yes")
    assert result.exit_code == 4
    assert "sqs:SendMessage." in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_a_message_that_somebody_took_meanwhile_is_not_sent(stage: Stage) -> None:
    """While the question waited for its answer, it may have come back to the queue."""
    stage.park(BODY)
    stage.answers["ChangeMessageVisibilityBatch"] = lambda _: {"Failed": [{"Id": "0"}]}
    result = stage.run("parked", "retry", "--all", "--yes")
    assert result.exit_code == 3
    assert "1 message left" in result.stderr
    assert stage.take() == []


def test_the_oldest_go_first_and_only_those_that_were_chosen(stage: Stage) -> None:
    """By reason, age and number."""
    for number, sent_s in enumerate((1_795_300_000, 1_795_100_000, 1_795_200_000)):
        stage.park(BODY, message_id=f"message-{number}", sent_s=sent_s)
    stage.park("x", RejectedError("body: is not JSON"), message_id="message-9")
    assert stage.run("parked", "retry", "--reason", "Suppression", "--limit", "2", "--yes").exit_code == 0
    sent = [each["MessageAttributes"]["messageId"]["StringValue"] for each in stage.take()]
    assert sent == ["message-1", "message-2"]
    assert stage.run("parked", "retry", "--reason", "body*", "--yes").exit_code == 0
    assert [each["Body"] for each in stage.take()] == ["x"]
    assert stage.run("parked", "retry", "--newer-than", "1s", "--yes").exit_code == 3


def test_without_a_choice_nothing_is_sent(stage: Stage) -> None:
    """Everything has to be said, by --all."""
    stage.park(BODY)
    for command in ("retry", "drop"):
        result = stage.run("parked", command, "--yes")
        assert result.exit_code == 2
        assert "--all" in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_off_a_terminal_yes_is_needed_and_a_dry_run_changes_nothing(
    stage: Stage, command: str, tmp_path: Path
) -> None:
    """Both show what would be done."""
    stage.park(BODY)
    refused = stage.run("parked", command, "--all")
    assert refused.exit_code == 2
    assert refused.stderr.endswith("\nNothing was done, because off a terminal this needs --yes.\n")
    assert "Usage" not in refused.stderr
    dry = stage.run("parked", command, "--all", "--dry-run")
    assert dry.exit_code == 0
    assert "1  rejected: answered 422" in dry.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1
    assert stage.take() == []
    assert list(tmp_path.glob("*.jsonl")) == []


def test_an_edited_lead_is_checked_and_sent_with_its_identity(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong again opens the editor again, with the new problems on top."""
    stage.park(WRONG, RejectedError("lead.email: is not an e-mail address"), message_id="message-1")
    shown = editor(
        tmp_path, monkeypatch, ("jane at example.com", "jane@example"), ("jane@example", "jane@example.com")
    )
    result = stage.run("parked", "edit", "message-1", "--yes")
    assert result.exit_code == 0, result.stderr
    first, second, _ = shown.read_text("utf-8").split("=====")
    assert first.startswith("# Parked as rejected:\n# lead.email: is not an e-mail address\n")
    assert second.startswith("# Still wrong:\n# lead.email: is not an e-mail address, because ")
    [message] = stage.take()
    event = event_of(message)
    assert event.lead == BODY["lead"]
    assert event.event_id == "message-1"
    assert stage.take("DeadLetterQueueUrl") == []


def test_the_editor_shows_that_7targets_has_the_lead_already(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an edit that ended between its two steps: then the parked message is to be dropped."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    stage.park(CREATE)
    shown = editor(tmp_path, monkeypatch)
    stage.run("parked", "edit", "message-1", "--yes")
    text = shown.read_text("utf-8")
    assert "# 7Targets has this lead already: https://solution.7targets.com/all-leads?id=4711" in text
    assert "it can be dropped" in text


def test_an_unchanged_lead_is_not_sent(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving the editor is giving up."""
    stage.park(WRONG)
    editor(tmp_path, monkeypatch)
    result = stage.run("parked", "edit", "message-1", "--yes")
    assert result.stdout == "Unchanged, so nothing was sent.\n"
    assert stage.take() == []
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_an_edit_that_stays_wrong_is_not_sent(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is kept, and the sentence says where."""
    stage.park(WRONG)
    editor(tmp_path, monkeypatch, ("jane at example.com", "jane"))
    result = stage.run("parked", "edit", "message-1", "--yes")
    assert result.exit_code == 3
    assert 'is not an e-mail address, because it has no "@". It is in /' in result.stderr
    assert stage.take() == []
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_a_corrected_text_that_was_not_sent_is_kept_and_named(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody types it twice; --file takes it."""
    stage.park(WRONG)
    editor(tmp_path, monkeypatch, ("jane at example.com", "jane@example.com"))
    stage.failures["SendMessageBatch"] = "AccessDenied"
    result = stage.run("parked", "edit", "message-1", "--yes")
    assert result.exit_code == 4
    [line] = [each for each in result.stderr.splitlines() if each.startswith("Your text is in ")]
    kept = line.removeprefix("Your text is in ").removesuffix(": --file takes it.")
    stage.failures.clear()
    assert stage.run("parked", "edit", "message-1", "--yes", "--file", kept).exit_code == 0
    assert len(stage.take()) == 1


def test_an_editor_that_cannot_be_started_is_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the message stays."""
    stage.park(WRONG)
    for command, words in {"no-such-editor": "can't be started", "false": "ended with status 1"}.items():
        monkeypatch.setenv("VISUAL", command)
        result = stage.run("parked", "edit", "message-1", "--yes")
        assert result.exit_code == 1
        assert words in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_an_edit_that_ends_between_its_two_steps_loses_and_repeats_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    """The same correction again is the same event; another one is not swallowed."""
    stage.send("DeadLetterQueueUrl", WRONG)
    [message_id] = parked_ids(stage)
    (tmp_path / "right.json").write_text(json.dumps(BODY), "utf-8")
    (tmp_path / "other.json").write_text(json.dumps(BODY | {"lead": BODY["lead"] | {"phone": "1"}}), "utf-8")
    stage.failures["DeleteMessageBatch"] = "InternalError"
    edit = ("parked", "edit", message_id, "--yes", "--file")
    assert stage.run(*edit, str(tmp_path / "right.json")).exit_code == 1
    assert stage.run(*edit, str(tmp_path / "right.json")).exit_code == 1
    del stage.failures["DeleteMessageBatch"]
    assert stage.run(*edit, str(tmp_path / "other.json")).exit_code == 0
    messages = stage.take()
    assert len({event_of(message).key.text for message in messages}) == 1
    assert len({message["Body"] for message in messages}) == 2
    assert stage.take("DeadLetterQueueUrl") == []


def test_a_byte_order_mark_of_an_editor_is_read_over(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file and in the editor's own; the comments on top are comments all the same."""
    stage.park(WRONG)
    (tmp_path / "right.json").write_text("\ufeff# a comment\n" + json.dumps(BODY), "utf-8")
    assert stage.run("parked", "edit", "message-1", "--yes", "--file", "right.json").exit_code == 0
    stage.park(WRONG)
    editor(tmp_path, monkeypatch, ("jane at example.com", "jane@example.com"))
    script = tmp_path / "editor.py"
    script.write_text(
        script.read_text("utf-8").replace("*steps[step])", "*steps[step]), 'utf-8-sig'"), "utf-8"
    )
    result = stage.run("parked", "edit", "message-1", "--yes")
    assert result.exit_code == 0, result.stderr
    assert [event_of(message).lead for message in stage.take()] == [BODY["lead"]] * 2


def test_a_wrong_file_is_refused_with_every_problem(stage: Stage, tmp_path: Path) -> None:
    """The same check as the function's."""
    stage.park(WRONG)
    (tmp_path / "wrong.json").write_text('{"operation": "updat", "lead": {}}', "utf-8")
    result = stage.run("parked", "edit", "message-1", "--yes", "--file", "wrong.json")
    assert result.exit_code == 3
    assert "operation: is not known" in result.stderr
    assert "lead.email: is missing" in result.stderr


def test_the_functions_own_defaults_count_in_the_check(stage: Stage, tmp_path: Path) -> None:
    """What the function would fill in isn't missing."""
    stage.park(WRONG)
    (tmp_path / "lean.json").write_text(
        json.dumps({"operation": "update", "lead": {"name": "Jane", "email": "jane@example.com"}}), "utf-8"
    )
    edit = ("parked", "edit", "message-1", "--yes", "--file", "lean.json")
    assert stage.run(*edit).exit_code == 3
    stage.function_settings["LEAD_DEFAULTS"] = '{"assistantEmail": "sam@example.com"}'
    assert stage.run(*edit).exit_code == 0


def test_a_drop_exports_first_to_a_file_for_this_user_only(stage: Stage, tmp_path: Path) -> None:
    """What is dropped by mistake can be sent from there."""
    stage.park(BODY, message_id="message-1")
    assert stage.run("parked", "drop", "message-1", "--yes").exit_code == 0
    [file] = tmp_path.glob("parked-LeadDelivery-dev-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [line] = map(json.loads, file.read_text("utf-8").splitlines())
    assert json.loads(line["body"]) == BODY
    assert line["attributes"]["messageId"] == "message-1"
    assert stage.take("DeadLetterQueueUrl") == []


def test_nothing_is_dropped_that_cannot_be_exported(stage: Stage) -> None:
    """A full disk, a file that is there already, a folder that isn't."""
    stage.park(BODY)
    Path("there.jsonl").write_text("x", "utf-8")
    for name, words in {
        "/dev/full": "there already",
        "there.jsonl": "there already",
        "no/such/folder": "No such file",
    }.items():
        result = stage.run("parked", "drop", "--all", "--yes", "--export", name)
        assert result.exit_code == 1
        assert words in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_a_full_disk_keeps_everything_parked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk says so at the end of writing."""
    stage.park(BODY)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("leadctl.parked.private_file.os.fsync", full)
    result = stage.run("parked", "drop", "--all", "--yes", "--export", "out.jsonl")
    assert result.exit_code == 1
    assert result.stderr.endswith("out.jsonl: No space left on device.\n")
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_an_export_leaves_everything_parked(stage: Stage) -> None:
    """To a file, or line by line to stdout."""
    stage.park(BODY)
    stage.park("no JSON", message_id="message-2")
    assert stage.run("parked", "export", "out.jsonl").exit_code == 0
    exported = stage.run("parked", "export", "-").stdout
    assert exported == Path("out.jsonl").read_text("utf-8")
    assert {json.loads(line)["body"] for line in exported.splitlines()} == {json.dumps(BODY), "no JSON"}
    assert len(stage.take("DeadLetterQueueUrl")) == 2


@pytest.mark.parametrize("operation", ["SendMessageBatch", "DeleteMessageBatch"])
def test_ctrl_c_gives_back_what_was_looked_at(stage: Stage, operation: str) -> None:
    """Before either of the two steps: nothing is lost, and nothing stays hidden."""
    stage.park(BODY)

    def interrupt() -> None:
        raise KeyboardInterrupt

    stage.before[operation] = interrupt
    result = stage.run("parked", "retry", "--all", "--yes")
    assert result.exit_code == 130
    assert "may still be parked" in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1
