"""Runs tasks one at a time, in an order that is chosen and not left to chance, on a clock of its own.

Each task has a thread, but only the one that was handed control runs: it gives it back when it waits for a
time, waits for other tasks, or lets another environment go first.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Killed(BaseException):
    """Ends a task whose execution environment was killed; the function's `except Exception` lets it pass."""


@dataclass(frozen=True, slots=True)
class Option:
    """What may happen at a step. The first option of each step is that all goes well, which costs nothing."""

    name: str
    faults: int = 0
    turns: int = 0


WELL = Option("well")


class Chooser(Protocol):
    """Decides what happens."""

    def choose(self, decision: int, options: Sequence[Option]) -> int:
        """The index of an option; `decision` counts the steps of this history that have options."""


class Deviations:
    """All goes well, except at the given decisions."""

    def __init__(self, deviations: Mapping[int, int]) -> None:
        self._deviations = deviations

    def choose(self, decision: int, options: Sequence[Option]) -> int:
        """An option that isn't there (in a history that is being shrunk) counts as "well"."""
        chosen = self._deviations.get(decision, 0)
        return chosen if chosen < len(options) else 0


class Task:
    """Something that runs in an environment until it waits, for the time `wake_at` or for other tasks.

    `message_id`: the message that it attempts to deliver.
    """

    __slots__ = ("awaited", "environment", "is_over", "message_id", "wake_at", "worker")

    def __init__(self, environment: int, now: float) -> None:
        self.environment = environment
        self.wake_at = now
        self.awaited: Sequence[Task] = ()
        self.is_over = False
        self.message_id = ""
        self.worker: _Worker | None = None

    def is_ready(self, now: float) -> bool:
        """Whether it can run now."""
        return not self.is_over and self.wake_at <= now and all(task.is_over for task in self.awaited)


class _Worker(threading.Thread):
    """A thread that runs one task after another, because a new thread for each is slow."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.wake = threading.Lock()
        self.wake.acquire()
        self.job: Callable[[], None] = lambda: None

    def run(self) -> None:
        while True:
            self.wake.acquire()
            self.job()


_idle_workers: list[_Worker] = []


def _take_worker() -> _Worker:
    if _idle_workers:
        return _idle_workers.pop()
    worker = _Worker()
    worker.start()
    return worker


class Tasks:
    """The tasks of one history. All methods but `start` are called by the task that runs now."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._control = threading.Lock()
        self._control.acquire()
        self._bodies: dict[Task, Callable[[], None]] = {}
        self._tasks: list[Task] = []
        self.running: Task | None = None
        self.is_over: Callable[[int], bool] = lambda _environment: False

    def start(self, environment: int, body: Callable[[], None]) -> Task:
        """Adds a task, which runs when its turn comes."""
        task = Task(environment, self._clock())
        self._bodies[task] = body
        self._tasks.append(task)
        return task

    def ready(self) -> list[Task]:
        """The tasks that can run now, the oldest first."""
        now = self._clock()
        return [task for task in self._tasks if task.is_ready(now)]

    def of(self, environment: int) -> list[Task]:
        """The tasks of an environment that are not over."""
        return [task for task in self._tasks if task.environment == environment]

    def next_wake(self) -> float | None:
        """When the next waiting task can go on."""
        return min((task.wake_at for task in self._tasks if task.wake_at > self._clock()), default=None)

    def resume(self, task: Task) -> None:
        """Lets the task run until it waits, hands over or is over. Called by the scheduler's own thread."""
        self.running = task
        if task.worker is None:
            task.worker = _take_worker()
            task.worker.job = lambda: self._run(task)
        task.worker.wake.release()
        self._control.acquire()
        self.running = None
        if task.is_over:
            self._tasks.remove(task)

    def pause(self) -> None:
        """Hands control back; returns when this task's turn comes again. Raises `Killed`."""
        task = self.running
        assert task is not None
        assert task.worker is not None
        worker = task.worker
        self._control.release()
        worker.wake.acquire()
        if self.is_over(task.environment):
            raise Killed

    def sleep(self, seconds: float) -> None:
        """Waits for a time to pass."""
        assert self.running is not None
        self.running.wake_at = self._clock() + seconds
        self.pause()

    def wait_for(self, tasks: Sequence[Task]) -> None:
        """Waits until the tasks are over."""
        assert self.running is not None
        self.running.awaited = tasks
        self.pause()

    def _run(self, task: Task) -> None:
        worker = task.worker
        assert worker is not None
        try:
            self._bodies.pop(task)()
        finally:
            task.is_over = True
            _idle_workers.append(worker)
            self._control.release()
