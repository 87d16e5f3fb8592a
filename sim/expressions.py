"""Evaluates DynamoDB's update and condition expressions as far as the ledger uses them, and refuses all else.

Source: the DynamoDB developer guide, "Using update expressions" and "Condition and filter expressions,
operators, and functions". Items are never changed in place: an update returns a new item, which shares its
values with the old one.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
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

_TOKEN = re.compile(r"\s*(<=|[=>()\[\],]|[#:]?[A-Za-z0-9_]+)")
_NAME = re.compile(r"#?[A-Za-z_][A-Za-z0-9_]*")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<=": operator.le,
    ">": operator.gt,
}
_CLAUSES = {"SET", "REMOVE"}


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
    used = {token for expression in expressions for token in _tokens(expression)}
    for kind, given in (("Names", names), ("Values", values)):
        unused = [name for name in given if name not in used]
        if unused:
            raise ExpressionError(
                f"Value provided in ExpressionAttribute{kind} unused in expressions: keys: {unused}"
            )


@lru_cache(maxsize=1024)
def _tokens(expression: str) -> tuple[str, ...]:
    tokens, at = [], 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"Syntax error at {text[at : at + 10]!r}")
        tokens.append(match.group(1))
        at = match.end()
    return tuple(tokens)


@lru_cache(maxsize=1024)
def _parse_update(expression: str, names: Names) -> tuple[dict[str, Operand], frozenset[str]]:
    return _Parser(expression, dict(names)).read_update()


@lru_cache(maxsize=1024)
def _parse_condition(expression: str, names: Names) -> Condition:
    parser = _Parser(expression, dict(names))
    condition = parser.read_or()
    parser.expect_end()
    return condition


class _Parser:
    """A recursive-descent parser; each `read_` method takes what it is named for from the tokens."""

    def __init__(self, expression: str, names: Mapping[str, str]) -> None:
        self._tokens = _tokens(expression)
        self._names = names
        self._at = 0

    def read_update(self) -> tuple[dict[str, Operand], frozenset[str]]:
        """What is set, and what is removed."""
        sets: dict[str, Operand] = {}
        removals: set[str] = set()
        seen: set[str] = set()
        while self._peek():
            clause = self._next()
            if clause not in _CLAUSES or clause in seen:
                raise ExpressionError(f"Syntax error: {clause} is no clause, or it is there twice")
            seen.add(clause)
            for _ in self._separated():
                name = self._read_name()
                if name in sets or name in removals:
                    raise ExpressionError(f"Two document paths overlap with each other: {name}")
                if clause == "REMOVE":
                    removals.add(name)
                else:
                    self._expect("=")
                    sets[name] = self._read_operand()
        return sets, frozenset(removals)

    def _read_operand(self) -> Operand:
        token = self._peek()
        if token.startswith(":"):
            self._next()
            return lambda _item, values: _bound(token, values)
        if self._peek(1) == "(":
            return self._read_function()
        name = self._read_name()
        return lambda item, _values: item.get(name)

    def _read_function(self) -> Operand:
        function = self._next()
        self._expect("(")
        first = self._read_operand()
        self._expect(",")
        second = self._read_operand()
        self._expect(")")
        if function == "if_not_exists":
            return lambda item, values: (
                second(item, values) if (found := first(item, values)) is None else found
            )
        if function == "list_append":
            return lambda item, values: _joined(first(item, values), second(item, values))
        raise ExpressionError(f"Invalid function name; function: {function}")

    def read_or(self) -> Condition:
        """Alternatives."""
        parts = [self._read_and()]
        while self._peek() == "OR":
            self._next()
            parts.append(self._read_and())
        return lambda item, values: any(part(item, values) for part in parts)

    def _read_and(self) -> Condition:
        parts = [self._read_test()]
        while self._peek() == "AND":
            self._next()
            parts.append(self._read_test())
        return lambda item, values: all(part(item, values) for part in parts)

    def _read_test(self) -> Condition:
        if self._peek() == "(":
            self._next()
            inner = self.read_or()
            self._expect(")")
            return inner
        if self._peek(1) == "(":
            return self._read_existence()
        left = self._read_operand()
        comparator = self._next()
        if comparator not in _COMPARISONS:
            raise ExpressionError(f"Syntax error: {comparator} is no comparator")
        compare, right = _COMPARISONS[comparator], self._read_operand()
        return lambda item, values: _is(compare, left(item, values), right(item, values))

    def _read_existence(self) -> Condition:
        function = self._next()
        self._expect("(")
        name, index = self._read_name(), 0
        is_element = self._peek() == "["
        if is_element:
            self._next()
            index = int(self._next())
            self._expect("]")
        self._expect(")")
        if function not in {"attribute_exists", "attribute_not_exists"}:
            raise ExpressionError(f"Invalid function name; function: {function}")
        wanted = function == "attribute_exists"
        if is_element:
            return lambda item, _values: (len(item.get(name, {}).get("L", ())) > index) == wanted
        return lambda item, _values: (name in item) == wanted

    def _read_name(self) -> str:
        token = self._next()
        if not _NAME.fullmatch(token):
            raise ExpressionError(f"Syntax error: {token!r} is no attribute name")
        if not token.startswith("#"):
            return token
        if token not in self._names:
            raise ExpressionError(
                f"An expression attribute name used in the document path is not defined: {token}"
            )
        return self._names[token]

    def _separated(self) -> Iterator[None]:
        yield
        while self._peek() == ",":
            self._next()
            yield

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise ExpressionError("Syntax error: the expression ends too early")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        found = self._next()
        if found != token:
            raise ExpressionError(f"Syntax error: {found!r} where {token!r} was expected")

    def expect_end(self) -> None:
        """Nothing is left."""
        if self._peek():
            raise ExpressionError(f"Syntax error at {self._peek()!r}")


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
