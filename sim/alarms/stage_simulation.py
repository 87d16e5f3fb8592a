"""A stage in simulated time: the function's real handler, with stand-ins for what is around it.

A simulated week costs seconds, because nobody waits for anything. Each lead is an event on the bus; the API
and AWS do what the failure under test lets them do. The function's metrics are what its handler prints.
"""

import contextlib
import functools
import importlib.util
import io
import itertools
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
from botocore.exceptions import ClientError

from deliver_leads import batch, breaker, pace
from deliver_leads.api import access_token
from deliver_leads.api.http_client import HttpAnswer, HttpClient, NoAnswerError
from sim.alarms.aws import (
    BATCH,
    MINUTE_S,
    POLLED_AFTER_S,
    START_S,
    Clock,
    Function,
    Message,
    Queue,
    Rule,
    Stage,
)
from sim.alarms.cloudwatch import Metrics
from sim.explore.outside import Table
from sim.partiql import run_together

HANDLER = Path(breaker.__file__).with_name("handler.py")
SECRET = {"client_id": "id", "client_secret": "secret", "user_identifier": "ops@example.com"}
ENVIRONMENTS = 2


class KilledError(BaseException):
    """The execution environment ends here."""


class OneAfterAnother:
    """In the place of the batch's threads, so that the same seed gives the same table.

    Changing from thread to thread would also take more time than what they do.
    """

    def __init__(self, **_: Any) -> None: ...

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)
        return future


class Simulation:
    """One stage. A failure changes its public attributes, and what they do is said beside them."""

    def __init__(self, stage: Stage) -> None:
        self.clock, self.metrics = Clock(), Metrics()
        self.lead_queue = Queue(stage.lead_queue, self.metrics)
        self.dead_letter_queue = Queue(stage.dead_letter_queue, self.metrics)
        self.rule_dead_letter_queue = Queue(stage.rule_dead_letter_queue, self.metrics)
        self.rule = Rule(self.clock, self.metrics, stage.rule)
        self.function = Function(self.clock, self.metrics, stage.function, stage.function_timeout_s)
        self.mapping_enabled = True
        self.throttled = False
        self.breaks = ""  # "at its start", "at its time-out", "near its time-out"
        self.aws_errors: dict[str, str] = {}  # by operation of boto3's clients: the code of its error
        self.rule_dead_letter_queue_refuses = False
        self.secret = json.dumps(SECRET)
        self.answer: Callable[[str, dict[str, Any]], HttpAnswer] = self.take
        self.token_answer: Callable[[], HttpAnswer] = lambda: answer(200, access_token="t", expires_in=3600)
        self.stage = stage
        self.silent = False  # no producer publishes
        self._table = Table()
        self._numbers = itertools.count(1)
        self._environments: list[Any] = []
        self._turn = itertools.count()
        self._deadline_s = 0.0

    def run(self, minutes: int) -> None:
        """To the end."""
        self.metrics.minutes = minutes
        for minute in range(1, minutes + 1):
            self.clock.at(minute * MINUTE_S, self._report)
        for seconds in range(self.stage.check_every_s // 2, minutes * MINUTE_S, self.stage.check_every_s):
            self.clock.at(seconds, self._check)
        random.seed(1)
        with self._instead_of_the_real_ones():
            self.clock.run(minutes * MINUTE_S)

    def publish(self, **lead: Any) -> None:
        """A lead event on the bus."""
        number = next(self._numbers)
        who = {"name": "N", "email": f"l{number}@example.com", "assistantEmail": "sam@example.net"}
        event = {
            "id": f"event-{number}",
            "source": "com.example.crm",
            "detail-type": lead.pop("detail_type", "Lead Created"),
            "detail": {"lead": {**who, **lead}},
        }
        body = json.dumps(event)
        self.rule.deliver(lambda: self._enqueue(body), lambda: self._give_up(body))

    def take(self, method: str, _lead: dict[str, Any]) -> HttpAnswer:
        """What the leads API does when it is well."""
        status = 201 if method == "POST" else 200
        return answer(status, id=1, state="Cold")

    def spend(self, seconds: float) -> None:
        """Time that a call takes."""
        self.clock.now += seconds

    def poll(self) -> None:
        """The event source mapping takes what is ready."""
        while self.mapping_enabled and (ready := self.lead_queue.ready(self.clock.now)):
            batch = sorted(ready, key=lambda each: each.visible_s)[:BATCH]
            for message in batch:
                message.receive_count += 1
                message.visible_s = self.clock.now + self.stage.visibility_timeout_s
            self.lead_queue.received += len(batch)
            if self.throttled:
                self.function.count("Throttles")
            else:
                self._invoke(batch)
            for message in batch:
                if message.message_id in self.lead_queue.messages:
                    self.clock.at(message.visible_s + POLLED_AFTER_S, self.poll)

    def enable_mapping(self, enabled: bool) -> None:
        """As an operator does."""
        self.mapping_enabled = enabled
        self.clock.after(POLLED_AFTER_S, self.poll)

    def deploy(self) -> None:
        """Ends all execution environments, as a deployment does."""
        self._environments.clear()

    def _check(self) -> None:
        """The schedule invokes the function once, and not again when that fails."""
        if self.throttled:
            self.function.count("Throttles")
        else:
            self._run({"check": True})

    def _invoke(self, batch: list[Message]) -> None:
        response = self._run({"Records": [each.record() for each in batch]})
        if response is not None:
            returned = {each["itemIdentifier"] for each in response["batchItemFailures"]}
            for message in batch:
                if message.message_id not in returned:
                    del self.lead_queue.messages[message.message_id]

    def _run(self, event: dict[str, Any]) -> dict[str, Any] | None:
        took_s = {
            "at its time-out": self.function.timeout_s,
            "near its time-out": 0.95 * self.function.timeout_s,
        }
        fails = self.breaks in {"at its start", "at its time-out"}
        return self.function.invoke(
            lambda: None if fails else self._handle(event), took_s.get(self.breaks, 0.2)
        )

    def _handle(self, event: dict[str, Any]) -> dict[str, Any] | None:
        place = next(self._turn) % ENVIRONMENTS
        while len(self._environments) <= place:
            self._environments.append(None)
        if self._environments[place] is None:
            self._environments[place] = _start_environment()
        self._deadline_s = self.clock.now + self.function.timeout_s
        context = SimpleNamespace(
            function_name="deliver-leads",
            memory_limit_in_mb=1024,
            invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:deliver-leads",
            aws_request_id="request",
            get_remaining_time_in_millis=lambda: (self._deadline_s - self.clock.now) * 1000,
        )
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed), warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # Powertools warns when an invocation crashed before its metrics
                response: dict[str, Any] = self._environments[place].handler(event, context)
        except KilledError:
            self._environments[place] = None
            return None  # and what it would have printed at its end is lost
        for line in printed.getvalue().splitlines():
            if line.startswith('{"_aws"'):
                self.metrics.put_embedded(line, self.clock.now)
        return response

    def _enqueue(self, body: str) -> None:
        self.lead_queue.send(body, self.clock.now)
        self.clock.after(POLLED_AFTER_S, self.poll)

    def _give_up(self, body: str) -> bool:
        if not self.rule_dead_letter_queue_refuses:
            self.rule_dead_letter_queue.send(body, self.clock.now)
        return not self.rule_dead_letter_queue_refuses

    def _report(self) -> None:
        if self.mapping_enabled:
            self.lead_queue.called_s = self.clock.now
        for queue in (self.lead_queue, self.dead_letter_queue, self.rule_dead_letter_queue):
            queue.report(self.clock.now)

    def _send_http(self, method: str, url: str, _deadline: object, **request: Any) -> HttpAnswer:
        self.spend(0.2)
        if url == self.stage.environment["TOKEN_URL"]:
            return self.token_answer()
        reply = self.answer(method, request.get("json") or {"email": "nobody@example.com"})
        if method == "GET" and reply.status_code // 100 == 2:
            return HttpAnswer(200, {}, json.dumps([{"emailid": "sam@example.net"}]).encode())
        return reply

    @contextlib.contextmanager
    def _instead_of_the_real_ones(self) -> Iterator[None]:
        def epoch_s() -> float:
            return START_S + self.clock.now

        environment = {
            **self.stage.environment,
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }
        with (
            mock.patch.dict(os.environ, environment),
            mock.patch.object(time, "time", epoch_s),
            mock.patch.object(time, "sleep", self.spend),
            mock.patch.object(batch, "ThreadPoolExecutor", OneAfterAnother),
            mock.patch.object(
                breaker, "CircuitBreaker", functools.partial(breaker.CircuitBreaker, clock=epoch_s)
            ),
            mock.patch.object(pace, "Pace", functools.partial(pace.Pace, clock=epoch_s, sleep=self.spend)),
            mock.patch.object(
                access_token, "AccessTokens", functools.partial(access_token.AccessTokens, clock=epoch_s)
            ),
            mock.patch.object(boto3, "Session", return_value=SimpleNamespace(client=self._client)),
            mock.patch.object(HttpClient, "send", lambda _, *words, **more: self._send_http(*words, **more)),
        ):
            yield

    def _client(self, _service: str, **_config: Any) -> Any:
        return _AwsClient(self, self._table)


