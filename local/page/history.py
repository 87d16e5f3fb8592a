"""What has happened in the run so far: the function's attempts, and the requests that reached the sandbox."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import idna
import requests

from local.stack.deployment import QUICK_SETTINGS, Deployment

# A log line's time is cut off at the millisecond, so it would seem to be earlier than the request before it.
_CUT_OFF_S = 0.000999
# The names are written again here, because what watches the function shares no code with it.
_ANSWER_NEVER_CAME = frozenset({"cut_after", "late", "wrong_content_type", "huge"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as the function's log line reports it; `at` is the epoch second of the line.

    `delay_s` is None when the message left the lead queue.
    """

    at: float
    outcome: str
    message_id: str
    event_id: str
    parked: bool = False
    operation: str = ""
    source: str = ""
    lead: str = ""
    lead_id: str = ""
    lead_state: str = ""
    reason: str = ""
    receive_count: int = 1
    delay_s: int | None = None

    @classmethod
    def from_line(cls, line: str) -> "Attempt | None":
        """The attempt of a log line; None for any other line."""
        if not line.startswith("{") or '"message":"attempt"' not in line:
            return None
        try:
            read: dict[str, Any] = json.loads(line)
        except ValueError:  # two environments wrote at once
            return None
        moment = datetime.strptime(read["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
        known = {name: read[name] for name in cls.__dataclass_fields__ if name in read}
        return cls(
            **{**known, "at": moment.timestamp() + _CUT_OFF_S, "lead_id": str(read.get("lead_id", ""))}
        )

    @property
    def kind(self) -> str:
        """`delivered`, `duplicate`, `parked`, or `later`: it comes back."""
        if self.parked:
            return "parked"
        return "later" if self.delay_s is not None else self.outcome


@dataclass(frozen=True, slots=True)
class Request:
    """A request to the leads API. `status` is None when the connection was cut."""

    at: float
    operation: str
    email: str
    status: int | None = None
    fault: str | None = None
    effect: str | None = None
    effect_at: float | None = None

    @property
    def answer_was_lost(self) -> bool:
        """Whether the request took effect and the function couldn't read the answer."""
        if not self.effect:
            return False
        took_s = (self.effect_at or self.at) - self.at
        is_readable = self.status is not None and 200 <= self.status < 300
        is_late = took_s > float(QUICK_SETTINGS["readTimeoutSeconds"])
        return self.fault in _ANSWER_NEVER_CAME or not is_readable or is_late


def one_form(email: str) -> str:
    """What is equal for all texts of one address, as the function sends it: its domain in punycode."""
    local_part, at, domain = email.strip().lower().rpartition("@")
    with suppress(UnicodeError):
        domain = idna.encode(domain, uts46=True).decode()
    return local_part + at + domain


def hash_address(email: str) -> str:
    """The hash by which ledger and log name a lead."""
    return hashlib.sha256(one_form(email).encode()).hexdigest()


@dataclass
class History:
    """Grows with each `read`; nothing is read twice. For one thread at a time.

    `ends` has the kind of attempt with which each event left the lead queue, `ends_by_message` each message.
    """

    attempts: list[Attempt] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    ends_by_message: dict[str, str] = field(default_factory=dict)
    created_again: int = 0
    lost_answers: list[Request] = field(default_factory=list)
    _attempts_by_lead: defaultdict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _requests_by_address: defaultdict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    _log_position: int = 0
    _last_seq: int = 0

    def read(self, deployment: Deployment) -> bool:
        """Reads what is new; returns whether the sandbox answered, which it doesn't while it is down."""
        text, self._log_position = deployment.emulator.output_since(self._log_position)
        for attempt in filter(None, map(Attempt.from_line, text.splitlines())):
            self._add_attempt(attempt)
        try:
            received = deployment.sandbox.requests(self._last_seq)
        except requests.RequestException:
            return False
        for row in received:
            self._last_seq = row["seq"]
            if row["operation"] in {"create", "update", "stop_followup"}:
                self._add_request(row)
        return True

    def attempts_of(self, email: str) -> list[Attempt]:
        return list(self._attempts_by_lead.get(hash_address(email), ()))

    def requests_of(self, email: str) -> list[Request]:
        return list(self._requests_by_address.get(one_form(email), ()))

    def latest_leads(self, count: int) -> Iterator[Request]:
        """The last request of each of the leads that were sent last, the newest first."""
        seen: set[str] = set()
        for request in reversed(self.requests):
            if len(seen) == count:
                return
            if request.email not in seen:
                seen.add(request.email)
                yield request

    def _add_attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        if attempt.lead:
            self._attempts_by_lead[attempt.lead].append(attempt)
        if attempt.delay_s is None:
            self.ends_by_message[attempt.message_id] = attempt.kind
            # A message that was parked and sent again has another id, but its event's. One that SQS brings
            # again after its delivery repeats nothing that a producer has sent.
            if self.ends.get(attempt.event_id) != "delivered":
                self.ends[attempt.event_id] = attempt.kind

    def _add_request(self, row: Mapping[str, Any]) -> None:
        email = one_form(str(row["email"] or ""))
        names = ("at", "operation", "status", "fault", "effect", "effect_at")
        request = Request(email=email, **{name: row[name] for name in names})
        self.requests.append(request)
        self._requests_by_address[email].append(request)
        self.created_again += request.effect == "created_again"
        if request.operation == "create" and request.answer_was_lost:
            self.lost_answers.append(request)
