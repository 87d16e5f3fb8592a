"""Bad input, bad answers and bad moments cost a bounded number of calls and a bounded time."""

import json
import threading
from typing import Any

import pytest

from tests.integration.conftest import Pipeline
from tests.integration.lead_events import create
from tests.integration.simulated_queue import LEDGER_WRITES, SimulatedQueue, before_aws_calls

MOST_FIELDS = 100
LONGEST_NAME = 100
PRIVATE = "mail of Jane Doe jane@private.example"


def with_fields(count: int) -> dict[str, object]:
    """A create with so many fields."""
    own = len(create()["lead"])  # type: ignore[arg-type]
    return create(**{f"field_{number}": "x" for number in range(count - own)})


class TestFields:
    """A producer that passes on a whole record, or nonsense."""

    def test_an_event_with_as_many_and_as_long_names_as_may_be_is_delivered(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """The bounds mean what they say."""
        body = with_fields(MOST_FIELDS - 1)
        body["lead"]["n" * LONGEST_NAME] = "x"  # type: ignore[index]
        queue.send(body)
        assert queue.deliver() == set()
        assert pipeline.calls() == [("create", 201)]


class TestAnswers:
    """What the API, or something before it, may answer."""

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_refusal_is_a_refusal_however_long_its_answer_is(
        self, pipeline: Pipeline, queue: SimulatedQueue, status: int
    ) -> None:
        """Its status is known, so nothing is in doubt."""
        long = "No such assistant. " + "x" * 3 * 2**20
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": status, "body": long}})
        queue.send(create())
        assert queue.deliver() == set()
        assert pipeline.calls() == [("create", status)]
        [letter] = queue.parked()
        assert (letter["reason"], letter["status"]) == ("rejected", str(status))
        assert "No such assistant." in letter["detail"]

    def test_an_assistant_that_is_refused_for_all_leads_is_called_for_no_more_often_than_a_broken_api(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """The only assistant of a stage: docs/decisions/0004's bound."""
        pipeline.fail({"operation": "leads", "fault": {"kind": "status", "status": 403}})
        for number in range(10):
            queue.send(create(f"lead{number}"))
        queue.run(hours=2)
        assert len(queue.messages) == 10
        assert len(pipeline.calls()) <= 5 + 10 + 4 + 12 * 2

    def test_an_assistant_that_is_refused_holds_up_no_other_assistant_s_leads(
        self, pipeline: Pipeline, queue: SimulatedQueue
    ) -> None:
        """As long as these pass, it is that assistant's fault."""
        refused = [queue.send(create(f"lead{number}", assistantEmail="b@example.net")) for number in range(8)]
        rule = {"operation": "leads", "fault": {"kind": "status", "status": 403}}
        pipeline.fail(*[rule | {"email": f"lead{number}@example.com"} for number in range(8)])
        assert queue.deliver(queue.send(create("kim"))) == set()
        assert queue.deliver(*refused) == set(refused)
        for name in ("lee", "max"):
            assert queue.deliver(queue.send(create(name))) == set()


class TestTime:
    """What can't be read is parked; that takes time, too."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """One thread, so that all calls add up."""
        return {"PARALLEL_CALLS": "1"}

    def test_with_a_second_left_nothing_is_begun_and_all_comes_back(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nine events without their mandatory fields, and a good one."""
        begun: list[str] = []

        def watch(service: str, operation: str, request: Any) -> None:
            begun.append(operation)

        ids = {
            *[queue.send({"operation": "update", "lead": {"email": f"l{n}@example.com"}}) for n in range(9)]
        }
        ids.add(queue.send(create()))
        before_aws_calls(monkeypatch, watch)
        pipeline.context.remaining_s = 1.0
        assert queue.deliver() == ids
        assert set(begun) <= {"ChangeMessageVisibilityBatch"}
        pipeline.context.remaining_s = 120.0
        queue.run(hours=0.5)
        assert queue.messages == {}
        assert len(queue.parked()) == 9

    def test_unreadable_events_and_a_slow_aws_don_t_outlast_the_function(
        self, pipeline: Pipeline, queue: SimulatedQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each call takes 9 seconds, as long as it may with its repetition."""
        lock = threading.Lock()

        def take_time(service: str, operation: str, request: Any) -> None:
            if operation == "SendMessage" or operation in LEDGER_WRITES:
                with lock:
                    pipeline.context.remaining_s -= 9

        ids = [queue.send({"operation": "update", "lead": {"email": f"l{n}@example.com"}}) for n in range(20)]
        pipeline.context.remaining_s = 150
        with monkeypatch.context() as patch:
            before_aws_calls(patch, take_time)
            stay = queue.deliver(*ids)
        assert pipeline.context.remaining_s > 0
        assert stay
        assert len(stay) < 20, "some progress"


class TestNames:
    """What a producer or the API names freely."""

    @pytest.mark.parametrize(
        "body",
        [
            create(**{PRIVATE: "x"}),
            create() | {PRIVATE: "x"},
            create(customFields=[{"name": PRIVATE, "value": "x"}]),
            create() | {"idempotencyKey": PRIVATE},
            {
                "detail-type": "Lead Created",
                "source": PRIVATE,
                "id": PRIVATE,
                "detail": create(),
            },
            create(id=PRIVATE),
            create("jane", **{PRIVATE: {PRIVATE: PRIVATE}, "phone": 5}),
        ],
        ids=["field", "key", "custom field", "idempotency key", "source", "id", "field of a rejected event"],
    )
    def test_a_name_from_a_producer_is_neither_logged_nor_kept_in_the_ledger(
        self, pipeline: Pipeline, queue: SimulatedQueue, body: dict[str, object]
    ) -> None:
        """It may be about a person."""
        queue.send(body)
        queue.deliver()
        self.assert_hidden(pipeline)

    @pytest.mark.parametrize(
        "answer",
        [
            {"id": PRIVATE},
            {"id": 1, "state": PRIVATE, "nextScheduleTime": PRIVATE, "scheduleName": PRIVATE},
        ],
        ids=["id", "others"],
    )
    def test_a_text_from_the_api_is_neither_logged_nor_kept_in_the_ledger(
        self, pipeline: Pipeline, queue: SimulatedQueue, answer: dict[str, object]
    ) -> None:
        """It may be what a producer wrote into the lead."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 201, "body": answer}})
        queue.send(create())
        queue.deliver()
        self.assert_hidden(pipeline)

    def assert_hidden(self, pipeline: Pipeline) -> None:
        """Neither the whole text nor its parts."""
        kept = json.dumps(pipeline.dynamodb.scan(TableName="ledger")["Items"], default=str)
        for part in (PRIVATE, "Jane Doe", "private.example"):
            assert part not in kept
            assert part not in pipeline.log.getvalue()
