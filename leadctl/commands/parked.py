"""`leadctl parked`: what was not delivered, and why."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from leadctl.commands.parked_changes import drop, retry
from leadctl.commands.parked_edit import edit
from leadctl.moments import ago, epoch, iso
from leadctl.options import Invocation, Result, pass_invocation, target_options
from leadctl.output import Column, count, pretty
from leadctl.parked.private_file import write_json_lines
from leadctl.parked.queues import ParkedQueues
from leadctl.parked.selection import SHOWN_ID, Selection, chosen, grouped, one_of, remarks, selection_options
from leadctl.problems import ExitCode

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


@parked.command("list")
@click.option("--each", is_flag=True, help="A line for each message, instead of each reason.")
@selection_options
@target_options
@pass_invocation
def list_(invocation: Invocation, each: bool, **options: Any) -> Result:  # noqa: ANN401 - the selection's
    """Show what is parked, grouped by reason; no lead's own fields are shown."""
    selection = chosen(options)
    with ParkedQueues(invocation.target).look(selection.places) as looked:
        every = replace(selection, limit=None).of(looked)
    messages = every[: selection.limit]
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
    if len(messages) < len(every):
        invocation.out.note(
            f"Only {len(messages):,} of {len(every):,} are shown, the oldest, because of --limit."
        )
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
    with ParkedQueues(invocation.target).look() as looked:
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
    out.record(message.as_json())


@parked.command()
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@selection_options
@target_options
@pass_invocation
def export(invocation: Invocation, file: Path, **options: Any) -> Result:  # noqa: ANN401
    """Write parked messages to a new file, one JSON object a line; - is stdout.

    The file holds personal data; only you can read it. The messages stay parked.
    """
    selection = chosen(options)
    with ParkedQueues(invocation.target).look(selection.places) as looked:
        messages = selection.of(looked)
    if str(file) == "-":
        for message in messages:
            invocation.out.json_line(message.as_json())
    else:
        write_json_lines(file, (each.as_json() for each in messages))
    invocation.out.note(f"Exported: {count(len(messages), 'message')}, with personal data.")
    for remark in remarks(looked):
        invocation.out.note(remark)
    return ExitCode.A_PERSON_HAS_TO_ACT if looked.hidden or looked.unread else None


for command in (retry, edit, drop):
    parked.add_command(command)
