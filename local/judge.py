"""What both runs judge by: what can be observed outside the function, and what it must be.

The sandbox and the queues are the witnesses; the function's own word, its log, is not asked. Nothing here
comes from the function: what is written twice on purpose says so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local.publishing import LeadToPublish

# An update or stop counts as later than the create of its lead, even if it was published before it.
_ORDER_OF_EFFECT = {"create": 0, "stop_followup": 1, "update": 2}


@dataclass(frozen=True)
class Observed:
    """All that can be looked at from outside the function, read at one moment."""

    requests: list[dict[str, Any]]
    leads: dict[str, dict[str, Any]]
    dead_letters: list[dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """A lead that isn't as it must be: missing, there for no reason, or with a wrong value in a `field`."""

    email: str
    problem: str
    field: str = ""
    wanted: object = None

    def __str__(self) -> str:
        return f"lead {self.email}: {self.problem}"


def expected_leads(
    events: Iterable[LeadToPublish],
    sent_lead: Callable[[LeadToPublish], dict[str, Any]],
    existing: Iterable[Mapping[str, Any]] = (),
    *,
    as_sent: bool = False,
) -> dict[str, dict[str, Any]]:
    """The leads that 7Targets must hold after these events, by e-mail address in lower case.

    `sent_lead` gives the fields of an event that reach the API. `existing`: the leads that it held before.
    Such a lead needs no create; one is allowed, as long as nothing has shown that the lead is there. An
    update or stop has its effect after the create of its lead, or `as_sent`.
    """
    leads: dict[str, dict[str, Any]] = {str(lead["email"]): dict(lead) for lead in existing}
    held_before, stopped = set(leads), set[str]()
    delivered = [event for event in events if event.expected == "delivered"]
    if not as_sent:
        delivered.sort(key=lambda event: _ORDER_OF_EFFECT[event.operation])  # stable
    for event in delivered:
        lead = leads.setdefault(event.email, {})
        if event.operation == "stop_followup":
            lead |= {"followup": 0, "nextScheduleTime": None}
            stopped.add(event.email)
        elif event.operation == "update":
            # Without a create among them when that one was overruled, after it had its effect.
            lead |= {**sent_lead(event), "email": lead.get("email", event.email)}
        else:
            lead |= {**sent_lead(event), "state": "Cold", "type": "SALES"}
            lead |= {} if event.email in held_before else {"creates": 1}
    for email in stopped:
        # A stop ends the sequence, so an event that it overtook doesn't start another one.
        leads[email].pop("scheduleName", None)
    return leads


def compare_leads(
    expected: Mapping[str, dict[str, Any]], held: Mapping[str, dict[str, Any]]
) -> list[Difference]:
    """All differences."""
    found = [
        Difference(email, "is held, but no event asks for it") for email in held.keys() - expected.keys()
    ]
    for email, lead in expected.items():
        if email not in held:
            found.append(Difference(email, "is missing"))
            continue
        found += [
            Difference(email, f"{name} is {held[email].get(name)!r}, not {value!r}", name, value)
            for name, value in lead.items()
            if held[email].get(name) != value
        ]
    return found


def read_attributes(dead_letter: Mapping[str, Any]) -> dict[str, str]:
    """A dead letter's attributes as plain texts."""
    return {name: value["StringValue"] for name, value in dead_letter["MessageAttributes"].items()}
