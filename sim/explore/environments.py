"""An execution environment of the function, and what is between it and the outside: here things go wrong."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ReadTimeoutError

from sim.explore.core import Core
from sim.explore.outside import ACCESS_TOKEN, CREDENTIALS, POISON
from sim.explore.schedule import WELL, Option
from sim.partiql import as_update, run_together

if TYPE_CHECKING:
    from sim.explore.history import History

# Left over after the last call (the function's own constant has the same value, and is not trusted here).
RESERVE_S = 37


class Fault(StrEnum):
    """What may go wrong at a step; the text ends the sentence that names the step."""

    KILLED_BEFORE = "is killed before it"
    KILLED_AFTER = "is killed after it, before the answer"
    KILLED_LATE = "is killed in the middle of it, and the API applies the request at the last moment"
    FAILS_BEFORE = "fails, without effect"
    FAILS_AFTER = "fails, but took effect"
    REPEATED = "is made twice by the AWS client, because the first answer was lost"
    REFUSED = "carries out all statements but the lead's"
    NOT_SENT = "finds no connection"
    TURNED_AWAY = "is answered 429"
    UNAUTHORISED = "is answered 401"
    FORBIDDEN = "is answered 403"
    TIMED_OUT_BEFORE = "is not answered, and has no effect"
    TIMED_OUT_AFTER = "is not answered, but took effect"
    TIMED_OUT_LATE = "is not answered, and the API applies it at the last moment"
    BROKEN_BEFORE = "is answered 503, without effect"
    BROKEN_AFTER = "is answered 503, but took effect"
    BROKEN_LATE = "is answered 503, and the API applies it at the last moment"
    REVERSED = "takes the messages in the reverse order"
    TWICE = "leaves the messages visible, so that they are delivered twice"


def _options(*faults: Fault) -> tuple[Option, ...]:
    return tuple(Option(fault, faults=1) for fault in faults)


WRITE_FAULTS = _options(
    Fault.FAILS_BEFORE, Fault.FAILS_AFTER, Fault.REPEATED, Fault.KILLED_BEFORE, Fault.KILLED_AFTER
)
CALL_FAULTS = _options(
    Fault.TIMED_OUT_LATE,
    Fault.TIMED_OUT_AFTER,
    Fault.TIMED_OUT_BEFORE,
    Fault.BROKEN_LATE,
    Fault.BROKEN_AFTER,
    Fault.BROKEN_BEFORE,
    Fault.TURNED_AWAY,
    Fault.NOT_SENT,
    Fault.KILLED_BEFORE,
    Fault.KILLED_AFTER,
    Fault.KILLED_LATE,
    Fault.UNAUTHORISED,
    Fault.FORBIDDEN,
)
BATCH_FAULTS = (*WRITE_FAULTS, Option(Fault.REFUSED, faults=1))
PARK_FAULTS = _options(Fault.FAILS_BEFORE, Fault.FAILS_AFTER, Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
VISIBILITY_FAULTS = _options(Fault.FAILS_BEFORE, Fault.KILLED_BEFORE, Fault.KILLED_AFTER)
ANSWER_FAULTS = _options(Fault.KILLED_BEFORE)
BROKEN = {Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER, Fault.BROKEN_LATE}


class Request:
    """A request to the leads API that left. `message_id`: the message whose attempt sent it."""

    __slots__ = ("body", "message_id", "method", "path")

    def __init__(self, message_id: str, method: str, path: str, body: Mapping[str, Any]) -> None:
        self.message_id = message_id
        self.method = method
        self.path = path
        self.body = body

    @property
    def email(self) -> str:
        """The lead's address."""
        return str(self.body["email"])


class Environment:
    """One execution environment: the real `BatchRunner` and all it is made of, with stand-ins at its edge."""

    def __init__(self, core: Core, settings: Any, history: "History") -> None:
        clock = history.now
        http = _Http(core, settings, history)
        sqs = _Sqs(history)
        calls = core.module("api.call_tally").CallTally()
        tokens = core.module("api.access_token").AccessTokens(
            http, _Secrets(), settings.secret_id, settings.token_url, calls, clock
        )
        pace = core.module("pace").Pace(0, clock, history.sleep)
        self.api = core.module("api.leads_api").LeadsApi(http, tokens, settings.leads_api_url, calls, pace)
        delivery = core.module("delivery").Delivery(
            settings,
            http,
            self.api,
            core.module("ledger").Ledger(_DynamoDb(history), settings),
            core.module("dead_letters").DeadLetterQueue(sqs, settings.dead_letter_queue_url),
            core.module("breaker").CircuitBreaker(
                settings.retry_base_delay_s, settings.retry_max_delay_s / 3, clock
            ),
            pace,
        )
        self._runner = core.module("batch").BatchRunner(
            _Attributed(delivery, history), sqs, settings, _Log(history), _NoMetrics()
        )
        self._runner._pool = _Lanes(history)

    def run(self, records: list[dict[str, Any]], time_left: Callable[[], float]) -> set[str]:
        """The ids of the messages that the function returns to the queue."""
        response = self._runner.run(records, time_left)
        return {failure["itemIdentifier"] for failure in response["batchItemFailures"]}


