"""`leadctl import`: a file of leads, looked through first, sent once however often it is called."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path

import click

from leadctl.aws_door import AwsDoor
from leadctl.commands.import_parked import import_parked, is_of_parked_leads
from leadctl.completion import FileOrStdin, fields
from leadctl.deployed_settings import DeployedSettings
from leadctl.import_progress import ImportProgress
from leadctl.importing.columns import Columns, ColumnsError, guesses
from leadctl.importing.importer import AHEAD, Existing, Importer, Tally
from leadctl.importing.invalid_file import write_invalid
from leadctl.importing.journal import Journal, JournalError
from leadctl.importing.opening import beside, opened
from leadctl.importing.preview import Preview
from leadctl.importing.scratch import Scratch
from leadctl.importing.sending import NotTakenError
from leadctl.importing.table import NotATableError, Table, few
from leadctl.importing.validation import Rules
from leadctl.options import Command, Invocation, Result, asking_options, pass_invocation, target_options
from leadctl.output import count
from leadctl.problems import ExitCode, NoAccessError, ProblemError, explain
from leadctl.target import Target
from leadctl.user_assistants import UserAssistants

_NEEDED = ("name", "email", "assistantEmail")
# The columns of 7Targets' own upload, then those that people have most.
_TEMPLATE = (
    "First_Name",
    "Last_Name",
    "Email_ID",
    "Phone",
    "Company",
    "Job_Title",
    "Source",
    "Context",
    "Assistant",
)
_GUESSED_BY_ROWS = 20


@click.command(
    "import",
    cls=Command,
    short_help="Send the leads of a file.",
    examples="""
    leadctl import leads.csv --dry-run
    leadctl import contacts.xlsx --map 'Mail=email' --set 'source=Fair 2026'
    leadctl parked export parked.csv   # correct it, then:
    leadctl import parked.csv
    """,
)
@click.argument("file", metavar="FILE|-", type=FileOrStdin(), required=False)
@click.option(
    "--map",
    "maps",
    metavar="COLUMN=FIELD",
    multiple=True,
    help="What a column is, by its name or its position (#4, D); COLUMN= ignores it.",
)
@click.option(
    "--set",
    "sets",
    metavar="FIELD=VALUE",
    multiple=True,
    shell_complete=fields,
    help="A field with one value in all leads.",
)
@click.option(
    "--where",
    "wheres",
    metavar="COLUMN=VALUE",
    multiple=True,
    help="Only rows with this value; a column given twice: either value.",
)
@click.option("--split-name", is_flag=True, help="Make a first and a last name of a column with both.")
@click.option(
    "--sheet", metavar="NAME", help="Which sheet of a spreadsheet. Default: the first one with leads."
)
@click.option("--template", is_flag=True, help="Print a file with the columns only, and end.")
@click.option("--campaign", default="", help="Another name makes of the same leads new events.")
@click.option(
    "--existing",
    type=click.Choice([each.value for each in Existing]),
    default=Existing.SKIP.value,
    help="What to do with leads that 7Targets has already, by the ledger. Default: skip.",
)
@click.option(
    "--daily-limit", type=click.IntRange(1), help="E-mails a day of each assistant, to show the days."
)
@click.option("--encoding", help="How the file is encoded, if that isn't found out.")
@click.option(
    "--wait/--no-wait", default=None, help="Follow each lead to its outcome. Default: on a terminal only."
)
@asking_options
@target_options
@pass_invocation
def import_(
    invocation: Invocation,
    file: str | None,
    maps: tuple[str, ...],
    sets: tuple[str, ...],
    wheres: tuple[str, ...],
    split_name: bool,
    sheet: str | None,
    template: bool,
    campaign: str,
    existing: str,
    daily_limit: int | None,
    encoding: str | None,
    wait: bool | None,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Create a lead at 7Targets for each row of FILE, or of stdin.

    FILE is CSV, JSON Lines or a spreadsheet, with the columns of 7Targets' own upload (First_Name, Email_ID,
    …), an event's fields, or usual names of them in English, German, French, Spanish, Portuguese, Italian or
    Dutch. You see what will be sent and are asked first. Rows that are wrong or refused are
    written to FILE_invalid.csv with their reasons: correct them and import that file. FILE.leadctl remembers
    which rows were sent, so the same command again sends the rest. A table of `leadctl parked export` sends
    the leads that you have corrected in it, and removes them from the parked ones.
    """
    if template:
        click.echo(",".join(_TEMPLATE))
        return None
    if file is None:
        raise click.UsageError("Missing FILE; - is stdin, and --template prints a file to fill in.")
    with ExitStack() as stack:
        progress = ImportProgress(invocation)
        stack.enter_context(_said(invocation, progress))
        columns = Columns.from_options(maps, sets, wheres, splits_names=split_name)
        table = stack.enter_context(opened(file, sys.stdin.buffer, encoding, columns, sheet))
        waits = sys.stderr.isatty() if wait is None else wait
        if is_of_parked_leads(table):
            return import_parked(
                invocation, file, table, columns.constants, wait=waits, yes=yes, dry_run=dry_run
            )
        rules = _rules(invocation, table, columns, campaign)
        path = beside(file, ".leadctl")
        importer = Importer(
            table=table,
            rules=rules,
            door=AwsDoor(invocation.target),
            journal=stack.enter_context(closing(_known(path, invocation.target))),
            scratch=stack.enter_context(closing(Scratch())),
            existing=Existing(existing),
            pause=progress.pause,
            watch=progress.show,
            ahead=AHEAD,
        )
        if invocation.target.local and importer.knows_none_of_the_journal():
            # It was started anew, under the same name, and has no leads yet.
            importer.journal = stack.enter_context(closing(importer.journal.forgotten(for_good=not dry_run)))
        preview = _look_through(importer, progress)
        for line in preview.lines(file, table, rules, daily_limit, show_lead=sys.stderr.isatty()):
            invocation.out.note(line)
        if dry_run:
            invocation.out.record(preview.as_json(rules))
        if preview.to_send:
            invocation.may_go_on(_question(preview, invocation.target), yes=yes, dry_run=dry_run)
        else:
            invocation.out.note("There is no lead to send.")
        if dry_run:
            return ExitCode.A_PERSON_HAS_TO_ACT if preview.wrong else None
        if importer.journal.is_in_memory:
            importer.journal = stack.enter_context(closing(Journal(path, _identity(invocation.target))))
        progress.begins(preview.to_send)
        tally = importer.run(wait=waits)
        importer.ask_for_words()
        progress.end()
        invalid = write_invalid(table, importer.scratch, importer.journal, beside(file, table.suffix))
        return _report(invocation, tally, invalid)


