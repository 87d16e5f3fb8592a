"""The function's metrics: each written when its cause occurs, once, in a form that CloudWatch reads."""

import importlib
import itertools
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from aws_lambda_powertools import Metrics
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from deliver_leads.api.call_tally import CallTally
from deliver_leads.api.leads_api import LeadsApi
from deliver_leads.attempt import Attempt
from deliver_leads.batch import BatchRunner
from deliver_leads.batch_metrics import BatchMetrics
from deliver_leads.breaker import CircuitBreaker
from deliver_leads.contract import METRICS_NAMESPACE, Metric, Outcome
from deliver_leads.event.mappings import EventMapper
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import DAY_S, create, record

LARGEST_EMF_ARRAY = 100
# Written by what isn't a batch, and tested there.
NOT_OF_BATCHES = {Metric.CHECK_FAILED, Metric.OUTCOME_EVENTS_LOST}
OF_ATTEMPTS = [
    Metric.DELIVERED,
    Metric.DUPLICATE,
    Metric.IGNORED,
    Metric.REJECTED,
    Metric.RETRY,
    Metric.UNCONFIRMED,
    Metric.BLOCKED,
    Metric.DEFERRED,
]
UNITS = {
    Metric.OLDEST_RETURNED: "Seconds",
    Metric.DELIVERY_TIME: "Seconds",
    Metric.API_LATENCY: "Milliseconds",
}
ZEROS = {
    Metric.PARKED: [0],
    Metric.BLOCKED: [0],
    Metric.LEDGER_NOT_WRITTEN: [0],
    Metric.BREAKER_OPEN: [0],
}

Written = Callable[[], dict[str, list[float]]]
"""The values that were written since the last call, by the metric's name."""


def event(operation: str, name: str = "jane") -> dict[str, Any]:
    """Another event of that lead."""
    return create(name) | {"operation": operation}


def answer(status: int, **more: object) -> dict[str, object]:
    """The sandbox answers every call of the API so."""
    return {"operation": "leads", "fault": {"kind": "status", "status": status, **more}}


def answer_with_state(state: str, status: int = 201) -> dict[str, object]:
    """A lead in this state."""
    return answer(status, body={"id": 7, "state": state})


