"""The story of one lead, in sentences, made of its attempts, its requests and the queues."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from local.page.history import Attempt, History, Request, hash_address, one_form
from local.page.queues import QueuedMessage, parked_messages, waiting_messages
from local.stack.deployment import QUICK_SETTINGS, Deployment

_OPERATIONS = {
    "create": ", to create the lead",
    "update": ", to update the lead",
    "stop_followup": ", to stop the lead's follow-up",
}
_SETTLING_S = int(QUICK_SETTINGS["settlingTimeSeconds"])


@dataclass(frozen=True)
class Step:
    """One thing that happened at `at` (epoch seconds). `tone`: good, bad, doubt or plain."""

    at: float
    title: str
    text: str
    tone: str = "plain"


def tell(deployment: Deployment, history: History, email: str) -> dict[str, Any]:
    """The story as JSON; `found` is false when the run has seen nothing of this address."""
    address = one_form(email)
    events = _read_ledger(deployment, address)
    attempts, requests = history.attempts_of(address), history.requests_of(address)
    waiting = [each for each in waiting_messages(deployment) if each.email == address]
    parked = [each for each in parked_messages(deployment) if each.email == address]
    steps = sorted(
        [
            *_arrivals(events, [*waiting, *parked]),
            *_requests_told(requests, attempts),
            *_attempts_told(attempts, requests),
            *_sent_again_told(attempts),
            # The log names no address that could not be read.
            *(_parked_told(each.sent_at, each.reason) for each in parked if not attempts),
        ],
        key=lambda step: step.at,
    )
    return {
        "email": address,
        "found": bool(steps),
        "summary": _summary(requests, attempts, waiting, parked),
        "steps": [asdict(step) for step in steps],
        "dueAt": min((each.visible_at for each in waiting), default=None),
        "parked": [each.id for each in parked],
        "leadId": next((each.lead_id for each in reversed(attempts) if each.lead_id), ""),
        "ledger": events,
    }


def _read_ledger(deployment: Deployment, address: str) -> list[dict[str, Any]]:
    """The lead's events: those that are settled, with the journal's newer word over them."""
    answer = deployment.emulator.client("dynamodb").get_item(
        TableName=deployment.outputs["LedgerTableName"],
        Key={"lead": {"S": hash_address(address)}, "event": {"S": "#lead"}},
        ConsistentRead=True,
    )
    item = {name: _untyped(value) for name, value in answer.get("Item", {}).items()}
    events: dict[str, dict[str, Any]] = {}
    for entry in [each for name in ("shownEvents", "openEvents", "journal") for each in item.get(name, [])]:
        events[entry["key"]] = {**entry, **events.get(entry["key"], {}), "state": entry["state"]}
    return list(events.values())


def _arrivals(events: Iterable[dict[str, Any]], queued: Iterable[QueuedMessage]) -> Iterator[Step]:
    """When each event came in. The ledger knows it, unless no attempt could read or try the event."""
    known: set[str] = set()
    for event in events:
        known.add(event["messageId"])
        at = event.get("orderMs", 0) / 1000 or event["firstSeenS"]
        wish = _OPERATIONS.get(event.get("operation", ""), "")
        yield Step(at, "Came in", f"{_came_by(event.get('source', ''))}{wish}.")
    for message in queued:
        if not known & {message.id, message.attributes.get("messageId", "")}:
            yield Step(message.first_seen, "Came in", "A message in the lead queue.")


def _came_by(source: str) -> str:
    return "A message to the lead queue" if source in {"", "sqs"} else f"An event on the bus, from {source}"


def _requests_told(requests: Iterable[Request], attempts: Sequence[Attempt]) -> Iterator[Step]:
    """`is_in_doubt`: from a create whose answer the function couldn't read to an update with an answer."""
    wanted = {attempt.operation for attempt in attempts}
    is_in_doubt = False
    for request in requests:
        is_confirming = request.operation == "update" and (is_in_doubt or "update" not in wanted)
        if request.operation == "create":
            yield _create_told(request)
            is_in_doubt = request.answer_was_lost or request.status is None or request.status >= 500
        elif is_confirming and is_in_doubt:
            yield _confirmation_told(request)
            is_in_doubt = request.status not in {200, 404} or request.fault is not None
        else:
            yield _change_told(request)


def _create_told(request: Request) -> Step:
    if request.effect == "created_again":
        return Step(
            request.at, "Created again", "A second create of this lead: its e-mails start anew.", "bad"
        )
    if request.answer_was_lost:
        lost = {
            "cut_after": "then the line broke",
            "wrong_content_type": "but its answer could not be read",
        }.get(request.fault or "", f"but its answer was {request.status or 'lost'}")
        return Step(
            request.at,
            "Answer lost",
            f"Sent as a create (POST). 7Targets stored the lead, {lost}: nobody on this side knows.",
            "bad",
        )
    return _plain_told(request, "Sent as a create (POST)", "The lead is at 7Targets now.")


def _confirmation_told(request: Request) -> Step:
    question = "Asked by an update (PUT) with the lead's own fields, which can't create or restart anything"
    if request.status == 200 and not request.fault:
        return Step(request.at, "Confirmed", f"{question}: 200, the lead is there. No second create.", "good")
    if request.status == 404:
        return Step(request.at, "Not there", f"{question}: 404, so the create may be sent.", "doubt")
    return _plain_told(request, question, "")


