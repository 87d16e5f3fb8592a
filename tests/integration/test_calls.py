"""What a delivered lead costs in calls and bytes: the bill and most of the CPU are made of them."""

import json
import threading
from typing import Any

import pytest
from botocore.client import BaseClient

from tests.integration.conftest import Pipeline
from tests.integration.lead_events import record

BATCH = 10
# docs/cost.md reckons with them. With ids as long as AWS's and a stack's name, a line has some 50 more.
LARGEST_LOG_LINE_BYTES = 640
LARGEST_METRICS_BYTES = 900


def create(number: int) -> dict[str, Any]:
    lead = {"name": "Jane", "email": f"jane{number}@example.com", "assistantEmail": "sam@example.com"}
    return {"operation": "create", "lead": lead, "idempotencyKey": f"form-{number}"}


@pytest.fixture
def called(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The AWS operations that the function calls from now on."""
    operations: list[str] = []
    original = BaseClient._make_api_call  # type: ignore[attr-defined]

    translated = threading.local()  # the translation for moto makes calls of its own

    def count(self: BaseClient, operation: str, request: dict[str, object]) -> object:
        if getattr(translated, "is_under_way", False):
            return original(self, operation, request)
        operations.append(operation)
        translated.is_under_way = True
        try:
            return original(self, operation, request)
        finally:
            translated.is_under_way = False

    monkeypatch.setattr(BaseClient, "_make_api_call", count)
    return operations


def deliver(pipeline: Pipeline, called: list[str], *events: dict[str, Any]) -> None:
    """One invocation with these events; `called` then holds what it alone has called."""
    for event in events:
        pipeline.send(event)
    records = pipeline.receive()
    called.clear()
    assert pipeline.invoke(records) == set()


def test_a_batch_of_new_leads_takes_two_ledger_calls_and_no_other(
    pipeline: Pipeline, called: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the secret and the token are there: no call for them, none for SQS, none for each lead."""
    deliver(pipeline, called, create(0))
    assert called.count("GetSecretValue") == 1
    capsys.readouterr()
    pipeline.log.truncate(0)
    deliver(pipeline, called, *(create(number) for number in range(1, 1 + BATCH)))
    assert called == ["BatchExecuteStatement", "BatchExecuteStatement"]
    assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 1
    assert pipeline.calls() == [("create", 201)] * (1 + BATCH)
    lines = pipeline.log.getvalue().strip("\0\n").splitlines()
    assert len(lines) == BATCH
    assert max(map(len, lines)) <= LARGEST_LOG_LINE_BYTES
    (metrics,) = capsys.readouterr().out.splitlines()
    assert json.loads(metrics)["Delivered"] == [BATCH]
    assert len(metrics) <= LARGEST_METRICS_BYTES


def test_a_lead_that_is_known_takes_one_call_more(pipeline: Pipeline, called: list[str]) -> None:
    """A create finds its lead in the ledger, and claims it alone; an update claims it alone at once."""
    deliver(pipeline, called, create(1))
    again = create(1) | {"idempotencyKey": "another"}
    deliver(pipeline, called, again)
    assert called == ["BatchExecuteStatement", "UpdateItem", "BatchExecuteStatement"]
    deliver(pipeline, called, again | {"operation": "update"})
    assert called == ["UpdateItem", "BatchExecuteStatement"]


def test_a_duplicate_takes_no_call_of_the_api(pipeline: Pipeline, called: list[str]) -> None:
    """It is claimed, recognised and completed."""
    deliver(pipeline, called, create(1))
    deliver(pipeline, called, create(1))
    assert called == ["BatchExecuteStatement", "UpdateItem", "UpdateItem"]
    assert pipeline.calls() == [("create", 201)]


def test_a_batch_larger_than_a_call_of_the_ledger_takes_as_many_as_are_needed(
    pipeline: Pipeline, called: list[str]
) -> None:
    """The bound is AWS's, 25 statements; each lead is created once all the same."""
    records = [record(create(number), number) for number in range(30)]
    assert pipeline.invoke(records) == set()
    assert called.count("BatchExecuteStatement") == 2 * 2
    assert "UpdateItem" not in called[called.index("BatchExecuteStatement") :]
    assert [lead["creates"] for lead in pipeline.leads().values()] == [1] * 30
