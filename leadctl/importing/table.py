"""What every kind of file looks like to the import: rows of named cells, and a file for those not taken."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from deliver_leads.event.lead import Json

# The column that the `_invalid` file adds. It is ignored in a file that is imported.
REASON = "reason"


class NotATableError(Exception):
    """The whole file can't be read; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `number` is its line in a text file, its row in a spreadsheet.

    `cells` has a column's name beside each value, because two columns may have one name. `problem`: why there
    are no cells. `raw` is the kind's own, for the `_invalid` file.
    """

    number: int
    cells: tuple[tuple[str, Json], ...]
    problem: str = ""
    raw: Any = None


class Table(Protocol):
    """A file with leads. It is read several times, a row at a time."""

    # In words: "CSV, UTF-8, separated by semicolon".
    kind: str
    # What a person should know of how it was read.
    notes: list[str]
    # Whether its encoding is one of several that would fit.
    is_guess: bool
    # Of the `_invalid` file.
    suffix: str
    # What a number of a row counts: "line" or "row".
    unit: str

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Their names; None when each row names its own."""
        ...

    def rows(self) -> Iterator[Row]:
        """From the first to the last, without empty ones."""
        ...

    def invalid_head(self) -> bytes:
        """How an `_invalid` file begins."""
        ...

    def invalid_row(self, row: Row, reason: str) -> bytes:
        """The row in an `_invalid` file, as the user wrote it."""
        ...
