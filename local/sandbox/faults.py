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
    limited             takes `calls_per_second`, and `burst` (default: 1) at once; answers `status` (default:
                        429) to the others, with a `Retry-After` if `retry_after` is "seconds" or "date": when
                        it takes the next call, in whole seconds
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Protocol

_LEADS = frozenset({"create", "update", "stop_followup", "list_assistants"})
_ALL = _LEADS | {"token"}
_OPERATIONS = {"any": _ALL, "leads": _LEADS, **{one: frozenset({one}) for one in sorted(_ALL)}}
_KINDS_WITHOUT_EFFECT = {"status", "cut_before", "revoked_token", "limited"}
_HEADER = re.compile(r"[A-Za-z0-9-]+: [ -~]*")
# Whether a value is accepted, and what it must be, in words.
_Check = tuple[Callable[[Any], bool], str]


def _whole(least: int, most: int) -> _Check:
    words = f"a whole number from {least} to {most}"
    return lambda value: type(value) is int and least <= value <= most, words


def _number(least: float, most: float) -> _Check:
    words = f"a number from {least} to {most}"
    return lambda value: type(value) in (int, float) and least <= value <= most, words


def _are_headers(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, dict) and all(
        isinstance(text, str) and _HEADER.fullmatch(f"{name}: {text}") for name, text in value.items()
    )


_FLAG: _Check = (lambda value: isinstance(value, bool), "true or false")
_CHECKS: Mapping[str, _Check] = {
    "operation": (
        lambda value: isinstance(value, str) and value in _OPERATIONS,
        f"one of {', '.join(_OPERATIONS)}",
    ),
    "email": (lambda value: value is None or isinstance(value, str), "a text or null"),
    "rate": _number(0, 1),
    "times": (
        lambda value: value is None or (type(value) is int and value >= 1),
        "a whole number from 1, or null for no limit",
    ),
    "status": _whole(200, 599),
    "headers": (_are_headers, "an object of header names and their texts, in ASCII"),
    "body": (lambda _: True, "any JSON"),
    "stored": _FLAG,
    "seconds": _number(0, 600),
    "part": (lambda value: value in ("headers", "body"), "headers or body"),
    "megabytes": _whole(1, 1024),
    "gzip": _FLAG,
    "calls_per_second": _number(0.001, 10_000),
    "burst": _number(1, 10_000),
    "retry_after": (lambda value: value in ("", "seconds", "date"), "seconds or date"),
}
# What a fault of each kind must have, and what it may have.
_KINDS: Mapping[str, tuple[set[str], set[str]]] = {
    "status": ({"status"}, {"headers", "body", "stored"}),
    "delay": ({"seconds"}, set()),
    "late": ({"seconds"}, {"status"}),
    "cut_before": (set(), set()),
    "cut_after": (set(), set()),
    "wrong_content_type": (set(), set()),
    "drip": ({"part", "seconds"}, set()),
    "huge": ({"megabytes"}, {"gzip"}),
    "revoked_token": (set(), set()),
    "limited": ({"calls_per_second"}, {"burst", "status", "retry_after"}),
}


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
    burst: float = 1
    status: int = 429
    retry_after: str = ""
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
        written = {"seconds": str(wait_s), "date": formatdate(math.ceil(now + wait_s), usegmt=True)}
        headers = {"Retry-After": written[self.retry_after]} if self.retry_after else {}
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
    rule: dict[str, Any] = {"rate": 1, "email": None, "times": None}
    rule |= _object(value, {"operation", "fault", *rule}, where)
    for name in ("operation", "email", "rate", "times"):
        _require(rule, name, f"{where}: {name}")
    operations, fault = _OPERATIONS[rule["operation"]], _read_fault(rule.get("fault"), f"{where}: fault")
    if fault.kind == "revoked_token" and "token" in operations:
        raise FaultRuleError(f"{where}: revoked_token needs an operation of the leads API")
    return Rule(operations, rule["email"], rule["rate"], rule["times"], fault)


def _read_fault(value: object, where: str) -> Fault | _Limit:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FaultRuleError(f"{where}.kind must be one of {', '.join(_KINDS)}")
    needed, optional = _KINDS[kind]
    fault = _object(value, {"kind"} | needed | optional, where)
    for name in sorted(needed | (fault.keys() - {"kind"})):
        _require(fault, name, f"{where}.{name}")
    if kind == "limited":
        return _Limit(**fault)
    return Fault(**({"body": _phrase(fault["status"])} if "status" in fault else {}) | fault)


def _require(found: Mapping[str, Any], name: str, where: str) -> None:
    accepts, must_be = _CHECKS[name]
    if not accepts(found.get(name)):
        raise FaultRuleError(f"{where} must be {must_be}")


def _phrase(status: int) -> dict[str, str]:
    """The body of an answer whose rule gives none."""
    return {"message": HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"}


def _object(value: object, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FaultRuleError(f"{where} must be a JSON object")
    unknown = sorted(value.keys() - known)
    if unknown:
        raise FaultRuleError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return value
