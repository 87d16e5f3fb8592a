"""Other people's events on the deployed stack's bus: its own, or one that others use."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.stack.deployment import Deployment, deployed
from local.stack.waiting import wait_until
from tests.e2e.foreign import foreign_mappings, new_foreign_event, put
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead, wait_for_dead_letter, wait_for_leads
from tests.foreign_events import EXAMPLES, IGNORED, STOP

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def on_the_default_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack without a bus of its own."""
    settings = {"eventBusName": "default", "mappings": json.dumps(foreign_mappings())}
    with deployed(tmp_path_factory.mktemp("default-bus"), settings=settings) as deployment:
        yield deployment


def assert_leads(deployment: Deployment, expected: list[dict[str, Any]]) -> None:
    """The sandbox gets these leads, and has them as they should be, each created once."""
    wait_for_leads(deployment, expected)
    held = deployment.sandbox.leads()
    assert held.keys() == {lead["email"] for lead in expected}
    for lead in expected:
        at_sandbox = held[lead["email"]]
        assert {name: at_sandbox.get(name) for name in lead} == lead
        assert at_sandbox["creates"] == 1
    assert deployment.take_dead_letters() == []


def test_an_event_of_each_foreign_source_becomes_the_right_lead(deployment: Deployment) -> None:
    """Salesforce's nested name, Facebook's pairs of names and values, Jotform's JSON in a text.

    Google's test data and Calendly's moved meeting come first, and nothing comes of them.
    """
    expected = []
    for example in (*IGNORED, *EXAMPLES):
        event, lead = new_foreign_event(example)
        put(deployment, event)
        expected += [lead] if lead else []
    assert_leads(deployment, expected)
    wait_until("an empty queue", lambda: deployment.lead_queue_count() == 0, timeout_s=EVENT_TIMEOUT_S)
    assert_leads(deployment, expected)


def test_a_canceled_meeting_stops_the_follow_up_of_its_lead(deployment: Deployment) -> None:
    """Calendly's creation, and later its cancellation."""
    created, lead = new_foreign_event("calendly-created")
    put(deployment, created)
    assert_leads(deployment, [lead])
    canceled, _ = new_foreign_event(STOP, address=lead["email"])
    put(deployment, canceled)

    def is_stopped() -> bool:
        return bool(deployment.sandbox.leads()[lead["email"]]["nextScheduleTime"] is None)

    wait_until("the stop", is_stopped, timeout_s=EVENT_TIMEOUT_S)


def test_a_wrong_foreign_event_is_parked_whole_with_its_mapping_s_name(deployment: Deployment) -> None:
    """A person finds the event as its source sent it, and which mapping to look at."""
    event, _ = new_foreign_event("typeform")
    answers = event["detail"]["form_response"]["answers"]
    event["detail"]["form_response"]["answers"] = [each for each in answers if each["type"] != "email"]
    event_id = put(deployment, event)
    letter, attributes = wait_for_dead_letter(deployment)
    assert attributes["reason"] == "rejected"
    assert attributes["eventId"] == event_id
    assert attributes["detail"] == (
        'mapping "typeform-demo": lead.email '
        "(detail.form_response.answers[?type == 'email'].email | [0]): is missing; every create needs it"
    )
    body = json.loads(letter["Body"])
    assert (body["source"], body["detail"]) == (event["source"], event["detail"])
    assert deployment.sandbox.leads() == {}


def test_on_a_shared_bus_only_what_the_pattern_names_is_taken(on_the_default_bus: Deployment) -> None:
    """The worked examples and our own kinds of events come in; everything else on the bus passes by."""
    order = {"source": "com.example.shop", "detail-type": "Order Placed", "detail": {"order": 1}}
    other_form, _ = new_foreign_event("typeform")
    other_form["detail"]["form_response"]["form_id"] = "other"
    own = new_lead(assistantEmail="sam@example.net")
    own_event = {"source": "com.example.crm", "detail-type": "Lead Created", "detail": {"lead": own}}
    put(on_the_default_bus, order)
    put(on_the_default_bus, other_form)
    put(on_the_default_bus, own_event)
    expected = [own]
    for example in EXAMPLES:
        event, lead = new_foreign_event(example)
        put(on_the_default_bus, event)
        expected.append(lead)
    assert_leads(on_the_default_bus, expected)


def test_our_own_events_on_a_bus_of_others_don_t_come_back_as_leads(on_the_default_bus: Deployment) -> None:
    """Outcome events are on the bus, and the rule takes the types of lead events only."""
    on_the_default_bus.start_anew()
    lead = new_lead(assistantEmail="sam@example.net")
    detail = {"lead": new_lead(assistantEmail="sam@example.net")}
    put(
        on_the_default_bus,
        {"source": "7targets-lead-delivery", "detail-type": "Lead Delivered", "detail": detail},
    )
    put(
        on_the_default_bus,
        {"source": "com.example.crm", "detail-type": "Lead Created", "detail": {"lead": lead}},
    )
    assert_leads(on_the_default_bus, [lead])
