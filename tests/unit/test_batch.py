"""A batch whose lanes end in an unusual way."""

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from deliver_leads.batch import BatchRunner
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT


class EndError(BaseException):
    """As what ends a thread, and no `except Exception` catches."""


class _Delivery:
    """Fails for the first message; the second takes as long as the batch, if that ends first."""

    def __init__(self) -> None:
        self.failed = threading.Event()
        self.batch_is_over = threading.Event()
        self.ended: list[str] = []

    def attempt(self, message: Any, *_parts: object, **_named: object) -> None:
        if message.message_id == "1":
            self.failed.set()
            raise EndError
        self.failed.wait(10)
        self.batch_is_over.wait(0.2)
        self.ended.append(message.message_id)


def test_a_batch_ends_after_all_lanes_even_if_one_raises() -> None:
    """One that outlived its invocation would send its lead in the next one, and that again."""
    delivery: Any = _Delivery()
    silent: Any = SimpleNamespace()
    runner = BatchRunner(delivery, None, Settings.from_environment(ENVIRONMENT), silent, silent)
    records = [
        {
            "messageId": number,
            "receiptHandle": number,
            "body": json.dumps({"operation": "stop_followup", "lead": {"email": f"{number}@example.com"}}),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1800000000000"},
        }
        for number in ("1", "2")
    ]
    with pytest.raises(EndError):
        runner.run(records, lambda: 100.0)
    ended = list(delivery.ended)
    delivery.batch_is_over.set()
    assert ended == ["2"]
