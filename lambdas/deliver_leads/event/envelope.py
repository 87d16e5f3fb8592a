"""From an SQS record to a lead event (plain, EventBridge or SNS body), or a rejection with every problem."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contract import DETAIL_TYPES
from ..outcome import RejectedError
from .idempotency_key import IdempotencyKey, derive_key, hash_address
from .lead import Json, Operation, json_type, read_lead
from .message import Message

MAX_KEY_LENGTH = 256


@dataclass(frozen=True, slots=True)
class LeadEvent:
    """One thing to do with one lead.

    `lead_hash` and `key` are safe to store and to log: both are derived through SHA-256. Two events with the
    same `key` and `lead_hash` are the same event, however often and by whichever route they arrive.
    """

    operation: Operation
    lead: dict[str, Json]
    lead_hash: str
    key: IdempotencyKey
    event_id: str
    unknown_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A body without its wrapping: `content` holds the lead, under `path` (a prefix for problems)."""

    operation: Operation | None
    content: dict[str, Json]
    path: str
    event_id: str
    problems: list[str]


class UnreadableError(RejectedError):
    """No event could be read. The summary lists every problem; `event_id` traces the source."""

    def __init__(self, problems: Sequence[str], event_id: str) -> None:
        super().__init__(" | ".join(problems))
        self.event_id = event_id


Reading = LeadEvent | UnreadableError
"""What came of reading a body: its event, or why there is none."""


class _ProblemsError(Exception):
    """What is wrong with a body: a sentence for each problem, with the field's path and without its value."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def read_event(message: Message, defaults: Mapping[str, str]) -> LeadEvent:
    """Raises `UnreadableError`, which lists every problem by field path, without any value."""
    event_id = message.parked_event_id or message.message_id
    try:
        body, event_id = _unwrap_sns(_parse(message.body), event_id)
        if "detail-type" in body:
            event_id = _text_or(body.get("id"), event_id)
        return _read_content(_open(body, event_id), defaults)
    except _ProblemsError as error:
        raise UnreadableError(error.problems, event_id) from None


def _open(body: dict[str, Json], event_id: str) -> _Envelope:
    problems: list[str] = []
    if "detail-type" not in body:
        operation = _read_operation(body.get("operation"), problems)
        return _Envelope(operation, body, "", event_id, problems)
    detail_type, content = body["detail-type"], body.get("detail")
    known = DETAIL_TYPES.get(detail_type) if isinstance(detail_type, str) else None
    operation = Operation(known) if known else None
    if operation is None:
        problems.append(f"detail-type: must be one of {_quoted(DETAIL_TYPES)}")
    if not isinstance(content, dict):
        raise _ProblemsError([*problems, f"detail: must be a JSON object, not {json_type(content)}"])
    if "detail-type" in content:
        raise _ProblemsError(["detail: holds another EventBridge envelope; publish the lead event itself"])
    return _Envelope(operation, content, "detail.", event_id, problems)


def _read_content(envelope: _Envelope, defaults: Mapping[str, str]) -> LeadEvent:
    operation, content, path, problems = (
        envelope.operation,
        envelope.content,
        envelope.path,
        envelope.problems,
    )
    unknown = _unknown_keys(content, path, problems, is_plain=not path)
    key = _read_key(content.get("idempotencyKey"), path, problems)
    # Without a known operation the lead is still checked, so that the producer sees all problems at once.
    lead, lead_problems, unknown_lead_fields = read_lead(
        content.get("lead"), operation or Operation.UPDATE, defaults, f"{path}lead"
    )
    problems += lead_problems
    if problems or operation is None:
        raise _ProblemsError(problems)
    email, assistant = str(lead["email"]).lower(), str(lead["assistantEmail"]).lower()
    return LeadEvent(
        operation=operation,
        lead=lead,
        lead_hash=hash_address(email),
        key=derive_key(key, operation, email, assistant, envelope.event_id),
        event_id=envelope.event_id,
        unknown_fields=tuple(unknown + unknown_lead_fields),
    )


def _parse(text: str) -> dict[str, Json]:
    def refuse_constant(name: str) -> Json:
        raise ValueError(f"{name} is not JSON")

    try:
        body = json.loads(text, parse_constant=refuse_constant)
    # ValueError covers JSONDecodeError and Python's limit on the digits of a number.
    except (ValueError, RecursionError) as error:
        place = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise _ProblemsError([f"body: is not JSON{place}"]) from None
    if not isinstance(body, dict):
        raise _ProblemsError([f"body: must be a JSON object, not {json_type(body)}"])
    _refuse_unpaired_surrogates(body)
    return body


def _unwrap_sns(body: dict[str, Json], event_id: str) -> tuple[dict[str, Json], str]:
    if body.get("Type") != "Notification" or "Message" not in body:
        return body, event_id
    inner = body["Message"]
    if not isinstance(inner, str):
        raise _ProblemsError([f"Message: must be a string with the lead event, not {json_type(inner)}"])
    unwrapped = _parse(inner)
    if unwrapped.get("Type") == "Notification" and "Message" in unwrapped:
        raise _ProblemsError(["Message: holds another SNS notification; publish the lead event itself"])
    return unwrapped, _text_or(body.get("MessageId"), event_id)


def _text_or(value: Json, otherwise: str) -> str:
    return value if isinstance(value, str) and value else otherwise


def _read_operation(value: Json, problems: list[str]) -> Operation | None:
    if isinstance(value, str) and value in list(Operation):
        return Operation(value)
    what = "is missing" if value is None else "is not known"
    problems.append(f"operation: {what}; it must be one of {_quoted(Operation)}")
    return None


def _read_key(value: Json, path: str, problems: list[str]) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value.strip()) <= MAX_KEY_LENGTH:
        return value.strip()
    problems.append(f"{path}idempotencyKey: must be a string of 1 to {MAX_KEY_LENGTH} characters")
    return None


def _unknown_keys(content: dict[str, Json], path: str, problems: list[str], *, is_plain: bool) -> list[str]:
    """Other keys are let through with a warning, but a misspelt key would silently switch off its effect."""
    known = ["lead", "idempotencyKey"] + (["operation"] if is_plain else [])
    unknown = [name for name in content if name not in known]
    folded = {name.lower(): name for name in known}
    for name in unknown:
        meant = folded.get(name.lower().replace("_", "").replace("-", "").replace(" ", ""))
        if meant:
            problems.append(f"{path}{name}: is not known; did you mean {meant}?")
    return [f"{path}{name}" for name in unknown]


def _refuse_unpaired_surrogates(body: dict[str, Json]) -> None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _ProblemsError(
            ["body: holds half of a surrogate pair (\\ud800 to \\udfff), which is no text"]
        ) from None


def _quoted(names: Any) -> str:  # noqa: ANN401 - any iterable of names
    return ", ".join(f'"{name}"' for name in names)
