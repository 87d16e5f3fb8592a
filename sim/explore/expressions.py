"""Evaluates DynamoDB's update and condition expressions on items in its own notation, as AWS documents them.

Source: the DynamoDB developer guide, "Using update expressions" and "Condition and filter expressions,
operators, and functions". Items are never changed in place: an update returns a new item, which shares what
it didn't touch with the old one.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias

Value: TypeAlias = dict[str, Any]
"""A value in DynamoDB's notation, for example {"S": "text"}."""
Item: TypeAlias = Mapping[str, Value]
Values: TypeAlias = Mapping[str, Value]
Path: TypeAlias = tuple[str | int, ...]
Operand: TypeAlias = Callable[[Item, Values], Value | None]
Condition: TypeAlias = Callable[[Item, Values], bool]
Names: TypeAlias = tuple[tuple[str, str], ...]


class ExpressionError(Exception):
    """What DynamoDB answers with a ValidationException; the text is close to its own words."""


def update(
    item: Item, expression: str, names: Mapping[str, str], values: Values, keys: frozenset[str]
) -> dict[str, Value]:
    """The item after the update; `keys` are the attributes of its primary key, which no update may change."""
    plan = _parse_update(expression, tuple(names.items()))
    for path in plan.targets:
        if path[0] in keys:
            raise ExpressionError(f"Cannot update attribute {path[0]}. This attribute is part of the key")
    # Every operand sees the item as it was before the update.
    assignments = [(path, _required(operand(item, values))) for path, operand in plan.sets]
    additions = [(path, _added(_get(item, path), _bound(name, values))) for path, name in plan.additions]
    deletions = [(path, _without(_get(item, path), _bound(name, values))) for path, name in plan.deletions]
    new: dict[str, Value] = dict(item)
    for path, value in (*assignments, *additions):
        _put(new, path, value)
    removed = [path for path, left in deletions if left is None]
    for path, left in deletions:
        if left is not None:
            _put(new, path, left)
    # From the end of a list to its beginning, because an index means the place before the update.
    for path in sorted((*plan.removals, *removed), key=_removal_order, reverse=True):
        _remove(new, path)
    return new


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


class _Update:
    """A parsed update expression."""

    def __init__(self) -> None:
        self.sets: list[tuple[Path, Operand]] = []
        self.removals: list[Path] = []
        self.additions: list[tuple[Path, str]] = []
        self.deletions: list[tuple[Path, str]] = []

    @property
    def targets(self) -> list[Path]:
        changed = [path for path, _ in (*self.sets, *self.additions, *self.deletions)]
        return changed + self.removals


