"""CloudWatch's metric math of alarms and dashboard: the value for a period, or None without data.

AWS says: functions of a list take what is there; the result of an operator is missing where one side is.
A row has no period before it, so `FILL(m, REPEAT)` has nothing to repeat.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Value = float | None
Row = Mapping[str, Value]
"""What each metric of an expression has for one period, by its id."""
Expression = Callable[[Row], Value]

# AND and OR are written as Python's own, which stand as loosely between comparisons.
_OPERATORS: Mapping[type, Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.And: lambda a, b: bool(a and b),
    ast.Or: lambda a, b: bool(a or b),
}


class UnknownSyntaxError(Exception):
    """The expression needs more than this module knows."""


@lru_cache
def compile_expression(text: str) -> Expression:
    """Raises `UnknownSyntaxError`."""
    python = re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), text)
    try:
        return _read(ast.parse(python, mode="eval").body)
    except SyntaxError:
        raise UnknownSyntaxError(text) from None


def _read(node: ast.expr) -> Expression:
    match node:
        case ast.Constant(value=int() | float() as number):
            return lambda _: number
        case ast.Name(id=name):
            return lambda row: row[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _both(op, [left, right])
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OPERATORS:
            return _both(op, [left, right])
        case ast.BoolOp(op=op, values=[left, right]):
            return _both(op, [left, right])
        case ast.BoolOp(op=op, values=[left, *others]):
            return _both(op, [left, ast.BoolOp(op, others)])
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _read_call(name, arguments)
    raise UnknownSyntaxError(ast.unparse(node))


def _read_call(name: str, arguments: Sequence[ast.expr]) -> Expression:
    match name, arguments:
        case "SUM" | "MAX", [ast.List(elts=parts)]:
            return _listed(sum if name == "SUM" else max, parts)
        case "CEIL", [of]:
            return _if_there(of, lambda value, _: math.ceil(value))
        case "FILL", [of, ast.Name(id="REPEAT")]:
            return _read(of)
        case "FILL", [of, other]:
            value, filling = _read(of), _read(other)
            return lambda row: filling(row) if (found := value(row)) is None else found
        case "IF", [condition, yes, no]:
            then, otherwise = _read(yes), _read(no)
            return _if_there(condition, lambda is_so, row: then(row) if is_so else otherwise(row))
    raise UnknownSyntaxError(name)


def _both(op: ast.AST, sides: Sequence[ast.expr]) -> Expression:
    combine, (left, right) = _OPERATORS[type(op)], map(_read, sides)

    def value(row: Row) -> Value:
        a, b = left(row), right(row)
        return None if a is None or b is None else float(combine(a, b))

    return value


def _listed(combine: Callable[[list[float]], float], parts: Sequence[ast.expr]) -> Expression:
    values = [_read(part) for part in parts]

    def value(row: Row) -> Value:
        there = [found for each in values if (found := each(row)) is not None]
        return combine(there) if there else None

    return value


def _if_there(of: ast.expr, then: Callable[[float, Row], Value]) -> Expression:
    value = _read(of)
    return lambda row: None if (found := value(row)) is None else then(found, row)
