"""`leadctl parked`: what was not delivered, and why."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from leadctl.commands.parked_changes import drop, retry
from leadctl.commands.parked_edit import edit
from leadctl.completion import FileOrStdin
from leadctl.moments import ago, epoch, iso
from leadctl.options import Group, Invocation, Result, pass_invocation, place_options, target_options
from leadctl.output import Column, count, pretty
from leadctl.parked import lead_table
from leadctl.parked.lead_table import address_in
from leadctl.parked.message import Parked
from leadctl.parked.private_file import write_text
from leadctl.parked.queues import ParkedQueues
from leadctl.parked.selection import (
    SHOWN_ID,
    Selection,
    cause,
    chosen,
    grouped,
    one_of,
    remarks,
    selection_options,
)
from leadctl.problems import ExitCode

_NAMED = 5
_GROUP_COLUMNS = (
    Column("count", "how many", lambda value: f"{value:,}"),
    Column("oldest", "oldest", lambda value: ago(epoch(value))),
    Column("queue", "queue"),
    Column("reason", "reason"),
    Column("detail", "detail"),
)
_ADDRESS_COLUMN = Column("email", "address")
_COLUMNS = (
    Column("messageId", "id", width=SHOWN_ID),
    Column("firstSeen", "came in", lambda value: ago(epoch(value))),
    Column("queue", "queue"),
    Column("reason", "reason"),
    Column("detail", "detail", cause),
)


@click.group(
    cls=Group,
    short_help="See, correct and send what is parked.",
    examples="""
    leadctl parked list
    leadctl parked export leads.csv     # correct it in a spreadsheet, then:
    leadctl import leads.csv
    """,
)
@target_options
def parked() -> None:
    """Look at leads that were not delivered, send them again, correct or drop them.

    There are two dead-letter queues: "leads" holds what the function parked, with its reason; "events" holds
    what EventBridge couldn't put into the lead queue. While a command looks, the messages are hidden from
    others, for 5 minutes if leadctl is killed.
    """


@parked.command(
    "list",
    short_help="Show what is parked, and why.",
    examples="""
    leadctl parked list --stage prod
    leadctl parked list --each --addresses --reason 'lead.phone*'
    leadctl parked list --newer-than 2d -o json
    """,
)
@click.option("--each", is_flag=True, help="A line for each message, instead of each reason.")
@click.option("--addresses", is_flag=True, help="With --each: the leads' addresses, which are personal data.")
@selection_options
@target_options
@pass_invocation
def list_(invocation: Invocation, each: bool, addresses: bool, **options: Any) -> Result:  # noqa: ANN401
    """Show what is parked, grouped by reason; no lead's own fields, unless you ask for addresses."""
    selection = chosen(options)
    if addresses and not each:
        raise click.UsageError("--addresses needs --each, because a group has many.")
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
                **({"email": address_in(message)} if addresses else {}),
            }
            for message in messages
        ]
        columns = (*_COLUMNS[:2], _ADDRESS_COLUMN, *_COLUMNS[2:]) if addresses else _COLUMNS
        invocation.out.rows(columns, rows)
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


@parked.command(
    short_help="Show one, with its personal data.",
    examples="""
    leadctl parked show 1f0c3a9b
    leadctl parked show 1f0c3a9b -o json | jq -r .body
    """,
)
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
    out.body(pretty(message.body))
    out.record(message.as_json())


@parked.command(
    short_help="Write them to a file, to correct or keep.",
    examples="""
    leadctl parked export leads.csv --reason 'lead.phone*'    # correct it, then:
    leadctl import leads.csv
    leadctl parked export - | jq -r .body
    """,
)
@click.argument("file", metavar="[FILE|-]", type=FileOrStdin(), required=False)
@click.option(
    "-o", "--output", metavar="FILE|csv|json", type=FileOrStdin(), help="FILE too, or the form for stdout."
)
@selection_options
@place_options
@pass_invocation
def export(invocation: Invocation, file: str | None, output: str | None, **options: Any) -> Result:  # noqa: ANN401
    """Write parked leads to a new file, to be corrected and imported, or to be kept.

    FILE.csv is a table for a spreadsheet, with the reason of each lead. Correct the cells, leave parked_id
    alone, and give the file to `leadctl import`: it sends what you have changed, and deletes the parked
    messages. Rows that you leave as they are, or delete, stay parked. Any other FILE has whole messages, a
    JSON object a line; - is stdout.

    The file holds personal data; only you can read it. The messages stay parked.
    """
    form = output if output in {"csv", "json"} else None
    path = file or ("-" if form else output)
    if path is None or (file and output and not form):
        raise click.UsageError("Say where to, once: FILE, or - for stdout.")
    selection = chosen(options)
    with ParkedQueues(invocation.target).look(selection.places) as looked:
        messages = selection.of(looked)
    left_out: list[Parked] = []
    if form == "csv" or (form is None and path.casefold().endswith(".csv")):
        left_out = _export_table(invocation, path, messages)
    else:
        _write(path, (each.json_line() for each in messages))
        invocation.out.note(f"Exported: {count(len(messages), 'message')}, with personal data.")
    for remark in remarks(looked):
        invocation.out.note(remark)
    return ExitCode.A_PERSON_HAS_TO_ACT if looked.hidden or looked.unread or left_out else None


def _export_table(invocation: Invocation, path: str, messages: Sequence[Parked]) -> list[Parked]:
    """Returns those that have no row."""
    exported = lead_table.export(messages)
    # Excel takes it for UTF-8 by the mark only.
    _write(path, [exported.text], "utf-8-sig")
    note = invocation.out.note
    note(f"Exported: {count(exported.rows, 'lead')}, with personal data.")
    if exported.rows and path != "-":
        note(
            f"Correct the cells, leave {lead_table.PARKED_ID} alone, then: leadctl import {shlex.quote(path)}"
        )
    if exported.left_out:
        ids = " ".join(each.message_id[:SHOWN_ID] for each in exported.left_out[:_NAMED])
        more = " …" if len(exported.left_out) > _NAMED else ""
        rest = "isn't in it, because no table can hold it"
        if len(exported.left_out) > 1:
            rest = "aren't in it, because no table can hold them"
        note(f"{count(len(exported.left_out), 'message')} {rest}: {ids}{more} (leadctl parked edit ID)")
    return exported.left_out


def _write(path: str, pieces: Iterable[str], encoding: str = "utf-8") -> None:
    if path == "-":
        for piece in pieces:
            click.echo(piece, nl=False)
    else:
        write_text(Path(path), pieces, encoding)


for command in (retry, edit, drop):
    parked.add_command(command)
