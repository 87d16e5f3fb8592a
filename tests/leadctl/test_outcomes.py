"""What came of parked leads that were sent again: delivered, parked again, waiting, or not to be known."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from deliver_leads.contract import DeadLetterAttribute
from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.message import Message
from deliver_leads.lead_state import State
from deliver_leads.outcome import RejectedError
from leadctl.parked import outcomes
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import complete, event_of, parked_body

Function = Callable[[Stage, dict[str, Any]], None]


def claimed(stage: Stage, message: dict[str, Any], **changes: Any) -> None:
    """The function takes a message, and notes what came of it."""
    event = event_of(message | {"MessageAttributes": message.get("MessageAttributes", {})})
    assert isinstance(event, LeadEvent)
    received = Message(
        message["MessageId"], "receipt", message["Body"], 1, int(time.time() * 1000), parked_event_id="x"
    )
    complete(stage, stage.ledger.claim(event, received, lease_s=60), "4711", **changes)


def delivers(stage: Stage, message: dict[str, Any]) -> None:
    """7Targets takes it."""
    claimed(stage, message, state=State.DELIVERED)


def parks(stage: Stage, message: dict[str, Any]) -> None:
    """7Targets refuses it again."""
    claimed(stage, message, state=State.PARKED, parked_as="rejected", reason="answered 422")
    cannot_read(stage, message, "answered 422: still on the suppression list")


def parks_out_of_sight(stage: Stage, message: dict[str, Any]) -> None:
    """And somebody takes the parked message at once."""
    claimed(stage, message, state=State.PARKED, parked_as="rejected", reason="answered 422")


def cannot_read(stage: Stage, message: dict[str, Any], why: str = "lead.phone: must be a string") -> None:
    """The ledger never hears of it."""
    event_id = message["MessageAttributes"][DeadLetterAttribute.EVENT_ID]["StringValue"]
    stage.park(message["Body"], RejectedError(why), message_id=message["MessageId"], event_id=event_id)


def waits(stage: Stage, message: dict[str, Any]) -> None:
    """7Targets doesn't answer."""
    due_s = int(time.time()) + 900
    claimed(stage, message, state=State.WAITING, reason="answered 503", due_s=due_s)


def does_nothing(stage: Stage, message: dict[str, Any]) -> None:
    """The message is still in the queue."""


CASES: list[tuple[Function, dict[str, Any], int, str]] = [
    (delivers, {"delivered": 1}, 0, "1 delivered."),
    (parks, {"parkedAgain": 1}, 3, "rejected: answered 422: still on the suppression list"),
    (parks_out_of_sight, {"parkedAgain": 1}, 3, "rejected: answered 422"),
    (waits, {"waiting": 1}, 3, "waits: answered 503"),
    (does_nothing, {"waiting": 1}, 3, "1 still waiting."),
]


@pytest.mark.parametrize("form", ["json", "table"])
@pytest.mark.parametrize(("function", "counts", "code", "words"), CASES)
def test_a_retry_that_waits_says_what_came_of_it(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    function: Function,
    counts: dict[str, Any],
    code: int,
    words: str,
    form: str,
) -> None:
    """Other leads that are parked, or were delivered before, are none of it."""
    for number in (1, 2):
        stage.park(parked_body(number), message_id=f"message-{number}")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        # The function works while leadctl looks away.
        if not slept:
            [message] = stage.take()
            function(stage, message)
        slept.append(seconds)

    monkeypatch.setattr("leadctl.parked.outcomes.time.sleep", sleep)
    monkeypatch.setattr(outcomes, "_FOLLOWED_S", 0.3)
    result = stage.run("parked", "retry", "message-1", "--wait", "--yes", "-o", form)
    assert result.exit_code == code, result.output
    if form == "json":
        nothing = {"delivered": 0, "parkedAgain": 0, "waiting": 0, "unknown": 0}
        found = json.loads(result.stdout)
        assert found == {"sent": 1, "left": 0, "reasons": found["reasons"]} | nothing | counts
    else:
        assert words in result.stdout


def test_what_the_ledger_says_of_an_earlier_try_or_of_another_content_is_not_taken_for_the_outcome(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one was parked before it was sent again; the other was delivered under the same key."""
    stage.send("LeadQueueUrl", parked_body(1))
    stage.send("LeadQueueUrl", parked_body(2, phone="1"))
    before = {json.loads(each["Body"])["idempotencyKey"]: each for each in stage.take()}
    claimed(stage, before["crm-1"], state=State.PARKED, parked_as="rejected", reason="answered 422")
    claimed(stage, before["crm-2"], state=State.DELIVERED)
    for number in (1, 2):
        stage.park(parked_body(number), message_id=f"message-{number}")
    monkeypatch.setattr(outcomes, "_FOLLOWED_S", 0.1)
    result = stage.run("parked", "retry", "--all", "--wait", "--yes")
    assert result.stdout.splitlines()[1] == "2 still waiting."


def test_an_event_that_leadctl_cannot_read_is_said_to_be_unknown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't parked again, and leadctl doesn't know its key."""
    stage.park({"detail-type": "Contact Created", "detail": {}})
    monkeypatch.setattr(outcomes, "_FOLLOWED_S", 0.1)
    result = stage.run("parked", "retry", "--all", "--wait", "--yes")
    assert result.exit_code == 3
    assert "1 can't be followed, because leadctl can't read them as events" in result.stdout
