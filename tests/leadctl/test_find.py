"""Where is my lead? From the ledger, the dead-letter queues and the log; what isn't known is said."""

import json
import time
from typing import Any

import boto3
import pytest

from deliver_leads.event.idempotency_key import hash_address
from deliver_leads.lead_state import State
from tests.leadctl.conftest import LOG_GROUP, Stage
from tests.leadctl.stage_content import BODY, JANE, claim, complete


def log(stage: Stage, **line: Any) -> None:
    """A line of the function's log."""
    logs = boto3.client("logs")
    stream = f"stream-{time.monotonic_ns()}"
    logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
    message = json.dumps({"message": "attempt", **line}, separators=(",", ":"))
    logs.put_log_events(
        logGroupName=LOG_GROUP,
        logStreamName=stream,
        logEvents=[{"timestamp": int(time.time() * 1000), "message": message}],
    )


def test_a_delivered_lead_is_told_with_its_page_in_the_app(stage: Stage) -> None:
    """The whole story: what came in, and after how many attempts it was delivered."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED, attempts=2)
    result = stage.run("find", "Jane@Example.com")
    assert result.exit_code == 0, result.stderr
    assert "https://solution.7targets.com/all-leads?id=4711" in result.stdout
    assert "create came in from sqs, message message-1" in result.stdout
    assert "delivered after 2 attempts" in result.stdout


@pytest.mark.parametrize("written", ["mailto:jane@example.com", "'jane@example.com'", "jane＠example.com"])  # noqa: RUF001
def test_a_lead_is_found_however_its_address_is_written(stage: Stage, written: str) -> None:
    """It is copied from somewhere, as the event's was."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    assert "all-leads?id=4711" in stage.run("find", written).stdout


def test_json_has_the_same_for_scripts(stage: Stage) -> None:
    """One object, whatever was found."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED, attempts=1)
    found = json.loads(stage.run("find", JANE, "-o", "json").stdout)
    [lead] = found["leads"]
    [event] = lead["events"]
    assert (lead["leadId"], event["state"], event["operation"]) == ("4711", "delivered", "create")
    assert found["inLeadQueue"] == 0


def test_a_lost_answer_is_told_and_when_the_event_comes_back(stage: Stage) -> None:
    """Nobody should create the lead by hand meanwhile."""
    complete(
        stage,
        claim(stage),
        state=State.WAITING,
        attempts=1,
        unanswered=True,
        due_s=int(time.time()) + 60,
        reason="no answer in time",
    )
    shown = stage.run("find", JANE).stdout
    assert "a request left and no answer came, so it may have taken effect" in shown
    assert "sent again as an update (PUT) first" in shown
    assert "comes back at 20" in shown
    assert "no answer in time" in shown


def test_an_event_under_way_is_not_told_as_waiting(stage: Stage) -> None:
    """It is in the journal only."""
    claim(stage)
    assert "under way" in stage.run("find", JANE).stdout


def test_a_lead_that_was_delivered_before_is_under_way_with_its_next_event(stage: Stage) -> None:
    """The journal's entry goes over what the item says."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED, attempts=1)
    claim(stage, BODY | {"operation": "update"}, "message-2")
    shown = stage.run("find", JANE).stdout
    assert "delivered" in shown
    assert "update came in from sqs, message message-2" in shown
    assert "under way" in shown


@pytest.mark.parametrize("name", ["message", "body", "rejected"])
def test_a_parked_lead_is_found_in_the_dead_letter_queue(stage: Stage, name: str) -> None:
    """Whether its event could be read or not; afterwards others can receive the message at once."""
    bodies = {"message": BODY, "body": f"{JANE} in no JSON", "rejected": {"lead": BODY["lead"]}}
    stage.park(bodies[name], message_id="message-7")
    result = stage.run("find", JANE)
    assert result.exit_code == 3
    assert "Parked since" in result.stdout
    assert "answered 422: on the suppression list" in result.stdout
    assert len(stage.take("DeadLetterQueueUrl")) == 1


