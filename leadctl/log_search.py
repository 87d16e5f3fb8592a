"""Looking things up in the function's log, which has one line for each attempt."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from leadctl.problems import ProblemError
from leadctl.target import Target

LONGEST_QUERY_S = 120
# Logs Insights' own limit.
MOST_LINES = 10_000
# The fields of a line by which a lead or an event can be asked for.
FIELDS = ("lead", "lead_id", "message_id", "event_id", "key")


@dataclass(frozen=True)
class Line:
    """A line of the log, and its fields, if it is JSON."""

    at_s: float
    text: str

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Empty for Lambda's own lines."""
        try:
            fields = json.loads(self.text)
        except ValueError:
            return {}
        return fields if isinstance(fields, dict) else {}

    @property
    def is_attempt(self) -> bool:
        """Whether the function tried an event."""
        return self.fields.get("message") == "attempt"


@dataclass(frozen=True)
class Filter:
    """Which lines are wanted: as CloudWatch's filter pattern, and here, because the emulator filters nothing.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """

    pattern: str
    fits: Callable[[Line], bool]

    @classmethod
    def of_any(cls, *texts: str) -> "Filter":
        """Lines with one of the texts in them."""
        quoted = [json.dumps(text, ensure_ascii=False) for text in texts]
        pattern = quoted[0] if len(quoted) == 1 else " ".join(f"?{text}" for text in quoted)
        return cls(pattern, lambda line: any(text in line.text for text in texts))

    @classmethod
    def of_field(cls, name: str, value: str) -> "Filter":
        """Lines in which a field has this value."""
        return cls(f'{{ $.{name} = "{value}" }}', lambda line: line.fields.get(name) == value)


def lines(target: Target, wanted: Filter, since_s: float) -> list[Line]:
    """The lines that fit, the oldest first, at most `MOST_LINES`."""
    pages = target.client("logs").get_paginator("filter_log_events")
    found: list[Line] = []
    for page in pages.paginate(
        logGroupName=target.output("LogGroupName"),
        startTime=round(since_s * 1000),
        filterPattern=wanted.pattern,
    ):
        read = (Line(each["timestamp"] / 1000, each["message"].rstrip()) for each in page["events"])
        found += [line for line in read if wanted.fits(line)]
        if len(found) >= MOST_LINES:
            break
    return found[:MOST_LINES]


def attempts_with(target: Target, values: list[str], since_s: float) -> list[dict[str, Any]]:
    """The lines of attempts in which one of `FIELDS` is one of the values; the oldest first.

    Raises `ProblemError` when the query doesn't end. Insights costs by what it reads: all of that time's log.
    """
    logs = target.client("logs")
    sought = "|".join(re.escape(value).replace("/", "\\/") for value in values)
    pattern = f'"({"|".join(FIELDS)})":"?({sought})"?[,}}]'
    query_id = logs.start_query(
        logGroupName=target.output("LogGroupName"),
        startTime=int(since_s),
        endTime=int(time.time()) + 1,
        queryString=f"fields @timestamp, @message | filter @message like /{pattern}/ | sort @timestamp asc",
        limit=MOST_LINES,
    )["queryId"]
    deadline = time.monotonic() + LONGEST_QUERY_S
    while True:
        answer = logs.get_query_results(queryId=query_id)
        if answer["status"] == "Complete":
            break
        if answer["status"] not in {"Scheduled", "Running"} or time.monotonic() > deadline:
            raise ProblemError(
                f"The search in the log ended as {answer['status']}: look at a shorter time, by --since."
            )
        time.sleep(0.5)
    texts = [each["value"] for result in answer["results"] for each in result if each["field"] == "@message"]
    found = [line.fields for line in (Line(0, text) for text in texts) if line.is_attempt]
    return [each for each in found if {str(each.get(name)) for name in FIELDS} & set(values)]
