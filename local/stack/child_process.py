"""A child process that is always cleaned up: its own process group, and its output in a file."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

PROJECT = Path(__file__).resolve().parents[2]
_LAST_LINES = 30


class ChildFailedError(Exception):
    """The process ended when it should not have, or not well; the text holds the end of its output."""


class ChildProcess:
    """Runs `command` in the project with exactly this `environment`; output is appended to `log`.

    In a process group of its own a Ctrl-C in the terminal doesn't reach it: this process decides the order in
    which things end.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = log.stem
        self.log = log
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - commands of this project
                    command,
                    cwd=PROJECT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ChildFailedError(f"{self.name} can't be started: {error}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def check_alive(self) -> bool:
        """Returns True, or raises `ChildFailedError`: handy in a condition that is waited for."""
        if self._process.poll() is not None:
            raise self._failure()
        return True

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> None:
        """Waits for an end with status 0; raises `ChildFailedError` for any other, or none in time."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ChildFailedError(f"{self.name} took longer than {timeout_s:g} s{self._tail()}") from None
        if status != 0:
            raise self._failure()

    def end(self, timeout_s: float) -> None:
        """Asks the process to end (SIGTERM) and waits; what is left after that is for `kill`."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)

    def kill(self) -> None:
        """Ends the whole group at once, so that no process it started outlives it. Does no harm twice."""
        # ProcessLookupError: all have ended. PermissionError: macOS says so of a group of zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _failure(self) -> ChildFailedError:
        return ChildFailedError(f"{self.name} ended with status {self._process.returncode}{self._tail()}")

    def _tail(self) -> str:
        lines = self.output().splitlines()[-_LAST_LINES:]
        return "; the end of its output:\n" + "\n".join(f"    {line}" for line in lines)
