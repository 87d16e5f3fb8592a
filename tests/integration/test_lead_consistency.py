"""Several events of one lead, from several producers, with lost answers: what 7Targets holds in the end."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError

from deliver_leads.api.leads_api import LeadsApi
from deliver_leads.ledger import Ledger
from deliver_leads.outcome import NoRoomError
from deliver_leads.pace import Pace
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import DAY_S, create, fail_once, jane, lead, stop, update

KEY = {"idempotencyKey": "crm-record-1"}


def hold_before(pipeline: Pipeline, name: str = "jane") -> None:
    """A lead that somebody has put into 7Targets by hand: the ledger doesn't know it."""
    pipeline.send(create(name, context="by hand", scheduleName="Default"))
    pipeline.deliver()
    forget(pipeline)


def forget(pipeline: Pipeline) -> None:
    """The ledger knows nothing any more."""
    for item in pipeline.ledger():
        pipeline.dynamodb.delete_item(
            TableName="ledger", Key={"lead": {"S": item["lead"]}, "event": {"S": item["event"]}}
        )


def lose_joint_answers(patch: pytest.MonkeyPatch, and_then: Callable[[], None] = lambda: None) -> None:
    """The ledger carries out what is written in one call, and its answer doesn't come."""
    original = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(self: BaseClient, operation: str, request: dict[str, object]) -> object:
        answer = original(self, operation, request)
        if operation == "BatchExecuteStatement":
            and_then()
            raise EndpointConnectionError(endpoint_url="https://dynamodb")
        return answer

    patch.setattr(BaseClient, "_make_api_call", call)


def redriven(record: dict[str, Any], letter: dict[str, Any]) -> dict[str, Any]:
    """The parked message as a person sends it again."""
    attributes = {name: letter[name] for name in ("reason", "messageId", "eventId", "firstSeen", "detail")}
    return record | {
        "messageId": "redriven",
        "body": letter["body"],
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String"} for name, value in attributes.items()
        },
    }


