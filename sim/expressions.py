"""Evaluates DynamoDB's update and condition expressions as far as the ledger uses them, and refuses all else.

Source: the DynamoDB developer guide, "Using update expressions" and "Condition and filter expressions,
operators, and functions". Items are never changed in place: an update returns a new item, which shares its
values with the old one. Python's own parser reads the expressions, once their few differences are written
as it wants them.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

Value: TypeAlias = dict[str, Any]
"""A value in DynamoDB's notation, for example {"S": "text"}."""
Item: TypeAlias = Mapping[str, Value]
Values: TypeAlias = Mapping[str, Value]
Operand: TypeAlias = Callable[[Item, Values], Value | None]
Condition: TypeAlias = Callable[[Item, Values], bool]
Names: TypeAlias = tuple[tuple[str, str], ...]

_PLACEHOLDER = re.compile(r"[#:]\w+")
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
}


class ExpressionError(Exception):
    """What DynamoDB answers with a ValidationException; the text is close to its own words."""


def update(
    item: Item, expression: str, names: Mapping[str, str], values: Values, keys: frozenset[str]
) -> dict[str, Value]:
    """The item after the update; `keys` are the attributes of its primary key, which no update may change."""
    sets, removals = _parse_update(expression, tuple(names.items()))
    if changed := keys & {*sets, *removals}:
        raise ExpressionError(f"Cannot update attribute {min(changed)}. This attribute is part of the key")
    # Every operand sees the item as it was before the update.
    assigned = {name: _required(operand(item, values)) for name, operand in sets.items()}
    return {name: value for name, value in item.items() if name not in removals} | assigned


def holds(item: Item, expression: str, names: Mapping[str, str], values: Values) -> bool:
    """Whether the condition is true of the item; {} is an item that doesn't exist."""
    return _parse_condition(expression, tuple(names.items()))(item, values)


def check_used(names: Mapping[str, str], values: Values, *expressions: str) -> None:
    """Raises `ExpressionError` for a placeholder that no expression uses, as DynamoDB does."""
    used = {name for expression in expressions for name in _PLACEHOLDER.findall(expression)}
    for kind, given in (("Names", names), ("Values", values)):
        unused = [name for name in given if name not in used]
        if unused:
            raise ExpressionError(
                f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {unused}"
            )


@lru_cache(maxsize=1024)
def _parse_update(expression: str, names: Names) -> tuple[dict[str, Operand], frozenset[str]]:
    """What is set, and what is removed."""
    before, *clauses = re.split(r"\b(SET|REMOVE)\b", expression)
    if before.strip() or len(set(clauses[::2])) < len(clauses[::2]):
        raise ExpressionError(f"Syntax error: {expression!r} has another clause, or one of them twice")
    sets: dict[str, Operand] = {}
    removals: set[str] = set()
    for clause, text in zip(clauses[::2], clauses[1::2], strict=True):
        # As the arguments of a call.
        match _python(f"{clause}({text})"):
            case ast.Call(_, [_, *_] as actions, []):
                pass
            case _:
                raise ExpressionError(f"Syntax error in {clause}")
        for action in actions:
            match clause, action:
                case "REMOVE", target:
                    operand = None
                case "SET", ast.Compare(target, [ast.Eq()], [value]):
                    operand = _operand(value, dict(names))
                case _:
                    raise ExpressionError(f"Syntax error: SET {ast.unparse(action)}")
            name = _name(target, dict(names))
            if name in sets or name in removals:
                raise ExpressionError(f"Two document paths overlap with each other: {name}")
            if operand is None:
                removals.add(name)
            else:
                sets[name] = operand
    return sets, frozenset(removals)


@lru_cache(maxsize=1024)
def _parse_condition(expression: str, names: Names) -> Condition:
    return _condition(_python(expression), dict(names))


def _python(expression: str) -> ast.expr:
    """The expression as Python would have it, with the placeholders as texts."""
    text = re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), _PLACEHOLDER.sub(r"'\g<0>'", expression))
    try:
        return ast.parse(re.sub(r"(?<![<>])=", "==", text).strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"Syntax error: {expression!r}") from error


def _condition(node: ast.expr, names: Mapping[str, str]) -> Condition:
    match node:
        case ast.BoolOp(either, nodes):
            parts, combine = [_condition(part, names) for part in nodes], any
            if isinstance(either, ast.And):
                combine = all
            return lambda item, values: combine(part(item, values) for part in parts)
        case ast.Compare(one, [comparator], [other]) if type(comparator) in _COMPARISONS:
            compare, left, right = (
                _COMPARISONS[type(comparator)],
                _operand(one, names),
                _operand(other, names),
            )
            return lambda item, values: _is(compare, left(item, values), right(item, values))
        case ast.Call(ast.Name("attribute_not_exists"), [path], []):
            exists = _existence(path, names)
            return lambda item, _values: not exists(item)
        case ast.Call(ast.Name("attribute_exists"), [path], []):
            exists = _existence(path, names)
            return lambda item, _values: exists(item)
    raise ExpressionError(f"Syntax error: {ast.unparse(node)} is no condition")


def _existence(path: ast.expr, names: Mapping[str, str]) -> Callable[[Item], bool]:
    match path:
        case ast.Subscript(of, ast.Constant(int(index))):
            name = _name(of, names)
            return lambda item: len(item.get(name, {}).get("L", ())) > index
    name = _name(path, names)
    return lambda item: name in item


def _operand(node: ast.expr, names: Mapping[str, str]) -> Operand:
    match node:
        case ast.Constant(str(value)) if value.startswith(":"):
            return lambda _item, values: _bound(value, values)
        case ast.Call(ast.Name("if_not_exists"), [one, other], []):
            first, second = _operand(one, names), _operand(other, names)
            return lambda item, values: (
                second(item, values) if (found := first(item, values)) is None else found
            )
        case ast.Call(ast.Name("list_append"), [one, other], []):
            first, second = _operand(one, names), _operand(other, names)
            return lambda item, values: _joined(first(item, values), second(item, values))
    name = _name(node, names)
    return lambda item, _values: item.get(name)


def _name(node: ast.expr, names: Mapping[str, str]) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Constant(str(placeholder)) if placeholder in names:
            return names[placeholder]
    raise ExpressionError(f"Syntax error: {ast.unparse(node)} is no attribute name, or one not defined")


def _bound(name: str, values: Values) -> Value:
    if name not in values:
        raise ExpressionError(f"An expression attribute value used in expression is not defined: {name}")
    return values[name]


def _required(value: Value | None) -> Value:
    if value is None:
        raise ExpressionError(
            "The provided expression refers to an attribute that does not exist in the item"
        )
    return value


def _joined(first: Value | None, second: Value | None) -> Value:
    lists = [_required(value) for value in (first, second)]
    if not all("L" in value for value in lists):
        raise ExpressionError("An operand in the update expression has an incorrect data type")
    return {"L": [*lists[0]["L"], *lists[1]["L"]]}


def _is(compare: Callable[[Any, Any], bool], left: Value | None, right: Value | None) -> bool:
    """A comparison with an attribute that isn't there, or is of another type, is false."""
    if left is None or right is None or left.keys() != right.keys():
        return False
    [(kind, one)], [(_, other)] = left.items(), right.items()
    if kind == "N":
        one, other = Decimal(one), Decimal(other)
    elif kind == "S":
        one, other = one.encode(), other.encode()
    return compare(one, other)
