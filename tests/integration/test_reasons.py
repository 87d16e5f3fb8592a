"""A parked lead's reason is true, whatever refused its last attempt; and what was delivered isn't parked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deliver_leads.api.leads_api import LeadsApi
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import DAY_S, HOUR_S, create, fail_once, jane, update
from tests.integration.simulated_queue import LEDGER_WRITES, SimulatedQueue, before_aws_calls, refuse

ALL_429 = {"operation": "leads", "fault": {"kind": "status", "status": 429}}
PARKED_AFTER_S = 97 * HOUR_S  # more than the setting


# Days of simulated time.
pytestmark = pytest.mark.simulation


@contextmanager
def ledger_down(code: str = "ThrottlingException") -> Iterator[None]:
    """DynamoDB refuses whatever it is asked."""

    def answer(service: str, operation: str, request: Any) -> None:
        if service == "dynamodb":
            raise refuse(operation, code)

    with pytest.MonkeyPatch.context() as patch:
        before_aws_calls(patch, answer)
        yield


def lose_creates(queue: SimulatedQueue, count: int) -> list[str]:
    """Creates that take effect, and whose answers are lost."""
    queue.pipeline.fail({"operation": "create", "fault": {"kind": "cut_after"}})
    ids = [queue.send(create("jane" if number == 0 else f"lost{number}")) for number in range(count)]
    queue.deliver(*ids)
    queue.pipeline.settle()
    return ids


def reasons(queue: SimulatedQueue) -> dict[str, str]:
    """Why each message was parked."""
    return {letter["messageId"]: letter["reason"] for letter in queue.parked()}


class TestInDoubt:
    """A create whose request left, and of which nothing more is known."""

    def test_creates_in_doubt_are_parked_as_unconfirmed_though_the_breaker_is_open(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """A person must be able to distinguish them from those that were never sent."""
        lost = lose_creates(queue, 3)
        pipeline.fail(ALL_429)
        never_sent = [queue.send(create(f"other{number}")) for number in range(7)]
        queue.deliver(*never_sent)
        pipeline.pass_time(PARKED_AFTER_S)
        queue.deliver(*never_sent)  # the probe is among them
        queue.deliver(*lost)
        assert reasons(queue) == dict.fromkeys(lost, "unconfirmed") | dict.fromkeys(never_sent, "retry")
        pipeline.fail()
        pipeline.pass_time(HOUR_S)
        queue.redrive()
        queue.run(hours=2)
        assert {each["creates"] for each in pipeline.leads().values()} == {1}

    def test_a_create_in_doubt_waits_for_a_ledger_that_is_down_and_is_then_parked_as_unconfirmed(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Before it is looked at, nobody knows whether its request left."""
        [lost] = lose_creates(queue, 1)
        pipeline.fail(ALL_429)
        with ledger_down():
            queue.deliver(lost)
            pipeline.pass_time(PARKED_AFTER_S)
            assert queue.deliver(lost) == {lost}
        pipeline.pass_time(HOUR_S)
        assert queue.deliver(lost) == set()
        assert reasons(queue) == {lost: "unconfirmed"}

    def test_what_the_ledger_can_t_tell_until_sqs_would_drop_the_message_is_parked_as_unconfirmed(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """SQS drops a message after 14 days, without a reason."""
        [lost] = lose_creates(queue, 1)
        with ledger_down():
            pipeline.pass_time(12 * DAY_S)
            assert queue.deliver(lost) == {lost}
            queue.run(hours=47)
        assert queue.messages == {}
        assert reasons(queue) == {lost: "unconfirmed"}

    def test_a_create_that_left_no_trace_and_is_then_refused_is_parked_as_rejected(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """A 404 to its repetition has ended the doubt."""
        refused = fail_once("create", kind="status", status=422)
        pipeline.fail(fail_once("create", kind="cut_before"), refused)
        event = queue.send(create())
        queue.run(hours=1)
        assert reasons(queue) == {event: "rejected"}


class TestCrashes:
    """An environment that ended while it delivered an event, or seems to have."""

    def test_a_throttled_ledger_and_a_backlog_are_no_crashes(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The claim is written, what came of it isn't; and the message waits in a backlog for long."""
        left = [0]

        def throttle(service: str, operation: str, request: Any) -> None:
            if operation in LEDGER_WRITES:
                left[0] -= 1
                if left[0] < 0:
                    raise refuse(operation)

        queue.deliver(queue.send(create()))
        event = queue.send(update(phone="+1"))
        with monkeypatch.context() as patch:
            before_aws_calls(patch, throttle)
            for _ in range(3):
                left[0] = 1
                assert queue.deliver(event) == {event}
                pipeline.pass_time(60 + 660)
        queue.run(hours=6)
        assert queue.messages == {}
        assert queue.parked() == []
        assert jane(pipeline)["phone"] == "+1"


class TestUnwritable:
    """A refusal of the ledger that no repetition cures."""

    def test_an_event_that_was_delivered_and_can_t_be_noted_is_parked_with_that_reason(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else it is sent for ever."""
        was_sent = [False]
        original = LeadsApi.send

        def send(self: LeadsApi, operation: Any, fields: Any, time_left: Any) -> Any:
            was_sent[0] = True
            return original(self, operation, fields, time_left)

        def answer(service: str, operation: str, request: Any) -> None:
            if was_sent[0] and operation in LEDGER_WRITES:
                raise refuse(operation, "ValidationException")

        queue.deliver(queue.send(create()))
        monkeypatch.setattr(LeadsApi, "send", send)
        event = queue.send(update(phone="+1"))
        before_aws_calls(monkeypatch, answer)
        for _ in range(12):
            was_sent[0] = False
            if event in queue.messages:
                queue.deliver(event)
                pipeline.pass_time(HOUR_S)
        assert queue.messages == {}
        [letter] = queue.parked()
        assert "delivered" in letter["detail"]
        assert "ledger" in letter["detail"]


class TestUpdateOfAParkedCreate:
    """An update of a lead that 7Targets doesn't know, because its create waits for a person."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """A grace period as short as can be."""
        return {"UPDATE_GRACE_S": "1"}

    def test_it_says_that_the_create_is_parked(self, pipeline: Pipeline, queue: SimulatedQueue) -> None:
        """The create came; the person has to send both again."""
        pipeline.fail(fail_once("create", kind="status", status=422))
        first = queue.send(create())
        queue.deliver(first)
        event = queue.send(update(phone="+1"))
        for number in range(3):
            if event in queue.messages:
                queue.deliver(event)
                pipeline.pass_time(60)
                queue.deliver(queue.send(create(f"kim{number}")))  # shows that the address is right
        assert queue.messages == {}
        [detail] = [letter["detail"] for letter in queue.parked() if letter["messageId"] == event]
        assert "no create came" not in detail
        assert re.search(r"create .*(parked|dead-letter queue)", detail)


class TestReceives:
    """SQS moves a message after 1,000 receives, without a reason; the function is earlier."""

    def nearly(self, queue: SimulatedQueue, message_id: str) -> None:
        """Its next receive is the 899th."""
        queue.messages[message_id].receives = 898

    def test_at_the_900th_receive_a_lead_is_parked_with_its_last_reason(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """However young it is."""
        pipeline.fail({"operation": "leads", "fault": {"kind": "status", "status": 425}})
        event = queue.send(create())
        self.nearly(queue, event)
        assert queue.deliver(event) == {event}
        assert queue.deliver(event) == set()
        [letter] = queue.parked()
        assert (letter["reason"], letter["status"]) == ("retry", "425")
        assert "leads API answered 425" in letter["detail"]

    def test_at_the_900th_receive_a_create_in_doubt_is_parked_as_unconfirmed(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """As at the parking age."""
        [lost] = lose_creates(queue, 1)
        pipeline.fail(ALL_429)
        self.nearly(queue, lost)
        assert queue.deliver(lost) == {lost}
        assert queue.deliver(lost) == set()
        assert reasons(queue) == {lost: "unconfirmed"}

    @pytest.mark.parametrize("status", [425, 429])
    def test_at_the_900th_receive_a_lead_that_breaker_or_pace_hold_up_is_parked(
        self, pipeline: Pipeline, queue: SimulatedQueue, status: int
    ) -> None:
        """With the reason for which the breaker is open, or the API is limited."""
        limited = {"kind": "status", "status": status, "headers": {"Retry-After": "600"}}
        pipeline.fail({"operation": "leads", "fault": limited})
        queue.deliver(*[queue.send(create(f"other{number}")) for number in range(6)])
        event = queue.send(create())
        self.nearly(queue, event)
        assert queue.deliver(event) == {event}
        assert queue.deliver(event) == set()
        [letter] = queue.parked()
        assert letter["reason"] == "retry"
        assert f"leads API answered {status}" in letter["detail"]

    def test_at_the_900th_receive_an_event_that_waits_for_an_earlier_one_is_parked(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """It is not for its age, but SQS would not ask."""
        queue.deliver(queue.send(create()))
        pipeline.fail(ALL_429)
        earlier = queue.send(update(phone="+1"))
        queue.deliver(earlier)
        event = queue.send(update(phone="+2"))
        self.nearly(queue, event)
        assert queue.deliver(event) == {event}
        assert queue.deliver(event) == set()
        [letter] = queue.parked()
        assert (letter["messageId"], letter["reason"]) == (event, "retry")
        assert "earlier event" in letter["detail"]
