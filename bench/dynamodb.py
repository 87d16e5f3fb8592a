"""As much of DynamoDB as the function and its peer use, in memory.

Conditions always hold, because each event of a benchmark may be delivered; but an INSERT of an item that is
there is refused, and an update's expression is carried out, because items that grow are part of what is
measured.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from sim.partiql import as_update

Item = dict[str, Any]
Request = Mapping[str, Any]

_CLAUSE = re.compile(r"\b(SET|REMOVE)\b")
_CALL = re.compile(r"(\w+)\((.*)\)")
_ELEMENT = re.compile(r"(.+)\[(\d+)\]")


class UnknownOperationError(Exception):
    """The stand-in was asked for something that it doesn't know."""


class Tables:
    """All tables; no two items have the same key."""

    def __init__(self) -> None:
        self._items: dict[object, Item] = {}
        self._operations: Mapping[str, Callable[[Request], object]] = {
            "GetItem": self._get,
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "BatchGetItem": self._batch_get,
            "TransactWriteItems": self._transact_write,
            "BatchExecuteStatement": lambda request: {
                "Responses": list(map(self._run, request["Statements"]))
            },
        }

    def answer(self, operation: str, request: Request) -> object:
        """Carries out one call. Raises `UnknownOperationError`."""
        if operation not in self._operations:
            raise UnknownOperationError(operation)
        return self._operations[operation](request)

    def _get(self, request: Request) -> object:
        item = self._items.get(_identity(request["Key"]))
        return {} if item is None else {"Item": item}

    def _batch_get(self, request: Request) -> object:
        found = {
            table: [self._items[key] for key in map(_identity, asked["Keys"]) if key in self._items]
            for table, asked in request["RequestItems"].items()
        }
        return {"Responses": found, "UnprocessedKeys": {}}

    def _put(self, request: Request) -> object:
        item = request["Item"]
        key = ("id",) if "id" in item else ("lead", "event")  # of the peer's items, and of the ledger's
        self._items[_identity({name: item[name] for name in key})] = item
        return {}

    def _delete(self, request: Request) -> object:
        self._items.pop(_identity(request["Key"]), None)
        return {}

    def _update(self, request: Request) -> object:
        identity = _identity(request["Key"])
        old = self._items.get(identity)
        new = updated(old or request["Key"], request)
        self._items[identity] = new
        wanted = {"ALL_OLD": old, "ALL_NEW": new}.get(request.get("ReturnValues", "NONE"))
        return {"Attributes": wanted} if wanted else {}

    def _run(self, statement: Request) -> Item:
        request, refusal = as_update(statement)
        if refusal == "DuplicateItem" and _identity(request["Key"]) in self._items:
            return {"Error": {"Code": refusal}}
        self._update(request)
        return {"TableName": request["TableName"]}

    def _transact_write(self, request: Request) -> object:
        for each in request["TransactItems"]:
            for kind, action in each.items():
                if kind != "ConditionCheck":
                    self.answer(f"{kind}Item", action)
        return {}


def updated(old: Item, request: Request) -> Item:
    """The item after an update; `old` stays as it is, because an answer may still hold it."""
    names = request.get("ExpressionAttributeNames", {})
    values = request.get("ExpressionAttributeValues", {})

    def evaluate(text: str) -> Any:  # noqa: ANN401 - any attribute
        if call := _CALL.fullmatch(text):
            function, (first, second) = call[1], _parts(call[2])
            if function == "if_not_exists":
                return old.get(names.get(first, first)) or evaluate(second)
            if function == "list_append":
                return {"L": [*evaluate(first)["L"], *evaluate(second)["L"]]}
            raise UnknownOperationError(text)
        return values[text] if text.startswith(":") else old[names.get(text, text)]

    new = dict(old)
    elements: list[tuple[str, int]] = []
    for clause, content in _clauses(request["UpdateExpression"]):
        for part in _parts(content):
            if clause == "SET":
                path, _, value = part.partition("=")
                new[names.get(path.strip(), path.strip())] = evaluate(value.strip())
            elif element := _ELEMENT.fullmatch(part):
                elements.append((names.get(element[1], element[1]), int(element[2])))
            else:
                new.pop(names.get(part, part), None)
    # Each index means the item as it was before the update.
    for name in {name for name, _ in elements}:
        gone = {index for each, index in elements if each == name}
        new[name] = {"L": [each for index, each in enumerate(old[name]["L"]) if index not in gone]}
    return new


@cache
def _clauses(expression: str) -> list[tuple[str, str]]:
    _, *parts = _CLAUSE.split(expression)
    return list(zip(parts[::2], parts[1::2], strict=True))


@cache
def _parts(text: str) -> list[str]:
    """Splits at the commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _identity(key: Item) -> object:
    return tuple(sorted((name, *value.values()) for name, value in key.items()))
