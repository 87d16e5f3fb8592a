"""The worlds that are searched: what events of one lead come, and what was before them."""

import functools
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sim.explore.outside import POISON, REFUSED_PHONE

EMAIL = "jane@example.com"
OTHER_EMAIL = "omar@example.com"
ASSISTANT = "sam@example.net"
OTHER_ASSISTANT = "alex@example.net"


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One event as its producer publishes it. Two of the same `identity` are the same event.

    That is a key and a content: each content has to arrive, be superseded or be parked.
    """

    name: str
    operation: str
    fields: Mapping[str, Any]
    key: str | None = None
    readable: bool = True

    @property
    def identity(self) -> tuple[str, str, str]:
        """Without a key, a create is identified by its content, the others by their ids."""
        return self.operation, self.key or self.name, self.body()

    @property
    def is_create(self) -> bool:
        """Whether it may begin a lead."""
        return self.operation == "create"

    @property
    def is_refused(self) -> bool:
        """Whether the API refuses it, whenever it is sent."""
        return self.fields.get("phone") == REFUSED_PHONE

    @property
    def sets(self) -> dict[str, Any]:
        """What is to be seen at the API after it."""
        if self.operation == "stop_followup":
            return {"stopped": True}
        return {name: value for name, value in self.fields.items() if name != "email"}

    def body(self) -> str:
        """The message's body."""
        content: dict[str, Any] = {"operation": self.operation, "lead": self.fields}
        if self.key is not None:
            content["idempotencyKey"] = self.key
        if not self.readable:
            content["lead"] = {"email": self.fields["email"]}
        return json.dumps(content)


def _event(title: str, operation: str, key: str | None = None, **fields: Any) -> Event:
    lead = {"name": "Jane", "email": EMAIL, "assistantEmail": ASSISTANT, **fields}
    return Event(title, operation, lead, key)


CREATE = _event("create", "create", "form-1", context="create", phone="1", scheduleName="Webinar")
CREATE_ELSEWHERE = _event(
    "create of another producer",
    "create",
    "row-7",
    context="other create",
    scheduleName="Fair",
    company="Acme",
)
CREATE_WITHOUT_KEY = _event(
    "create without a key", "create", context="keyless create", phone="2", source="List"
)
UPDATE = _event("update", "update", "edit-1", context="update", phone="3")
UPDATE_WITHOUT_KEY = _event("update without a key", "update", phone="4", scheduleName="Nurture")
UPDATE_WITH_CREATES_KEY = _event("update with the create's key", "update", "form-1", context="keyed update")
UPDATE_OF_NAME = _event("update of the name", "update", "edit-2", name="Joan", context="new name")
STOP = _event("stop", "stop_followup", "stop-1")
STOP_WITH_CREATES_KEY = _event("stop with the create's key", "stop_followup", "form-1")
REFUSED = _event("update that the API refuses", "update", "edit-3", phone=REFUSED_PHONE)
POISONOUS = _event("update over which the function crashes", "update", "edit-5", context=POISON)
UNREADABLE = Event("event without a name", "update", {"email": EMAIL}, "edit-4", readable=False)
EARLIER = _event("create before", "create", "form-0", context="before", phone="0", scheduleName="Before")
OTHER = Event(
    "event of another lead",
    "create",
    {"name": "Omar", "email": OTHER_EMAIL, "assistantEmail": ASSISTANT, "context": "other lead"},
    "form-9",
)

# Used with others only: alone they are as the above.
BROKEN_CREATE = Event("create without a name", "create", {"email": EMAIL}, "form-1", readable=False)
CREATE_WITH_USED_KEY = _event("create with the create's key", "create", "form-1", context="not the same")
LARGE_CREATE = _event("large create", "create", "row-9", context="x" * 250_000)
LARGE_UPDATE = _event("large update", "update", "edit-6", additionalInformationLine="y" * 250_000)
REFUSED_CREATE = _event("create that the API refuses", "create", "row-8", phone=REFUSED_PHONE)

KINDS = (
    CREATE,
    CREATE_ELSEWHERE,
    CREATE_WITHOUT_KEY,
    UPDATE,
    UPDATE_WITHOUT_KEY,
    UPDATE_WITH_CREATES_KEY,
    UPDATE_OF_NAME,
    STOP,
    STOP_WITH_CREATES_KEY,
    REFUSED,
    UNREADABLE,
    POISONOUS,
)


class Before(StrEnum):
    """What was before the events came."""

    NOTHING = "a new lead"
    FOREIGN = "a lead that 7Targets has and the ledger doesn't know"
    UNMAILED = "a lead that 7Targets has and sends no e-mails, and the ledger doesn't know"
    ELSEWHERE = "a lead that another assistant has and the ledger doesn't know"
    RECENT = "a lead that was created minutes ago"
    OLD = "a lead that was created a week ago"


# What worlds of all kinds begin with; the other one is shown by a world of its own.
BEFORE = tuple(before for before in Before if before is not Before.UNMAILED)


