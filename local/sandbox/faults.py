"""Faults the sandbox commits on purpose: the rules as JSON, and the draw for each request.

A rule: {"operation": …, "email": …, "rate": 0..1, "times": n, "fault": {"kind": …}}, where `operation` and
`fault` are mandatory. The first rule that fits, has turns left and whose draw hits decides. The kinds:

    status              answers `status` (200-599), `headers`, `body`; with `stored` the call takes effect too
    delay               waits for `seconds` (0-600), then handles the request as usual
    late                answers `status` at once, or closes the connection if there is none; the call takes
                        effect `seconds` (0-600) after that
    cut_before          closes the connection before the call takes effect
    cut_after           the call takes effect, then the connection is closed without an answer
    wrong_content_type  the call takes effect; its status is answered with an HTML page
    drip                the call takes effect; its answer comes in single bytes, one each `seconds`, from its
                        first byte ("part": "headers") or from its body on ("part": "body")
    huge                the call takes effect; its answer is followed by `megabytes` (1-1024) of white space,
                        which is good JSON still; with `gzip` all of it is compressed to a thousandth
    revoked_token       401 for this request, whatever its token
    limited             takes `calls_per_second`, and `burst` (default: 1) at once; answers `status` (429, the
                        default, or 503) to the others, with a `Retry-After` if `retry_after` is "seconds" or
                        "date": when it takes the next call, in whole seconds
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

_LEADS = frozenset({"create", "update", "stop_followup", "list_assistants"})
_ALL = _LEADS | {"token"}
_OPERATIONS = {"any": _ALL, "leads": _LEADS, **{one: frozenset({one}) for one in sorted(_ALL)}}
_KEYS_OF_KIND = {
    "status": {"status", "headers", "body", "stored"},
    "delay": {"seconds"},
    "late": {"seconds", "status"},
    "cut_before": set[str](),
    "cut_after": set[str](),
    "wrong_content_type": set[str](),
    "drip": {"part", "seconds"},
    "huge": {"megabytes", "gzip"},
    "revoked_token": set[str](),
    "limited": {"calls_per_second", "burst", "status", "retry_after"},
}
_KINDS_WITHOUT_EFFECT = {"status", "cut_before", "revoked_token", "limited"}
_HIGHEST_LIMIT = 10_000
_LONGEST_S = 600
_LARGEST_MEGABYTES = 1024
_HEADER = re.compile(r"[A-Za-z0-9-]+: [ -~]*")


class FaultRuleError(ValueError):
    """A fault rule that can't be used; its text names the rule and the key."""


@dataclass(frozen=True)
class Fault:
    """One fault to commit; the fields after `kind` belong to the kinds that name them. No `status` is 0."""

    kind: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: object = None
    stored: bool = False
    seconds: float = 0.0
    part: str = ""
    megabytes: int = 0
    gzip: bool = False

    @property
    def takes_effect(self) -> bool:
        """Whether the API handles the request all the same."""
        return self.stored or self.kind not in _KINDS_WITHOUT_EFFECT


@dataclass
class _Limit:
    """A bucket that holds `burst` calls and gets `calls_per_second` more."""

    calls_per_second: float
    burst: float
    status: int
    retry_after: str
    kind: str = "limited"
    _left: float = math.inf
    _at_s: float = 0.0

    def draw(self) -> Fault | None:
        """None for a call that it takes."""
        now = time.time()
        self._left = min(self.burst, self._left + (now - self._at_s) * self.calls_per_second)
        self._at_s = now
        if self._left >= 1:
            self._left -= 1
            return None
        wait_s = math.ceil((1 - self._left) / self.calls_per_second)
        told = {"seconds": str(wait_s), "date": formatdate(math.ceil(now + wait_s), usegmt=True)}
        headers = {"Retry-After": told[self.retry_after]} if self.retry_after else {}
        return Fault("limited", self.status, headers, _phrase(self.status))


@dataclass(frozen=True)
class Rule:
    """When to commit a fault; without `times` as often as it fits."""

    operations: frozenset[str]
    email: str | None
    rate: float
    times: int | None
    fault: Fault | _Limit

    def fits(self, operation: str, email: str | None) -> bool:
        return operation in self.operations and self.email in {None, email}


class FaultRules(Protocol):
    """The rules in force."""

    def clear(self) -> None:
        """Removes all rules."""

    def replace(self, rules: object) -> None:
        """Replaces all rules; raises FaultRuleError and changes nothing if one of the new ones is wrong."""

    def draw(self, operation: str, email: str | None) -> Fault | None:
        """The fault this request meets, None for none."""


class Faults:
    """The rules of one process. Draws come from one `random.Random(seed)`, in the order of the requests."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Starts the draws from the seed again, too."""
        with self._lock:
            self._rules: list[Rule] = []
            self._turns: list[int] = []
            self._random = random.Random(self._seed)  # noqa: S311 - draws faults, guards nothing

    def replace(self, rules: object) -> None:
        parsed = read_rules(rules)
        with self._lock:
            self._rules, self._turns = parsed, [0] * len(parsed)

    def draw(self, operation: str, email: str | None) -> Fault | None:
        with self._lock:
            for place, rule in enumerate(self._rules):
                has_turns = rule.times is None or self._turns[place] < rule.times
                if rule.fits(operation, email) and has_turns and self._random.random() < rule.rate:
                    fault = rule.fault.draw() if isinstance(rule.fault, _Limit) else rule.fault
                    if fault:
                        self._turns[place] += 1
                        return fault
        return None