class TestCreates:
    """A create asks that the lead exists with these fields, at this assistant, in this sequence."""

    def test_a_create_of_a_lead_that_existed_before_takes_effect_though_its_answer_was_lost(
        self, pipeline: Pipeline
    ) -> None:
        """That the lead exists says nothing about this create."""
        hold_before(pipeline)
        pipeline.fail(fail_once("create", kind="status", status=504))
        pipeline.send(create(context="webinar", scheduleName="Demo") | KEY)
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert (jane(pipeline)["context"], jane(pipeline)["scheduleName"]) == ("webinar", "Demo")
        assert jane(pipeline)["creates"] == 1

    def test_an_update_delivered_before_a_create_does_not_stand_for_it(self, pipeline: Pipeline) -> None:
        """The update knows nothing of the create's context."""
        for body in (create(), update(phone="+1")):
            pipeline.send(body)
            pipeline.deliver()
        pipeline.pass_time(2 * DAY_S)
        pipeline.fail(fail_once("create", kind="status", status=504))
        pipeline.send(create(context="webinar") | KEY)
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert jane(pipeline)["context"] == "webinar"

    def test_two_producers_of_one_lead_do_not_create_it_twice(self, pipeline: Pipeline) -> None:
        """A web form and a CSV file, with keys of their own; the later one's fields hold."""
        for key in ("form-1", "csv-1"):
            pipeline.send(create(context=key) | {"idempotencyKey": key})
            pipeline.deliver()
        assert pipeline.calls() == [("create", 201), ("update", 200)]
        assert (jane(pipeline)["creates"], jane(pipeline)["context"]) == (1, "csv-1")

    def test_the_sequence_is_sent_only_if_the_lead_is_in_another_one(self, pipeline: Pipeline) -> None:
        """Sending it restarts a person's e-mails."""
        pipeline.send(create(scheduleName="Demo") | {"idempotencyKey": "1"})
        pipeline.send(create(scheduleName="Demo", context="a") | {"idempotencyKey": "2"})
        pipeline.send(create(scheduleName="Sales", context="b") | {"idempotencyKey": "3"})
        pipeline.deliver()
        assert [body.get("scheduleName") for body in pipeline.bodies("update")] == [None, None, "Sales"]
        assert jane(pipeline)["scheduleName"] == "Sales"

    def test_a_sequence_that_the_answer_does_not_show_is_for_a_person_to_check(
        self, pipeline: Pipeline
    ) -> None:
        """Nobody may guess whether the lead is in the sequence that was asked for."""
        pipeline.send(create() | {"idempotencyKey": "1"})
        pipeline.deliver()
        pipeline.fail(fail_once("update", kind="status", status=200, body={"id": 1}))
        pipeline.send(create(scheduleName="Sales") | {"idempotencyKey": "2"})
        assert pipeline.deliver() == set()
        [letter] = pipeline.dead_letters()
        assert letter["reason"] == "unconfirmed"
        assert "in which sequence" in letter["detail"]

    def test_an_answer_that_leaves_the_sequence_open_shows_the_lead_all_the_same(
        self, pipeline: Pipeline
    ) -> None:
        """So a create in the window after it isn't POSTed, though the last delivery was before that."""
        pipeline.send(create() | {"idempotencyKey": "1"})
        pipeline.deliver()
        pipeline.pass_time(30 * 3600)
        pipeline.fail(fail_once("update", kind="status", status=200, body={"id": 1}))
        pipeline.send(create(scheduleName="Sales") | {"idempotencyKey": "2"})
        pipeline.deliver()
        pipeline.pass_time(30 * 3600)
        pipeline.send(create(context="third") | {"idempotencyKey": "3"})
        pipeline.deliver()
        assert [operation for operation, _ in pipeline.calls()] == ["create", "update", "update"]

    def test_a_create_of_which_later_events_have_set_a_part_is_not_posted_when_its_lead_is_gone(
        self, pipeline: Pipeline
    ) -> None:
        """A POST of what is left would begin a lead that nobody has asked for in this form."""
        hold_before(pipeline)
        pipeline.fail(fail_once("create", kind="status", status=422))
        pipeline.send(create(context="a", phone="+1") | KEY)
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.send(update(phone="+2"))
        pipeline.deliver()
        pipeline.fail({"operation": "update", "fault": {"kind": "status", "status": 404}})
        [parked] = pipeline.dead_letters()
        assert pipeline.deliver([redriven(records[0], parked)]) == set()
        assert pipeline.calls()[1:] == [("create", 422), ("update", 200), ("update", 404)]
        reasons = {letter["detail"] for letter in pipeline.dead_letters()}
        assert any("7Targets no longer has this lead" in reason for reason in reasons)

    def test_a_create_whose_parked_predecessor_got_no_answer_is_posted_once_an_answer_showed_the_lead(
        self, pipeline: Pipeline
    ) -> None:
        """The lead is known now, so that a second webinar assigns it anew, as any other lead."""
        pipeline.fail(
            fail_once("create", kind="status", status=504, stored=True),
            {"operation": "update", "times": 1, "fault": {"kind": "status", "status": 422}},
        )
        pipeline.send(create() | {"idempotencyKey": "webinar-1"})
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        [letter] = pipeline.dead_letters()
        assert letter["reason"] == "unconfirmed"
        pipeline.pass_time(60)
        for key, days in (("webinar-2", 2), ("webinar-3", 2)):
            pipeline.send(create() | {"idempotencyKey": key})
            pipeline.deliver()
            pipeline.pass_time(days * DAY_S)
        assert pipeline.calls()[2:] == [("update", 200), ("create", 201)]

    @pytest.mark.parametrize(
        ("fields", "has_e_mails"), [({}, False), ({"context": "a"}, False), ({}, True)], ids=str
    )
    def test_a_create_that_its_own_update_overtook_is_for_a_person_if_no_e_mails_go_out(
        self, pipeline: Pipeline, fields: dict[str, str], has_e_mails: bool
    ) -> None:
        """The update showed the lead, so the create isn't POSTed; and a PUT starts no default sequence."""
        hold_before(pipeline)
        if not has_e_mails:
            pipeline.send(stop())
            pipeline.deliver()
            forget(pipeline)
        pipeline.send(create(**fields) | KEY)
        pipeline.send(update(phone="+1"))
        created, updated = pipeline.receive()
        assert pipeline.deliver([updated]) == pipeline.deliver([created]) == set()
        assert pipeline.calls()[-2:] == [("update", 200), ("update", 200)]
        reasons = [(letter["reason"], letter["detail"]) for letter in pipeline.dead_letters()]
        assert reasons == (
            []
            if has_e_mails
            else [
                (
                    "unconfirmed",
                    "7Targets has the lead, sends it no e-mails, and starts none for a create sent as an "
                    "update; start its sequence there",
                )
            ]
        )

    def test_no_server_error_is_taken_as_proof_that_a_create_left_nothing(self, pipeline: Pipeline) -> None:
        """A gateway answers 503 while the service behind it works on."""
        pipeline.fail(fail_once("create", kind="status", status=503, stored=True))
        pipeline.send(create())
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert jane(pipeline)["creates"] == 1