def _rules(invocation: Invocation, table: Table, columns: Columns, campaign: str) -> Rules:
    settings = _settings(invocation.target)
    needed = [each for each in _NEEDED if each not in settings.lead_defaults]
    _require_columns(invocation, table, columns, needed)
    known = UserAssistants.of(invocation.target)
    if known.why_unknown:
        invocation.out.note(f"The assistants are not compared with the user's: {known.why_unknown}.")
    return Rules(columns, settings.lead_defaults, settings.event_sources, campaign, known.addresses)


def _known(path: Path, target: Target) -> Journal:
    """Before a person has agreed, nothing is written beside their file."""
    return Journal(path if path.exists() else None, _identity(target))


def _look_through(importer: Importer, progress: ImportProgress) -> Preview:
    preview = Preview()
    for rows in preview.take(importer.plan()):
        progress.looked_at(rows)
    progress.end()
    return preview


def _question(preview: Preview, target: Target) -> str:
    leads = count(preview.to_send, "lead")
    follows = (
        "Its sandbox mails nobody."
        if target.has_sandbox
        else "7Targets begins to e-mail them, which can't be undone."
    )
    return f"Send {leads} to {target.stack_name}? {follows}"


def _settings(target: Target) -> DeployedSettings:
    settings = DeployedSettings.of(target)
    if not settings.is_known:
        raise NoAccessError(
            "You lack the right lambda:GetFunctionConfiguration, which shows the stage's leadDefaults: they "
            f"are part of each lead and so of its key. {target.policy} gives it."
        )
    return settings


