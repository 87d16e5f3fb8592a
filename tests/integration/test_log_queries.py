"""The operators' queries find in the function's own log lines what they are named after."""

import hashlib
import json
from typing import Any

import pytest

from deliver_leads.contract import pack_mappings
from infra import log_queries
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import create
from tests.log_insights import Record, fields_of, flatten, run

# What CloudWatch adds to every line.
_OF_CLOUDWATCH = {"@timestamp"}
_SAVED = list(log_queries.SAVED.items())
_STATES = {"New": "over the plan's limit", "DeActivated": "switched off", "Cold": "mailed"}


def lead_hash(name: str) -> str:
    """The lead's hash, as `printf %s <address> | sha256sum` gives it."""
    return hashlib.sha256(f"{name}@example.com".encode()).hexdigest()


def answer(name: str, status: int, **more: object) -> dict[str, Any]:
    """A fault of the sandbox: the answer to the calls of one lead."""
    return {
        "operation": "leads",
        "email": f"{name}@example.com",
        "fault": {"kind": "status", "status": status, **more},
    }


@pytest.fixture(scope="module")
def written() -> list[Record]:
    """The log once a test has asked for it."""
    return []


@pytest.fixture
def settings() -> dict[str, str]:
    """A mapping that leaves events out."""
    left_out = {"name": "tests", "pattern": {"source": ["my.form"]}, "operation": "ignore"}
    return {"MAPPINGS": pack_mappings([left_out])}


@pytest.fixture
def log(written: list[Record], request: pytest.FixtureRequest) -> list[Record]:
    """The lines of leads with every fate, as CloudWatch discovers their fields; written by the first test."""
    if not written:
        written += write_log(request.getfixturevalue("pipeline"))
    return written


def write_log(pipeline: Pipeline) -> list[Record]:
    """One invocation for nearly each fate."""
    pipeline.fail(
        answer("refused", 422),
        answer("waiting", 503),
        answer("over", 200, body={"id": 1, "state": "New"}, stored=True),
        answer("off", 200, body={"id": 2, "state": "DeActivated"}, stored=True),
    )
    for name in ("good", "refused", "waiting", "over", "off"):
        pipeline.send(create(name))
        pipeline.deliver()
    pipeline.send(create("odd", favouriteColour="blue", shoeSize="44"))
    pipeline.send("not JSON")
    pipeline.deliver()
    pipeline.send(create("good"))  # a duplicate
    pipeline.send({"source": "my.form", "detail-type": "Test", "detail": {}})  # ignored
    pipeline.deliver()
    lines = [json.loads(line) for line in pipeline.log.getvalue().splitlines()]
    return [flatten(line) | {"@timestamp": number} for number, line in enumerate(lines)]


@pytest.mark.parametrize(("name", "query"), _SAVED, ids=[name for name, _ in _SAVED])
def test_a_query_names_only_fields_that_a_line_has(log: list[Record], name: str, query: str) -> None:
    """CloudWatch takes a misspelt field for one without a value, and says nothing."""
    known = {field for line in log for field in line} | _OF_CLOUDWATCH
    # Array elements: as many as a line of this log has.
    assert fields_of(query) - known <= {"unknown_fields.2"}
    assert len(fields_of(query)) >= 3


@pytest.mark.parametrize(("name", "query"), _SAVED, ids=[name for name, _ in _SAVED])
def test_a_query_finds_something(log: list[Record], name: str, query: str) -> None:
    """A filter that nothing passes is as good as none."""
    columns, rows = run(query.replace("HASH", lead_hash("good")), log)
    assert rows
    assert set(rows[0]) & set(columns)


def test_parked_leads_are_counted_by_their_reasons(log: list[Record]) -> None:
    """Neither those that wait nor those that were delivered."""
    _, rows = run(log_queries.REASONS, log)
    assert {(row["outcome"], row["leads"]) for row in rows} == {("rejected", 1)}
    assert any("422" in row["reason"] for row in rows)
    assert len(rows) == 2
    _, last = run(log_queries.LAST_PARKED, log)
    assert [row.get("lead") for row in last] == [None, lead_hash("refused")]


def test_waiting_leads_are_counted_by_their_reasons(log: list[Record]) -> None:
    """What an operator reads first in an outage."""
    _, rows = run(log_queries.WAITING, log)
    assert [(row["outcome"], row["attempts"], row["leads"]) for row in rows] == [("unconfirmed", 1, 1)]
    assert "503" in rows[0]["reason"]


def test_leads_that_are_not_mailed_are_the_ones_that_the_metric_counts(
    log: list[Record], capsys: pytest.CaptureFixture[str]
) -> None:
    """The alarm sends people to this query."""
    _, rows = run(log_queries.NOT_MAILED, log)
    assert [row["lead_state"] for row in rows] == ["DeActivated", "New"]
    assert {row["lead"] for row in rows} == {lead_hash("over"), lead_hash("off")}


def test_one_lead_s_story_has_each_of_its_attempts_in_order(log: list[Record]) -> None:
    """Found by the hash that a person computes from the address."""
    _, rows = run(log_queries.ONE_LEAD.replace("HASH", lead_hash("good")), log)
    assert [row["outcome"] for row in rows] == ["delivered", "duplicate"]


def test_unknown_fields_are_reported_with_who_sends_them(log: list[Record]) -> None:
    """A producer's misspelt field is dropped silently otherwise."""
    _, rows = run(log_queries.UNKNOWN_FIELDS, log)
    (row,) = rows
    assert {row["unknown_fields.0"], row["unknown_fields.1"]} == {
        "lead.favouriteColour",
        "lead.shoeSize",
    }
    assert row["events"] == 1


def test_the_slowest_attempt_comes_first(log: list[Record]) -> None:
    """`duration_ms` is compared as a number of milliseconds."""
    _, rows = run(log_queries.SLOWEST, log)
    durations = [row["duration_ms"] for row in rows]
    assert durations == sorted(durations, reverse=True)
