"""As much of DynamoDB as the function and its peer use, in memory.

Conditions always hold, because each event of a benchmark may be delivered; but an INSERT of an item that is
there is refused, and an update's expression is carried out, because items that grow are part of what is
measured.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sim.expressions import update
from sim.partiql import as_update

Item = dict[str, Any]
Request = Mapping[str, Any]


class UnknownOperationError(Exception):
    """The stand-in was asked for something that it doesn't know."""


class Tables:
    """All tables; no two items have the same key."""

    def __init__(self) -> None:
        self.items: dict[object, Item] = {}
        self._operations: Mapping[str, Callable[[Request], object]] = {
            "PutItem": self._put,
            "UpdateItem": self._update,
            "BatchExecuteStatement": lambda request: {
                "Responses": list(map(self._run, request["Statements"]))
            },
        }

    def answer(self, operation: str, request: Request) -> object:
        """Carries out one call. Raises `UnknownOperationError`."""
        if operation not in self._operations:
            raise UnknownOperationError(operation)
        return self._operations[operation](request)

    def _put(self, request: Request) -> object:
        """Of the peer."""
        item = request["Item"]
        self.items[identity({"id": item["id"]})] = item
        return {}

    def _update(self, request: Request) -> object:
        key = request["Key"]
        old = self.items.get(identity(key))
        names = request.get("ExpressionAttributeNames", {})
        values = request.get("ExpressionAttributeValues", {})
        self.items[identity(key)] = update(
            old or key, request["UpdateExpression"], names, values, frozenset(key)
        )
        return {"Attributes": old} if old and request.get("ReturnValues") == "ALL_OLD" else {}

    def _run(self, statement: Request) -> Item:
        request, refusal = as_update(statement)
        if refusal == "DuplicateItem" and identity(request["Key"]) in self.items:
            return {"Error": {"Code": refusal}}
        self._update(request)
        return {"TableName": request["TableName"]}


def identity(key: Item) -> object:
    """What a key is found by."""
    return tuple(sorted((name, *value.values()) for name, value in key.items()))
