"""How a text file is written: its encoding, and what separates its columns. Found out, never assumed."""

import codecs
import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

DELIMITERS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_HEAD_BYTES = 65_536
_LOOKED_AT_RECORDS = 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 isn't looked for: no program writes tables in it.
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


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
        # Python has no way to keep the half of a UTF-16 character.
        return "strict" if self.name.startswith("utf-16") else "surrogateescape"


def find_encoding(file: IO[bytes], wanted: str | None = None) -> Encoding:
    """Reads the whole file, in pieces. `wanted` is a person's own word, which counts.

    Raises `LookupError` when Python doesn't know that.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    for bom, name in _BOMS:
        if head.startswith(bom):
            return Encoding(name, bom)
    if wanted is not None:
        return Encoding(codecs.lookup(wanted).name)
    if b"\0" in head:
        # Text in a European language has its zeros in the upper halves.
        return Encoding("utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be")
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_HEAD_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return Encoding("cp1252", is_guess=True)
    return Encoding("utf-8")


def find_delimiter(lines: Iterable[str]) -> str:
    """The one that divides the most of the first records into as many cells as the first one has.

    Not by `csv.Sniffer`: it takes a letter for the delimiter of a file with one column.
    """
    head = list(lines)
    best, best_score = DELIMITERS[0], (0, 0)
    for delimiter in DELIMITERS:
        reader = csv.reader(head, delimiter=delimiter)
        widths: list[int] = []
        try:
            widths += (
                len(record) for record, _ in zip(reader, range(_LOOKED_AT_RECORDS), strict=False) if record
            )
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            score = (widths.count(widths[0]), widths[0])
            if score > best_score:
                best, best_score = delimiter, score
    return best


def delimiter_name(delimiter: str) -> str:
    """For a person."""
    return _NAMES.get(delimiter, repr(delimiter))
