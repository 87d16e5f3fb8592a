"""Looking things up in the function's log, which has one line for each attempt: CloudWatch Logs Insights."""

import json
import re
import time
from typing import Any

from leadctl.problems import ProblemError
from leadctl.target import Target

LONGEST_QUERY_S = 120
# Insights' own limit.
MOST_LINES = 10_000
# The fields of a line by which a lead or an event can be asked for.
FIELDS = ("lead", "lead_id", "message_id", "event_id", "key")


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
    lines = [_line(result) for result in answer["results"]]
    return [line for line in lines if line and {str(line.get(name)) for name in FIELDS} & set(values)]


def _line(result: list[dict[str, str]]) -> dict[str, Any] | None:
    text = next((each["value"] for each in result if each["field"] == "@message"), "")
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and line.get("message") == "attempt" else None
