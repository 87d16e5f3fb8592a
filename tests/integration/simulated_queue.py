"""The lead queue in simulated time: a message comes back when its delay is over, to the next environment."""

from __future__ import annotations

import importlib.util
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from tests.integration.conftest import Pipeline

REAL_CLOCK = time.time
VISIBILITY_TIMEOUT_S = 900
BATCH = 10
LEDGER_WRITES = {"UpdateItem", "PutItem", "DeleteItem", "BatchExecuteStatement", "TransactWriteItems"}
# AWS's quotas, which moto lacks.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
LARGEST_EXPRESSION = 4096
LARGEST_STATEMENT = 8192
LARGEST_ITEM = 409_600


@dataclass
class QueuedMessage:
    """A message in the lead queue. Times are SQS's, in epoch seconds."""

    message_id: str
    body: str
    attributes: Mapping[str, Any]
    sent_s: float
    visible_s: float
    receives: int = 0


@dataclass
class SimulatedQueue:
    """Hands messages to execution environments in turn, and plays the event source mapping.

    The pipeline's clock is SQS's; the function's is `ahead_s` seconds ahead of it.
    """

    pipeline: Pipeline
    ahead_s: float = 0.0
    messages: dict[str, QueuedMessage] = field(default_factory=dict)
    letters: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._handlers = [self.pipeline.handler]
        self._turns = itertools.cycle(self._handlers)

    def add_environments(self, count: int) -> None:
        """More execution environments, each with a memory of its own."""
        self._handlers += [_new_environment() for _ in range(count)]
        self._turns = itertools.cycle(self._handlers)

    def send(self, body: object, **attributes: Any) -> str:
        """Publishes a message (an object as JSON); returns its id. No two are sent at the same time."""
        self.pipeline.pass_time(0.01)
        message_id = f"00000000-0000-4000-8000-{next(self._numbers):012}"
        text = body if isinstance(body, str) else json.dumps(body)
        self.messages[message_id] = QueuedMessage(message_id, text, attributes, time.time(), time.time())
        return message_id

    def deliver(self, *ids: str) -> set[str]:
        """One invocation with these messages, or with those that are visible; returns who stays."""
        due = [each for each in self.messages.values() if each.visible_s <= time.time()]
        due.sort(key=lambda each: each.visible_s)
        batch = [self.messages[each] for each in ids] or due[:BATCH]
        for message in batch:
            message.receives += 1
            message.visible_s = time.time() + VISIBILITY_TIMEOUT_S
        self.pipeline.pass_time(self.ahead_s)
        try:
            answer = next(self._turns)({"Records": [_record(each) for each in batch]}, self.pipeline.context)
        finally:
            self.pipeline.pass_time(-self.ahead_s)
        stay = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for message in batch:
            if message.message_id not in stay:
                del self.messages[message.message_id]
        return stay

    def run(self, hours: float) -> None:
        """Goes on for that time, or until the queue is empty."""
        ends_s = time.time() + hours * 3600
        while self.messages:
            next_s = min(each.visible_s for each in self.messages.values())
            if next_s > ends_s:
                self.pipeline.pass_time(max(0.0, ends_s - time.time()))
                return
            self.pipeline.pass_time(max(0.0, next_s - time.time()))
            self.deliver()

    def parked(self) -> list[dict[str, Any]]:
        """All that was parked until now: body and attributes."""
        while True:
            answer = self.pipeline.sqs.receive_message(
                QueueUrl=self.pipeline.dead_letter_queue_url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return self.letters
            for letter in answer["Messages"]:
                attached = letter.get("MessageAttributes", {})
                self.letters.append(
                    {"body": letter["Body"]} | {name: each["StringValue"] for name, each in attached.items()}
                )

    def redrive(self) -> list[str]:
        """Sends what is parked again, as SQS does: with its attributes, a new id and a new time."""
        letters = [*self.parked()]
        self.letters.clear()
        return [
            self.send(body, **attributes)
            for body, attributes in (
                (letter["body"], {name: text for name, text in letter.items() if name != "body"})
                for letter in letters
            )
        ]

    def set_delay(self, receipt_handle: str, delay_s: float) -> None:
        """What the function asks SQS for."""
        self.messages[receipt_handle].visible_s = time.time() - self.ahead_s + delay_s


def before_aws_calls(monkeypatch: pytest.MonkeyPatch, hook: Callable[[str, str, Any], Any]) -> None:
    """Calls `hook` with service, operation and request before each of them; it may raise or answer."""
    original = BaseClient._make_api_call  # type: ignore[attr-defined]
    # sim/partiql.py carries statements out as other requests, which AWS never sees.
    inside = threading.local()

    def call(self: Any, operation: str, request: Any) -> Any:
        if getattr(inside, "call", False):
            return original(self, operation, request)
        answer = hook(self.meta.service_model.service_name, operation, request)
        if answer is not None:
            return answer
        inside.call = True
        try:
            return original(self, operation, request)
        finally:
            inside.call = False

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def refuse(operation: str, code: str = "ThrottlingException") -> ClientError:
    """AWS's refusal of a call."""
    return ClientError({"Error": {"Code": code, "Message": ""}}, operation)


def keep_quotas(monkeypatch: pytest.MonkeyPatch, largest_item: int = LARGEST_ITEM) -> None:
    """DynamoDB refuses what is larger than its quotas allow; moto itself knows that of an item only."""

    def check(service: str, operation: str, request: Any) -> None:
        if service != "dynamodb":
            return
        for name in ("UpdateExpression", "ConditionExpression"):
            if len(request.get(name, "").encode()) > LARGEST_EXPRESSION:
                raise refuse(operation, "ValidationException")
        statements = request.get("Statements", [])
        if any(len(each["Statement"]) > LARGEST_STATEMENT for each in statements):
            raise refuse(operation, "ValidationException")
        written = [request.get("ExpressionAttributeValues", {}), request.get("Item", {})]
        written += [dict(enumerate(each.get("Parameters", []))) for each in statements]
        # A lower bound of what the item would take.
        if any(sum(map(_size, each.values())) > largest_item for each in written):
            raise refuse(operation, "ValidationException")

    before_aws_calls(monkeypatch, check)


def follow_clock(namespace: Mapping[str, Any]) -> None:
    """Whatever has kept Python's own clock since it was imported, takes the test's."""
    for each in namespace.values():
        for name, value in list(getattr(each, "__dict__", {}).items()):
            if value is REAL_CLOCK and not isinstance(each, type(time)):
                setattr(each, name, lambda: time.time())


def _new_environment() -> Any:
    spec = importlib.util.find_spec("deliver_leads.handler")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    follow_clock(vars(module))
    return module.handler


def _record(message: QueuedMessage) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "receiptHandle": message.message_id,
        "body": message.body,
        "attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_s * 1000)),
        },
        "messageAttributes": {
            name: {"stringValue": text, "dataType": "String"} for name, text in message.attributes.items()
        },
    }


def _size(value: Mapping[str, Any]) -> int:
    """By DynamoDB's documented rules, numbers about half their digits."""
    [(kind, content)] = value.items()
    if kind == "M":
        return 3 + sum(len(name.encode()) + _size(each) + 1 for name, each in content.items())
    if kind == "L":
        return 3 + sum(_size(each) + 1 for each in content)
    if kind == "N":
        return len(content) // 2 + 2
    return len(content.encode()) if kind == "S" else 1
