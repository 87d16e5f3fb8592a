"""Windows and order go by the events' own times, however long one waited and whenever it is redriven."""

import pytest
import requests

from infra.config import DeploymentConfig
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import (
    DAY_S,
    HOUR_S,
    break_api,
    calls_for_jane,
    create,
    fail_once,
    jane,
    lead,
    stop,
    update,
)
from tests.integration.simulated_queue import SimulatedQueue

# Days of simulated time.
pytestmark = pytest.mark.simulation


class TestRedrives:
    """A message that a person sends again, long after its event came."""

    def test_a_create_redriven_a_day_after_a_later_stop_starts_no_e_mails(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """It updates the lead with all but its sequence, because the stop shows that the lead exists."""
        queue.send(create(context="first", scheduleName="Webinar 1") | {"idempotencyKey": "w1"})
        queue.deliver()
        pipeline.pass_time(7 * DAY_S)
        pipeline.fail(fail_once("create", kind="status", status=422))
        queue.send(create(context="second", scheduleName="Webinar 2") | {"idempotencyKey": "w2"})
        queue.deliver()
        pipeline.pass_time(HOUR_S)
        queue.send(stop())
        queue.deliver()
        pipeline.pass_time(DAY_S + HOUR_S)
        assert queue.deliver(*queue.redrive()) == set()
        assert pipeline.calls()[-1] == ("update", 200)
        held = jane(pipeline)
        assert (held["nextScheduleTime"], held["context"], held["creates"]) == (None, "second", 1)

    def test_an_event_redriven_at_once_is_sent_though_the_function_s_clock_is_ahead_of_sqs_s(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """By its clock the event was parked after the redriven message was sent."""
        queue.ahead_s = 20
        pipeline.fail(fail_once("create", kind="status", status=400))
        queue.send(create())
        queue.deliver()
        pipeline.pass_time(3)
        assert queue.deliver(*queue.redrive()) == set()
        assert pipeline.calls() == [("create", 400), ("create", 201)]


class TestOutage:
    """The API is down for longer than any window."""

    def test_a_repetition_that_waited_out_an_outage_of_25_hours_is_a_duplicate(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Both forms were sent within a second."""
        queue.send(create(context="form"))
        queue.deliver()
        twin = queue.send(create(context="form"))
        break_api(queue)
        assert queue.deliver(twin) == {twin}
        pipeline.pass_time(25 * HOUR_S)
        pipeline.fail()
        assert queue.deliver(twin) == set()
        assert calls_for_jane(pipeline) == [("create", 201)]

    def test_a_repetition_that_an_outage_outlasted_is_never_posted_not_even_by_a_redrive(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """It came within a second of the create that was delivered, whatever became of it since."""
        queue.send(create(context="form"))
        queue.deliver()
        twin = queue.send(create(context="form"))
        break_api(queue)
        others = [each for each in queue.messages if each != twin]
        pipeline.pass_time(97 * HOUR_S)
        queue.deliver(*others)  # the probe is among them
        queue.deliver(twin)
        pipeline.fail()
        pipeline.pass_time(HOUR_S)
        queue.redrive()
        queue.run(hours=2)
        assert queue.messages == {}
        assert "other5@example.com" in pipeline.leads()
        assert calls_for_jane(pipeline) == [("create", 201)]


class TestDuplicateWindow:
    """How long a create without a key is the same as one with the same content."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """What a stage has that sets nothing."""
        return {"DUPLICATE_WINDOW_S": str(DeploymentConfig(stage="dev").duplicate_window_hours * HOUR_S)}

    def test_a_nightly_create_that_says_the_same_is_posted_once(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Each night a few seconds later, by default; each repetition starts the window anew."""
        for _ in range(5):
            queue.send(create(context="same every night"))
            assert queue.deliver() == set()
            pipeline.pass_time(DAY_S + 5)
        assert pipeline.calls() == [("create", 201)]


class TestOrder:
    """Which of two events of one lead is the later one."""

    def test_an_update_sent_before_a_create_of_a_lead_that_7targets_had_doesn_t_overwrite_it(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """There was a lead that the update could mean: 7Targets never called it unknown."""
        url = f"{pipeline.sandbox.url}/_sandbox/leads"
        requests.post(url, json=[lead(phone="+0")], timeout=10).raise_for_status()
        pipeline.fail(fail_once("update", kind="status", status=429))
        queue.send(update(phone="+1 older"))
        queue.deliver()
        pipeline.pass_time(10)
        queue.send(create(phone="+2 newer"))
        queue.run(hours=2)
        assert queue.messages == {}
        assert jane(pipeline)["phone"] == "+2 newer"

    def test_a_stop_repeated_under_its_key_after_a_later_create_is_sent_again(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """Its key is a record's id, as with many CRMs. As a duplicate, it would let the e-mails go on."""
        key = {"idempotencyKey": "crm-1"}
        for body in (create() | key, stop() | key):
            queue.send(body)
            queue.deliver()
        pipeline.pass_time(3 * DAY_S)
        queue.send(create(context="second webinar") | {"idempotencyKey": "crm-1-webinar-2"})
        queue.deliver()
        assert jane(pipeline)["nextScheduleTime"] is not None
        pipeline.pass_time(HOUR_S)
        queue.send(stop() | key)
        assert queue.deliver() == set()
        assert pipeline.calls()[-1] == ("stop_followup", 200)
        assert jane(pipeline)["nextScheduleTime"] is None


class TestAStopAfterALostCreate:
    """A create whose answer was lost may have started the e-mails, though it was then sent as an update."""

    @pytest.mark.parametrize("waits", [True, False])
    @pytest.mark.parametrize(
        ("hours", "faults"),
        [
            (72, [fail_once("create", kind="cut_after")]),
            (1, [fail_once("update", kind="status", status=404), fail_once("create", kind="cut_after")]),
        ],
        ids=["POST", "PUT, 404, POST"],
    )
    def test_a_stop_repeated_under_its_key_is_sent_again(
        self,
        pipeline: Pipeline,
        queue: SimulatedQueue,
        hours: int,
        faults: list[dict[str, object]],
        waits: bool,
    ) -> None:
        """As a duplicate, it would let the e-mails go on; also if it comes while the create still waits."""
        key = {"idempotencyKey": "crm-1"}
        for body in (create() | key, stop() | key):
            queue.send(body)
            queue.deliver()
        pipeline.pass_time(hours * HOUR_S)
        pipeline.fail(*faults)
        queue.send(create(context="second webinar") | {"idempotencyKey": "crm-1-webinar-2"})
        queue.deliver()
        assert pipeline.ask_sandbox("leads")[0]["nextScheduleTime"] is not None
        if waits:
            pipeline.pass_time(HOUR_S)
            queue.deliver(queue.send(stop() | key))
        queue.run(hours=1)
        queue.send(stop() | key)
        queue.run(hours=1)
        assert queue.messages == {}
        assert jane(pipeline)["nextScheduleTime"] is None


class TestClocks:
    """Those of two execution environments differ by seconds."""

    def test_an_environment_whose_clock_is_ahead_sends_nothing_before_a_lost_request_has_settled(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """The settling time has 30 s for that in it. Else a create that takes effect late is POSTed twice."""
        queue.add_environments(1)
        pipeline.fail(fail_once("create", kind="cut_before"))
        queue.send(create())
        queue.deliver()
        pipeline.pass_time(30)
        queue.ahead_s = 25
        twin = queue.send(create())
        assert queue.deliver(twin) == {twin}
        assert pipeline.calls() == [("create", None)]
