"""A CSV file, read record by record with the text of each, so that a rejected row goes back as it came."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import IO

from leadctl.importing.columns import Columns, find_header
from leadctl.importing.table import LOOKED_AT_RECORDS, NO_HEADER, REASON, NotATableError, Row
from leadctl.importing.text_format import Encoding, delimiter_name, find_delimiter, holds_other_bytes

_LOOKED_AT_LINES = 200
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own
_TERMINATOR = re.compile(r"[\r\n]+\Z")


class _Lines:
    """Hands lines to csv's reader, keeps those of the record under way, and can take most of them back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.record.append(line)
        return line

    def give_back(self) -> None:
        """All lines of the record but its first."""
        self._again.extendleft(reversed(self.record[1:]))
        del self.record[1:]


class CsvTable:
    """A file with a header, which may be below some lines of text. See `Table`."""

    suffix = ".csv"
    unit = "line"

    def __init__(self, file: IO[bytes], encoding: Encoding, columns: Columns) -> None:
        """`columns` knows a header. Raises `NotATableError` when there is none."""
        self._file = file
        self._encoding = encoding
        self.is_guess = encoding.is_guess
        head = list(islice(encoding.lines(file), _LOOKED_AT_LINES))
        separator = _SEPARATOR_LINE.fullmatch(head[0]) if head else None
        self._preface = head[0] if separator else ""
        self._delimiter = separator[1] if separator else find_delimiter(head, columns.fields_in)
        self._cell = re.compile(
            rf'( *"(?:[^"]|"")*" *|[^{re.escape(self._delimiter)}]*)({re.escape(self._delimiter)}|\Z)'
        )
        self.kind = f"CSV, {encoding.label}, separated by {delimiter_name(self._delimiter)}"
        self.notes: list[str] = []
        first = list(islice(self._records(), LOOKED_AT_RECORDS))
        found = find_header([cells for _, cells, _, _ in first], columns)
        if found is None:
            raise NotATableError(NO_HEADER)
        self._first_row = found + 1
        number, cells, _, self._header = first[found]
        if found:
            self.notes.append(f"Its header is line {number}.")
        while cells and not cells[-1].strip():
            cells.pop()
        self.columns: tuple[str, ...] = tuple(name.strip() for name in cells)
        self._reason_at = next(
            (index for index, name in enumerate(self.columns) if name.casefold() == REASON), len(self.columns)
        )
        ended = _TERMINATOR.search(self._header)
        self._terminator = ended[0] if ended else "\r\n"

    def rows(self) -> Iterator[Row]:
        """A row that is no CSV, or has too many or too few cells, has a problem and no cells."""
        width = len(self.columns)
        # Who deletes the last cell along with its delimiter means no harm.
        least = width - 1 if self._reason_at == width - 1 else width
        for number, cells, problem, raw in islice(self._records(), self._first_row, None):
            if not problem and not any(cell.strip() for cell in cells):
                continue
            while len(cells) > width and not cells[-1].strip():
                cells.pop()
            if not problem and holds_other_bytes(raw):
                problem = f"holds bytes that are no {self._encoding.label}"
            elif not problem and "\0" in raw:
                problem = "holds a byte of zero, which is no text"
            elif not problem and not least <= len(cells) <= width:
                problem = f"has {len(cells)} cells, but the header has {width}"
            yield Row(number, self.columns, () if problem else cells, problem, raw)

    def invalid_head(self) -> bytes:
        """The header as it is, with the column for the reason at its end if there is none yet."""
        return self._encoding.bom + self._encoding.encode(
            self._preface + self._with_reason(self._header, REASON)
        )

    def invalid_row(self, row: Row, reason: str) -> bytes:
        """The row's own text, with the reason in its column."""
        return self._encoding.encode(self._with_reason(row.raw, '"' + reason.replace('"', '""') + '"'))

    def _records(self) -> Iterator[tuple[int, list[str], str, str]]:
        """Line number, cells, problem, text. The header is one of them."""
        lines = _Lines(self._encoding.lines(self._file))
        # A space before a quote doesn't make the quote part of the cell.
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True, skipinitialspace=True)
        number = 1
        if self._preface:
            next(lines)
            lines.record.clear()
            number += 1
        while True:
            cells, problem = [], ""
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # Most often a quote that is never closed: it must not take the rows after it along.
                lines.give_back()
                problem = f"is no CSV ({error})"
            if cells or problem:
                yield (
                    number,
                    cells,
                    problem,
                    "".join(lines.record) if not problem else self._repaired(lines.record[0]),
                )
            number += len(lines.record)
            lines.record.clear()

    def _repaired(self, line: str) -> str:
        """A line that is no CSV, so that the reason can be put beside what is in it."""
        cells = _TERMINATOR.sub("", line).split(self._delimiter)
        quoted = ('"' + cell.replace('"', '""') + '"' if '"' in cell else cell for cell in cells)
        ended = _TERMINATOR.search(line)
        return self._delimiter.join(quoted) + (ended[0] if ended else "")

    def _with_reason(self, text: str, reason: str) -> str:
        ended = _TERMINATOR.search(text)
        body = text[: ended.start()] if ended else text
        cells = [match[1] for match in self._cells(body)]
        cells += [""] * (self._reason_at - len(cells))
        cells[self._reason_at : self._reason_at + (self._reason_at < len(self.columns))] = [reason]
        return self._delimiter.join(cells) + (ended[0] if ended else self._terminator)

    def _cells(self, body: str) -> Iterator[re.Match[str]]:
        for match in self._cell.finditer(body):
            yield match
            if not match[2]:
                return
