"""Times as people and as scripts read them, and lengths of time as people type them."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def iso(epoch_s: float | None) -> str | None:
    """In UTC, to the second."""
    if not epoch_s:
        return None
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(epoch_s: float) -> str:
    """In UTC, to the millisecond, as the function writes it."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")


def epoch(text: str | None) -> float | None:
    """Of an ISO time; None for what is no time or has no offset from UTC."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def how_long(seconds: float) -> str:
    """In the largest unit of which there are at least two: "2 days", "32 hours"."""
    seconds = max(0, round(seconds))
    for size, units in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {units}"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


def ago(epoch_s: float | None) -> str:
    """How long ago that was, or "-"."""
    return f"{how_long(time.time() - epoch_s)} ago" if epoch_s else "-"


class Length(click.ParamType[float]):
    """A length of time such as 90s, 45m, 12h, 2d or 1w; in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+)([smhdw])", str(value))
        if not match:
            self.fail(f"{value!r} is not a length of time such as 45m, 12h or 2d", param, ctx)
        return float(match[1]) * _UNITS_S[match[2]]
