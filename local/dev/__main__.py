"""The local run that stays: the deployed stack, a page and fixed addresses, until Ctrl-C.

    python -m local.dev [--port N] [--page-port N] [--sandbox-port N] [--state FOLDER]

Exit status 0 after Ctrl-C or SIGTERM; 1 if it could not be run, or something in it ended by itself; 130 after
a Ctrl-C before it was up.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local.dev.code_watch import CodeWatch
from local.run_file import require_no_other
from local.stack.child_process import PROJECT
from local.stack.deployment import Place, deployed
from local.stack.ports import PAGE_PORT, require_free, usual_port
from local.staying import stay
from local.steps import Steps
from local.supervised_run import supervise

_EMULATOR_PORT = 4566
_SANDBOX_PORT = 8701
# A developer's own mappings, for example.
_SETTINGS = PROJECT / "settings" / "local.toml"


def run(console: Console, folder: Path, options: argparse.Namespace) -> bool:
    """Returns True once it was ended."""
    require_no_other()
    # State belongs to its port.
    wanted = options.port or (_EMULATOR_PORT if options.state else None)
    port = _port(wanted, _EMULATOR_PORT, "PORT")
    page_port = _port(options.page_port, PAGE_PORT, "PAGE_PORT")
    sandbox_port = _port(options.sandbox_port, _SANDBOX_PORT, "SANDBOX_PORT")
    if options.state:
        options.state.mkdir(parents=True, exist_ok=True)
    place = Place(port, sandbox_port, options.state)
    settings = {"settings": str(_SETTINGS)} if _SETTINGS.is_file() else None
    with (
        Steps(console) as steps,
        deployed(folder, place=place, settings=settings, report=steps) as deployment,
    ):
        steps.finish()
        watch = CodeWatch(deployment, lambda text: console.print(text, markup=False, soft_wrap=True))
        if options.state:
            # The kept function may have code of an earlier run, which the deployment does not know of.
            watch.put()
        stay(console, deployment, page_port=page_port, every_moment=watch.look)
    console.print("Ended. Nothing is left running.")
    if options.state:
        console.print(f"The state is kept in {options.state}", markup=False, soft_wrap=True)
    return True


def _port(wanted: int | None, usual: int, variable: str) -> int:
    """The wanted one, or else the usual one, or a free one where that is taken.

    Raises `PortTakenError` for a wanted one that is taken; `variable` is the one of make that chooses it.
    """
    if wanted is None:
        return usual_port(usual)
    require_free(wanted, variable)
    return wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.dev", description="Runs the deployed stack locally until Ctrl-C."
    )
    add = parser.add_argument
    usual = "default: {}, or a free one if that is taken"
    add("--port", type=int, help=f"of the emulated AWS; {usual.format(_EMULATOR_PORT)}")
    add("--page-port", type=int, help=usual.format(PAGE_PORT))
    add("--sandbox-port", type=int, help=f"of the leads API's stand-in; {usual.format(_SANDBOX_PORT)}")
    add(
        "--state",
        type=lambda text: Path(text).resolve(),
        metavar="FOLDER",
        help="keeps leads, queues and ledger there for the next run; default: they go with the run",
    )
    options = parser.parse_args(arguments)
    console = Console()
    return supervise(console, "lead-delivery", lambda folder: run(console, folder, options))


if __name__ == "__main__":
    sys.exit(main())
