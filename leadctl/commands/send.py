"""`leadctl send`: one event, checked before it leaves."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from deliver_leads.contract import LEAD_FIELDS
from deliver_leads.event.envelope import LeadEvent, UnreadableError, read_event
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from leadctl.completion import FileOrStdin, fields
from leadctl.deployed_settings import DeployedSettings
from leadctl.options import Command, Invocation, asking_options, pass_invocation, target_options
from leadctl.output import pretty, without_mark
from leadctl.problems import ToBeFixedError

OPERATIONS = [each.value for each in Operation]
_JANE = {"name": "Jane", "lastName": "Doe", "email": "jane@example.com", "assistantEmail": "sam@example.com"}
# By each name without case and hyphens, and by the name of the option.
_MEANT = {name.casefold(): name for name in LEAD_FIELDS} | {"assistant": "assistantEmail"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "create": {
        "operation": "create",
        "idempotencyKey": "webinar-2041",
        "lead": {
            **_JANE,
            "phone": "+1 202 555 0100",
            "source": "Webinar",
            "context": "Asked about the price.",
            "customFields": [{"name": "Budget", "value": "5000"}],
        },
    },
    "update": {"operation": "update", "lead": {**_JANE, "phone": "+1 202 555 0199"}},
    "stop_followup": {"operation": "stop_followup", "lead": _JANE},
}


@click.command(
    cls=Command,
    short_help="Send one event, after the function's checks.",
    examples="""
    leadctl send --operation create --name Jane --email jane@example.com \\
        --assistant sam@example.com --set 'company=Example Ltd'
    leadctl send --example update > event.json
    leadctl send event.json --dry-run
    """,
)
@click.argument("file", metavar="[FILE|-]", type=FileOrStdin(), required=False)
@click.option(
    "--operation", type=click.Choice(OPERATIONS), help="What to do with the lead; needed with fields."
)
@click.option("--name", help="The first name.")
@click.option("--last-name", "lastName")
@click.option("--email", help="The lead's address.")
@click.option("--assistant", "--assistant-email", "assistantEmail", help="The assistant's address.")
@click.option("--phone")
@click.option("--company")
@click.option("--source")
@click.option("--context", help="What the assistant should know.")
@click.option(
    "--set",
    "others",
    metavar="FIELD=VALUE",
    multiple=True,
    shell_complete=fields,
    help="Any other field of the lead.",
)
@click.option("--key", "idempotency_key", help="The idempotencyKey: repeats with it are one event.")
@click.option("--example", type=click.Choice(OPERATIONS), help="Print an event to start from, and end.")
@asking_options
@target_options
@pass_invocation
def send(
    invocation: Invocation,
    file: str | None,
    operation: str | None,
    others: tuple[str, ...],
    idempotency_key: str | None,
    example: str | None,
    yes: bool,
    dry_run: bool,
    **named: str | None,
) -> None:
    """Send one event to the lead queue, after the checks that the function will make.

    The event comes from FILE or, with -, from stdin; or its lead from the options. A create can't be undone:
    7Targets begins to e-mail the person.
    """
    if example:
        click.echo(json.dumps(EXAMPLES[example], indent=2))
        return
    fields = {name: value for name, value in named.items() if value is not None} | _others(others)
    body = _body(file, operation, fields, idempotency_key)
    target = invocation.target
    settings = DeployedSettings.of(target)
    try:
        event = read_event(
            Message("-", "", body, 1, 0), settings.lead_defaults, settings.event_sources, settings.mapper
        )
    except UnreadableError as error:
        problems = "".join(f"\n  {each}" for each in error.summary.split(" | "))
        raise ToBeFixedError(f"Nothing was sent, because the event is wrong:{problems}") from None
    _show(invocation, body, event, settings)
    question = f"Send this {event.operation} to {target.stack_name}?"
    if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
        return
    answer = target.client("sqs").send_message(QueueUrl=target.output("LeadQueueUrl"), MessageBody=body)
    invocation.out.text(f"Sent as message {answer['MessageId']}. What becomes of it: leadctl find EMAIL")
    invocation.out.record({"messageId": answer["MessageId"], "lead": event.lead_hash, "key": event.key.text})


def _body(
    file: str | None, operation: str | None, fields: dict[str, Any], idempotency_key: str | None
) -> str:
    if file is not None:
        if operation or fields or idempotency_key:
            raise click.UsageError("Give FILE or the lead's fields, not both.")
        return without_mark(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")).strip()
    if not fields:
        raise click.UsageError(
            "Nothing to send: give FILE, -, or the lead's fields. --example create shows one."
        )
    if operation is None:
        raise click.UsageError(f"--operation is missing; it must be one of {', '.join(OPERATIONS)}.")
    event = {"operation": operation, "lead": fields}
    return json.dumps(
        event | ({"idempotencyKey": idempotency_key} if idempotency_key else {}), ensure_ascii=False
    )


def _others(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Values in JSON are taken as such (`--set 'customFields=[…]'`), others as text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {pair}: must be FIELD=VALUE.")
        meant = _MEANT.get(name.casefold().replace("_", "").replace("-", ""), name)
        if name != meant:
            raise click.UsageError(f"--set {pair}: there is no field {name}; did you mean {meant}?")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = value if isinstance(value, list | dict) else text
    return found


def _show(invocation: Invocation, body: str, event: LeadEvent, settings: DeployedSettings) -> None:
    invocation.out.note(pretty(body))
    if event.unknown_fields:
        names = ", ".join(event.unknown_fields)
        invocation.out.note(f"Not known to 7Targets' documents, but passed on: {names}")
    if not settings.is_known:
        invocation.out.note("The function's own settings couldn't be read, so its defaults don't count here.")