class _Attributed:
    """The delivery, with a note of the message that each request is for."""

    def __init__(self, delivery: Any, history: "History") -> None:
        self._delivery = delivery
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._delivery, name)

    def attempt(self, message: Any, *parts: Any, **named: Any) -> Any:
        self._history.begin_attempt(message.message_id)
        return self._delivery.attempt(message, *parts, **named)


class _LaneFuture(Future[Any]):
    def __init__(self, lanes: "_Lanes", body: Callable[[], Any]) -> None:
        super().__init__()
        self.lanes = lanes
        self.body = body

    def run(self) -> None:
        self.set_result(self.body())


class _Lanes:
    """In the place of the pool of threads: each lane is a task."""

    def __init__(self, history: "History") -> None:
        self._history = history

    def submit(self, function: Callable[..., Any], *parts: Any) -> _LaneFuture:
        return _LaneFuture(self, lambda: function(*parts))

    def run(self, futures: Sequence[_LaneFuture]) -> None:
        if len(futures) == 1:
            futures[0].run()  # in the waiting thread, to save time
        else:
            self._history.run_beside([future.run for future in futures])


def wait_for_lanes(futures: Sequence[_LaneFuture]) -> None:
    """In the place of `concurrent.futures.wait`: runs the lanes that were submitted."""
    if futures:
        futures[0].lanes.run(futures)


class _Secrets:
    def get_secret_value(self, **_request: Any) -> dict[str, Any]:
        return {"SecretString": CREDENTIALS}


class _Response:
    """The part of an HTTP response that the function reads."""

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status_code
        self.content = content
        self.headers = headers or {}


class _Http:
    """In the place of `HttpClient`. The token endpoint is always well."""

    def __init__(self, core: Core, settings: Any, history: "History") -> None:
        module = core.module("api.http_client")
        self._not_sent, self._no_answer = module.NotSentError, module.NoAnswerError
        self._deferred = core.module("outcome").DeferredError
        self._token_url = settings.token_url
        self._base_url = settings.leads_api_url
        self._history = history
        self._closed_until = 0.0
        self.longest_call_s = settings.connect_timeout_s + settings.read_timeout_s

    def require_time(self, time_left: Callable[[], float]) -> None:
        if time_left() < self.longest_call_s + RESERVE_S:
            raise self._deferred("not tried, because the invocation's time is nearly over")

    def send(self, method: str, url: str, time_left: Callable[[], float], **parts: Any) -> _Response:
        self.require_time(time_left)
        if url == self._token_url:
            return _Response(200, ACCESS_TOKEN)
        history, body = self._history, parts["json"]
        path = url.removeprefix(self._base_url)
        what = f"{method} {path} {_shown(body)}"
        if body.get("context") == POISON:
            history.step(f"{what}, over which the function crashes", ())
            history.kill()
        if history.now() < self._closed_until:
            history.judge.say(f"{method} {path} is sent before the end that Retry-After said")
        fault = history.step(what, CALL_FAULTS, str(body["email"]))
        if fault == Fault.KILLED_BEFORE:
            history.kill()
        if fault == Fault.NOT_SENT:
            raise self._not_sent("no connection")
        if fault == Fault.TURNED_AWAY:
            return self._limited(429)
        if fault == Fault.UNAUTHORISED:
            return _Response(401, b"{}")
        if fault == Fault.FORBIDDEN:
            return _Response(403, b"{}")
        return self._answer(history.send(method, path, body), fault)

    def _answer(self, request: Request, fault: str) -> _Response:
        history = self._history
        if fault in {Fault.TIMED_OUT_AFTER, Fault.BROKEN_AFTER, Fault.KILLED_AFTER}:
            history.apply(request)
        if fault in {Fault.TIMED_OUT_BEFORE, Fault.TIMED_OUT_AFTER, Fault.TIMED_OUT_LATE}:
            history.sleep(self.longest_call_s)
        if fault in {Fault.TIMED_OUT_LATE, Fault.BROKEN_LATE, Fault.KILLED_LATE}:
            history.apply_late(request)
        well = history.apply(request) if fault == WELL.name else None
        history.end_request(request)
        if well is not None:
            status, answer = well
            return _Response(status, json.dumps(answer).encode())
        if fault in {Fault.KILLED_AFTER, Fault.KILLED_LATE}:
            history.kill()
        if fault in BROKEN:
            return self._limited(503)
        raise self._no_answer("no answer in time")

    def _limited(self, status: int) -> _Response:
        wait_s = self._history.retry_after_s
        self._closed_until = self._history.now() + wait_s
        return _Response(status, b"{}", {"Retry-After": str(wait_s)} if wait_s else {})


def _shown(body: Mapping[str, Any]) -> str:
    shown = {name: body[name] for name in body if name not in {"email", "assistantEmail"}}
    return ", ".join(f"{name} {value!r:.40}" for name, value in shown.items())


