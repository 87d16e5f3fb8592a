"""The ledger's items of version 0.1.0, one for each event: read until the last of them has expired.

A stage that never ran that version has none, and pays one read for each new execution environment. Can go
when no stage runs 0.1.0 any more.
"""

import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .aws_error import error_code
from .contract import LEAD_ITEM, LedgerAttribute
from .event.lead import Operation
from .lead_state import EventRecord, LeadState, State
from .ledger import DEAD_CLAIM_DUE_AFTER_S
from .outcome import LedgerError, Outcome

KEPT_S = 30 * 24 * 3600  # the longest that 0.1.0 kept an item
# One item for the whole table: until when (epoch seconds) it may hold old ones. 0: it was new.
MARKER = {LedgerAttribute.PARTITION_KEY: {"S": "#ledger"}, LedgerAttribute.SORT_KEY: {"S": "#old-items"}}
_STATES = {"delivered": State.DELIVERED, "rejected": State.PARKED}


class OldItems:
    """Finds what version 0.1.0 knew of a lead. Safe under threads: one of them looks for the marker."""

    def __init__(self, dynamodb: Any, table: str) -> None:  # noqa: ANN401 - a boto3 DynamoDB client
        self._dynamodb = dynamodb
        self._table = table
        self._lock = threading.Lock()
        self._until_s: int | None = None

    def find(self, lead_hash: str) -> LeadState:
        """The lead by its old items; nothing where there can't be any. Raises `LedgerError`."""
        try:
            with self._lock:
                if self._until_s is None:
                    self._until_s = self._read_marker()
            if time.time() >= self._until_s:
                return LeadState()
            answer = self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression="#lead = :lead",
                ExpressionAttributeNames={"#lead": LedgerAttribute.PARTITION_KEY},
                ExpressionAttributeValues={":lead": {"S": lead_hash}},
                ConsistentRead=True,
            )
        except (ClientError, BotoCoreError) as error:
            raise LedgerError(error_code(error)) from None
        items = [
            {name: next(iter(value.values())) for name, value in item.items()}
            for item in answer["Items"]
            if item[LedgerAttribute.SORT_KEY]["S"] != LEAD_ITEM
        ]
        return _read(items, int(time.time()))

    def _read_marker(self) -> int:
        found = self._dynamodb.get_item(TableName=self._table, Key=MARKER, ConsistentRead=True).get("Item")
        if found is None:
            # Written before the first claim of this version: whoever finds no marker sees old items only.
            is_new = not self._dynamodb.scan(TableName=self._table, Limit=1, ConsistentRead=True)["Items"]
            until_s = 0 if is_new else int(time.time()) + KEPT_S
            found = self._dynamodb.update_item(
                TableName=self._table,
                Key=MARKER,
                UpdateExpression="SET oldItemsUntil = if_not_exists(oldItemsUntil, :until)",
                ExpressionAttributeValues={":until": {"N": str(until_s)}},
                ReturnValues="ALL_NEW",
            )["Attributes"]
        return int(found["oldItemsUntil"]["N"])


def _read(items: list[dict[str, str]], now_s: int) -> LeadState:
    """Those that have not expired, the latest last."""
    alive = sorted(
        (item for item in items if int(item["expiresAt"]) > now_s), key=lambda item: int(item["updatedAt"])
    )
    shown = [item for item in alive if item["state"] == "delivered"]
    return LeadState(
        lead_id=shown[-1]["leadId"] if shown else "",
        known_s=int(shown[-1]["updatedAt"]) if shown else 0,
        events=tuple(map(_read_event, alive)),
    )


def _read_event(item: dict[str, str]) -> EventRecord:
    kind, _, digest = item["event"].partition("#")
    updated_s = int(item["updatedAt"])
    state = _STATES.get(item["state"], State.WAITING)
    return EventRecord(
        # A key counts for one operation now.
        key=f"key#{item['operation']}#{digest}" if kind == "key" else item["event"],
        operation=Operation(item["operation"]),
        order_ms=updated_s * 1000,
        sent_s=updated_s,
        message_id=item["messageId"],
        source="",
        first_seen_s=updated_s,
        updated_s=updated_s,
        state=state,
        attempts=int(item["attempts"]),
        unanswered=item["state"] == "sending",
        due_s=updated_s + DEAD_CLAIM_DUE_AFTER_S if state is State.WAITING else 0,
        unknown_since_s=int(item.get("unknownSince", 0)),
        repeats_until_s=int(item["expiresAt"]) if state is State.DELIVERED else 0,
        parked_as=Outcome.REJECTED if state is State.PARKED else "",
    )
