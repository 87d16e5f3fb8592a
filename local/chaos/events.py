"""The fault suite's lead events: drawn from a seed, each with what must become of it."""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from local.publishing import REFUSED_WORDS, LeadToPublish

ASSISTANT, FORMER_ASSISTANT = "sam@example.com", "ana@example.com"
# Each update writes a field of its own, which shows that it arrived, and its place into LAST.
LAST = "additionalInformationLine"
# Stands for the id of a message that is no event; a producer on the bus doesn't learn it.
# By the kind of event, the field that no other event of the lead writes: its value proves an effect.
FORM_FIELD, FILE_FIELD, EARLY_FIELD, LATE_FIELD = "context", "externalId", "company", "designation"
# The same, of a lead that 7Targets holds before any event.
FORMER_FIELD = "industry"

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
    "existing": 0.12,
    "one key for all": 0.12,  # as of a CRM that gives its record's id with every event
    "two producers": 0.12,
    "another name": 0.25,  # of those with two producers
    "a sequence": 0.3,
    "in a tenant's group": 0.5,  # of the messages to the queue, which is a fair queue then
}
_MOST_REFUSED = 50  # each costs the sandbox a rule to look at
_TENANTS = 8
_CHANNELS = ("sqs", "eventbridge")
_BLOCK = 20  # neighbours that are published together, sorted by channel
_FARTHEST = 120  # places by which an event may be away from its lead's number


@dataclass(frozen=True)
class ChaosEvent(LeadToPublish):
    """`number` is the lead's; `copy` counts the times that the event was published before.

    `own_field` is the field that only this event of the lead writes; none for a stop.
    """

    number: int = 0
    copy: int = 0
    own_field: str = ""

    def ledger_key(self, published_id: str) -> tuple[str, str]:
        """By what the ledger knows this event: the hash of the address, then what makes the event one event.

        The scheme is written again here, because what judges the function shares no code with it.
        """
        if self.key:
            made_of = f"key {self.operation} {self.key}"
        elif self.operation == "create":
            content = json.dumps(self.lead, sort_keys=True, separators=(",", ":"))
            made_of = f"content create {content}"
        else:
            made_of = f"event {published_id}"
        return sha256(self.email), sha256(made_of)[:16]


@dataclass(frozen=True)
class Plan:
    """What is published when, and the leads that 7Targets holds before.

    `storm`: under all faults, in this order. `calm`: batches of ten, each with five updates of two leads in
    their order, published while nothing fails. `outage`: when the outage begins and while it lasts.
    """

    existing: list[dict[str, Any]]
    storm: list[ChaosEvent]
    outage: list[ChaosEvent]
    calm: list[ChaosEvent]


def make_plan(seed: int, leads: int) -> Plan:
    """Events for `leads` leads and some wrong ones beside; the same for the same arguments."""
    return _Planner(random.Random(seed)).plan(leads)  # noqa: S311 - draws events, guards nothing


@dataclass
class _World:
    """What holds for one lead in the storm."""

    number: int
    is_existing: bool
    has_two_producers: bool
    has_another_name: bool
    key_for_all: str


