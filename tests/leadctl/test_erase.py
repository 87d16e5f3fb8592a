"""What is stored about a person is removed, or named; what prevents repeats goes only when it is said."""

import time

from deliver_leads.event.idempotency_key import hash_address
from deliver_leads.lead_state import State
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import BODY, JANE, claim, complete


def in_ledger(stage: Stage) -> bool:
    """Whether the ledger knows the lead."""
    return "Item" in stage.dynamodb.get_item(
        TableName=stage.outputs["LedgerTableName"],
        Key={"lead": {"S": hash_address(JANE)}, "event": {"S": "#lead"}},
    )


def test_parked_messages_of_the_person_are_deleted_and_nobody_elses(stage: Stage) -> None:
    """From both queues, readable as an event or not; without an export."""
    stage.park(BODY)
    stage.park(f"{JANE} in no JSON", message_id="message-2")
    stage.park(BODY | {"lead": {"email": "leo@example.com"}}, message_id="message-3")
    event = {"detail-type": "Lead Created", "id": "e-1", "detail": {"lead": BODY["lead"]}}
    stage.send(
        "RuleDeadLetterQueueUrl",
        event,
    )
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    result = stage.run("erase", "Jane@example.com", "--yes")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Deleted: 3 parked messages.\nWhat stays:\n  the ledger's item: ")
    assert "https://solution.7targets.com/all-leads?id=4711" in result.stdout
    assert len(stage.take("DeadLetterQueueUrl")) == 1
    assert stage.take("RuleDeadLetterQueueUrl") == []
    assert in_ledger(stage)


def test_a_person_is_found_however_the_address_is_written(stage: Stage) -> None:
    """It is pasted from a mail program; a body that can't be read holds it plainly."""
    stage.park(BODY)
    stage.park(f"{JANE} in no JSON", message_id="message-2")
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    result = stage.run("erase", "\u202a'Jane' <Jane@EXAMPLE.com>\u202c", "--ledger", "--yes")
    assert result.exit_code == 0, result.stderr
    assert stage.take("DeadLetterQueueUrl") == []
    assert not in_ledger(stage)


def test_the_ledgers_item_goes_when_it_is_said(stage: Stage) -> None:
    """With a warning of what that means."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    result = stage.run("erase", JANE, "--ledger", "--yes")
    assert result.exit_code == 0, result.stderr
    assert "a repeat too, will begin its e-mails anew" in result.stderr
    assert not in_ledger(stage)


def test_a_lead_with_an_open_event_keeps_its_item(stage: Stage) -> None:
    """Without it a create whose answer was lost would be sent again."""
    complete(stage, claim(stage), state=State.WAITING, unanswered=True, due_s=int(time.time()) + 60)
    result = stage.run("erase", JANE, "--ledger", "--yes")
    assert result.exit_code == 3
    assert "Nothing was erased" in result.stderr
    assert in_ledger(stage)


def test_an_attempt_that_begins_meanwhile_keeps_the_item(stage: Stage) -> None:
    """Between the look and the deletion."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    stage.before["DeleteItem"] = lambda: claim(stage, BODY | {"operation": "update"}, "message-2")
    result = stage.run("erase", JANE, "--ledger", "--yes")
    assert result.exit_code == 3
    assert "an attempt has begun" in result.stderr
    assert in_ledger(stage)


def test_deleting_the_item_is_no_operators_right(stage: Stage) -> None:
    """The policy leaves it out, because it can send a lead twice."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    stage.failures["DeleteItem"] = "AccessDeniedException"
    result = stage.run("erase", JANE, "--ledger", "--yes")
    assert result.exit_code == 4
    assert "dynamodb:DeleteItem" in result.stderr
    assert "ask an administrator" in result.stderr


def test_a_dry_run_names_what_there_is(stage: Stage) -> None:
    """And leaves it there."""
    stage.park(BODY)
    result = stage.run("erase", "-", "--dry-run", stdin=f"{JANE}\n")
    assert result.exit_code == 0
    assert "Delete 1 parked message of this person" in result.stderr
    assert len(stage.take("DeadLetterQueueUrl")) == 1
