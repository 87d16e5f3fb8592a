"""Where each event is: at the sandbox, known there already, or in the dead-letter queue; exactly once."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.judge import Observed, compare_leads, expected_leads, read_attributes
from local.publishing import SOURCE, LeadToPublish, Published
from local.sample.events import LEAD_DEFAULTS


@dataclass
class Account:
    """What became of the published events; `discrepancies` are sentences on what doesn't add up."""

    expected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    discrepancies: list[str] = field(default_factory=list)


def account(published: Iterable[Published[LeadToPublish]], observed: Observed) -> Account:
    """Finds the place of each event, and compares every lead with what its events say it must be."""
    result = Account()
    found = result.discrepancies
    events = list(published)
    parked = _dead_letters_by_event(observed.dead_letters)
    effects = _count_effects(observed.requests)
    for each in events:
        event = each.event
        letters = parked.pop(each.id, [])
        outcome = _outcome(event, letters, effects)
        result.expected[event.expected] += 1
        result.seen[outcome] += 1
        if outcome != event.expected:
            found.append(f"{_name(each)}: expected {event.expected}, but it is {outcome}")
        elif letters and f"{event.problem}:" not in f"{letters[0]['detail']}:":
            found.append(f"{_name(each)}: parked, but its detail doesn't name {event.problem!r}")
    found += [f"dead-letter queue: holds {event_id}, which was not published" for event_id in parked]
    expected = expected_leads((each.event for each in events), sent_lead)
    found += map(str, compare_leads(expected, observed.leads))
    return result


def sent_lead(event: LeadToPublish) -> dict[str, Any]:
    """The fields that reach the API: trimmed, with the defaults of the stack's setting leadDefaults."""
    defaults = (
        LEAD_DEFAULTS if event.operation == "create" else {"assistantEmail": LEAD_DEFAULTS["assistantEmail"]}
    )
    trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in event.lead.items()}
    return defaults | trimmed


def _dead_letters_by_event(dead_letters: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Dead letters' attributes, by the id the producer got: EventBridge's in the envelope, else SQS's."""
    found: dict[str, list[dict[str, str]]] = {}
    for letter in dead_letters:
        attributes = read_attributes(letter)
        try:
            body = json.loads(letter["Body"])
        except ValueError:
            body = None
        from_bus = isinstance(body, dict) and body.get("source") == SOURCE
        found.setdefault(body["id"] if from_bus else attributes["messageId"], []).append(attributes)
    return found


def _count_effects(requests: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    """How often each event took effect.

    A create counts with every effect. An update or stop may be repeated without harm after a lost answer, so
    it counts when the function could read the answer: a second such delivery would be a blind one. A create
    that is sent as an update, because the lead may be there already, counts as an update nobody published.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for request in requests:
        operation, effect, body = request["operation"], request["effect"], request["body"]
        readable = request["status"] in {200, 201} and request["fault"] is None
        if effect is not None and (operation == "create" or readable):
            counts[_identity(operation, body)] += 1
    return counts


def _identity(operation: str, lead: Mapping[str, Any]) -> tuple[str, str, str]:
    # An update that a stop has overtaken is sent without its sequence, and an address in its one form.
    email = str(lead["email"]).lower()
    sequence = {"scheduleId", "scheduleName"}
    fields = {name: value for name, value in lead.items() if name not in sequence} | {"email": email}
    return (
        operation,
        email,
        "" if operation == "create" else json.dumps(fields, sort_keys=True),
    )


def _outcome(
    event: LeadToPublish, letters: list[dict[str, str]], effects: Mapping[tuple[str, str, str], int]
) -> str:
    times = effects.get(_identity(event.operation, sent_lead(event)), 0) if event.email else 0
    if letters:
        return (
            letters[0]["reason"] if len(letters) == 1 and not times else f"in {len(letters) + times} places"
        )
    # A stop that comes again is sent again if a create came between, which may have started e-mails.
    if times == 1 or (times and event.operation == "stop_followup"):
        # Both the event and its repeat are accounted for by the one delivery.
        return event.expected if event.expected == "duplicate" else "delivered"
    return f"delivered {times} times" if times else "lost"


def _name(published: Published[LeadToPublish]) -> str:
    event = published.event
    return f"{event.operation or 'event'} {event.email or published.id} by {event.channel}"
