"""Which event of a lead has set each of its fields last: the later event wins, whichever comes first. Pure.

`scheduleId`, `scheduleName` and a stop set the same thing, so they share one entry, `SEQUENCE`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .contract import LEAD_FIELDS
from .event.lead import MANDATORY, Json, Operation
from .event.loggable import sha256

SEQUENCE = "sequence"
SEQUENCE_FIELDS = frozenset({"scheduleId", "scheduleName"})


@dataclass(frozen=True, slots=True)
class Setter:
    """The event that has set a field last: its rank (`LeadState.rank`).

    `value` is a fingerprint for a mandatory field, else empty.
    """

    rank: int
    value: str = ""


Setters = Mapping[str, Setter]


def entry_of(name: str) -> str:
    """The entry for a field. What a producer names freely is hashed, because it may be anything."""
    if name in SEQUENCE_FIELDS:
        return SEQUENCE
    return name if name in LEAD_FIELDS else f"#{sha256(name)[:12]}"


def fingerprint(lead: Mapping[str, Json], name: str) -> str:
    """Distinguishes two values of a field without keeping them; the address in it serves as the salt."""
    return sha256(repr((str(lead["email"]).lower(), name, lead[name])))[:12]


def is_set_later(setters: Setters, name: str, rank: int) -> bool:
    """Whether an event with a higher rank has set the field."""
    setter = setters.get(entry_of(name))
    return setter is not None and setter.rank > rank


def new_setters(
    setters: Setters, operation: Operation | None, rank: int, sent: Mapping[str, Json]
) -> dict[str, Setter]:
    """The entries that an event has set by sending these fields.

    The API wants name and assistant with each update, so they are sent even if a later event has set them,
    whose entry stays.
    """
    if operation is Operation.STOP_FOLLOWUP:
        # Its fields only name the lead. It ends the sequence, which no earlier event may start again.
        values = {SEQUENCE: ""}
    else:
        values = {
            entry_of(name): fingerprint(sent, name) if name in MANDATORY else ""
            for name in sent
            if name not in {"email", "id"}
        }
    new = {
        entry: Setter(rank, value)
        for entry, value in values.items()
        if entry not in setters or setters[entry].rank <= rank
    }
    if operation is Operation.CREATE and SEQUENCE not in setters:
        # A create that names no sequence starts the default one. Rank 0, because an event that names or stops
        # a sequence wins over that even if it was sent before.
        new.setdefault(SEQUENCE, Setter(rank=0))
    return new