def read_rules(rules: object) -> list[Rule]:
    """The rules of a request's body. Raises `FaultRuleError`."""
    if not isinstance(rules, list):
        raise FaultRuleError("the body must be a JSON list of fault rules")
    return [_read_rule(rule, f"rule {number}") for number, rule in enumerate(rules, 1)]


def _read_rule(value: object, where: str) -> Rule:
    rule = _object(value, {"operation", "email", "rate", "times", "fault"}, where)
    operation, email, times = rule.get("operation"), rule.get("email"), rule.get("times")
    if not isinstance(operation, str) or operation not in _OPERATIONS:
        raise FaultRuleError(f"{where}: operation must be one of {', '.join(_OPERATIONS)}")
    if email is not None and not isinstance(email, str):
        raise FaultRuleError(f"{where}: email must be a text or null")
    if times is not None and (type(times) is not int or times < 1):
        raise FaultRuleError(f"{where}: times must be a whole number from 1, or null for no limit")
    rate = _number(rule.get("rate", 1), 1, f"{where}: rate")
    fault = _read_fault(rule.get("fault"), f"{where}: fault")
    if isinstance(fault, Fault) and fault.kind == "revoked_token" and "token" in _OPERATIONS[operation]:
        raise FaultRuleError(f"{where}: revoked_token needs an operation of the leads API")
    return Rule(_OPERATIONS[operation], email, rate, times, fault)


def _read_fault(value: object, where: str) -> Fault | _Limit:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KEYS_OF_KIND:
        raise FaultRuleError(f"{where}.kind must be one of {', '.join(_KEYS_OF_KIND)}")
    fault = _object(value, {"kind"} | _KEYS_OF_KIND[kind], where)
    match kind:
        case "status":
            return _read_status_fault(fault, where)
        case "limited":
            return _read_limit(fault, where)
        case "huge":
            return _read_huge_fault(fault, where)
        case "late":
            status = _status(fault["status"], where) if "status" in fault else 0
            return Fault(kind, status, body=_phrase(status), seconds=_seconds(fault, where))
        case "drip":
            part = fault.get("part")
            if part not in {"headers", "body"}:
                raise FaultRuleError(f"{where}.part must be headers or body")
            return Fault(kind, part=str(part), seconds=_seconds(fault, where))
        case "delay":
            return Fault(kind, seconds=_seconds(fault, where))
        case _:
            return Fault(kind)


def _read_status_fault(fault: dict[str, object], where: str) -> Fault:
    headers, status = fault.get("headers", {}), _status(fault.get("status"), where)
    if not isinstance(headers, dict) or not all(
        isinstance(value, str) and _HEADER.fullmatch(f"{name}: {value}") for name, value in headers.items()
    ):
        raise FaultRuleError(f"{where}.headers must be an object of header names and their texts, in ASCII")
    return Fault("status", status, headers, fault.get("body", _phrase(status)), _flag(fault, "stored", where))


def _read_limit(fault: dict[str, object], where: str) -> _Limit:
    a_second = _number(fault.get("calls_per_second"), _HIGHEST_LIMIT, f"{where}.calls_per_second")
    burst = _number(fault.get("burst", 1), _HIGHEST_LIMIT, f"{where}.burst")
    if a_second == 0 or burst < 1:
        raise FaultRuleError(f"{where}.calls_per_second must be more than 0, and burst at least 1")
    status, retry_after = fault.get("status", 429), fault.get("retry_after", "")
    if status not in (429, 503):
        raise FaultRuleError(f"{where}.status must be 429 or 503")
    if retry_after not in ("", "seconds", "date"):
        raise FaultRuleError(f"{where}.retry_after must be seconds or date")
    return _Limit(a_second, burst, _status(status, where), str(retry_after))


def _read_huge_fault(fault: dict[str, object], where: str) -> Fault:
    megabytes = fault.get("megabytes")
    if type(megabytes) is not int or not 1 <= megabytes <= _LARGEST_MEGABYTES:
        raise FaultRuleError(f"{where}.megabytes must be a whole number from 1 to {_LARGEST_MEGABYTES}")
    return Fault("huge", megabytes=megabytes, gzip=_flag(fault, "gzip", where))


def _seconds(fault: dict[str, object], where: str) -> float:
    return _number(fault.get("seconds"), _LONGEST_S, f"{where}.seconds")


def _status(value: object, where: str) -> int:
    if type(value) is not int or not 200 <= value <= 599:
        raise FaultRuleError(f"{where}.status must be a whole number from 200 to 599")
    return value


def _phrase(status: int) -> dict[str, str]:
    """The body of an answer whose rule gives none."""
    return {"message": HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"}


def _flag(fault: dict[str, object], name: str, where: str) -> bool:
    value = fault.get(name, False)
    if not isinstance(value, bool):
        raise FaultRuleError(f"{where}.{name} must be true or false")
    return value


def _object(value: object, known: set[str], where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise FaultRuleError(f"{where} must be a JSON object")
    unknown = sorted(value.keys() - known)
    if unknown:
        raise FaultRuleError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return value


def _number(value: object, highest: int, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        raise FaultRuleError(f"{where} must be a number from 0 to {highest}")
    return value
