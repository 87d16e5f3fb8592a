"""What every kind of file looks like to the import: rows of named cells, and a file for those not taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from deliver_leads.event.lead import Json

# The column that the `_invalid` file adds. It is ignored in a file that is imported.
REASON = "reason"


class NotATableError(Exception):
    """The whole file can't be read; the text is a sentence."""


LOOKED_AT_RECORDS = 20  # for the header
# Without a cell of the file: its first row may be a person.
NO_HEADER = (
    f"None of its first {LOOKED_AT_RECORDS} rows names the columns. Put a row with their names above the "
    "first lead, e.g. First_Name,Last_Name,Email_ID."
)
_LONGEST_NAME = 40
_MOST_NAMES, _LONGEST_OF_MANY = 6, 24


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `number` is its line in a text file, its row in a spreadsheet.

    `columns` has a name for each value, or more; two may be equal. `problem`: why there are no values. `raw`
    is the kind's own, for the `_invalid` file.
    """

    number: int
    columns: tuple[str, ...]
    values: Sequence[Json]
    problem: str = ""
    raw: Any = None

    @property
    def cells(self) -> tuple[tuple[str, Json], ...]:
        """Each value beside the name of its column."""
        return tuple(zip(self.columns, self.values, strict=False))


def shown(name: str) -> str:
    """A column's name, short enough for a message: in a file without a header it may be anything."""
    one_line = " ".join(name.split())
    return one_line if len(one_line) <= _LONGEST_NAME else one_line[: _LONGEST_NAME - 1] + "…"


def few(names: Sequence[str]) -> str:
    """The first of several names, each in quotes and short."""
    texts = [
        each if len(each) <= _LONGEST_OF_MANY else each[: _LONGEST_OF_MANY - 1] + "…"
        for each in (" ".join(name.split()) for name in names[:_MOST_NAMES])
    ]
    more = [f"{len(names) - _MOST_NAMES:,} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*(f'"{each}"' for each in texts), *more])


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