_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>()\[\],.+-]|[#:]?[A-Za-z0-9_]+)")
_NAME = re.compile(r"#?[A-Za-z_][A-Za-z0-9_]*")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_CLAUSES = {"SET", "REMOVE", "ADD", "DELETE"}


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
def _parse_update(expression: str, names: Names) -> _Update:
    parser = _Parser(expression, dict(names))
    plan = parser.read_update()
    _refuse_overlaps(plan.targets)
    return plan


@lru_cache(maxsize=1024)
def _parse_condition(expression: str, names: Names) -> Condition:
    parser = _Parser(expression, dict(names))
    condition = parser.read_or()
    parser.expect_end()
    return condition


def _refuse_overlaps(paths: list[Path]) -> None:
    for index, path in enumerate(paths):
        for other in paths[index + 1 :]:
            shared = min(len(path), len(other))
            if path[:shared] == other[:shared]:
                raise ExpressionError(f"Two document paths overlap with each other: {path}, {other}")


class _Parser:
    """A recursive-descent parser; each `read_` method takes what it is named for from the tokens."""

    def __init__(self, expression: str, names: Mapping[str, str]) -> None:
        self._tokens = _tokens(expression)
        self._names = names
        self._at = 0

    def read_update(self) -> _Update:
        plan = _Update()
        seen: set[str] = set()
        while self._peek():
            clause = self._next().upper()
            if clause not in _CLAUSES or clause in seen:
                raise ExpressionError(f"Syntax error: {clause} is no clause, or it is there twice")
            seen.add(clause)
            for _ in self._separated():
                self._read_action(clause, plan)
        if not seen:
            raise ExpressionError("The expression can not be empty")
        return plan

    def _read_action(self, clause: str, plan: _Update) -> None:
        path = self._read_path()
        if clause == "SET":
            self._expect("=")
            plan.sets.append((path, self._read_sum()))
        elif clause == "REMOVE":
            plan.removals.append(path)
        else:
            (plan.additions if clause == "ADD" else plan.deletions).append((path, self._read_placeholder()))

    def _read_sum(self) -> Operand:
        left = self._read_operand()
        if self._peek() not in {"+", "-"}:
            return left
        sign = 1 if self._next() == "+" else -1
        right = self._read_operand()
        return lambda item, values: _sum(left(item, values), right(item, values), sign)

    def _read_operand(self) -> Operand:
        token = self._peek()
        if token.startswith(":"):
            name = self._next()
            return lambda _item, values: _bound(name, values)
        if self._peek(1) == "(":
            return self._read_function()
        path = self._read_path()
        return lambda item, _values: _get(item, path)

    def _read_function(self) -> Operand:
        function = self._next()
        self._expect("(")
        if function == "if_not_exists":
            path = self._read_path()
            self._expect(",")
            otherwise = self._read_operand()
            self._expect(")")
            return lambda item, values: _first(_get(item, path), lambda: otherwise(item, values))
        if function == "list_append":
            first = self._read_operand()
            self._expect(",")
            second = self._read_operand()
            self._expect(")")
            return lambda item, values: _joined(first(item, values), second(item, values))
        if function == "size":
            path = self._read_path()
            self._expect(")")
            return lambda item, _values: _size(_get(item, path))
        raise ExpressionError(f"Invalid function name; function: {function}")

    def read_or(self) -> Condition:
        parts = [self._read_and()]
        while self._peek().upper() == "OR":
            self._next()
            parts.append(self._read_and())
        return lambda item, values: any(part(item, values) for part in parts)

    def _read_and(self) -> Condition:
        parts = [self._read_not()]
        while self._peek().upper() == "AND":
            self._next()
            parts.append(self._read_not())
        return lambda item, values: all(part(item, values) for part in parts)

    def _read_not(self) -> Condition:
        if self._peek().upper() == "NOT":
            self._next()
            part = self._read_not()
            return lambda item, values: not part(item, values)
        if self._peek() == "(":
            self._next()
            inner = self.read_or()
            self._expect(")")
            return inner
        return (
            self._read_test() if self._peek(1) == "(" and self._peek() != "size" else self._read_comparison()
        )

    def _read_test(self) -> Condition:
        function = self._next()
        self._expect("(")
        path = self._read_path()
        if function in {"attribute_exists", "attribute_not_exists"}:
            self._expect(")")
            wanted = function == "attribute_exists"
            return lambda item, _values: (_get(item, path) is not None) == wanted
        self._expect(",")
        operand = self._read_operand()
        self._expect(")")
        tests = {"begins_with": _begins_with, "contains": _contains, "attribute_type": _has_type}
        if function not in tests:
            raise ExpressionError(f"Invalid function name; function: {function}")
        test = tests[function]
        return lambda item, values: test(_get(item, path), _required(operand(item, values)))

    def _read_comparison(self) -> Condition:
        left = self._read_operand()
        comparator = self._next().upper()
        if comparator == "BETWEEN":
            low = self._read_operand()
            if self._next().upper() != "AND":
                raise ExpressionError("Syntax error: BETWEEN needs AND")
            high = self._read_operand()
            return lambda item, values: (
                _is(">=", left(item, values), low(item, values))
                and _is("<=", left(item, values), high(item, values))
            )
        if comparator == "IN":
            self._expect("(")
            options = [self._read_operand() for _ in self._separated()]
            self._expect(")")
            return lambda item, values: any(
                _is("=", left(item, values), option(item, values)) for option in options
            )
        if comparator not in {"=", "<>", *_COMPARISONS}:
            raise ExpressionError(f"Syntax error: {comparator} is no comparator")
        right = self._read_operand()
        return lambda item, values: _is(comparator, left(item, values), right(item, values))

    def _read_path(self) -> Path:
        path: list[str | int] = [self._read_name()]
        while self._peek() in {".", "["}:
            if self._next() == ".":
                path.append(self._read_name())
            else:
                path.append(int(self._next()))
                self._expect("]")
        return tuple(path)

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

    def _read_placeholder(self) -> str:
        token = self._next()
        if not token.startswith(":"):
            raise ExpressionError(f"Syntax error: {token!r} where a value was expected")
        return token

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


def _first(value: Value | None, otherwise: Callable[[], Value | None]) -> Value | None:
    return otherwise() if value is None else value


def _split(value: Value) -> tuple[str, Any]:
    return next(iter(value.items()))


def _get(item: Item, path: Path) -> Value | None:
    value = item.get(str(path[0]))
    for part in path[1:]:
        if value is None:
            return None
        kind, content = _split(value)
        if isinstance(part, int):
            value = content[part] if kind == "L" and part < len(content) else None
        else:
            value = content.get(part) if kind == "M" else None
    return value


def _own_copy(item: dict[str, Value], path: Path) -> tuple[Any, str | int] | None:
    """The container of the path's last part, copied down to it; None when there is no such container."""
    container: Any = item
    for part, following in itertools.pairwise(path):
        value = container[part] if _is_there(container, part) else None
        if value is None or ("L" if isinstance(following, int) else "M") not in value:
            return None
        kind, content = _split(value)
        own = list(content) if kind == "L" else dict(content)
        container[part] = {kind: own}
        container = own
    return container, path[-1]


def _is_there(container: Any, part: str | int) -> bool:
    return part < len(container) if isinstance(part, int) else part in container


def _put(item: dict[str, Value], path: Path, value: Value) -> None:
    place = _own_copy(item, path)
    if place is None:
        raise ExpressionError("The document path provided in the update expression is invalid for update")
    container, part = place
    if isinstance(part, int) and part >= len(container):
        container.append(value)
    else:
        container[part] = value


def _remove(item: dict[str, Value], path: Path) -> None:
    place = _own_copy(item, path)
    if place is None:
        raise ExpressionError("The document path provided in the update expression is invalid for update")
    container, part = place
    if _is_there(container, part):
        del container[part]


def _removal_order(path: Path) -> tuple[tuple[int, int, str], ...]:
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in path)


