"""The fault suite's lead events: drawn from a seed, each with what must become of it."""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from local.publishing import REFUSED_WORDS, LeadToPublish

ASSISTANT = "sam@example.com"
# Each update writes a field of its own, which shows that it arrived, and its place into LAST.
LAST = "additionalInformationLine"
EARLY_FIELD, LATE_FIELD = "company", "designation"

_SHARE = {
    "twice": 0.08,
    "thrice": 0.03,
    "with a key": 0.5,
    "updated": 0.25,
    "stopped": 0.08,
    "overtaking": 0.4,  # of the updates and stops: published before their create
    "refused": 0.008,
    "wrong": 0.02,
    "in the outage": 0.04,
    "updated in the outage": 0.2,  # of the updated ones
}
_MOST_REFUSED = 50  # each costs the sandbox a rule to look at
_CHANNELS = ("sqs", "eventbridge")
_BLOCK = 20  # neighbours that are published together, sorted by channel


@dataclass(frozen=True)
class ChaosEvent(LeadToPublish):
    """`number` is the lead's; `copy` counts the times that the event was published before."""

    number: int = 0
    copy: int = 0

    def ledger_key(self, published_id: str) -> tuple[str, str]:
        """The ledger's keys for this event: the hash of the address, then what makes the event one event.

        The scheme is written again here, because what judges the function shares no code with it.
        """
        if self.key:
            return sha256(self.email), f"key#{sha256(self.key)}"
        if self.operation == "create":
            return sha256(self.email), f"create#{sha256(f'{self.email}|{ASSISTANT}')}"
        return sha256(self.email), f"event#{sha256(published_id)}"


@dataclass(frozen=True)
class Plan:
    """What is published when.

    `storm`: under all faults, in this order. `calm`: batches of ten, each with five updates of two leads in
    their order, published while nothing fails. `outage`: when the outage begins and while it lasts.
    """

    storm: list[ChaosEvent]
    outage: list[ChaosEvent]
    calm: list[ChaosEvent]