def test_an_event_that_eventbridge_could_not_deliver_is_found(stage: Stage) -> None:
    """It is in the other dead-letter queue, and in no ledger."""
    event = {"detail-type": "Lead Created", "id": "e-1", "detail": {"lead": BODY["lead"]}}
    stage.send(
        "RuleDeadLetterQueueUrl",
        event,
        MessageAttributes={"ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}},
    )
    assert "as undelivered: NO_PERMISSIONS" in stage.run("find", JANE).stdout


def test_a_lead_that_nobody_has_seen_is_said_to_be_unknown(stage: Stage) -> None:
    """With what may still be in the queue, which can't be looked into."""
    stage.send(
        "LeadQueueUrl",
        "{}",
    )
    stage.send(
        "LeadQueueUrl",
        "{}",
    )
    result = stage.run("find", JANE)
    assert result.exit_code == 3
    assert "The ledger has nothing about this lead" in result.stdout
    assert "2 events wait in the lead queue or are under way" in result.stdout


@pytest.mark.parametrize(
    ("address", "why"),
    [("jane@ex\u0430mple.com", "mixes Cyrillic and Latin letters"), ("\udcffjane@example.com", "U+DCFF")],
    ids=["keyboard", "half a character"],
)
@pytest.mark.parametrize("command", ["find", "erase"])
def test_nothing_found_of_an_address_that_no_lead_has_is_not_all_that_is_said(
    stage: Stage, command: str, address: str, why: str
) -> None:
    """A slip must not look as if nothing were stored."""
    result = stage.run(command, address, *(("--dry-run",) if command == "erase" else ()))
    assert "No lead has this address: it is not an e-mail address, because it " in result.stderr
    assert why in result.stderr


@pytest.mark.parametrize("what", ["4711", "message-1", "webinar-2041", hash_address(JANE)])
def test_ids_and_keys_are_looked_up_in_the_log(stage: Stage, what: str) -> None:
    """The log has the hash by which the ledger knows the lead; other leads' lines are left out."""
    claimed = claim(stage)
    complete(stage, claimed, "4711", state=State.DELIVERED, attempts=1)
    lead = {"lead": claimed.event.lead_hash, "lead_id": 4711, "message_id": "message-1"}
    log(stage, outcome="delivered", key=claimed.event.key.text, receive_count=1, **lead)
    log(stage, outcome="delivered", lead="0" * 64, lead_id=47110, status=4711)
    found = json.loads(stage.run("find", what, "-o", "json").stdout)
    assert [each["leadId"] for each in found["leads"]] == ["4711"]
    assert {each["lead"] for each in found["attempts"]} <= {claimed.event.lead_hash}


def test_the_logs_attempts_are_part_of_the_story_when_asked_for(stage: Stage) -> None:
    """The ledger forgets a lost answer once the event is delivered; the log doesn't."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED, attempts=2)
    line = {"lead": hash_address(JANE), "timestamp": "2026-11-26 11:29:07,973+0000", "duration_ms": 12}
    log(stage, outcome="unconfirmed", reason="no answer in time", receive_count=1, **line)
    shown = stage.run("find", JANE, "--log").stdout
    assert "2026-11-26T11:29:07Z  attempt 1: unconfirmed: no answer in time (12 ms)" in shown


def test_an_id_that_the_log_does_not_have_is_said(stage: Stage) -> None:
    """Not seen in the log is not the same as not there."""
    result = stage.run("find", "12345")
    assert result.exit_code == 3
    assert "The log has no attempt with this id or key" in result.stdout


def test_the_address_can_come_by_stdin(stage: Stage) -> None:
    """So that it isn't in the shell's history."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED, attempts=1)
    assert "id=4711" in stage.run("find", "-", stdin=f"{JANE}\n").stdout
