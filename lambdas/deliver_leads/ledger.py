"""The delivery ledger: one DynamoDB item per lead event, so that a repeated delivery is recognised.

    (nothing) ── claim ──> sending ── complete ──> delivered
                            │   ^
                     release│   │claim, when the lease is over
                            v   │
                waiting | rejected | sending without a lease

`sending` means that a request may have left: an attempt that claims such an item confirms before it repeats.
In `waiting` and `rejected`, 7Targets has no trace of the event, so sending is safe. A function killed at any
instant leaves `sending`, which is always safe. Each delivered lead costs two writes and no read.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .event.envelope import LeadEvent
from .event.lead import Operation
from .event.message import Message
from .outcome import DeferredError, DeliveredLead, RetryError

# Longer than a lead can wait in the lead queue (14 days) and then in the dead-letter queue (14 days): the
# memory of an unanswered create must outlive the message that could repeat it.
UNDELIVERED_KEPT_S = 30 * 24 * 3600
# Clocks of two execution environments may differ by seconds.
CLOCK_SKEW_S = 30
# Most attempts end long before their lease does.
HELD_EVENT_CHECKED_AFTER_S = 15

_CLAIM = (
    "SET #state = :sending, #owner = :owner, leaseUntil = :lease, operation = :operation,"
    " messageId = :message, updatedAt = :now, expiresAt = :expires ADD attempts :one"
)
# DynamoDB deletes an expired item days late, so the expiry is part of the condition.
_MAY_CLAIM = (
    "attribute_not_exists(#lead) OR expiresAt <= :now OR (#state <> :delivered AND leaseUntil <= :now)"
    " OR #owner = :owner"
)
_NAMES = {"#lead": "lead", "#state": "state", "#owner": "owner"}


class State(StrEnum):
    """The states of an item, as they are stored."""

    SENDING = "sending"
    WAITING = "waiting"
    REJECTED = "rejected"
    DELIVERED = "delivered"


@dataclass(slots=True)
class Claim:
    """The right to deliver one event until the lease is over.

    `maybe_sent`: a request of an earlier or this attempt may have had its effect. `unknown_since`: when an
    update or stop got its first 404, in epoch seconds.
    """

    event: LeadEvent
    owner: str
    maybe_sent: bool
    unknown_since: int | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same event was delivered before, inside its window."""

    lead_id: str | None


