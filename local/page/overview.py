"""The figures of the run, looked at once a second for everybody who has the page open."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from local.page.history import Attempt, History
from local.page.queues import count_parked, waiting_messages
from local.page.switch import DESCRIPTIONS, UP, Switch
from local.stack.deployment import Deployment

_INTERVAL_S = 1.0
BAR_S = 5
BARS = 36
# With more, looking at each of them every second would keep the emulator from its work.
_MOST_LOOKED_AT = 500
_LATEST = 8


class Overview:
    """Looks from `start` to `stop`; `lock` guards `history`."""

    def __init__(self, deployment: Deployment, switch: Switch) -> None:
        self.history = History()
        self.lock = threading.Lock()
        self._deployment, self._switch = deployment, switch
        self._changed = threading.Condition()
        self._woken, self._stopping = threading.Event(), False
        self._started_at = time.time()
        self._at_7targets = 0
        self._waiting: dict[int, int] = {}
        self._retried: list[str] = []
        self._number, self._figures = 0, dict[str, Any]()
        self._thread = threading.Thread(target=self._look_again_and_again, name="page", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def look_soon(self) -> None:
        """Looks at once, without waiting for the second to be over."""
        self._woken.set()

    def follow_retry(self, message_ids: list[str]) -> None:
        """From now on the figures show what becomes of these messages, which were parked before."""
        self._retried = message_ids
        self.look_soon()

    @property
    def figures(self) -> dict[str, Any]:
        """The figures as of the last look."""
        return self._figures

    def stream(self) -> Iterator[dict[str, Any]]:
        """The figures now, and again after each look; ends with `stop`."""
        seen = 0
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._number != seen)  # noqa: B023
                seen, figures = self._number, self._figures
            yield figures

    def look(self) -> None:
        """Reads all figures; if the run doesn't answer, they stay as they were, with the problem."""
        try:
            with self.lock:
                figures = self._look()
        except (ClientError, BotoCoreError, requests.RequestException, OSError) as error:
            figures = self._figures | {"problem": f"The run doesn't answer: {type(error).__name__}"}
        with self._changed:
            self._figures, self._number = figures, self._number + 1
            self._changed.notify_all()

    def _look_again_and_again(self) -> None:
        while not self._stopping:
            self._woken.wait(_INTERVAL_S)
            self._woken.clear()
            self.look()

    def _look(self) -> dict[str, Any]:
        history, now = self.history, time.time()
        if history.read(self._deployment):
            with contextlib.suppress(requests.RequestException):
                self._at_7targets = int(self._deployment.sandbox.summary()["leads"])
        waiting = self._deployment.lead_queue_count()
        self._waiting[int(now) // BAR_S] = waiting
        parked = count_parked(self._deployment)
        ends = Counter(history.ends.values())
        lost = history.lost_answers
        return {
            "now": now,
            "startedAt": self._started_at,
            "problem": "",
            "sentence": self._sentence(waiting, parked),
            # What is parked is counted where it is, because a person may have sent it again.
            "cameIn": ends["delivered"] + ends["duplicate"] + waiting + parked,
            "delivered": ends["delivered"],
            "duplicates": ends["duplicate"],
            "waiting": waiting,
            "nextDueAt": self._next_due(waiting, now),
            "at7Targets": self._at_7targets,
            "parked": parked,
            "retried": Counter(history.ends_by_message.get(each, "waiting") for each in self._retried),
            "createdAgain": history.created_again,
            "answersLost": len(lost),
            "lostExample": lost[-1].email if lost else "",
            "mode": self._switch.mode,
            "periods": [vars(period) for period in self._switch.periods],
            "chart": self._chart(now),
            "latest": list(self._latest()),
        }

    def _next_due(self, waiting: int, now: float) -> int | None:
        if not 0 < waiting <= _MOST_LOOKED_AT:
            return None
        due = [each.visible_at for each in waiting_messages(self._deployment)]
        return min((at for at in due if at >= int(now)), default=None)

    def _sentence(self, waiting: int, parked: int) -> str:
        mode = self._switch.mode
        leads = "1 lead waits" if waiting == 1 else f"{waiting} leads wait"
        if mode != UP:
            return f"The API {DESCRIPTIONS[mode]}. {leads}; none is lost."
        if waiting:
            return f"Leads flow: {leads} and will go {'by itself' if waiting == 1 else 'by themselves'}."
        people = f" {parked} parked, for a person to look at." if parked else ""
        return f"All that came in is where it belongs.{people}"

    def _chart(self, now: float) -> dict[str, Any]:
        """Bars of `BAR_S` seconds: attempts by kind, and how many leads waited at its end."""
        last = int(now) // BAR_S
        first = last - BARS + 1
        counts: dict[int, Counter[str]] = {}
        for attempt in _since(self.history.attempts, first * BAR_S):
            counts.setdefault(int(attempt.at) // BAR_S, Counter())[attempt.kind] += 1
        self._waiting = {bar: count for bar, count in self._waiting.items() if bar >= first}
        bars: list[dict[str, int]] = []
        for bar in range(first, last + 1):
            # A busy machine may have had no look in these seconds.
            before = bars[-1]["waiting"] if bars else 0
            bars.append({**counts.get(bar, {}), "waiting": self._waiting.get(bar, before)})
        return {"barS": BAR_S, "start": first * BAR_S, "bars": bars}

    def _latest(self) -> Iterator[dict[str, Any]]:
        for request in self.history.latest_leads(_LATEST):
            attempts = self.history.attempts_of(request.email)
            yield {
                "at": request.at,
                "email": request.email,
                "operation": request.operation,
                "kind": attempts[-1].kind if attempts else "later",
                "lostAnswer": any(each.answer_was_lost for each in self.history.requests_of(request.email)),
            }


def _since(attempts: list[Attempt], start: float) -> Iterator[Attempt]:
    """Goes from the newest attempt back; lines of two batches may be a second out of order."""
    for attempt in reversed(attempts):
        if attempt.at < start - BAR_S:
            return
        if attempt.at >= start:
            yield attempt
