"""CloudWatch's metric math of alarms and dashboard: the value for a period, or None without data.

AWS says: functions of a list take what is there; the result of an operator is missing where one side is.
A row has no period before it, so `FILL(m, REPEAT)` has nothing to repeat.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

Value = float | None
Row = Mapping[str, Value]
"""What each metric of an expression has for one period, by its id."""
Expression = Callable[[Row], Value]

_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|\d+(?:\.\d+)?|[<>=!]=|[<>()\[\],*/+])")
_COMPARISONS = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_FACTORS: Mapping[str, Callable[[float, float], float]] = {"*": operator.mul, "/": operator.truediv}
_JOINS: Mapping[str, Callable[[float, float], float]] = {
    "AND": lambda a, b: bool(a and b),
    "OR": lambda a, b: bool(a or b),
}


class UnknownSyntaxError(Exception):
    """The expression needs more than this module knows."""


@lru_cache
def compile_expression(text: str) -> Expression:
    """Raises `UnknownSyntaxError`."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise UnknownSyntaxError(text[at:])
        tokens.append(found[1])
        at = found.end()
    parser = _Parser(tokens)
    result = parser.read_condition()
    if parser.left:
        raise UnknownSyntaxError(" ".join(parser.left))
    return result


def _both(combine: Callable[[float, float], float], left: Expression, right: Expression) -> Expression:
    def value(row: Row) -> Value:
        a, b = left(row), right(row)
        return None if a is None or b is None else float(combine(a, b))

    return value


def _listed(combine: Callable[[list[float]], float], parts: list[Expression]) -> Expression:
    def value(row: Row) -> Value:
        there = [found for part in parts if (found := part(row)) is not None]
        return combine(there) if there else None

    return value


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self.left = tokens

    def read_condition(self) -> Expression:
        value = self._read_comparison()
        while self.left and self.left[0] in _JOINS:
            value = _both(_JOINS[self.left.pop(0)], value, self._read_comparison())
        return value

    def _read_comparison(self) -> Expression:
        value = self._read_sum()
        if self.left and self.left[0] in _COMPARISONS:
            value = _both(_COMPARISONS[self.left.pop(0)], value, self._read_sum())
        return value

    def _read_sum(self) -> Expression:
        value = self._read_product()
        while self.left and self.left[0] == "+":
            self.left.pop(0)
            value = _both(operator.add, value, self._read_product())
        return value

    def _read_product(self) -> Expression:
        value = self._read_operand()
        while self.left and self.left[0] in _FACTORS:
            value = _both(_FACTORS[self.left.pop(0)], value, self._read_operand())
        return value

    def _read_operand(self) -> Expression:
        token = self.left.pop(0)
        if token == "(":
            return self._closed(self.read_condition(), ")")
        if re.fullmatch(r"[\d.]+", token):
            number = float(token)
            return lambda _: number
        if not self.left or self.left[0] != "(":
            return lambda row: row[token]
        self.left.pop(0)
        return self._read_call(token)

    def _read_call(self, name: str) -> Expression:
        if name in {"SUM", "MAX"}:
            self._expect("[")
            parts = [self.read_condition()]
            while self.left[0] == ",":
                self.left.pop(0)
                parts.append(self.read_condition())
            self._expect("]")
            return self._closed(_listed(sum if name == "SUM" else max, parts), ")")
        first = self.read_condition()
        if name == "CEIL":
            return self._closed(lambda row: None if (v := first(row)) is None else math.ceil(v), ")")
        self._expect(",")
        if name == "FILL" and self.left[0] == "REPEAT":
            self.left.pop(0)
            return self._closed(first, ")")
        second = self.read_condition()
        if name == "FILL":
            return self._closed(lambda row: second(row) if (v := first(row)) is None else v, ")")
        if name == "IF":
            self._expect(",")
            third = self.read_condition()
            return self._closed(
                lambda row: None if (v := first(row)) is None else (second(row) if v else third(row)), ")"
            )
        raise UnknownSyntaxError(name)

    def _closed(self, value: Expression, bracket: str) -> Expression:
        self._expect(bracket)
        return value

    def _expect(self, token: str) -> None:
        if not self.left or self.left.pop(0) != token:
            raise UnknownSyntaxError(f"no {token}")
