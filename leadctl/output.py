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
from typing import Any

import click

FORMS = ("table", "json", "csv")
_GAP = "  "
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

    def __init__(self, form: str = "table") -> None:
        self.form = form

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
        """One thing, for JSON and CSV; `text` has told a person."""
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
    return textwrap.fill(
        line,
        width,
        subsequent_indent=" " * (indent if indent < width / 2 else 4),
        break_long_words=False,
        break_on_hyphens=False,
        expand_tabs=False,
        replace_whitespace=False,
    )


def pretty(body: str) -> str:
    """JSON over several lines; any other text as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def count(number: int, thing: str, things: str = "") -> str:
    """With its noun: "1 lead", "1,200 leads"."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


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
    lines = [
        [visible(column.show(row.get(column.name)))[: column.width or None] for column in columns]
        for row in rows
    ]
    headings = [column.heading for column in columns]
    words = [
        max(map(len, " ".join(cells).split()), default=0) for cells in zip(headings, *lines, strict=True)
    ]
    if sum(words) + len(_GAP) * len(words) > shutil.get_terminal_size().columns:
        # A word would be broken.
        width = max(map(len, headings))
        blocks = (
            "\n".join(
                f"{heading:{width}}{_GAP}{cell}".rstrip()
                for heading, cell in zip(headings, cells, strict=True)
            )
            for cells in lines
        )
        click.echo("\n\n".join(map(wrapped, blocks)))
        return
    # Here, because scripts, help and completion need none of it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold")
    for heading, longest in zip(headings, words, strict=True):
        table.add_column(heading, min_width=longest)
    for cells in lines:
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)
