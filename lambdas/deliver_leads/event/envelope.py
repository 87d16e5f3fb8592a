"""From an SQS record to a lead event (plain, EventBridge or SNS body), or a rejection with every problem."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..contract import DETAIL_TYPES, Outcome
from ..outcome import RejectedError
from .address import trimmed
from .idempotency_key import IdempotencyKey, derive_key, hash_address
from .lead import Json, Operation, address_of, json_type, published, read_lead
from .loggable import LONGEST_NAME, loggable_id, loggable_name
from .message import Message

MAX_KEY_LENGTH = 256
# The largest depth of a body: far deeper than any lead, and far less deep than encoders can take.
MAX_DEPTH = 100
# The source of an event that names none.
FROM_QUEUE, FROM_TOPIC, FROM_BUS = "sqs", "sns", "eventbridge"
_SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class LeadEvent:
    """One thing to do with one lead.

    `lead_hash` and `key` are safe to store and to log: both are derived through SHA-256. Two events with the
    same `key` and `lead_hash` are the same event, however often and by whichever route they arrive.
    `event_id`, `source` and `unknown_fields` are a producer's words, but safe to store and to log, too: what
    doesn't look like an id or a field's name is not shown. `source` is EventBridge's, or "sqs" or "sns".
    `producer_key` is the `idempotencyKey` as it was given, and neither safe to store nor to log.
    """

    operation: Operation
    lead: dict[str, Json]
    lead_hash: str
    key: IdempotencyKey
    event_id: str
    source: str
    unknown_fields: tuple[str, ...] = ()
    producer_key: str | None = None

    @property
    def lead_id(self) -> int | None:
        """7Targets' id of the lead, if the producer gave it: `5` and `"05"` are one id."""
        given = self.lead.get("id")
        return int(given) if isinstance(given, int | str) else None


class UnreadableError(RejectedError):
    """The record holds no readable event. The summary lists every problem.

    The rest is what could be read all the same, as in `LeadEvent`. `lead_hash` is there once the lead's
    address could be read; `key` if the operation could be read as well.
    """

    def __init__(
        self,
        problems: Sequence[str],
        event_id: str,
        *,
        source: str = FROM_QUEUE,
        operation: Operation | None = None,
        lead_hash: str | None = None,
        key: IdempotencyKey | None = None,
        producer_key: str | None = None,
    ) -> None:
        super().__init__(" | ".join(problems))
        self.event_id = event_id
        self.source = source
        self.operation = operation
        self.lead_hash = lead_hash
        self.key = key
        self.producer_key = producer_key


class IgnoredError(UnreadableError):
    """A mapping says that the event is no lead, on purpose. The summary names the mapping."""

    outcome = Outcome.IGNORED


Reading = LeadEvent | UnreadableError
"""The result of reading a body: its event, or why there is none."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Id and source, by which a person traces an event back; both are safe to log."""

    event_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body without its wrapping: `content` holds the lead, under `path` (a prefix for problems).

    `origins` of an event that a mapping has read: where each field was read from, in words for a problem.
    """

    operation: Operation | None
    content: dict[str, Json]
    path: str
    problems: list[str]
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignored:
    """The name of the mapping that leaves an event out."""

    mapping: str


Mapped = Envelope | Ignored | Sequence[str]
"""What mappings make of an event; or, for each of the event's source, why it doesn't take this one."""

Mapper = Callable[[dict[str, Json]], Mapped]
"""Reads an EventBridge event that isn't in our own form."""


