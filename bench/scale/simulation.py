"""A discrete-event simulation of queue, event source mapping, environments and leads API.

Leads come at random times with a given rate. The function's own circuit breaker and retry policy decide what
becomes of each; AWS's part follows its documents:

- Scaling of the mapping: five batches at a time, up to 300 more a minute while messages wait, 1,250 at most;
  `maximumConcurrency` is a lower limit; back when traffic is low, but not below five.
  https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
- 120,000 messages in flight; with long polling, as Lambda does it, SQS then just gives none.
  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
- An account runs 1,000 environments at a time, unless it asks for more.
  https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

An inference: from a standard queue a poller gets messages that are new and messages that came back in the
proportion in which they are there. Left out: throttling by DynamoDB (the writes are counted), the second call
for a lead whose first was not answered, environments that Lambda takes away, parking after days.
"""

import heapq
import math
import random
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from bench.cost.inputs import Inputs
from bench.cost.model import GB, MONTH_DAYS, SQS_BATCH, Usage, batch_seconds, logged_bytes, start_seconds
from deliver_leads.breaker import CircuitBreaker, Evidence
from deliver_leads.outcome import BreakerOpenError, NoRoomError
from deliver_leads.pace import LONGEST_WAIT_S, PATIENCE_S, Pace
from deliver_leads.retry_policy import line_delay_s, retry_delay_s
from infra.config import DeploymentConfig

FIRST_BATCHES = 5
MORE_BATCHES_A_SECOND = 300 / 60
MOST_BATCHES = 1250
MOST_IN_FLIGHT = 120_000
ACCOUNT_CONCURRENCY = 1000

_TICK_S = 1.0
_TICKS_A_MINUTE = 60


class Answer(Enum):
    """Of the leads API."""

    TAKEN = "201"
    TOO_MANY = "429"
    DOWN = "503"


