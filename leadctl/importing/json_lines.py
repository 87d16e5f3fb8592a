"""JSON Lines: one lead in each line, with column names as in a CSV file or the fields of an event's lead."""

import json
from collections.abc import Iterator
from typing import IO

from deliver_leads.event.lead import Json
from leadctl.importing.table import REASON, Row

UNREADABLE = "unreadable"  # in the `_invalid` file: the text of a line that is no JSON object


class JsonLinesTable:
    """See `Table`."""

    kind = "JSON Lines"
    suffix = ".jsonl"
    unit = "line"
    columns = None
    is_guess = False

    def __init__(self, file: IO[bytes], skipped_bytes: int = 0) -> None:
        """`skipped_bytes`: those of a byte order mark."""
        self._file = file
        self._skipped_bytes = skipped_bytes
        self.notes: list[str] = []

    def rows(self) -> Iterator[Row]:
        """A line that holds no JSON object has a problem and no cells."""
        self._file.seek(self._skipped_bytes)
        for number, line in enumerate(self._file, 1):
            if not line.strip():
                continue
            lead, problem = _read(line)
            yield Row(number, tuple(lead), tuple(lead.values()), problem, line)

    def invalid_head(self) -> bytes:
        """There is none."""
        return b""

    def invalid_row(self, row: Row, reason: str) -> bytes:
        """The object with one more member, or the text that is none."""
        lead, problem = _read(row.raw)
        if problem:
            text = row.raw.decode("utf-8", "replace").rstrip("\r\n")
            lead = {UNREADABLE: text}
        return json.dumps({**lead, REASON: reason}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _read(line: bytes) -> tuple[dict[str, Json], str]:
    try:
        lead = json.loads(line.decode())
    except UnicodeDecodeError:
        return {}, "holds bytes that are no UTF-8"
    except (ValueError, RecursionError):
        return {}, "is no JSON"
    if not isinstance(lead, dict):
        return {}, "is no JSON object"
    if "lead" in lead:
        return {}, 'is an event, not a lead: put what is in "lead" into the line, or use `leadctl send`'
    if UNREADABLE in lead:
        return {}, "is no JSON"
    return lead, ""
