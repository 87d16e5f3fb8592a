"""What the function's log says: why leads wait, what was refused, what crashed."""

import json
import time
from typing import Any

import boto3
import pytest

from leadctl.commands.log import NAMED
from leadctl.log_search import Filter, Line
from tests.leadctl.conftest import LOG_GROUP, Stage
from tests.log_filter import read_filter

RETRY = {"outcome": "retry", "reason": "leads API answered 503", "source": "sqs", "delay_s": 60}
CRASH = "2026-11-30T10:00:00Z 4711 Task timed out after 150.00 seconds"

ATTEMPTS: list[dict[str, Any]] = [
    {"outcome": "rejected", "reason": "lead.email: must be an address"},
    {"outcome": "delivered", "lead_state": "New", "ledger_written": True},
    {"outcome": "retry", "reason": "delivery ledger: ThrottlingException", "delay_s": 30},
    {"outcome": "delivered", "lead_state": "Cold"},
    {"outcome": "blocked", "reason": "secret: the placeholder"},
]
SAMPLE = [
    *(json.dumps({"message": "attempt"} | attempt) for attempt in ATTEMPTS),
    "REPORT RequestId: 4711 Duration: 3 ms Max Memory Used: 99 MB",
    CRASH,
]


def write(*lines: dict[str, Any] | str, ago_s: float = 60) -> None:
    """Into the function's log: attempts, and Lambda's own lines."""
    logs = boto3.client("logs")
    stream = f"stream-{time.monotonic_ns()}"
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    texts = [line if isinstance(line, str) else json.dumps({"message": "attempt"} | line) for line in lines]
    at_ms = int((time.time() - ago_s) * 1000)
    logs.put_log_events(
        logGroupName=LOG_GROUP,
        logStreamName=stream,
        logEvents=[{"timestamp": at_ms + number, "message": text} for number, text in enumerate(texts)],
    )


def test_the_reasons_for_which_leads_wait_are_counted(stage: Stage) -> None:
    """An outage has thousands of lines and one reason; the most frequent is first."""
    other = RETRY | {"reason": "waits for an earlier event"}
    write(other, RETRY, RETRY, {"outcome": "delivered"}, CRASH)
    shown = stage.run("log", "waiting").stdout.splitlines()
    assert [line.split("\t")[0] for line in shown] == ["how many", "2", "1"]
    assert shown[1].endswith("\tretry\tsqs\tleads API answered 503")
    assert shown[2].endswith("waits for an earlier event")


def test_each_line_is_shown_as_it_is_to_who_asks_for_it(stage: Stage) -> None:
    """With the ids of leads and events, which a group hasn't."""
    write(RETRY | {"lead_id": 4711})
    [_, line] = stage.run("log", "waiting", "--each").stdout.splitlines()
    assert '"lead_id": 4711' in line
    [row] = json.loads(stage.run("log", "--each", "-o", "json").stdout)
    assert json.loads(row["line"])["lead_id"] == 4711


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("rejected", "lead.email"),
        ("errors", "Task timed out"),
        ("reports", "Max Memory Used"),
        ("unmailed", "delivered"),
        ("ThrottlingException", "ledger"),
    ],
)
def test_what_is_asked_for_is_found_and_nothing_else(stage: Stage, what: str, found: str) -> None:
    """Names for what the runbook asks for; any other text is looked for as it is."""
    write(*SAMPLE)
    [_, line] = stage.run("log", what).stdout.splitlines()
    assert found in line


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("waiting", "{ $.delay_s > 0 }"),
        ("blocked", '{ $.outcome = "blocked" }'),
        ("errors", '?"ERROR" ?"Traceback" ?"Task timed out" ?"Runtime exited" ?"signal: killed"'),
        ('a "quoted" text', '"a \\"quoted\\" text"'),
    ],
)
def test_cloudwatch_chooses_the_lines_because_all_of_them_would_take_minutes(
    stage: Stage, what: str, pattern: str
) -> None:
    """In CloudWatch's own notation, which the emulator ignores."""
    stage.run("log", what)
    [request] = [params for name, params in stage.calls if name == "FilterLogEvents"]
    assert json.loads(request["body"])["filterPattern"] == pattern


def test_older_lines_are_left_out_unless_asked_for(stage: Stage) -> None:
    """Last week's reasons are not tonight's."""
    write(RETRY, ago_s=7200)
    assert stage.run("log", "waiting").stdout == "The log has nothing like that.\n"
    assert "503" in stage.run("log", "waiting", "--since", "3h").stdout


@pytest.mark.parametrize("what", [*NAMED, "delivery ledger"])
def test_cloudwatch_s_pattern_and_leadctl_choose_the_same_lines(what: str) -> None:
    """So that the emulator, which filters nothing, shows what AWS shows."""
    wanted = NAMED.get(what, Filter.of_any(what))
    fits = read_filter(wanted.pattern)
    assert [line for line in SAMPLE if fits(line)] == [line for line in SAMPLE if wanted.fits(Line(0, line))]