def _number(value: Value | None) -> Decimal:
    if value is None or "N" not in value:
        _required(value)
        raise ExpressionError("An operand in the update expression has an incorrect data type")
    return Decimal(value["N"])


def _sum(left: Value | None, right: Value | None, sign: int) -> Value:
    return {"N": f"{_number(left) + sign * _number(right):f}"}


def _joined(first: Value | None, second: Value | None) -> Value:
    lists = [_required(value) for value in (first, second)]
    if not all("L" in value for value in lists):
        raise ExpressionError("An operand in the update expression has an incorrect data type")
    return {"L": [*lists[0]["L"], *lists[1]["L"]]}


def _added(old: Value | None, value: Value) -> Value:
    kind, content = _split(value)
    if kind == "N":
        return value if old is None else _sum(old, value, 1)
    if kind not in {"SS", "NS", "BS"}:
        raise ExpressionError("Incorrect operand type for operator or function; operator: ADD")
    before = [] if old is None else old.get(kind)
    if before is None:
        raise ExpressionError("An operand in the update expression has an incorrect data type")
    return {kind: [*before, *(each for each in content if each not in before)]}


def _without(old: Value | None, value: Value) -> Value | None:
    kind, content = _split(value)
    if kind not in {"SS", "NS", "BS"}:
        raise ExpressionError("Incorrect operand type for operator or function; operator: DELETE")
    if old is None:
        return None
    if kind not in old:
        raise ExpressionError("An operand in the update expression has an incorrect data type")
    left = [each for each in old[kind] if each not in content]
    return {kind: left} if left else None


def _size(value: Value | None) -> Value | None:
    if value is None:
        return None
    kind, content = _split(value)
    if kind in {"N", "BOOL", "NULL"}:
        return None
    return {"N": str(len(content.encode() if kind == "S" else content))}


def _is(comparator: str, left: Value | None, right: Value | None) -> bool:
    """A comparison with an attribute that isn't there is false, and true only for "is not equal"."""
    if left is None or right is None:
        return comparator == "<>"
    (kind, one), (other_kind, other) = _split(left), _split(right)
    if kind == other_kind == "N":
        one, other = Decimal(one), Decimal(other)
    if comparator in {"=", "<>"}:
        return (kind == other_kind and one == other) == (comparator == "=")
    if kind != other_kind or kind not in {"S", "N", "B"}:
        return False
    if kind == "S":
        one, other = one.encode(), other.encode()
    return _COMPARISONS[comparator](one, other)


def _begins_with(value: Value | None, prefix: Value) -> bool:
    return value is not None and "S" in value and "S" in prefix and value["S"].startswith(prefix["S"])


def _contains(value: Value | None, part: Value) -> bool:
    if value is None:
        return False
    kind, content = _split(value)
    part_kind, part_content = _split(part)
    if kind == "L":
        return any(_is("=", each, part) for each in content)
    return kind in {part_kind, f"{part_kind}S"} and kind != "N" and part_content in content


def _has_type(value: Value | None, kind: Value) -> bool:
    return value is not None and kind.get("S") in value