class TestKeys:
    """One idempotency key for all events of a lead: a CRM's record id."""

    def test_an_update_with_the_creates_key_does_not_make_the_create_forget_its_lost_answer(
        self, pipeline: Pipeline
    ) -> None:
        """Else the create is POSTed again."""
        pipeline.fail(
            fail_once("create", kind="status", status=504, stored=True),
            fail_once("update", kind="status", status=503),
        )
        pipeline.send(create() | KEY)
        pipeline.send(update(phone="+1") | KEY)
        records = pipeline.receive()
        for _ in range(4):
            failed = pipeline.deliver(records)
            pipeline.settle()
            records = pipeline.bring_back([each for each in records if each["messageId"] in failed])
        assert records == []
        assert (jane(pipeline)["creates"], jane(pipeline)["phone"]) == (1, "+1")

    def test_a_stop_with_the_creates_key_is_sent(self, pipeline: Pipeline) -> None:
        """It is no duplicate: the e-mails would go on."""
        for body in (create(), stop()):
            pipeline.send(body | KEY)
            pipeline.deliver()
        assert pipeline.calls() == [("create", 201), ("stop_followup", 200)]

    def test_a_parked_create_that_is_redriven_twice_a_day_apart_is_created_once(
        self, pipeline: Pipeline
    ) -> None:
        """The function may park a message twice, when it ends between parking and acknowledging."""
        pipeline.fail(fail_once("create", kind="status", status=400))
        pipeline.send(create())
        pipeline.deliver()
        one = pipeline.redrive()
        pipeline.deliver(one)
        pipeline.pass_time(2 * DAY_S)
        [again] = pipeline.bring_back(one)
        pipeline.deliver([again | {"messageId": "the-other-copy"}])
        assert pipeline.calls() == [("create", 400), ("create", 201)]


