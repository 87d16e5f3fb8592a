"""`leadctl parked`: what was not delivered, why, and what to do about it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deliver_leads.event.envelope import LeadEvent
from leadctl.deployed_settings import DeployedSettings
from leadctl.editing import edit_until_right, pretty
from leadctl.lead_story import LedgerReader
from leadctl.moments import ago, epoch, iso
from leadctl.options import (
    Invocation,
    Result,
    asking_options,
    pass_invocation,
    target_options,
)
from leadctl.output import Column, count
from leadctl.parked_messages import Parked, ParkedMessages, batches
from leadctl.private_file import write_json_lines
from leadctl.problems import ExitCode, ProblemError, ToBeFixedError, explain
from leadctl.selection import SHOWN_ID, Selection, grouped, one_of, remarks, selection_options

# How long a message stays hidden while its body is in the user's editor.
EDITED_S = 3600
_SHOWN_GROUPS = 10
_SENT_TWICE = (
    "What was sent again may still be parked as well. The same command again repeats nothing: the function "
    "knows the event by its key."
)
_GROUP_COLUMNS = (
    Column("count", "how many", lambda value: f"{value:,}"),
    Column("oldest", "oldest", lambda value: ago(epoch(value))),
    Column("queue", "queue"),
    Column("reason", "reason"),
    Column("detail", "detail"),
)
_COLUMNS = (
    Column("messageId", "id", width=SHOWN_ID),
    Column("firstSeen", "came in", lambda value: ago(epoch(value))),
    Column("queue", "queue"),
    Column("reason", "reason"),
    Column("detail", "detail"),
)


@click.group()
@target_options
def parked() -> None:
    """Look at leads that were not delivered, send them again, correct or drop them.

    There are two dead-letter queues: "leads" holds what the function parked, with its reason; "events" holds
    what EventBridge couldn't put into the lead queue. While a command looks, the messages are hidden from
    others, for 5 minutes if leadctl is killed.
    """


def _selection(options: dict[str, Any]) -> Selection:
    return Selection(**{each.name: options[each.name] for each in fields(Selection) if each.name in options})


@parked.command("list")
@click.option("--each", is_flag=True, help="A line for each message, instead of each reason.")
@selection_options
@target_options
@pass_invocation
def list_(invocation: Invocation, each: bool, **options: Any) -> Result:  # noqa: ANN401 - the selection's
    """Show what is parked, grouped by reason; no lead's own fields are shown."""
    selection = _selection(options)
    with ParkedMessages(invocation.target).look(selection.places) as looked:
        messages = selection.of(looked)
    if each:
        rows = [
            {
                "messageId": message.message_id,
                "queue": message.place,
                "reason": message.reason,
                "detail": message.detail,
                "status": message.status,
                "firstSeen": iso(message.first_seen_s),
                "parked": iso(message.sent_s),
                "eventId": message.event_id,
            }
            for message in messages
        ]
        invocation.out.rows(_COLUMNS, rows)
    else:
        invocation.out.rows(_GROUP_COLUMNS, grouped(messages))
    if not messages:
        invocation.out.text("Nothing is parked." if not selection.is_made else "Nothing like that is parked.")
    for remark in remarks(looked):
        invocation.out.note(remark)
    return ExitCode.A_PERSON_HAS_TO_ACT if messages or looked.hidden else None


@parked.command()
@click.argument("message_id", metavar="ID")
@target_options
@pass_invocation
def show(invocation: Invocation, message_id: str) -> None:
    """Show one parked message with everything that is in it: personal data too.

    ID is the parked message's own, or its beginning, or the id of the event or of its first message.
    """
    with ParkedMessages(invocation.target).look() as looked:
        message = one_of(Selection(ids=(message_id,)).of(looked), message_id)
    out = invocation.out
    for name, value in (
        ("id", message.message_id),
        ("queue", message.place),
        ("came in", f"{iso(message.first_seen_s)} ({ago(message.first_seen_s)})"),
        ("parked", f"{iso(message.sent_s)} ({ago(message.sent_s)})"),
        ("event", message.event_id),
        ("reason", message.reason),
        ("HTTP status", message.status or "-"),
    ):
        out.text(f"{name:12} {value}")
    out.text(f"{'detail':12} {message.detail}")
    out.text()
    out.text(pretty(message.body))
    out.record(_exported(message))


