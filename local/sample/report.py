"""What the run shows: progress while it goes, tables at its end."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.theme import Theme

from local.judge import Observed
from local.sample.accounting import Account

# Rich's own colours can't be read on a light ground (yellow), or look like a fault (a red bar).
THEME = Theme({"progress.elapsed": "none", "bar.complete": "green"})
_PLAIN_LINE_EVERY_S = 3.0
_MOST_SHOWN = 20


class Progress:
    """Two bars on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console, events: int) -> None:
        self._console = console
        self._events = events
        self._next_line_at = 0.0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=console, disable=not console.is_terminal)
        self._published = self._bars.add_task("Published", total=events)
        self._settled = self._bars.add_task("Left the lead queue", total=events)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, published: int, held: int, waiting: int) -> None:
        """`held`: leads at the sandbox; `waiting`: messages in the lead queue, in flight ones included."""
        self._bars.update(self._published, completed=published)
        self._bars.update(self._settled, completed=max(0, published - waiting))
        if not self._console.is_terminal and time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + _PLAIN_LINE_EVERY_S
            self._console.print(
                f"{published} of {self._events} events published, {waiting} in the lead queue,"
                f" {held} leads at the sandbox"
            )


@dataclass(frozen=True)
class RunFigures:
    """What the run measured beside the events themselves."""

    summary: dict[str, Any]
    environments: int
    left_in_queue: int
    deploy_s: float
    delivery_s: float


def print_tables(console: Console, result: Account, observed: Observed, figures: RunFigures) -> None:
    """Prints what was counted."""
    console.print(_outcomes(result), _dead_letters(observed), _faults(observed), _figures(figures, observed))


def print_verdict(console: Console, result: Account, discrepancies: Sequence[str]) -> None:
    """Prints whether everything added up, else what didn't."""
    if not discrepancies:
        console.print(f"All {sum(result.expected.values())} events are accounted for, each exactly once.")
        return
    console.print(f"{len(discrepancies)} things don't add up:")
    for line in discrepancies[:_MOST_SHOWN]:
        console.print(f"  - {line}", markup=False, soft_wrap=True)
    if len(discrepancies) > _MOST_SHOWN:
        console.print(f"  and {len(discrepancies) - _MOST_SHOWN} more")


def check_figures(figures: RunFigures) -> list[str]:
    """A sentence for each figure that isn't what it must be."""
    found = []
    if figures.left_in_queue:
        found.append(f"lead queue: {figures.left_in_queue} messages are left in it")
    if figures.summary["created_again"]:
        found.append(f"sandbox: {figures.summary['created_again']} creates were repeated")
    if figures.summary["tokens_fetched"] != figures.environments + 1:
        found.append(
            f"tokens: {figures.summary['tokens_fetched']} were fetched by {figures.environments} execution"
            " environments, instead of one each and one more for the token that was refused"
        )
    return found


def _outcomes(result: Account) -> Table:
    table = Table("Outcome", "Expected", "Seen", title="Events")
    for outcome in sorted(result.expected | result.seen):
        table.add_row(outcome, str(result.expected[outcome]), str(result.seen[outcome]))
    return table


def _dead_letters(observed: Observed) -> Table:
    table = Table("Reason", "Detail", "Messages", title="Dead-letter queue")
    letters = [each["MessageAttributes"] for each in observed.dead_letters]
    counts = Counter((each["reason"]["StringValue"], each["detail"]["StringValue"]) for each in letters)
    for (reason, detail), count in sorted(counts.items()):
        table.add_row(reason, detail, str(count))
    return table


def _faults(observed: Observed) -> Table:
    table = Table("Fault", "Answer", "Calls", title="What the sandbox did wrong")
    counts = Counter((each["fault"], each["status"] or "none") for each in observed.requests if each["fault"])
    for (fault, status), count in sorted(counts.items(), key=str):
        table.add_row(fault, str(status), str(count))
    return table


def _figures(figures: RunFigures, observed: Observed) -> Table:
    table = Table("Figure", "Value", title="Figures")
    rows = {
        "leads the sandbox holds": figures.summary["leads"],
        "of these, with their follow-up stopped": sum(
            lead["followup"] == 0 for lead in observed.leads.values()
        ),
        "creates that were repeated": figures.summary["created_again"],
        "messages left in the lead queue": figures.left_in_queue,
        "access tokens fetched": figures.summary["tokens_fetched"],
        "execution environments started": figures.environments,
        "seconds to deploy": f"{figures.deploy_s:.0f}",
        "seconds to deliver": f"{figures.delivery_s:.0f}",
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
