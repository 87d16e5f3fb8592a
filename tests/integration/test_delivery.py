"""A lead's way through the handler: what the API, the queues and the ledger hold afterwards."""

import itertools
import json

import pytest
from botocore.client import BaseClient

from deliver_leads.api.leads_api import LeadsApi
from deliver_leads.event.idempotency_key import derive_key
from deliver_leads.event.lead import Operation
from leadctl.log_search import FIELDS
from tests.integration.conftest import SECRET, Pipeline
from tests.integration.lead_events import create, lead, update

LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}


class TestDelivery:
    """Leads that nothing is wrong with."""

    def test_a_batch_of_all_operations_and_sources_arrives(self, pipeline: Pipeline) -> None:
        """Create, update and stop; plain, EventBridge and SNS."""
        pipeline.send(create("jane", source="Webinar"))
        pipeline.send({"detail-type": "Lead Created", "id": "e-1", "detail": {"lead": lead("kim")}})
        pipeline.send({"Type": "Notification", "MessageId": "n", "Message": json.dumps(create("lee"))})
        assert pipeline.deliver() == set()
        pipeline.send(update("jane", phone="+14155550100"))
        pipeline.send({"operation": "stop_followup", "lead": lead("kim")})
        assert pipeline.deliver() == set()
        held = pipeline.leads()
        assert set(held) == {"jane@example.com", "kim@example.com", "lee@example.com"}
        assert held["jane@example.com"]["phone"] == "+14155550100"
        assert held["jane@example.com"]["source"] == "Webinar"
        assert held["kim@example.com"]["nextScheduleTime"] is None
        assert pipeline.dead_letters() == []

    def test_one_token_serves_all_batches_of_an_execution_environment(self, pipeline: Pipeline) -> None:
        """Cached between invocations, shared by the threads."""
        for turn in range(3):
            for number in range(2):
                pipeline.send(create(f"lead{turn}{number}"))
            pipeline.deliver()
        assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 1
        assert len(pipeline.leads()) == 6


class TestOnlyRecipients:
    """A stage that may send to some leads only."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        return {"ONLY_RECIPIENTS": '["example.com"]'}

    def test_every_other_lead_is_parked_with_the_reason_before_anything_is_sent(
        self, pipeline: Pipeline
    ) -> None:
        """The listed ones are delivered as ever."""
        pipeline.send(create("jane"))
        pipeline.send(create("kim", email="kim@elsewhere.example"))
        assert pipeline.deliver() == set()
        assert [body["email"] for body in pipeline.bodies("create")] == ["jane@example.com"]
        [parked] = pipeline.dead_letters()
        assert "lead.email: is none of the setting onlyRecipients" in json.dumps(parked)


class TestDuplicates:
    """The same event, twice."""

    def test_a_message_that_sqs_delivers_twice_is_sent_once(self, pipeline: Pipeline) -> None:
        """Standard queues deliver at least once."""
        pipeline.send(create())
        records = pipeline.receive()
        assert pipeline.deliver(records) == set()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert pipeline.calls() == [("create", 201)]

    def test_two_events_with_one_key_are_sent_once_even_in_one_batch(self, pipeline: Pipeline) -> None:
        """A producer that repeats itself."""
        for _ in range(3):
            pipeline.send(create() | {"idempotencyKey": "form-1"})
        assert pipeline.deliver() == set()
        assert pipeline.calls() == [("create", 201)]

    def test_a_second_form_entry_with_the_same_content_is_a_duplicate(self, pipeline: Pipeline) -> None:
        """Somebody pressed the button twice."""
        for _ in range(2):
            pipeline.send(create(context="the same"))
        pipeline.deliver()
        assert pipeline.calls() == [("create", 201)]

    def test_a_second_form_entry_with_other_content_changes_the_lead_and_restarts_nothing(
        self, pipeline: Pipeline
    ) -> None:
        """A repeated create may restart a person's e-mails, but what the form says must not be dropped."""
        pipeline.send(create(context="first"))
        pipeline.send(create(context="second"))
        pipeline.deliver()
        assert pipeline.calls() == [("create", 201), ("update", 200)]
        assert pipeline.leads()["jane@example.com"]["context"] == "second"