class _AwsClient:
    """The calls of boto3's clients that the function makes."""

    def __init__(self, simulation: Simulation, table: Table) -> None:
        self._simulation = simulation
        self._table = table

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._simulation.aws_errors:
            return functools.partial(_refuse, self._simulation.aws_errors[name])
        return super().__getattribute__(name)

    def change_message_visibility_batch(self, Entries: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        simulation = self._simulation
        for entry in Entries:
            message = simulation.lead_queue.messages[entry["ReceiptHandle"]]
            message.visible_s = simulation.clock.now + entry["VisibilityTimeout"]
        return {}

    def send_message(self, MessageBody: str, **_: Any) -> None:  # noqa: N803
        self._simulation.dead_letter_queue.send(MessageBody, self._simulation.clock.now)

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        return {}

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in Entries]}

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        return {"SecretString": self._simulation.secret}

    def update_item(self, **request: Any) -> dict[str, Any]:
        code = self._simulation.aws_errors.get("update_item after a call")
        if code and ":events" in request["ExpressionAttributeValues"]:
            _refuse(code)
        return self._table.update_item(**request)

    def batch_execute_statement(self, Statements: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        return run_together(Statements, self.update_item)


def _refuse(code: str, **_: Any) -> Any:
    raise ClientError({"Error": {"Code": code, "Message": ""}}, "Operation")


def _start_environment() -> Any:
    """A module of its own for each execution environment: its state is the environment's."""
    spec = importlib.util.spec_from_file_location("deliver_leads.handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with contextlib.redirect_stdout(io.StringIO()):
        spec.loader.exec_module(module)
    return module


def answer(status: int, **content: Any) -> HttpAnswer:
    """An HTTP answer with this JSON."""
    return HttpAnswer(status, {}, json.dumps(content).encode())


def no_answer(simulation: Simulation) -> HttpAnswer:
    """A call that ends at its time-out."""
    simulation.spend(33)
    raise NoAnswerError("no answer in time")
