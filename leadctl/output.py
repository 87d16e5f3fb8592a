"""What leadctl prints: data to stdout in one of three forms, everything else to stderr."""

import csv
import io
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import click

FORMS = ("table", "json", "csv")
_GAP = "  "
# Columns of the terminal: a cell with more is wrapped, and needs at least as many.
_LONG = 24
# A number, a time or a name, and the gap after it; or spaces only.
_BEGINNING = re.compile(r" *(?:\S+ {2,})?")


@dataclass(frozen=True)
class Column:
    """A column of a table. `show` turns a value into what a person reads; JSON and CSV get the value.

    On a terminal `width` characters are shown: as many as are needed to name the thing. 0 is all.
    """

    name: str
    heading: str
    show: Callable[[Any], str] = lambda value: "-" if value is None else str(value)
    width: int = 0


class Output:
    """Prints in the form that `-o` chose."""

    form = "table"

    def note(self, text: str) -> None:
        """Progress and remarks, for the person at the terminal."""
        click.echo(wrapped(visible(text)) if sys.stderr.isatty() else visible(text), err=True)

    def text(self, line: str = "") -> None:
        """A line of the answer to a person; JSON and CSV leave it out."""
        if self.form == "table":
            click.echo(wrapped(visible(line)) if sys.stdout.isatty() else line)

    def body(self, text: str) -> None:
        """A body as it is, to be copied; JSON and CSV leave it out."""
        if self.form == "table":
            click.echo(visible(text) if sys.stdout.isatty() else text)

    def rows(self, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
        """A list of things. A table shows the columns, JSON everything in the rows."""
        if self.form == "json":
            click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False))
        elif self.form == "csv":
            names = list(dict.fromkeys(name for row in rows for name in row)) or [
                column.name for column in columns
            ]
            click.echo(_csv(names, rows), nl=False)
        elif rows and sys.stdout.isatty():
            _print_table(columns, rows)
        elif rows:
            # Off a terminal: a line each, no colour, nothing cut off, for cut, awk and grep.
            click.echo("\t".join(column.heading for column in columns))
            for row in rows:
                cells = (column.show(row.get(column.name)) for column in columns)
                click.echo("\t".join(" ".join(cell.split()) for cell in cells))

    def record(self, record: Mapping[str, Any]) -> None:
        """One thing, for JSON and CSV; `text` is what a person reads."""
        if self.form == "json":
            click.echo(json.dumps(record, indent=2, ensure_ascii=False))
        elif self.form == "csv":
            click.echo(_csv(list(record), [record]), nl=False)

    def json_line(self, record: Mapping[str, Any]) -> None:
        """One thing of a stream: JSON Lines."""
        click.echo(json.dumps(record, ensure_ascii=False))


def visible(text: str) -> str:
    """What others wrote can't move the cursor or colour the terminal."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text
    )


def wrapped(text: str) -> str:
    """In the terminal's width; no word is broken, and what follows a line's first word stays below itself."""
    width = shutil.get_terminal_size().columns
    return "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    beginning = _BEGINNING.match(line)
    indent = len(beginning[0]) if beginning else 0
    return "\n".join(_wrap(line, width, " " * (indent if indent < width / 2 else 4)))


def _wrap(line: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )


def pretty(body: str) -> str:
    """JSON over several lines; any other text as it is."""
    try:
        return json.dumps(json.loads(without_mark(body)), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def without_mark(text: str) -> str:
    """Without the byte order mark that Windows' editors and PowerShell put before JSON."""
    return text.lstrip("\ufeff")


def count(number: int, thing: str) -> str:
    """With its noun: "1 lead", "1,200 leads"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        cells = (row.get(name) for name in names)
        writer.writerow(
            [
                json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict | list) else cell
                for cell in cells
            ]
        )
    return file.getvalue()


def _print_table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    headings = [column.heading for column in columns]
    lines = [
        [visible(column.show(row.get(column.name)))[: column.width or None] for column in columns]
        for row in rows
    ]
    widths = [max(map(len, cells)) for cells in zip(headings, *lines, strict=True)]
    screen = shutil.get_terminal_size().columns
    long = [at for at, width in enumerate(widths) if width > _LONG]
    left = screen - sum(width + len(_GAP) for at, width in enumerate(widths) if at not in long)
    share = left // len(long) - len(_GAP) if long else 0
    if sum(widths) + len(_GAP) * len(widths) <= screen:
        long = []
    elif share >= _LONG:
        widths = [share if at in long else width for at, width in enumerate(widths)]
        long = []
    # A cell that finds no room beside the others is below them.
    for number, cells in enumerate([headings, *lines]):
        beside = [
            (cell, width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
            if at not in long
        ]
        for line in _beside(beside, screen, is_heading=number == 0):
            click.echo(click.style(line, bold=True) if number == 0 else line)
        for at in long if number else []:
            label = f"{headings[at]}: " if len(long) > 1 else ""
            if cells[at]:
                click.echo(_wrapped(f"    {label}{cells[at]}", screen))


def _beside(cells: Sequence[tuple[str, int]], screen: int, *, is_heading: bool) -> list[str]:
    """The cells in columns, each over as many lines as it needs.

    If that is too wide they are one after the other, without a heading, which would be above others.
    """
    if sum(width + len(_GAP) for _, width in cells) - len(_GAP) > screen:
        return [] if is_heading else _wrapped(_GAP.join(cell for cell, _ in cells), screen).split("\n")
    parts = [[line for text in cell.split("\n") for line in _wrap(text, width)] for cell, width in cells]
    return [
        _GAP.join(text.ljust(width) for text, (_, width) in zip(line, cells, strict=True)).rstrip()
        for line in zip_longest(*parts, fillvalue="")
    ]
