"""A spreadsheet of Excel or LibreOffice. Unlike a text file it is in memory as a whole."""

import csv
import datetime
import io
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from leadctl.importing.columns import Columns, find_header
from leadctl.importing.table import LOOKED_AT_RECORDS, NO_HEADER, REASON, NotATableError, Row, few, shown

if TYPE_CHECKING:
    from zipfile import ZipFile

_READ_AT_ONCE = 1 << 20
_LONGEST_TAG = 4096
_SHOWN = 8
_SHEET = re.compile(r'<(?:\w+:)?sheet\b[^>]*?\bname="([^"]*)"[^>]*?\b(?:\w+:)?id="([^"]*)"')
_LINK = re.compile(r"<(?:\w+:)?Relationship\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b(Id|Target)="([^"]*)"')
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b(?=[^>]*\bhidden="(?:1|true)")[^>]*?\br="([0-9]+)"')
_HIDDEN_COLUMNS = re.compile(rb'<(?:\w+:)?col\b(?=[^>]*\bhidden="(?:1|true)")[^>]*>')
_BOUND = re.compile(rb'\b(min|max)="([0-9]+)"')


class SpreadsheetTable:
    """The sheet that a person names; else the first visible one with names of columns. See `Table`."""

    suffix = ".csv"
    is_guess = False
    unit = "row"

    def __init__(self, file: IO[bytes], columns: Columns, sheet: str | None = None) -> None:
        """`columns` knows a header. Raises `NotATableError` when the file can't be read."""
        # Here, because other files need none of it.
        import python_calamine as calamine

        file.seek(0)
        self.kind = "spreadsheet"
        self.notes: list[str] = []
        try:
            book = calamine.CalamineWorkbook.from_filelike(file)
            visible = [
                each.name
                for each in book.sheets_metadata
                if each.visible is calamine.SheetVisibleEnum.Visible
                and each.typ is calamine.SheetTypeEnum.WorkSheet
            ]
            wanted = _named(sheet, book.sheet_names) if sheet is not None else visible or book.sheet_names[:1]
            name = self._take_sheet(book, wanted, columns)
        except calamine.PasswordError:
            raise NotATableError("It is protected by a password: save it without one.") from None
        except (calamine.CalamineError, IndexError) as error:
            raise NotATableError(
                f"It can't be read as a spreadsheet ({str(error)[:100]}). Is it whole? Open it in Excel or "
                "LibreOffice and save it anew, as xlsx or CSV."
            ) from None
        if len(book.sheet_names) > 1 and sheet is None:
            others = [each for each in visible if each != name]
            which = f" --sheet chooses another one: {few(others)}." if others else ""
            self.notes.insert(0, f'Only its sheet "{shown(name)}" is read.{which}')
        header = [_text(cell) for cell in self._rows[self._header_at]]
        while header and not header[-1]:
            header.pop()
        self.columns: tuple[str, ...] = tuple(header)
        self.notes += _hidden(file, name, self._header_at + 1)

    def _take_sheet(self, book: Any, names: Sequence[str], columns: Columns) -> str:  # noqa: ANN401 - calamine's
        """The sheet with a header that fits; else the first one that has a header at all."""
        kept: tuple[str, list[list[Any]], int] | None = None
        for name in names:
            # From the first row of the sheet, so that a row's number is the one that a person sees.
            rows: list[list[Any]] = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            first = [[_text(cell) for cell in row] for row in rows[:LOOKED_AT_RECORDS]]
            at = find_header(first, columns)
            if at is None:
                continue
            fits = not columns.lacks(first[at], ["email"]) and "name" in columns.fields_in(first[at])
            if fits or kept is None:
                kept = (name, rows, at)
            if fits:
                break
        if kept is None:
            raise NotATableError(NO_HEADER)
        name, self._rows, self._header_at = kept
        if any(map(any, ([_text(cell) for cell in row] for row in self._rows[: self._header_at]))):
            self.notes.append(f"Its header is row {self._header_at + 1}.")
        return name

    def rows(self) -> Iterator[Row]:
        """A row with a value where the header has no name at its end has a problem and no cells."""
        width = len(self.columns)
        for index in range(self._header_at + 1, len(self._rows)):
            cells = [_text(cell) for cell in self._rows[index]]
            if not any(cells):
                continue
            beyond = any(cells[width:])
            problem = f"has a value beyond the header's {width} cells" if beyond else ""
            yield Row(index + 1, self.columns, () if beyond else cells[:width], problem, cells)

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


def _named(wanted: str, names: Sequence[str]) -> list[str]:
    found = [each for each in names if each == wanted] or [
        each for each in names if each.strip().casefold() == wanted.strip().casefold()
    ]
    if not found:
        raise NotATableError(f'It has no sheet "{shown(wanted)}". Its sheets: {few(names)}.')
    return found[:1]


def _hidden(file: IO[bytes], sheet: str, header: int) -> Iterator[str]:
    """What a filter or a person has hidden in an .xlsx: the reader of spreadsheets doesn't say so. Reads the
    sheet's XML again, in pieces.
    """
    import zipfile
    import zlib

    file.seek(0)
    try:
        with zipfile.ZipFile(file) as book, book.open(_part(book, sheet)) as xml:
            rows, columns = _count_hidden(xml, header)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError):  # .xls, .ods and oddities
        return
    if rows:
        what = "1 row is hidden (filtered out?) and counts as any other" if rows == 1 else (
            f"{rows:,} rows are hidden (filtered out?) and count as any other"
        )  # fmt: skip
        yield f"{what}: copy the visible ones into a sheet of their own if only they are meant."
    if columns:
        more = ", …" if len(columns) > _SHOWN else ""
        yield f"Hidden columns, read as any other: {', '.join(map(_letters, columns[:_SHOWN]))}{more}"


def _part(book: "ZipFile", sheet: str) -> str:
    """The name of a sheet's part. Raises `KeyError`."""
    import html

    links = {}
    for link in _LINK.findall(book.read("xl/_rels/workbook.xml.rels").decode("utf-8", "replace")):
        attributes = dict(_ATTRIBUTE.findall(link))
        links[attributes["Id"]] = attributes["Target"]
    for name, link in _SHEET.findall(book.read("xl/workbook.xml").decode("utf-8", "replace")):
        if html.unescape(name) == sheet:
            return posixpath.normpath(posixpath.join("/xl", links[link]))[1:]
    raise KeyError(sheet)


def _count_hidden(xml: IO[bytes], header: int) -> tuple[int, list[int]]:
    rows: set[int] = set()
    columns: set[int] = set()
    kept = b""
    while piece := xml.read(_READ_AT_ONCE):
        piece = kept + piece
        rows.update(int(number) for number in _HIDDEN_ROW.findall(piece))
        for tag in _HIDDEN_COLUMNS.findall(piece):
            bounds = {which: int(number) for which, number in _BOUND.findall(tag)}
            columns.update(range(bounds[b"min"], min(bounds[b"max"], bounds[b"min"] + 99) + 1))
        kept = piece[-_LONGEST_TAG:]
    return sum(number > header for number in rows), sorted(columns)


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _text(cell: object) -> str:
    """As a person reads it: a spreadsheet has each number as a float."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell).strip()
