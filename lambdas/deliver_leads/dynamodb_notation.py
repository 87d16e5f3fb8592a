"""Values and items in DynamoDB's notation, e.g. `{"N": "1"}`; leadctl reads the ledger with it, too."""

from collections.abc import Mapping
from typing import Any


def typed(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON can hold, but for None and fractions
    """A value in DynamoDB's notation."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, list):
        return {"L": [typed(each) for each in value]}
    return {"M": {name: typed(each) for name, each in value.items()}}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item, or a map in one, with values of Python's own."""
    return {name: _untyped(value) for name, value in item.items()}


def _untyped(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content)
    if kind == "L":
        return [_untyped(each) for each in content]
    if kind == "M":
        return plain(content)
    return content
