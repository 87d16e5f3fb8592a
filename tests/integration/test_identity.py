"""Which messages are the same event: one message id, or one key and one content. Nothing else is dropped."""

import re
from collections.abc import Callable

import pytest

from tests.integration.conftest import Pipeline
from tests.integration.lead_events import HOUR_S, break_api, calls_for_jane, create, fail_once, jane, update
from tests.integration.simulated_queue import SimulatedQueue

KEY = {"idempotencyKey": "crm-1"}
USED_BEFORE = r"(?i)idempotency ?key .*other content"


def broken() -> dict[str, object]:
    """A create with the key, whose name is missing."""
    lead: object = {"email": "jane@example.com", "assistantEmail": "sam@example.net"}
    return {"operation": "create", "lead": lead, **KEY}


class TestBrokenTwin:
    """A broken event with a good one's key says nothing about the good one."""

    def test_a_create_that_an_outage_holds_up_is_delivered_though_a_broken_one_was_parked_meanwhile(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """The ledger hears of the broken one first."""
        break_api(queue)
        good = queue.send(create(context="good") | KEY)
        assert queue.deliver(good) == {good}
        pipeline.pass_time(60)
        assert queue.deliver(queue.send(broken())) == set()
        pipeline.pass_time(600)
        pipeline.fail()
        assert queue.deliver(good) == set()
        assert jane(pipeline)["context"] == "good"
        [letter] = queue.parked()
        assert "lead.name" in letter["detail"]

    def test_a_create_whose_environment_is_slower_than_the_broken_one_s_is_delivered(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Two batches, seconds apart."""
        good = queue.send(create(context="good") | KEY)
        pipeline.pass_time(2)
        bad = queue.send(broken())
        assert queue.deliver(bad) == set()
        assert queue.deliver(good) == set()
        assert jane(pipeline)["context"] == "good"
        assert len(queue.parked()) == 1

    def test_a_redriven_create_that_an_outage_holds_up_is_delivered_though_a_broken_one_was_parked_meanwhile(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """A person fixed the cause of the good one, and a producer sends nonsense under its key."""
        pipeline.fail(fail_once("create", kind="status", status=422))
        queue.send(create(context="good") | KEY)
        queue.deliver()
        pipeline.pass_time(HOUR_S)
        [redriven] = queue.redrive()
        break_api(queue)
        assert queue.deliver(redriven) == {redriven}
        pipeline.pass_time(60)
        assert queue.deliver(queue.send(broken())) == set()
        pipeline.pass_time(600)
        pipeline.fail()
        assert queue.deliver(redriven) == set()
        assert jane(pipeline)["context"] == "good"


class TestKeyUsedTwice:
    """The same operation and key for two contents: a producer's error, or a correction."""

    @pytest.mark.parametrize("event", [create, update])
    @pytest.mark.parametrize("apart_s", [0, HOUR_S])
    def test_other_content_after_a_delivered_event_is_parked_with_that_reason(
        self, pipeline: Pipeline, queue: SimulatedQueue, event: Callable[..., dict[str, object]], apart_s: int
    ) -> None:
        """Dropped, it would be lost; sent, it could be an old event that comes late."""
        queue.send(create("jane", source="Fair"))
        queue.deliver()
        first = queue.send(event(context="first") | KEY)
        pipeline.pass_time(apart_s)
        if apart_s:
            queue.deliver(first)
        queue.send(event(context="second") | KEY)
        calls_before = len(pipeline.calls())
        queue.run(hours=1)
        assert queue.messages == {}
        assert len(pipeline.calls()) == calls_before + (0 if apart_s else 1)
        assert jane(pipeline)["context"] == "first"
        [letter] = queue.parked()
        assert '"second"' in letter["body"]
        assert letter["reason"] == "rejected"
        assert re.search(USED_BEFORE, letter["detail"])

    def test_copies_of_an_event_that_is_parked_for_its_used_key_add_nothing_to_the_dead_letter_queue(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """All of them were sent before it was parked."""
        queue.send(create(context="first") | KEY)
        queue.deliver()
        copies = [queue.send(create(context="second") | KEY) for _ in range(4)]
        for copy in copies:
            assert queue.deliver(copy) == set()
        assert len(queue.parked()) == 1

    @pytest.mark.parametrize("after_s", [-2, 10, HOUR_S])
    def test_other_content_after_a_parked_event_is_a_new_try_whenever_it_was_sent(
        self, pipeline: Pipeline, queue: SimulatedQueue, after_s: int
    ) -> None:
        """The producer has corrected the event, perhaps before it was refused."""
        pipeline.fail(fail_once("create", kind="status", status=422))
        wrong = queue.send(create(phone="wrong") | KEY)
        if after_s < 0:
            right = queue.send(create(phone="+1") | KEY)
            pipeline.pass_time(-after_s)
            queue.deliver(wrong)
        else:
            queue.deliver(wrong)
            pipeline.pass_time(after_s)
            right = queue.send(create(phone="+1") | KEY)
        assert queue.deliver(right) == set()
        assert jane(pipeline)["phone"] == "+1"
        assert len(queue.parked()) == 1


class TestCopies:
    """The same key and the same content."""

    @pytest.mark.parametrize("after_s", [-2, 10])
    def test_a_copy_sent_before_its_event_was_parked_is_skipped(
        self, pipeline: Pipeline, queue: SimulatedQueue, after_s: int
    ) -> None:
        """By two clocks, of which one may be half a minute ahead: a person has the event already."""
        pipeline.fail(fail_once("create", kind="status", status=422))
        event = queue.send(create() | KEY)
        copy = queue.send(create() | KEY) if after_s < 0 else ""
        pipeline.pass_time(abs(after_s))
        queue.deliver(event)
        if after_s > 0:
            pipeline.pass_time(after_s)
            copy = queue.send(create() | KEY)
        assert queue.deliver(copy) == set()
        assert pipeline.calls() == [("create", 422)]
        assert len(queue.parked()) == 1

    def test_a_copy_sent_well_after_its_event_was_parked_is_a_new_try(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """The producer's own repetition, after the cause was fixed at 7Targets."""
        pipeline.fail(fail_once("create", kind="status", status=422))
        queue.deliver(queue.send(create() | KEY))
        pipeline.pass_time(60)
        assert queue.deliver(queue.send(create() | KEY)) == set()
        assert calls_for_jane(pipeline) == [("create", 422), ("create", 201)]

    def test_the_way_in_the_order_of_the_fields_and_the_case_of_an_address_are_no_content(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Once to the queue, and once over the bus by a producer that was not sure."""
        queue.deliver(queue.send(create(context="form") | KEY))
        lead = {
            "context": " form ",
            "phone": None,
            "email": "Jane@Example.com",
            "assistantEmail": "sam@example.net",
            "name": "Jane",
        }
        event = {
            "detail-type": "Lead Created",
            "source": "my.crm",
            "id": "e-1",
            "detail": {"lead": lead} | KEY,
        }
        assert queue.deliver(queue.send(event)) == set()
        assert pipeline.calls() == [("create", 201)]
        assert queue.parked() == []