class Ledger:
    """Claims events and stores what became of them. Safe under threads, because a boto3 client is."""

    def __init__(
        self,
        dynamodb: Any,  # noqa: ANN401 - a boto3 DynamoDB client, whose type exists in the stubs only
        table: str,
        *,
        duplicate_window_s: int,
        key_window_s: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._duplicate_window_s = duplicate_window_s
        self._key_window_s = key_window_s
        self._clock = clock

    def claim(self, event: LeadEvent, message: Message, lease_s: float) -> Claim | Duplicate:
        """Takes the event for `lease_s` seconds.

        Raises `DeferredError` when another attempt holds it, `RetryError` when the ledger can't be written.
        """
        now = int(self._clock())
        owner = uuid.uuid4().hex
        values = _values(
            sending=State.SENDING,
            delivered=State.DELIVERED,
            owner=owner,
            lease=now + int(lease_s) + CLOCK_SKEW_S,
            operation=event.operation,
            message=message.message_id,
            now=now,
            expires=now + UNDELIVERED_KEPT_S,
            one=1,
        )
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(event),
                UpdateExpression=_CLAIM,
                ConditionExpression=_MAY_CLAIM,
                ExpressionAttributeNames=_NAMES,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if _code(error) == "ConditionalCheckFailedException":
                item: Any = error.response.get("Item", {})
                return self._refused(item, now)
            raise RetryError(f"delivery ledger: {_code(error)}", shared=False) from None
        except BotoCoreError as error:
            raise RetryError(f"delivery ledger: {type(error).__name__}", shared=False) from None
        return _claimed(event, owner, answer.get("Attributes", {}), now)

    def find_follower(self, event: LeadEvent) -> DeliveredLead | None:
        """The lead as an update or stop found it that was delivered while its create had no answer yet.

        Such an event proves that the lead exists. This is a read, but only before a confirmation, which is
        rare. Raises `DeferredError` when such an event is under way just now, `RetryError` when the ledger
        can't be read.
        """
        try:
            answer = self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression="#lead = :lead",
                FilterExpression="operation <> :create AND expiresAt > :now"
                " AND (#state = :delivered OR leaseUntil > :now)",
                ExpressionAttributeNames={"#lead": "lead", "#state": "state"},
                ExpressionAttributeValues=_values(
                    lead=event.lead_hash,
                    delivered=State.DELIVERED,
                    create=Operation.CREATE,
                    now=int(self._clock()),
                ),
                ConsistentRead=True,
            )
        except (ClientError, BotoCoreError) as error:
            raise RetryError(f"delivery ledger: {type(error).__name__}", shared=False) from None
        items = answer["Items"]
        if any(item["state"]["S"] == State.SENDING for item in items):
            why = "a later event of the lead is under way, which confirming could undo"
            raise DeferredError(why, delay_s=HELD_EVENT_CHECKED_AFTER_S)
        for item in items:
            return DeliveredLead(item["leadId"]["S"], item["leadState"]["S"], status=None)
        return None

    def complete(self, claim: Claim, lead: DeliveredLead) -> bool:
        """Stores the delivery. A failure is no reason to send again, so it returns False."""
        now = int(self._clock())
        window_s = self._duplicate_window_s if claim.event.key.from_content else self._key_window_s
        return self._write(
            claim,
            "SET #state = :state, leaseUntil = :zero, updatedAt = :now, expiresAt = :expires,"
            " leadId = :lead, leadState = :leadState",
            _values(
                state=State.DELIVERED,
                zero=0,
                now=now,
                expires=now + window_s,
                lead=str(lead.lead_id),
                leadState=lead.state or "-",
            ),
            names={"#state": "state"},
        )

    def release(self, claim: Claim, state: State) -> bool:
        """Gives the event back. When that fails (False), it stays `sending` until the lease ends: safe."""
        since = claim.unknown_since
        return self._write(
            claim,
            "SET #state = :state, leaseUntil = :zero, updatedAt = :now"
            + (", unknownSince = :since" if since else " REMOVE unknownSince"),
            _values(state=state, zero=0, now=int(self._clock()), owner=claim.owner, sending=State.SENDING)
            | (_values(since=since) if since else {}),
            names={"#state": "state", "#owner": "owner"},
            # Another attempt may have taken the event over, or delivered it, since the lease ended.
            ConditionExpression="#owner = :owner AND #state = :sending",
        )

    def _write(
        self,
        claim: Claim,
        expression: str,
        values: Mapping[str, Any],
        names: Mapping[str, str],
        **condition: str,
    ) -> bool:
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(claim.event),
                UpdateExpression=expression,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                **condition,
            )
        except (ClientError, BotoCoreError):
            return False
        return True

    def _refused(self, item: Mapping[str, Any], now: int) -> Duplicate:
        if item.get("state", {}).get("S") == State.DELIVERED:
            return Duplicate(item.get("leadId", {}).get("S"))
        lease_left_s = max(1, int(item.get("leaseUntil", {}).get("N", now)) - now)
        delay_s = min(lease_left_s + 1, HELD_EVENT_CHECKED_AFTER_S)
        raise DeferredError("another attempt at this event is under way", delay_s=delay_s)


def _claimed(event: LeadEvent, owner: str, old: Mapping[str, Any], now: int) -> Claim:
    expired = int(old.get("expiresAt", {}).get("N", now + 1)) <= now
    state = None if expired else old.get("state", {}).get("S")
    since = None if expired else old.get("unknownSince", {}).get("N")
    return Claim(event, owner, maybe_sent=state == State.SENDING, unknown_since=int(since) if since else None)


def _values(**values: str | int) -> dict[str, Any]:
    """The values of an expression, in DynamoDB's notation."""
    return {
        f":{name}": {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in values.items()
    }


def _key(event: LeadEvent) -> dict[str, Any]:
    return {"lead": {"S": event.lead_hash}, "event": {"S": event.key.text}}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
