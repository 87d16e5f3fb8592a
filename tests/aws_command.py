"""A stand-in for the aws command line, which isn't a package of this project.

It reads a command's words by AWS's own models. As a program (`python -m tests.aws_command sqs list-queues`)
it makes the call and prints the answer as the aws command line does, so that the documents' commands can be
run as they are written.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import jmespath  # type: ignore[import-untyped]
from botocore import xform_name
from botocore.exceptions import ClientError, UnknownServiceError, WaiterError

# The command line's own names, where AWS's would be mistaken for one of its global options.
RENAMED = {"notification-endpoint": "endpoint"}
GLOBAL_OPTIONS = {
    "query",
    "output",
    "cli-binary-format",
    "cli-input-json",
    "cli-read-timeout",
    "endpoint-url",
}


class CommandError(Exception):
    """The command can't be what its author meant; the text says why."""


@dataclass
class Command:
    """One command; `parameters` are the call's, `options` the command line's own."""

    service: str
    operation: str
    waiter: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)


def read_command(words: Sequence[str], *, literal: bool = True) -> Command:
    """Reads what follows `aws`.

    With `literal=False` a value may still hold a shell variable or name a file, and then isn't read. Raises
    `CommandError` for an unknown service, operation or option and for a missing parameter, `ValueError` for
    a value that its option doesn't take.
    """
    session = botocore.session.get_session()
    service, name, *rest = words
    try:
        model = session.get_service_model(service)
    except UnknownServiceError:
        raise CommandError(f"aws has no {service}") from None
    if (service, name) == ("cloudformation", "deploy"):
        return _read_deploy(rest)
    waiter = rest.pop(0) if name == "wait" else ""
    operation = _operation_of_waiter(session, service, waiter) if waiter else name
    by_name = {xform_name(each, "-"): each for each in model.operation_names}
    if operation not in by_name:
        raise CommandError(f"aws {service} has no {operation}")
    command = Command(service, by_name[operation], waiter)
    shape = model.operation_model(by_name[operation]).input_shape
    _read_options(command, rest, shape, literal)
    missing = set(shape.required_members if shape else ()) - command.parameters.keys()
    if missing and "cli-input-json" not in command.options:
        raise CommandError(f"aws {service} {operation} lacks {', '.join(sorted(missing))}")
    return command


def _read_options(command: Command, words: list[str], shape: Any, literal: bool) -> None:
    members = {xform_name(name, "-"): (name, member) for name, member in shape.members.items()}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            command.positional.append(word)
            continue
        option = RENAMED.get(word[2:], word[2:])
        if option in GLOBAL_OPTIONS:
            command.options[option] = words.pop(0)
            continue
        name, member = members.get(option) or members.get(option.removeprefix("no-")) or (None, None)
        if name is None or member is None:
            raise CommandError(f"aws {command.service} {xform_name(command.operation, '-')} has no {word}")
        if member.type_name == "boolean":
            command.parameters[name] = option in members
            continue
        values = [words.pop(0)]
        while member.type_name == "list" and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        is_known = literal or not any("$" in each or each.startswith("file://") for each in values)
        command.parameters[name] = _value(values, member) if is_known else values


def _value(words: list[str], member: Any) -> Any:
    text = words[0]
    if text.startswith("file://"):
        text = Path(text.removeprefix("file://")).read_text("utf-8")
    if text.startswith(("{", "[")) and member.type_name in {"structure", "map", "list"}:
        return json.loads(text)
    if member.type_name == "list":
        return [_value([word], member.member) for word in words]
    if member.type_name in {"structure", "map"}:
        return {key: _scalar(value) for key, value in (part.split("=", 1) for part in text.split(","))}
    converters: dict[str, Callable[[str], Any]] = {"integer": int, "long": int, "blob": str.encode}
    return converters.get(member.type_name, str)(text)


def _scalar(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text, text)


def _operation_of_waiter(session: Any, service: str, waiter: str) -> str:
    waiters = session.get_waiter_model(service)
    by_name = {xform_name(name, "-"): name for name in waiters.waiter_names}
    if waiter not in by_name:
        raise CommandError(f"aws {service} can't wait for {waiter}")
    return xform_name(waiters.get_waiter(by_name[waiter]).operation, "-")


def _read_deploy(words: list[str]) -> Command:
    """`cloudformation deploy` has no call of its own; a change set is what it makes."""
    names = {"--stack-name", "--template-file", "--capabilities", "--parameter-overrides"}
    given = [word for word in words if word.startswith("--")]
    if unknown := set(given) - names:
        raise CommandError(f"aws cloudformation deploy has no {', '.join(sorted(unknown))}")
    if missing := {"--stack-name", "--template-file"} - set(given):
        raise CommandError(f"aws cloudformation deploy lacks {', '.join(sorted(missing))}")
    return Command("cloudformation", "CreateChangeSet", positional=words)


def run(command: Command) -> str:
    """Makes the call, returns what the aws command line prints."""
    session: Any = boto3.Session()  # its stubs take a literal service only
    client = session.client(command.service, endpoint_url=command.options.get("endpoint-url"))
    arguments = command.parameters | json.loads(_input_json(command))
    if command.waiter:
        client.get_waiter(xform_name(command.waiter.replace("-", "_"))).wait(**arguments)
        return ""
    answer = getattr(client, xform_name(command.operation))(**arguments)
    answer.pop("ResponseMetadata", None)
    if command.positional:
        Path(command.positional[0]).write_bytes(answer.pop("Payload").read())
    if "query" in command.options:
        answer = jmespath.search(command.options["query"], answer)
    if command.options.get("output", "json") == "json":
        return json.dumps(answer, indent=4, default=str) + "\n" if answer != {} else ""
    return _as_text(answer)


def _input_json(command: Command) -> str:
    text = command.options.get("cli-input-json", "{}")
    return Path(text.removeprefix("file://")).read_text("utf-8") if text.startswith("file://") else text


def _as_text(answer: Any) -> str:
    """A row of tabs for a list of values, a line each for a list of rows, `None` for nothing."""
    if isinstance(answer, list) and answer and all(isinstance(row, list) for row in answer):
        return "".join(map(_as_text, answer))
    return "\t".join(map(str, answer)) + "\n" if isinstance(answer, list) else f"{answer}\n"


def main(words: Sequence[str]) -> int:
    """Runs what follows `aws` as the program does; returns its exit status."""
    try:
        print(run(read_command(words)), end="", flush=True)
    except (CommandError, ClientError, WaiterError) as error:
        print(f"aws: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
