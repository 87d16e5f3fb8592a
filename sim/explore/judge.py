"""What must hold in every history. Judged from outside: by the API's state, the queues and the log.

The judge shares no code with the function; what it needs to know of the ledger's item, it reads itself.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.explore.environments import Request
from sim.explore.outside import LeadsModel
from sim.explore.worlds import EARLIER, EMAIL, Event

# An update or stop that was sent up to this long before its lead's beginning may belong behind that.
BEGINNING_COUNTS_EARLIER_S = 900
CRASHES_TO_PARK = 3
# A window that two clocks measure may be longer by this.
CLOCKS_DIFFER_S = 30


@dataclass(slots=True)
class Seen:
    """What was seen of one event; times are epoch seconds.

    `excused`: receives for which its own environment or message is the reason: until `held_until`, a batch
    that it was in, and that goes on elsewhere or ended, may hold its lead. `slowed`: receives in which
    it may have waited for its turn, because the API turned away a call. `messages`, `parkings`: how often
    it was sent and parked. `is_parked`: it is in the dead-letter queue now. `statuses`: what 7Targets
    answered. `known_before`: when the lead had been shown last, before its first request. `crashes`,
    `disturbances`, `unwritten`, `undelayed`: how often its environment was killed, anything went wrong, a
    write of the ledger or the dead letter did, and the setting of when its message comes back. `applied`:
    whether a request of it took effect, and `applied_at`: when the last one did.
    """

    event: Event
    sent_at: float
    received_at: float = 0.0
    receives: int = 0
    excused: int = 0
    slowed: int = 0
    held_until: float = 0.0
    messages: int = 0
    parkings: int = 0
    is_parked: bool = False
    statuses: set[int] = field(default_factory=set)
    crashes: int = 0
    disturbances: int = 0
    unwritten: int = 0
    undelayed: int = 0
    was_posted: bool = False
    known_before: float | None = None
    applied: bool = False
    applied_at: float = 0.0


class Judge:
    """Collects what a history shows; `broken` is the first sentence that an invariant was broken with."""

    def __init__(
        self, seen: list[Seen], leads: LeadsModel, known_at: float, *, window_s: float, park_after_s: float
    ) -> None:
        """`known_at`: when this integration last created the lead, or saw it, before the history."""
        self._seen = seen
        self._leads = leads
        self._known_at = known_at
        self._window_s = window_s
        self._park_after_s = park_after_s
        self._of_message: dict[str, Seen] = {}
        self._possible: list[Request] = []
        self._was_stopped = False
        self.broken: str | None = None

    def say(self, sentence: str) -> None:
        """An invariant is broken."""
        if self.broken is None:
            self.broken = sentence

    def expect_message(self, message_id: str, event: int) -> None:
        """Notes which event a message is for."""
        self._of_message[message_id] = self._seen[event]
        self._seen[event].messages += 1

    def see(self, message_id: str) -> Seen:
        """What was seen of the message's event."""
        return self._of_message[message_id]

    def send(self, request: Request, now: float) -> None:
        """A request leaves."""
        seen = self.see(request.message_id)
        if seen.known_before is None:
            seen.known_before = self._known_at
        if request.email != EMAIL and now > seen.received_at and not (seen.crashes or seen.slowed):
            self.say(f"the event of another lead is sent {now - seen.received_at:.0f} s late")
        if any(other.email == request.email for other in self._possible):
            self.say(f"{request.method} {request.path} is sent while another request may still take effect")
        self._possible.append(request)
        seen.was_posted |= request.method == "POST"

    def can_no_longer_apply(self, request: Request) -> None:
        """A request had its effect, or won't have one any more, and its sender waits no longer."""
        if request in self._possible:
            self._possible.remove(request)

    def apply(self, request: Request) -> None:
        """A request is about to take effect."""
        self._was_stopped = self._is_stopped(request.email)
        if request.method != "POST" or request.email != EMAIL:
            return
        seen = self.see(request.message_id)
        if request.email in self._leads.leads:
            if self._known_at > seen.sent_at - self._window_s:
                self.say("a lead that this integration has created, or has seen lately, is POSTed again")
            if any(twin.applied and self._is_repeat(seen, twin) for twin in self._twins(seen)):
                self.say(f"the {seen.event.name} is POSTed again")

    def _is_repeat(self, seen: Seen, twin: Seen) -> bool:
        """Without a key, the same content counts as another event after the window."""
        return seen.event.key is not None or abs(seen.sent_at - twin.sent_at) < self._window_s

    def applied(self, request: Request, status: int, now: float) -> None:
        """The API's verdict on a request, whether or not its sender learns of it."""
        seen = self.see(request.message_id)
        seen.statuses.add(status)
        if status < 300:
            seen.applied, seen.applied_at = True, now
            if request.method == "POST" and request.email == EMAIL:
                self._known_at = now
        if self._was_stopped and not self._is_stopped(request.email):
            for stop in self._seen:
                if "stopped" in stop.event.sets and stop.applied and not self._may_be_later(seen, stop):
                    self.say(f"the {seen.event.name} starts the e-mails that a later {stop.event.name} ended")

    def _is_stopped(self, email: str) -> bool:
        return email in self._leads.leads and self._leads.leads[email].stopped

    def report(self, line: Mapping[str, Any]) -> None:
        """The function logs what came of an attempt."""
        if "outcome" not in line:
            return
        seen = self.see(line["message_id"])
        if str(line.get("reason", "")).startswith("internal error"):
            self.say(f"an unforeseen error: {line['reason']}")
        if line["outcome"] == "delivered":
            if not seen.applied:
                self.say(f"the {seen.event.name} is reported as delivered, but never took effect")
            if self._is_due_for_a_post(seen):
                self.say(f"the {seen.event.name} is not POSTed, though the lead was not shown for a window")
            # The function has the answer, and has written it down.
            if seen.event.fields["email"] == EMAIL:
                self._known_at = max(self._known_at, seen.applied_at)
            if all(self._missing(twin) for twin in self._twins(seen)):
                self.say(f"the {seen.event.name} is reported as delivered, but {self._missing(seen)}")

    def _is_due_for_a_post(self, seen: Seen) -> bool:
        """Whether a create was to assign the lead anew, and was only sent as an update."""
        if not seen.event.is_create or seen.was_posted or any(each.disturbances for each in self._seen):
            return False
        ends_at = seen.sent_at - self._window_s - CLOCKS_DIFFER_S
        others = [each for each in self._seen if each is not seen and each.event.fields["email"] == EMAIL]
        is_repeated = any(twin.applied for twin in self._twins(seen) if twin is not seen)
        was_shown = any(each.applied_at > ends_at for each in others)
        is_known = -math.inf < (seen.known_before or -math.inf) < ends_at
        return is_known and not (is_repeated or was_shown)

    def park(self, seen: Seen, attributes: Mapping[str, str], now: float, waiting: Iterable[int]) -> None:
        """An event is parked; `waiting` are the events whose messages are in the lead queue."""
        seen.parkings += 1
        seen.is_parked = True
        # What can't be read is parked without a look at the ledger. Of two messages of one event, the ledger
        # remembers the one that was parked last, and the other may be parked again.
        is_known = seen.event.readable and self._twins(seen) == [seen]
        if is_known and seen.parkings > seen.messages + seen.unwritten:
            self.say(f"the {seen.event.name} is parked {seen.parkings} times")
        detail, reason = attributes["detail"], attributes["reason"]
        if not self._is_true(seen, detail, now, [self._seen[each].event for each in waiting]):
            self.say(f"the {seen.event.name} is parked as {reason} without a true reason: {detail}")

    def _is_true(self, seen: Seen, detail: str, now: float, waiting: list[Event]) -> bool:
        event = seen.event
        if not event.readable:
            return "name" in detail
        if 422 in seen.statuses and "422" in detail:
            return True
        if "idempotencyKey" in detail:
            return any(other.applied and self._has_key_of(other.event, event) for other in self._seen)
        if "doesn't know this lead" in detail:
            create_waits = any(each.is_create and not each.is_refused for each in waiting)
            return EMAIL not in self._leads.leads and not create_waits
        if "later event" in detail:
            return any(
                other.event.fields["name"] != event.fields["name"] and other.applied
                for other in self._seen
                if other.event.readable and any(self._may_be_later(other, twin) for twin in self._twins(seen))
            )
        if "sends it no e-mails" in detail:
            return self._leads.leads[EMAIL].stopped and not any(
                "stopped" in each.event.sets for each in self._seen
            )
        if "left no result" in detail:
            # Before three alone comes one that was not alone, or a claim that only looks like that.
            return self._looks_like_crashes(seen) + bool(seen.unwritten) > CRASHES_TO_PARK
        return now - seen.sent_at >= self._park_after_s

    def _looks_like_crashes(self, seen: Seen) -> int:
        """A claim that could not be completed looks like a crash when its message comes back as after one,
        since no other time could be set, or when another message of the event finds it.
        """
        twins = self._twins(seen)
        unwritten = sum(twin.unwritten for twin in twins)
        undelayed = sum(twin.undelayed for twin in twins)
        return sum(twin.crashes for twin in twins) + (
            unwritten if len(twins) > 1 else min(unwritten, undelayed)
        )

    def acknowledge(self, message_ids: Iterable[str]) -> None:
        """Messages leave the lead queue for good."""
        for message_id in message_ids:
            seen = self.see(message_id)
            twins = self._twins(seen)
            if not any(twin.applied or twin.is_parked or not self._missing(twin) for twin in twins):
                self.say(f"the {seen.event.name} is acknowledged, but it neither took effect nor is parked")

    def end(self, item: Mapping[str, Any]) -> None:
        """All is quiet. `item` is the ledger's item of the lead, in plain values."""
        for seen in self._seen:
            twins = self._twins(seen)
            # What a stop ended may have been started again before its copy, which then has to end it, too.
            missing = self._missing(seen) if "stopped" in seen.event.sets else all(map(self._missing, twins))
            if missing and not any(twin.is_parked for twin in twins):
                self.say(f"the {seen.event.name} is not parked, but {self._missing(seen)}")
        self._check_ledger(item)

    def check_other(self, seen: Seen) -> None:
        """The other lead must not suffer from what happens to the first."""
        if not seen.applied:
            self.say("the event of the other lead never arrives")
        elif seen.receives > 1 + seen.excused + seen.slowed:
            self.say(f"the event of the other lead needs {seen.receives} receives")

    def _missing(self, seen: Seen) -> str:
        """What the event has set and neither it nor a later event has left at the API; "" if nothing."""
        lead = self._leads.leads.get(str(seen.event.fields["email"]).lower())
        if lead is None:
            return "7Targets has no such lead"
        shown = {**lead.fields, "stopped": lead.stopped}
        stops = [each for each in self._seen if "stopped" in each.event.sets]
        # After a request without an answer, nothing shows whether it has started e-mails.
        if seen.event.is_create and lead.stopped and not stops and not seen.disturbances:
            return "7Targets sends it no e-mails"
        later = [other.event for other in self._seen if self._may_be_later(other, seen)]
        for name, value in seen.event.sets.items():
            allowed = [value, *(each.sets[name] for each in later if name in each.sets)]
            # Another sequence starts the follow-up again, so a later event of the one undoes the other.
            # But a stop is sent in any case.
            is_sent = any(twin.applied for twin in self._twins(seen))
            if (
                name == "stopped"
                and is_sent
                and any(each.is_create or "scheduleName" in each.sets for each in later)
            ):
                continue
            if name == "scheduleName" and any("stopped" in each.sets for each in later):
                continue
            # A create without a sequence starts the default one, if it begins the lead.
            if name == "scheduleName" and any(
                each.was_posted and self._may_be_later(each, seen) for each in self._seen
            ):
                continue
            if shown.get(name) not in allowed:
                return f"7Targets shows {name} {shown.get(name)!r}"
        return ""

    def _may_be_later(self, other: Seen, than: Seen) -> bool:
        """Whether the other event's fields may win over this one's."""
        if other is than or other.event.fields["email"] != than.event.fields["email"]:
            return False
        # An update or stop of a new lead may count as sent after the create, or not.
        is_near = than.sent_at - other.sent_at < BEGINNING_COUNTS_EARLIER_S
        # It is sure if 7Targets called the lead unknown, and nothing went wrong with the two.
        is_sure = not (than.event.is_create or than.disturbances or other.disturbances)
        was_unknown = 404 in than.statuses and is_sure
        is_just_after = 0 <= other.sent_at - than.sent_at < BEGINNING_COUNTS_EARLIER_S
        if other.was_posted and was_unknown and is_just_after:
            return False
        return other.sent_at >= than.sent_at or (
            than.event.is_create and not other.event.is_create and is_near
        )

    def _has_key_of(self, other: Event, event: Event) -> bool:
        """Whether another event was given the same key."""
        keys = (other.operation, other.key), (event.operation, event.key)
        return event.key is not None and keys[0] == keys[1] and other.identity != event.identity

    def _twins(self, seen: Seen) -> list[Seen]:
        return [other for other in self._seen if other.event.identity == seen.event.identity]

    def _check_ledger(self, item: Mapping[str, Any]) -> None:
        in_journal = {entry["key"] for entry in item.get("journal", ())}
        for record in [*item.get("openEvents", ()), *item.get("shownEvents", ())]:
            seen = self._of_message.get(record["messageId"])
            if seen is None or record["key"] in in_journal:
                continue
            twins = self._twins(seen)
            state = record["state"]
            # When the ledger refused the write that follows a parking, it can't say so.
            if state == "waiting" and seen.unwritten:
                continue
            is_true = {
                "delivered": any(twin.applied for twin in twins) or seen.event is EARLIER,
                "superseded": any(not self._missing(twin) for twin in twins),
                "parked": any(twin.parkings for twin in twins),
            }.get(state, False)
            if not is_true:
                self.say(
                    f"the ledger's last word on the {seen.event.name} is {str(state)!r}, which is not true"
                )
