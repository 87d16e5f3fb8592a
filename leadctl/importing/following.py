"""The leads that were sent and are not settled: followed in the ledger, and never more than a bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from deliver_leads.event.lead import Operation
from leadctl.importing.door import Door, KnownEvent, KnownLead, Progress
from leadctl.importing.validation import Lead

LOOKED_UP_AT_ONCE = 100  # BatchGetItem's bound
# A look at a thousand leads costs as much as writing a hundred.
_SHORTEST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Followed:
    """A row under way, without its lead's fields."""

    number: int
    lead_hash: str
    key: str


def own_event(lead: KnownLead | None, key: str) -> KnownEvent | None:
    """The event that an import has made of the row with this key."""
    if lead is None:
        return None
    own = Lead(0, {}, "", key)
    found = (lead.events.get(own.ledger_key(operation)) for operation in (Operation.CREATE, Operation.UPDATE))
    return next((event for event in found if event is not None), None)


class Following:
    """What is under way. `on_settled` is called with each row and what became of it."""

    def __init__(
        self,
        door: Door,
        on_settled: Callable[[Sequence[tuple[Followed, KnownEvent]]], None],
        pause: Callable[[float], None],
    ) -> None:
        self._door = door
        self._on_settled = on_settled
        self._pause = pause
        self._pause_s = _SHORTEST_PAUSE_S
        self._under_way: dict[str, Followed] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def add(self, row: Followed) -> None:
        """A row that was sent."""
        self._under_way[row.key] = row

    def wait_until(self, most: int) -> None:
        """Returns as soon as no more than `most` are under way."""
        while len(self._under_way) > most:
            self._pause(self._pause_s)
            settled = self._look()
            self._pause_s = _SHORTEST_PAUSE_S if settled else min(_LONGEST_PAUSE_S, self._pause_s * 1.5)

    def _look(self) -> int:
        settled = 0
        rows = iter(list(self._under_way.values()))
        while part := list(islice(rows, LOOKED_UP_AT_ONCE)):
            known = self._door.look([row.lead_hash for row in part])
            found = [
                (row, event)
                for row in part
                if (event := own_event(known.get(row.lead_hash), row.key)) is not None
                and event.progress is not Progress.OPEN
            ]
            if found:
                self._on_settled(found)
            for row, _ in found:
                del self._under_way[row.key]
            settled += len(found)
        return settled