class _ProblemsError(Exception):
    """The body has problems: a sentence for each, with the field's path and without its value."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = problems


def read_event(
    message: Message,
    defaults: Mapping[str, str],
    event_sources: Sequence[str] = (),
    mapper: Mapper = lambda _: (),
    only_recipients: Sequence[str] = (),
) -> LeadEvent:
    """Raises `UnreadableError`, with every problem by field path, without any value; or `IgnoredError`.

    `event_sources`: the EventBridge sources that may publish lead events; none given means any. What `mapper`
    reads is read as it says, even if it looks like a lead event: somebody has written a mapping for it.
    `only_recipients`: the addresses and domains, in lower case, that leads may have; none given means any.
    """
    origin = _Origin(loggable_id(message.parked_event_id or message.message_id), FROM_QUEUE)
    try:
        body, origin = _unwrap_sns(_parse(message.body), origin)
        if "detail-type" in body:
            origin = _Origin(_id_or(body.get("id"), origin.event_id), _id_or(body.get("source"), FROM_BUS))
        mapped = mapper(body) if "detail-type" in body else ()
        if isinstance(mapped, Ignored):
            left_out = f'mapping "{mapped.mapping}" leaves it out'
            raise IgnoredError([left_out], origin.event_id, source=origin.source)
        if isinstance(mapped, Envelope):
            # A mapping can read JSON in a text, which nothing has looked into.
            _refuse_unsendable(mapped.content)
        envelope = mapped if isinstance(mapped, Envelope) else _open(body, event_sources, mapped)
    except _ProblemsError as error:
        raise UnreadableError(error.problems, origin.event_id, source=origin.source) from None
    return _read_content(envelope, origin, defaults, only_recipients)


def _open(body: dict[str, Json], event_sources: Sequence[str], why_not_mapped: Sequence[str]) -> Envelope:
    problems: list[str] = []
    if "detail-type" not in body:
        operation = _read_operation(body.get("operation"), problems)
        if "operation" not in body and (hint := _other_form(body)):
            raise _ProblemsError([f"body: {hint}"])
        return Envelope(operation, body, "", problems)
    detail_type, content = body["detail-type"], body.get("detail")
    known = DETAIL_TYPES.get(detail_type) if isinstance(detail_type, str) else None
    operation = Operation(known) if known else None
    if operation is None and why_not_mapped:
        raise _ProblemsError(why_not_mapped)
    if operation is None:
        problems.append(f"detail-type: must be one of {_quoted(DETAIL_TYPES)}")
    if event_sources and body.get("source") not in event_sources:
        problems.append(
            f"source: must be one of {_quoted(event_sources)}, which are those of the setting eventSources"
        )
    if not isinstance(content, dict):
        raise _ProblemsError([*problems, f"detail: must be a JSON object, not {json_type(content)}"])
    if "detail-type" in content:
        raise _ProblemsError(["detail: holds another EventBridge envelope; publish the lead event itself"])
    return Envelope(operation, content, "detail.", problems)


def _read_content(
    envelope: Envelope, origin: _Origin, defaults: Mapping[str, str], only_recipients: Sequence[str]
) -> LeadEvent:
    operation, content, path = envelope.operation, envelope.content, envelope.path
    unknown, problems = _unknown_keys(content, path, is_plain=not path)
    given_key, key_problems = _read_key(content.get("idempotencyKey"), path)
    given = content.get("lead")
    # Without a known operation the lead is still checked, so that the producer sees all problems at once.
    lead, lead_problems, unknown_in_lead = read_lead(
        given, operation or Operation.UPDATE, defaults, f"{path}lead", envelope.origins
    )
    problems = [*envelope.problems, *problems, *key_problems, *lead_problems]
    address = address_of(lead)
    if address and only_recipients and not _is_one_of(only_recipients, address.lower()):
        problems.append(f"{path}lead.email: is none of the setting onlyRecipients")
    lead_hash = hash_address(address) if address else None
    key = (
        derive_key(given_key, operation, published(given), origin.event_id)
        if operation and lead_hash and not key_problems and isinstance(given, dict)
        else None
    )
    if problems or operation is None or lead_hash is None or key is None:
        raise UnreadableError(
            problems,
            origin.event_id,
            source=origin.source,
            operation=operation,
            lead_hash=lead_hash,
            key=key,
            producer_key=given_key,
        )
    return LeadEvent(
        operation=operation,
        lead=lead,
        lead_hash=lead_hash,
        key=key,
        event_id=origin.event_id,
        source=origin.source,
        unknown_fields=tuple([*unknown, *unknown_in_lead][:_SHOWN_NAMES]),
        producer_key=given_key,
    )


def _parse(text: str) -> dict[str, Json]:
    try:
        # A byte order mark of a Windows editor, which a reader may skip (RFC 8259, 8.1).
        body = json.loads(text.lstrip("\ufeff"), parse_float=_finite, parse_constant=_finite)
    # ValueError covers JSONDecodeError and Python's limit on the digits of a number.
    except (ValueError, RecursionError) as error:
        place = (
            f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise _ProblemsError([f"body: is not JSON{place}"]) from None
    if not isinstance(body, dict):
        raise _ProblemsError([f"body: must be a JSON object, not {json_type(body)}"])
    _refuse_unsendable(body)
    return body


def _finite(text: str) -> float:
    """Raises for a number like 1e999: it is valid JSON, but is read as infinity, which can't be sent on."""
    number = float(text)
    if not math.isfinite(number):
        raise _ProblemsError(
            ["body: holds NaN, Infinity or a number as large as 1e999; JSON has no such number"]
        )
    return number


