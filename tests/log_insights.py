"""CloudWatch's log query language, as far as the project's queries use it: for lines in JSON.

What it doesn't know raises `QueryError`.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Record = dict[str, Any]
_CONDITION = re.compile(
    r"\s*(?:(?P<not>not\s+)?ispresent\((?P<present>[\w.@]+)\)"
    r"|(?:tolower\((?P<lower>\w+)\)|(?P<field>[\w.@]+))\s*"
    r"(?:(?P<negated>not\s+)?in\s*\[(?P<list>[^]]*)\]|(?P<sign>!?=)\s*(?P<value>\"[^\"]*\")))\s*"
)
_AGGREGATE = re.compile(r"(?P<name>count|latest|count_distinct)\((?P<of>[*@\w.]+)\) as (?P<as>\w+)")


class QueryError(ValueError):
    """The query isn't one that this module understands."""


def flatten(value: Mapping[str, Any], prefix: str = "") -> Record:
    """A line's fields as CloudWatch discovers them: those inside objects and arrays get names with dots."""
    found: Record = {}
    for name, each in value.items():
        if isinstance(each, dict):
            found |= flatten(each, f"{prefix}{name}.")
        elif isinstance(each, list):
            found |= flatten({str(place): item for place, item in enumerate(each)}, f"{prefix}{name}.")
        elif each is not None:
            found[f"{prefix}{name}"] = each
    return found


def fields_of(query: str) -> set[str]:
    """The names of the fields that a query reads from the lines; not those that it makes itself."""
    text = "\n".join(line for line in query.splitlines() if not line.lstrip().startswith("#"))
    text = re.sub(r'"[^"]*"', '""', text)
    made = set(re.findall(r"\bas (\w+)", text))
    words = set(re.findall(r"@?[A-Za-z_][\w.]*", text))
    return words - made - _WORDS


_WORDS = {
    *("fields", "filter", "stats", "sort", "limit", "by", "as", "and", "not", "in", "asc", "desc"),
    *("ispresent", "tolower", "count", "count_distinct", "latest"),
}


def run(query: str, lines: Iterable[Record]) -> tuple[list[str], list[Record]]:
    """The columns and the rows of the answer; `lines` are flattened, each with its `@timestamp`."""
    text = "\n".join(line for line in query.splitlines() if not line.lstrip().startswith("#"))
    columns, rows = ["@timestamp"], list(lines)
    for step in text.split("|"):
        command, _, rest = " ".join(step.split()).partition(" ")
        match command:
            case "fields":
                columns = [name.strip() for name in rest.split(",")]
            case "filter":
                keep = _condition(rest)
                rows = [row for row in rows if keep(row)]
            case "stats":
                columns, rows = _stats(rest, rows)
            case "sort":
                name, _, direction = rest.partition(" ")
                present = [row for row in rows if name in row]
                rows = sorted(present, key=lambda row: row[name], reverse=direction == "desc")
            case "limit":
                rows = rows[: int(rest)]
            case _:
                raise QueryError(f"{command} is no command")
    return columns, rows


def _condition(text: str) -> Callable[[Record], bool]:
    tests: list[Callable[[Record], bool]] = []
    for part in re.split(r"\band\b", text):
        found = _CONDITION.fullmatch(part)
        if not found:
            raise QueryError(f"filter {part.strip()}")
        tests.append(_test(found))
    return lambda row: all(test(row) for test in tests)


def _test(found: re.Match[str]) -> Callable[[Record], bool]:
    if found["present"]:
        return lambda row: (found["present"] in row) is not bool(found["not"])

    def value(row: Record) -> Any:
        return str(row.get(found["lower"], "")).lower() if found["lower"] else row.get(found["field"])

    if found["list"] is not None:
        listed = re.findall(r'"([^"]*)"', found["list"])
        return lambda row: (value(row) in listed) is not bool(found["negated"])
    wanted = found["value"].strip('"')
    return lambda row: (value(row) == wanted) is (found["sign"] == "=")


def _stats(text: str, rows: list[Record]) -> tuple[list[str], list[Record]]:
    made, _, keys = text.partition(" by ")
    names = [name.strip() for name in keys.split(",")] if keys else []
    aggregates = [_AGGREGATE.fullmatch(part.strip()) for part in made.split(",")]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
    answer: list[Record] = []
    for key, members in groups.items():
        line = {name: value for name, value in zip(names, key, strict=True) if value is not None}
        for aggregate in aggregates:
            if not aggregate:
                raise QueryError(f"stats {made}")
            line[aggregate["as"]] = _aggregate(aggregate, members)
        answer.append(line)
    return [*names, *(each["as"] for each in aggregates if each)], answer


def _aggregate(aggregate: re.Match[str], rows: list[Record]) -> Any:
    if aggregate["of"] == "*":
        return len(rows)
    values = [row[aggregate["of"]] for row in rows if aggregate["of"] in row]
    return max(values, default=None) if aggregate["name"] == "latest" else len(set(values))
