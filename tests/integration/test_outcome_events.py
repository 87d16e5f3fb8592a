"""Each event's final outcome is published on the bus; no lead is affected when the bus doesn't take it."""

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from jsonschema import Draft202012Validator, FormatChecker
from mypy_boto3_events import EventBridgeClient

from deliver_leads import outcome_events
from deliver_leads.contract import OWN_EVENT_SOURCE, OutcomeDetailType
from deliver_leads.dead_letters import DeadLetterQueue
from deliver_leads.event.mappings import EventMapper
from sim.settings import ENVIRONMENT
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import HOUR_S
from tests.integration.test_privacy import ECHO, PRIVATE
from tests.shared_session import shared_session

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/events/outcome-event.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
TIMED_OUT = ReadTimeoutError(endpoint_url="https://events.us-east-1.amazonaws.com")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")
BUS = ENVIRONMENT["EVENT_BUS"]

Event = dict[str, Any]


@dataclass
class Bus:
    """moto's bus, which says whether it takes an event; `faults` come first.

    A fault is the error of a whole call, or the set of the entries of a call that are refused.
    """

    events: EventBridgeClient
    faults: list[Exception | set[int]] = field(default_factory=list)
    calls: list[list[dict[str, str]]] = field(default_factory=list)
    taken: list[Event] = field(default_factory=list)

    def put_events(self, Entries: list[Any]) -> Any:  # noqa: N803 - boto3's name
        """The call that the function makes."""
        self.calls.append(Entries)
        fault = self.faults.pop(0) if self.faults else set()
        if isinstance(fault, Exception):
            raise fault
        answers = [self._put(entry, index in fault) for index, entry in enumerate(Entries)]
        return {"FailedEntryCount": len(fault), "Entries": answers}

    def _put(self, entry: Any, is_refused: bool) -> Any:
        if is_refused:
            return {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
        [answer] = self.events.put_events(Entries=[entry])["Entries"]
        assert entry["EventBusName"] == BUS
        self.taken.append(
            {
                "id": answer["EventId"],
                "source": entry["Source"],
                "detail-type": entry["DetailType"],
                "detail": json.loads(entry["Detail"]),
            }
        )
        return answer

    def published(self) -> list[Event]:
        """What it took since the last look; each is as the schema says."""
        found, self.taken = self.taken, []
        for event in found:
            VALIDATOR.validate(event)
        return found


@pytest.fixture
def mode() -> str:
    """The setting outcomeEvents."""
    return "ids"


@pytest.fixture
def settings(mode: str) -> dict[str, str]:
    """A function that publishes."""
    return {"OUTCOME_EVENTS": mode}


@pytest.fixture
def bus(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Bus:
    """The bus, between the function and moto."""
    events = shared_session().client("events")
    events.create_event_bus(Name="leads")
    between = Bus(events)
    runner = importlib.import_module("deliver_leads.handler").runner
    monkeypatch.setattr(runner._outcome_events, "_events", between)
    monkeypatch.setattr(outcome_events, "PAUSES_S", [0.0 for _ in outcome_events.PAUSES_S])
    return between


def body(name: str, operation: str = "create", **more: Any) -> Event:
    """An event about a lead named so."""
    lead = {"name": name, "email": f"{name}@example.com", "assistantEmail": "sam@example.net"}
    return {"operation": operation, "lead": lead, **more}


def lost(output: str) -> list[int]:
    """The values of the metric, one for each batch that had it."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]
    return [round(line["OutcomeEventsLost"][0]) for line in lines if "OutcomeEventsLost" in line]


def test_what_a_mapping_leaves_out_has_no_event(
    pipeline: Pipeline, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was no event of a lead."""
    runner = importlib.import_module("deliver_leads.handler").runner
    left_out = {"name": "tests", "pattern": {"source": ["my.form"]}, "operation": "ignore"}
    monkeypatch.setattr(runner, "_mapper", EventMapper([left_out]))
    pipeline.send({"source": "my.form", "detail-type": "Test", "detail": {}})
    assert pipeline.deliver() == set()
    assert bus.calls == []


def test_every_final_outcome_has_its_event(pipeline: Pipeline, bus: Bus) -> None:
    """Delivered, duplicate, rejected by the function and by the API, parked; nothing for what comes back."""
    pipeline.fail(
        {"operation": "create", "email": "bounced@example.com", "fault": {"kind": "status", "status": 422}},
        {"operation": "create", "email": "cut@example.com", "fault": {"kind": "cut_after"}},
        {"operation": "create", "email": "refused@example.com", "fault": {"kind": "status", "status": 403}},
    )
    for name in ("good", "bounced", "cut", "refused"):
        pipeline.send(body(name))
    pipeline.send("not JSON")
    records = pipeline.receive()
    pipeline.deliver(records)
    first = {(event["detail-type"], event["detail"]["outcome"]) for event in bus.published()}
    assert first == {("Lead Delivered", "delivered"), ("Lead Rejected", "rejected")}
    assert [len(call) for call in bus.calls] == [3]

    pipeline.settle()
    pipeline.fail({"operation": "leads", "fault": {"kind": "cut_after"}})
    pipeline.deliver(pipeline.bring_back(records, aged_s=96 * HOUR_S))
    second = {(event["detail-type"], event["detail"]["outcome"]) for event in bus.published()}
    assert second == {
        ("Lead Duplicate", "duplicate"),
        ("Lead Rejected", "rejected"),
        ("Lead Parked", "unconfirmed"),
    }


def test_a_delivered_lead_s_event_says_what_a_crm_needs(pipeline: Pipeline, bus: Bus) -> None:
    """The producer's key to find its record by, and what 7Targets says of the lead."""
    message_id = pipeline.send(body("jane", idempotencyKey="crm-2041"))
    records = pipeline.receive()
    pipeline.deliver(records)
    held = pipeline.leads()["jane@example.com"]
    [event] = bus.published()
    detail = event["detail"]
    assert event["detail-type"] == "Lead Delivered"
    assert detail.pop("firstSeen").endswith("+00:00")
    assert len(detail.pop("outcomeId")) == 64
    assert detail == {
        "schemaVersion": 1,
        "outcome": "delivered",
        "operation": "create",
        "idempotencyKey": "crm-2041",
        "eventId": message_id,
        "messageId": message_id,
        "source": "sqs",
        "receiveCount": 1,
        "leadHash": "8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d",
        "leadId": str(held["id"]),
        "leadState": "Cold",
        "nextScheduleTime": held["nextScheduleTime"],
        "scheduleId": str(held["scheduleId"]),
        "status": 201,
        "reason": None,
    }
    assert held["nextScheduleTime"]


def test_a_delivery_whose_event_got_lost_in_a_crash_is_published_as_a_duplicate(
    pipeline: Pipeline, bus: Bus
) -> None:
    """The function crashed after the ledger was written: the next outcome event has the lead's id."""
    pipeline.send(body("jane"))
    records = pipeline.receive()
    pipeline.invoke(records)
    pipeline.invoke(pipeline.bring_back(records))
    delivered, duplicate = bus.published()
    assert duplicate["detail-type"] == "Lead Duplicate"
    for name in ("leadId", "leadHash", "eventId", "operation"):
        assert duplicate["detail"][name] == delivered["detail"][name]
    assert duplicate["detail"]["outcomeId"] != delivered["detail"]["outcomeId"]


def test_an_outcome_that_is_published_twice_has_one_id(pipeline: Pipeline, bus: Bus) -> None:
    """Parked, redriven and parked again, then delivered: consumers drop the second, not the third."""
    pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 422}})
    pipeline.send(body("jane"))
    pipeline.deliver()
    pipeline.pass_time(61)
    pipeline.deliver(pipeline.redrive())
    pipeline.fail()
    pipeline.pass_time(61)
    pipeline.deliver(pipeline.redrive())
    events = [event["detail"] for event in bus.published()]
    assert [detail["outcome"] for detail in events] == ["rejected", "rejected", "delivered"]
    first, second, third = (detail["outcomeId"] for detail in events)
    assert first == second != third
    assert len({detail["eventId"] for detail in events}) == 1


