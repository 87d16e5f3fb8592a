"""When a lead event that could not be delivered is tried again. Pure: no clock, no I/O, no randomness."""

import math

from .contract import LATE_FACTOR, LONGEST_RETRY_AFTER_S

LATE_AGE_S = 24 * 3600
# SQS: a visibility timeout ends 12 hours after the receive at the latest; a longer one is refused.
LONGEST_VISIBILITY_S = 43_200 - 900
LINE_AGE_PART = 16


def retry_delay_s(
    receive_count: int,
    age_s: float,
    *,
    base_s: int,
    max_s: int,
    jitter: float,
    retry_after_s: float | None = None,
) -> int:
    """Seconds until the next attempt: `base_s` doubled at every receive, at most `max_s`.

    After the first 24 hours of a message's age the ceiling is four times `max_s`. `jitter` from 0 to 1 takes
    off up to half, so that leads that failed together don't come back together. What the API asked for in
    `Retry-After` is honoured up to one hour.
    """
    ceiling = max_s * (LATE_FACTOR if age_s >= LATE_AGE_S else 1)
    ladder = min(ceiling, base_s << min(max(receive_count, 1) - 1, 20))
    delay = ladder * (1 - jitter / 2)
    if retry_after_s is not None:
        delay = max(delay, min(retry_after_s, LONGEST_RETRY_AFTER_S))
    return max(1, min(round(delay), LONGEST_VISIBILITY_S))


def line_delay_s(place_s: float, age_s: float, *, max_s: int, jitter: float) -> int:
    """Seconds until a lead comes back for which the API had no room: its place in the line (`pace.py`).

    At least a sixteenth of the lead's age, up to `max_s`, so that days of waiting don't use up its receives;
    `jitter` from 0 to 1 takes off up to a third of that.
    """
    least_s = min(max_s, age_s / LINE_AGE_PART) * (1 - jitter / 3)
    return max(1, min(max(math.ceil(place_s), round(least_s)), LONGEST_VISIBILITY_S))
