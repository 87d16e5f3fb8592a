"""Counts and latencies of the calls out of the function, noted by the threads that make them."""

import threading
from collections import Counter
from http import HTTPStatus

from ..contract import Metric

_CLASSES = {2: Metric.ANSWERED_2XX, 4: Metric.ANSWERED_4XX, 5: Metric.ANSWERED_5XX}


class CallTally:
    """Counts calls between two drains. Safe under threads, which Powertools' `Metrics` is not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Metric] = Counter()
        self._latencies_ms: list[int] = []

    def count(self, name: Metric) -> None:
        """Counts one more of these."""
        with self._lock:
            self._counts[name] += 1

    def note_answer(self, status: int, latency_s: float) -> None:
        """Counts an answered call of the leads API. A 3xx has no metric of its own: it is `Blocked`."""
        is_throttled = status == HTTPStatus.TOO_MANY_REQUESTS
        name = Metric.ANSWERED_429 if is_throttled else _CLASSES.get(status // 100)
        with self._lock:
            self._latencies_ms.append(round(latency_s * 1000))
            if name is not None:
                self._counts[name] += 1

    def drain(self) -> tuple[Counter[Metric], list[int]]:
        """The counts, and the milliseconds of each answered call, since the last drain."""
        with self._lock:
            drained = self._counts, self._latencies_ms
            self._counts, self._latencies_ms = Counter(), []
        return drained
