"""The ledger's PartiQL statements as UpdateItem requests, for what knows only these: moto and the search.

Source: the DynamoDB developer guide, "PartiQL insert statements", "PartiQL update statements" and "Running
batch operations with PartiQL": an INSERT fails with DuplicateItem when the item exists, an UPDATE with
ConditionalCheckFailed when it doesn't exist or its WHERE doesn't hold. The emulator, whose PartiQL is not
ours, takes the same statements in the end-to-end tests.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from botocore.exceptions import ClientError

KEYS = ("lead", "event")
_INSERT = re.compile(r"INSERT INTO \"(?P<table>.+)\" VALUE \{(?P<values>.*)\}")
_UPDATE = re.compile(r"UPDATE \"(?P<table>.+?)\" (?P<changes>SET .*) WHERE (?P<condition>.*)")
_VALUE = re.compile(r"'(\w+)': \?(?:, )?")
_CHANGE = re.compile(r"(?:SET \"(?P<set>\w+)\" = \?|REMOVE \"(?P<removed>\w+)\") ?")
_EQUAL = re.compile(r"\"(\w+)\" = \?(?: AND )?")


class StatementError(Exception):
    """A statement of another form than the ledger's."""


def run_together(
    statements: Iterable[Mapping[str, Any]], update_item: Callable[..., Any]
) -> dict[str, list[dict[str, Any]]]:
    """The answer of BatchExecuteStatement; each statement has its own result."""
    return {"Responses": [_run(statement, update_item) for statement in statements]}


def _run(statement: Mapping[str, Any], update_item: Callable[..., Any]) -> dict[str, Any]:
    request, refusal = as_update(statement)
    try:
        update_item(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return {"Error": {"Code": refusal if code == "ConditionalCheckFailedException" else code}}
    return {"TableName": request["TableName"]}


def as_update(statement: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The UpdateItem request, and the error's code if its condition doesn't hold. Raises `StatementError`."""
    names, template = _parse(statement["Statement"])
    if len(names) != len(statement["Parameters"]):
        raise StatementError(f"{len(names)} places, but {len(statement['Parameters'])} parameters")
    given = dict(zip(names, statement["Parameters"], strict=True))
    request = {
        **template["request"],
        "Key": {name: given[name] for name in KEYS},
        "ExpressionAttributeValues": {name: value for name, value in given.items() if name.startswith(":")},
    }
    return request, template["refusal"]


@lru_cache(maxsize=256)
def _parse(text: str) -> tuple[list[str], dict[str, Any]]:
    """The names of the parameters (placeholders for values), and what is the same in each such request."""
    if insert := _INSERT.fullmatch(text):
        names = _all(_VALUE, insert["values"])
        others = [name for name in names if name not in KEYS]
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in others)
        request = _request(insert["table"], expression, "attribute_not_exists(#lead)", ["lead", *others])
        return [name if name in KEYS else f":{name}" for name in names], {
            "request": request,
            "refusal": "DuplicateItem",
        }
    update = _UPDATE.fullmatch(text)
    if update is None:
        raise StatementError(text)
    changes = list(_CHANGE.finditer(update["changes"]))
    if "".join(change[0] for change in changes) != update["changes"]:
        raise StatementError(update["changes"])
    is_set = [change["set"] for change in changes if change["set"]]
    removed = [change["removed"] for change in changes if change["removed"]]
    compared = _all(_EQUAL, update["condition"])
    others = [name for name in compared if name not in KEYS]
    expression = "SET " + ", ".join(f"#{name} = :{name}" for name in is_set)
    expression += " REMOVE " + ", ".join(f"#{name}" for name in removed) if removed else ""
    condition = " AND ".join(["attribute_exists(#lead)", *(f"#{name} = :is_{name}" for name in others)])
    used = dict.fromkeys(["lead", *is_set, *removed, *others])
    parameters = [f":{name}" for name in is_set]
    parameters += [name if name in KEYS else f":is_{name}" for name in compared]
    return parameters, {
        "request": _request(update["table"], expression, condition, used),
        "refusal": "ConditionalCheckFailed",
    }


def _request(table: str, expression: str, condition: str, names: Iterable[str]) -> dict[str, Any]:
    return {
        "TableName": table,
        "UpdateExpression": expression,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }


def _all(pattern: re.Pattern[str], text: str) -> list[str]:
    matches = list(pattern.finditer(text))
    if "".join(match[0] for match in matches) != text:
        raise StatementError(text)
    return [match[1] for match in matches]
