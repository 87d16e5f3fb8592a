"""The fault suite's invariants, judged from outside the function: by the sandbox, the queues, the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.chaos.campaign import Evidence
from local.chaos.events import LAST, ChaosEvent, sha256
from local.chaos.faults import DELAY_STEP_S, VISIBILITY_TIMEOUT_S, Kill
from local.judge import compare_leads, expected_leads, is_confirming, read_attributes
from local.publishing import REFUSED_WORDS

# What a busy machine may add to a delay; a lead that missed its step is back after the visibility timeout.
_NOISE_S = 15


@dataclass
class Verdict:
    """`broken` has a sentence for each broken promise; empty means that all of them held."""

    broken: list[str] = field(default_factory=list)
    parked_twice: int = 0
    repeated_updates: int = 0
    drained_s: float = 0.0


def check(evidence: Evidence, kills: Iterable[Kill], retries_exhausted: set[str]) -> Verdict:
    """`retries_exhausted`: leads with a ledger write that failed after all of botocore's retries."""
    verdict = Verdict()
    events = [(each.event, each.id) for each in evidence.published]
    firsts = [event for event, _ in events if not event.copy]
    expected = expected_leads(firsts, lambda event: event.lead)
    verdict.broken += compare_leads(expected, evidence.leads)
    _check_creates(evidence.requests, verdict)
    _check_repeats(evidence.requests, [kill.at for kill in kills], retries_exhausted, verdict)
    _check_dead_letters(firsts, evidence.dead_letters, verdict)
    _check_ledger(events, evidence.ledger, retries_exhausted, verdict)
    if evidence.left_in_queue:
        verdict.broken.append(f"lead queue: {evidence.left_in_queue} messages are left in it")
    _check_outage(evidence, verdict)
    return verdict


def _check_creates(requests: Iterable[Mapping[str, Any]], verdict: Verdict) -> None:
    for request in requests:
        if request["effect"] == "created_again":
            verdict.broken.append(f"{_lead(request)}: created again, at request {request['seq']}")


def _check_repeats(
    requests: Iterable[Mapping[str, Any]], kills: list[float], retries_exhausted: set[str], verdict: Verdict
) -> None:
    """An update or stop with a clean answer is repeated only if the function could not note the answer."""
    clean: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for request in requests:
        is_change = request["effect"] in {"updated", "stopped"} and request["fault"] is None
        if is_change and not is_confirming(request):
            name = (request["operation"], _lead(request), str(request["body"].get(LAST)))
            clean[name].append(request["at"])
    addresses = {_lead(request): request["email"] for request in requests if request["email"]}
    for (operation, lead, _), times in clean.items():
        if len(times) == 1:
            continue
        verdict.repeated_updates += len(times) - 1
        was_killed = any(times[0] - 1 <= kill <= times[0] + VISIBILITY_TIMEOUT_S for kill in kills)
        if not was_killed and sha256(addresses[lead]) not in retries_exhausted:
            verdict.broken.append(f"{lead}: {operation} delivered {len(times)} times for no reason")


def _check_dead_letters(
    events: Iterable[ChaosEvent], dead_letters: Iterable[Mapping[str, Any]], verdict: Verdict
) -> None:
    """It holds the events made wrong on purpose, each with its reason, and nothing else."""
    wrong = {_mark(event): event for event in events if event.expected == "rejected"}
    parked: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for letter in dead_letters:
        attributes = read_attributes(letter)
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
    retries_exhausted: set[str],
    verdict: Verdict,
) -> None:
    """One item for each event and none besides, in the event's end state unless that could not be written."""
    ends = {
        event.ledger_key(published_id): (event, "rejected" if event.problem == REFUSED_WORDS else "delivered")
        for event, published_id in events
        if event.email
    }
    for key, (event, end) in ends.items():
        state = ledger.get(key)
        if state != end and not (state == "sending" and key[0] in retries_exhausted):
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
    """The words by which a wrong event is found in a dead letter's body."""
    return event.email or f"wrong-{event.number:06}"


def _lead(request: Mapping[str, Any]) -> str:
    number = str(request["email"]).removeprefix("lead-").partition("@")[0]
    return f"lead {number.lstrip('0')}"
