"""How a text file is written: its encoding, and what separates its columns. Found out, never assumed."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from leadctl.importing.table import LOOKED_AT_RECORDS

DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_HEAD_BYTES = 65_536
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 isn't looked for: no program writes tables in it.
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A byte that is no UTF-16, as a character that no text has, and the name of what makes it.
_KEPT, _KEPT_BYTE = "leadctl-keep", 0xDC00
_KEPT_BYTES = re.compile("([\udc00-\udcff]+)")


@dataclass(frozen=True)
class Encoding:
    """`bom` is what the file begins with; `is_guess` when its bytes fit, but other encodings would too."""

    name: str
    bom: bytes = b""
    is_guess: bool = False

    @property
    def label(self) -> str:
        """For a person."""
        names = {"cp1252": "Windows-1252", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
        return names.get(self.name, self.name.upper())

    @property
    def errors(self) -> str:
        """What becomes of bytes that don't fit: the row with them is rejected, and its bytes are kept."""
        return _KEPT if self.is_utf_16 else "surrogateescape"

    @property
    def is_utf_16(self) -> bool:
        """In either order of bytes."""
        return self.name.startswith("utf-16")

    def lines(self, file: IO[bytes]) -> Iterator[str]:
        """Of the file from its beginning, with their ends."""
        file.seek(len(self.bom))
        yield from _Borrowed(file, encoding=self.name, errors=self.errors, newline="")

    def encode(self, text: str) -> bytes:
        """With the bytes that didn't fit, as they were."""
        if not self.is_utf_16:
            return text.encode(self.name, self.errors)
        pieces = enumerate(_KEPT_BYTES.split(text))
        return b"".join(
            bytes(ord(each) - _KEPT_BYTE for each in piece) if at % 2 else piece.encode(self.name)
            for at, piece in pieces
        )


class _Borrowed(io.TextIOWrapper):
    """Leaves its file open, because that is read again."""

    def close(self) -> None:
        """Called when nothing refers to it any more, too."""


def holds_other_bytes(text: str) -> bool:
    """Whether bytes in it didn't fit its encoding."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _keep(error: UnicodeError) -> tuple[str, int]:
    """As Python's "surrogateescape", which keeps no half of a UTF-16 character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_KEPT_BYTE + each) for each in error.object[error.start : error.end]), error.end


codecs.register_error(_KEPT, _keep)


def find_encoding(file: IO[bytes], wanted: str | None = None) -> Encoding:
    """Reads the whole file, in pieces. `wanted` is a person's own word, which counts.

    Raises `LookupError` when Python doesn't know that, or can't read a table in it.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name, bom)
    if wanted is not None:
        name = _name_of(wanted)
        # Without a byte order: Python would write a mark before each row.
        return Encoding((_utf_16(head) or "utf-16-le") if name == "utf-16" else name)
    if name := _utf_16(head):
        return Encoding(name)
    return Encoding("utf-8") if _is_utf_8(file) else Encoding("cp1252", is_guess=True)


def _name_of(wanted: str) -> str:
    try:
        name = codecs.lookup(wanted).name
        b"abcd".decode(name, Encoding(name).errors)  # some of Python's are for host names only
    except ValueError as error:
        raise LookupError from error
    return name


def _utf_16(head: bytes) -> str:
    """An address has its zeros in the upper halves; a zero here and there is a slip."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 5 < len(head) // 2 or max(even, odd) < 10 * min(even, odd):
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_utf_8(file: IO[bytes]) -> bool:
    """Whether most of what isn't ASCII is UTF-8: bytes that aren't decide about their row alone."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = bad = 0
    while piece := file.read(_HEAD_BYTES):
        if piece.isascii() and not decoder.getstate()[0]:
            continue
        text = decoder.decode(piece)
        wrong = sum("\udc80" <= each <= "\udcff" for each in text) if holds_other_bytes(text) else 0
        bad += wrong
        good += len(text) - len(text.encode("ascii", "ignore")) - wrong
    bad += len(decoder.getstate()[0])
    return bad <= good


def find_delimiter(lines: Iterable[str], fields_in: Callable[[Sequence[str]], Collection[str]]) -> str:
    """The one by which a record names the most fields of a lead; else the one that divides the most of the
    first records into equally many cells.

    Not by `csv.Sniffer`: it takes a letter for the delimiter of a file with one column.
    """
    head = list(lines)
    best, best_score = DELIMITERS[0], (0, 0, 0)
    for delimiter in DELIMITERS:
        reader = csv.reader(head, delimiter=delimiter, skipinitialspace=True)
        records: list[list[str]] = []
        try:
            records += (record for record, _ in zip(reader, range(LOOKED_AT_RECORDS), strict=False) if record)
        except csv.Error:
            continue
        widths = Counter(len(record) for record in records if len(record) > 1)
        if widths:
            width, times = max(widths.items(), key=lambda each: (each[1], each[0]))
            named = max(len(fields_in(record)) for record in records if len(record) > 1)
            if (named, times, width) > best_score:
                best, best_score = delimiter, (named, times, width)
    return best


def delimiter_name(delimiter: str) -> str:
    """For a person."""
    return _NAMES.get(delimiter, repr(delimiter))