def read_metrics(output: str) -> dict[str, list[float]]:
    """What CloudWatch takes from the output; fails on what it would refuse, or not find an alarm for."""
    values: dict[str, list[float]] = defaultdict(list)
    for blob in (json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')):
        [directive] = blob["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == METRICS_NAMESPACE
        if directive["Metrics"][0]["Name"] == "ColdStart":
            continue
        assert directive["Dimensions"] == [["service"]]
        assert blob["service"] == "deliver-leads"
        for metric in directive["Metrics"]:
            name, found = metric["Name"], blob[metric["Name"]]
            assert metric == {"Name": name, "Unit": UNITS.get(name, "Count")}
            assert 0 < len(found) <= LARGEST_EMF_ARRAY
            assert min(found) >= 0  # no percentiles of negative values
            values[name] += found
    assert not NOT_OF_BATCHES & set(values)
    return dict(values)


@pytest.fixture
def written(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> Written:
    """Reads the metrics of the batches so far."""
    return lambda: read_metrics(capsys.readouterr().out)


def fail_call(monkeypatch: pytest.MonkeyPatch, operation: str, *numbers: int) -> None:
    """AWS refuses these calls of the operation, counted from 1; all of them if none is given."""
    original, count = BaseClient._make_api_call, itertools.count(1)  # type: ignore[attr-defined]

    def make(self: BaseClient, name: str, request: dict[str, object]) -> object:
        if name == operation and (not numbers or next(count) in numbers):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, name)
        return original(self, name, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", make)


def deliver(pipeline: Pipeline, *bodies: object) -> list[dict[str, Any]]:
    """One batch of these; returns its records."""
    for body in bodies:
        pipeline.send(body)
    records = pipeline.receive()
    pipeline.deliver(records)
    return records


def duplicate(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The same event twice."""
    deliver(pipeline, create(), create())


def rejected(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """By the API."""
    pipeline.fail(answer(422))
    deliver(pipeline, create())


def throttled(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """Too many calls."""
    pipeline.fail(answer(429, headers={"Retry-After": "600"}))
    deliver(pipeline, create())


def broken(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The API fails."""
    pipeline.fail(answer(503))
    deliver(pipeline, create())


def refused(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The user is."""
    pipeline.fail(answer(403))
    deliver(pipeline, create())


def late(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The invocation's time is nearly over."""
    pipeline.context.remaining_s = 40
    deliver(pipeline, create(), create("kim"))


def cut(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """No answer comes."""
    pipeline.fail({"operation": "create", "fault": {"kind": "cut_after"}})
    deliver(pipeline, create())


def no_token(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The token endpoint fails: for the environment's first token, and for the lead's."""
    pipeline.fail({"operation": "token", "fault": {"kind": "status", "status": 503}})
    deliver(pipeline, create())


def outage(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """Five leads fail."""
    pipeline.fail(answer(503))
    deliver(pipeline, *[create(f"lead{number}") for number in range(5)])


def no_ledger(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses the first claim, together with the other and alone."""
    fail_call(monkeypatch, "UpdateItem", 1, 3)
    deliver(pipeline, create(), create("kim"))


def no_dead_letters(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their queue refuses one."""
    pipeline.send("not json")
    records = pipeline.receive()
    fail_call(monkeypatch, "SendMessage")
    pipeline.deliver(records)


def no_visibility(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS refuses both time-outs."""
    pipeline.fail(answer(425))
    fail_call(monkeypatch, "ChangeMessageVisibilityBatch")
    deliver(pipeline, create(), create("kim"))


def unmailed(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """The plan's leads are used up."""
    pipeline.fail(answer_with_state("New"))
    deliver(pipeline, create())


def healthy(pipeline: Pipeline, _: pytest.MonkeyPatch) -> None:
    """Two leads."""
    deliver(pipeline, create(), create("kim"))


def left_out(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping says that the event is no lead."""
    mapper = EventMapper([{"name": "tests", "pattern": {"source": ["my.form"]}, "operation": "ignore"}])
    monkeypatch.setattr(importlib.import_module("deliver_leads.handler").runner, "_mapper", mapper)
    deliver(pipeline, {"source": "my.form", "detail-type": "Test", "detail": {}})


CAUSES: dict[Metric, tuple[Callable[[Pipeline, pytest.MonkeyPatch], None], list[float] | None]] = {
    Metric.DELIVERED: (healthy, [2]),
    Metric.DUPLICATE: (duplicate, [1]),
    Metric.IGNORED: (left_out, [1]),
    Metric.REJECTED: (rejected, [1]),
    Metric.RETRY: (throttled, [1]),
    Metric.UNCONFIRMED: (broken, [1]),
    Metric.BLOCKED: (refused, [1]),
    Metric.DEFERRED: (late, [2]),
    Metric.PARKED: (rejected, [1]),
    Metric.OLDEST_RETURNED: (throttled, None),
    Metric.DELIVERY_TIME: (healthy, None),
    Metric.API_LATENCY: (healthy, None),
    Metric.ANSWERED_2XX: (healthy, [2]),
    Metric.ANSWERED_4XX: (rejected, [1]),
    Metric.ANSWERED_429: (throttled, [1]),
    Metric.ANSWERED_5XX: (broken, [1]),
    Metric.UNANSWERED: (cut, [1]),
    Metric.TOKENS_FETCHED: (healthy, [1]),
    Metric.TOKENS_FAILED: (no_token, [2]),
    Metric.BREAKER_OPEN: (outage, [1]),
    Metric.LEDGER_NOT_WRITTEN: (no_ledger, [1]),
    Metric.PARKING_REFUSED: (no_dead_letters, [1]),
    Metric.VISIBILITY_NOT_SET: (no_visibility, [2]),
    Metric.NOT_MAILED: (unmailed, [1]),
}


@pytest.mark.parametrize("name", CAUSES)
def test_each_metric_is_written_when_its_cause_occurs(
    pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch, name: Metric
) -> None:
    """The metric has its unit and its one dimension, and isn't written before its cause."""
    deliver(pipeline, "not json")
    before = written()
    assert name in ZEROS or name in {Metric.REJECTED, Metric.PARKED} or name not in before
    cause, values = CAUSES[name]
    cause(pipeline, monkeypatch)
    found = written()[name]
    assert values is None or [sum(found)] == values


def test_every_metric_has_a_cause_in_these_tests() -> None:
    """A name that the function never writes would be watched in vain."""
    assert set(CAUSES) == set(Metric) - NOT_OF_BATCHES


def test_every_outcome_has_a_metric_of_its_name() -> None:
    """Outcomes are counted under the names that the documents and the alarms use."""
    assert all(Metric[outcome.name] == outcome.capitalize() for outcome in Outcome)


class TestBatch:
    """What one batch writes."""

    def test_a_healthy_batch_writes_nothing_but_what_it_did_and_the_zeros_that_alarms_need(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """Each further name would cost USD 0.30 in every month."""
        deliver(pipeline, create())
        written()
        deliver(pipeline, create("kim"), create("lee"))
        values = written()
        assert len(values.pop(Metric.API_LATENCY)) == len(values.pop(Metric.DELIVERY_TIME)) == 2
        assert values == ZEROS | {Metric.DELIVERED: [2], Metric.ANSWERED_2XX: [2]}

    def test_a_batch_of_more_values_than_an_array_holds_writes_each_of_them_once(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """CloudWatch takes 100 values for a metric in a line; here the second line is full, too."""
        numbers = range(200)
        calls, breaker = CallTally(), CircuitBreaker(30, 300)
        for number in numbers:
            calls.note_answer(201, number)
        attempts = [Attempt(Mock(), Mock(), Outcome.DELIVERED, delivery_s=number) for number in numbers]
        metrics = Metrics(service="deliver-leads", namespace=METRICS_NAMESPACE)
        BatchMetrics(metrics, calls, breaker).write(attempts, visibility_not_set=0)
        metrics.flush_metrics()
        values = read_metrics(capsys.readouterr().out)
        assert sorted(values.pop(Metric.API_LATENCY)) == [number * 1000 for number in numbers]
        assert sorted(values.pop(Metric.DELIVERY_TIME)) == list(numbers)
        counts = {name: sum(each) for name, each in values.items()}
        assert counts == dict.fromkeys(ZEROS, 0) | dict.fromkeys(
            (Metric.DELIVERED, Metric.ANSWERED_2XX), len(numbers)
        )

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_each_attempt_counts_once(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An event that is tried again alone, because the function crashed over it, counts once."""
        deliver(pipeline, create("max"))  # fetches the token
        jane, kim, lee, unreadable = (
            record(body, number)
            for number, body in enumerate([create(), create("kim"), create("lee"), "not json"])
        )
        with monkeypatch.context() as patch:
            patch.setattr(LeadsApi, "send", Mock(side_effect=SystemExit))
            with pytest.raises(SystemExit):
                pipeline.invoke([jane])
        written()
        pipeline.pass_time(900)
        pipeline.fail(answer(422) | {"email": "kim@example.com"})
        pipeline.invoke([*pipeline.bring_back([jane]), kim, lee, unreadable])
        values = written()
        assert {name: values[name] for name in OF_ATTEMPTS if values.get(name, [0]) != [0]} == {
            Metric.DELIVERED: [2],
            Metric.REJECTED: [2],
        }

    def test_an_event_that_can_not_be_read_is_rejected_and_parked_and_nothing_else(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """No call was made for it, and it has no time of delivery."""
        deliver(pipeline, "not json")
        assert written() == ZEROS | {Metric.REJECTED: [1], Metric.PARKED: [1]}

    def test_a_lead_that_the_dead_letter_queue_refuses_is_not_counted_as_parked(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It goes back; the log says why."""
        no_dead_letters(pipeline, monkeypatch)
        values = written()
        assert (values[Metric.PARKED], values[Metric.PARKING_REFUSED]) == ([0], [1])
        assert "the dead-letter queue refused it (AccessDenied)" in pipeline.log.getvalue()

    def test_the_log_says_why_a_visibility_timeout_was_not_set(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The metric has a number only."""
        no_visibility(pipeline, monkeypatch)
        assert '"messages":2,"reason":"AccessDenied"' in pipeline.log.getvalue()

    def test_a_visibility_timeout_that_is_refused_in_an_answer_is_counted_and_logged_too(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """SQS answers 200 for a batch, whatever it thinks of its entries."""
        pipeline.fail(answer(425) | {"email": "jane@example.com"})
        pipeline.invoke([record(create(), 1), record(create("kim"), 2)])
        assert written()[Metric.VISIBILITY_NOT_SET] == [1]
        assert '"messages":1,"reason":"ReceiptHandleIsInvalid"' in pipeline.log.getvalue()

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_the_calls_of_a_batch_that_fails_are_counted_by_the_next_one(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its attempts are made again; its calls were made, and count once."""
        with monkeypatch.context() as patch:
            patch.setattr(BatchRunner, "_set_visibility", Mock(side_effect=RuntimeError("bug")))
            with pytest.raises(RuntimeError, match="bug"):
                deliver(pipeline, create())
        deliver(pipeline, create("kim"))
        deliver(pipeline, create("lee"))
        values = written()
        assert values[Metric.DELIVERED] == [1, 1]
        assert values[Metric.ANSWERED_2XX] == [2, 1]


class TestCalls:
    """Latency and answers are those of the calls, not of the attempts."""

    def test_a_call_that_is_repeated_with_a_new_token_counts_twice(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """And so does its token."""
        deliver(pipeline, create())
        pipeline.revoke_tokens()
        written()
        deliver(pipeline, create("kim"))
        values = written()
        assert (values[Metric.ANSWERED_4XX], values[Metric.ANSWERED_2XX]) == ([1], [1])
        assert (len(values[Metric.API_LATENCY]), values[Metric.TOKENS_FETCHED]) == (2, [1])
        assert values[Metric.DELIVERED] == [1]

    def test_a_create_in_doubt_counts_each_of_its_calls(self, pipeline: Pipeline, written: Written) -> None:
        """An update that is answered 404, then the create."""
        pipeline.fail({"operation": "create", "times": 1, "fault": {"kind": "cut_before"}})
        records = deliver(pipeline, create())
        pipeline.settle()
        written()
        pipeline.deliver(pipeline.bring_back(records))
        values = written()
        assert (values[Metric.ANSWERED_4XX], values[Metric.ANSWERED_2XX]) == ([1], [1])
        assert len(values[Metric.API_LATENCY]) == 2

    def test_a_throttled_call_is_no_other_4xx(self, pipeline: Pipeline, written: Written) -> None:
        """One says to slow down, the other that something is wrong."""
        throttled(pipeline, pytest.MonkeyPatch())
        assert Metric.ANSWERED_4XX not in written()

    def test_a_call_without_an_answer_has_no_latency(self, pipeline: Pipeline, written: Written) -> None:
        """Its time-out would hide what the API takes."""
        cut(pipeline, pytest.MonkeyPatch())
        values = written()
        assert Metric.API_LATENCY not in values
        assert values[Metric.UNCONFIRMED] == [1]

    def test_a_redirect_has_a_latency_and_no_class(self, pipeline: Pipeline, written: Written) -> None:
        """It means a wrong URL, and is counted as blocked."""
        pipeline.fail(answer(302))
        deliver(pipeline, create())
        values = written()
        assert len(values[Metric.API_LATENCY]) == 1
        assert not {name for name in values if name.startswith("Answered")}
        assert values[Metric.BLOCKED] == [1]

    def test_the_latency_is_the_calls_own(self, pipeline: Pipeline, written: Written) -> None:
        """It is in milliseconds, without calls for token and ledger. An update fetches its own token."""
        pipeline.fail(
            {"operation": "update", "fault": {"kind": "delay", "seconds": 0.3}},
            {"operation": "token", "fault": {"kind": "delay", "seconds": 1}},
        )
        deliver(pipeline, create() | {"operation": "update"})
        [latency_ms] = written()[Metric.API_LATENCY]
        [attempt] = [json.loads(line) for line in pipeline.log.getvalue().splitlines()]
        assert 300 <= latency_ms <= attempt["duration_ms"] - 1000


class TestNoConnection:
    """Nothing listens at the API's address."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """A port that no service has."""
        return {"LEADS_API_URL": "http://127.0.0.1:1"}

    def test_a_call_without_a_connection_is_unanswered(self, pipeline: Pipeline, written: Written) -> None:
        """And a retry, because nothing left."""
        deliver(pipeline, create())
        values = written()
        assert (values[Metric.UNANSWERED], values[Metric.RETRY]) == ([1], [1])
        assert Metric.API_LATENCY not in values


class TestTime:
    """The delivery time, from an event's first sending until it was delivered."""

    def test_a_delivery_after_a_retry_counts_from_the_sending(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """Once, when it is delivered."""
        pipeline.fail(answer(425) | {"times": 1})
        records = deliver(pipeline, create())
        assert Metric.DELIVERY_TIME not in written()
        pipeline.pass_time(600)
        pipeline.deliver(pipeline.bring_back(records))
        [delivery_s] = written()[Metric.DELIVERY_TIME]
        assert 600 <= delivery_s < 1200

    def test_a_redriven_event_counts_from_its_first_sending(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """SQS gives it a new sent time, but its lead has waited since."""
        pipeline.fail(answer(422))
        deliver(pipeline, create())
        pipeline.fail()
        pipeline.pass_time(3 * DAY_S)
        written()
        assert pipeline.deliver(pipeline.redrive()) == set()
        [delivery_s] = written()[Metric.DELIVERY_TIME]
        assert 3 * DAY_S <= delivery_s < 4 * DAY_S

    def test_a_duplicate_has_none(self, pipeline: Pipeline, written: Written) -> None:
        """Its event was delivered before."""
        duplicate(pipeline, pytest.MonkeyPatch())
        assert len(written()[Metric.DELIVERY_TIME]) == 1

    def test_a_message_from_a_clock_that_is_ahead_took_no_time(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """One negative value would take all percentiles away."""
        deliver(pipeline)
        pipeline.send(create())
        pipeline.pass_time(-30)
        pipeline.deliver()
        assert written()[Metric.DELIVERY_TIME] == [0]

    def test_the_oldest_lead_that_goes_back_gives_its_age(self, pipeline: Pipeline, written: Written) -> None:
        """A lead that is delivered doesn't count, nor one that is parked."""
        pipeline.fail(answer(425) | {"email": "jane@example.com"}, answer(425) | {"email": "lee@example.com"})
        records = deliver(pipeline, create())
        older = pipeline.bring_back([record(create("kim"), 1), record("not json", 2)], aged_s=10_000)
        pipeline.invoke([*pipeline.bring_back(records, aged_s=7200), *older, record(create("lee"), 3)])
        first, second = written()[Metric.OLDEST_RETURNED]
        assert first < 60
        assert 7200 <= second < 7260


class TestDeferred:
    """Nothing was sent, which is no failure of anything."""

    def test_an_event_that_waits_for_another_one_is_deferred_and_not_retried(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """Only the first one has met the fault."""
        pipeline.fail(answer(425))
        deliver(pipeline, create(), event("update"))
        values = written()
        assert (values[Metric.RETRY], values[Metric.DEFERRED]) == ([1], [1])

    def test_an_unanswered_event_that_waits_is_not_unconfirmed_again(
        self, pipeline: Pipeline, written: Written
    ) -> None:
        """While the breaker is open it isn't sent."""
        pipeline.fail(answer(503))
        records = deliver(pipeline, *[create(f"lead{number}") for number in range(5)])
        assert written()[Metric.UNCONFIRMED] == [5]
        pipeline.deliver(pipeline.bring_back(records))
        values = written()
        assert values[Metric.DEFERRED] == [5]
        assert Metric.UNCONFIRMED not in values
        assert values[Metric.BREAKER_OPEN] == [1]


class TestBreaker:
    """While the API counts as down."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """The breaker lets a probe through at once."""
        return {"RETRY_BASE_DELAY_S": "0"}

    def test_it_is_open_until_a_probe_succeeds(self, pipeline: Pipeline, written: Written) -> None:
        """The alarm ends with the outage."""
        outage(pipeline, pytest.MonkeyPatch())
        deliver(pipeline, create("kim"))
        assert written()[Metric.BREAKER_OPEN] == [1, 1]
        pipeline.fail()
        deliver(pipeline, create("lee"))
        assert written()[Metric.BREAKER_OPEN] == [0]


class TestLedger:
    """What the ledger couldn't take."""

    def test_a_claim_that_is_refused_is_a_retry(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that a missing table or right is seen within minutes; the log has AWS's code."""
        fail_call(monkeypatch, "UpdateItem")
        deliver(pipeline, create())
        values = written()
        assert (values[Metric.LEDGER_NOT_WRITTEN], values[Metric.RETRY]) == ([1], [1])
        assert '"reason":"delivery ledger: AccessDenied"' in pipeline.log.getvalue()
        assert '"ledger_written":false' in pipeline.log.getvalue()

    @pytest.mark.parametrize(("status", "outcome"), [(201, Metric.UNCONFIRMED), (429, Metric.RETRY)])
    def test_a_result_that_is_not_written_counts_under_what_was_sent(
        self,
        pipeline: Pipeline,
        written: Written,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        outcome: Metric,
    ) -> None:
        """Also that of a delivery: it isn't deferred, because something was sent, and is delivered later."""
        deliver(pipeline, create("kim"))
        written()
        pipeline.fail(answer(status, body={"id": 7, "state": "New"}))
        with monkeypatch.context() as patch:
            fail_call(patch, "UpdateItem", 2, 3)  # together, then alone
            records = deliver(pipeline, create())
        values = written()
        assert (values[Metric.LEDGER_NOT_WRITTEN], values[outcome]) == ([1], [1])
        assert not {Metric.DEFERRED, Metric.DELIVERED, Metric.DELIVERY_TIME, Metric.NOT_MAILED} & set(values)
        pipeline.fail()
        pipeline.pass_time(900)
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        values = written()
        assert (values[Metric.DELIVERED], values[Metric.LEDGER_NOT_WRITTEN]) == ([1], [0])

    def test_a_duplicate_that_is_not_written_is_deferred(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was sent for it."""
        deliver(pipeline, create())
        written()
        fail_call(monkeypatch, "UpdateItem", 3)  # after both attempts to claim it
        deliver(pipeline, create())
        values = written()
        assert (values[Metric.LEDGER_NOT_WRITTEN], values[Metric.DEFERRED]) == ([1], [1])


class TestTokens:
    """What was asked of the token endpoint."""

    def test_a_secret_that_can_not_be_read_is_a_failed_token(
        self, pipeline: Pipeline, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Throttled, for example; the token endpoint was never asked. It is tried before the lead is, too."""
        fail_call(monkeypatch, "GetSecretValue")
        deliver(pipeline, create())
        values = written()
        assert (values[Metric.TOKENS_FAILED], values[Metric.RETRY]) == ([2], [1])


class TestNotMailed:
    """Delivered, and yet 7Targets writes to no one."""

    @pytest.mark.parametrize(
        ("operation", "state"), [("create", "New"), ("create", "DeActivated"), ("update", "PENDING")]
    )
    def test_a_lead_in_such_a_state_is_counted(
        self, pipeline: Pipeline, written: Written, state: str, operation: str
    ) -> None:
        """It is delivered all the same."""
        pipeline.fail(answer_with_state(state, 200))
        deliver(pipeline, event(operation))
        values = written()
        assert (values[Metric.NOT_MAILED], values[Metric.DELIVERED]) == ([1], [1])

    @pytest.mark.parametrize("state", ["UnSubscribed", "", None])
    def test_a_lead_in_another_state_is_not(
        self, pipeline: Pipeline, written: Written, state: str | None
    ) -> None:
        """An unsubscribed person is e-mailed no more either, but has said so."""
        pipeline.fail(answer(201, body={"id": 7, "state": state}))
        deliver(pipeline, create())
        assert Metric.NOT_MAILED not in written()

    def test_a_stopped_lead_is_not(self, pipeline: Pipeline, written: Written) -> None:
        """No e-mails is what the stop asks for."""
        pipeline.fail(answer_with_state("DeActivated", 200))
        deliver(pipeline, event("stop_followup"))
        values = written()
        assert values[Metric.DELIVERED] == [1]
        assert Metric.NOT_MAILED not in values
