"""The pace of an execution environment: how many calls a second it makes of an API that limits its callers.

The pace is for an API that is limited, the breaker (`breaker.py`) for one that is down. Clock, sleep and
chance are given. docs/decisions/0022-the-apis-own-rate.md says why it is as it is, with what it costs.
"""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from .contract import LONGEST_RETRY_AFTER_S
from .outcome import NoRoomError

# So long a lead waits within the invocation; for longer, the queue is cheaper.
PATIENCE_S = 3.0
LONGEST_WAIT_S = 3.6  # no sleep is exact
# Between two leads that come back, if turns are not closer still. Too many come back rather than too few,
# because a lead without a turn costs a receive, and a turn without a lead is lost.
PLACE_S = 0.125
# Leads that are further back come back in the line's second half, so that they soon see a limit that is over.
LONGEST_LINE_S = 60.0
# A pace that would be slower than this pauses, because other environments make better use of the limit.
SLOWEST = 1 / PATIENCE_S
LONGEST_PAUSE_S = 30.0
SHORT_RUN = 3
# What a call that is turned away leaves of the pace: `CUT_AGAIN` if none was taken since the last cut.
CUT, CUT_AGAIN = 0.9, 0.8
# By what part a call that is taken raises the pace. It balances the cuts if one call in 50 is turned away at
# one call a second, and one in 160 at ten. In a run of calls that were all taken it grows, because the limit
# may be gone; after a pause or the end of a `Retry-After` it is at its fastest, until a call is turned away.
GROWTH, FASTEST_GROWTH = 0.002, 0.25
LONG_RUN = 30
NO_LIMIT = 1000.0
# The calls of one second are spread over so many, because not every call takes the same time to the API: the
# first ones connect.
APART = 1.25


class Pace:
    """Learns a number of calls a second: more with each call that is taken, fewer when one is turned away.

    A caller lines up, waits for the turn of each of its calls, and leaves. `most`: the calls in any second,
    if that is known; if it is 0, there is no limit until a call is turned away. Safe under threads.
    """

    def __init__(
        self,
        most: int = 0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.RLock()
        self._ceiling = most / APART if most else math.inf
        self.calls_a_second = self._ceiling
        self._callers: set[object] = set()  # who has lined up
        self._next_s = 0.0  # before it, no call has its turn
        self._is_used_up = False  # whether the last turn was taken as soon as it came
        self._latest_s: deque[float] = deque(maxlen=64)  # of the last turns
        self._cut_s = 0.0  # when the pace was last cut
        self._run = 0  # calls taken since then
        self._after_pause = False  # whether that cut began a pause, or a `Retry-After` did
        self._closed_until_s = 0.0  # as `Retry-After` said
        self._booked_s = 0.0  # the last place in the line of leads without room
        self._cause = "callsPerSecond allows no more calls now"

    @property
    def is_limited(self) -> bool:
        """Whether calls wait for their turns."""
        return not math.isinf(self.calls_a_second)

    def has_room(self, calls: int) -> bool:
        """Whether so many more calls have their turns within `PATIENCE_S`."""
        with self._lock:
            return self._wait_s(len(self._callers) + calls - 1) <= PATIENCE_S

    def line_up(self, who: object, patience_s: float = PATIENCE_S) -> None:
        """Raises `NoRoomError` if the turn comes after more than `patience_s` or `PATIENCE_S`."""
        with self._lock:
            self._callers.discard(who)
            if self._wait_s(len(self._callers)) > min(patience_s, PATIENCE_S):
                raise NoRoomError(self._cause, self.book())
            self._callers.add(who)

    def leave(self, who: object) -> None:
        """Takes back `line_up`; does nothing for a caller that has not lined up."""
        with self._lock:
            self._callers.discard(who)

    def book(self) -> float:
        """After how many seconds a lead without room should come back: its place in the line of such leads.

        The line begins at the end that `Retry-After` said, or at once, because another environment may have a
        turn sooner. One that pauses would else keep the leads from those: it returns them at once, so it gets
        the next ones, too.
        """
        with self._lock:
            now = self._clock()
            front_s = max(now, self._closed_until_s)
            self._booked_s = max(self._booked_s, front_s) + min(PLACE_S, self._interval_s() / 2)
            at_s, end_s = self._booked_s, front_s + LONGEST_LINE_S
            if at_s > end_s:
                self._booked_s = end_s
                at_s = end_s - LONGEST_LINE_S / 2 * self._chance()
            return at_s - now

    def wait(self, who: object) -> None:
        """Returns at the turn. Callers have no order among them.

        Raises `NoRoomError` if the turn is not soon, or not any more.
        """
        self.line_up(who)
        until_s = self._clock() + LONGEST_WAIT_S
        while wait_s := self.turn(who):
            if self._clock() + wait_s > until_s:
                raise NoRoomError(self._cause, self.book())
            self._sleep(wait_s)

    def turn(self, who: object) -> float:
        """Zero if `who` is to make a call now, which ends its `line_up`; else when to ask again, in s."""
        with self._lock:
            if wait_s := self._wait_s(0):
                return wait_s
            now = self._clock()
            self._is_used_up = now - self._next_s < self._interval_s()
            self._next_s = now + self._interval_s()
            self._latest_s.append(now)
            self._callers.discard(who)
            return 0.0

    def note_taken(self) -> None:
        """The API took a call."""
        with self._lock:
            self._run += 1
            if not self._is_used_up:
                return  # so slow a call shows nothing of the limit
            balance = math.sqrt(self.calls_a_second)
            growth = GROWTH / balance * max(1.0, self._run / (LONG_RUN * balance)) ** 2
            growth = FASTEST_GROWTH if self._after_pause else min(FASTEST_GROWTH, growth)
            pace = self.calls_a_second * (1 + growth)
            self.calls_a_second = min(self._ceiling, pace if pace < NO_LIMIT else math.inf)

    def note_turned_away(self, began_s: float, closed_s: float | None, cause: str) -> None:
        """The API turned away a call that began at `began_s`; `closed_s`: its `Retry-After`, in seconds.

        `cause` goes into the reason of leads that wait, so it is free of personal data.
        A call that began before the last cut doesn't show that the cut was too small.
        """
        with self._lock:
            now, self._cause = self._clock(), cause
            if closed_s is not None:
                self._closed_until_s = max(self._closed_until_s, now + min(closed_s, LONGEST_RETRY_AFTER_S))
            if began_s < self._cut_s:
                return
            if self.is_limited:
                pace = self.calls_a_second * (CUT if self._run else CUT_AGAIN)
            else:
                pace = sum(now - at_s <= 1 for at_s in self._latest_s) / 2
            is_last = pace < SLOWEST and self._run < SHORT_RUN
            self.calls_a_second = min(self._ceiling, max(SLOWEST, pace))
            pause_s = LONGEST_PAUSE_S * (1 + self._chance()) / 2 if is_last else self._interval_s()
            self._next_s = max(self._next_s, now + pause_s)
            self._after_pause = is_last or (closed_s or 0.0) > PATIENCE_S
            self._cut_s = now
            self._run = 0

    def _interval_s(self) -> float:
        return 1 / self.calls_a_second

    def _wait_s(self, ahead: int) -> float:
        """Until the turn of a call that has so many ahead of it."""
        first_s = max(0.0, max(self._next_s, self._closed_until_s) - self._clock())
        return first_s + ahead * self._interval_s()
