"""The delivery ledger: one DynamoDB item for each lead, so that all events of a lead run one after another.

A delivered event costs two writes and no read. The first, `claim`, takes the lead with one condition, adds
the event to the item's journal and returns the item as it was. The second, `complete`, folds the journal into
the list of events. A claim whose environment died stays in the journal, where the next claim finds it.
"""

import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws_error import error_code
from .contract import LEAD_ITEM, LedgerAttribute
from .event.envelope import LeadEvent, Reading
from .event.lead import Operation
from .event.message import Message
from .lead_state import EventRecord, LeadState, State
from .outcome import DeferredError, LedgerError
from .settings import Settings

# Clocks of two execution environments may differ by seconds.
CLOCK_SKEW_S = 30
# Most attempts end long before their lease does.
HELD_LEAD_CHECKED_AFTER_S = 15

_CLAIM = (
    "SET heldUntil = :until, #owner = :owner, expiresAt = :expires,"
    " journal = list_append(if_not_exists(journal, :empty), :entries)"
)
# The own owner: a claim whose answer was lost is repeated by the AWS client.
_MAY_CLAIM = "attribute_not_exists(heldUntil) OR heldUntil <= :now OR #owner = :owner"
_NOTE = "SET expiresAt = :expires, journal = list_append(if_not_exists(journal, :empty), :entries)"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send for one lead until the lease is over.

    `state` is the lead as it was, `record` the claimed event in it. `journal_length` counts the entries that
    `state` has folded in.
    """

    event: LeadEvent
    owner: str
    state: LeadState
    record: EventRecord
    journal_length: int


class Ledger:
    """Claims leads and stores what became of their events. Safe under threads, because a boto3 client is."""

    def __init__(
        self,
        dynamodb: Any,  # noqa: ANN401 - a boto3 DynamoDB client, whose type exists in the stubs only
        settings: Settings,
        find_older: Callable[[str], LeadState] = lambda _: LeadState(),
    ) -> None:
        """`find_older` tells what an earlier version stored of a lead."""
        self._dynamodb = dynamodb
        self._table = settings.ledger_table
        self._settling_s = settings.settling_s
        self._ledger_s = settings.ledger_s
        self._visibility_timeout_s = settings.visibility_timeout_s
        self._find_older = find_older

    def claim(self, event: LeadEvent, message: Message, lease_s: float) -> Claim:
        """Takes the event's lead for `lease_s` seconds.

        Raises `DeferredError` while another attempt holds the lead or a request without an answer may still
        take effect, `LedgerError` when the ledger can't be written.
        """
        older = self._find_older(event.lead_hash)
        now = time.time()
        owner = uuid.uuid4().hex
        # If the environment dies, the message comes back after the queue's visibility timeout.
        due_s = int(now) + self._visibility_timeout_s
        entry = replace(
            new_record(event, message, int(now)),
            owner=owner,
            due_s=due_s,
            receive_count=message.receive_count,
        )
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(event.lead_hash),
                UpdateExpression=_CLAIM,
                ConditionExpression=_MAY_CLAIM,
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={
                    **self._journal_values(entry, now),
                    # An environment that dies leaves a request without an answer.
                    ":until": {"N": str(math.ceil(now + lease_s + CLOCK_SKEW_S + self._settling_s))},
                    ":owner": {"S": owner},
                    ":now": {"N": str(int(now))},
                },
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                held: Any = error.response.get("Item", {})
                left_s = int(held.get("heldUntil", {}).get("N", now)) - int(now)
                delay_s = max(1, min(left_s + 1, HELD_LEAD_CHECKED_AFTER_S))
                raise DeferredError("another event of its lead is under way", delay_s=delay_s) from None
            raise LedgerError(error_code(error)) from None
        except BotoCoreError as error:
            raise LedgerError(error_code(error), may_be_written=True) from None
        item = _plain(answer.get("Attributes", {}))
        journal = tuple(map(_read_record, item.get("journal", ())))
        state = (_read_state(item) if "events" in item else older).with_journal(
            tuple(each for each in journal if each.owner != owner)
        )
        return Claim(event, owner, state, state.claimed(entry), len(journal) + 1)

    def complete(self, claim: Claim, record: EventRecord, lead_id: str = "", quiet_s: int = 0) -> bool:
        """Stores the event as `record`, and gives the lead back after `quiet_s` seconds.

        `lead_id` is given when 7Targets has shown the lead. Returns False when the ledger couldn't be written
        or the lease was over: then the event counts as a request without an answer.
        """
        now = time.time()
        state = claim.state.with_event(record).pruned(int(now) - self._ledger_s)
        if lead_id:
            state = replace(state, lead_id=lead_id, known_s=int(now))
        # Each index means the item as it is before the write. From the last to the first, so that it makes no
        # difference to an emulator that removes one after another.
        folded = ", ".join(f"journal[{index}]" for index in reversed(range(claim.journal_length)))
        events = _typed([_record_map(each) for each in state.events])
        try:
            self._update(
                claim.event.lead_hash,
                "SET events = :events, leadId = :leadId, knownAt = :knownAt, heldUntil = :until,"
                f" expiresAt = :expires REMOVE #owner, {folded}",
                {
                    ":events": events,
                    ":leadId": _typed(state.lead_id),
                    ":knownAt": _typed(state.known_s),
                    ":until": _typed(math.ceil(now + quiet_s) if quiet_s else 0),
                    ":expires": _typed(int(now) + self._ledger_s),
                    ":owner": _typed(claim.owner),
                },
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            held: Any = error.response.get("Item", {})
            # A write whose answer was lost is repeated by the AWS client, and finds its own result.
            return bool(held.get("events") == events)
        except BotoCoreError:
            return False
        return True

    def note(self, lead_hash: str, record: EventRecord) -> bool:
        """Stores what became of an event without a claim; False when the ledger couldn't be written."""
        try:
            self._update(lead_hash, _NOTE, self._journal_values(record, time.time()))
        except (ClientError, BotoCoreError):
            return False
        return True

    def _journal_values(self, entry: EventRecord, now: float) -> dict[str, Any]:
        return {
            ":empty": _typed([]),
            ":entries": _typed([_record_map(entry)]),
            ":expires": _typed(int(now) + self._ledger_s),
        }

    def _update(self, lead_hash: str, expression: str, values: Mapping[str, Any], **more: Any) -> None:  # noqa: ANN401
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_key(lead_hash),
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
            **more,
        )


