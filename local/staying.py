"""A local run that stays, with its page and its addresses, until Ctrl-C."""

import time
from collections.abc import Callable

from rich.console import Console

from local.page.server import Page
from local.run_file import written
from local.stack.deployment import Deployment

_LOOK_EVERY_S = 0.5


def stay(
    console: Console,
    deployment: Deployment,
    *,
    page_port: int,
    every_moment: Callable[[], None] = lambda: None,
) -> None:
    """Shows page and addresses; returns after Ctrl-C, SIGTERM or SIGHUP. Calls `every_moment` twice a second.

    Raises `ChildFailedError` when emulator or sandbox have ended by themselves.
    """
    page = Page(deployment, page_port)
    page.start()
    try:
        with written(deployment, page.url):
            _print_addresses(console, deployment, page.url)
            while True:
                deployment.check_alive()
                every_moment()
                time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        console.print("Ending ...")
    finally:
        page.stop()


def _print_addresses(console: Console, deployment: Deployment, page_url: str) -> None:
    rows = {
        "Lead queue": deployment.outputs["LeadQueueUrl"],
        "Event bus": deployment.outputs["EventBusName"],
        "Emulated AWS": deployment.emulator.url,
        "Sandbox": deployment.sandbox.url,
        "Function's log": str(deployment.emulator.log),
        "Publish": 'in another terminal: eval "$(make env)"',
    }
    console.print()
    for name, value in rows.items():
        # Longer than the terminal is wide rather than cut: the addresses are there to be copied.
        console.print(f"  {name:<15} {value}", soft_wrap=True, highlight=False, markup=False)
    console.print("\nCtrl-C ends everything that was started here.")
    # Last and alone, because it is the one to open.
    console.print(f"\nOpen {page_url}", soft_wrap=True, highlight=False, markup=False)
