"""What all commands share: the options for target and output, and asking before anything is changed."""

import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import click

from leadctl.output import FORMS, Output
from leadctl.problems import ExitCode, NotChosenError, ProblemError
from leadctl.target import STAGE_VARIABLE, Choice, Target, find_target

# How a command ends; None is "done".
Result = ExitCode | None
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Invocation:
    """One call of leadctl: what was chosen, and what is needed of it. Click's context object.

    `resume` says how to go on after Ctrl-C; a command sets it when there is something to say.
    """

    def __init__(self) -> None:
        self.choice = Choice()
        self.out = Output()
        self.resume = "Nothing was changed."

    @cached_property
    def target(self) -> Target:
        """Found once; its stack, account and region are the first line on stderr."""
        target = find_target(self.choice)
        self.out.note(target.where)
        return target

    @property
    def policy(self) -> str:
        """What gives an operator's rights, for a sentence, even before a target is found."""
        target = self.__dict__.get("target")
        return target.policy if target else "The stack's operator policy (its output OperatorPolicyArn)"

    def may_go_on(self, question: str, *, yes: bool, dry_run: bool) -> bool:
        """Whether a person, or --yes, agrees to what `question` says; `--dry-run` never does.

        Raises `NotChosenError` off a terminal without --yes, `ProblemError` when the answer is no.
        """
        if dry_run:
            self.out.note(f"{question} Nothing is done, because of --dry-run.")
            return False
        if yes:
            return True
        if not sys.stdin.isatty():
            raise NotChosenError("Nothing was done, because off a terminal this needs --yes.")
        if not click.confirm(question, err=True):
            raise ProblemError("Nothing was done.")
        return True


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401
    """Keeps what was given; the option after the command wins over the one before it."""
    invocation = context.find_root().ensure_object(Invocation)
    if value is None or value is False:
        return
    if parameter.name == "output":
        invocation.out.form = value
    else:
        setattr(invocation.choice, str(parameter.name), value)


_TARGET_OPTIONS = (
    click.option("--stage", help=f"The stage, e.g. prod. Default: {STAGE_VARIABLE}, or the only one."),
    click.option("--stack", help="The stack's name, instead of a stage."),
    click.option("--region", help="The AWS region. Default: AWS's own settings."),
    click.option("--profile", help="The profile in AWS's own settings."),
    click.option("--local", is_flag=True, default=False, help="The local run of this folder's project."),
    click.option("-o", "--output", type=click.Choice(FORMS), help="Default: table."),
)


def target_options(command: Decorated) -> Decorated:
    """The options that every command and group takes, so that they may be before or after the command."""
    for option in reversed(_TARGET_OPTIONS):
        # Click makes the parameter anew for each command.
        command = option(command)
    parameters: list[click.Parameter] = getattr(command, "__click_params__", [])
    for parameter in parameters[-len(_TARGET_OPTIONS) :]:
        parameter.expose_value = False
        parameter.callback = _remember
    return command


def asking_options(command: Decorated) -> Decorated:
    """Of commands that send, delete or overwrite."""
    command = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)
    return click.option("-y", "--yes", is_flag=True, help="Don't ask. Needed off a terminal.")(command)


def pass_invocation(command: Callable[..., Result]) -> Callable[..., Result]:
    """Hands the invocation to a command, as its first argument."""
    return click.make_pass_decorator(Invocation, ensure=True)(command)