def _require_columns(invocation: Invocation, table: Table, columns: Columns, needed: Sequence[str]) -> None:
    """Raises a usage error with a command that would do, as far as it can be guessed."""
    if table.columns is None:
        return
    there = f"Its columns are {few([name for name in table.columns if name])}."
    if unmet := columns.unmet(table.columns):
        raise click.UsageError(f"There is no column {few(unmet)}. {there}")
    if lacking := columns.lacks(table.columns, needed):
        if len(table.columns) == 1 and {"name", "email"} <= {*lacking}:
            raise click.UsageError(
                f"Each of its rows is one cell. {there} Columns must be separated by a comma, a semicolon, "
                "a tab or a vertical bar, and a row must not be in quotes as a whole: divide it into columns "
                "in a spreadsheet, and save it as xlsx."
            )
        options = guesses(table.columns, islice(table.rows(), _GUESSED_BY_ROWS), lacking)
        *most, last = lacking
        what = f"{', '.join(most)} and {last} are" if most else f"{last} is"
        sentences = [f"Nothing says what a lead's {what}. {there}", *table.notes]
        raise click.UsageError(
            f"{' '.join(sentences)}\n"
            f"Try this, with the right columns: {_command(invocation)} {' '.join(options)}"
        )


def _command(invocation: Invocation) -> str:
    """This call, as a person has written it."""
    context = click.get_current_context()
    words = ["leadctl", "import", str(context.params["file"])]
    for parameter in context.command.params:
        given = context.params.get(str(parameter.name), getattr(invocation.choice, str(parameter.name), None))
        if isinstance(parameter, click.Option) and given not in (None, False, "", parameter.default):
            for value in given if isinstance(given, tuple) else (given,):
                words += [max(parameter.opts, key=len), *([] if value is True else [str(value)])]
    return shlex.join(words)


def _identity(target: Target) -> str:
    return f"{target.stack_name} {target.account} {target.region}"


def _report(invocation: Invocation, tally: Tally, invalid: Path | None) -> Result:
    parts = [f"{count(tally.sent, 'lead')} sent"]
    parts += [
        f"{number:,} {what}"
        for number, what in (
            (tally.delivered, "delivered"),
            (tally.parked, "refused"),
            (tally.wrong, "wrong"),
            (tally.skipped, "skipped"),
            (tally.under_way, "under way"),
        )
        if number
    ]
    out = invocation.out
    out.text(f"{count(tally.rows, 'row')}: {', '.join(parts)}.")
    if invalid is not None:
        out.text(f"{invalid} holds those that were not taken, with reasons: correct it and import it.")
    if tally.parked:
        out.text(
            "The refused ones are parked as well: once their corrections are imported, leadctl parked drop."
        )
    if tally.under_way:
        out.text("What becomes of those under way: the same command again, with --wait.")
    out.record(
        {
            "rows": tally.rows,
            "sent": tally.sent,
            "delivered": tally.delivered,
            "refused": tally.parked,
            "wrong": tally.wrong,
            "skipped": tally.skipped,
            "underWay": tally.under_way,
            "invalidFile": None if invalid is None else str(invalid),
        }
    )
    return ExitCode.A_PERSON_HAS_TO_ACT if tally.wrong or tally.parked else None


@contextmanager
def _said(invocation: Invocation, progress: ImportProgress) -> Iterator[None]:
    """Turns what can go wrong into a sentence that, once leads were sent, ends with how to go on."""
    try:
        yield
    except (ColumnsError, NotATableError) as error:
        raise click.UsageError(str(error)) from None
    except (JournalError, NotTakenError) as error:
        raise ProblemError(f"{error} {progress.resume}".strip()) from None
    except OSError as error:
        if error.filename is None:
            raise
        raise ProblemError(f"{error.filename}: {error.strerror}. {progress.resume}".strip()) from None
    except click.ClickException:
        raise
    except Exception as error:
        problem = explain(error, is_local=invocation.choice.local, policy=invocation.policy)
        if problem is None or not progress.resume:
            raise
        raise type(problem)(f"{problem.format_message()} {progress.resume}") from None
