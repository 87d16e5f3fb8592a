"""The fault suite's invariants, judged at the far side: the sandbox, the queues, the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from local.chaos.campaign import Evidence
from local.chaos.events import LAST, SUPPRESSED, ChaosEvent, sha256
from local.chaos.faults import DELAY_STEP_S, VISIBILITY_TIMEOUT_S, Kill
from local.judge import CONFIRMING_FIELDS

# What a busy machine may add to a delay; a lead that missed its step is back after the visibility timeout.
_NOISE_S = 15


@dataclass
class Verdict:
    """`broken` lists each broken promise with the lead's number; empty means that all of them held."""

    broken: list[str] = field(default_factory=list)
    parked_twice: int = 0
    repeated_updates: int = 0
    drained_s: float = 0.0


def check(evidence: Evidence, kills: Iterable[Kill], defeated: set[str]) -> Verdict:
    """`defeated`: leads for whose ledger item all of botocore's tries failed at least once."""
    verdict = Verdict()
    events = [(cast(ChaosEvent, each.event), each.id) for each in evidence.published]
    firsts = [event for event, _ in events if not event.copy]
    _check_leads(firsts, evidence.leads, verdict)
    _check_creates(evidence.requests, verdict)
    _check_repeats(evidence.requests, [kill.at for kill in kills], defeated, verdict)
    _check_dead_letters(firsts, evidence.dead_letters, verdict)
    _check_ledger(events, evidence.ledger, defeated, verdict)
    if evidence.left_in_queue:
        verdict.broken.append(f"lead queue: {evidence.left_in_queue} messages are left in it")
    _check_outage(evidence, verdict)
    return verdict


def _check_leads(events: Iterable[ChaosEvent], leads: Mapping[str, dict[str, Any]], verdict: Verdict) -> None:
    """Every create and update stands at the API, the last update over earlier ones, and nothing else does."""
    expected: dict[str, dict[str, Any]] = {}
    order = {"create": 0, "stop_followup": 1, "update": 2}
    delivered = [event for event in events if event.expected == "delivered"]
    numbers = {event.email: event.number for event in delivered}
    for event in sorted(delivered, key=lambda event: order[event.operation]):  # stable: updates as published
        fields = (
            {"followup": 0, "nextScheduleTime": None} if event.operation == "stop_followup" else event.lead
        )
        expected[event.email] = expected.get(event.email, {"creates": 1}) | fields
    for email, lead in expected.items():
        if email not in leads:
            verdict.broken.append(f"lead {numbers[email]}: lost, the API doesn't hold it")
            continue
        for name, value in lead.items():
            held = leads[email].get(name)
            if held != value:
                verdict.broken.append(f"lead {numbers[email]}: {name} is {held!r}, not {value!r}")
    for email in leads.keys() - expected.keys():
        verdict.broken.append(f"lead {email.partition('@')[0]}: held, though no event asks for it")


def _check_creates(requests: Iterable[Mapping[str, Any]], verdict: Verdict) -> None:
    for request in requests:
        if request["effect"] == "created_again":
            verdict.broken.append(f"{_lead(request)}: created again, at request {request['seq']}")


def _check_repeats(
    requests: Iterable[Mapping[str, Any]], kills: list[float], defeated: set[str], verdict: Verdict
) -> None:
    """An update or stop with a clean answer is repeated only if the function could not note the answer."""
    clean: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for request in requests:
        is_change = request["effect"] in {"updated", "stopped"} and request["fault"] is None
        if is_change and not (
            request["operation"] == "update" and request["body"].keys() <= CONFIRMING_FIELDS
        ):
            name = (request["operation"], _lead(request), str(request["body"].get(LAST)))
            clean[name].append(request["at"])
    addresses = {_lead(request): request["email"] for request in requests if request["email"]}
    for (operation, lead, _), times in clean.items():
        if len(times) == 1:
            continue
        verdict.repeated_updates += len(times) - 1
        was_killed = any(times[0] - 1 <= kill <= times[0] + VISIBILITY_TIMEOUT_S for kill in kills)
        if not was_killed and sha256(addresses[lead]) not in defeated:
            verdict.broken.append(f"{lead}: {operation} delivered {len(times)} times for no reason")


def _check_dead_letters(
    events: Iterable[ChaosEvent], dead_letters: Iterable[Mapping[str, Any]], verdict: Verdict
) -> None:
    """It holds the events made wrong on purpose, each with its reason, and nothing else."""
    wrong = {_mark(event): event for event in events if event.expected == "rejected"}
    parked: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for letter in dead_letters:
        attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
        mark = next((mark for mark in wrong if mark in letter["Body"]), letter["Body"][:40])
        parked[mark].append(attributes)
    for mark, event in wrong.items():
        letters = parked.pop(mark, [])
        if not letters:
            verdict.broken.append(f"{mark}: lost, it is not in the dead-letter queue")
        # A worker killed between parking and acknowledging parks the same message once more.
        verdict.parked_twice += max(0, len(letters) - 1)
        if len({letter["messageId"] for letter in letters}) > 1:
            verdict.broken.append(f"{mark}: parked for {len(letters)} messages, though published once")
        for letter in letters:
            if letter["reason"] != "rejected" or event.problem not in letter["detail"]:
                verdict.broken.append(f"{mark}: parked as {letter['reason']}: {letter['detail']}")
    for mark, letters in parked.items():
        verdict.broken.append(f"{mark}: parked as {letters[0]['reason']}: {letters[0]['detail']}")


def _check_ledger(
    events: Iterable[tuple[ChaosEvent, str]],
    ledger: Mapping[tuple[str, str], str],
    defeated: set[str],
    verdict: Verdict,
) -> None:
    """One item for each event and none besides, in the event's end state unless that could not be written."""
    ends = {
        event.ledger_key(published_id): (event, "rejected" if event.problem == SUPPRESSED else "delivered")
        for event, published_id in events
        if event.email
    }
    for key, (event, end) in ends.items():
        state = ledger.get(key)
        if state != end and not (state == "sending" and key[0] in defeated):
            verdict.broken.append(
                f"lead {event.number}: the ledger says {state} of its {event.operation}, not {end}"
            )
    for lead, event_key in ledger.keys() - ends.keys():
        verdict.broken.append(f"ledger: holds {event_key[:20]} of lead {lead[:12]}, which was not published")


def _check_outage(evidence: Evidence, verdict: Verdict) -> None:
    outage = evidence.outage
    if not outage.ended_at:
        return
    if outage.calls > outage.most_calls:
        verdict.broken.append(
            f"outage: {outage.calls} calls, more than the {outage.most_calls} of the breakers"
        )
    after = [
        each["at"] - outage.ended_at
        for each in evidence.requests
        if each["effect"] and each["at"] > outage.ended_at
    ]
    verdict.drained_s = max(after, default=0.0)
    allowed_s = DELAY_STEP_S + outage.waiting / evidence.events_per_s + _NOISE_S
    if verdict.drained_s > allowed_s:
        verdict.broken.append(
            f"outage: the last lead came {verdict.drained_s:.0f} s after it, not within {allowed_s:.0f}"
        )


def _mark(event: ChaosEvent) -> str:
    """What tells a wrong event by its body."""
    return event.email or f"wrong-{event.number:06}"


def _lead(request: Mapping[str, Any]) -> str:
    number = str(request["email"]).removeprefix("lead-").partition("@")[0]
    return f"lead {number.lstrip('0')}"
