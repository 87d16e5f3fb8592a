"""Where each event is: at the sandbox, known there already, or in the dead-letter queue; exactly once.

Judged from the far side: by what the sandbox received and holds, and by the queues. The function's own word,
its log, is not asked.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.sample.events import LEAD_DEFAULTS, Published, SampleEvent

# What an update that only confirms an earlier create sends; every update of the sample sends more.
CONFIRMING_FIELDS = {"name", "email", "assistantEmail", "source"}


@dataclass
class Account:
    """What became of the published events; `off` lists whatever is not as it must be."""

    expected: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    off: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FarSide:
    """All that can be looked at from outside the function, read at one moment."""

    requests: list[dict[str, Any]]
    leads: dict[str, dict[str, Any]]
    dead_letters: list[dict[str, Any]]


def account(published: Iterable[Published], far_side: FarSide) -> Account:
    """Finds the place of each event, and compares every lead with what its events say it must be."""
    result = Account()
    events = list(published)
    parked = _dead_letters_by_event(far_side.dead_letters)
    effects = _count_effects(far_side.requests)
    for each in events:
        event = each.event
        letters = parked.pop(each.id, [])
        outcome = _outcome(event, letters, effects)
        result.expected[event.expected] += 1
        result.seen[outcome] += 1
        if outcome != event.expected:
            result.off.append(f"{_name(each)}: expected {event.expected}, but it is {outcome}")
        elif letters and f"{event.problem}:" not in f"{letters[0]['detail']}:":
            result.off.append(f"{_name(each)}: parked, but its detail doesn't name {event.problem!r}")
    result.off += [f"dead-letter queue: holds {event_id}, which was not published" for event_id in parked]
    result.off += _compare_leads(expected_leads(each.event for each in events), far_side.leads)
    return result


def expected_leads(events: Iterable[SampleEvent]) -> dict[str, dict[str, Any]]:
    """The leads that 7Targets must hold after these events, by e-mail address in lower case."""
    leads: dict[str, dict[str, Any]] = {}
    delivered = [event for event in events if event.expected == "delivered"]
    for event in sorted(
        delivered, key=lambda event: event.operation
    ):  # create before stop_followup before update
        lead = leads.setdefault(event.email, {})
        if event.operation == "stop_followup":
            lead |= {"followup": 0, "nextScheduleTime": None}
        elif event.operation == "update":
            lead |= {**sent_lead(event), "email": lead["email"]}
        else:
            lead |= {**sent_lead(event), "creates": 1, "state": "Cold", "type": "SALES"}
    return leads


def sent_lead(event: SampleEvent) -> dict[str, Any]:
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
        attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        try:
            body = json.loads(letter["Body"])
        except ValueError:
            body = None
        from_bus = isinstance(body, dict) and body.get("source") == "crm.example"
        found.setdefault(body["id"] if from_bus else attributes["messageId"], []).append(attributes)
    return found


def _count_effects(requests: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    """How often each event took effect.

    A create counts with every effect. An update or stop may be repeated without harm after a lost answer, so
    it counts when the function could read the answer: a second such delivery would be a blind one.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for request in requests:
        operation, effect, body = request["operation"], request["effect"], request["body"]
        readable = request["status"] in {200, 201} and request["fault"] is None
        confirms = operation == "update" and body is not None and body.keys() <= CONFIRMING_FIELDS
        if effect is not None and not confirms and (operation == "create" or readable):
            counts[_identity(operation, body)] += 1
    return counts


def _identity(operation: str, lead: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        operation,
        str(lead["email"]).lower(),
        "" if operation == "create" else json.dumps(lead, sort_keys=True),
    )


def _outcome(
    event: SampleEvent, letters: list[dict[str, str]], effects: Mapping[tuple[str, str, str], int]
) -> str:
    times = effects.get(_identity(event.operation, sent_lead(event)), 0) if event.email else 0
    if letters:
        return (
            letters[0]["reason"] if len(letters) == 1 and not times else f"in {len(letters) + times} places"
        )
    if times == 1:
        # Both the event and its repeat are accounted for by the one delivery.
        return event.expected if event.expected == "duplicate" else "delivered"
    return f"delivered {times} times" if times else "lost"


def _compare_leads(expected: Mapping[str, dict[str, Any]], held: Mapping[str, dict[str, Any]]) -> list[str]:
    off = [f"lead {email}: is held, but no event asks for it" for email in held.keys() - expected.keys()]
    for email, lead in expected.items():
        if email not in held:
            off.append(f"lead {email}: is missing")
            continue
        wrong = [name for name, value in lead.items() if held[email].get(name) != value]
        off += [f"lead {email}: {name} is {held[email].get(name)!r}, not {lead[name]!r}" for name in wrong]
    return off


def _name(published: Published) -> str:
    event = published.event
    return f"{event.operation or 'event'} {event.email or published.id} by {event.channel}"
