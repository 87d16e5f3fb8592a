"""Publishes on the event bus what finally became of each event: for CRMs, chat channels and audits.

docs/events/outcomes.md is for those who read these events, docs/events/outcome-event.schema.json their form.
An outcome's event is published once the ledger has the outcome. It is lost if the function ends in between or
the bus doesn't take it in time: no lead is sent again for it.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from .api.http_client import AWS_CONNECT_TIMEOUT_S, AWS_READ_TIMEOUT_S, TimeLeft
from .attempt import Attempt
from .aws_error import error_code
from .contract import OWN_EVENT_SOURCE, Outcome, OutcomeDetailType, OutcomeEventsMode
from .event.envelope import LeadEvent
from .event.loggable import loggable_id, sha256

SCHEMA_VERSION = 1
# One PutEvents request takes at most 10 entries, in all less than 1 MB.
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
LARGEST_PUT_EVENTS = 10
LARGEST_REQUEST_BYTES = 1_000_000 - 1
LARGEST_DETAIL_BYTES = LARGEST_REQUEST_BYTES - 1000
# The pauses before each try, because a throttled bus takes more after a moment.
PAUSES_S = (0.0, 0.2, 0.6)
# The time for a call with one try of the AWS client's, and a second for the answer to Lambda.
NEEDED_S = AWS_CONNECT_TIMEOUT_S + AWS_READ_TIMEOUT_S + 1.0

# EventBridge's input transformer doesn't escape what it inserts into a template.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f]')

_Entry = dict[str, str]


class Lost(NamedTuple):
    """How many events the bus didn't take, and what it said of the last of them."""

    events: int
    reason: str


class OutcomeEvents:
    """Publishes what became of the events of a batch. For the thread that runs the batch."""

    def __init__(self, events: Any, bus: str, mode: OutcomeEventsMode) -> None:  # noqa: ANN401 - a boto3 client
        """`events` must make one try only and have the time-outs of `NEEDED_S`; `bus` is a name or an ARN."""
        self._events = events
        self._bus = bus
        self._with_lead = mode is OutcomeEventsMode.LEAD

    def publish(self, attempts: Sequence[Attempt], time_left: TimeLeft) -> Lost:
        """Never raises, because the batch's response must still be given. Takes no more time than is left."""
        final = [(kind, attempt) for attempt in attempts if (kind := detail_type(attempt))]
        try:
            return self._send([self._entry(kind, attempt) for kind, attempt in final], time_left)
        except Exception as error:
            return Lost(len(final), f"internal error: {type(error).__name__}")

    def _send(self, entries: list[_Entry], time_left: TimeLeft) -> Lost:
        reason = "no time was left"
        for pause_s in PAUSES_S:
            if not entries or time_left() - pause_s < NEEDED_S:
                break
            time.sleep(pause_s)
            entries, reason = self._put(entries, time_left)
        return Lost(len(entries), reason if entries else "")

    def _put(self, entries: list[_Entry], time_left: TimeLeft) -> tuple[list[_Entry], str]:
        """Returns the entries that were not taken, and why. A call that fails as a whole ends the round."""
        refused: list[_Entry] = []
        reason, done = "", 0
        for batch in _batches(entries):
            if time_left() < NEEDED_S:
                return refused + entries[done:], reason or "no time was left"
            try:
                results = self._events.put_events(Entries=batch)["Entries"]
            except (ClientError, BotoCoreError) as error:
                return refused + entries[done:], error_code(error)
            done += len(batch)
            for entry, result in zip(batch, results, strict=True):
                if not result.get("EventId"):
                    refused.append(entry)
                    reason = str(result.get("ErrorCode"))
        return refused, reason

    def _entry(self, kind: OutcomeDetailType, attempt: Attempt) -> _Entry:
        detail = _detail(kind, attempt) | (_personal_data(attempt) if self._with_lead else {})
        text = json.dumps(detail)
        # A message of SQS's may be larger than an event.
        if len(text) > LARGEST_DETAIL_BYTES:
            text = json.dumps(detail | {"lead": None})
        return {"EventBusName": self._bus, "Source": OWN_EVENT_SOURCE, "DetailType": kind, "Detail": text}


def detail_type(attempt: Attempt) -> OutcomeDetailType | None:
    """None for an outcome that isn't final, for an event that was ignored, and for our own outcome events.

    If a rule routes our outcome events back into the lead queue, an outcome event about each of them would
    loop.
    """
    if (
        attempt.outcome is Outcome.IGNORED
        or attempt.delay_s is not None
        or attempt.reading.source == OWN_EVENT_SOURCE
    ):
        return None
    kinds = {
        Outcome.DELIVERED: OutcomeDetailType.DELIVERED,
        Outcome.DUPLICATE: OutcomeDetailType.DUPLICATE,
        Outcome.REJECTED: OutcomeDetailType.REJECTED,
    }
    return kinds.get(attempt.outcome, OutcomeDetailType.PARKED)


def _detail(kind: OutcomeDetailType, attempt: Attempt) -> dict[str, Any]:
    """The part of an outcome event that is free of personal data."""
    reading, message = attempt.reading, attempt.message
    first_seen = datetime.fromtimestamp(max(0, message.order_ms) / 1000, UTC)
    identity = [reading.event_id, reading.operation, reading.lead_hash, kind]
    return {
        "schemaVersion": SCHEMA_VERSION,
        # The same when an outcome is published again. The event's id alone isn't enough, because it may be a
        # producer's own id, used twice.
        "outcomeId": sha256(json.dumps(identity)),
        "outcome": attempt.outcome,
        "operation": reading.operation,
        "idempotencyKey": _id(reading.producer_key),
        "eventId": reading.event_id,
        "messageId": message.message_id,
        "source": reading.source,
        "firstSeen": first_seen.isoformat(timespec="milliseconds"),
        "receiveCount": message.receive_count,
        "leadHash": reading.lead_hash,
        "leadId": _id(attempt.lead_id),
        "leadState": attempt.lead_state,
        "nextScheduleTime": attempt.next_schedule_time,
        "scheduleId": _id(attempt.sequence.get("scheduleId")),
        "status": attempt.status,
        "reason": attempt.reason and _NEEDS_ESCAPE.sub("'", attempt.reason),
    }


def _personal_data(attempt: Attempt) -> dict[str, Any]:
    reading = attempt.reading
    return {
        "idempotencyKey": reading.producer_key,
        "scheduleName": attempt.sequence.get("scheduleName"),
        "lead": reading.lead if isinstance(reading, LeadEvent) else None,
    }


def _id(value: int | str | None) -> str | None:
    return None if value is None else loggable_id(str(value))


def _batches(entries: list[_Entry]) -> Iterator[list[_Entry]]:
    """Batches of the entries, in order. An entry's texts are ASCII, so that each character is a byte."""
    batch: list[_Entry] = []
    size = 0
    for entry in entries:
        entry_size = len("".join(entry.values()))
        if batch and (len(batch) == LARGEST_PUT_EVENTS or size + entry_size > LARGEST_REQUEST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry_size
    if batch:
        yield batch
