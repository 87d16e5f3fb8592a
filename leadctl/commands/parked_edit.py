"""`leadctl parked edit`: one parked message, corrected."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from deliver_leads.event.envelope import IgnoredError, LeadEvent
from leadctl.deployed_settings import DeployedSettings
from leadctl.lead_story import LedgerReader
from leadctl.moments import iso
from leadctl.options import Command, Invocation, Result, asking_options, pass_invocation, target_options
from leadctl.output import pretty
from leadctl.parked.editing import edit_until_right, without_comments
from leadctl.parked.message import Parked
from leadctl.parked.queues import ParkedQueues
from leadctl.parked.resending import SENT_TWICE, send_and_delete
from leadctl.parked.selection import Selection, one_of
from leadctl.problems import ToBeFixedError

# How long a message stays hidden while its body is in the user's editor.
EDITED_S = 3600


@click.command(
    cls=Command,
    short_help="Correct one in your editor, and send it.",
    examples="""
    leadctl parked edit 1f0c3a9b
    EDITOR='code --wait' leadctl parked edit 1f0c3a9b
    leadctl parked edit 1f0c3a9b --file corrected.json --yes
    """,
)
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
    queues = ParkedQueues(invocation.target)
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
        with _named_if_unsent(invocation, kept):
            if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
                _remove(kept)
                return None
            invocation.resume = SENT_TWICE
            if not send_and_delete(invocation, queues, [message.with_body(body)]):
                raise ToBeFixedError("Nothing was sent: somebody took the message, or SQS refused it.")
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
    body = without_comments(file.read_text("utf-8-sig"))  # it may be the editor's file
    if problems := problems_of(body):
        raise ToBeFixedError(f"Nothing was sent, because {file} is wrong: {'; '.join(problems)}")
    return (None if body in {message.body, pretty(message.body)} else body), None


@contextmanager
def _named_if_unsent(invocation: Invocation, kept: Path | None) -> Iterator[None]:
    """Nobody should have to type it twice."""
    try:
        yield
    except BaseException:
        if kept:
            invocation.out.note(f"Your text is in {kept}: --file takes it.")
        raise


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
    reading = message.with_body(body).read(settings)
    if isinstance(reading, LeadEvent):
        return []
    return [] if isinstance(reading, IgnoredError) else reading.summary.split(" | ")
