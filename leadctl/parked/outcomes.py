"""What came of parked events that were sent again, by the ledger and by what is parked."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from deliver_leads.contract import DeadLetterAttribute
from deliver_leads.event.envelope import LeadEvent
from leadctl.deployed_settings import DeployedSettings
from leadctl.lead_story import LedgerEvent, LedgerReader
from leadctl.parked.message import Parked, Place
from leadctl.parked.queues import ParkedQueues, Sent
from leadctl.target import Target

# What 7Targets doesn't take now waits for hours; all else is settled by then.
_FOLLOWED_S = 60.0
_LONGEST_PAUSE_S = 5.0
_LOOKED_UP_AT_ONCE = 100  # BatchGetItem's bound


@dataclass(frozen=True)
class Outcomes:
    """`parked` again, and why; `waiting`, and why, "" if it wasn't tried yet.

    `unknown` are not parked, and leadctl can't read them as events, so it doesn't know their names in the
    ledger.
    """

    delivered: int
    parked: list[str]
    waiting: list[str]
    unknown: int


def follow(target: Target, sent: Sequence[Sent], settings: DeployedSettings) -> Outcomes:
    """Looks until all are settled, or wait for longer than a person should; a minute at most."""
    following = _Following(target, sent, settings)
    end_s, pause_s = time.monotonic() + _FOLLOWED_S, 1.0
    while not following.look(end_s) and time.monotonic() < end_s:
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, pause_s * 1.5)
    return following.outcomes()


class _Following:
    """`_open`: what isn't settled, by the message's id; `_events`: what the ledger says of it."""

    def __init__(self, target: Target, sent: Sequence[Sent], settings: DeployedSettings) -> None:
        self._queues = ParkedQueues(target)
        self._ledger = LedgerReader(target)
        self._open = {each.message_id: each for each in sent}
        self._readings = {each.message_id: each.parked.read(settings) for each in sent}
        self._events: dict[str, LedgerEvent] = {}
        self._delivered = 0
        self._parked: dict[str, Parked] = {}

    def look(self, end_s: float) -> bool:
        """Whether nothing more is to be expected until then (of `time.monotonic`)."""
        self._look_into_the_ledger()
        if any(self._is_to_be_found_parked(each) for each in self._open):
            self._look_at_the_parked()
        end = time.time() + end_s - time.monotonic()
        return all(self._due_s(each) > end for each in self._open)

    def _due_s(self, message_id: str) -> float:
        event = self._events.get(message_id)
        return float(event.stored.get("dueS", 0)) if event and event.state == "waiting" else 0

    def _is_to_be_found_parked(self, message_id: str) -> bool:
        """The ledger has no events that can't be read."""
        event = self._events.get(message_id)
        return not isinstance(self._readings[message_id], LeadEvent) or bool(
            event and event.state == "parked"
        )

    def _look_into_the_ledger(self) -> None:
        asked = [
            (message_id, reading.lead_hash, reading.key)
            for message_id in self._open
            if isinstance(reading := self._readings[message_id], LeadEvent)
        ]
        for start in range(0, len(asked), _LOOKED_UP_AT_ONCE):
            part = asked[start : start + _LOOKED_UP_AT_ONCE]
            known = {each.lead_hash: each for each in self._ledger.find_all([lead for _, lead, _ in part])}
            for message_id, lead_hash, key in part:
                events = known[lead_hash].events if lead_hash in known else []
                event = next((each for each in events if each.is_of(key)), None)
                if event is None:
                    continue
                if event.is_final:
                    self._delivered += 1
                    del self._open[message_id]
                elif event.state != "parked" or event.stored.get("messageId") == message_id:
                    self._events[message_id] = event

    def _look_at_the_parked(self) -> None:
        with self._queues.look([Place.LEADS]) as looked:
            for each in looked.messages:
                message_id = each.text(DeadLetterAttribute.MESSAGE_ID) or ""
                if message_id in self._open:
                    self._parked[message_id] = each
                    del self._open[message_id]

    def outcomes(self) -> Outcomes:
        """What is known now."""
        if self._open:
            self._look_at_the_parked()
        parked = [f"{each.reason}: {each.detail}" for each in self._parked.values()]
        waiting, unknown = [], 0
        for message_id in self._open:
            event = self._events.get(message_id)
            if event and event.state == "parked":  # somebody else looks at it, or took it away
                parked.append(f"{event.stored.get('parkedAs')}: {event.stored.get('reason')}")
            elif isinstance(self._readings[message_id], LeadEvent):
                waiting.append(str(event.stored.get("reason") or "") if event else "")
            else:
                unknown += 1
        return Outcomes(self._delivered, parked, waiting, unknown)
