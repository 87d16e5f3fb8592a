"""What the sandbox remembers, in a DynamoDB table that its execution environments share."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.sandbox.faults import Fault, FaultRuleError, read_rules
from local.sandbox.store import email_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.sandbox.store import Lead, ReceivedRequest, Result

# The table's key. All that is looked up together has one kind.
KIND, NAME, EXPIRY = "kind", "name", "expiresAt"
_KEPT_S = 90 * 86_400
_TRIES = 20
# A function answers once, when it has done all that it does; it has no connection to its caller and no memory
# that its environments share.
_PLAYED = ("status", "delay", "wrong_content_type", "revoked_token")
# Below the function's time-out (infra/sandbox_stack.py).
LONGEST_DELAY_S = 50

_Item = dict[str, Any]


class DynamoDbStore:
    """A `SandboxStore` for one request at a time, as an execution environment has it.

    `client` is boto3's; the table's partition key is `KIND`, its sort key `NAME`, its time to live `EXPIRY`.
    """

    def __init__(self, client: Any, table: str) -> None:  # noqa: ANN401 - boto3 makes the class at run time
        self._client, self._table = client, table
        self._changes: dict[str, _Item] = {}
        self._seen: dict[str, _Item] = {}

    def apply(self, work: Callable[[], Result]) -> Result:
        """Calls `work` anew when another environment has changed a lead that it read."""
        for attempt in range(_TRIES):
            self._changes, self._seen = {}, {}
            result = work()
            try:
                if self._changes:
                    puts = [{"Put": {"TableName": self._table, **put}} for put in self._changes.values()]
                    self._client.transact_write_items(TransactItems=puts)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    raise
                time.sleep(0.01 * attempt)
            else:
                return result
        raise TimeoutError(f"the table refused {_TRIES} transactions one after another")

    def lead_with_id(self, lead_id: int) -> Lead | None:
        for item in self._query("lead"):
            if int(item["number"]["N"]) == lead_id:
                return self._noticed(item["name"]["S"], item)
        return None

    def lead_with_email(self, email: str) -> Lead | None:
        name = _hashed(email_key(email))
        if put := self._changes.get(name):
            return dict(_content(put["Item"]))
        return self._noticed(name, self._get("lead", name))

    def leads(self) -> list[Lead]:
        items = sorted(self._query("lead"), key=lambda item: int(item["number"]["N"]))
        return [_content(item) for item in items]

    def save_lead(self, lead: Lead) -> None:
        if "id" not in lead:
            lead["id"] = self._next("lead")
        name = _hashed(email_key(lead["email"]))
        seen = self._seen.get(name)
        version = int(seen["version"]["N"]) if seen else 0
        numbers = {"number": {"N": str(lead["id"])}, "version": {"N": str(version + 1)}}
        self._changes[name] = {
            "Item": {**_item("lead", name, lead), **numbers},
            **(
                {
                    "ConditionExpression": "version = :seen",
                    "ExpressionAttributeValues": {":seen": {"N": str(version)}},
                }
                if seen
                else {"ConditionExpression": "attribute_not_exists(version)"}
            ),
        }

    def id_of(self, kind: str, name: str) -> int:
        key = f"{kind} name", _hashed(json.dumps(name))
        if found := self._get(*key):
            return int(found["number"]["N"])
        item = {**_item(*key, name), "number": {"N": str(self._next(kind))}}
        self._put_if_new(item)
        return self.id_of(kind, name)

    def names(self, kind: str) -> dict[int, str]:
        items = sorted(self._query(f"{kind} name"), key=lambda item: int(item["number"]["N"]))
        return {int(item["number"]["N"]): _content(item) for item in items}

    def record(self, request: ReceivedRequest) -> None:
        seq = self._next("request")
        item = _item("request", f"{seq:012d}", {"seq": seq, **vars(request)})
        self._changes["request"] = {"Item": item}

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        return [_content(item) for item in self._query("request", after=f"{since:012d}")]

    def revoke_tokens(self) -> int:
        for jti in {request["jti"] for request in self.requests()} - {None}:
            self._client.put_item(TableName=self._table, Item=_item("revoked", jti, None))
        return len(list(self._query("revoked")))

    def is_revoked(self, jti: str) -> bool:
        return self._get("revoked", jti) is not None

    def reset(self) -> None:
        """Tokens stay good, because the key that signs them stays."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        for item in (item for page in pages for item in page["Items"]):
            if item[KIND]["S"] != "signing key":
                key = {name: item[name] for name in (KIND, NAME)}
                self._client.delete_item(TableName=self._table, Key=key)

    def signing_key(self) -> bytes:
        """The key that signs the access tokens, of the first environment that asked for it."""
        found = self._get("signing key", "key")
        if found is None:
            item = _item("signing key", "key", secrets.token_hex(32))
            del item[EXPIRY]
            self._put_if_new(item)
            return self.signing_key()
        return bytes.fromhex(str(_content(found)))

    def fault_rules(self) -> tuple[str, list[Any]]:
        """The rules in force, and the text by which their turns are counted."""
        found = self._get("faults", "rules")
        return (found["version"]["S"], list(_content(found))) if found else ("", [])

    def replace_fault_rules(self, rules: list[Any]) -> None:
        item = {**_item("faults", "rules", rules), "version": {"S": secrets.token_hex(8)}}
        self._client.put_item(TableName=self._table, Item=item)

    def take_turn(self, version: str, number: int, turns: int) -> bool:
        """Whether the rule with this number has a turn left, which is then taken."""
        return 0 < self._next(f"turn of rule {number} in {version}") <= turns

    def _next(self, counter: str) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key=_key("counter", counter),
            UpdateExpression="ADD #number :one",
            ExpressionAttributeNames={"#number": "number"},
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"]["number"]["N"])

    def _put_if_new(self, item: _Item) -> None:
        try:
            self._client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(#kind)",
                ExpressionAttributeNames={"#kind": KIND},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _noticed(self, name: str, item: _Item | None) -> Lead | None:
        if item is None:
            return None
        self._seen[name] = item
        return dict(_content(item))

    def _get(self, kind: str, name: str) -> _Item | None:
        answer = self._client.get_item(TableName=self._table, Key=_key(kind, name), ConsistentRead=True)
        found: _Item | None = answer.get("Item")
        return found

    def _query(self, kind: str, after: str = " ") -> Iterator[_Item]:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="#kind = :kind AND #name > :after",
            ExpressionAttributeNames={"#kind": KIND, "#name": NAME},
            ExpressionAttributeValues={":kind": {"S": kind}, ":after": {"S": after}},
            ConsistentRead=True,
        )
        return (item for page in pages for item in page["Items"])


