"""A spreadsheet of Excel or LibreOffice. Unlike a text file it is in memory as a whole."""

import csv
import datetime
import io
from collections.abc import Iterator
from typing import IO, Any

from leadctl.importing.table import REASON, NotATableError, Row

_LOOKED_AT_ROWS = 10  # for the header, below a title


class SpreadsheetTable:
    """The first visible sheet. See `Table`."""

    suffix = ".csv"
    is_guess = False
    unit = "row"

    def __init__(self, file: IO[bytes]) -> None:
        """Raises `NotATableError` when it can't be read."""
        # Here, because other files need none of it.
        import python_calamine as calamine

        file.seek(0)
        try:
            book = calamine.CalamineWorkbook.from_filelike(file)
            visible = [
                sheet.name
                for sheet in book.sheets_metadata
                if sheet.visible is calamine.SheetVisibleEnum.Visible
                and sheet.typ is calamine.SheetTypeEnum.WorkSheet
            ]
            name = (visible or book.sheet_names)[0]
            # From the first row of the sheet, so that a row's number is the one that a person sees.
            self._rows: list[list[Any]] = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        except calamine.PasswordError:
            raise NotATableError("It is protected by a password: save it without one.") from None
        except (calamine.CalamineError, IndexError) as error:
            raise NotATableError(f"It can't be read as a spreadsheet: {error}.") from None
        self.kind = "spreadsheet"
        self.notes = [f'Only its sheet "{name}" is read.'] if len(book.sheet_names) > 1 else []
        self._header_at = self._find_header()
        header = [_text(cell) for cell in self._rows[self._header_at]]
        while header and not header[-1]:
            header.pop()
        self.columns: tuple[str, ...] = tuple(header)

    def _find_header(self) -> int:
        """The first row with two cells or more: one cell alone above it is a title."""
        filled = [sum(_text(cell) != "" for cell in row) for row in self._rows[:_LOOKED_AT_ROWS]]
        found = next((index for index, cells in enumerate(filled) if cells > 1), None)
        if found is None:
            found = next((index for index, cells in enumerate(filled) if cells), None)
        if found is None:
            raise NotATableError("It has no header: the first row must name the columns.")
        if found and any(filled[:found]):
            self.notes.append(f"Its header is row {found + 1}.")
        return found

    def rows(self) -> Iterator[Row]:
        """A row with a value where the header has no name at its end has a problem and no cells."""
        width = len(self.columns)
        for index in range(self._header_at + 1, len(self._rows)):
            cells = [_text(cell) for cell in self._rows[index]]
            if not any(cells):
                continue
            beyond = any(cells[width:])
            problem = f"has a value beyond the header's {width} cells" if beyond else ""
            named = () if beyond else tuple(zip(self.columns, cells, strict=False))
            yield Row(index + 1, named, problem, cells)

    def invalid_head(self) -> bytes:
        """In UTF-8 with a mark, which Excel needs to see that."""
        return "\ufeff".encode() + self._line(list(self.columns), REASON)

    def invalid_row(self, row: Row, reason: str) -> bytes:
        """The row as comma separated text."""
        return self._line(list(row.raw), reason)

    def _line(self, cells: list[str], reason: str) -> bytes:
        names = [name.casefold() for name in self.columns]
        place = names.index(REASON) if REASON in names else len(names)
        cells[place : place + (place < len(names))] = [reason]
        while len(cells) > place + 1 and not cells[-1]:
            cells.pop()
        text = io.StringIO(newline="")
        csv.writer(text).writerow(cells)
        return text.getvalue().encode()


def _text(cell: object) -> str:
    """As a person reads it: a spreadsheet has each number as a float."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell).strip()