class TestOrder:
    """Which of two events is the later one, and what that means."""

    def test_a_create_does_not_wait_for_an_update_that_came_before_it(self, pipeline: Pipeline) -> None:
        """A batch of both must not send the update alone, again and again."""
        early, late = pipeline.send(update(phone="+1")), pipeline.send(create())
        records = pipeline.receive()
        assert [each["messageId"] for each in records] == [early, late]
        assert pipeline.deliver(records) == {early}
        pipeline.pass_time(60)
        assert pipeline.deliver(pipeline.bring_back(records[:1])) == set()
        assert (jane(pipeline)["phone"], jane(pipeline)["creates"]) == ("+1", 1)

    def test_events_are_applied_in_the_order_in_which_they_were_sent(self, pipeline: Pipeline) -> None:
        """A standard queue may hand them over in another."""
        pipeline.send(create())
        pipeline.deliver()
        pipeline.send(update(phone="old"))
        pipeline.send(update(phone="new"))
        records = pipeline.receive()
        [older] = pipeline.bring_back(records[:1], aged_s=300)
        pipeline.deliver([records[1], older])
        assert jane(pipeline)["phone"] == "new"

    def test_an_earlier_update_that_comes_later_leaves_the_later_ones_fields_alone(
        self, pipeline: Pipeline
    ) -> None:
        """It still sets the others."""
        pipeline.send(create())
        pipeline.deliver()
        pipeline.send(update(phone="old", company="Acme"))
        records = pipeline.bring_back(pipeline.receive(), aged_s=300)
        pipeline.send(update(phone="new"))
        pipeline.deliver()
        pipeline.deliver(records)
        assert (jane(pipeline)["phone"], jane(pipeline)["company"]) == ("new", "Acme")

    def test_nothing_is_sent_for_a_lead_while_an_unanswered_request_may_still_take_effect(
        self, pipeline: Pipeline
    ) -> None:
        """Neither the event itself, sent twice by its producer, nor a later one."""
        pipeline.fail(fail_once("create", kind="cut_before"))
        pipeline.send(create() | KEY)
        pipeline.deliver()
        pipeline.send(create() | KEY)
        pipeline.send(update(phone="+1"))
        assert len(pipeline.deliver()) == 2
        assert pipeline.calls() == [("create", None)]

    def test_a_stop_does_not_wait_for_an_earlier_update_that_fails_alone(self, pipeline: Pipeline) -> None:
        """E-mails to a person end at once; the update comes later, and doesn't start them again."""
        pipeline.send(create(scheduleName="Demo") | KEY)
        pipeline.deliver()
        pipeline.fail(fail_once("update", kind="status", status=425))
        pipeline.send(update(phone="+1", scheduleName="Sales"))
        failed = pipeline.receive()
        assert len(pipeline.deliver(failed)) == 1
        pipeline.send(stop())
        assert pipeline.deliver() == set()
        assert pipeline.deliver(pipeline.bring_back(failed)) == set()
        held = jane(pipeline)
        assert (held["nextScheduleTime"], held["phone"], held["scheduleName"]) == (None, "+1", "Demo")

    def test_two_environments_never_send_for_one_lead_at_the_same_time(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However their messages are handed out."""
        original = LeadsApi.send
        is_sending, may_go_on = threading.Event(), threading.Event()

        def send(self: LeadsApi, operation: Any, fields: Any, time_left: Any) -> Any:
            is_sending.set()
            may_go_on.wait(60)
            return original(self, operation, fields, time_left)

        monkeypatch.setattr(LeadsApi, "send", send)
        pipeline.send(create(context="a") | {"idempotencyKey": "1"})
        first = pipeline.receive()
        pipeline.send(create(context="b") | {"idempotencyKey": "2"})
        # The earlier event, so that the claim's condition stops it, and not its place in the order.
        second = pipeline.bring_back(pipeline.receive(), aged_s=60)
        environment = threading.Thread(target=pipeline.invoke, args=(first,))
        environment.start()
        is_sending.wait(60)
        assert len(pipeline.invoke(second)) == 1
        may_go_on.set()
        environment.join()
        assert pipeline.calls() == [("create", 201)]


class TestGracePeriod:
    """An update of a lead that 7Targets doesn't know."""

    def deliver_kim(self, pipeline: Pipeline) -> None:
        """Another lead shows that the address is right."""
        pipeline.send(create("kim") | {"idempotencyKey": str(pipeline.passed_s)})
        pipeline.deliver()

    def test_a_wrong_address_parks_nothing_and_the_log_names_the_setting(self, pipeline: Pipeline) -> None:
        """When nothing was delivered since, 404 may be the answer to every lead."""
        pipeline.send(update())
        records = pipeline.receive()
        for _ in range(8):
            assert len(pipeline.deliver(records)) == 1
            pipeline.pass_time(900)
            records = pipeline.bring_back(records)
        assert pipeline.dead_letters() == []
        assert "leadsApiUrl" in pipeline.log.getvalue()


class TestAcknowledgement:
    """What is parked, acknowledged or returned when things end in between."""

    def test_a_message_that_was_parked_but_not_acknowledged_is_not_parked_again(
        self, pipeline: Pipeline
    ) -> None:
        """The function ended between the two."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 400}})
        pipeline.send(create())
        records = pipeline.receive()
        for _ in range(2):
            assert pipeline.deliver(records) == set()
            records = pipeline.bring_back(records)
        assert len(pipeline.dead_letters()) == 1
        assert pipeline.calls() == [("create", 400)]

    def test_a_delivery_that_the_ledger_could_not_store_is_sent_again_as_an_update(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the ledger would never say that it was delivered."""
        original = BaseClient._make_api_call  # type: ignore[attr-defined]
        written: list[str] = []

        def completion_fails(self: BaseClient, operation: str, request: dict[str, object]) -> object:
            if operation in {"UpdateItem", "BatchExecuteStatement"}:
                written.append(operation)
                if written[2:] and len(written) <= 4:
                    raise EndpointConnectionError(endpoint_url="https://dynamodb")
            return original(self, operation, request)

        pipeline.send(create("kim"))
        pipeline.deliver()
        monkeypatch.setattr(BaseClient, "_make_api_call", completion_fails)
        pipeline.send(create())
        records = pipeline.receive()
        assert len(pipeline.deliver(records)) == 1
        pipeline.pass_time(600)
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert pipeline.calls() == [("create", 201), ("create", 201), ("update", 200)]
        assert pipeline.states() == [("create", "delivered")] * 2

    def test_a_joint_claim_without_an_answer_after_which_time_is_over_only_delays_its_leads(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing was sent; the leads are held until the lease is over, and then created once."""
        pipeline.send(create())
        pipeline.send(create("kim"))
        records = pipeline.receive()
        with monkeypatch.context() as patch:
            lose_joint_answers(patch, lambda: setattr(pipeline.context, "remaining_s", 40))
            assert len(pipeline.deliver(records)) == 2
        pipeline.context.remaining_s = 120
        for _ in range(3):
            records = pipeline.bring_back(records)
            assert len(pipeline.deliver(records)) == 2
        assert pipeline.calls() == []
        pipeline.pass_time(900)
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert {lead["creates"] for lead in pipeline.leads().values()} == {1}
        assert pipeline.states() == [("create", "delivered")] * 2
        assert pipeline.dead_letters() == []

    def test_a_joint_claim_without_an_answer_before_the_api_has_no_room_holds_no_lead(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lead is sent when its message comes back, not when the lease is over."""

        def line_up(*_: object) -> None:
            raise NoRoomError("leads API answered 429", place_s=5)

        pipeline.send(create())
        records = pipeline.receive()
        with monkeypatch.context() as patch:
            lose_joint_answers(patch)
            patch.setattr(Pace, "line_up", line_up)
            assert len(pipeline.deliver(records)) == 1
        assert pipeline.calls() == []
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert pipeline.calls() == [("create", 201)]

    def test_a_joint_claim_without_an_answer_before_a_ledger_that_fails_is_no_crash(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lead may be held by that claim, so the message comes back before it would after a crash."""
        original = BaseClient._make_api_call  # type: ignore[attr-defined]

        def fails(self: BaseClient, operation: str, request: dict[str, object]) -> object:
            if operation == "BatchExecuteStatement":
                original(self, operation, request)
                raise EndpointConnectionError(endpoint_url="https://dynamodb")
            if operation == "UpdateItem":
                raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, operation)
            return original(self, operation, request)

        pipeline.send(create())
        records = pipeline.receive()
        records[0]["attributes"]["ApproximateReceiveCount"] = "12"
        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", fails)
            assert len(pipeline.deliver(records)) == 1
        delay_s = json.loads(pipeline.log.getvalue().splitlines()[-1])["delay_s"]
        assert 0 < delay_s <= 300

    def test_the_ledger_holds_the_story_of_an_event(self, pipeline: Pipeline) -> None:
        """When it came, from where, how often it was tried, why it waits, when it is due."""
        pipeline.fail(fail_once("create", kind="status", status=425))
        pipeline.send({"detail-type": "Lead Created", "source": "my.crm", "detail": {"lead": lead()}})
        pipeline.deliver()
        [event] = pipeline.events()
        assert (event["source"], event["attempts"], event["state"]) == ("my.crm", 1, "waiting")
        assert event["reason"] == "leads API answered 425"
        assert event["dueS"] > event["firstSeenS"]


class TestPoison:
    """An event over which the function crashes."""

    def crash_over_jane(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Sending this lead ends the process, as running out of memory does."""
        original = LeadsApi.send

        def send(self: LeadsApi, operation: Any, fields: Any, time_left: Any) -> Any:
            if fields["email"] == "jane@example.com":
                raise SystemExit("killed")
            return original(self, operation, fields, time_left)

        monkeypatch.setattr(LeadsApi, "send", send)

    @pytest.mark.filterwarnings("ignore:No application metrics")
    def test_it_is_parked_after_three_crashes_alone_and_its_neighbours_are_delivered(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From its second receive on it is tried alone, after the others."""
        self.crash_over_jane(monkeypatch)
        pipeline.send(create())
        pipeline.send(create("kim"))
        records = pipeline.receive()
        for _ in range(4):
            with pytest.raises(SystemExit):
                pipeline.invoke(records)
            pipeline.pass_time(900)
            records = pipeline.bring_back(records)
        assert "kim@example.com" in pipeline.leads()
        assert pipeline.deliver(records) == set()
        [letter] = pipeline.dead_letters()
        assert letter["reason"] == "unconfirmed"
        assert "3 attempts at it alone left no result" in letter["detail"]

    def test_a_ledger_that_can_t_be_written_after_a_call_parks_no_lead(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing crashed: each attempt returned its message. So it may go on for hours."""
        monkeypatch.setattr(Ledger, "complete", lambda *_, **__: False)
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 503}})
        pipeline.send(create())
        records = pipeline.receive()
        for _ in range(25):
            assert len(pipeline.deliver(records)) == 1
            pipeline.pass_time(60)
            records = pipeline.bring_back(records)
        assert pipeline.dead_letters() == []
        assert len(pipeline.calls()) > 10

    def test_attempts_that_leave_a_claim_come_back_before_a_crash_would(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However often the message was received, so that its delay would be 15 minutes."""
        monkeypatch.setattr(Ledger, "complete", lambda *_, **__: False)
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 429}})
        pipeline.send(create())
        records = pipeline.receive()
        for record in records:
            record["attributes"]["ApproximateReceiveCount"] = "12"
        pipeline.deliver(records)
        assert 0 < json.loads(pipeline.log.getvalue().splitlines()[-1])["delay_s"] <= 900 / 3


class TestFairQueue:
    """Message groups on a standard queue."""

    def test_lanes_follow_the_lead_and_not_the_group(self, pipeline: Pipeline) -> None:
        """Two events of one lead in two groups run one after another; a group's failure holds up no other."""
        pipeline.fail(
            {"operation": "create", "email": "kim@example.com", "fault": {"kind": "status", "status": 425}}
        )
        pipeline.send(create("kim"), MessageGroupId="tenant-1")
        pipeline.send(create(), MessageGroupId="tenant-1")
        pipeline.send(update(phone="+1"), MessageGroupId="tenant-2")
        assert len(pipeline.deliver()) == 1
        assert jane(pipeline)["phone"] == "+1"
