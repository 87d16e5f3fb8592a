"""`leadctl sandbox`: what a stage without 7Targets has delivered, to the sandbox in its own account."""

import click

from leadctl.options import Command, Group, Invocation, Result, pass_invocation, target_options
from leadctl.output import Column
from leadctl.problems import ExitCode, ProblemError

_COLUMNS = (
    Column("id", "id"),
    Column("email", "e-mail"),
    Column("name", "name"),
    Column("assistantEmail", "assistant"),
    Column("followup", "follow-up", lambda value: "on" if value else "stopped"),
    Column("creates", "creates"),
)


@click.group(
    cls=Group,
    short_help="Look at a stage's sandbox.",
    examples="""
    leadctl sandbox leads --stage dev
    """,
)
@target_options
def sandbox() -> None:
    """Look at the sandbox of a stage whose setting leadsApi is "sandbox"."""


@sandbox.command(
    "leads",
    cls=Command,
    examples="""
    leadctl sandbox leads --stage dev
    leadctl sandbox leads -o csv > leads.csv
    """,
)
@target_options
@pass_invocation
def leads(invocation: Invocation) -> Result:
    """Show the leads that the sandbox holds; nobody mailed them. Ends with 3 when there is none."""
    target = invocation.target
    if target.local:
        raise ProblemError("The local run shows its sandbox's leads on its page: leadctl open --local.")
    if not target.has_sandbox:
        raise ProblemError(
            f'{target.stack_name} delivers to 7Targets: its setting leadsApi isn\'t "sandbox".'
        )
    payload, failed = target.invoke("SandboxFunctionName", {"method": "GET", "path": "leads"})
    if failed:
        raise ProblemError(f"The sandbox failed: {payload.get('errorMessage', payload)}")
    if not payload["body"]:
        invocation.out.note("The sandbox holds no lead. What became of one: leadctl find ADDRESS --log.")
    invocation.out.rows(_COLUMNS, payload["body"])
    return None if payload["body"] else ExitCode.A_PERSON_HAS_TO_ACT
