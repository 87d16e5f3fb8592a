"""What all commands share: the options for target and output, and asking before anything is changed."""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import click

from leadctl.completion import stages
from leadctl.output import FORMS, Output, wrapped
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
        if not click.confirm(wrapped(f"{question} [y/N]:"), err=True, show_default=False, prompt_suffix=" "):
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


_OUTPUT_OPTION = click.option("-o", "--output", type=click.Choice(FORMS), help="Default: table.")
_PLACE_OPTIONS = (
    click.option(
        "--stage",
        shell_complete=stages,
        help=f"The stage, e.g. prod. Default: {STAGE_VARIABLE}, or the only one.",
    ),
    click.option("--stack", shell_complete=stages, help="The stack's name, instead of a stage."),
    click.option("--region", help="The AWS region. Default: AWS's own settings."),
    click.option("--profile", help="The profile in AWS's own settings."),
    click.option("--local", is_flag=True, default=False, help="The local run of this folder's project."),
)


def place_options(command: Decorated) -> Decorated:
    """The options that say which stack is meant."""
    return _remembered(command, _PLACE_OPTIONS)


def target_options(command: Decorated) -> Decorated:
    """The options that every command and group takes, so that they may be before or after the command."""
    return _remembered(command, (*_PLACE_OPTIONS, _OUTPUT_OPTION))


def _remembered(command: Decorated, options: Sequence[Callable[[Decorated], Decorated]]) -> Decorated:
    for option in reversed(options):
        # Click makes the parameter anew for each command.
        command = option(command)
    parameters: list[click.Parameter] = getattr(command, "__click_params__", [])
    for parameter in parameters[-len(options) :]:
        parameter.expose_value = False
        parameter.callback = _remember
    return command


class Command(click.Command):
    """A command whose help has its own options first, and examples last."""

    def __init__(self, *args: Any, examples: str = "", **more: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **more)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Click calls it."""
        parts: dict[str, list[tuple[str, str]]] = {"Options": [], "General options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                parts["Options" if parameter.expose_value else "General options"].append(record)
        self._format_part(formatter, "Options", parts["Options"])
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)
        self._format_part(formatter, "General options", parts["General options"])

    @staticmethod
    def _format_part(formatter: click.HelpFormatter, name: str, records: list[tuple[str, str]]) -> None:
        if records:
            with formatter.section(name):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Click calls it."""
        if self.examples:
            with formatter.section("Examples"):
                for line in inspect.cleandoc(self.examples).splitlines():
                    formatter.write(f"  {line}\n")
        super().format_epilog(ctx, formatter)


class Group(Command, click.Group):
    """A group of commands with such a help."""

    command_class = Command


def asking_options(command: Decorated) -> Decorated:
    """Of commands that send, delete or overwrite."""
    command = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(command)
    return click.option("-y", "--yes", is_flag=True, help="Don't ask. Needed off a terminal.")(command)


def pass_invocation(command: Callable[..., Result]) -> Callable[..., Result]:
    """Hands the invocation to a command, as its first argument."""
    return click.make_pass_decorator(Invocation, ensure=True)(command)
