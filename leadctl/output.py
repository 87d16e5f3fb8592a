"""What leadctl prints: data to stdout in one of three forms, everything else to stderr."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

FORMS = ("table", "json", "csv")


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
        click.echo(visible(text), err=True)

    def text(self, line: str = "") -> None:
        """A line of the answer to a person; JSON and CSV leave it out."""
        if self.form == "table":
            click.echo(visible(line) if sys.stdout.isatty() else line)

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


def pretty(body: str) -> str:
    """JSON over several lines; any other text as it is."""
    try:
        return json.dumps(json.loads(without_mark(body)), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def without_mark(text: str) -> str:
    """Without the byte order mark that Windows' editors and PowerShell put before JSON."""
    return text.lstrip("\ufeff")


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
    # Here, because scripts, help and completion need none of it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.heading, overflow="fold")
    for row in rows:
        cells = (visible(column.show(row.get(column.name)))[: column.width or None] for column in columns)
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)
