"""The steps of a deployment on the terminal, each with its seconds."""

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console

if TYPE_CHECKING:
    from rich.status import Status


class Steps:
    """Called at the start of each step: a spinner on a terminal, and a line when the step is over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._started = 0.0
        self._spinner: Status | None = None

    def __call__(self, name: str) -> None:
        self.finish()
        self._name, self._started = name, time.monotonic()
        self._spinner = self._console.status(f"{name} ...")
        self._spinner.start()

    def finish(self) -> None:
        """Prints the line of the step under way, if there is one."""
        if self._spinner is None:
            return
        self._spinner.stop()
        self._spinner = None
        self._console.print(f"{time.monotonic() - self._started:5.1f} s  {self._name}", highlight=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Finishes the last step; one that failed has no line, because the error follows."""
        if kind is None:
            self.finish()
        elif self._spinner:
            self._spinner.stop()
