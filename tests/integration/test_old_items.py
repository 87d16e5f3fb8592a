"""A stage that was deployed with version 0.1.0: no delivery is forgotten by the update."""

import time
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError

from deliver_leads.event.idempotency_key import hash_address
from deliver_leads.event.loggable import sha256
from tests.integration.conftest import Pipeline
from tests.integration.test_delivery import create, lead, update

DAY_S = 24 * 3600
KEY = "form-1"


def put_old(pipeline: Pipeline, event: str, state: str, operation: str = "create", **more: str) -> None:
    """An item as 0.1.0 wrote it."""
    now = int(time.time())
    numbers = {"leaseUntil": "0", "updatedAt": str(now - 60), "expiresAt": str(now + DAY_S), "attempts": "1"}
    texts = {"owner": "o", "operation": operation, "messageId": "m", "state": state} | more
    pipeline.dynamodb.put_item(
        TableName="ledger",
        Item={
            "lead": {"S": hash_address("jane@example.com")},
            "event": {"S": event},
            **{name: {"N": value} for name, value in numbers.items()},
            **{name: {"S": value} for name, value in texts.items()},
        },
    )


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ledger's reads from now on."""
    seen: list[str] = []
    original = BaseClient._make_api_call  # type: ignore[attr-defined]

    def watch(self: BaseClient, operation: str, request: dict[str, Any]) -> object:
        if operation in {"GetItem", "Query", "Scan"}:
            seen.append(operation)
        return original(self, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", watch)
    return seen


def test_an_event_that_was_delivered_under_its_key_is_still_a_duplicate(pipeline: Pipeline) -> None:
    """A key counts for one operation now, but it is the same event."""
    put_old(pipeline, f"key#{sha256(KEY)}", "delivered", leadId="7", leadState="Cold")
    pipeline.send(create() | {"idempotencyKey": KEY})
    assert pipeline.deliver() == set()
    assert pipeline.calls() == []


@pytest.mark.parametrize("state", ["delivered", "sending"])
def test_a_lead_that_may_exist_is_not_posted_again(pipeline: Pipeline, state: str) -> None:
    """Whether its create was answered or not; in doubt, its message may still come back, and goes first."""
    more = {"leadId": "7", "leadState": "Cold"} if state == "delivered" else {}
    put_old(pipeline, f"create#{sha256('jane@example.com|sam@example.net')}", state, **more)
    pipeline.send(create())
    records = pipeline.receive()
    if state == "sending":
        assert len(pipeline.deliver(records)) == 1
        pipeline.pass_time(1800)
    pipeline.deliver(pipeline.bring_back(records))
    assert pipeline.calls()[0][0] == "update"


def test_what_was_turned_away_is_sent(pipeline: Pipeline) -> None:
    """It left nothing at 7Targets."""
    put_old(pipeline, f"key#{sha256(KEY)}", "waiting")
    pipeline.send(create() | {"idempotencyKey": KEY})
    assert pipeline.deliver() == set()
    assert pipeline.calls() == [("create", 201)]


def test_what_has_expired_counts_no_more(pipeline: Pipeline) -> None:
    """DynamoDB deletes it days late."""
    put_old(pipeline, f"key#{sha256(KEY)}", "delivered", leadId="7", leadState="Cold")
    pipeline.send(create("kim"))
    pipeline.deliver()
    pipeline.pass_time(DAY_S)
    pipeline.send(create() | {"idempotencyKey": KEY})
    pipeline.deliver()
    assert pipeline.calls() == [("create", 201), ("create", 201)]


def test_a_new_stage_looks_once(pipeline: Pipeline, reads: list[str]) -> None:
    """And never again, in any environment: a delivered lead costs two writes and no read."""
    for name in ("jane", "kim"):
        pipeline.send(create(name))
        pipeline.deliver()
    assert reads == ["GetItem", "Scan"]


def test_an_old_stage_looks_until_the_last_of_its_items_has_expired(
    pipeline: Pipeline, reads: list[str]
) -> None:
    """Thirty days; after that it costs what a new stage costs."""
    put_old(pipeline, f"key#{sha256(KEY)}", "waiting", operation="update")
    pipeline.send(create("kim"))
    pipeline.deliver()
    assert reads == ["GetItem", "Scan", "Query"]
    pipeline.pass_time(31 * DAY_S)
    pipeline.send({"operation": "create", "lead": lead("lee")})
    pipeline.deliver()
    assert reads == ["GetItem", "Scan", "Query"]


def test_while_the_table_can_not_be_read_nothing_is_sent(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lead may be in it."""
    put_old(pipeline, f"key#{sha256(KEY)}", "delivered", leadId="7", leadState="Cold")
    original = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuse(self: BaseClient, operation: str, request: dict[str, Any]) -> object:
        if operation == "Query":
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return original(self, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    pipeline.send(update())
    assert len(pipeline.deliver()) == 1
    assert pipeline.calls() == []
