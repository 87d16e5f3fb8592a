"""Made-up leads, the same ones for each seed, and their events as Lambda hands them to the function."""

import json
import random
import time
from typing import Any

_WORDS = ("demo", "report", "module", "price", "team", "webinar", "pilot", "contract", "call", "budget")


class Leads:
    """Makes leads, each a new one; `name` distinguishes them from those of other parts."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._random = random.Random(seed)  # noqa: S311 - made-up data
        self.count = 0

    def take(self, number: int) -> list[dict[str, Any]]:
        """Some more leads, with the fields that a web form has."""
        return [self._make() for _ in range(number)]

    def _make(self) -> dict[str, Any]:
        self.count += 1
        pick = self._random
        return {
            "name": pick.choice(["Jane", "Ann", "Ben", "Chloé", "Murat", "Wei"]),
            "lastName": pick.choice(["Doe", "Okafor", "García", "Novak", "Tanaka"]),
            "email": f"{self._name}{self.count}@example.com",
            "phone": f"+1415555{pick.randrange(10_000):04}",
            "assistantEmail": "sam.assistant@example.net",
            "source": "Webinar",
            "context": " ".join(pick.choices(_WORDS, k=pick.randint(5, 25))),
            "company": f"Example {pick.randrange(1000)} Ltd",
        }


def records(leads: list[dict[str, Any]], operation: str = "create", event: int = 0) -> list[dict[str, Any]]:
    """A batch with one event for each lead; `event` distinguishes a lead's events."""
    now_ms = str(int(time.time() * 1000))
    return [
        {
            "messageId": f"{lead['email']}-{event}",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": json.dumps(
                {"operation": operation, "lead": lead, "idempotencyKey": f"{lead['email']}-{event}"}
            ),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": now_ms,
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": now_ms,
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:LeadQueue",
            "awsRegion": "us-east-1",
        }
        for lead in leads
    ]