def new_record(event: Reading, message: Message, now_s: int) -> EventRecord:
    """An event of which the ledger knows nothing yet."""
    return EventRecord(
        key=event.key.text if event.key else f"message#{message.message_id}",
        operation=event.operation,
        order_ms=message.order_ms,
        sent_s=message.sent_ms // 1000,
        message_id=message.message_id,
        source=event.source,
        first_seen_s=now_s,
        updated_s=now_s,
    )


def _read_state(item: Mapping[str, Any]) -> LeadState:
    return LeadState(
        lead_id=item.get("leadId", ""),
        known_s=item.get("knownAt", 0),
        events=tuple(map(_read_record, item.get("events", ()))),
    )


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_ATTRIBUTES = {field.name: _camel_case(field.name) for field in fields(EventRecord)}


def _record_map(record: EventRecord) -> dict[str, Any]:
    """An empty value is left out, since each kilobyte of an item costs."""
    values = {attribute: getattr(record, name) for name, attribute in _ATTRIBUTES.items()}
    return {attribute: value for attribute, value in values.items() if value}


def _read_record(stored: Mapping[str, Any]) -> EventRecord:
    values = {name: stored[attribute] for name, attribute in _ATTRIBUTES.items() if attribute in stored}
    operation = stored.get("operation")
    return EventRecord(
        **{
            "order_ms": 0,
            "sent_s": 0,
            "source": "",
            **values,
            "operation": Operation(operation) if operation else None,
            "state": State(stored["state"]),
        }
    )


def _typed(value: Any) -> dict[str, Any]:  # noqa: ANN401 - what a record holds
    """A value in DynamoDB's notation."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, list):
        return {"L": [_typed(each) for each in value]}
    return {"M": {name: _typed(each) for name, each in value.items()}}


def _untyped(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content)
    if kind == "L":
        return [_untyped(each) for each in content]
    if kind == "M":
        return _plain(content)
    return content


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _untyped(value) for name, value in item.items()}


def _key(lead_hash: str) -> dict[str, Any]:
    return {
        LedgerAttribute.PARTITION_KEY: {"S": lead_hash},
        LedgerAttribute.SORT_KEY: {"S": LEAD_ITEM},
    }
