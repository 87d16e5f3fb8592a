"""What the ledger has forgotten of a lead never harms: no event undoes or repeats another."""

import random

import pytest

from sim.settings import ENVIRONMENT
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import DAY_S, HOUR_S, create, fail_once, jane, stop, update
from tests.integration.simulated_queue import SimulatedQueue, keep_quotas

# Hundreds of events and months of simulated time.
pytestmark = pytest.mark.simulation

KEY = {"idempotencyKey": "crm-1"}
# For so long an event with a key of its producer's is remembered.
REMEMBERED_S = int(ENVIRONMENT["LEDGER_S"])
CONTENT = ("phone", "context", "company", "designation", "industry", "location", "crm")


def count(pipeline: Pipeline, operation: str) -> int:
    """How many calls of the operation arrived."""
    return sum(called == operation for called, _ in pipeline.calls())


def deliver_all(queue: SimulatedQueue, *bodies: dict[str, object]) -> None:
    """One after another, ten in a batch."""
    ids = [queue.send(body) for body in bodies]
    for start in range(0, len(ids), 10):
        assert queue.deliver(*ids[start : start + 10]) == set()


def updates(count: int) -> list[dict[str, object]]:
    """Updates of Jane, each with another phone."""
    return [update(phone=f"+{number}") for number in range(count)]


