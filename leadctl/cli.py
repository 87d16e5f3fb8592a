"""The command `leadctl`: its commands, and what becomes of everything that goes wrong in them."""

import contextlib
import errno
import os
import sys

import click

from leadctl import __version__
from leadctl.commands.credentials import credentials
from leadctl.commands.doctor import doctor
from leadctl.commands.erase import erase
from leadctl.commands.find import find
from leadctl.commands.import_ import import_
from leadctl.commands.log import log
from leadctl.commands.mapping import mapping
from leadctl.commands.open import open_
from leadctl.commands.parked import parked
from leadctl.commands.pause import pause, resume
from leadctl.commands.sandbox import sandbox
from leadctl.commands.send import send
from leadctl.commands.status import status
from leadctl.commands.version import version
from leadctl.options import Group, Invocation, target_options
from leadctl.output import visible, wrapped
from leadctl.problems import EndedError, ExitCode, ProblemError, ToBeFixedError, explain


class Leadctl(Group):
    """A group that turns what a person can fix into a sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> None:
        """Ends with the command's own exit code, or raises `click.ClickException`."""
        invocation = ctx.ensure_object(Invocation)
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except click.UsageError as error:
            message = visible(f"Error: {error.format_message()}")
            message = wrapped(message) if sys.stderr.isatty() else message
            raise click.UsageError(message.removeprefix("Error: "), error.ctx) from None
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            raise EndedError(f"\nInterrupted. {invocation.resume}") from None
        except OSError as error:
            raise _explain_io(error) from None
        except UnicodeDecodeError:
            raise ToBeFixedError("Nothing was done, because the file isn't text in UTF-8.") from None
        except Exception as error:
            problem = explain(error, is_local=invocation.choice.local, policy=invocation.policy)
            if problem is None:
                raise
            raise problem from None
        ctx.exit(int(code or ExitCode.DONE))


def _explain_io(error: OSError) -> ProblemError | click.exceptions.Exit:
    if error.filename is not None:
        return ProblemError(f"{error.filename}: {error.strerror}.")
    # It was stdout: what is still in its buffer would fail once more at the end, with a traceback.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        # As `head` does when it has seen enough.
        return click.exceptions.Exit(ExitCode.OUTPUT_CLOSED)
    return ProblemError(f"The output can't be written: {error.strerror}.")


@click.group(
    cls=Leadctl,
    examples="""
    leadctl status --stage prod
    leadctl find jane@example.com
    leadctl import leads.csv --dry-run
    """,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Tab completion: put `eval "$(_LEADCTL_COMPLETE=bash_source leadctl)"` into ~/.bashrc; zsh_source '
    "and fish_source are for the other shells. Exit codes: 0 done, 1 failed, 2 usage, 3 done, a person must "
    "act, 4 no access or no such stack, 130 interrupted, 141 the output was closed.",
)
@click.version_option(__version__, prog_name="leadctl", message="%(prog)s %(version)s")
@target_options
def cli() -> None:
    """Find, send and fix the leads that go to 7Targets."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            # A terminal that can't show a character is no reason to fail.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


# One module for each command, or group of them.
for command in (
    credentials,
    doctor,
    erase,
    find,
    import_,
    log,
    mapping,
    open_,
    parked,
    pause,
    resume,
    sandbox,
    send,
    status,
    version,
):
    cli.add_command(command)