@dataclass(frozen=True, slots=True)
class World:
    """`apart`: each message goes to an execution environment of its own, else they come in batches.

    `gap_s`: the seconds between one event and the next. `patient`: with the deployed grace period for an
    update without its lead, not the short one that keeps histories short. `forgetful`: the function remembers
    less of a lead than comes, and one fault opens its breaker. `redriven_after_s`: what is parked is sent
    again so much later. `clocks_differ`: the environments' clocks are in turn behind SQS's and ahead of it,
    and differ by as much as is allowed for. `has_retry_after`: answers 429 and 503 have a `Retry-After`.
    """

    name: str
    events: tuple[Event, ...]
    before: Before
    apart: bool = False
    with_other: bool = False
    gap_s: int = 2
    patient: bool = False
    forgetful: bool = False
    redriven_after_s: int = 0
    clocks_differ: bool = False
    has_retry_after: bool = False

    def __str__(self) -> str:
        way = "each in an environment of its own" if self.apart else "in batches"
        others = ", and an event of another lead" if self.with_other else ""
        names = ", ".join(event.name for event in self.events)
        limits = "; 429 and 503 with Retry-After" if self.has_retry_after else ""
        return f"{self.name}: {self.before}; {names}{others}; {way}, {self.gap_s} s apart{limits}"


def _is_telling(world: World) -> bool:
    """Whether a world differs from others: all updates and stops of a lead that never comes go the same way,
    which is long, because they come again and again.
    """
    never_comes = world.before is Before.NOTHING and not any(event.is_create for event in world.events)
    return not never_comes or {*world.events} <= {UPDATE, STOP}


def small_worlds() -> list[World]:
    """One event, with and without an event of another lead; and the pairs that show most."""
    singles = itertools.product(KINDS, BEFORE, (False, True))
    alone = [
        World("", (event,), before, with_other=with_other)
        for event, before, with_other in singles
        if event.is_create or before is not Before.NOTHING or not with_other
    ]
    pairs = [
        World("", events, before, apart)
        for events in _TELLING_PAIRS
        for before, apart in ((Before.NOTHING, False), (Before.NOTHING, True), (Before.RECENT, False))
    ]
    return _numbered("s", filter(_is_telling, [*alone, *pairs, *_odd_worlds()]))


def _odd_worlds() -> list[World]:
    """A key used for two contents, a late redrive, and more events than the function remembers."""
    keys = [
        World("", events, before, apart)
        for events in ((CREATE, BROKEN_CREATE), (CREATE, CREATE_WITH_USED_KEY))
        for before, apart in ((Before.NOTHING, False), (Before.NOTHING, True))
    ]
    return [
        *keys,
        World("", (CREATE_WITHOUT_KEY, UPDATE), Before.UNMAILED, apart=True),
        World("", (REFUSED_CREATE, STOP), Before.OLD, gap_s=HOUR_S, redriven_after_s=40 * HOUR_S),
        World("", (CREATE, CREATE_ELSEWHERE, CREATE), Before.NOTHING, gap_s=40 * HOUR_S, forgetful=True),
        World("", (CREATE, UPDATE, UPDATE_WITHOUT_KEY, STOP), Before.NOTHING, forgetful=True),
        World("", (CREATE, CREATE_ELSEWHERE), Before.NOTHING, gap_s=60 * HOUR_S),
    ]


HOUR_S = 3600


_TELLING_PAIRS = (
    (CREATE, CREATE_ELSEWHERE),
    (CREATE, UPDATE),
    (UPDATE, CREATE),
    (CREATE, UPDATE_WITH_CREATES_KEY),
    (CREATE, STOP_WITH_CREATES_KEY),
    (STOP, CREATE),
    (CREATE, REFUSED),
)


def pair_worlds() -> list[World]:
    """Each pair of events, whatever was before; and the pairs that show most, with clocks that differ."""
    ways = itertools.product(itertools.product(KINDS, KINDS), BEFORE, (False, True))
    clocks = [
        World("", pair, before, apart, clocks_differ=True)
        for pair in _TELLING_PAIRS
        for before, apart in ((Before.NOTHING, True), (Before.RECENT, False))
    ]
    pairs = (World("", events, before, apart) for events, before, apart in ways)
    return _numbered("p", [*filter(_is_telling, pairs), *clocks])


def large_worlds() -> list[World]:
    """Three events, beside an event of another lead."""
    triples = itertools.product(KINDS, KINDS, KINDS)
    telling = [triple for triple in triples if sum(event.is_create for event in triple) in {1, 2}]
    ways = itertools.product(telling, BEFORE, (False, True), (2, 40))
    return _numbered(
        "l",
        [
            World("", events, before, apart, with_other=True, gap_s=gap_s, patient=True)
            for events, before, apart, gap_s in ways
        ],
    )


def _numbered(letter: str, worlds: Iterable[World]) -> list[World]:
    """In every third world the API says how long to wait, which costs no histories."""
    return [
        replace(world, name=f"{letter}{number}", has_retry_after=number % 3 == 0)
        for number, world in enumerate(worlds, start=1)
    ]


def find_world(name: str) -> World:
    """Raises `KeyError` for a name that no world has."""
    return _by_name()[name]


@functools.cache
def _by_name() -> dict[str, World]:
    return {world.name: world for world in [*small_worlds(), *pair_worlds(), *large_worlds()]}