@parked.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@selection_options
@asking_options
@target_options
@pass_invocation
def retry(invocation: Invocation, yes: bool, dry_run: bool, **options: Any) -> Result:  # noqa: ANN401
    """Send parked messages again, unchanged: what is still wrong comes back with its reason.

    Each is put into the lead queue first and deleted afterwards, so that none is lost. They keep their
    identity: what was delivered meanwhile is not delivered again.
    """
    selection = _selection(options)
    selection.require()
    queues = ParkedMessages(invocation.target)
    with queues.look(selection.places) as looked:
        messages = selection.of(looked)
        if not messages:
            raise ToBeFixedError("Nothing like that is parked.")
        queues.keep_only(messages)
        _note_groups(invocation, messages)
        question = f"Send {count(len(messages), 'parked message')} again to {invocation.target.stack_name}?"
        if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            return None
        invocation.resume = _SENT_TWICE
        done = sum(len(_send_and_delete(invocation, queues, batch)) for batch in batches(messages))
    for remark in remarks(looked):
        invocation.out.note(remark)
    invocation.out.text(f"Sent again: {done:,}.")
    invocation.out.record({"sent": done, "left": len(messages) - done})
    return _left(invocation, len(messages) - done)


def _send_and_delete(
    invocation: Invocation,
    queues: ParkedMessages,
    batch: Sequence[Parked],
    bodies: Sequence[str] | None = None,
) -> list[Parked]:
    """Those that are in the lead queue, and nowhere else. Raises `ProblemError` when some are in both."""
    held = queues.hold(batch)
    if not held:
        return []
    sent = queues.send_again(held, bodies)
    try:
        deleted = queues.delete(sent)
    except Exception as error:
        problem = explain(error, is_local=invocation.choice.local, policy=invocation.policy)
        if problem is None:
            raise
        raise ProblemError(f"{problem.message} {_SENT_TWICE}") from None
    if len(deleted) < len(sent):
        raise ProblemError(f"SQS didn't delete {count(len(sent) - len(deleted), 'message')}. {_SENT_TWICE}")
    return deleted


def _left(invocation: Invocation, left: int) -> Result:
    if not left:
        return None
    invocation.out.note(
        f"{count(left, 'message')} left: somebody else took them, or SQS refused them. Look again."
    )
    return ExitCode.A_PERSON_HAS_TO_ACT


def _note_groups(invocation: Invocation, messages: Sequence[Parked]) -> None:
    groups = grouped(messages)
    for group in groups[:_SHOWN_GROUPS]:
        invocation.out.note(f"{group['count']:6,}  {group['reason']}: {group['detail']}")
    if len(groups) > _SHOWN_GROUPS:
        rest = sum(group["count"] for group in groups[_SHOWN_GROUPS:])
        invocation.out.note(f"{rest:6,}  for {count(len(groups) - _SHOWN_GROUPS, 'other reason')}")


@parked.command()
@click.argument("message_id", metavar="ID")
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The new body.")
@asking_options
@target_options
@pass_invocation
def edit(invocation: Invocation, message_id: str, file: Path | None, yes: bool, dry_run: bool) -> Result:
    """Correct a parked message in your editor ($VISUAL, $EDITOR) and send it.

    The reason is on top, as comments. What you leave is checked as the function will check it, and opened
    again while it is wrong; unchanged, it isn't sent. The corrected message is sent first, and the parked one
    deleted afterwards. With --file the new body comes from there.
    """
    queues = ParkedMessages(invocation.target)
    settings = DeployedSettings.of(invocation.target)
    with queues.look() as looked:
        message = one_of(Selection(ids=(message_id,)).of(looked), message_id)
        queues.keep_only([message])
        if not queues.hold([message], EDITED_S):
            raise ToBeFixedError(f"Somebody else took {message_id}: look again in 5 minutes.")
        body, kept = _edited(invocation, message, settings, file)
        if body is None:
            _remove(kept)
            invocation.out.text("Unchanged, so nothing was sent.")
            return None
        question = f"Send the corrected message to {invocation.target.stack_name}, and delete the parked one?"
        if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            return None
        invocation.resume = _SENT_TWICE
        if not _send_and_delete(invocation, queues, [message], [body]):
            where = f" Your text is in {kept}: --file takes it." if kept else ""
            raise ToBeFixedError(
                f"Nothing was sent: somebody else took the message, or SQS refused it.{where}"
            )
        _remove(kept)
    invocation.out.text("Sent; the parked message is deleted.")
    invocation.out.record({"sent": 1, "messageId": message.message_id})
    return None


def _edited(
    invocation: Invocation, message: Parked, settings: DeployedSettings, file: Path | None
) -> tuple[str | None, Path | None]:
    """The new body, and the file of the editor that holds it."""

    def problems_of(text: str) -> list[str]:
        return _problems(message, settings, text)

    if file is None:
        if not sys.stdin.isatty() and not _has_editor():
            raise click.UsageError("Off a terminal the new body comes from --file, or set EDITOR.")
        return edit_until_right(message.body, _on_top(invocation, message, settings), problems_of)
    body = file.read_text("utf-8").strip()
    if problems := problems_of(body):
        raise ToBeFixedError(f"Nothing was sent, because {file} is wrong: {'; '.join(problems)}")
    return (None if body in {message.body, pretty(message.body)} else body), None


