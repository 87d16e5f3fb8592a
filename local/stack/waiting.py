"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable


class NotInTimeError(Exception):
    """A condition did not become true before its deadline; the text says which."""


def wait_until(
    what: str, condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.1
) -> None:
    """Returns as soon as `condition` holds; raises `NotInTimeError` with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTimeError(f"{what}: not within {timeout_s:g} s")
        time.sleep(interval_s)