class TestRejections:
    """The lead's own fault."""

    def test_every_kind_of_bad_input_is_parked_with_its_reason_and_harms_no_neighbour(
        self, pipeline: Pipeline
    ) -> None:
        """Not JSON, wrong types, an array, an envelope in an envelope, a megabyte."""
        wrong = [
            "not json", "[]", {"operation": "create"}, create("x", email="nobody"), {"lead": lead("x")},
            {"detail-type": "Lead Created", "detail": {"detail-type": "Lead Created"}}, "[" * 100_000,
            "x" * 1_000_000,
        ]  # fmt: skip
        for body in wrong:
            pipeline.send(body)
            pipeline.send(create("jane"), MessageAttributes={})
            while records := pipeline.receive():
                assert pipeline.deliver(records) == set()
        parked = pipeline.dead_letters()
        assert len(parked) == len(wrong)
        assert {letter["reason"] for letter in parked} == {"rejected"}
        assert all(letter["detail"] and letter["messageId"] and letter["firstSeen"] for letter in parked)
        assert set(pipeline.leads()) == {"jane@example.com"}

    def test_what_the_api_rejects_is_parked_at_once_in_the_apis_own_words(self, pipeline: Pipeline) -> None:
        """No retry can help, and a person must be able to act."""
        no = {"kind": "status", "status": 400, "body": {"message": "No such assistant"}}
        pipeline.fail({"operation": "create", "fault": no})
        body = create()
        message_id = pipeline.send(body)
        assert pipeline.deliver() == set()
        [letter] = pipeline.dead_letters()
        assert json.loads(letter["body"]) == body
        assert letter["detail"] == "leads API answered 400: No such assistant"
        assert (letter["reason"], letter["status"], letter["messageId"]) == ("rejected", "400", message_id)

    def test_a_lead_that_can_not_be_parked_stays_in_the_queue(self, pipeline: Pipeline) -> None:
        """Never lost: not even when the dead-letter queue is gone."""
        pipeline.sqs.delete_queue(QueueUrl=pipeline.dead_letter_queue_url)
        message_id = pipeline.send("not json")
        assert pipeline.deliver() == {message_id}

    def test_a_redriven_lead_whose_cause_was_fixed_at_7targets_is_really_sent(
        self, pipeline: Pipeline
    ) -> None:
        """The ledger remembers a rejection, and that it left nothing at 7Targets."""
        pipeline.fail({"operation": "create", "times": 1, "fault": {"kind": "status", "status": 400}})
        pipeline.send(create())
        pipeline.deliver()
        assert pipeline.states() == [("create", "parked")]
        assert pipeline.deliver(pipeline.redrive()) == set()
        assert pipeline.calls() == [("create", 400), ("create", 201)]
        assert pipeline.states() == [("create", "delivered")]

    def test_a_redriven_lead_whose_cause_was_not_fixed_is_rejected_again_with_the_same_reason(
        self, pipeline: Pipeline
    ) -> None:
        """And it keeps the event id and the time it was first seen."""
        pipeline.fail({"operation": "update", "fault": {"kind": "status", "status": 422, "body": "no"}})
        pipeline.send(update())
        pipeline.deliver()
        [first] = pipeline.dead_letters()
        [redriven] = pipeline.redrive()
        pipeline.deliver([redriven])
        [second] = pipeline.dead_letters()
        assert second == first | {"messageId": redriven["messageId"]}
        assert pipeline.states() == [("update", "parked")]


