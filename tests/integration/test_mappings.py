"""Other people's events through the handler: delivered as the right lead, or parked as they came."""

import importlib
import json
from typing import Any

import pytest

from deliver_leads.contract import pack_mappings
from deliver_leads.event.mappings import EventMapper
from tests.foreign_events import EXAMPLES, IGNORED, STOP, load, mappings
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


def test_a_canceled_meeting_stops_the_lead_that_it_made(pipeline: Pipeline) -> None:
    """Calendly's two events of one person, whose key is the same: a create and a stop are two things."""
    for example in ("calendly-created", STOP):
        pipeline.send(load(example, "event"))
        assert pipeline.deliver() == set()
    assert [operation for operation, _ in pipeline.calls()] == ["create", "stop_followup"]
    assert pipeline.bodies("stop_followup") == [load(STOP, "lead")["lead"]]


@pytest.mark.parametrize("example", IGNORED)
def test_what_a_mapping_leaves_out_is_counted_and_neither_sent_nor_parked(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], example: str
) -> None:
    """Somebody presses "Send test data" in Google Ads: no alarm, no lead."""
    pipeline.send(load(example, "event"))
    assert pipeline.deliver() == set()
    assert (pipeline.dead_letters(), pipeline.calls(), pipeline.ledger()) == ([], [], [])
    assert '"Ignored":[1.0]' in capsys.readouterr().out
    [line] = [json.loads(text) for text in pipeline.log.getvalue().splitlines() if '"attempt"' in text]
    name = load(example, "mapping")["name"]
    assert (line["outcome"], line["reason"]) == ("ignored", f'mapping "{name}" leaves it out')
    assert line["level"] == "INFO"


def test_an_event_that_a_pattern_leaves_out_is_parked_with_the_mapping_and_the_place(
    pipeline: Pipeline,
) -> None:
    """Another form of the same account: whoever wrote the pattern has to look, not the producer."""
    event = load("google-ads", "event")
    event["detail"]["form_id"] = 41
    pipeline.send(event)
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert letter["detail"] == " | ".join(
        f'mapping "{name}": takes events of this source, but pattern.detail.{part} doesn\'t fit this one'
        for name, part in (("google-ads", "form_id"), ("google-ads-test", "is_test"))
    )


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"Source": "x", "DetailType": "Lead Created", "Detail": "{}"}, "is an entry of PutEvents"),
        ({"detailType": "Lead Created", "detail": {}}, "is an entry of PutEvents"),
        ({"specversion": "1.0", "type": "lead", "source": "/x", "id": "1", "data": {}}, "is a CloudEvent"),
    ],
)
def test_a_body_in_a_form_that_others_use_is_parked_with_what_to_send(
    pipeline: Pipeline, body: dict[str, object], hint: str
) -> None:
    """The reason speaks of what the producer did, not of what is missing."""
    pipeline.send(body)
    pipeline.deliver()
    [letter] = pipeline.dead_letters()
    assert letter["detail"].startswith(f"body: {hint}")


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
