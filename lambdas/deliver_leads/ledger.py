"""The delivery ledger: one DynamoDB item for each lead, so that all events of a lead run one after another.

A delivered event costs two writes and no read. The first, `claim`, takes the lead with one condition, adds
the event to the item's journal and returns the item as it was. The second, `complete`, folds the journal into
the list of events. A claim whose environment died stays in the journal, where the next claim finds it.

`claim_new` and `complete_together` are the same two writes for several leads in one call, by PartiQL's batch
statements: each has its own condition and its own result, and what it can't do is done by `claim` or
`complete`. docs/decisions/0014-writes-of-a-batch-in-one-call.md says why.
"""

import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws_error import error_code
from .contract import LEAD_ITEM, LedgerAttribute
from .dynamodb_notation import plain, typed
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
# AWS's bound for BatchExecuteStatement.
LARGEST_JOINT_WRITE = 25
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


@dataclass(frozen=True, slots=True)
class EarlyClaim:
    """What came of claiming a lead together with others; without `claim`, `owner` has to claim it alone."""

    owner: str
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A claimed event as it is to be stored, and the lead's id if 7Targets has shown the lead."""

    claim: Claim
    record: EventRecord
    lead_id: str


class Ledger:
    """Claims leads and stores what became of their events. Safe under threads, because a boto3 client is."""

    def __init__(
        self,
        dynamodb: Any,  # noqa: ANN401 - a boto3 DynamoDB client, whose type exists in the stubs only
        settings: Settings,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = settings.ledger_table
        self._settling_s = settings.settling_s
        self._ledger_s = settings.ledger_s
        self._visibility_timeout_s = settings.visibility_timeout_s

    def claim(self, event: LeadEvent, message: Message, lease_s: float, owner: str = "") -> Claim:
        """Takes the event's lead for `lease_s` seconds. `owner` is given when it may have it already.

        Raises `DeferredError` while another attempt holds the lead or a request without an answer may still
        take effect, `LedgerError` when the ledger can't be written.
        """
        now = time.time()
        entry = self._entry(event, message, owner or _new_owner(), now)
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(event.lead_hash),
                UpdateExpression=_CLAIM,
                ConditionExpression=_MAY_CLAIM,
                ExpressionAttributeNames={"#owner": "owner"},
                ExpressionAttributeValues={
                    **self._journal_values(entry, now),
                    ":until": typed(self._held_until_s(now, lease_s)),
                    ":owner": typed(entry.owner),
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
        item = plain(answer.get("Attributes", {}))
        journal = tuple(map(_read_record, item.get("journal", ())))
        state = _read_state(item).with_journal(tuple(each for each in journal if each.owner != entry.owner))
        return Claim(event, entry.owner, state, state.claimed(entry), len(journal) + 1)

    def claim_new(self, events: Iterable[tuple[LeadEvent, Message]], lease_s: float) -> list[EarlyClaim]:
        """Takes those of the leads, all different, of which the ledger has no item yet; never raises.

        At most `LARGEST_JOINT_WRITE`.
        """
        now = time.time()
        entries = [(event, self._entry(event, message, _new_owner(), now)) for event, message in events]
        new = LeadState()
        taken = self._run_together([self._insert(event, entry, now, lease_s) for event, entry in entries])
        return [
            EarlyClaim(
                entry.owner, Claim(event, entry.owner, new, new.claimed(entry), 1) if is_taken else None
            )
            for (event, entry), is_taken in zip(entries, taken, strict=True)
        ]

    def complete(self, claim: Claim, record: EventRecord, lead_id: str = "", quiet_s: int = 0) -> bool:
        """Stores the event as `record`, and gives the lead back after `quiet_s` seconds.

        `lead_id` is given when 7Targets has shown the lead. Returns False when the ledger couldn't be written
        or the lease was over: then the event counts as a request without an answer.
        """
        completed = self._completed(claim, record, lead_id, quiet_s)
        assignments = ", ".join(f"{name} = :{name}" for name in completed)
        removals = ", ".join(("#owner", *_folded(claim)))
        try:
            self._update(
                claim.event.lead_hash,
                f"SET {assignments} REMOVE {removals}",
                {f":{name}": value for name, value in completed.items()} | {":owner": typed(claim.owner)},
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            held: Any = error.response.get("Item", {})
            # A write whose answer was lost is repeated by the AWS client, and finds its own result.
            return bool(held.get("events") == completed["events"])
        except BotoCoreError:
            return False
        return True

    def complete_together(
        self, completions: Sequence[Completion], has_time: Callable[[], bool]
    ) -> list[bool]:
        """As `complete`, for up to `LARGEST_JOINT_WRITE` events.

        What is not known to be written is written alone, so that one lead's failure is not another's.
        `has_time`: whether there is time for one more call.
        """
        written = self._run_together([self._complete_statement(each) for each in completions])
        return [
            is_written or (has_time() and self.complete(each.claim, each.record, each.lead_id))
            for each, is_written in zip(completions, written, strict=True)
        ]

    def note(self, lead_hash: str, record: EventRecord) -> bool:
        """Stores what became of an event without a claim; False when the ledger couldn't be written."""
        try:
            self._update(lead_hash, _NOTE, self._journal_values(record, time.time()))
        except (ClientError, BotoCoreError):
            return False
        return True

    def _entry(self, event: LeadEvent, message: Message, owner: str, now: float) -> EventRecord:
        return new_record(
            event,
            message,
            int(now),
            owner=owner,
            # If the environment dies, the message comes back after the queue's visibility timeout.
            due_s=int(now) + self._visibility_timeout_s,
            receive_count=message.receive_count,
        )

    def _held_until_s(self, now: float, lease_s: float) -> int:
        """An environment that dies leaves a request without an answer."""
        return math.ceil(now + lease_s + CLOCK_SKEW_S + self._settling_s)

    def _completed(
        self, claim: Claim, record: EventRecord, lead_id: str, quiet_s: int = 0
    ) -> dict[str, dict[str, Any]]:
        """The lead's item with the event as `record`, without what identifies it."""
        now = time.time()
        state = claim.state.with_event(record).pruned(int(now) - self._ledger_s)
        if lead_id:
            state = replace(state, lead_id=lead_id, known_s=int(now))
        item = {
            "events": [_record_map(each) for each in state.events],
            "leadId": state.lead_id,
            "knownAt": state.known_s,
            "heldUntil": math.ceil(now + quiet_s) if quiet_s else 0,
            "expiresAt": int(now) + self._ledger_s,
        }
        return {name: typed(value) for name, value in item.items()}

    def _insert(self, event: LeadEvent, entry: EventRecord, now: float, lease_s: float) -> dict[str, Any]:
        """A statement that fails when the lead has an item."""
        item = {
            "heldUntil": self._held_until_s(now, lease_s),
            "owner": entry.owner,
            "expiresAt": int(now) + self._ledger_s,
            "journal": [_record_map(entry)],
        }
        whole = _key(event.lead_hash) | {name: typed(value) for name, value in item.items()}
        names = ", ".join(f"'{name}': ?" for name in whole)
        return {
            "Statement": f'INSERT INTO "{self._table}" VALUE {{{names}}}',
            "Parameters": list(whole.values()),
        }

    def _complete_statement(self, completion: Completion) -> dict[str, Any]:
        claim = completion.claim
        completed = self._completed(claim, completion.record, completion.lead_id)
        condition = _key(claim.event.lead_hash) | {"owner": typed(claim.owner)}
        changes = [f'SET "{name}" = ?' for name in completed]
        changes += ['REMOVE "owner"', *(f"REMOVE {each}" for each in _folded(claim))]
        where = " AND ".join(f'"{name}" = ?' for name in condition)
        return {
            "Statement": f'UPDATE "{self._table}" {" ".join(changes)} WHERE {where}',
            "Parameters": [*completed.values(), *condition.values()],
        }

    def _run_together(self, statements: list[dict[str, Any]]) -> list[bool]:
        """Whether each statement is known to be carried out. Never raises: what isn't is tried alone."""
        try:
            answers = self._dynamodb.batch_execute_statement(Statements=statements)["Responses"]
            return ["Error" not in answer for _, answer in zip(statements, answers, strict=True)]
        except Exception:  # a bug of this way of writing must not harm a batch, either
            return [False] * len(statements)

    def _journal_values(self, entry: EventRecord, now: float) -> dict[str, Any]:
        return {
            ":empty": typed([]),
            ":entries": typed([_record_map(entry)]),
            ":expires": typed(int(now) + self._ledger_s),
        }

    def _update(self, lead_hash: str, expression: str, values: Mapping[str, Any], **more: Any) -> None:  # noqa: ANN401
        self._dynamodb.update_item(
            TableName=self._table,
            Key=_key(lead_hash),
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
            **more,
        )


def _new_owner() -> str:
    return uuid.uuid4().hex


def _folded(claim: Claim) -> list[str]:
    """The journal's entries that go into the list of events, as paths in the item.

    Each index means the item as it is before the write. From the last to the first, so that it makes no
    difference to an emulator that removes one after another.
    """
    return [f"journal[{index}]" for index in reversed(range(claim.journal_length))]


def new_record(event: Reading, message: Message, now_s: int, **more: Any) -> EventRecord:  # noqa: ANN401 - its fields
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
        **more,
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


def _key(lead_hash: str) -> dict[str, Any]:
    return {
        LedgerAttribute.PARTITION_KEY: {"S": lead_hash},
        LedgerAttribute.SORT_KEY: {"S": LEAD_ITEM},
    }
