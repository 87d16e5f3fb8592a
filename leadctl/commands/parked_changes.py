"""`leadctl parked retry` and `drop`: many parked messages at a time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from leadctl.options import Command, Invocation, Result, asking_options, pass_invocation, target_options
from leadctl.output import count
from leadctl.parked.message import Parked
from leadctl.parked.private_file import write_text
from leadctl.parked.queues import Looked, ParkedQueues, batches
from leadctl.parked.resending import (
    SENT_TWICE,
    note_groups,
    note_left,
    send_and_delete,
    tell_outcomes,
)
from leadctl.parked.selection import Selection, chosen, remarks, selection_options
from leadctl.problems import ToBeFixedError


@click.command(
    cls=Command,
    short_help="Send them again, unchanged.",
    examples="""
    leadctl parked retry 1f0c3a9b --wait
    leadctl parked retry --reason 'answered 403*' --wait
    leadctl parked retry --all --yes
    """,
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--wait", is_flag=True, help="Say what came of them; a minute at most.")
@selection_options
@asking_options
@target_options
@pass_invocation
def retry(invocation: Invocation, wait: bool, yes: bool, dry_run: bool, **options: Any) -> Result:  # noqa: ANN401
    """Send parked messages again, unchanged: what is still wrong comes back with its reason.

    Each is put into the lead queue first and deleted afterwards, so that none is lost. They keep their
    identity: what was delivered meanwhile is not delivered again.
    """
    selection = chosen(options)
    selection.require()
    queues = ParkedQueues(invocation.target)
    with queues.look(selection.places) as looked:
        messages = _chosen_only(invocation, selection, queues, looked)
        question = f"Send {count(len(messages), 'parked message')} again to {invocation.target.stack_name}?"
        if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            return None
        invocation.resume = SENT_TWICE
        sent = [each for batch in batches(messages) for each in send_and_delete(invocation, queues, batch)]
    left = len(messages) - len(sent)
    invocation.out.text(f"Sent again: {len(sent):,}.")
    result, outcomes = tell_outcomes(invocation, sent) if wait else (None, {})
    invocation.out.record({"sent": len(sent), "left": left} | outcomes)
    return note_left(invocation, left, selection, looked) or result


@click.command(
    cls=Command,
    short_help="Delete them, exported first.",
    examples="""
    leadctl parked drop 1f0c3a9b
    leadctl parked drop --reason 'suppression' --older-than 2d --export dropped.jsonl
    """,
)
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

    Nobody e-mails these people then. The runbook has how a line of the file is sent after all, as the same
    event: "Undo a drop".
    """
    selection = chosen(options)
    selection.require()
    queues = ParkedQueues(invocation.target)
    with queues.look(selection.places) as looked:
        messages = _chosen_only(invocation, selection, queues, looked)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        file = file or Path(f"parked-{invocation.target.stack_name}-{moment}.jsonl")
        question = (
            f"Delete {count(len(messages), 'parked message')} of {invocation.target.stack_name}, "
            f"after exporting to {file}?"
        )
        if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            return None
        write_text(file, (each.json_line() for each in messages))
        invocation.resume = f"All of them are in {file}; what is still parked can be dropped again."
        dropped = len(queues.delete(queues.hold(messages)))
    invocation.out.text(f"Dropped: {dropped:,}. They are in {file}, with personal data.")
    invocation.out.record({"dropped": dropped, "left": len(messages) - dropped, "file": str(file)})
    return note_left(invocation, len(messages) - dropped, selection, looked)


def _chosen_only(
    invocation: Invocation, selection: Selection, queues: ParkedQueues, looked: Looked
) -> list[Parked]:
    """The chosen messages; all others go back at once. Raises `ToBeFixedError` when there are none."""
    messages = selection.of(looked)
    if not messages:
        raise ToBeFixedError(" ".join(["Nothing like that is parked.", *remarks(looked)]))
    queues.keep_only(messages)
    note_groups(invocation, messages)
    return messages
