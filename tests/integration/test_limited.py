"""An API that limits its callers, over real HTTP: slower, not down. No test waits for a turn."""

import time
from collections import Counter
from importlib import import_module
from typing import Any

import pytest

from tests.integration.conftest import Pipeline
from tests.integration.lead_events import create
from tests.integration.simulated_queue import REAL_CLOCK, SimulatedQueue

OPERATION = {"operation": "leads"}


@pytest.fixture
def settings() -> dict[str, str]:
    """One thread, because the sleeps of several would add up on the simulated clock."""
    return {"PARALLEL_CALLS": "1", "PARK_AFTER_S": str(4 * 3600)}


def limited(calls_per_second: float, **more: object) -> dict[str, Any]:
    """The sandbox takes so many calls a second."""
    return OPERATION | {"fault": {"kind": "limited", "calls_per_second": calls_per_second, **more}}


def closed(status: int = 429, retry_after: str | None = None) -> dict[str, Any]:
    """The sandbox turns away every call."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    return OPERATION | {"fault": {"kind": "status", "status": status, "headers": headers}}


def statuses(pipeline: Pipeline) -> Counter[int | None]:
    """How often the sandbox answered what."""
    return Counter(status for _, status in pipeline.calls())


def breaker_is_open() -> bool:
    """Of the first environment."""
    return bool(import_module("deliver_leads.handler")._breaker.is_open)


@pytest.mark.parametrize("retry_after", ["", "seconds", "date"])
def test_a_batch_above_the_limit_is_delivered_in_one_invocation(pipeline: Pipeline, retry_after: str) -> None:
    """A lead waits there for seconds, also one whose call was turned away, and the breaker stays closed."""
    pipeline.fail(limited(5, burst=5, retry_after=retry_after))
    for number in range(8):
        pipeline.send(create(f"lead{number}"))
    pipeline.deliver()
    found = statuses(pipeline)
    assert found[201] >= 7
    assert found[429] > 0
    assert not breaker_is_open()
    assert all(lead["creates"] == 1 for lead in pipeline.leads().values())


def test_many_leads_get_through_and_none_is_parked(pipeline: Pipeline, queue: SimulatedQueue) -> None:
    """From three environments that share the limit; those without room go back to the queue."""
    queue.add_environments(2)
    pipeline.fail(limited(4, burst=4))
    for number in range(40):
        queue.send(create(f"lead{number}"))
    before_s = time.time()
    queue.run(hours=1)
    assert not queue.messages
    assert queue.parked() == []
    assert statuses(pipeline)[201] == 40
    assert {lead["creates"] for lead in pipeline.leads().values()} == {1}
    assert time.time() - before_s < 60


@pytest.mark.parametrize("status", [429, 503])
def test_until_a_told_end_nothing_is_called_and_nothing_is_claimed(
    pipeline: Pipeline, queue: SimulatedQueue, status: int
) -> None:
    """The others come back in the seconds after it, whatever the ladder of retries would say."""
    pipeline.fail(closed(status, "600"))
    told_s = time.time() + 600
    queue.deliver(queue.send(create("first")))
    others = [queue.send(create(f"lead{number}")) for number in range(10)]
    assert queue.deliver(*others) == set(others)
    assert statuses(pipeline) == {status: 1}
    assert len(pipeline.ledger()) == 1
    assert not breaker_is_open()
    back_s = [queue.messages[each].visible_s for each in others]
    assert told_s - 1 <= min(back_s)
    assert max(back_s) <= told_s + 15
    pipeline.fail()
    queue.run(hours=1)
    assert statuses(pipeline)[status] == 1
    assert len(pipeline.leads()) == 11
    assert time.time() < told_s + 120


def test_a_create_that_was_answered_503_with_retry_after_is_sent_again_as_an_update(
    pipeline: Pipeline, queue: SimulatedQueue
) -> None:
    """Some gateways answer so for too many calls, others while the service behind them works on."""
    pipeline.fail(closed(503, "5"))
    queue.deliver(queue.send(create()))
    pipeline.fail()
    queue.run(hours=1)
    assert [operation for operation, _ in pipeline.calls()] == ["create", "update", "create"]


def test_an_api_that_turns_everything_away_without_a_word_gets_few_calls(
    pipeline: Pipeline, queue: SimulatedQueue
) -> None:
    """It is tried twice a minute, the breaker stays closed, and leads flow within minutes of its end."""
    pipeline.fail(closed())
    for number in range(5):
        queue.send(create(f"lead{number}"))
    queue.run(hours=1 / 12)
    assert len(pipeline.calls()) < 30
    assert not breaker_is_open()
    pipeline.fail()
    ends_s = time.time()
    queue.run(hours=1)
    assert len(pipeline.leads()) == 5
    assert time.time() - ends_s < 300


def test_a_limit_parks_a_lead_only_after_the_parking_age(pipeline: Pipeline, queue: SimulatedQueue) -> None:
    """With its reason, as an outage does; its receives are far from those at which SQS would move it away."""
    pipeline.fail(closed(429, "3000"))
    lead = queue.send(create())
    queue.run(hours=3.9)
    assert queue.parked() == []
    assert queue.messages[lead].receives < 20
    queue.run(hours=2)
    [letter] = queue.parked()
    assert (letter["messageId"], letter["reason"]) == (lead, "retry")
    assert "leads API answered 429" in letter["detail"]


class TestAKnownLimit:
    """The setting callsPerSecond."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """This environment's part of it."""
        return {"CALLS_PER_SECOND": "3", "PARALLEL_CALLS": "1"}

    def test_it_is_an_upper_bound_in_every_second(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the sandbox sees it, from the first call on, also of leads that need more than one call."""
        began_s = REAL_CLOCK()
        # Calls take no time, however busy this machine is.
        monkeypatch.setattr(time, "time", lambda: began_s + pipeline.passed_s)
        pipeline.fail({"operation": "create", "times": 4, "fault": {"kind": "cut_before"}})
        for number in range(20):
            queue.send(create(f"lead{number}"))
        queue.run(hours=1)
        assert len(pipeline.leads()) == 20
        at_s = [each["at"] for each in pipeline.ask_sandbox("requests") if each["operation"] != "token"]
        assert len(at_s) == 28
        assert max(sum(one <= other < one + 1 for other in at_s) for one in at_s) <= 3
