"""The circuit breaker of an execution environment: while the API is down, only probes call it."""

import threading
import time
from collections.abc import Callable
from enum import Enum

from .outcome import BreakerOpenError

FAULTS_TO_OPEN = 5  # of different leads, so that a few that always fail don't stop all others
PROBE_GROWTH = 2


class Evidence(Enum):
    """What an attempt shows of the API that all leads share."""

    HEALTHY = "healthy"
    FAULT = "fault"
    NONE = "none"


class CircuitBreaker:
    """Opens after shared faults of five leads in a row; then lets one lead through per interval as a probe.

    The interval starts at `first_interval_s` and doubles with every failed probe up to `longest_interval_s`.
    While a probe is under way, the other leads of the batch wait for its end. That costs nothing, because the
    invocation lasts as long as the probe anyway, and lets them all through when it succeeds. Safe under
    threads.
    """

    def __init__(
        self,
        first_interval_s: float,
        longest_interval_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._first_interval_s = first_interval_s
        self.longest_interval_s = longest_interval_s
        self._clock = clock
        self._changed = threading.Condition()
        self._failed: set[str] = set()
        self._interval_s = first_interval_s
        self._probe_at = 0.0
        self._probing = False
        self._cause = ""

    @property
    def is_open(self) -> bool:
        """Whether the API counts as down."""
        return len(self._failed) >= FAULTS_TO_OPEN

    def admit(self, patience_s: float) -> bool:
        """Returns whether this attempt is the probe; every `admit` needs its `note`.

        Raises `BreakerOpenError` while the API counts as down; waits at most `patience_s` for a probe's end.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._probing, timeout=max(0.0, patience_s))
            if len(self._failed) < FAULTS_TO_OPEN:
                return False
            if self._probing or self._clock() < self._probe_at:
                raise BreakerOpenError(f"not tried, because all attempts fail: {self._cause}")
            self._probing = True
            return True

    def note(self, is_probe: bool, evidence: Evidence, subject: str = "", cause: str = "") -> None:
        """Notes how an admitted attempt ended.

        `subject`: what faults are counted by, the lead, or its assistant if a 403 is about that.
        `cause` is free of personal data.
        """
        with self._changed:
            if evidence is Evidence.HEALTHY:
                self._failed.clear()
                self._interval_s = self._first_interval_s
            elif evidence is Evidence.FAULT:
                self._count_fault(is_probe, subject, cause)
            if is_probe:
                self._probing = False
                self._changed.notify_all()

    def _count_fault(self, is_probe: bool, subject: str, cause: str) -> None:
        was_open = self.is_open
        if not was_open:
            self._failed.add(subject)
        self._cause = cause
        if is_probe:
            self._interval_s = min(self._interval_s * PROBE_GROWTH, self.longest_interval_s)
        if is_probe or (self.is_open and not was_open):
            self._probe_at = self._clock() + self._interval_s
