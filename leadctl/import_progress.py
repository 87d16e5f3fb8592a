"""What a person sees while an import looks through its file, sends and waits; and how it goes on later."""

import sys
import time

import click

from leadctl.importing.importer import Tally
from leadctl.options import Invocation
from leadctl.output import count

_REPORTED_EVERY_S = 30  # off a terminal
_SHOWN_EVERY_S = 0.1
_STALLED_S = 60
_RESUMES = "The same command again goes on where this one ended, and sends no lead twice."


class ImportProgress:
    """A line that changes, on a terminal; else a line now and then.

    `resume`: how to go on after an interruption, "" as long as nothing was sent.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._is_terminal = sys.stderr.isatty()
        self._shown_s = time.monotonic()
        self._settled: tuple[int, float] = (0, time.monotonic())
        self._is_stalled = False
        self._all = 0
        self.resume = ""

    def looked_at(self, rows: int) -> None:
        """While the file is looked through."""
        if rows % 1000 == 0:
            self._say(f"{rows:,} rows looked at")

    def begins(self, leads: int) -> None:
        """From here on so many leads are sent."""
        self._all = leads
        self._keep(f"Nothing was sent yet. {_RESUMES}")

    def show(self, tally: Tally) -> None:
        """While leads are sent."""
        settled = tally.delivered + tally.parked
        if settled != self._settled[0]:
            self._settled, self._is_stalled = (settled, time.monotonic()), False
        sent = f"{tally.sent:,} of {count(self._all, 'lead')} sent, " if self._all else ""
        state = (
            f"{sent}{tally.under_way:,} under way, {tally.delivered:,} delivered, {tally.parked:,} refused"
        )
        self._keep(f"{state}. {_RESUMES}")
        self._say(state)

    def _keep(self, resume: str) -> None:
        self.resume = self._invocation.resume = resume

    def pause(self, seconds: float) -> None:
        """Until leads are settled, or the queue takes more."""
        time.sleep(seconds)
        if not self._is_stalled and time.monotonic() - self._settled[1] > _STALLED_S:
            self._is_stalled = True
            self.end()
            self._invocation.out.note(
                "No lead was settled for a minute, so no more are sent. Do leads flow? leadctl status"
            )

    def end(self) -> None:
        """Clears the line that changes."""
        if self._is_terminal:
            click.echo("\r\x1b[K", nl=False, err=True)

    def _say(self, state: str) -> None:
        now = time.monotonic()
        if now - self._shown_s < (_SHOWN_EVERY_S if self._is_terminal else _REPORTED_EVERY_S):
            return
        self._shown_s = now
        if self._is_terminal:
            click.echo(f"\r\x1b[K{state}", nl=False, err=True)
        else:
            self._invocation.out.note(state)
