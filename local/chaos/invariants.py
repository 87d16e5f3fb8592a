"""The fault suite's invariants, judged from outside the function: by the sandbox, the queues, the ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

from local.chaos.campaign import Evidence
from local.chaos.events import EARLY_FIELD, FILE_FIELD, FORM_FIELD, LAST, LATE_FIELD, ChaosEvent, sha256
from local.chaos.faults import DELAY_STEP_S, READ_TIMEOUT_S, SETTLING_S, VISIBILITY_TIMEOUT_S, Kill
from local.judge import compare_leads, expected_leads, read_attributes
from local.publishing import REFUSED_WORDS, Published

# What a busy machine may add to a delay; a lead that missed its step is back after the visibility timeout.
_NOISE_S = 15
# The ledger keeps whole seconds.
_LEAST_SETTLING_S = SETTLING_S - 1
# The function can't read these answers, or not within its time.
_FAULTS_WITHOUT_ANSWER = {"late", "cut_before", "cut_after", "wrong_content_type", "drip", "huge"}
# A busy machine can make the function give up on an answer that the sandbox did send: of so few requests.
_MOST_UNSEEN = 0.01
_OWN_FIELDS = (FORM_FIELD, FILE_FIELD, EARLY_FIELD, LATE_FIELD, LAST)
# The reason of an event that came too late for some of its fields, when a person has to say what still holds.
_OVERRULED = "a later event of the lead, with another name"

_Request = Mapping[str, Any]


class Promise(StrEnum):
    """What is promised, by the word for its breach."""

    LOST = "lost"
    CREATED_TWICE = "created twice"
    UNDONE = "undone"
    UNACCOUNTED = "unaccounted"
    BLIND = "sent blindly"
    UNTRUE = "ledger untrue"
    OUTAGE = "outage not bounded"


@dataclass
class Verdict:
    """`broken` has a promise and a sentence for each breach; empty means that all promises were kept."""

    broken: list[tuple[Promise, str]] = field(default_factory=list)
    overruled: int = 0
    parked_twice: int = 0
    repeated: int = 0
    unseen: int = 0
    drained_s: float = 0.0

    def add(self, promise: Promise, sentence: str) -> None:
        self.broken.append((promise, sentence))

    def counts(self) -> dict[Promise, int]:
        """The breaches of each promise."""
        counts = Counter(promise for promise, _ in self.broken)
        return {promise: counts[promise] for promise in Promise}


def check(evidence: Evidence, kills: Iterable[Kill], retries_exhausted: set[str]) -> Verdict:
    """`retries_exhausted`: leads with a ledger write that failed after all of botocore's retries."""
    return _Judge(evidence, [kill.at for kill in kills], retries_exhausted).judge()


