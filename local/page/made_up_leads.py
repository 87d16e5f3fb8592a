"""Leads that nobody has: so that a newcomer has something to watch without a producer of his own."""

import itertools
import json
import random
from collections.abc import Sequence

from local.publishing import LeadToPublish, publish
from local.stack.deployment import Deployment

LARGEST_COUNT = 200
_NAMES = (
    "Ada",
    "Ben",
    "Chloe",
    "Deniz",
    "Emil",
    "Fatima",
    "Goran",
    "Hana",
    "Ivo",
    "Jana",
    "Kofi",
    "Lena",
    "Mei",
)
ASSISTANT = "sam@example.com"


def publish_made_up_leads(deployment: Deployment, count: int) -> Sequence[str]:
    """Half of them through the bus, half straight to the lead queue; returns their addresses."""
    channels = itertools.cycle(("eventbridge", "sqs"))
    events = [make_up(channel) for channel in itertools.islice(channels, count)]
    by_channel = sorted(events, key=lambda event: event.channel)
    for _ in publish(deployment, by_channel):
        pass
    return [event.email for event in events]


def make_up(channel: str) -> LeadToPublish:
    """A create of a lead with a name of its own, good to be delivered."""
    name = random.choice(_NAMES)  # noqa: S311 - a made-up name
    email = f"{name.lower()}.{random.randrange(16**5):05x}@example.com"  # noqa: S311 - a made-up address
    lead = {"name": name, "email": email, "assistantEmail": ASSISTANT, "source": "Website form"}
    content = {"lead": lead} if channel == "eventbridge" else {"operation": "create", "lead": lead}
    return LeadToPublish(channel, "create", lead, json.dumps(content), "delivered")
