"""`leadctl import` of a table that `leadctl parked export` has written: corrected leads are sent again.

Each corrected message is put into the lead queue first and deleted from the dead-letter queue afterwards.
What ends in between leaves both; then the same file sends it once more, and the function knows the event.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

import click
from click.core import ParameterSource

from deliver_leads.event.lead import Json
from leadctl.deployed_settings import DeployedSettings
from leadctl.importing.table import Table
from leadctl.options import Invocation, Result
from leadctl.output import count
from leadctl.parked.lead_table import PARKED_ID, Corrections, read_corrections
from leadctl.parked.queues import ParkedQueues, Sent, batches
from leadctl.parked.resending import note_left, send_and_delete, tell_outcomes
from leadctl.parked.selection import Selection
from leadctl.problems import ExitCode

# Those of `import` that mean something here.
_OPTIONS = {"file", "sets", "encoding", "sheet", "wait", "yes", "dry_run"}
_SHOWN = 20
_RESUME = "The same command again sends the rest, and none twice: the function knows each event by its key."


def is_of_parked_leads(table: Table) -> bool:
    """Whether a file has the column by which a parked lead is found again."""
    return PARKED_ID in (table.columns or ())


def import_parked(
    invocation: Invocation,
    file: str,
    table: Table,
    constants: Mapping[str, Json],
    *,
    wait: bool,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Sends the rows that were changed, and deletes their parked messages."""
    _refuse_other_options(file)
    target, queues = invocation.target, ParkedQueues(invocation.target)
    settings = DeployedSettings.of(target)
    sent: list[Sent] = []
    with queues.look() as looked:
        found = read_corrections(table, looked.messages, settings, constants)
        messages = [each.message for each in found.to_send]
        copies = {each.message.message_id: each.copies for each in found.to_send}
        queues.keep_only([*messages, *(copy for each in copies.values() for copy in each)])
        for line in _lines(file, table, found, are_all_seen=not (looked.hidden or looked.unread)):
            invocation.out.note(line)
        question = (
            f"Send {count(len(messages), 'corrected lead')} to {target.stack_name}, and delete the parked "
            f"{'one' if len(messages) == 1 else 'ones'}?"
        )
        if messages and invocation.may_go_on(question, yes=yes, dry_run=dry_run):
            invocation.resume = _RESUME
            for batch in batches(messages):
                done = send_and_delete(invocation, queues, batch)
                queues.delete(queues.hold([copy for each in done for copy in copies[each.parked.message_id]]))
                sent += done
    if not dry_run:
        invocation.out.text(
            f"Sent: {len(sent):,}; their parked messages are deleted." if sent else "Nothing was sent."
        )
    result, outcomes = tell_outcomes(invocation, sent) if wait else (None, {})
    invocation.out.record(
        {
            "rows": found.rows,
            "toSend": len(messages),
            "sent": len(sent),
            "unchanged": found.unchanged,
            "gone": found.gone,
            "edited": found.edited,
            "wrong": {str(number): problems for number, problems in found.wrong.items()},
        }
        | outcomes
    )
    left = note_left(invocation, 0 if dry_run else len(messages) - len(sent), Selection(), looked)
    is_for_a_person = found.wrong or found.edited or found.unchanged
    return left or result or (ExitCode.A_PERSON_HAS_TO_ACT if is_for_a_person else None)


def _refuse_other_options(file: str) -> None:
    context = click.get_current_context()
    given = [
        each.opts[0]
        for each in context.command.params
        if each.expose_value
        and each.name not in _OPTIONS
        and context.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{file} holds parked leads, for which {', '.join(given)} can't be given.")


def _lines(file: str, table: Table, found: Corrections, *, are_all_seen: bool) -> Iterator[str]:
    gone = "sent or dropped since the export" if are_all_seen else "or somebody looks at them at the moment"
    yield f"{file}: {table.kind}, {count(found.rows, 'row')} of parked leads"
    if found.ignored:
        yield f"Ignored: {', '.join(sorted(found.ignored))}"
    if found.changed:
        yield "Changed: " + ", ".join(
            f"{name} in {count(number, 'row')}" for name, number in found.changed.most_common()
        )
    for number, what in (
        (len(found.to_send), "to be sent"),
        (found.unchanged, "unchanged, and stay parked; as they are, they are sent by leadctl parked retry"),
        (found.gone, f"not parked any more, {gone}"),
        (found.edited, "changed by somebody since the export: export them again"),
        (len(found.wrong), f"wrong, and stay parked; correct them in {file}, and import it again:"),
    ):
        if number:
            yield f"{number:6,}  {what}"
    for row, problems in islice(found.wrong.items(), _SHOWN):
        yield f"        {table.unit} {row:,}: {'; '.join(problems)}"
    if len(found.wrong) > _SHOWN:
        yield f"        … and {count(len(found.wrong) - _SHOWN, 'row')} more; -o json has all"
