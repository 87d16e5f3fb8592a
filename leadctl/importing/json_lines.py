"""JSON Lines: one lead in each line, with column names as in a CSV file or the fields of an event's lead."""

import json
from collections.abc import Iterator
from typing import IO

from deliver_leads.event.lead import Json
from leadctl.importing.table import REASON, Row
from leadctl.importing.text_format import Encoding, holds_other_bytes

UNREADABLE = "unreadable"  # in the `_invalid` file: the text of a line that is no JSON object


class JsonLinesTable:
    """See `Table`."""

    kind = "JSON Lines"
    suffix = ".jsonl"
    unit = "line"
    columns = None
    is_guess = False

    def __init__(self, file: IO[bytes], encoding: Encoding) -> None:
        """PowerShell writes UTF-16."""
        self._file = file
        self._encoding = encoding
        self.notes: list[str] = []

    def rows(self) -> Iterator[Row]:
        """A line that holds no JSON object has a problem and no cells."""
        for number, line in enumerate(self._encoding.lines(self._file), 1):
            if not line.strip():
                continue
            lead, problem = self._read(line)
            yield Row(number, tuple(lead), tuple(lead.values()), problem, line)

    def invalid_head(self) -> bytes:
        """There is none."""
        return b""

    def invalid_row(self, row: Row, reason: str) -> bytes:
        """The object with one more member, or the text that is none."""
        lead, problem = self._read(row.raw)
        if problem:
            lead = {UNREADABLE: row.raw.rstrip("\r\n")}
        return json.dumps({**lead, REASON: reason}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    def _read(self, line: str) -> tuple[dict[str, Json], str]:
        if holds_other_bytes(line):
            return {}, f"holds bytes that are no {self._encoding.label}"
        try:
            lead = json.loads(line)
        except (ValueError, RecursionError):
            return {}, "is no JSON"
        if not isinstance(lead, dict):
            return {}, "is no JSON object"
        if "lead" in lead:
            return {}, 'is an event, not a lead: put what is in "lead" into the line, or use `leadctl send`'
        if UNREADABLE in lead:
            return {}, "is no JSON"
        return lead, ""