@dataclass
class _Planner:
    draws: random.Random
    existing: list[dict[str, Any]] = field(default_factory=list)
    storm: list[tuple[float, ChaosEvent]] = field(default_factory=list)
    outage: list[ChaosEvent] = field(default_factory=list)
    never_updated: list[int] = field(default_factory=list)

    def plan(self, leads: int) -> Plan:
        in_outage = max(5, round(leads * _SHARE["in the outage"]))
        numbers = range(1, leads - in_outage + 1)
        refused = set(self.draws.sample(numbers, min(_MOST_REFUSED, round(leads * _SHARE["refused"]) + 1)))
        self.outage += [self._form_create(number) for number in range(numbers.stop, leads + 1)]
        for number in numbers:
            if number in refused:
                create = self._form_create(number)
                self.storm.append((number, replace(create, expected="rejected", problem=REFUSED_WORDS)))
            else:
                self._live(self._draw_world(number, is_last=number > numbers.stop - _FARTHEST))
        for event in self._wrong_events(round(leads * _SHARE["wrong"]) + 3):
            self.storm.append((self.draws.uniform(1, numbers.stop), event))
        self.draws.shuffle(self.outage)
        calm = list(self._batches_in_order(self.never_updated[: min(40, len(self.never_updated) // 4 * 2)]))
        storm = (event for _, event in sorted(self.storm, key=lambda each: each[0]))
        return Plan(self.existing, _in_blocks(storm), self.outage, calm)

    def _draw_world(self, number: int, *, is_last: bool) -> _World:
        # Of two creates the later one's fields count, so there must be enough between them to part them.
        has_two_producers = self._happens("two producers") and not is_last
        return _World(
            number,
            is_existing=self._happens("existing"),
            has_two_producers=has_two_producers,
            has_another_name=self._happens("another name") and has_two_producers,
            key_for_all=f"record {number}" if self._happens("one key for all") else "",
        )

    def _live(self, world: _World) -> None:
        """All that happens to a lead in the storm, and perhaps in the outage."""
        if world.is_existing:
            self.existing.append(_former_lead(world.number))
        self._create(world)
        if self._happens("stopped"):
            self._place_around(self._event("stop_followup", world.number, key=world.key_for_all), world)
        # With two names about, an update would bring a third opinion on the name.
        if self._happens("updated") and not world.has_another_name:
            self._place_around(self._early_update(world), world)
            if self._happens("updated in the outage"):
                self.outage.append(self._late_update(world.number))
        else:
            self.never_updated.append(world.number)

    def _create(self, world: _World) -> None:
        by_form = self._form_create(world.number, world.key_for_all)
        if not world.has_two_producers:
            self._place_with_copies(by_form, float(world.number))
            return
        by_file = self._file_create(world)
        first, second = self.draws.sample((by_form, by_file), 2)
        self.storm.append((world.number, first))
        self.storm.append((world.number + self.draws.uniform(2 * _BLOCK, _FARTHEST), second))

    def _place_around(self, event: ChaosEvent, world: _World) -> None:
        """Before or after the lead's create, which may not be there yet when the event arrives.

        A lead that exists can be updated before its create is sent; then the one sent later decides.
        """
        if self._happens("overtaking") and not world.is_existing:
            place = world.number + self.draws.uniform(-40, 0)
        else:
            place = world.number + self.draws.uniform(2 * _BLOCK, _FARTHEST)
        self._place_with_copies(event, place)

    def _place_with_copies(self, event: ChaosEvent, place: float) -> None:
        self.storm.append((place, event))
        can_be_copied = event.operation == "create" or event.key
        for copy in range(1, 1 + (self._draw_copies() if can_be_copied else 0)):
            again = self._sent(replace(event, expected="duplicate", copy=copy))
            self.storm.append((place + self.draws.choice((0.0, self.draws.uniform(0, 300))), again))

    def _draw_copies(self) -> int:
        if self._happens("thrice"):
            return 2
        return 1 if self._happens("twice") else 0

    def _happens(self, what: str) -> bool:
        return self.draws.random() < _SHARE[what]

    def _form_create(self, number: int, key: str = "") -> ChaosEvent:
        fields = {"source": "Web form", FORM_FIELD: f"met at booth {number}", "phone": f"+4930{number:07}"}
        fields |= {"scheduleName": "Trial nurture"} if self._happens("a sequence") else {}
        return self._event("create", number, fields, key=key, own_field=FORM_FIELD)

    def _file_create(self, world: _World) -> ChaosEvent:
        """The same lead from another producer: some of its fields are the form's, with other values."""
        fields = {"source": "CSV file", FILE_FIELD: f"row {world.number}", "phone": f"+4940{world.number:07}"}
        fields |= {"name": f"Ms Lead {world.number}"} if world.has_another_name else {}
        fields |= {"scheduleName": "Demo follow-up"} if self._happens("a sequence") else {}
        return self._event("create", world.number, fields, own_field=FILE_FIELD)

    def _early_update(self, world: _World) -> ChaosEvent:
        number = world.number
        fields = {EARLY_FIELD: f"early {number}", LAST: "early"}
        # A create that is sent again must not undo a new name. Where a create may be sent after an update of
        # another name, one of the two is for a person to decide; that is the two producers' part.
        may_rename = number % 2 and not (world.is_existing or world.has_two_producers)
        fields |= {"name": f"Early {number}"} if may_rename else {}
        return self._event("update", number, fields, key=world.key_for_all, own_field=EARLY_FIELD)

    def _late_update(self, number: int) -> ChaosEvent:
        fields = {LATE_FIELD: f"late {number}", LAST: "late", "name": f"Late {number}"}
        return self._event("update", number, fields, own_field=LATE_FIELD)

    def _event(
        self,
        operation: str,
        number: int,
        fields: dict[str, Any] | None = None,
        *,
        key: str = "",
        own_field: str = "",
    ) -> ChaosEvent:
        lead: dict[str, Any] = {"name": f"Lead {number}", "email": f"lead-{number:06}@example.com"}
        lead |= {"assistantEmail": ASSISTANT} | (fields or {})
        if not key and self._happens("with a key"):
            key = f"{operation} {number} {self.draws.getrandbits(32):08x}"
        event = ChaosEvent("", operation, lead, "", "delivered", key=key, number=number, own_field=own_field)
        return self._sent(event)

    def _sent(self, event: ChaosEvent, channel: str = "") -> ChaosEvent:
        """The event as it is published: by this channel, or by any."""
        channel = channel or self.draws.choice(_CHANNELS)
        content: dict[str, Any] = {"lead": event.lead} | ({"idempotencyKey": event.key} if event.key else {})
        if channel == "sqs":
            content["operation"] = event.operation
        group = self._group() if channel == "sqs" else ""
        return replace(event, channel=channel, body=json.dumps(content), group=group)

    def _group(self) -> str:
        """A tenant's, or none; the events of a lead may be in several."""
        return f"tenant-{self.draws.randrange(_TENANTS)}" if self._happens("in a tenant's group") else ""

    def _wrong_events(self, count: int) -> Iterator[ChaosEvent]:
        """Events that no retry can help; their body names a number of their own, from 1.

        Those that have a `lead` are in the ledger, because its address can be read.
        """
        for number in range(1, count + 1):
            name, email = f"wrong-{number:06}", f"wrong-{number:06}@example.com"
            lead = {"name": name, "email": email, "assistantEmail": ASSISTANT}
            update = {"operation": "update", "lead": {**lead, "name": " "}, "idempotencyKey": name}
            bodies = {
                "lead.email": json.dumps({"operation": "create", "lead": {**lead, "email": "nobody"}}),
                "lead.name": json.dumps(update),
                "operation": json.dumps({"operation": "delete", "lead": lead}),
                "is not JSON": f"operation=create&name={name}",
                "detail-type": json.dumps({"lead": lead}),
            }
            problem = list(bodies)[number % len(bodies)]
            event = ChaosEvent("sqs", "", lead, bodies[problem], "rejected", problem, number=number)
            match problem:
                case "detail-type":
                    event = replace(event, channel="eventbridge", detail_type="Lead Craeted")
                case "lead.name":
                    event = replace(event, operation="update", key=name)
                case "lead.email" | "is not JSON":
                    event = replace(event, lead={})
            yield event if event.channel == "eventbridge" else replace(event, group=self._group())

    def _batches_in_order(self, numbers: list[int]) -> Iterator[ChaosEvent]:
        for first, second in zip(numbers[::2], numbers[1::2], strict=True):
            for place in range(1, 6):
                for number in (first, second):
                    update = self._event("update", number, {LAST: f"batch {place}"}, own_field=LAST)
                    yield self._sent(update, "sqs")


def _former_lead(number: int) -> dict[str, Any]:
    """As 7Targets holds it before any event: with another name, at another assistant, in another sequence."""
    lead = {"name": f"Former {number}", "email": f"lead-{number:06}@example.com"}
    return lead | {
        "assistantEmail": FORMER_ASSISTANT,
        "scheduleName": "Former",
        FORMER_FIELD: f"former {number}",
    }


def _in_blocks(events: Iterable[ChaosEvent]) -> list[ChaosEvent]:
    """Neighbours of one channel can be published in one call; order within a block doesn't matter."""
    rest = list(events)
    blocks = (rest[start : start + _BLOCK] for start in range(0, len(rest), _BLOCK))
    return [event for block in blocks for event in sorted(block, key=lambda each: each.channel)]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