def _refuse_unsendable(body: dict[str, Json]) -> None:
    # The depth is checked first, because the next check recurses once for each level.
    _refuse_depth(body)
    _refuse_unpaired_surrogates(body)


def _refuse_depth(body: dict[str, Json]) -> None:
    level: list[Json] = [body]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise _ProblemsError([f"body: has more than {MAX_DEPTH} objects and arrays inside each other"])


def _inside(outer: Json) -> Iterable[Json]:
    if isinstance(outer, dict):
        return outer.values()
    return outer if isinstance(outer, list) else ()


def _unwrap_sns(body: dict[str, Json], origin: _Origin) -> tuple[dict[str, Json], _Origin]:
    if body.get("Type") != "Notification" or "Message" not in body:
        return body, origin
    inner = body["Message"]
    if not isinstance(inner, str):
        raise _ProblemsError([f"Message: must be a string with the lead event, not {json_type(inner)}"])
    unwrapped = _parse(inner)
    if unwrapped.get("Type") == "Notification" and "Message" in unwrapped:
        raise _ProblemsError(["Message: holds another SNS notification; publish the lead event itself"])
    return unwrapped, _Origin(_id_or(body.get("MessageId"), origin.event_id), FROM_TOPIC)


def _is_one_of(recipients: Sequence[str], address: str) -> bool:
    return address in recipients or address.rpartition("@")[2] in recipients


def _id_or(value: Json, otherwise: str) -> str:
    return loggable_id(value) if isinstance(value, str) and value else otherwise


def _read_operation(value: Json, problems: list[str]) -> Operation | None:
    if isinstance(value, str) and value in list(Operation):
        return Operation(value)
    what = "is missing" if value is None else "is not known"
    problems.append(f"operation: {what}; it must be one of {_quoted(Operation)}")
    return None


def _read_key(value: Json, path: str) -> tuple[str | None, list[str]]:
    if value is None:
        return None, []
    if isinstance(value, str) and 0 < len(key := trimmed(value)) <= MAX_KEY_LENGTH:
        return key, []
    return None, [f"{path}idempotencyKey: must be a string of 1 to {MAX_KEY_LENGTH} characters"]


def _unknown_keys(content: dict[str, Json], path: str, *, is_plain: bool) -> tuple[list[str], list[str]]:
    """Loggable names of keys that we don't know, and the problems with those that are misspelt.

    The former are let through with a warning, but a misspelt key would silently switch off its effect.
    """
    known = ["lead", "idempotencyKey"] + (["operation"] if is_plain else [])
    unknown = [name for name in content if name not in known]
    folded = {name.lower(): name for name in known}
    problems = []
    for name in unknown:
        meant = folded.get(name.lower().replace("_", "").replace("-", "").replace(" ", ""))
        if meant:
            # Such a name is made of the known one's letters, so it can be shown as it is.
            problems.append(f"{path}{name[:LONGEST_NAME]}: is not known; did you mean {meant}?")
    return [f"{path}{loggable_name(name)}" for name in unknown], problems


def _other_form(body: dict[str, Json]) -> str:
    """What a body in a common form of others' has to become."""
    if {"DetailType", "Detail", "detailType"} & body.keys():
        return 'is an entry of PutEvents; in the queue an event has "detail-type", "source" and "detail"'
    if "specversion" in body:
        return 'is a CloudEvent; send what is in its "data", with "operation" and "lead"'
    return ""


def _refuse_unpaired_surrogates(body: dict[str, Json]) -> None:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _ProblemsError(
            ["body: holds half of a surrogate pair (\\ud800 to \\udfff), which is no text"]
        ) from None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
