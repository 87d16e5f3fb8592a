"""Opens what a person names: a file of any kind, recognised by its content, or stdin."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leadctl.importing.columns import Columns
from leadctl.importing.csv_table import CsvTable
from leadctl.importing.json_lines import JsonLinesTable
from leadctl.importing.spreadsheet import SpreadsheetTable
from leadctl.importing.table import NotATableError, Table
from leadctl.importing.text_format import Encoding, find_encoding

STDIN = "-"
_INVALID = re.compile(r"(.*_invalid)(?:-([0-9]+))?")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_SAVE_AS = "Open it in Excel, LibreOffice or Google Sheets and save it as xlsx or CSV."
_EXPORT = "Export the list as CSV or xlsx."
_I = re.IGNORECASE | re.DOTALL
# What a file begins with, whatever its name: many systems call a web page .xls.
_OTHER_KINDS = (
    (
        re.compile(rb"(?:<\?[^>]*>\s*)+<(?:\w+:)?Workbook\b", _I),
        f"It is a spreadsheet in XML. {_SAVE_AS}",
    ),
    (
        re.compile(
            rb"(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*"
            rb"<(?:!doctype\s+html|html|head|meta|body|table|style|div|script)\b",
            _I,
        ),
        f"It is a web page, not a table. {_SAVE_AS}",
    ),
    (re.compile(rb"MIME-Version:|From: <Saved by", _I), f"It is a saved web page, not a table. {_SAVE_AS}"),
    (re.compile(rb"<(?:\?xml|!|\w)"), f"It is XML, not a table. {_EXPORT}"),
    (re.compile(rb"%PDF-"), f"It is a PDF, which holds no table. {_EXPORT}"),
    (re.compile(rb"\{\\rtf"), f"It is a text document (RTF), not a table. {_SAVE_AS}"),
    (re.compile(rb"BEGIN:VCARD", _I), f"It holds address cards (vCard), not a table. {_EXPORT}"),
    (re.compile(rb"SQLite format 3|PAR1"), f"It is a database file, not a table. {_EXPORT}"),
    (
        re.compile(rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd"),
        "It is compressed. Unpack it first.",
    ),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8"), f"It is a picture, not a table. {_EXPORT}"),
    (
        re.compile(rb"\["),
        "It is a JSON array; one object in each line is needed. jq -c '.[]' FILE > leads.jsonl",
    ),
    (
        re.compile(rb"\{\s*?[\r\n]"),
        "It is JSON over several lines; one object in each line is needed. jq -c . FILE > leads.jsonl",
    ),
)
# By a file in it; the first that fits.
_ZIPPED = (
    (re.compile(r"xl/workbook\.\w+|content\.xml"), ""),
    (
        re.compile(r"Index/.*\.iwa|Index\.zip|index\.(?:xml|apxl)"),
        "It is a document of Apple's. In Numbers: File, Export To, Excel or CSV.",
    ),
    (re.compile(r"word/.*|ppt/.*"), f"It is a text document or slides, not a table. {_EXPORT}"),
    (re.compile(r".*"), "It is a zip archive. Unpack it, and import a file of it."),
)
# More of these than of anything else a text file can't have.
_NO_TEXT = bytes({*range(9), 11, *range(14, 27), *range(28, 32)})


@contextmanager
def opened(
    path: str,
    stdin: IO[bytes],
    encoding: str | None = None,
    columns: Columns | None = None,
    sheet: str | None = None,
) -> Iterator[Table]:
    """The table. `columns` knows a header; `sheet` is the name of one in a spreadsheet.

    Stdin is copied into a file without a name first, because the import reads it several times. Raises
    `OSError`, and `NotATableError`, whose text then begins with the file's name.
    """
    if path == STDIN:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(stdin, spool)
            yield table_in(spool, "stdin", encoding, columns, sheet)
    else:
        with Path(path).open("rb") as file:
            yield table_in(file, path, encoding, columns, sheet)


def table_in(
    file: IO[bytes],
    name: str,
    encoding: str | None = None,
    columns: Columns | None = None,
    sheet: str | None = None,
) -> Table:
    """The table in an open file; `name` is for a sentence. Raises `NotATableError`."""
    try:
        return _by_content(file, encoding, columns or Columns(), sheet)
    except NotATableError as error:
        raise NotATableError(f"{name}: {str(error).replace('FILE', name)}") from None
    except LookupError:
        raise NotATableError(f"There is no encoding {encoding!r} for a table.") from None


def _by_content(file: IO[bytes], encoding: str | None, columns: Columns, sheet: str | None) -> Table:
    file.seek(0)
    head = file.read(4096)
    if head.startswith(_ZIP):
        _require_spreadsheet(file)
    if head.startswith((_ZIP, _OLE)):
        return SpreadsheetTable(file, columns, sheet)
    if sheet is not None:
        raise NotATableError("It is no spreadsheet, so it has no sheets: leave --sheet out.")
    found = find_encoding(file, encoding)
    text = head[len(found.bom) :]
    if found.is_utf_16:
        # Half of its bytes look like no text.
        text = text.decode(found.name, "replace").encode()
    text = text.lstrip()
    if not text:
        raise NotATableError("It is empty.")
    for begins, sentence in _OTHER_KINDS:
        if begins.match(text) or begins.match(head):
            raise NotATableError(sentence)
    if len(text) - len(text.translate(None, _NO_TEXT)) > len(text) // 10:
        raise NotATableError(
            f"It holds no text, and is no spreadsheet. {_EXPORT} If it is text: --encoding says which one."
        )
    if text.startswith(b"{"):
        # JSON is UTF-8 unless its mark or a person says otherwise.
        return JsonLinesTable(file, Encoding("utf-8") if found.is_guess else found)
    return CsvTable(file, found, columns)


def _require_spreadsheet(file: IO[bytes]) -> None:
    import zipfile  # here, because other files need none of it

    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return  # the reader of spreadsheets has a sentence for that
    for inside, sentence in _ZIPPED:
        if any(inside.fullmatch(name) for name in names):
            if sentence:
                raise NotATableError(sentence)
            return


def beside(path: str, suffix: str) -> Path:
    """The name of a file of ours that belongs to the user's: `leads.csv.leadctl`, `leads_invalid.csv`.

    Of `leads_invalid.csv` it is `leads_invalid-2.csv`.
    """
    of = Path("stdin" if path == STDIN else path)
    if suffix == ".leadctl":
        return of.with_name(of.name + suffix)
    if is_invalid := _INVALID.fullmatch(of.stem):
        return of.with_name(f"{is_invalid[1]}-{int(is_invalid[2] or 1) + 1}{suffix}")
    return of.with_name(f"{of.stem}_invalid{suffix}")
