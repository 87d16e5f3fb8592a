"""A local run without the emulated AWS: queues and ledger in memory, a sandbox in this process."""

from __future__ import annotations

import itertools
import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from local.stack.deployment import Deployment

if TYPE_CHECKING:
    from tests.local.sandbox_caller import Caller

LEAD_QUEUE, DEAD_LETTERS, RULE_DEAD_LETTERS = "http://q/lead", "http://q/dead", "http://q/rule-dead"
OUTPUTS = {
    "LeadQueueUrl": LEAD_QUEUE,
    "DeadLetterQueueUrl": DEAD_LETTERS,
    "RuleDeadLetterQueueUrl": RULE_DEAD_LETTERS,
    "EventBusName": "LeadDelivery-dev",
    "LedgerTableName": "ledger",
}


class FakeQueues:
    """SQS's calls that the page makes, and EventBridge's one. `refuses` makes sending fail."""

    def __init__(self) -> None:
        self.queues: dict[str, list[dict[str, Any]]] = {url: [] for url in OUTPUTS.values() if "//q/" in url}
        self.calls: list[str] = []
        self.refuses: Exception | None = None
        self._ids = map(str, itertools.count(1))

    def send_message(self, **asked: Any) -> dict[str, str]:
        if self.refuses:
            raise self.refuses
        self.calls.append(f"send to {asked['QueueUrl']}")
        message = {"MessageId": f"m{next(self._ids)}", "VisibleAt": 0, "SentTimestamp": time.time(), **asked}
        self.queues[asked["QueueUrl"]].append(message)
        return {"MessageId": message["MessageId"]}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        ids = [self.send_message(QueueUrl=QueueUrl, MessageBody=entry["MessageBody"]) for entry in Entries]
        return {"Successful": [{"Id": entry["Id"], **sent} for entry, sent in zip(Entries, ids, strict=True)]}

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        return {"Entries": [{"EventId": next(self._ids)} for _ in Entries]}

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        visible = [each for each in self.queues[asked["QueueUrl"]] if each["VisibleAt"] <= time.time()]
        for each in visible[: asked["MaxNumberOfMessages"]]:
            each |= {
                "VisibleAt": time.time() + asked["VisibilityTimeout"],
                "ReceiptHandle": each["MessageId"],
            }
        return {
            "Messages": [
                {**each, "Body": each["MessageBody"]} for each in visible[: asked["MaxNumberOfMessages"]]
            ]
        }

    def change_message_visibility(self, **asked: Any) -> None:
        for each in self.queues[asked["QueueUrl"]]:
            if each.get("ReceiptHandle") == asked["ReceiptHandle"]:
                each["VisibleAt"] = time.time() + asked["VisibilityTimeout"]

    def delete_message(self, **asked: Any) -> None:
        self.calls.append(f"deletion in {asked['QueueUrl']}")
        queue = self.queues[asked["QueueUrl"]]
        queue[:] = [each for each in queue if each.get("ReceiptHandle") != asked["ReceiptHandle"]]

    def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        counts = dict.fromkeys(asked["AttributeNames"], "0")
        return {
            "Attributes": {
                **counts,
                "ApproximateNumberOfMessages": str(len(self.queues[asked["QueueUrl"]])),
            }
        }

    def park(self, body: str, detail: str, **attributes: str) -> str:
        """Puts a message into the dead-letter queue, as the function does; returns its id there."""
        given = {"reason": "rejected", "detail": detail, **attributes}
        sent = self.send_message(
            QueueUrl=DEAD_LETTERS,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": text} for name, text in given.items()
            },
        )
        return sent["MessageId"]


class FakeSandbox:
    """The control calls of a sandbox that runs in this process."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.faults: list[dict[str, Any]] = []

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        return list(self._caller.control(f"requests?since={since}"))

    def summary(self) -> dict[str, Any]:
        return dict(self._caller.control("summary"))

    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        assert self._caller.call("PUT", "/_sandbox/faults", rules).ok
        self.faults = rules


class FakeRun:
    """Stands in for a `Deployment`, as far as the page asks."""

    def __init__(self, caller: Caller) -> None:
        self.queues = self.sqs = self.events = FakeQueues()
        self.sandbox = FakeSandbox(caller)
        self.outputs = OUTPUTS
        self.ledger: dict[str, Any] = {}
        self.log = ""
        self.emulator = SimpleNamespace(
            url="http://127.0.0.1:4566",
            output_since=lambda position: (self.log[position:], len(self.log)),
            messages=self._messages,
            client=lambda _: SimpleNamespace(get_item=lambda **_: {"Item": self.ledger}),
        )

    @property
    def deployment(self) -> Deployment:
        return cast(Deployment, self)

    def lead_queue_count(self) -> int:
        return len(self.queues.queues[LEAD_QUEUE])

    def attempt(self, **fields: Any) -> None:
        """The function's log line of an attempt that ends now, among the emulator's own."""
        now = datetime.now(UTC)
        line = {
            "level": "INFO",
            "message": "attempt",
            "timestamp": f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}+0000",
            "parked": False,
            "operation": "create",
            "message_id": "m-1",
            "event_id": "e-1",
            "source": "sqs",
            "receive_count": 1,
            **fields,
        }
        self.log += f"INFO [lambda] ESM: output:\n{json.dumps(line, separators=(',', ':'))}\n"
        # The line's time is cut off at the millisecond, and what follows must be later than it.
        while datetime.now(UTC) - now < timedelta(milliseconds=2):
            pass

    def _messages(self, url: str) -> list[dict[str, Any]]:
        return [
            {"MessageAttributes": {}, **each, "Body": each["MessageBody"]} for each in self.queues.queues[url]
        ]
