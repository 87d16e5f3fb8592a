"""What both runs judge by: what can be observed outside the function, and what it must be.

The sandbox and the queues are the witnesses; the function's own word, its log, is not asked. Nothing here
comes from the function: what is written twice on purpose says so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.publishing import LeadToPublish

# What an update sends that only confirms an earlier create; every update of the runs sends more. Written here
# again, because what judges the function shares no code with it.
_CONFIRMING_FIELDS = {"name", "email", "assistantEmail", "source"}
# An update or stop counts as later than the create of its lead, even if it was published before it.
_ORDER_OF_EFFECT = {"create": 0, "stop_followup": 1, "update": 2}


@dataclass(frozen=True)
class Observed:
    """All that can be looked at from outside the function, read at one moment."""

    requests: list[dict[str, Any]]
    leads: dict[str, dict[str, Any]]
    dead_letters: list[dict[str, Any]]


def expected_leads(
    events: Iterable[LeadToPublish], sent_lead: Callable[[LeadToPublish], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The leads that 7Targets must hold after these events, by e-mail address in lower case.

    `sent_lead` gives the fields of an event that reach the API.
    """
    leads: dict[str, dict[str, Any]] = {}
    delivered = [event for event in events if event.expected == "delivered"]
    for event in sorted(delivered, key=lambda event: _ORDER_OF_EFFECT[event.operation]):  # stable
        lead = leads.setdefault(event.email, {})
        if event.operation == "stop_followup":
            lead |= {"followup": 0, "nextScheduleTime": None}
        elif event.operation == "update":
            lead |= {**sent_lead(event), "email": lead["email"]}
        else:
            lead |= {**sent_lead(event), "creates": 1, "state": "Cold", "type": "SALES"}
    return leads


def compare_leads(expected: Mapping[str, dict[str, Any]], held: Mapping[str, dict[str, Any]]) -> list[str]:
    """A sentence for each difference."""
    found = [f"lead {email}: is held, but no event asks for it" for email in held.keys() - expected.keys()]
    for email, lead in expected.items():
        if email not in held:
            found.append(f"lead {email}: is missing")
            continue
        wrong = [name for name, value in lead.items() if held[email].get(name) != value]
        found += [f"lead {email}: {name} is {held[email].get(name)!r}, not {lead[name]!r}" for name in wrong]
    return found


def read_attributes(dead_letter: Mapping[str, Any]) -> dict[str, str]:
    """A dead letter's attributes as plain texts."""
    return {name: value["StringValue"] for name, value in dead_letter["MessageAttributes"].items()}


def is_confirming(request: Mapping[str, Any]) -> bool:
    """Whether the request is an update that asks only whether the lead exists."""
    body = request["body"]
    return bool(request["operation"] == "update" and body is not None and body.keys() <= _CONFIRMING_FIELDS)
