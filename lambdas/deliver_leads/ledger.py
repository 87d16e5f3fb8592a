"""The delivery ledger: one DynamoDB item for each lead, so that all events of a lead run one after another.

A delivered event costs two writes and no read. The first, `claim`, takes the lead with one condition, adds
the event to the item's journal and returns the item as it was. The second, `complete`, writes the lead's
state and removes the journal. A claim that is never completed stays there, where the next claim finds it.

`claim_new` and `complete_together` are the same two writes for several leads in one call (joint_writes.py).
"""

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws_error import error_code
from .dynamodb_notation import typed
from .event.envelope import LeadEvent
from .event.message import Message
from .joint_writes import JointWrites
from .lead_state import CLOCK_SKEW_S, EventRecord, LeadState
from .ledger_item import Item, attributes, key_of, read_journal, read_state, write_record, write_state
from .outcome import DeferredError, LedgerError, UndecidedError
from .settings import Settings

# Most attempts end long before their lease does.
HELD_LEAD_CHECKED_AFTER_S = 15
# A claim that finds so many entries writes them into the state first, so that the item has a bound.
MOST_JOURNAL_ENTRIES = 8

_CLAIM = (
    "SET heldUntil = :heldUntil, #owner = :owner, expiresAt = :expiresAt,"
    " journal = list_append(if_not_exists(journal, :empty), :journal)"
)
_LAST_ENTRY = f"journal[{MOST_JOURNAL_ENTRIES - 1}]"
_HAS_ROOM = f"attribute_not_exists({_LAST_ENTRY})"
# `#owner = :owner` lets the AWS client repeat this claim after a lost answer.
_MAY_CLAIM = f"#owner = :owner OR ((attribute_not_exists(heldUntil) OR heldUntil <= :now) AND {_HAS_ROOM})"
_CLAIM_ATTRIBUTES = ("owner", "journal")


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send for one lead until the lease is over.

    `state` is the lead as it was, `record` the claimed event in it.
    """

    event: LeadEvent
    owner: str
    state: LeadState
    record: EventRecord


@dataclass(frozen=True, slots=True)
class EarlyClaim:
    """What came of claiming a lead together with others. Without `claim`, claim it again as this `owner`."""

    owner: str
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Completion:
    """A claim, and the lead as it is to be stored."""

    claim: Claim
    state: LeadState


class Ledger:
    """Claims leads and stores what became of their events. Safe under threads, because a boto3 client is."""

    def __init__(self, dynamodb: Any, settings: Settings) -> None:  # noqa: ANN401 - a boto3 DynamoDB client
        self._dynamodb = dynamodb
        self._table = settings.ledger_table
        self._joint = JointWrites(dynamodb, settings.ledger_table)
        self._settling_s = settings.settling_s
        self._ledger_s = settings.ledger_s
        self._visibility_timeout_s = settings.visibility_timeout_s

    def claim(
        self, event: LeadEvent, message: Message, lease_s: float, *, owner: str = "", alone: bool = False
    ) -> Claim:
        """Takes the event's lead for `lease_s` seconds. `owner` is given if an earlier write may have
        claimed it under that.

        Raises `DeferredError` while another attempt holds the lead or a request without an answer may still
        take effect, `LedgerError` when the ledger can't be written, `UndecidedError` when it never will be.
        """
        now = time.time()
        entry = self._entry(event, message, owner or _new_owner(), now, alone=alone)
        item = self._take(event.lead_hash, entry, now, lease_s)
        if item is None:  # its journal was full, and is empty now
            item = self._take(event.lead_hash, entry, now, lease_s)
        if item is None:
            raise DeferredError("another event of its lead is under way", delay_s=HELD_LEAD_CHECKED_AFTER_S)
        journal = [each for each in read_journal(item) if each.owner != entry.owner]
        state = read_state(item).with_journal(journal)
        return Claim(event, entry.owner, state, state.claimed(entry))

    def claim_new(self, events: Sequence[tuple[LeadEvent, Message]], lease_s: float) -> list[EarlyClaim]:
        """Takes those of the leads, all different, of which the ledger has no item yet; never raises.

        At most `LARGEST_JOINT_WRITE`.
        """
        now = time.time()
        entries = [self._entry(event, message, _new_owner(), now) for event, message in events]
        items = [
            key_of(event.lead_hash) | self._claimed(entry, now, lease_s)
            for (event, _), entry in zip(events, entries, strict=True)
        ]
        nothing = LeadState()
        return [
            EarlyClaim(
                entry.owner, Claim(event, entry.owner, nothing, nothing.claimed(entry)) if is_taken else None
            )
            for (event, _), entry, is_taken in zip(events, entries, self._joint.insert(items), strict=True)
        ]

    def complete(self, claim: Claim, state: LeadState, settling_s: int = 0) -> bool:
        """Stores the lead as `state`, and lets others claim it after `settling_s` seconds.

        Returns False when the ledger couldn't be written or the lease was over: then the event counts as a
        request without an answer.
        """
        completed = self._completed(state, settling_s)
        try:
            self._update(
                claim.event.lead_hash,
                f"SET {_assignments(completed)} REMOVE #owner, journal",
                _named(completed) | {":owner": typed(claim.owner)},
                "#owner = :owner",
            )
        except ClientError as error:
            # A write whose answer was lost is repeated, here or by the AWS client, and finds its own result.
            held = _item_of(error)
            return all(held.get(name) == value for name, value in write_state(state).items())
        except BotoCoreError:
            return False
        return True

    def complete_together(
        self, completions: Sequence[Completion], has_time: Callable[[], bool]
    ) -> list[bool]:
        """As `complete`, for up to `LARGEST_JOINT_WRITE` events.

        What is not known to be written is written alone. `has_time`: whether there is time for one more call.
        """
        written = self._joint.update(
            [
                (
                    key_of(claim.event.lead_hash) | attributes({"owner": claim.owner}),
                    self._completed(state, settling_s=0),
                    _CLAIM_ATTRIBUTES,
                )
                for claim, state in ((each.claim, each.state) for each in completions)
            ]
        )
        return [
            is_written or (has_time() and self.complete(each.claim, each.state))
            for each, is_written in zip(completions, written, strict=True)
        ]

    def _take(self, lead_hash: str, entry: EventRecord, now: float, lease_s: float) -> Item | None:
        """The item as it was. None if the lead is free, but its journal was full: then it is empty now."""
        claimed = _named(self._claimed(entry, now, lease_s))
        try:
            answer = self._update(
                lead_hash,
                _CLAIM,
                claimed | {":empty": typed([]), ":now": typed(int(now))},
                _MAY_CLAIM,
                ReturnValues="ALL_OLD",
            )
        except ClientError as error:
            code, held = error_code(error), _item_of(error)
            if code == "ValidationException" and "schema" not in str(error):  # that is another table
                raise UndecidedError(f"the ledger can't hold this lead: {code}") from None
            if code != "ConditionalCheckFailedException":
                raise LedgerError(code) from None
            left_s = int(held.get("heldUntil", {}).get("N", now)) - int(now)
            if left_s <= 0:
                self._fold(lead_hash, held)
                return None
            delay_s = max(1, min(left_s + 1, HELD_LEAD_CHECKED_AFTER_S))
            raise DeferredError("another event of its lead is under way", delay_s=delay_s) from None
        except BotoCoreError as error:
            raise LedgerError(error_code(error), may_be_written=True) from None
        item: Item = answer.get("Attributes", {})
        return item

    def _fold(self, lead_hash: str, item: Item) -> None:
        """Writes the journal of an item that no attempt holds into its state. Raises `LedgerError`."""
        state = write_state(read_state(item).with_journal(read_journal(item)))
        try:
            self._update(
                lead_hash,
                f"SET {_assignments(state)} REMOVE #owner, journal",
                _named(state) | {":held": item.get("heldUntil", {"N": "0"})},
                f"heldUntil = :held AND attribute_exists({_LAST_ENTRY})",
            )
        except (ClientError, BotoCoreError) as error:
            if error_code(error) != "ConditionalCheckFailedException":  # else another claim has done it
                raise LedgerError(error_code(error)) from None

    def _entry(
        self, event: LeadEvent, message: Message, owner: str, now: float, *, alone: bool = False
    ) -> EventRecord:
        return EventRecord(
            key=event.key.text,
            digest=event.key.digest,
            operation=event.operation,
            order_ms=message.order_ms,
            sent_s=message.sent_ms // 1000,
            redriven=message.parked_event_id is not None,
            message_id=message.message_id,
            source=event.source,
            first_seen_s=int(now),
            updated_s=int(now),
            owner=owner,
            # If the environment crashes, the message comes back after the queue's visibility timeout.
            due_s=int(now) + self._visibility_timeout_s,
            receive_count=message.receive_count,
            alone=alone,
        )

    def _claimed(self, entry: EventRecord, now: float, lease_s: float) -> dict[str, Any]:
        """Held for the settling time as well, because a crash would leave a request without an answer."""
        held_until = math.ceil(now + lease_s + CLOCK_SKEW_S + self._settling_s)
        return attributes(
            {
                "heldUntil": held_until,
                "owner": entry.owner,
                "expiresAt": int(now) + self._ledger_s,
                "journal": [write_record(entry)],
            }
        )

    def _completed(self, state: LeadState, settling_s: int) -> dict[str, Any]:
        now = time.time()
        return write_state(state) | attributes(
            {
                "heldUntil": math.ceil(now + settling_s) if settling_s else 0,
                "expiresAt": int(now) + self._ledger_s,
            }
        )

    def _update(
        self,
        lead_hash: str,
        expression: str,
        values: Item,
        condition: str,
        **more: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        names = (
            {"ExpressionAttributeNames": {"#owner": "owner"}} if "#owner" in expression + condition else {}
        )
        answer: dict[str, Any] = self._dynamodb.update_item(
            TableName=self._table,
            Key=key_of(lead_hash),
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeValues=values,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **names,
            **more,
        )
        return answer


def _new_owner() -> str:
    return uuid.uuid4().hex


def _assignments(attributes: Item) -> str:
    return ", ".join(f"{name} = :{name}" for name in attributes)


def _named(attributes: Item) -> dict[str, Any]:
    return {f":{name}": value for name, value in attributes.items()}


def _item_of(error: ClientError) -> Item:
    """The item as it is, from the answer of a condition that didn't hold."""
    response: Any = error.response
    item: Item = response.get("Item", {})
    return item