def make_plan(seed: int, leads: int) -> Plan:
    """Events for `leads` leads and some wrong ones beside; the same for the same arguments."""
    draws = random.Random(seed)  # noqa: S311 - draws events, guards nothing
    in_outage = max(5, round(leads * _SHARE["in the outage"]))
    numbers = range(1, leads - in_outage + 1)
    refused = set(draws.sample(numbers, min(_MOST_REFUSED, round(leads * _SHARE["refused"]) + 1)))
    storm: list[tuple[float, ChaosEvent]] = []
    outage = [_event("create", number, draws) for number in range(numbers.stop, leads + 1)]
    never_updated: list[int] = []
    for number in numbers:
        if number in refused:
            storm.append(
                (number, _event("create", number, draws, expected="rejected", problem=REFUSED_WORDS))
            )
            continue
        storm += _placed(_event("create", number, draws), draws)
        if _happens("stopped", draws):
            storm += _placed(_event("stop_followup", number, draws), draws)
        if not _happens("updated", draws):
            never_updated.append(number)
            continue
        storm += _placed(_early_update(number, draws), draws)
        if _happens("updated in the outage", draws):
            outage.append(_late_update(number, draws))
    wrong = _wrong_events(round(leads * _SHARE["wrong"]) + 3)
    storm += [(draws.uniform(1, numbers.stop), event) for event in wrong]
    draws.shuffle(outage)
    calm = list(_batches_in_order(never_updated[: min(40, len(never_updated) // 4 * 2)], draws))
    return Plan(_in_blocks(event for _, event in sorted(storm, key=lambda each: each[0])), outage, calm)


def _early_update(number: int, draws: random.Random) -> ChaosEvent:
    fields = {EARLY_FIELD: f"early {number}", LAST: "early"}
    # A create without an answer is confirmed with the name it came with: that must not undo a new name.
    fields |= {"name": f"Early {number}"} if number % 2 else {}
    return _event("update", number, draws, fields)


def _late_update(number: int, draws: random.Random) -> ChaosEvent:
    fields = {LATE_FIELD: f"late {number}", LAST: "late", "name": f"Late {number}"}
    return _event("update", number, draws, fields)


def _placed(event: ChaosEvent, draws: random.Random) -> Iterator[tuple[float, ChaosEvent]]:
    """The event and its copies. A create is at the lead's number, others some places before or after."""
    place = float(event.number)
    if event.operation != "create":
        place += draws.uniform(-40, 0) if _happens("overtaking", draws) else draws.uniform(0, 100)
    yield place, event
    can_be_copied = event.operation == "create" or event.key
    for copy in range(1, 1 + (_draw_copies(draws) if can_be_copied else 0)):
        again = _sent_by(draws.choice(_CHANNELS), replace(event, expected="duplicate", copy=copy))
        yield place + draws.choice((0.0, draws.uniform(0, 300))), again


def _draw_copies(draws: random.Random) -> int:
    if _happens("thrice", draws):
        return 2
    return 1 if _happens("twice", draws) else 0


def _happens(what: str, draws: random.Random) -> bool:
    return draws.random() < _SHARE[what]


def _event(
    operation: str,
    number: int,
    draws: random.Random,
    fields: dict[str, Any] | None = None,
    *,
    expected: str = "delivered",
    problem: str = "",
) -> ChaosEvent:
    lead: dict[str, Any] = {"name": f"Lead {number}", "email": f"lead-{number:06}@example.com"}
    lead |= {"assistantEmail": ASSISTANT}
    if operation == "create":
        lead |= {"source": "Fault suite", "context": f"met at booth {number}", "phone": f"+4930{number:07}"}
    lead |= fields or {}
    key = f"{operation} {number} {draws.getrandbits(32):08x}" if _happens("with a key", draws) else ""
    event = ChaosEvent("", operation, lead, "", expected, problem, key, number)
    return _sent_by(draws.choice(_CHANNELS), event)


def _sent_by(channel: str, event: ChaosEvent) -> ChaosEvent:
    content: dict[str, Any] = {"lead": event.lead} | ({"idempotencyKey": event.key} if event.key else {})
    if channel == "sqs":
        content["operation"] = event.operation
    return replace(event, channel=channel, body=json.dumps(content))


def _wrong_events(count: int) -> Iterator[ChaosEvent]:
    """Events that no retry can help; their body names a number of their own, from 1."""
    for number in range(1, count + 1):
        lead = {
            "name": f"wrong-{number:06}",
            "email": f"wrong-{number:06}@example.com",
            "assistantEmail": ASSISTANT,
        }
        bodies = {
            "lead.email": json.dumps({"operation": "create", "lead": {**lead, "email": "nobody"}}),
            "lead.name": json.dumps(
                {"operation": "update", "lead": {**lead, "name": " "}, "idempotencyKey": lead["name"]}
            ),
            "operation": json.dumps({"operation": "delete", "lead": lead}),
            "is not JSON": f"operation=create&name={lead['name']}",
        }
        problem = list(bodies)[number % len(bodies)]
        yield ChaosEvent("sqs", "", {}, bodies[problem], "rejected", problem, number=number)


def _batches_in_order(numbers: list[int], draws: random.Random) -> Iterator[ChaosEvent]:
    for first, second in zip(numbers[::2], numbers[1::2], strict=True):
        for place in range(1, 6):
            for number in (first, second):
                yield _sent_by("sqs", _event("update", number, draws, {LAST: f"batch {place}"}))


def _in_blocks(events: Iterable[ChaosEvent]) -> list[ChaosEvent]:
    """Neighbours of one channel can be published in one call; order within a block doesn't matter."""
    rest = list(events)
    blocks = (rest[start : start + _BLOCK] for start in range(0, len(rest), _BLOCK))
    return [event for block in blocks for event in sorted(block, key=lambda each: each.channel)]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
