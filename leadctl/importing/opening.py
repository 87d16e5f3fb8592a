"""Opens what a person names: a file of any kind, told by its content, or stdin."""

import codecs
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leadctl.importing.csv_table import CsvTable
from leadctl.importing.json_lines import JsonLinesTable
from leadctl.importing.spreadsheet import SpreadsheetTable
from leadctl.importing.table import NotATableError, Table
from leadctl.importing.text_format import find_encoding

STDIN = "-"
_INVALID = re.compile(r"(.*_invalid)(?:-([0-9]+))?")
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # zip: .xlsx, .ods; Microsoft's own: .xls


@contextmanager
def opened(path: str, stdin: IO[bytes], encoding: str | None = None) -> Iterator[Table]:
    """The table. Stdin is copied into a file without a name first, because the import reads it several times.

    Raises `OSError`, and `NotATableError`, whose text then begins with the file's name.
    """
    if path == STDIN:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(stdin, spool)
            yield table_in(spool, "stdin", encoding)
    else:
        with Path(path).open("rb") as file:
            yield table_in(file, path, encoding)


def table_in(file: IO[bytes], name: str, encoding: str | None = None) -> Table:
    """The table in an open file; `name` is for a sentence. Raises `NotATableError`."""
    try:
        return _by_content(file, encoding)
    except NotATableError as error:
        raise NotATableError(f"{name}: {error}") from None
    except LookupError:
        raise NotATableError(f"There is no encoding {encoding!r}.") from None


def _by_content(file: IO[bytes], encoding: str | None) -> Table:
    file.seek(0)
    head = file.read(4096)
    if head.startswith(_SPREADSHEETS):
        return SpreadsheetTable(file)
    mark = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    text = head[mark:].lstrip()
    if not text:
        raise NotATableError("It is empty.")
    if text.startswith(b"{"):
        return JsonLinesTable(file, mark)
    if text.startswith(b"["):
        raise NotATableError("It is a JSON array; a JSON Lines file has one object in each line.")
    return CsvTable(file, find_encoding(file, encoding))


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