class TestRetries:
    """Everybody's fault."""

    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 429, "headers": {"Retry-After": "60"}},
            {"kind": "status", "status": 500},
            {"kind": "cut_before"},
            {"kind": "cut_after"},
            {"kind": "status", "status": 502, "stored": True},
            {"kind": "wrong_content_type"},
        ],
        ids=lambda fault: f"{fault['kind']}-{fault.get('status', '')}",
    )
    @pytest.mark.parametrize("operation", ["create", "update"])
    def test_a_passing_fault_delays_a_lead_and_creates_it_once(
        self, pipeline: Pipeline, operation: str, fault: dict[str, object]
    ) -> None:
        """Whether the answer was lost before or after the lead was stored."""
        if operation == "update":
            pipeline.send(create())
            pipeline.deliver()
        pipeline.fail({"operation": operation, "times": 1, "fault": fault})
        message_id = pipeline.send(create() if operation == "create" else update(phone="+1"))
        records = pipeline.receive()
        assert pipeline.deliver(records) == {message_id}
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        held = pipeline.leads()["jane@example.com"]
        assert held["creates"] == 1
        assert operation == "create" or held["phone"] == "+1"
        assert pipeline.dead_letters() == []

    def test_a_create_without_an_answer_is_sent_again_as_an_update(self, pipeline: Pipeline) -> None:
        """The update has all of the create's fields but the sequence, which the answer shows to be right."""
        pipeline.fail({"operation": "create", "times": 1, "fault": {"kind": "cut_after"}})
        pipeline.send(create(scheduleName="Demo", context="c", source="Web"))
        records = pipeline.receive()
        pipeline.deliver(records)
        assert pipeline.states() == [("create", "waiting")]
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert pipeline.calls() == [("create", None), ("update", 200)]
        assert pipeline.bodies("update") == [lead("jane", source="Web", context="c")]

    def test_a_create_that_did_not_arrive_is_posted_again_after_a_404(self, pipeline: Pipeline) -> None:
        """The settling time is over, so a 404 shows that the create left no trace."""
        pipeline.fail({"operation": "create", "times": 1, "fault": {"kind": "cut_before"}})
        pipeline.send(create())
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        pipeline.deliver(pipeline.bring_back(records))
        assert pipeline.calls() == [("create", None), ("update", 404), ("create", 201)]

    def test_a_create_that_can_not_be_confirmed_is_never_repeated_blindly(self, pipeline: Pipeline) -> None:
        """However often the update fails."""
        pipeline.fail(
            {"operation": "create", "fault": {"kind": "cut_after"}},
            {"operation": "update", "fault": {"kind": "status", "status": 503}},
        )
        pipeline.send(create())
        records = pipeline.receive()
        for _ in range(4):
            assert len(pipeline.deliver(records)) == 1
            pipeline.settle()
            records = pipeline.bring_back(records)
        assert [operation for operation, _ in pipeline.calls()] == ["create", "update", "update", "update"]

    def test_what_can_not_be_confirmed_in_time_is_parked_as_unconfirmed(self, pipeline: Pipeline) -> None:
        """A person looks in the app."""
        pipeline.fail(
            {"operation": "create", "fault": {"kind": "cut_after"}},
            {"operation": "update", "fault": {"kind": "status", "status": 429}},
        )
        pipeline.send(create())
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        assert pipeline.deliver(pipeline.bring_back(records, aged_s=5 * 24 * 3600)) == set()
        [letter] = pipeline.dead_letters()
        assert letter["reason"] == "unconfirmed"
        [event] = pipeline.events()
        assert (event["state"], event["parkedAs"], event["unanswered"]) == ("parked", "unconfirmed", True)

    def test_a_rejected_confirmation_is_parked_at_once_and_a_redrive_confirms_again(
        self, pipeline: Pipeline
    ) -> None:
        """7Targets may have the lead, so even a person's redrive must not repeat the create blindly."""
        pipeline.fail(
            {"operation": "create", "times": 1, "fault": {"kind": "cut_after"}},
            {"operation": "update", "times": 1, "fault": {"kind": "status", "status": 400}},
        )
        pipeline.send(create())
        records = pipeline.receive()
        pipeline.deliver(records)
        pipeline.settle()
        pipeline.deliver(pipeline.bring_back(records))
        [letter] = pipeline.dead_letters()
        assert letter["reason"] == "unconfirmed"
        assert pipeline.deliver(pipeline.redrive()) == set()
        assert [operation for operation, _ in pipeline.calls()] == ["create", "update", "update"]

    def test_a_fault_of_the_api_parks_a_lead_only_after_the_parking_age(self, pipeline: Pipeline) -> None:
        """Four days by default, with the last reason."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 425, "body": "busy"}})
        pipeline.send(create())
        records = pipeline.receive()
        assert pipeline.deliver(pipeline.bring_back(records, aged_s=4 * 24 * 3600 - 60)) != set()
        assert pipeline.dead_letters() == []
        assert pipeline.deliver(pipeline.bring_back(records, aged_s=4 * 24 * 3600)) == set()
        [letter] = pipeline.dead_letters()
        assert (letter["reason"], letter["detail"]) == ("retry", "leads API answered 425: busy")


class TestVisibility:
    """When a failed message comes back."""

    def delays(self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The visibility timeouts that the function sets from now on."""
        seen: list[int] = []
        original = BaseClient._make_api_call  # type: ignore[attr-defined]

        def watch(self: BaseClient, operation: str, request: dict[str, object]) -> object:
            if operation == "ChangeMessageVisibilityBatch":
                entries = request["Entries"]
                assert isinstance(entries, list)
                seen.extend(entry["VisibilityTimeout"] for entry in entries)
            return original(self, operation, request)

        monkeypatch.setattr(BaseClient, "_make_api_call", watch)
        return seen

    def test_a_failed_message_comes_back_after_a_growing_delay(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """30 seconds, doubled each time, less up to half as jitter."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 425}})
        pipeline.send(create())
        records = pipeline.receive()
        delays = self.delays(pipeline, monkeypatch)
        for _ in range(3):
            pipeline.deliver(records)
            records = pipeline.bring_back(records)
        for delay, full in zip(delays, (30, 60, 120), strict=True):
            assert full / 2 <= delay <= full

    def test_after_a_request_without_an_answer_it_does_not_come_back_before_the_settling_time_is_over(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Until then the request may still take effect."""
        pipeline.fail({"operation": "create", "fault": {"kind": "cut_before"}})
        pipeline.send(create())
        delays = self.delays(pipeline, monkeypatch)
        pipeline.deliver()
        assert delays == [61]

    def test_retry_after_sets_the_delay(self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
        """The API knows best when it can take leads again."""
        throttle = {"kind": "status", "status": 429, "headers": {"Retry-After": "600"}}
        pipeline.fail({"operation": "create", "fault": throttle})
        pipeline.send(create())
        delays = self.delays(pipeline, monkeypatch)
        pipeline.deliver()
        assert delays == [601]

    def test_when_no_time_is_left_nothing_is_started_and_all_come_back_at_once(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lead that can't finish before the deadline could be killed in mid-call."""
        ids = {pipeline.send(create(name)) for name in ("jane", "kim")}
        pipeline.context.remaining_s = 40
        delays = self.delays(pipeline, monkeypatch)
        assert pipeline.deliver() == ids
        assert pipeline.calls() == []
        assert pipeline.ledger() == []
        assert delays == [0, 0]
        pipeline.context.remaining_s = 120
        assert pipeline.deliver() == set()

    def test_a_visibility_timeout_that_sqs_refuses_loses_nothing(self, pipeline: Pipeline) -> None:
        """The queue's own visibility timeout brings the message back."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 503}})
        message_id = pipeline.send(create())
        [record] = pipeline.receive()
        pipeline.sqs.delete_message(QueueUrl=pipeline.lead_queue_url, ReceiptHandle=record["receiptHandle"])
        assert pipeline.deliver([record | {"receiptHandle": "stale"}]) == {message_id}


class TestOrder:
    """Events of one lead."""

    def test_events_of_one_lead_in_a_batch_are_applied_in_their_order(self, pipeline: Pipeline) -> None:
        """Create, then each update, then the stop."""
        pipeline.send(create())
        for number in range(5):
            pipeline.send(update(phone=f"+{number}"))
        pipeline.send({"operation": "stop_followup", "lead": lead()})
        assert pipeline.deliver() == set()
        assert [operation for operation, _ in pipeline.calls()] == [
            "create",
            *["update"] * 5,
            "stop_followup",
        ]
        assert pipeline.leads()["jane@example.com"]["phone"] == "+4"

    @pytest.mark.parametrize("status", [425, 503])
    def test_after_a_failure_the_later_events_of_the_lead_go_back_untried(
        self, pipeline: Pipeline, status: int
    ) -> None:
        """And other leads go on."""
        pipeline.fail(
            {
                "operation": "create",
                "email": "jane@example.com",
                "fault": {"kind": "status", "status": status},
            }
        )
        first, second = pipeline.send(create()), pipeline.send(update(phone="+1"))
        pipeline.send(create("kim"))
        assert pipeline.deliver() == {first, second}
        assert sorted(pipeline.calls()) == [("create", 201), ("create", status)]

    def test_a_message_that_links_two_lanes_joins_them(self, pipeline: Pipeline) -> None:
        """One event names the lead by its address, one by its id, one by both; `5` and "05" are one id."""
        pipeline.fail({"operation": "update", "fault": {"kind": "delay", "seconds": 0.2}})
        pipeline.send(update("jane"))
        pipeline.send(update("janet", id="05"))
        pipeline.send(update("jane", id=5))
        pipeline.deliver()
        sent = [r["at"] for r in pipeline.ask_sandbox("requests") if r["operation"] == "update"]
        assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(sent))


class TestGracePeriod:
    """An update of a lead that 7Targets doesn't know."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """The shortest settling time and delays that the settings allow."""
        return {"UPDATE_GRACE_S": "1"}

    def test_after_the_grace_period_it_is_rejected(self, pipeline: Pipeline) -> None:
        """A person finds the reason in the dead-letter queue."""
        pipeline.send(update())
        records = pipeline.receive()
        assert len(pipeline.deliver(records)) == 1
        pipeline.pass_time(1)
        pipeline.send(create("kim"))
        pipeline.deliver()
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        [letter] = pipeline.dead_letters()
        assert (letter["reason"], letter["status"]) == ("rejected", "404")
        assert "no create came within the grace period" in letter["detail"]


class TestOutage:
    """The API is down, or refuses the credentials."""

    def test_after_five_faults_the_rest_of_the_leads_is_deferred_untried(self, pipeline: Pipeline) -> None:
        """Probe, don't hammer."""
        pipeline.fail({"operation": "create", "fault": {"kind": "status", "status": 503}})
        for number in range(30):
            pipeline.send(create(f"lead{number}"))
        for _ in range(3):
            assert len(pipeline.deliver()) == 10
        assert len(pipeline.calls()) <= 10
        assert len(pipeline.ledger()) <= 10

    def test_a_refused_token_request_is_blocked_and_named_and_flows_after_it_was_fixed(
        self, pipeline: Pipeline
    ) -> None:
        """One clear message with the command, no traceback; then no redeploy."""
        pipeline.secrets.put_secret_value(
            SecretId="client-secret", SecretString=json.dumps(SECRET | {"client_secret": "wrong-secret"})
        )
        pipeline.send(create())
        records = pipeline.receive()
        assert len(pipeline.deliver(records)) == 1
        logged = pipeline.log.getvalue()
        assert '"outcome":"blocked"' in logged
        assert "aws secretsmanager put-secret-value --secret-id client-secret" in logged
        assert "Traceback" not in logged
        pipeline.secrets.put_secret_value(SecretId="client-secret", SecretString=json.dumps(SECRET))
        assert pipeline.deliver(pipeline.bring_back(records)) == set()

    def test_a_refused_user_identifier_is_blocked_and_flows_after_it_was_fixed(
        self, pipeline: Pipeline
    ) -> None:
        """The API's 403 makes the function read the secret again."""
        pipeline.secrets.put_secret_value(
            SecretId="client-secret", SecretString=json.dumps(SECRET | {"user_identifier": "nobody"})
        )
        pipeline.send(create())
        records = pipeline.receive()
        assert len(pipeline.deliver(records)) == 1
        pipeline.secrets.put_secret_value(SecretId="client-secret", SecretString=json.dumps(SECRET))
        assert pipeline.deliver(pipeline.bring_back(records)) == set()
        assert pipeline.dead_letters() == []

    def test_a_bug_in_the_function_is_a_retry_of_that_lead_alone(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its batch-mates are delivered, and the log names the place but not the lead."""
        original = LeadsApi.send

        def buggy(self: LeadsApi, operation, lead, deadline):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            if lead["email"] == "jane@example.com":
                raise KeyError(lead["email"])
            return original(self, operation, lead, deadline)

        monkeypatch.setattr(LeadsApi, "send", buggy)
        bad = pipeline.send(create())
        pipeline.send(create("kim"))
        assert pipeline.deliver() == {bad}
        logged = pipeline.log.getvalue()
        assert "internal error: KeyError at test_delivery.py:" in logged
        assert "jane" not in logged


def test_the_log_line_has_every_field_by_which_leadctl_finds_it(pipeline: Pipeline) -> None:
    """leadctl searches by 7Targets' id, the ids of message and event, and the producer's key."""
    pipeline.send(create() | {"idempotencyKey": "crm-1"})
    pipeline.deliver()
    line = next(json.loads(text) for text in pipeline.log.getvalue().splitlines() if '"attempt"' in text)
    assert set(FIELDS) <= line.keys()
    assert line["key"] == derive_key("crm-1", Operation.CREATE, {}, "").text