class _DynamoDb:
    """The ledger's table, over a network."""

    def __init__(self, history: "History") -> None:
        self._history = history

    def update_item(self, **request: Any) -> dict[str, Any]:
        history = self._history
        is_subject = history.is_subject(request["Key"]["lead"]["S"])
        claims = "ConditionExpression" in request and "ReturnValues" in request
        what = "takes the lead in the ledger" if claims else "writes what became of the event into the ledger"
        fault = history.step(what, WRITE_FAULTS if is_subject else ())
        if fault == Fault.KILLED_BEFORE:
            history.kill()
        if fault == Fault.FAILS_BEFORE:
            error: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}
            raise ClientError(error, "UpdateItem")
        if fault == Fault.REPEATED:
            history.write(request)
        answer = history.write(request)
        if fault == Fault.KILLED_AFTER:
            history.kill()
        if fault == Fault.FAILS_AFTER:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        return answer

    def batch_execute_statement(self, *, Statements: Any) -> dict[str, Any]:  # noqa: N803
        """What goes wrong with it is about the statement of the lead in question."""
        history = self._history
        subject = next((each for each in Statements if history.is_subject(_lead_of(each))), None)
        if subject is not None:
            history.begin_attempt(_message_of(subject))
        claims = Statements[0]["Statement"].startswith("INSERT")
        what = "takes new leads in the ledger" if claims else "writes what became of leads into the ledger"
        fault = history.step(what, BATCH_FAULTS if subject is not None else ())
        if fault == Fault.KILLED_BEFORE:
            history.kill()
        if fault == Fault.FAILS_BEFORE:
            error: Any = {"Error": {"Code": "ThrottlingException", "Message": ""}}
            raise ClientError(error, "BatchExecuteStatement")
        if fault == Fault.REPEATED:
            run_together(Statements, history.table.update_item)
        carried_out = [each for each in Statements if fault != Fault.REFUSED or each is not subject]
        done = iter(run_together(carried_out, history.table.update_item)["Responses"])
        if fault == Fault.KILLED_AFTER:
            history.kill()
        if fault == Fault.FAILS_AFTER:
            raise ReadTimeoutError(endpoint_url="dynamodb")
        throttled = {"Error": {"Code": "ThrottlingError"}}
        return {
            "Responses": [
                throttled if fault == Fault.REFUSED and each is subject else next(done) for each in Statements
            ]
        }


def _lead_of(statement: Mapping[str, Any]) -> str:
    return str(as_update(statement)[0]["Key"]["lead"]["S"])


def _message_of(statement: Mapping[str, Any]) -> str:
    """The message that it is about: the last entry of its list is the event's."""
    lists = [value["L"] for value in statement["Parameters"] if "L" in value]
    return max(
        (float(entry["M"]["updatedS"]["N"]), str(entry["M"]["messageId"]["S"]))
        for entries in lists
        for entry in entries
    )[1]


class _Sqs:
    """The lead queue's visibility time-outs, and the dead-letter queue."""

    def __init__(self, history: "History") -> None:
        self._history = history

    def change_message_visibility_batch(self, *, Entries: Any, **_request: Any) -> dict[str, Any]:  # noqa: N803
        history = self._history
        delays = ", ".join(f"{entry['VisibilityTimeout']} s" for entry in Entries)
        fault = history.step(f"sets when messages come back ({delays})", VISIBILITY_FAULTS)
        if fault == Fault.KILLED_BEFORE:
            history.kill()
        if fault == Fault.FAILS_BEFORE:
            error: Any = {"Error": {"Code": "ServiceUnavailable", "Message": ""}}
            raise ClientError(error, "ChangeMessageVisibilityBatch")
        history.queue.hide(Entries, history.now())
        if fault == Fault.KILLED_AFTER:
            history.kill()
        return {}

    def send_message(self, *, MessageBody: str, MessageAttributes: Any, **_request: Any) -> None:  # noqa: N803
        history = self._history
        attributes = {name: value["StringValue"] for name, value in MessageAttributes.items()}
        fault = history.step(
            f"parks the event as {attributes['reason']}: {attributes['detail']}", PARK_FAULTS
        )
        if fault == Fault.KILLED_BEFORE:
            history.kill()
        if fault == Fault.FAILS_BEFORE:
            error: Any = {"Error": {"Code": "ServiceUnavailable", "Message": ""}}
            raise ClientError(error, "SendMessage")
        history.park(MessageBody, attributes)
        if fault == Fault.KILLED_AFTER:
            history.kill()
        if fault == Fault.FAILS_AFTER:
            raise ReadTimeoutError(endpoint_url="sqs")


class _Log:
    """In the place of the logger."""

    def __init__(self, history: "History") -> None:
        self._history = history

    def info(self, _text: str, extra: Mapping[str, Any]) -> None:
        self._history.report(extra)

    warning = info


class _NoMetrics:
    def write(self, *_parts: Any) -> None:
        """Nobody looks at them here."""