@dataclass
class LeadsApi:
    """Takes `a_second` calls a second, `burst` at once (0: a second's), and answers 429 to the others.

    Answers 503 while it is down, and 429 while it is closed. `has_retry_after`: each 429 has a `Retry-After`,
    of 1 s or until the API is open again.
    """

    latency_s: float = 0.2
    a_second: float = math.inf
    burst: float = 0.0
    down_from_s: float = math.inf
    down_until_s: float = math.inf
    closed_from_s: float = math.inf
    closed_until_s: float = math.inf
    has_retry_after: bool = False
    _left: float = math.inf
    _left_at_s: float = 0.0

    def answers(self, now: float, calls: int) -> list[Answer]:
        """To calls that arrive at the same time."""
        if self.down_from_s <= now < self.down_until_s:
            return [Answer.DOWN] * calls
        if self.closed_from_s <= now < self.closed_until_s:
            return [Answer.TOO_MANY] * calls
        if math.isinf(self.a_second):
            return [Answer.TAKEN] * calls
        refilled = self._left + (now - self._left_at_s) * self.a_second
        self._left, self._left_at_s = min(self.burst or max(1.0, self.a_second), refilled), now
        taken = min(calls, int(self._left + 1e-9))
        self._left -= taken
        return [Answer.TAKEN] * taken + [Answer.TOO_MANY] * (calls - taken)

    @property
    def may_turn_away(self) -> bool:
        """Whether there is a limit to learn."""
        return not math.isinf(min(self.a_second, self.closed_until_s))

    def told_s(self, now: float) -> float | None:
        """The `Retry-After` of a 429."""
        if not self.has_retry_after:
            return None
        return self.closed_until_s - now if self.closed_from_s <= now < self.closed_until_s else 1.0


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Leads arrive for `arriving_s`; it ends when all are delivered, at `until_s` at the latest."""

    leads_a_minute: float
    config: DeploymentConfig
    api: LeadsApi = field(default_factory=LeadsApi)
    inputs: Inputs = field(default_factory=Inputs)
    arriving_s: float
    until_s: float
    account_concurrency: int = ACCOUNT_CONCURRENCY
    most_in_flight: int = MOST_IN_FLIGHT
    seed: int = 1


class Sample(NamedTuple):
    """The state at one time. `waiting`: leads sent and not delivered; `parallel_calls` of the leads API.

    `taken` and `turned_away`: its answers until then.
    """

    at_s: float
    waiting: int
    in_flight: int
    oldest_s: float
    environments: int
    parallel_calls: int
    taken: int = 0
    turned_away: int = 0


@dataclass
class Result:
    """What a simulation came to. `again`: calls of leads that were turned away before in the invocation."""

    samples: list[Sample] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    sent: int = 0
    delivered: int = 0
    calls: dict[Answer, int] = field(default_factory=lambda: dict.fromkeys(Answer, 0))
    again: int = 0
    deferred: int = 0
    receives: int = 0
    most_parallel_calls: int = 0
    most_environments: int = 0
    most_in_flight: int = 0
    most_writes_a_second: float = 0
    most_receives: int = 0
    longest_wait_s: float = 0
    first_call_s: float = math.inf
    last_taken_s: float = 0
    first_delivered_s: float = math.inf
    last_delivered_s: float = 0

    def share_of(self, a_second: float) -> float:
        """Of what the API takes from the first call to the last that was taken, start and end included."""
        return self.delivered / (a_second * (self.last_taken_s - self.first_call_s))


class _Environment:
    """An execution environment: all that the simulation needs of it is its breaker and its pace."""

    def __init__(self, config: DeploymentConfig, clock: "Simulation") -> None:
        # As the function's handler makes them.
        self.breaker = CircuitBreaker(
            config.retry_base_delay_seconds, config.retry_max_delay_seconds / 3, clock=clock.time
        )
        self.pace = Pace(
            config.calls_per_second // config.maximum_concurrency, clock=clock.time, chance=clock.chance
        )
        self.line: deque[_Call] = deque()


@dataclass
class _Batch:
    """`left`: leads that no thread has taken; `busy`: threads that have one."""

    environment: _Environment
    started_s: float
    left: list[int]
    leads: int
    wave: list[int] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    began_s: float = 0.0
    is_probe: bool = False
    busy: int = 0
    returned: list[tuple[int, int]] = field(default_factory=list)


class _Call(NamedTuple):
    """A lead in the line of a limited API, until its patience ends; and what was answered.

    `again`: it was turned away before in this invocation.
    """

    batch: _Batch
    lead: int
    until_s: float
    again: bool = False
    lined_up_s: float = 0.0
    began_s: float = 0.0
    answer: Answer = Answer.TAKEN


class _Kind(Enum):
    TICK = "tick"
    WAKE = "wake"
    GO_ON = "go on"
    ANSWERED = "answered"
    TURN = "turn"
    CALL_ANSWERED = "call answered"
    ENDED = "ended"


class Simulation:
    """One run of a scenario. Leads are numbered in the order in which they are sent."""

    def __init__(self, scenario: Scenario, sample_every_s: float = 60.0) -> None:
        self._scenario = scenario
        self._config = scenario.config
        self._inputs = scenario.inputs
        self._random = random.Random(scenario.seed)  # noqa: S311 - repeatable, protects nothing
        self._sample_every_s = sample_every_s
        self._now = 0.0
        self._events: list[tuple[float, int, _Kind, _Batch | _Call | _Environment | None]] = []
        self._number = 0
        self._wakes_at = math.inf
        self._sent_s = array("d")
        self._next_arrival_s = self._later_arrival(0.0)
        self._done = bytearray()
        self._oldest = 0
        self._never_received = 0
        self._receives: dict[int, int] = {}
        self._returning: list[tuple[float, int]] = []
        self._returned: deque[int] = deque()
        self._in_flight = 0
        self._gathers_since: float | None = None
        self._allowed = float(FIRST_BATCHES)
        self._running = 0
        self._most_running = 0
        self._idle: list[_Environment] = []
        self._environments = 0
        self._parallel_calls = 0
        self._second, self._writes = 0, 0.0
        self.result = Result()

    def time(self) -> float:
        """Seconds since the start."""
        return self._now

    def chance(self) -> float:
        """From 0 to 1."""
        return self._random.random()

    @property
    def paces(self) -> list[float]:
        """The calls a second that each environment may make, when the simulation has ended."""
        return [environment.pace.calls_a_second for environment in self._idle]

    @property
    def _most_batches(self) -> int:
        return min(self._config.maximum_concurrency, self._scenario.account_concurrency, MOST_BATCHES)

    def run(self) -> Result:
        """To the end."""
        self._plan(0.0, _Kind.TICK)
        for kind, what in self._due():
            if kind is _Kind.TICK:
                self._tick()
            elif kind is _Kind.WAKE:
                self._wakes_at = math.inf
            elif isinstance(what, _Environment):
                self._serve(what)
            elif isinstance(what, _Call):
                self._take_answer(what)
            elif what is not None and kind is _Kind.GO_ON:
                self._go_on(what)
            elif what is not None and kind is _Kind.ANSWERED:
                self._take_answers(what)
            elif what is not None:
                self._end(what)
            self._receive()
        return self._closed()

    def _due(self) -> Iterator[tuple[_Kind, _Batch | _Call | _Environment | None]]:
        while self._events:
            self._now, _, kind, what = heapq.heappop(self._events)
            self._arrive()
            if self._now > self._scenario.until_s or self._is_over():
                return
            yield kind, what

    def _is_over(self) -> bool:
        return self._now > self._scenario.arriving_s and self.result.delivered == len(self._sent_s)

    def _plan(self, at_s: float, kind: _Kind, what: _Batch | _Call | _Environment | None = None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_s, self._number, kind, what))

    def _tick(self) -> None:
        """Scales the mapping, and samples now and then."""
        seconds = round(self._now / _TICK_S)
        wants_more = self._visible() > 0 and self._running >= int(self._allowed)
        if wants_more:
            self._allowed = min(self._most_batches, self._allowed + MORE_BATCHES_A_SECOND * _TICK_S)
        if seconds % _TICKS_A_MINUTE == 0:
            self._allowed = max(
                min(FIRST_BATCHES, self._most_batches), min(self._allowed, self._most_running)
            )
            self._most_running = self._running
        if seconds % round(self._sample_every_s / _TICK_S) == 0:
            self._sample()
        self._plan(self._now + _TICK_S, _Kind.TICK)

    def _sample(self) -> None:
        while self._oldest < len(self._done) and self._done[self._oldest]:
            self._oldest += 1
        is_one = self._oldest < len(self._sent_s)
        self.result.samples.append(
            Sample(
                self._now,
                len(self._sent_s) - self.result.delivered,
                self._in_flight,
                self._now - self._sent_s[self._oldest] if is_one else 0.0,
                self._running,
                self._parallel_calls,
                self.result.calls[Answer.TAKEN],
                self.result.calls[Answer.TOO_MANY],
            )
        )

    def _later_arrival(self, after_s: float) -> float:
        at_s = after_s + self._random.expovariate(self._scenario.leads_a_minute / 60)
        return at_s if at_s <= self._scenario.arriving_s else math.inf

    def _arrive(self) -> None:
        """Everything that was sent, or came back, by now."""
        while self._next_arrival_s <= self._now:
            self._sent_s.append(self._next_arrival_s)
            self._next_arrival_s = self._later_arrival(self._next_arrival_s)
        self._done.extend(bytes(len(self._sent_s) - len(self._done)))
        while self._returning and self._returning[0][0] <= self._now:
            self._returned.append(heapq.heappop(self._returning)[1])
            self._in_flight -= 1

    def _visible(self) -> int:
        return len(self._sent_s) - self._never_received + len(self._returned)

    def _receive(self) -> None:
        """Every free poller that finds a batch starts one; else they wait for what comes next."""
        size, window_s = self._config.batch_size, self._config.batching_window_seconds
        while (free := int(self._allowed) - self._running) > 0:
            visible = min(self._visible(), self._scenario.most_in_flight - self._in_flight)
            if visible <= 0:
                self._gathers_since = None
                self._wake_at(self._next_message_s())
                return
            if visible < size and window_s:
                if self._gathers_since is None:
                    self._gathers_since = self._now
                if self._now < self._gathers_since + window_s:
                    self._wake_at(self._gathers_since + window_s)
                    return
                # All pollers gathered, each a part.
                visible = math.ceil(visible / free)
            self._start([self._pick() for _ in range(min(visible, size))])

    def _next_message_s(self) -> float:
        returns_s = self._returning[0][0] if self._returning else math.inf
        return min(self._next_arrival_s, returns_s)

    def _wake_at(self, at_s: float) -> None:
        if at_s < self._wakes_at:
            self._wakes_at = at_s
            self._plan(at_s, _Kind.WAKE)

    def _pick(self) -> int:
        """One visible message."""
        new = len(self._sent_s) - self._never_received
        back = len(self._returned)
        if back and (not new or self._random.random() * (new + back) < back):
            lead = self._returned.popleft()
        else:
            lead = self._never_received
            self._never_received += 1
        self._in_flight += 1
        self.result.receives += 1
        return lead

    def _start(self, leads: list[int]) -> None:
        self._running += 1
        result = self.result
        result.usage.sqs_requests += math.ceil(len(leads) / SQS_BATCH)
        result.most_in_flight = max(result.most_in_flight, self._in_flight)
        result.most_environments = max(result.most_environments, self._running)
        self._most_running = max(self._most_running, self._running)
        starts_s = 0.0
        if self._idle:
            environment = self._idle.pop()
        else:
            environment = _Environment(self._config, self)
            # No two starts take the same time: one that comes late finds the limit used up.
            starts_s = start_seconds(self._config, self._inputs) * (0.5 + self._random.random())
        batch = _Batch(environment, self._now, leads, len(leads))
        if starts_s:
            self._plan(self._now + starts_s, _Kind.GO_ON, batch)
        else:
            self._go_on(batch)

    def _go_on(self, batch: _Batch) -> None:
        """Sends what breaker and pace let through of the rest: as many leads as threads, or a probe."""
        if not batch.left and not batch.busy:
            self._plan_end(batch)
            return
        breaker, pace = batch.environment.breaker, batch.environment.pace
        batch.is_probe = False
        wave = self._config.parallel_calls
        # While it is closed it admits every lead, and nothing changes by that.
        if breaker.is_open:
            if batch.busy:
                return
            try:
                batch.is_probe = breaker.admit(0.0)
            except BreakerOpenError:
                self._defer(batch)
                return
            wave = 1
        elif pace.is_limited or batch.busy:
            while batch.left and batch.busy < self._config.parallel_calls:
                self._line_up(_Call(batch, batch.left.pop(0), self._now + PATIENCE_S))
            if not batch.left and not batch.busy:
                self._plan_end(batch)
            return
        batch.wave, batch.left = batch.left[:wave], batch.left[wave:]
        calls = len(batch.wave)
        if self._scenario.api.may_turn_away:
            for lead in batch.wave:
                pace.turn(lead)
        batch.began_s = self._now
        batch.answers = self._ask(calls)
        self._count_writes(calls * self._inputs.write_units)
        seconds = batch_seconds(calls, self._scenario.api.latency_s, self._config, self._inputs)
        self._plan(self._now + seconds, _Kind.ANSWERED, batch)

    def _line_up(self, call: _Call) -> None:
        """A lead waits for its turn in the invocation, or goes back for its place in the queue's line."""
        try:
            call.batch.environment.pace.line_up(call.lead, call.until_s - self._now)
        except NoRoomError as error:
            self.result.deferred += not call.again
            self._return(call, error.place_s or 0.0)
            return
        call.batch.busy += 1
        line = call.batch.environment.line
        line.append(call._replace(lined_up_s=self._now))
        if len(line) == 1:
            self._serve(call.batch.environment)

    def _return(self, call: _Call, place_s: float) -> None:
        delay_s = line_delay_s(
            place_s,
            self._now - self._sent_s[call.lead],
            max_s=self._config.retry_max_delay_seconds,
            jitter=self._random.random(),
        )
        call.batch.returned.append((call.lead, delay_s))

    def _serve(self, environment: _Environment) -> None:
        """The turns of those who wait in an environment, one after another."""
        while environment.line:
            call = environment.line[0]
            wait_s = environment.pace.turn(call.lead)
            if wait_s and self._now + wait_s <= call.lined_up_s + LONGEST_WAIT_S:
                self._plan(self._now + wait_s, _Kind.TURN, environment)
                return
            environment.line.popleft()
            if wait_s:
                environment.pace.leave(call.lead)
                self.result.deferred += not call.again
                self._return(call, environment.pace.book())
                call.batch.busy -= 1
                self._go_on(call.batch)
            else:
                self._call(call)

    def _call(self, call: _Call) -> None:
        [answer] = self._ask(1)
        if call.again:
            self.result.again += 1
        else:
            self._count_writes(self._inputs.write_units)
        seconds = batch_seconds(1, self._scenario.api.latency_s, self._config, self._inputs)
        # No two calls of an API take the same time.
        seconds *= 0.8 + 0.4 * self._random.random()
        answered = call._replace(began_s=self._now, answer=answer)
        self._plan(self._now + seconds, _Kind.CALL_ANSWERED, answered)

    def _ask(self, calls: int) -> list[Answer]:
        answers, result = self._scenario.api.answers(self._now, calls), self.result
        self._parallel_calls += calls
        result.most_parallel_calls = max(result.most_parallel_calls, self._parallel_calls)
        result.first_call_s = min(result.first_call_s, self._now)
        if Answer.TAKEN in answers:
            result.last_taken_s = self._now
        return answers

    def _take_answer(self, call: _Call) -> None:
        batch, lead, answer = call.batch, call.lead, call.answer
        self._parallel_calls -= 1
        batch.busy -= 1
        self._note(batch, lead, answer, call.began_s)
        if answer is Answer.TOO_MANY:
            self._line_up(call._replace(again=True))
        self._go_on(batch)

    def _note(self, batch: _Batch, lead: int, answer: Answer, began_s: float) -> None:
        """Breaker and pace get what the answer shows; all but those that were turned away are settled."""
        self.result.calls[answer] += 1
        breaker, pace = batch.environment.breaker, batch.environment.pace
        if answer is Answer.DOWN:
            breaker.note(batch.is_probe, Evidence.FAULT, str(lead), answer.value)
            batch.returned.append((lead, self._retry_delay_s(lead, answer)))
            return
        breaker.note(batch.is_probe, Evidence.HEALTHY)
        if answer is Answer.TAKEN:
            pace.note_taken()
            self._deliver(lead)
        else:
            pace.note_turned_away(began_s, self._scenario.api.told_s(self._now), answer.value)

    def _count_writes(self, units: float) -> None:
        if int(self._now) != self._second:
            self._second, self._writes = int(self._now), 0.0
        self._writes += units
        self.result.usage.write_units += units
        self.result.most_writes_a_second = max(self.result.most_writes_a_second, self._writes)

    def _defer(self, batch: _Batch) -> None:
        # As the function's: a probe interval shorter than the longest delay.
        probe_s = round(batch.environment.breaker.longest_interval_s)
        most_s = max(self._config.retry_base_delay_seconds, self._config.retry_max_delay_seconds - probe_s)
        for lead in batch.left:
            batch.returned.append((lead, min(most_s, self._retry_delay_s(lead, Answer.TAKEN))))
        self.result.deferred += len(batch.left)
        batch.left = []
        self._plan_end(batch)

    def _receive_count(self, lead: int) -> int:
        return self._receives.get(lead, 0) + 1

    def _take_answers(self, batch: _Batch) -> None:
        self._parallel_calls -= len(batch.wave)
        if not batch.answers[0] is batch.answers[-1] is Answer.TAKEN:
            self._random.shuffle(batch.answers)
        for lead, answer in zip(batch.wave, batch.answers, strict=True):
            self._note(batch, lead, answer, batch.began_s)
        for lead, answer in zip(batch.wave, batch.answers, strict=True):
            if answer is Answer.TOO_MANY:
                self._line_up(_Call(batch, lead, batch.began_s + PATIENCE_S, again=True))
        self._go_on(batch)

    def _deliver(self, lead: int) -> None:
        self._done[lead] = 1
        self.result.first_delivered_s = min(self.result.first_delivered_s, self._now)
        self.result.last_delivered_s = self._now
        self._receives.pop(lead, None)
        self._in_flight -= 1
        self.result.delivered += 1
        self.result.longest_wait_s = max(self.result.longest_wait_s, self._now - self._sent_s[lead])

    def _retry_delay_s(self, lead: int, answer: Answer) -> int:
        delay_s = retry_delay_s(
            self._receive_count(lead),
            self._now - self._sent_s[lead],
            base_s=self._config.retry_base_delay_seconds,
            max_s=self._config.retry_max_delay_seconds,
            jitter=self._random.random(),
        )
        # As the function's: until then the ledger refuses the lead.
        unanswered = answer is Answer.DOWN
        return max(delay_s, self._config.settling_time_seconds + 1) if unanswered else delay_s

    def _plan_end(self, batch: _Batch) -> None:
        """Sets the visibility timeouts first, ten in a call that takes as long as one of the ledger."""
        calls = math.ceil(len(batch.returned) / SQS_BATCH)
        self.result.usage.sqs_requests += calls
        if calls:
            self._plan(self._now + calls * self._inputs.ledger_ms / 1000, _Kind.ENDED, batch)
        else:
            self._end(batch)

    def _end(self, batch: _Batch) -> None:
        for lead, delay_s in batch.returned:
            self._receives[lead] = receives = self._receive_count(lead)
            self.result.most_receives = max(self.result.most_receives, receives)
            heapq.heappush(self._returning, (self._now + delay_s, lead))
        usage = self.result.usage
        usage.sqs_requests += math.ceil((batch.leads - len(batch.returned)) / SQS_BATCH)
        usage.invocations += 1
        usage.gb_seconds += (self._now - batch.started_s) * self._config.memory_megabytes / 1024
        usage.logged_gb += logged_bytes(batch.leads, 1, self._inputs) / GB
        self._running -= 1
        self._idle.append(batch.environment)

    def _closed(self) -> Result:
        result, usage = self.result, self.result.usage
        self._sample()
        result.sent = len(self._sent_s)
        usage.events += result.sent
        usage.sqs_requests += result.sent
        kept_months = self._config.ledger_days / MONTH_DAYS
        item_bytes = self._inputs.item_bytes + self._inputs.item_overhead_bytes
        usage.stored_gb_months += result.delivered * item_bytes / GB * kept_months
        usage.log_gb_months += usage.logged_gb * self._config.log_retention_days / MONTH_DAYS
        calls = sum(result.calls.values())
        usage.gb_out += calls * self._inputs.sent_bytes / GB
        return result
