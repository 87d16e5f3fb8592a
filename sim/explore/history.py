"""One history: a world, the function's environments in it, and what happens at each step to the end."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from deliver_leads.dynamodb_notation import plain
from sim.explore.core import Core
from sim.explore.environments import (
    ANSWER_FAULTS,
    BATCH_FAULTS,
    BROKEN,
    PARK_FAULTS,
    VISIBILITY_FAULTS,
    WRITE_FAULTS,
    Environment,
    Fault,
    Request,
    wait_for_lanes,
)
from sim.explore.judge import Judge, Seen
from sim.explore.outside import Lead, LeadQueue, LeadsModel, ParkedMessage, QueuedMessage, Table
from sim.explore.schedule import WELL, Chooser, Deviations, Killed, Option, Task, Tasks
from sim.explore.worlds import ASSISTANT, EARLIER, EMAIL, OTHER, OTHER_ASSISTANT, Before, World
from sim.settings import ENVIRONMENT

START = 1_800_000_000.0
# The shortest time-out that leaves room for two calls, and a visibility time-out that outlasts the lease of a
# killed environment, as the deployed one does: others would only add attempts in which nothing happens.
FUNCTION_TIMEOUT_S = 104
VISIBILITY_TIMEOUT_S = 208
BEFORE_S = {Before.RECENT: 600, Before.OLD: 7 * 86_400}
# More than any history needs whose retries come to an end.
MOST_INVOCATIONS = 250
# Longer than the longest retry delay and than two kills of an environment, as the deployed value is; that one
# makes histories longer.
SHORT_GRACE_S = 1_000
SHORT_PARK_AFTER_S = 14_400
# Too long to wait for within an invocation.
RETRY_AFTER_S = 60
# As decision 0015 allows for.
CLOCKS_DIFFER_S = 30
# In a forgetful world: of what the function remembers of a lead, and of the faults that open its breaker.
SMALL_BOUNDS = {
    ("lead_state", "MOST_OPEN"): 2,
    ("lead_state", "MOST_FINALS"): 1,
    ("lead_state", "MOST_FINAL_CREATES"): 1,
    ("breaker", "FAULTS_TO_OPEN"): 1,
}
TAKE_ONE = (WELL, Option(Fault.TWICE, faults=1))
TAKE_MORE = (*TAKE_ONE, Option(Fault.REVERSED, faults=1))
REDRIVE = (WELL, Option("a person sends the parked messages again", faults=1))


class Laboratory:
    """The function's package with a clock, random numbers and ids that histories control."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.now = START
        self.ids = 0
        self.ahead_s: Callable[[], float] = lambda: 0.0
        clock = SimpleNamespace(time=lambda: self.now + self.ahead_s(), monotonic=lambda: self.now)
        stand_ins = {
            "time": clock,
            "random": SimpleNamespace(random=lambda: 0.5),
            "uuid": SimpleNamespace(uuid4=self._next_id),
        }
        for module in core.modules():
            for name, stand_in in stand_ins.items():
                if hasattr(module, name):
                    setattr(module, name, stand_in)
        setattr(core.module("batch"), "wait", wait_for_lanes)  # noqa: B010
        self.short = self._settings(UPDATE_GRACE_S=SHORT_GRACE_S, PARK_AFTER_S=SHORT_PARK_AFTER_S)
        self.patient = self._settings()
        self.bounds = {place: getattr(core.module(place[0]), place[1]) for place in SMALL_BOUNDS}
        self._prepared: dict[tuple[Before, bool], tuple[dict[Any, Any], dict[str, Lead]]] = {}

    def _settings(self, **changes: int) -> Any:
        changes["VISIBILITY_TIMEOUT_S"] = VISIBILITY_TIMEOUT_S
        values = ENVIRONMENT | {name: str(value) for name, value in changes.items()}
        return self.core.module("settings").Settings.from_environment(values)

    def bound(self, bounds: Mapping[tuple[str, str], int]) -> None:
        """Sets constants of the function."""
        for (module, name), value in bounds.items():
            setattr(self.core.module(module), name, value)

    def _next_id(self) -> SimpleNamespace:
        self.ids += 1
        return SimpleNamespace(hex=f"owner-{self.ids}")

    def prepare(self, world: World) -> tuple[Table, LeadsModel]:
        """The ledger and the API as the world's events find them."""
        key = world.before, world.patient
        if key not in self._prepared:
            history = History(
                self, World("before", (), Before.NOTHING, patient=world.patient), Deviations({})
            )
            if world.before in BEFORE_S:
                history.publish(EARLIER, START - BEFORE_S[world.before])
                history.run()
            elif world.before is not Before.NOTHING:
                assistant = OTHER_ASSISTANT if world.before is Before.ELSEWHERE else ASSISTANT
                fields = {**EARLIER.fields, "assistantEmail": assistant}
                history.leads.leads[EMAIL] = Lead(1, fields, stopped=world.before is Before.UNMAILED)
            self._prepared[key] = history.table.items, history.leads.leads
        items, leads = self._prepared[key]
        return Table(items), LeadsModel(leads)