class TestRepeatedCreates:
    """A create that comes again, long after it was delivered."""

    @pytest.mark.parametrize("after_s", [60, 25 * HOUR_S, REMEMBERED_S - HOUR_S])
    def test_it_is_a_duplicate_after_25_updates(
        self, pipeline: Pipeline, queue: SimulatedQueue, after_s: int
    ) -> None:
        """Soon, after every window of what has no key, and on the last day on which it is remembered."""
        once = create(context="webinar", phone="+") | KEY
        deliver_all(queue, once, *updates(25))
        calls = pipeline.calls()
        pipeline.pass_time(after_s)
        assert queue.deliver(queue.send(once)) == set()
        assert pipeline.calls() == calls
        assert jane(pipeline)["phone"] == "+24"

    def test_it_is_a_duplicate_after_a_stop_and_21_updates(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Else it would write to a person who asked to be left alone."""
        once = create(context="webinar") | KEY
        deliver_all(queue, once, stop(), *updates(21))
        calls = pipeline.calls()
        pipeline.pass_time(25 * HOUR_S)
        assert queue.deliver(queue.send(once)) == set()
        assert pipeline.calls() == calls
        assert jane(pipeline)["nextScheduleTime"] is None

    def test_it_is_a_duplicate_after_21_updates_that_an_outage_held_up(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """What waits takes no room from what was delivered."""
        once = create(context="webinar") | KEY
        deliver_all(queue, once)
        pipeline.fail({"operation": "update", "fault": {"kind": "status", "status": 429}})
        waiting = [queue.send(body) for body in updates(21)]
        for start in (0, 10, 20):
            queue.deliver(*waiting[start : start + 10])
        pipeline.pass_time(25 * HOUR_S)
        assert len(queue.messages) == 21
        pipeline.fail()
        queue.send(once)
        queue.run(hours=6)
        assert queue.messages == {}
        assert count(pipeline, "create") == 1
        assert jane(pipeline)["phone"] == "+20"
        assert queue.parked() == []

    def test_on_the_last_day_on_which_it_is_remembered_it_is_a_duplicate_whatever_came_between(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Updates, a stop, other creates, rejected and unreadable events, lost answers."""
        once = create(context="webinar") | KEY
        deliver_all(queue, once)
        sent_s = pipeline.passed_s
        while pipeline.passed_s < sent_s + REMEMBERED_S - 5 * DAY_S:
            day = int(pipeline.passed_s)
            pipeline.fail(
                fail_once("update", kind="cut_after"), fail_once("update", kind="status", status=422)
            )
            for number in range(6):
                queue.send(update(context=f"{day} {number}"))
            queue.send(stop())
            queue.send(create(context=f"another {day}") | {"idempotencyKey": f"other {day}"})
            queue.send({"operation": "create", "lead": {"email": "jane@example.com"}} | KEY)
            queue.run(hours=12)
            pipeline.pass_time(4 * DAY_S)
        assert queue.messages == {}
        pipeline.pass_time(sent_s + REMEMBERED_S - HOUR_S - pipeline.passed_s)
        calls, held = pipeline.calls(), jane(pipeline)
        assert queue.deliver(queue.send(once)) == set()
        assert pipeline.calls() == calls
        assert jane(pipeline) == held

    def test_one_of_very_many_creates_of_a_lead_is_never_posted_again(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """However many keys are remembered: what may have been forgotten is at most an update."""
        creates = [create(context=f"{n}") | {"idempotencyKey": f"form {n}"} for n in range(60)]
        deliver_all(queue, *creates)
        assert count(pipeline, "create") == 1
        pipeline.pass_time(3 * DAY_S)
        deliver_all(queue, *creates[:3])
        assert count(pipeline, "create") == 1


class TestOldUpdates:
    """Updates that come after later ones of the lead."""

    def test_forty_updates_that_come_after_the_newest_change_nothing(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """However many of them were skipped before."""
        deliver_all(queue, create())
        *older, newest = [queue.send(update(context=f"{number}")) for number in range(41)]
        queue.deliver(newest)
        for start in range(0, len(older), 5):
            assert queue.deliver(*older[start : start + 5]) == set()
        assert jane(pipeline)["context"] == "40"
        assert count(pipeline, "update") == 1

    def test_of_300_events_in_any_order_over_three_environments_the_newest_value_of_each_field_holds(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """With a tenth of the answers lost; and the lead is created once."""
        queue.add_environments(2)
        rng = random.Random(19)  # noqa: S311 - shuffles events
        newest: dict[str, str] = {}
        bodies = [create(**dict.fromkeys(CONTENT, "0"))]
        for number in range(1, 300):
            fields = dict.fromkeys(rng.sample(CONTENT, 2), str(number))
            newest |= fields
            bodies.append(update(**fields))
        create_id, *shuffled = [queue.send(body) for body in bodies]
        rng.shuffle(shuffled)
        # Not among the last, because nothing could be delivered before it.
        shuffled.insert(5, create_id)
        for place, message_id in enumerate(shuffled):
            queue.messages[message_id].visible_s += place // 10 * 90
        pipeline.fail({"operation": "leads", "rate": 0.1, "fault": {"kind": "cut_after"}})
        queue.run(hours=48)
        assert queue.messages == {}
        assert queue.parked() == []
        held = jane(pipeline)
        assert {name: held[name] for name in CONTENT} == newest
        assert held["creates"] == 1


class TestRoom:
    """An item of the ledger that grows until DynamoDB refuses it would let its lead be sent for ever."""

    @pytest.mark.usefixtures("aws_quotas")
    def test_after_500_rejected_events_of_a_lead_a_good_one_is_delivered_once(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """A producer's hourly job forgets a mandatory field for three weeks."""
        deliver_all(queue, create())
        bad: dict[str, object] = {
            "operation": "update",
            "lead": {"email": "jane@example.com", "assistantEmail": "sam@example.net"},
        }
        deliver_all(queue, *[bad] * 500)
        queue.send(update(phone="+1"))
        queue.run(hours=0.1)
        assert queue.messages == {}
        assert [body["phone"] for body in pipeline.bodies("update")] == ["+1"]

    def test_very_many_waiting_events_of_a_lead_are_each_sent_once_in_the_end(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An item has a twenty-fifth of DynamoDB's room, so that fewer events than 1,400 are enough."""
        deliver_all(queue, create())
        keep_quotas(monkeypatch, largest_item=16_000)
        pipeline.fail({"operation": "update", "fault": {"kind": "status", "status": 429}})
        waiting = [queue.send(update(phone=f"+{number}")) for number in range(80)]
        for start in range(0, len(waiting), 10):
            assert len(queue.deliver(*waiting[start : start + 10])) == 10
        assert '"ledger_written":false' not in pipeline.log.getvalue()
        pipeline.fail()
        turned_away = len(pipeline.bodies("update"))
        sent: list[str] = []
        for _ in range(4 * 24):
            queue.run(hours=0.25)
            sent = [body["phone"] for body in pipeline.bodies("update")[turned_away:]]
            assert sorted(set(sent)) == sorted(sent)
            if not queue.messages:
                break
        assert queue.messages == {}
        assert queue.parked() == []
        assert jane(pipeline)["phone"] == "+79"

    @pytest.mark.usefixtures("aws_quotas")
    def test_very_many_names_of_fields_over_very_many_events_are_no_reason_to_send_one_twice(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Each record of a CRM has other fields, as many and as long as may be."""
        for number in range(12):
            names = {f"{number:03} {place:03} ".ljust(100, "x"): "y" for place in range(96)}
            queue.send((update if number else create)(**names))
            queue.deliver()
        assert queue.messages == {}
        assert queue.parked() == []
        assert len(pipeline.calls()) == 12
