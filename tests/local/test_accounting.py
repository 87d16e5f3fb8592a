"""The accounting at the end of `make run`: it finds every way in which an event can go astray."""

import json
from typing import Any

import pytest

from local.judge import Observed
from local.publishing import LeadToPublish, Published
from local.sample.accounting import account

LEAD = {"name": "Zoë", "email": "zoe@example.com", "assistantEmail": "sam@example.com", "source": "Webinar"}
CHANGED = {**LEAD, "phone": "+12125550100"}
HELD = {**LEAD, "creates": 1, "state": "Cold", "type": "SALES"}


def event(
    operation: str, lead: dict[str, Any], expected: str = "delivered", problem: str = ""
) -> Published[LeadToPublish]:
    body = json.dumps({"operation": operation, "lead": lead})
    return Published(LeadToPublish("sqs", operation, lead, body, expected, problem), id=f"{operation}-id")


def request(operation: str, body: dict[str, Any], effect: str, fault: str | None = None) -> dict[str, Any]:
    status = None if fault == "cut_after" else 200
    return {"operation": operation, "body": body, "effect": effect, "fault": fault, "status": status}


def letter(detail: str, message_id: str = "create-id") -> dict[str, Any]:
    attributes = {"reason": "rejected", "detail": detail, "messageId": message_id}
    return {
        "Body": "{}",
        "MessageAttributes": {name: {"StringValue": value} for name, value in attributes.items()},
    }


CREATE = event("create", LEAD)
CREATED = request("create", LEAD, "created")


def discrepancies(
    published: list[Published[LeadToPublish]], *requests: Any, held: Any = HELD, letters: Any = ()
) -> list[str]:
    leads = {"zoe@example.com": held} if held else {}
    return account(published, Observed(list(requests), leads, list(letters))).discrepancies


def test_a_delivered_lead_its_repeat_and_its_update_add_up() -> None:
    """A create, its duplicate and an update that was repeated after a lost answer are all accounted for."""
    published = [CREATE, event("create", LEAD, "duplicate"), event("update", CHANGED)]
    update = request("update", CHANGED, "updated")
    lost_answer = request("update", CHANGED, "updated", "cut_after")
    assert discrepancies(published, CREATED, lost_answer, update, held={**HELD, **CHANGED}) == []


def test_an_update_that_its_stop_has_overtaken_adds_up_without_its_sequence() -> None:
    """The function leaves the sequence out, because it would start the e-mails again."""
    in_sequence = {**CHANGED, "scheduleName": "Warm"}
    published = [CREATE, event("update", in_sequence), event("stop_followup", LEAD)]
    requests = (
        CREATED,
        request("stop_followup", LEAD, "stopped"),
        request("update", CHANGED, "updated"),
    )
    held = {**HELD, **CHANGED, "followup": 0, "nextScheduleTime": None, "scheduleName": "First"}
    assert discrepancies(published, *requests, held=held) == []
    assert discrepancies(published, *requests[:2], held=held) == [
        "update zoe@example.com by sqs: expected delivered, but it is lost"
    ]


def test_a_stop_that_was_published_twice_adds_up_if_it_was_sent_twice() -> None:
    """A create that came between may have started the e-mails again."""
    stop = request("stop_followup", LEAD, "stopped")
    published = [CREATE, event("stop_followup", LEAD), event("stop_followup", LEAD, "duplicate")]
    held = {**HELD, "followup": 0, "nextScheduleTime": None}
    assert discrepancies(published, CREATED, stop, stop, held=held) == []
    assert discrepancies(published, CREATED, held=held) != []


def test_an_update_adds_up_though_its_address_is_sent_in_another_form() -> None:
    """The function sends each address in its one form."""
    as_written = {**CHANGED, "email": "Zoe@EXAMPLE.com"}
    update = request("update", {**CHANGED, "email": "Zoe@example.com"}, "updated")
    assert (
        discrepancies([CREATE, event("update", as_written)], CREATED, update, held={**HELD, **CHANGED}) == []
    )


def test_a_rejected_event_adds_up_when_its_detail_names_the_field() -> None:
    """A parked event is where it must be only if its detail names the very field."""
    published = [event("create", {"name": "Zoë"}, "rejected", "lead.email")]
    assert discrepancies(published, held=None, letters=[letter("lead.email: is missing")]) == []
    assert discrepancies(published, held=None, letters=[letter("lead.name: is missing")]) != []


@pytest.mark.parametrize(
    ("requests", "held", "letters"),
    [
        pytest.param([], None, [], id="lost"),
        pytest.param([CREATED, request("create", LEAD, "created_again")], HELD, [], id="created twice"),
        pytest.param([CREATED], HELD, [letter("lead.email: is missing")], id="delivered and parked"),
        pytest.param([CREATED], {**HELD, "source": "Website"}, [], id="another field value"),
        pytest.param([CREATED], HELD, [letter("lead.email: is missing", "unknown-id")], id="a stray letter"),
    ],
)
def test_whatever_does_not_add_up_is_reported(
    requests: list[dict[str, Any]], held: dict[str, Any] | None, letters: list[dict[str, Any]]
) -> None:
    """An event that is nowhere, in two places or not as it was published is reported."""
    assert discrepancies([CREATE], *requests, held=held, letters=letters) != []


def test_a_lead_that_no_event_asked_for_is_reported() -> None:
    """A lead at the sandbox without an event is reported."""
    assert discrepancies([], held=HELD) == ["lead zoe@example.com: is held, but no event asks for it"]
