"""The switch for the API: what the sandbox does to the function from now on."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from local.stack.deployment import Deployment

_SLOW_S = 3
_MODES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "up": ("answers at once", []),
    "slow": (
        f"takes {_SLOW_S} s for each answer",
        [{"operation": "leads", "fault": {"kind": "delay", "seconds": _SLOW_S}}],
    ),
    "loses answers": (
        "stores each new lead, then cuts the line before it answers",
        [{"operation": "create", "fault": {"kind": "cut_after"}}],
    ),
    "limited": (
        "takes one call a second and turns the others away",
        [{"operation": "leads", "fault": {"kind": "limited", "calls_per_second": 1}}],
    ),
    "503": (
        "answers 503 to everything and does nothing",
        [{"operation": "any", "fault": {"kind": "status", "status": 503}}],
    ),
    "down": ("can't be reached", []),
    "wrong secret": (
        "refuses the credentials: 400 invalid_client instead of a token",
        [
            {
                "operation": "token",
                "fault": {"kind": "status", "status": 400, "body": {"error": "invalid_client"}},
            },
            # Else the function would go on with the tokens that it has.
            {"operation": "leads", "fault": {"kind": "revoked_token"}},
        ],
    ),
}
DESCRIPTIONS = {mode: description for mode, (description, _) in _MODES.items()}
UP = "up"


class UnknownModeError(ValueError):
    """The text names the modes there are."""


@dataclass(frozen=True)
class Period:
    """The API was in this mode from `since` on, in epoch seconds."""

    mode: str
    since: float


class Switch:
    """Safe to share between threads. `periods` are all since the start, the last one lasts.

    Starts at `up`, whatever faults are set: nothing changes until somebody turns the switch.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._lock = threading.Lock()
        self._periods = [Period(UP, time.time())]

    @property
    def periods(self) -> list[Period]:
        return list(self._periods)

    @property
    def mode(self) -> str:
        return self._periods[-1].mode

    def turn(self, mode: str) -> None:
        """Replaces the sandbox's faults. Raises `UnknownModeError`."""
        if mode not in _MODES:
            raise UnknownModeError(f"mode must be one of {', '.join(_MODES)}")
        sandbox = self._deployment.sandbox
        with self._lock:
            if self.mode == "down" and mode != "down":
                sandbox.start()
            if mode == "down":
                sandbox.kill()
            else:
                sandbox.set_faults(_MODES[mode][1])
            if mode != self.mode:
                self._periods.append(Period(mode, time.time()))
