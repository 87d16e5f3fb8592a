"""Other people's events through the handler: delivered as the right lead, or parked as they came."""

import importlib
import json
from typing import Any

import pytest

from deliver_leads.contract import pack_mappings
from deliver_leads.event.mappings import EventMapper
from tests.foreign_events import EXAMPLES, load, mappings
from tests.integration.conftest import Pipeline

JANE = "jane.doe@example.com"


@pytest.fixture
def settings() -> dict[str, str]:
    """A stage that has all worked examples' mappings, and takes its own events of one source only."""
    return {"MAPPINGS": pack_mappings(mappings()), "EVENT_SOURCES": '["com.example.crm"]'}


def without_address(example: str) -> dict[str, Any]:
    """The example's event as it comes when the person gave no address."""
    text = json.dumps(load(example, "event"))
    return dict(json.loads(text.replace(JANE, "")))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_event_becomes_the_right_lead_at_the_api(pipeline: Pipeline, example: str) -> None:
    """What the leads API gets is the lead that the documents show, field by field."""
    pipeline.send(load(example, "event"))
    assert pipeline.deliver() == set()
    [sent] = pipeline.bodies("create")
    assert sent == load(example, "lead")["lead"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_wrong_event_is_parked_as_it_came_with_the_mapping_s_name(pipeline: Pipeline, example: str) -> None:
    """The original event, so that it can be sent again when the mapping is fixed; nothing is sent."""
    event, mapping = without_address(example), load(example, "mapping")
    pipeline.send(event)
    assert pipeline.deliver() == set()
    [letter] = pipeline.dead_letters()
    assert json.loads(letter["body"]) == event
    assert (letter["reason"], letter["eventId"]) == ("rejected", event["id"])
    path = mapping["fields"]["email"]
    assert letter["detail"] == (
        f'mapping "{mapping["name"]}": lead.email ({path}): is missing; every create needs it'
    )
    assert pipeline.calls() == []


def test_a_parked_event_is_delivered_after_its_mapping_was_fixed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redrive brings the original event, which the mapping of that day reads."""
    event = load("typeform", "event")
    for answer in event["detail"]["form_response"]["answers"]:
        if answer["type"] == "email":
            answer["type"], answer["text"] = "text", answer.pop("email")
    pipeline.send(event)
    pipeline.deliver()
    assert len(pipeline.dead_letters()) == 1
    fixed = load("typeform", "mapping")
    fixed["fields"]["email"] = "detail.form_response.answers[?field.ref == 'email'].text | [0]"
    runner = importlib.import_module("deliver_leads.handler").runner
    monkeypatch.setattr(runner, "_mapper", EventMapper([fixed]))
    assert pipeline.deliver(pipeline.redrive()) == set()
    assert pipeline.leads().keys() == {JANE}
    assert pipeline.dead_letters() == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_event_that_comes_twice_makes_one_lead(pipeline: Pipeline, example: str) -> None:
    """EventBridge delivers at least once; a webhook that is sent again has another id, but its own key."""
    event = load(example, "event")
    for each in (event, event, event | {"id": "another-delivery"}):
        pipeline.send(each)
        pipeline.deliver()
    assert pipeline.calls() == [("create", 201)]


def test_events_of_a_source_that_no_mapping_and_no_list_has_are_parked(pipeline: Pipeline) -> None:
    """A mapping opens the door for the events of its pattern only."""
    event = load("typeform", "event") | {"source": "com.example.other"}
    pipeline.send(event)
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert 'source: must be one of "com.example.crm"' in letter["detail"]


def test_an_event_in_our_own_form_passes_beside_the_mappings(pipeline: Pipeline) -> None:
    """Both kinds may be in one batch."""
    lead = {"name": "Max", "email": "max@example.com", "assistantEmail": "sam@example.net"}
    own = {"id": "e-1", "detail-type": "Lead Created", "source": "com.example.crm", "detail": {"lead": lead}}
    pipeline.send(own)
    pipeline.send(load("typeform", "event"))
    pipeline.deliver()
    assert pipeline.leads().keys() == {"max@example.com", JANE}


def test_nothing_private_of_a_foreign_event_is_logged(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    """Delivered, rejected for a missing field, and rejected for what JMESPath can't do with it."""
    odd = load("typeform", "event")
    odd["detail"]["form_response"]["answers"][4]["choices"]["labels"] = ["Reports", {"secret": "Wilhelmina"}]
    for event in (load("salesforce", "event"), without_address("facebook-lead-ads"), odd):
        pipeline.send(event)
        pipeline.deliver()
    shown = pipeline.log.getvalue() + "".join(capsys.readouterr())
    assert shown.count('"outcome":"rejected"') == 2
    assert "can't be evaluated (JMESPathTypeError)" in shown
    for value in (JANE, "Jane", "Doe", "+14155550100", "Example Corp", "Wilhelmina", "sam.assistant"):
        assert value not in shown