def test_events_of_two_leads_with_one_id_are_distinguished(pipeline: Pipeline, bus: Bus) -> None:
    """A producer that sends EventBridge's envelope itself may write the same id into each."""
    for name in ("jane", "kim"):
        detail = {"lead": body(name)["lead"]}
        pipeline.send({"detail-type": "Lead Created", "id": "1", "source": "my.crm", "detail": detail})
    pipeline.deliver()
    assert len({event["detail"]["outcomeId"] for event in bus.published()}) == 2


HOSTILE_KEYS = [f"key-{PRIVATE['email']}", PRIVATE["phone"], f"{PRIVATE['name']} {PRIVATE['lastName']}"]


@pytest.mark.parametrize("fault", [422, 403])
def test_a_hostile_producer_gets_no_personal_data_into_the_events(
    pipeline: Pipeline, bus: Bus, fault: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Addresses, names and numbers in keys, ids, sources, names of fields, sequence and state."""
    pipeline.fail({"operation": "leads", "fault": {"kind": "status", "status": fault, "body": ECHO}})
    email, name = PRIVATE["email"], f"{PRIVATE['name']} {PRIVATE['lastName']}"
    lead = PRIVATE | {"state": email, "scheduleName": name, "scheduleId": email, email: 1, name: 2}
    for key in HOSTILE_KEYS:
        pipeline.send({"operation": "create", "lead": lead, "idempotencyKey": key, email: 1})
        pipeline.send({"operation": "create", "lead": lead, "idempotency_key": key})
        pipeline.send(
            {"detail-type": "Lead Updated", "id": email, "source": name, "detail": {"lead": lead, name: key}}
        )
        for record in pipeline.receive():
            attributes = {"reason": "rejected", "eventId": name, "firstSeen": email}
            record["messageAttributes"] = {n: {"stringValue": v} for n, v in attributes.items()}
            record["attributes"]["SentTimestamp"] = str(round((time.time() - 97 * HOUR_S) * 1000))
            pipeline.invoke([record])
        pipeline.pass_time(61)
    pipeline.send({"operation": email, "lead": {email: 1}, email: name})
    pipeline.send({"detail-type": name, "detail": {"lead": lead}})
    pipeline.deliver()
    types = {event["detail-type"] for event in bus.published()}
    assert types >= ({"Lead Rejected", "Lead Parked"} if fault == 403 else {"Lead Rejected"})
    assert len(bus.calls) >= 4
    shown = json.dumps(bus.calls) + pipeline.log.getvalue() + capsys.readouterr().out
    for value in PRIVATE.values():
        assert value not in shown


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"state": "jane@example.com"}, "leadState"),
        ({"state": "Jane Doe"}, "leadState"),
        ({"nextScheduleTime": "jane@example.com"}, "nextScheduleTime"),
        ({"nextScheduleTime": "+1 415 555 0142"}, "nextScheduleTime"),
        ({"nextScheduleTime": "Jane Doe of Main Street"}, "nextScheduleTime"),
    ],
    ids=str,
)
def test_what_no_state_or_time_looks_like_is_left_out(
    pipeline: Pipeline, bus: Bus, fields: dict[str, str], left_out: str
) -> None:
    """The API may answer with what a producer wrote into the lead."""
    answer = {"id": 7, "state": "Cold", "nextScheduleTime": "2026-11-30T09:00:00Z"} | fields
    pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 201, "body": answer}})
    pipeline.send(body("jane"))
    pipeline.deliver()
    [event] = bus.published()
    shown = {name: event["detail"][name] for name in ("leadState", "nextScheduleTime")}
    assert shown == {"leadState": "Cold", "nextScheduleTime": "2026-11-30T09:00:00Z"} | {left_out: None}
    assert next(iter(fields.values())) not in pipeline.log.getvalue()


def test_a_reason_can_be_inserted_into_an_input_template(pipeline: Pipeline, bus: Bus) -> None:
    """EventBridge doesn't escape it, and this one quotes the known detail types."""
    pipeline.send({"detail-type": "Lead Craeted", "detail": body("jane")})
    pipeline.deliver()
    [event] = bus.published()
    reason = event["detail"]["reason"]
    assert "'Lead Created', 'Lead Updated'" in reason
    assert json.loads(f'{{"text": "{reason}"}}') == {"text": reason}


class TestWithTheLead:
    """outcomeEvents is "lead"."""

    @pytest.fixture
    def mode(self) -> str:
        """Asked for on purpose."""
        return "lead"

    def test_the_events_have_the_lead_s_fields(self, pipeline: Pipeline, bus: Bus) -> None:
        """The fields are as they were read; the producer's key and the sequence's name are as they are."""
        event = {"operation": "create", "lead": PRIVATE, "idempotencyKey": f"key-{PRIVATE['email']}"}
        pipeline.send(event)
        pipeline.send("not JSON")
        pipeline.deliver()
        found = {event["detail-type"]: event["detail"] for event in bus.published()}
        delivered = found["Lead Delivered"]
        assert delivered["lead"] == PRIVATE
        assert delivered["idempotencyKey"] == event["idempotencyKey"]
        assert delivered["scheduleName"] == "Default"
        assert found["Lead Rejected"]["lead"] is None
        assert set(delivered) == set(SCHEMA["$defs"]["detail"]["properties"])

    def test_a_call_holds_less_than_1_mb(self, pipeline: Pipeline, bus: Bus) -> None:
        """Three events of 400 kB take two calls."""
        records = [self.large_record(pipeline, f"lead{number}", 400_000) for number in range(3)]
        pipeline.invoke(records)
        assert [len(call) for call in bus.calls] == [2, 1]
        for call in bus.calls:
            assert sum(len(text.encode()) for entry in call for text in entry.values()) < 1_000_000

    def test_an_event_that_is_too_large_goes_without_the_lead(self, pipeline: Pipeline, bus: Bus) -> None:
        """SQS takes a message of 1 MiB, EventBridge an event of 1 MB."""
        pipeline.invoke([self.large_record(pipeline, "jane", 1_000_000)])
        [[entry]] = bus.calls
        detail = json.loads(entry["Detail"])
        assert (detail["outcome"], detail["lead"]) == ("delivered", None)

    def large_record(self, pipeline: Pipeline, name: str, size: int) -> dict[str, Any]:
        """A message that SQS takes, which moto's doesn't."""
        pipeline.send({})
        [record] = pipeline.receive()
        event = body(name)
        event["lead"]["context"] = "x" * size
        return record | {"body": json.dumps(event)}


def test_an_event_from_before_all_time_takes_no_other_event_along(pipeline: Pipeline, bus: Bus) -> None:
    """Any producer can say of its message that it was parked before, and when it was first seen."""
    for body_text in ("not JSON", "nor this"):
        pipeline.send(body_text)
    records = pipeline.receive()
    long_ago = {"reason": "rejected", "firstSeen": "0001-01-01T00:00:00+23:59"}
    records[0]["messageAttributes"] = {name: {"stringValue": value} for name, value in long_ago.items()}
    pipeline.invoke(records)
    assert len(bus.published()) == 2


def test_what_the_bus_refuses_is_put_again_alone(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    """EventBridge answers 200 although it refused some; a repeat of the others would be published twice."""
    bus.faults = [{1}, {0}]
    for name in ("jane", "kim", "lee"):
        pipeline.send(body(name))
    assert pipeline.deliver() == set()
    assert [len(call) for call in bus.calls] == [3, 1, 1]
    assert bus.calls[1] == bus.calls[2] == [bus.calls[0][1]]
    assert len(bus.published()) == 3
    assert lost(capsys.readouterr().out) == [0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({0}, "ThrottlingException"), (TIMED_OUT, "ReadTimeoutError"), (DENIED, "AccessDeniedException")],
    ids=["refused", "timed-out", "denied"],
)
def test_a_delivery_counts_although_its_event_is_lost(
    pipeline: Pipeline,
    bus: Bus,
    capsys: pytest.CaptureFixture[str],
    fault: Exception | set[int],
    reason: str,
) -> None:
    """Three tries, then the event is counted and logged as lost; the lead is not sent again."""
    bus.faults = [fault] * 5
    pipeline.send(body("jane"))
    assert pipeline.deliver() == set()
    assert len(bus.calls) == 3
    assert pipeline.calls() == [("create", 201)]
    assert pipeline.dead_letters() == []
    assert lost(capsys.readouterr().out) == [1]
    [line] = [each for each in map(json.loads, pipeline.log.getvalue().splitlines()) if "events" in each]
    assert (line["level"], line["events"], line["reason"]) == ("WARNING", 1, reason)


def test_a_bus_that_does_not_answer_is_tried_three_times_for_a_whole_batch(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call takes seconds then, so that a call for every ten events would hold up the leads."""
    bus.faults = [TIMED_OUT] * 9
    records = []
    for number in range(25):
        pipeline.send(f"not JSON {number}")
        records += pipeline.receive()
    pipeline.deliver(records)
    assert len(bus.calls) == 3
    assert lost(capsys.readouterr().out) == [25]


def test_a_large_batch_takes_a_call_for_every_ten_events(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    """EventBridge takes no more in one; a refused one of the first call doesn't stop the second."""
    bus.faults = [{9}]
    records = []
    for number in range(12):
        pipeline.send(f"not JSON {number}")
        records += pipeline.receive()
    pipeline.deliver(records)
    assert [len(call) for call in bus.calls] == [10, 2, 1]
    assert len(bus.published()) == 12
    assert lost(capsys.readouterr().out) == [0]


def leave_after_parking(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Parking takes the invocation's time but for so many seconds."""
    park = DeadLetterQueue.park

    def slow(self: DeadLetterQueue, *parts: Any) -> None:
        park(self, *parts)
        pipeline.context.remaining_s = seconds

    monkeypatch.setattr(DeadLetterQueue, "park", slow)


def test_nothing_is_put_when_the_time_is_short(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda would end the function before its response, and all leads of the batch would come again."""
    leave_after_parking(pipeline, monkeypatch, outcome_events.NEEDED_S - 0.1)
    pipeline.send("not JSON")
    assert pipeline.deliver() == set()
    assert bus.calls == []
    assert lost(capsys.readouterr().out) == [1]
    assert '"reason":"no time was left"' in pipeline.log.getvalue()


def test_a_call_that_used_up_the_time_is_the_last(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took stays taken, the others are lost, and the cause is the one that the bus gave."""
    put = bus.put_events

    def slow(**request: Any) -> Any:
        pipeline.context.remaining_s = outcome_events.NEEDED_S - 1
        return put(**request)

    monkeypatch.setattr(bus, "put_events", slow)
    bus.faults = [{1}]
    records = []
    for number in range(12):
        pipeline.send(f"not JSON {number}")
        records += pipeline.receive()
    pipeline.deliver(records)
    assert [len(call) for call in bus.calls] == [10]
    assert len(bus.published()) == 9
    assert lost(capsys.readouterr().out) == [3]
    assert '"reason":"ThrottlingException"' in pipeline.log.getvalue()


def test_a_bug_in_publishing_harms_no_lead(
    pipeline: Pipeline, bus: Bus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch's response is given all the same."""
    monkeypatch.setattr(bus, "put_events", lambda **_: {})
    pipeline.send(body("jane"))
    assert pipeline.deliver() == set()
    assert lost(capsys.readouterr().out) == [1]
    assert "internal error: KeyError" in pipeline.log.getvalue()


def test_an_own_event_that_is_led_into_the_lead_queue_is_parked_without_another_one(
    pipeline: Pipeline, bus: Bus
) -> None:
    """A rule with too wide a pattern would else go round in circles for ever."""
    pipeline.send("not JSON")
    pipeline.deliver()
    [event] = bus.published()
    pipeline.send(event)
    pipeline.deliver()
    assert bus.published() == []
    assert len(pipeline.dead_letters()) == 2


def test_the_client_s_own_time_outs_are_those_that_are_reckoned_with(pipeline: Pipeline) -> None:
    """One try, because the function has its own, and a call within the time that is kept free for it."""
    client = importlib.import_module("deliver_leads.handler").runner._outcome_events._events
    config = client.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.connect_timeout + config.read_timeout + 1 == outcome_events.NEEDED_S


@pytest.fixture
def clients(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Which clients a function makes that is started now."""
    session = shared_session()
    made: list[str] = []
    real = session.client

    def client(name: Any, **more: Any) -> Any:
        made.append(name)
        return real(name, **more)

    def start() -> list[str]:
        importlib.reload(importlib.import_module("deliver_leads.handler"))
        return made

    monkeypatch.setattr(session, "client", client)
    return start


def test_a_function_that_publishes_makes_a_client(clients: Callable[[], list[str]]) -> None:
    """The next test relies on that."""
    assert "events" in clients()


class TestOff:
    """outcomeEvents is "off", the default."""

    @pytest.fixture
    def mode(self) -> str:
        """Nothing is published."""
        return "off"

    def test_no_client_is_made(self, clients: Callable[[], list[str]]) -> None:
        """It would cost each cold start its time."""
        assert clients() != []
        assert "events" not in clients()

    def test_nothing_is_counted(self, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
        """Each metric that is written costs USD 0.30 a month."""
        pipeline.send(body("jane"))
        pipeline.deliver()
        assert lost(capsys.readouterr().out) == []


def test_the_schema_is_valid_and_knows_the_contract_s_names() -> None:
    """A consumer's validator can load it, and the two lists can't drift apart."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["source"]["const"] == OWN_EVENT_SOURCE
    assert SCHEMA["properties"]["detail-type"]["enum"] == list(OutcomeDetailType)
    assert SCHEMA["$defs"]["detail"]["properties"]["schemaVersion"]["const"] == outcome_events.SCHEMA_VERSION
