"""`leadctl credentials`: 7Targets' credentials in the stack's secret; never on a command line or in a log."""

import json
import sys
from pathlib import Path

import click

from deliver_leads.contract import CREDENTIAL_NAMES, PLACEHOLDER
from leadctl.completion import FileOrStdin
from leadctl.deployed_settings import DeployedSettings
from leadctl.options import Command, Group, Invocation, asking_options, pass_invocation, target_options
from leadctl.output import without_mark
from leadctl.problems import ProblemError, ToBeFixedError
from leadctl.target import Target
from leadctl.token_endpoint import try_credentials


@click.group(cls=Group)
@target_options
def credentials() -> None:
    """Change 7Targets' credentials."""


@credentials.command(
    "set",
    cls=Command,
    examples="""
    leadctl credentials set --stage prod
    leadctl credentials set client_secret
    leadctl credentials set --file - --yes < credentials.json
    """,
)
@click.argument("field", type=click.Choice(CREDENTIAL_NAMES), required=False)
@click.option("--file", metavar="FILE|-", type=FileOrStdin(), help="A JSON object with them; - is stdin.")
@asking_options
@target_options
@pass_invocation
def set_(invocation: Invocation, field: str | None, file: str | None, yes: bool, dry_run: bool) -> None:
    """Store client_id, client_secret and user_identifier, after trying them.

    They are typed unseen, or come from a file or stdin. The token endpoint has to take them before they
    overwrite the ones that are stored. With FIELD only that one is changed; the others are read from the
    secret, which takes the right secretsmanager:GetSecretValue.
    """
    target = invocation.target
    given = _from_file(file, field) if file else _typed(field)
    values = {name: value.strip() for name, value in (_stored(target, field) | given).items()}
    _refuse_unusable(values)
    token_url = DeployedSettings.of(target).token_url
    if token_url is None:
        raise ProblemError(
            "Nothing was stored, because the function's setting tokenUrl can't be read to try them."
        )
    try_credentials(token_url, values["client_id"], values["client_secret"])
    invocation.out.note("The token endpoint takes them.")
    what = field or "credentials"
    if not invocation.may_go_on(f"Overwrite the {what} of {target.stack_name}?", yes=yes, dry_run=dry_run):
        return
    target.client("secretsmanager").put_secret_value(
        SecretId=target.output("SecretName"), SecretString=json.dumps(values)
    )
    invocation.out.text(
        "Stored. Leads that wait for them go within five minutes. Only the API can judge user_identifier: "
        "leadctl doctor asks it. The secret keeps the former ones as its version AWSPREVIOUS."
    )
    invocation.out.record({"stored": [field] if field else list(CREDENTIAL_NAMES)})


def _from_file(file: str, field: str | None) -> dict[str, str]:
    text = without_mark(sys.stdin.read() if file == "-" else Path(file).read_text("utf-8"))
    try:
        found = json.loads(text)
    except ValueError:
        # One value alone may come as it is, e.g. from a password manager.
        found = {field: text} if field else None
    if isinstance(found, str) and field:
        found = {field: found}
    wanted = {field} if field else set(CREDENTIAL_NAMES)
    if (
        not isinstance(found, dict)
        or set(found) != wanted
        or not all(isinstance(each, str) for each in found.values())
    ):
        raise click.UsageError(
            f"The file must hold a JSON object with the texts {', '.join(sorted(wanted))}."
        )
    return found


def _typed(field: str | None) -> dict[str, str]:
    if not sys.stdin.isatty():
        raise click.UsageError(
            "Off a terminal the credentials come from --file FILE, or from stdin by --file -."
        )
    names = (field,) if field else CREDENTIAL_NAMES
    return {name: click.prompt(name, hide_input=True, err=True) for name in names}


def _stored(target: Target, field: str | None) -> dict[str, str]:
    """What is stored now; needed only when one field is changed."""
    if field is None:
        return {}
    answer = target.client("secretsmanager").get_secret_value(SecretId=target.output("SecretName"))
    try:
        stored = json.loads(without_mark(answer["SecretString"]))
    except ValueError:
        stored = None
    # The missing ones are named later.
    return {name: str(stored.get(name, "")) if isinstance(stored, dict) else "" for name in CREDENTIAL_NAMES}


def _refuse_unusable(values: dict[str, str]) -> None:
    """The function's own rule. Raises `ToBeFixedError`, without any value."""
    bad = [
        name
        for name in CREDENTIAL_NAMES
        if not (value := values[name])
        or not value.isascii()
        or not value.isprintable()
        or PLACEHOLDER in value
    ]
    if bad:
        raise ToBeFixedError(
            f"Nothing was stored, because {', '.join(bad)} can't be used: each must be printable ASCII "
            f"text, and not {PLACEHOLDER}."
        )