def _remove(kept: Path | None) -> None:
    """The file holds personal data."""
    if kept:
        kept.unlink()
        kept.parent.rmdir()


def _has_editor() -> bool:
    return bool(os.environ.get("VISUAL") or os.environ.get("EDITOR"))


def _on_top(invocation: Invocation, message: Parked, settings: DeployedSettings) -> list[str]:
    said = [f"Parked as {message.reason}:", *message.detail.replace(" | ", "\n").splitlines()]
    reading = message.read(settings)
    if isinstance(reading, LeadEvent):
        known = LedgerReader(invocation.target).find(reading.lead_hash)
        if known and known.url:
            said.append(f"7Targets has this lead already: {known.url}")
            said += [
                f"This event was delivered at {iso(each.stored.get('updatedS'))}: it can be dropped."
                for each in known.events
                if each.stored["key"] == reading.key.text and each.state in {"delivered", "superseded"}
            ]
    if not settings.is_known:
        said.append("The function's own settings (leadDefaults, eventSources) couldn't be read.")
    return [*said, "These lines are left out. Unchanged, it isn't sent."]


def _problems(message: Parked, settings: DeployedSettings, body: str) -> list[str]:
    reading = message.read(settings, body)
    if isinstance(reading, LeadEvent):
        return []
    problems = reading.summary.split(" | ")
    if settings.has_mappings and any(each.startswith("detail-type:") for each in problems):
        return []  # one of the stack's mappings may read it, which only the function can tell
    return problems


@parked.command()
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@selection_options
@target_options
@pass_invocation
def export(invocation: Invocation, file: Path, **options: Any) -> Result:  # noqa: ANN401
    """Write parked messages to a new file, one JSON object a line; - is stdout.

    The file holds personal data; only you can read it. The messages stay parked.
    """
    selection = _selection(options)
    with ParkedMessages(invocation.target).look(selection.places) as looked:
        messages = selection.of(looked)
    if str(file) == "-":
        for message in messages:
            invocation.out.json_line(_exported(message))
    else:
        write_json_lines(file, map(_exported, messages))
    invocation.out.note(f"Exported: {count(len(messages), 'message')}, with personal data.")
    for remark in remarks(looked):
        invocation.out.note(remark)
    return ExitCode.A_PERSON_HAS_TO_ACT if looked.hidden or looked.unread else None


def _exported(message: Parked) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "queue": message.place,
        "reason": message.reason,
        "detail": message.detail,
        "status": message.status,
        "firstSeen": iso(message.first_seen_s),
        "parked": iso(message.sent_s),
        "eventId": message.event_id,
        "groupId": message.group_id,
        "attributes": {
            name: value["StringValue"] for name, value in message.attributes.items() if "StringValue" in value
        },
        "body": message.body,
    }


@parked.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option(
    "--export",
    "file",
    type=click.Path(path_type=Path),
    help="Where they are exported. Default: a new file here.",
)
@selection_options
@asking_options
@target_options
@pass_invocation
def drop(
    invocation: Invocation,
    file: Path | None,
    yes: bool,
    dry_run: bool,
    **options: Any,  # noqa: ANN401
) -> Result:
    """Delete parked messages, after they are exported to a file.

    Nobody e-mails these people then. To send one of them later: take its "body" from the file and pipe it
    to `leadctl send -`.
    """
    selection = _selection(options)
    selection.require()
    queues = ParkedMessages(invocation.target)
    with queues.look(selection.places) as looked:
        messages = selection.of(looked)
        if not messages:
            raise ToBeFixedError("Nothing like that is parked.")
        queues.keep_only(messages)
        _note_groups(invocation, messages)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        file = file or Path(f"parked-{invocation.target.stack_name}-{moment}.jsonl")
        question = (
            f"Delete {count(len(messages), 'parked message')} of {invocation.target.stack_name}, "
            f"after exporting to {file}?"
        )
        if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            return None
        write_json_lines(file, map(_exported, messages))
        invocation.resume = f"All of them are in {file}; what is still parked can be dropped again."
        dropped = len(queues.delete(queues.hold(messages)))
    invocation.out.text(f"Dropped: {dropped:,}. They are in {file}, with personal data.")
    invocation.out.record({"dropped": dropped, "left": len(messages) - dropped, "file": str(file)})
    return _left(invocation, len(messages) - dropped)