@dataclass(slots=True)
class _Place:
    """A slot for an execution environment; a killed one is followed by a new one."""

    environment: Environment | None = None
    held: Sequence[QueuedMessage] = ()
    is_busy: bool = False
    is_over: bool = False


class History:
    """Runs the world once; `chooser` decides at each step. `tell` gets a line for each step, for a story."""

    def __init__(
        self,
        laboratory: Laboratory,
        world: World,
        chooser: Chooser,
        tell: Callable[[float, str], None] | None = None,
    ) -> None:
        self._laboratory = laboratory
        self._world = world
        self._chooser = chooser
        self._tell = tell
        self._settings = laboratory.patient if world.patient else laboratory.short
        laboratory.now, laboratory.ids = START, 0
        # The settling time allows for clocks that differ.
        self._latest_s = self._settings.settling_s - 1 - (CLOCKS_DIFFER_S if world.clocks_differ else 0)
        # How long a claim lasts: with 30 s for clocks that differ, and a second for whole seconds.
        self._lease_s = FUNCTION_TIMEOUT_S + 30 + self._settings.settling_s + 1
        self.decisions: list[Sequence[Option]] = []
        self._trace: list[Any] = []
        if world.name == "before":
            self.table, self.leads = Table(), LeadsModel()
        else:
            self.table, self.leads = laboratory.prepare(world)
            laboratory.now = START
        self.retry_after_s = RETRY_AFTER_S if world.has_retry_after else 0
        laboratory.ahead_s = self._ahead_s if world.clocks_differ else lambda: 0.0
        self.queue = LeadQueue()
        self._parked: list[ParkedMessage] = []
        self._seen: list[Seen] = []
        known_at = START - BEFORE_S[world.before] if world.before in BEFORE_S else -math.inf
        self.judge = Judge(
            self._seen,
            self.leads,
            known_at,
            window_s=self._settings.duplicate_window_s,
            park_after_s=self._settings.park_after_s,
        )
        self._tasks = Tasks(self.now)
        self._tasks.is_over = lambda index: self._places[index].is_over
        self._late: list[tuple[float, Request]] = []
        self._invocations = 0
        self._preferred: int | None = None
        self._was_redriven = False
        for number, event in enumerate(world.events):
            self.publish(event, START + number * world.gap_s)
        if world.with_other:
            self.publish(OTHER, START)
        # One more than are needed, for a message that is delivered twice.
        self._places = [_Place() for _ in range(1 + (len(self._seen) if world.apart else 1))]

    def now(self) -> float:
        """The time, in epoch seconds."""
        return self._laboratory.now

    def _ahead_s(self) -> float:
        """How far the clock of the running environment is ahead; behind in every second one."""
        running = self._tasks.running
        if running is None:
            return 0.0
        return CLOCKS_DIFFER_S / 2 * (1 if running.environment % 2 else -1)

    def publish(self, event: Any, sent_at: float) -> None:
        """A producer sends an event to the lead queue."""
        self._seen.append(Seen(event, sent_at))
        number = len(self._seen)
        prefix = "earlier-" if sent_at < START else ""
        self._put(QueuedMessage(f"{prefix}m{number}", number - 1, event.body(), sent_at, sent_at))
        if sent_at < START:
            self._laboratory.now = sent_at

    def _put(self, message: QueuedMessage) -> None:
        self.queue.put(message)
        self.judge.expect_message(message.message_id, message.event)

    def fingerprint(self) -> int:
        """The same for two histories that are the same: each environment's steps, and what came of them."""
        return hash(tuple(self._trace))

    def run(self) -> None:
        """Until nothing can happen any more, or an invariant is broken."""
        self._laboratory.bound(SMALL_BOUNDS if self._world.forgetful else self._laboratory.bounds)
        # Events that follow each other closely are all there when the first is received.
        if self._world.events and self._world.gap_s < VISIBILITY_TIMEOUT_S / 10:
            self._laboratory.now += self._world.gap_s * len(self._world.events)
        while self.judge.broken is None and self._go_on():
            pass
        if self.judge.broken is None:
            self.judge.end(self._ledger_item())
            if self._world.with_other:
                self.judge.check_other(self._seen[len(self._world.events)])
        self._end_tasks()

    def _go_on(self) -> bool:
        task = self._next_task()
        if task is not None:
            self._resume(task)
            return True
        return self._receive_somewhere() or self._let_time_pass() or self._redrive()

    def _next_task(self) -> Task | None:
        if self._preferred is not None:
            place = self._places[self._preferred]
            if not place.is_busy and not place.is_over:
                self._receive(self._preferred)
        ready = self._tasks.ready()
        if not ready:
            return None
        chosen = next((task for task in ready if task.environment == self._preferred), None)
        if chosen is None:
            chosen, self._preferred = min(ready, key=lambda task: task.environment), None
        return chosen

    def _resume(self, task: Task) -> None:
        self._tasks.resume(task)
        place = self._places[task.environment]
        if place.is_over:
            self._end(task.environment)

    def _end(self, index: int) -> None:
        """Ends all tasks of an environment that was killed; a new one takes its place."""
        for task in self._tasks.of(index):
            self._tasks.resume(task)
        for message in self._places[index].held:
            seen = self.judge.see(message.message_id)
            seen.excused += 1
            seen.crashes += 1
            seen.held_until = self.now() + self._lease_s
        self._places[index] = _Place()

    def _end_tasks(self) -> None:
        for index, place in enumerate(self._places):
            place.is_over = True
            for task in self._tasks.of(index):
                self._tasks.resume(task)

    def _receive_somewhere(self) -> bool:
        idle = next((index for index, place in enumerate(self._places) if not place.is_busy), None)
        return idle is not None and self._receive(idle)

    def _receive(self, index: int) -> bool:
        """Starts an invocation with what is visible."""
        visible = self.queue.visible(self.now())
        if not visible:
            return False
        self._invocations += 1
        if self._invocations > MOST_INVOCATIONS:
            self.judge.say(f"messages are still in the lead queue after {MOST_INVOCATIONS} invocations")
            return False
        fault = self._decide(index, "receives messages", TAKE_MORE if len(visible) > 1 else TAKE_ONE)
        if fault == Fault.REVERSED:
            visible.reverse()
        taken = visible[:1] if self._world.apart else visible[:10]
        for message in taken:
            message.receives += 1
            seen = self.judge.see(message.message_id)
            seen.receives += 1
            seen.received_at = self.now()
            seen.excused += self.now() <= seen.held_until
            if fault == Fault.TWICE:
                seen.held_until = self.now() + self._lease_s
            else:
                message.visible_at = self.now() + VISIBILITY_TIMEOUT_S
        place = self._places[index]
        place.is_busy = True
        place.held = taken
        environment = place.environment or Environment(self._laboratory.core, self._settings, self)
        place.environment = environment
        # Other leads are delivered as well, so the function knows that the API's address is right.
        environment.api.last_success_s = self.now()
        records = [message.as_record() for message in taken]
        deadline_at = self.now() + FUNCTION_TIMEOUT_S
        if self._tell:
            self._tell_line(
                index, "receives " + " and ".join(self._named(message) for message in taken), fault
            )
        self._tasks.start(index, lambda: self._invoke(place, environment, records, deadline_at))
        return True

    def _invoke(
        self, place: _Place, environment: Environment, records: list[dict[str, Any]], deadline_at: float
    ) -> None:
        taken = {record["messageId"] for record in records}
        try:
            returned = environment.run(records, lambda: deadline_at - self._laboratory.now)
            fault = self.step("answers", ANSWER_FAULTS)
            if fault == Fault.KILLED_BEFORE:
                self.kill()
            self.queue.delete(taken - returned)
            self.judge.acknowledge(taken - returned)
        except Killed:
            return
        except Exception as error:
            self.judge.say(f"the invocation ends with {type(error).__name__}: {error}")
        place.is_busy = False
        place.held = ()

    def _let_time_pass(self) -> bool:
        """Goes to the next time at which something happens of itself."""
        times = [
            self._tasks.next_wake(),
            self.queue.next_visible_at(),
            min((at for at, _ in self._late), default=None),
        ]
        ahead = [time for time in times if time is not None and time > self.now()]
        if not ahead:
            return False
        self._laboratory.now = min(ahead)
        due = [request for at, request in self._late if at <= self.now()]
        self._late = [(at, request) for at, request in self._late if at > self.now()]
        for request in due:
            if self._tell:
                self._tell(self.now(), f"7Targets applies the {request.method} {request.path} only now")
            self.apply(request)
            self.judge.can_no_longer_apply(request)
        return True

    def _redrive(self) -> bool:
        if not self._parked or self._was_redriven:
            return False
        self._was_redriven = True
        if self._decide(-1, "all is quiet", REDRIVE) == WELL.name:
            return False
        self._laboratory.now += self._world.redriven_after_s
        if self._tell:
            self._tell(self.now(), "a person sends the parked messages again")
        parked, self._parked = self._parked, []
        for number, message in enumerate(parked):
            self._seen[message.event].is_parked = False
            put = QueuedMessage(
                f"r{number}", message.event, message.body, self.now(), self.now(), message.attributes
            )
            self._put(put)
        return True

    # What environments call.

    def step(self, what: str, faults: Sequence[Option], email: str | None = None) -> str:
        """The next thing happens in the running environment; returns what goes wrong with it, or "well".

        Nothing goes wrong at the steps of the other lead (`email`). Raises `Killed`.
        """
        task = self._tasks.running
        assert task is not None
        index = task.environment
        if self._places[index].is_over:
            raise Killed
        options = faults if email in {None, EMAIL} else ()
        while True:
            turns = self._turns(index) if options else ()
            name = self._decide(index, what, (WELL, *options, *turns)) if options else self._note(index, what)
            turn = next((number for option, number in self._turn_options() if option.name == name), None)
            if turn is None:
                if self._tell:
                    self._tell_line(index, what, name)
                if name != WELL.name:
                    self._note_fault(self._places[index], task.message_id, name, faults)
                return name
            if self._tell:
                self._tell(self.now(), f"{_letter(index)} is slow now: {_letter(turn)} goes first")
            self._preferred = turn
            self._tasks.pause()

    def _note_fault(self, place: _Place, message_id: str, name: str, faults: Sequence[Option]) -> None:
        for message in place.held:
            seen = self.judge.see(message.message_id)
            seen.undelayed += faults is VISIBILITY_FAULTS
        # The limit is one for all leads. Until the end of a `Retry-After` it is for later ones too;
        # after it a lead may once more wait for its turn.
        is_told = self.retry_after_s > 0 and name in BROKEN | {Fault.TURNED_AWAY}
        held = [self.judge.see(message.message_id) for message in place.held]
        for seen in self._seen if is_told else held:
            seen.slowed += 2 if is_told else name == Fault.TURNED_AWAY
        if message_id:
            seen = self.judge.see(message_id)
            seen.disturbances += 1
            seen.unwritten += faults in {WRITE_FAULTS, BATCH_FAULTS, PARK_FAULTS}

    def _turns(self, index: int) -> tuple[Option, ...]:
        has_message = bool(self.queue.visible(self.now()))
        ready = {task.environment for task in self._tasks.ready()}
        found = []
        idle_counted = False
        for option, number in self._turn_options():
            place = self._places[number]
            if number == index:
                continue
            if number in ready:
                found.append(option)
            elif not place.is_busy and has_message and not idle_counted:
                found.append(option)
                idle_counted = True  # idle environments are alike
        return tuple(found)

    def _turn_options(self) -> Sequence[tuple[Option, int]]:
        return _TURNS[: len(self._places)]

    def _decide(self, index: int, what: str, options: Sequence[Option]) -> str:
        chosen = self._chooser.choose(len(self.decisions), options)
        self.decisions.append(options)
        name = options[chosen].name
        self._trace += (index, what, name)
        return name

    def _note(self, index: int, what: str) -> str:
        self._trace += (index, what, WELL.name)
        return WELL.name

    def kill(self) -> None:
        """Ends the running environment. Raises `Killed`."""
        task = self._tasks.running
        assert task is not None
        self._places[task.environment].is_over = True
        raise Killed

    def sleep(self, seconds: float) -> None:
        """Lets time pass for the running task."""
        self._tasks.sleep(seconds)

    def begin_attempt(self, message_id: str) -> None:
        """The running task attempts to deliver this message."""
        assert self._tasks.running is not None
        self._tasks.running.message_id = message_id

    def run_beside(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Runs tasks in the running environment, and waits for them."""
        running = self._tasks.running
        assert running is not None
        self._tasks.wait_for([self._start_beside(running.environment, body) for body in bodies])

    def _start_beside(self, index: int, body: Callable[[], None]) -> Task:
        def run() -> None:
            try:
                body()
            except Killed:
                return

        return self._tasks.start(index, run)

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One write of the ledger. Raises `ClientError`; none may be refused for its form or its size."""
        try:
            return self.table.update_item(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                self.judge.say(f"the ledger refuses a write: {error.response['Error']['Message']}")
            raise

    def is_subject(self, lead_hash: str) -> bool:
        """Whether it is the lead at whose steps things go wrong."""
        return lead_hash == _hash(EMAIL)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> Request:
        """A request leaves."""
        assert self._tasks.running is not None
        request = Request(self._tasks.running.message_id, method, path, body)
        self.judge.send(request, self.now())
        return request

    def apply(self, request: Request) -> tuple[int, dict[str, Any]]:
        """7Targets applies a request."""
        self.judge.apply(request)
        status, answer = self.leads.apply(request.method, request.path, request.body)
        self.judge.applied(request, status, self.now())
        return status, answer

    def apply_late(self, request: Request) -> None:
        """7Targets will apply a request at the last moment that the settling time allows for."""
        self._late.append((math.ceil(self.now()) + self._latest_s, request))

    def end_request(self, request: Request) -> None:
        """The sender waits no longer."""
        if not any(request is late for _, late in self._late):
            self.judge.can_no_longer_apply(request)

    def park(self, body: str, attributes: Mapping[str, str]) -> None:
        """A message is added to the dead-letter queue."""
        message_id = attributes["messageId"]
        seen = self.judge.see(message_id)
        self._parked.append(ParkedMessage(self._seen.index(seen), body, attributes))
        others = [each.event for each in self.queue.messages.values() if each.message_id != message_id]
        self.judge.park(seen, attributes, self.now(), others)

    def report(self, line: Mapping[str, Any]) -> None:
        """The function writes a line into its log."""
        self.judge.report(line)
        if self._tell and "outcome" in line:
            running = self._tasks.running
            assert running is not None
            reason = f" ({line['reason']})" if line.get("reason") else ""
            seen = self.judge.see(line["message_id"])
            self._tell_line(
                running.environment, f"logs for the {seen.event.name}: {line['outcome']}{reason}", WELL.name
            )

    def _ledger_item(self) -> dict[str, Any]:
        return plain(self.table.items.get((_hash(EMAIL), "#lead"), {}))

    def _named(self, message: QueuedMessage) -> str:
        return f"the {self.judge.see(message.message_id).event.name}"

    def _tell_line(self, index: int, what: str, fault: str) -> None:
        assert self._tell is not None
        self._tell(self.now(), f"{_letter(index)} {what}" + ("" if fault == WELL.name else f": {fault}"))


_TURNS = [(Option(f"{letter} goes first", turns=1), number) for number, letter in enumerate("ABCDEF")]


def _letter(index: int) -> str:
    return "ABCDEF"[index]


def _hash(email: str) -> str:
    return hashlib.sha256(email.lower().encode()).hexdigest()
