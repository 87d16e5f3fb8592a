"""CloudWatch's statistics and metric math, as far as the dashboard and the alarms use them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import contextlib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

# One value for each period, None where there is no data.
Series = list[float | None]
Points = Sequence[tuple[float, float]]  # (epoch seconds, value)

_OPERATORS: Mapping[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_OF_SEVERAL: Mapping[str, Callable[[list[float]], float]] = {
    "MAX": max,
    "MIN": min,
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
}


class UnknownExpressionError(ValueError):
    """An expression that uses more of metric math than this module knows."""


def series(points: Points, statistic: str, start: float, period: float, count: int) -> Series:
    """`count` periods from `start` on."""
    buckets: list[list[float]] = [[] for _ in range(count)]
    for at, value in points:
        place = math.floor((at - start) / period)
        if 0 <= place < count:
            buckets[place].append(value)
    return [_statistic(values, statistic) if values else None for values in buckets]


def evaluate(expression: str, known: Mapping[str, Series]) -> Series:
    """Raises `UnknownExpressionError`, or `KeyError` for an id that isn't known."""
    python = re.sub(r"\b(AND|OR|NOT)\b|&&|\|\|", lambda word: _WORDS[word[0]], expression)
    value = _evaluate(ast.parse(python, mode="eval").body, known)
    if isinstance(value, float):
        raise UnknownExpressionError(f"{expression}: a number, not a series")
    return value


_WORDS = {"AND": " and ", "OR": " or ", "NOT": " not ", "&&": " and ", "||": " or "}


def _statistic(values: list[float], statistic: str) -> float:
    if statistic in ("Sum", "Average", "Maximum", "Minimum"):
        name = {"Sum": "SUM", "Average": "AVG", "Maximum": "MAX", "Minimum": "MIN"}[statistic]
        return _OF_SEVERAL[name](values)
    if statistic == "SampleCount":
        return float(len(values))
    percent = float(statistic.removeprefix("p"))
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def _evaluate(node: ast.expr, known: Mapping[str, Series]) -> Series | float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _each(lambda a, b: b - a, _evaluate(operand, known), 0.0)
        case ast.BinOp(left=left, op=op, right=right):
            return _each(_OPERATORS[type(op)], _evaluate(left, known), _evaluate(right, known))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _each(_OPERATORS[type(op)], _evaluate(left, known), _evaluate(right, known))
        case ast.BoolOp(op=op, values=parts):
            test = all if isinstance(op, ast.And) else any
            first, *others = (_evaluate(part, known) for part in parts)
            for other in others:
                first = _each(lambda a, b: float(test([a, b])), first, other)
            return first
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, known)
    raise UnknownExpressionError(ast.unparse(node))


def _call(name: str, arguments: list[ast.expr], known: Mapping[str, Series]) -> Series | float:
    if name == "FILL" and isinstance(arguments[1], ast.Name):
        return _repeated(_as_series(_evaluate(arguments[0], known)))
    if isinstance(arguments[0], ast.List) and name in _OF_SEVERAL:
        columns = zip(*(_as_series(_evaluate(each, known)) for each in arguments[0].elts), strict=True)
        present = [[value for value in column if value is not None] for column in columns]
        return [_OF_SEVERAL[name](values) if values else None for values in present]
    values = [_evaluate(each, known) for each in arguments]
    match name, values:
        case "FILL", [list() as filled, float() as default]:
            return [default if value is None else value for value in filled]
        case "CEIL", [value]:
            return _each(lambda a, _: float(math.ceil(a)), value, 0.0)
        case "IF", [condition, yes, no]:
            chosen = _each(lambda a, b: math.inf if a else b, condition, no)
            picked = zip(_as_series(chosen), _as_series(_each(lambda _, b: b, condition, yes)), strict=True)
            return [other if one == math.inf else one for one, other in picked]
    raise UnknownExpressionError(f"{name} with {len(arguments)} arguments")


def _each(operation: Callable[[float, float], float], a: Series | float, b: Series | float) -> Series | float:
    """Where either has no data, there is no result; nor is there of a division by zero."""
    if isinstance(a, float) and isinstance(b, float):
        return float(operation(a, b))
    length = len(a) if isinstance(a, list) else len(_as_series(b))
    left = a if isinstance(a, list) else [a] * length
    right = b if isinstance(b, list) else [b] * length
    return [_one(operation, one, two) for one, two in zip(left, right, strict=True)]


def _one(operation: Callable[[float, float], float], a: float | None, b: float | None) -> float | None:
    with contextlib.suppress(ZeroDivisionError):
        return None if a is None or b is None else float(operation(a, b))
    return None


def _as_series(value: Series | float) -> Series:
    if isinstance(value, float):
        raise UnknownExpressionError("a number where a series is wanted")
    return value


def _repeated(values: Series) -> Series:
    filled: Series = []
    for value in values:
        filled.append(value if value is not None or not filled else filled[-1])
    return filled