class StoredFaults:
    """Faults whose rules all execution environments share, without those that need the connection itself."""

    def __init__(self, store: DynamoDbStore) -> None:
        self._store = store

    def clear(self) -> None:
        self._store.replace_fault_rules([])

    def replace(self, rules: object) -> None:
        for number, rule in enumerate(read_rules(rules), 1):
            fault = rule.fault
            if not isinstance(fault, Fault) or fault.kind not in _PLAYED:
                raise FaultRuleError(
                    f"rule {number}: {fault.kind} can't be played by a function behind a URL, only "
                    f"{', '.join(_PLAYED)}; an answer is lost by a delay that is longer than the caller waits"
                )
            if fault.seconds > LONGEST_DELAY_S:
                raise FaultRuleError(f"rule {number}: a function delays by {LONGEST_DELAY_S} seconds at most")
        self._store.replace_fault_rules(list(rules))  # type: ignore[call-overload]

    def draw(self, operation: str, email: str | None) -> Fault | None:
        version, rules = self._store.fault_rules()
        for number, rule in enumerate(read_rules(rules)):
            hits = rule.fits(operation, email) and random.random() < rule.rate  # noqa: S311 - guards nothing
            if not isinstance(rule.fault, Fault):
                continue  # `replace` takes none of these
            if hits and (rule.times is None or self._store.take_turn(version, number, rule.times)):
                return rule.fault
        return None


def _key(kind: str, name: str) -> _Item:
    return {KIND: {"S": kind}, NAME: {"S": name}}


def _item(kind: str, name: str, content: object) -> _Item:
    expiry = {"N": str(int(time.time()) + _KEPT_S)}
    return {**_key(kind, name), "json": {"S": json.dumps(content)}, EXPIRY: expiry}


def _content(item: _Item) -> Any:  # noqa: ANN401 - whatever JSON was kept
    return json.loads(item["json"]["S"])


def _hashed(text: str) -> str:
    """Short enough for a key, which has 1,024 bytes at most."""
    return hashlib.sha256(text.encode()).hexdigest()