class _Judge:
    def __init__(self, evidence: Evidence, kills: list[float], retries_exhausted: set[str]) -> None:
        self._evidence = evidence
        self._stopped_again = {
            each.event.email
            for each in evidence.published
            if each.event.copy and each.event.operation == "stop_followup"
        }
        self._kills = kills
        self._retries_exhausted = retries_exhausted
        self._verdict = Verdict()
        self._requests: defaultdict[str, list[_Request]] = defaultdict(list)
        for request in sorted(evidence.requests, key=lambda each: float(each["at"])):
            if request["email"]:
                self._requests[request["email"]].append(request)
        self._letters: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        for letter in evidence.dead_letters:
            attributes = read_attributes(letter)
            self._letters[attributes["eventId"]].append(attributes)
        # Copies are one event, for which there is one letter, with the id of the one that was parked.
        overruled = {
            each.event.ledger_key(each.id) for each in evidence.published if self._is_overruled(each)
        }
        self._overruled = {
            each.id for each in evidence.published if each.event.ledger_key(each.id) in overruled
        }

    def judge(self) -> Verdict:
        self._check_leads()
        for email, requests in self._requests.items():
            self._check_creates(email, requests)
            self._check_pauses(email, requests)
            self._check_repeats(email, requests)
        if self._verdict.unseen > _MOST_UNSEEN * len(self._evidence.requests):
            sentence = f"{self._verdict.unseen} requests came after an answer that made them needless"
            self._verdict.add(Promise.BLIND, sentence)
        self._check_dead_letters()
        self._check_ledger()
        if self._evidence.left_in_queue:
            left = f"lead queue: {self._evidence.left_in_queue} messages are left in it"
            self._verdict.add(Promise.UNACCOUNTED, left)
        self._check_outage()
        self._verdict.overruled = len(self._overruled & self._letters.keys())
        return self._verdict

    def _is_overruled(self, published: Published[ChaosEvent]) -> bool:
        """Whether it was parked since it came after a later event of another name, which it would undo."""
        if not any(_OVERRULED in letter["detail"] for letter in self._letters.get(published.id, [])):
            return False
        event, place = published.event, self._evidence.published.index(published)
        # The bus may swap such an update and its create, and the ledger's order is that of the queue.
        first = 0 if event.own_field == EARLY_FIELD else place + 1
        return any(
            later.event.email == event.email and later.event.lead["name"] != event.lead["name"]
            for later in self._evidence.published[first:]
            if later.event.expected == "delivered" and later.event.operation != "stop_followup"
        )

    def _check_leads(self) -> None:
        """What 7Targets holds is what the delivered events say, a later one's fields over an earlier's."""
        events = [
            each.event
            for each in self._evidence.published
            if not each.event.copy and each.id not in self._overruled
        ]
        expected = expected_leads(events, lambda event: event.lead, self._evidence.existing)
        as_sent = expected_leads(events, lambda event: event.lead, self._evidence.existing, as_sent=True)
        other = {(each.email, each.field) for each in compare_leads(as_sent, self._evidence.leads)}
        for difference in compare_leads(expected, self._evidence.leads):
            # An update that overtook its create may count as sent before or after it.
            if (difference.email, difference.field) not in other:
                continue
            was_right = any(
                request["effect"] and (request["body"] or {}).get(difference.field) == difference.wanted
                for request in self._requests[difference.email]
            )
            if difference.email not in expected:
                promise = Promise.UNACCOUNTED
            elif difference.field == "creates" and difference.email in self._evidence.leads:
                continue  # counted where the requests are looked at
            else:
                promise = Promise.UNDONE if difference.field and was_right else Promise.LOST
            self._verdict.add(promise, str(difference))

    def _check_creates(self, email: str, requests: list[_Request]) -> None:
        """A lead is created once, and never when it may be there already."""
        with_effect = [each for each in requests if each["operation"] == "create" and each["effect"]]
        if len(with_effect) > 1:
            places = ", ".join(str(each["seq"]) for each in with_effect)
            self._verdict.add(Promise.CREATED_TWICE, f"{email}: created by the requests {places}")
        shown: _Request | None = None
        for request in requests:
            if request["operation"] == "create":
                # A create's answer that was not seen leaves a doubt, too; an update's leaves nothing known.
                if shown and (shown["operation"] == "create" or not self._may_be_unseen(shown, request)):
                    self._verdict.add(
                        Promise.BLIND,
                        f"{email}: created at {request['at']:.1f} though the {shown['operation']} of"
                        f" {shown['at']:.1f} showed that the lead may be there",
                    )
                shown = request if _has_no_answer(request) or _was_taken(request) else None
            elif request["status"] == 404:
                shown = None
            elif _was_taken(request) and not self._may_be_forgotten(email, request["at"]):
                shown = request

    def _check_pauses(self, email: str, requests: list[_Request]) -> None:
        """Nothing is sent for a lead while a request without an answer may still take effect."""
        for earlier, later in pairwise(requests):
            pause_s = later["at"] - earlier["at"]
            if _has_no_answer(earlier) and pause_s < _LEAST_SETTLING_S:
                self._verdict.add(
                    Promise.BLIND,
                    f"{email}: {later['operation']} sent {pause_s:.1f} s after the {earlier['operation']} of"
                    f" {earlier['at']:.1f}, which had no answer",
                )

    def _check_repeats(self, email: str, requests: list[_Request]) -> None:
        """What was answered is sent again only if the function could not note the answer."""
        by_content: defaultdict[tuple[str, ...], list[_Request]] = defaultdict(list)
        for request in requests:
            own = (f"{name} {request['body'][name]}" for name in _OWN_FIELDS if name in request["body"])
            is_stop = request["operation"] == "stop_followup"
            by_content["stop_followup" if is_stop else "", *own].append(request)
        # A stop that comes again is sent again if a create came between, which may have started e-mails.
        if email in self._stopped_again:
            by_content.pop(("stop_followup",), None)
        for content, sent in by_content.items():
            for earlier, later in pairwise(sent):
                # A create of a lead that was there goes as an update, then with the sequence if that differs.
                goes_on = "scheduleName" in later["body"] and "scheduleName" not in earlier["body"]
                if not _was_taken(earlier) or goes_on:
                    continue
                self._verdict.repeated += 1
                if not self._may_be_forgotten(email, earlier["at"]) and not self._may_be_unseen(
                    earlier, later
                ):
                    what = " ".join(filter(None, content))
                    self._verdict.add(Promise.BLIND, f"{email}: sent again for no reason: {what}")

    def _may_be_forgotten(self, email: str, answered_at: float) -> bool:
        """Whether the function may have been killed, or kept from the ledger, before it noted an answer."""
        was_killed = any(
            answered_at - 1 <= kill <= answered_at + VISIBILITY_TIMEOUT_S for kill in self._kills
        )
        return was_killed or sha256(email) in self._retries_exhausted

    def _may_be_unseen(self, answered: _Request, later: _Request) -> bool:
        """Whether the function may have given up on an answer: then it let the lead settle first."""
        if later["at"] - answered["at"] < _LEAST_SETTLING_S:
            return False
        self._verdict.unseen += 1
        return True

    def _check_dead_letters(self) -> None:
        """The queue holds the events made wrong on purpose, each with its reason, and those overruled."""
        letters = dict(self._letters)
        wrong = {
            each.id: each.event for each in self._evidence.published if each.event.expected == "rejected"
        }
        for event_id, event in wrong.items():
            found = letters.pop(event_id, [])
            name = event.email or f"wrong-{event.number:06}"
            if not found:
                self._verdict.add(Promise.LOST, f"{name}: it is not in the dead-letter queue")
            # A worker killed between parking and acknowledging parks the same message once more.
            self._verdict.parked_twice += max(0, len(found) - 1)
            for letter in found:
                if letter["reason"] != "rejected" or event.problem not in letter["detail"]:
                    parked = f"{name}: parked as {letter['reason']}: {letter['detail']}"
                    self._verdict.add(Promise.UNACCOUNTED, parked)
        for event_id, found in letters.items():
            if event_id not in self._overruled:
                parked = f"{event_id}: parked as {found[0]['reason']}: {found[0]['detail']}"
                self._verdict.add(Promise.LOST, parked)

    def _check_ledger(self) -> None:
        """There is a true last word on each event, unless it could not be written."""
        ends = {
            each.event.ledger_key(each.id): (each.event, self._end(each))
            for each in reversed(self._evidence.published)  # so that the first of several copies stays
            # What can't be read as an event is parked without a word in the ledger.
            if each.event.email and each.event.problem in {"", REFUSED_WORDS}
        }
        ledger = self._evidence.ledger
        for key, (event, end) in ends.items():
            state, name = ledger.get(key), f"{event.email}: its {event.operation}"
            if state == "superseded" and end == "delivered" and self._is_covered(event):
                continue
            if state != end and key[0] not in self._retries_exhausted:
                self._verdict.add(Promise.UNTRUE, f"{name} is {end}, but {state} in the ledger")
            if state == "delivered" and not self._has_effect(event):
                self._verdict.add(Promise.UNTRUE, f"{name} is delivered in the ledger, but had no effect")
        for lead, event_key in ledger.keys() - ends.keys():
            found = f"ledger: holds {event_key[:20]} of lead {lead[:12]}, which was not published"
            self._verdict.add(Promise.UNACCOUNTED, found)

    def _end(self, published: Published[ChaosEvent]) -> str:
        is_parked = published.event.expected == "rejected" or published.id in self._overruled
        return "parked" if is_parked else "delivered"

    def _has_effect(self, event: ChaosEvent) -> bool:
        return any(
            request["effect"] == "stopped"
            if event.operation == "stop_followup"
            else request["effect"] and request["body"].get(event.own_field) == event.lead.get(event.own_field)
            for request in self._requests[event.email]
        )

    def _is_covered(self, event: ChaosEvent) -> bool:
        """Whether another event of the lead, of those that write the same field, took effect.

        Only the updates of a batch in order have such a field. When a batch comes in two parts, these may
        be worked on in any order; which update was the last one is seen at the lead itself.
        """
        return any(
            other.event.own_field == event.own_field != ""
            and other.event.body != event.body
            and self._has_effect(other.event)
            for other in self._evidence.published
            if other.event.email == event.email
        )

    def _check_outage(self) -> None:
        outage, verdict = self._evidence.outage, self._verdict
        if not outage.ended_at:
            return
        if outage.calls > outage.most_calls:
            verdict.add(
                Promise.OUTAGE, f"{outage.calls} calls, more than the {outage.most_calls} of the breakers"
            )
        after = [
            each["effect_at"] - outage.ended_at
            for each in self._evidence.requests
            if each["effect"] and each["effect_at"] > outage.ended_at
        ]
        verdict.drained_s = max(after, default=0.0)
        # A probe that had no answer is let settle first.
        allowed_s = DELAY_STEP_S + SETTLING_S + outage.waiting / self._evidence.events_per_s + _NOISE_S
        if verdict.drained_s > allowed_s:
            verdict.add(
                Promise.OUTAGE,
                f"the last lead came {verdict.drained_s:.0f} s after it, not within {allowed_s:.0f}",
            )


def _has_no_answer(request: _Request) -> bool:
    """Whether the function can't know what the request has done, or still will do."""
    status, fault = request["status"], request["fault"]
    if status and 400 <= status < 500 and status != 408:
        return False  # the status alone says that it was refused, whatever comes with it
    if fault == "delay" and request["effect_at"]:
        return bool(request["effect_at"] - request["at"] >= READ_TIMEOUT_S)
    return fault in _FAULTS_WITHOUT_ANSWER or status is None or status == 408 or status >= 500


def _was_taken(request: _Request) -> bool:
    """Whether the request had its effect and the function could read so."""
    return bool(request["effect"]) and not _has_no_answer(request)