def _change_told(request: Request) -> Step:
    kinds = {"update": "Sent as an update (PUT)", "stop_followup": "Sent as a stop of the follow-up (PUT)"}
    return _plain_told(request, kinds[request.operation], "")


def _plain_told(request: Request, what: str, good: str) -> Step:
    if request.answer_was_lost:
        return Step(request.at, "Answer lost", f"{what}. It took effect, but its answer got lost.", "bad")
    if request.status is None:
        return Step(request.at, "No answer", f"{what}. The line broke before 7Targets did anything.", "bad")
    if request.status < 300:
        return Step(request.at, "Sent", f"{what}: {request.status}. {good}".rstrip(), "good")
    if request.status == 404 and request.operation != "create":
        return Step(request.at, "Not there", f"{what}: 404, 7Targets doesn't know the lead yet.", "doubt")
    if request.status == 429:
        text = f"{what}: 429. 7Targets takes no more calls now, so the lead waits for its turn."
        return Step(request.at, "Turned away", text, "doubt")
    title = "Refused" if request.status < 500 else "Not taken"
    return Step(request.at, title, f"{what}: {request.status}.", "bad")


def _attempts_told(attempts: Iterable[Attempt], requests: Sequence[Request]) -> Iterator[Step]:
    """Joins neighbours that say the same into one step, unless a request was sent between them."""
    alike: list[Attempt] = []
    for attempt in attempts:
        if alike and not (
            (attempt.outcome, attempt.reason, attempt.event_id)
            == (alike[-1].outcome, alike[-1].reason, alike[-1].event_id)
            and not any(alike[-1].at < request.at <= attempt.at for request in requests)
        ):
            yield _attempt_told(alike)
            alike = []
        alike.append(attempt)
    if alike:
        yield _attempt_told(alike)


def _attempt_told(alike: Sequence[Attempt]) -> Step:
    last = alike[-1]
    reason = last.reason or "no reason is given"
    times = f" {len(alike)} times" if len(alike) > 1 else ""
    if last.parked:
        return _parked_told(last.at, reason)
    if last.outcome == "delivered":
        tries = f", at attempt {last.receive_count}" if last.receive_count > 1 else ""
        state = f", state {last.lead_state}" if last.lead_state else ""
        return Step(last.at, "Delivered", f"7Targets id {last.lead_id}{state}{tries}.", "good")
    if last.outcome == "duplicate":
        return Step(last.at, "Duplicate", f"The same wish came again. Nothing was sent: {reason}.")
    back = f"Comes back after {last.delay_s} s."
    # An event in doubt whose next call was turned away is in doubt still, but it needs no pause.
    if last.outcome == "unconfirmed" and (last.delay_s or 0) > _SETTLING_S:
        pause = (
            f"For {_SETTLING_S} s nothing is sent for this lead, because the request may still take effect."
        )
        return Step(
            last.at, "Pause for settling", f"{reason[:1].upper()}{reason[1:]}. {pause} {back}", "doubt"
        )
    title = "Blocked" if last.outcome == "blocked" else "Waits"
    return Step(last.at, title, f"Sent back{times}: {reason}. {back}", "doubt")


def _parked_told(at: float, reason: str) -> Step:
    return Step(at, "Parked", f"In the dead-letter queue, for a person: {reason}.", "bad")


def _sent_again_told(attempts: Iterable[Attempt]) -> Iterator[Step]:
    parked: dict[str, Attempt] = {}
    for attempt in attempts:
        before = parked.pop(attempt.event_id, None)
        if before and before.message_id != attempt.message_id:
            yield Step(attempt.at - 0.0005, "Sent again", "Out of the dead-letter queue into the lead queue.")
        if attempt.parked:
            parked[attempt.event_id] = attempt


def _summary(
    requests: Sequence[Request],
    attempts: Sequence[Attempt],
    waiting: Sequence[QueuedMessage],
    parked: Sequence[QueuedMessage],
) -> str:
    """One sentence on where the lead is, one on what a lost answer did to it."""
    delivered = [attempt for attempt in attempts if attempt.outcome == "delivered"]
    if waiting:
        where = "Waits in the lead queue."
    elif parked:
        where = f"Parked: {parked[-1].reason}."
    elif delivered:
        where = f"Delivered: it is 7Targets' lead {delivered[-1].lead_id}."
    else:
        where = "Not in this run."
    lost = sum(request.answer_was_lost and request.operation == "create" for request in requests)
    creates = sum(request.effect in {"created", "created_again"} for request in requests)
    if lost:
        answers = "An answer was" if lost == 1 else f"{lost} answers were"
        again = "created once all the same" if creates == 1 else f"created {creates} times"
        return f"{where} {answers} lost on the way; the lead was {again}."
    if lost := sum(request.answer_was_lost for request in requests):
        answers = "The answer to a PUT was" if lost == 1 else f"The answers to {lost} PUTs were"
        return f"{where} {answers} lost on the way; a PUT can't create a lead."
    return where


def _untyped(value: dict[str, Any]) -> Any:  # noqa: ANN401 - what the item holds
    """A value in DynamoDB's notation as Python's own."""
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content)
    if kind == "L":
        return [_untyped(each) for each in content]
    if kind == "M":
        return {name: _untyped(each) for name, each in content.items()}
    return content
