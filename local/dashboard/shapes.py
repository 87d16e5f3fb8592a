"""Graphs, figures and gauges in SVG, as CloudWatch's console draws them."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.dashboard.metric_math import Series

_RED, _PALE = "#d13212", "#eaeded"
_LEFT, _RIGHT, _TOP = 44, 12, 6
_NO_DATA = '<p class="none">No data available</p>'


@dataclass(frozen=True)
class Line:
    """One line of a graph. `start` is in epoch seconds, `period` in seconds."""

    label: str
    color: str
    values: Series
    start: float
    period: float

    @property
    def last(self) -> float | None:
        """The newest value."""
        return next((value for value in reversed(self.values) if value is not None), None)


def figures(lines: Sequence[Line], width: int, height: int, *, sparkline: bool) -> str:
    """Each line's newest value in large type; with `sparkline`, the first line behind it."""
    size = min(height * 0.5, width / len(lines) / 2.6)
    parts = [
        f'<div><b style="font-size:{size:.0f}px">{number(line.last)}</b>{html.escape(line.label)}</div>'
        for line in lines
    ]
    spark = _sparkline(lines[0], width) if sparkline else ""
    return f'{spark}<div class="figures">{"".join(parts)}</div>'


def gauge(line: Line, most: float, width: int, height: int) -> str:
    """The newest value as a part of `most`."""
    radius, x, y = min(width, height * 1.5) * 0.36, width / 2, height * 0.66

    def arc(share: float, color: str) -> str:
        angle = math.pi * (1 - share)
        end = f"{x + radius * math.cos(angle):.1f} {y - radius * math.sin(angle):.1f}"
        path = f"M {x - radius:.1f} {y:.1f} A {radius:.1f} {radius:.1f} 0 0 1 {end}"
        return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="22"/>'

    value = line.last or 0.0
    parts = (
        arc(1, _PALE),
        arc(max(value / most, 0.004), line.color),
        _text(x, y - 8, number(line.last), size=34),
        _text(x - radius, y + 18, "0"),
        _text(x + radius, y + 18, f"{most:,.0f}"),
        _text(x, y + 36, line.label),
    )
    return _svg(width, height, parts)


class Graph:
    """Lines over the time from `begin` to `end` (epoch seconds), with horizontal limits."""

    def __init__(
        self,
        lines: Sequence[Line],
        limits: Sequence[Mapping[str, Any]],
        *,
        begin: float,
        end: float,
        stacked: bool,
    ) -> None:
        self._lines = lines
        self._limits = limits
        self._begin, self._end = begin, end
        self._stacked = stacked
        self._tops = _stack(lines) if stacked else [line.values for line in lines]

    def draw(self, width: int, height: int) -> str:
        values = [value for each in self._tops for value in each if value is not None]
        if not values:
            return _NO_DATA
        self._most = _round_up(max([*values, *(float(each["value"]) for each in self._limits), 1.0]))
        legend = _legend_places(self._lines, width)
        self._width = width
        self._inner = height - _TOP - 22 - 15 * (legend[-1][1] + 1)
        order = range(len(self._lines))
        parts = [
            *self._axes(),
            *(self._path(place) for place in reversed(order)),
            *(self._limit(limit) for limit in self._limits),
            _legend(self._lines, legend, self._inner + 36),
        ]
        return _svg(width, height, parts)

    def _x(self, at: float) -> float:
        share = (at - self._begin) / (self._end - self._begin)
        return _LEFT + share * (self._width - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return _TOP + self._inner * (1 - value / self._most)

    def _axes(self) -> list[str]:
        parts = []
        for value in (0.0, self._most / 2, self._most):
            parts.append(self._horizontal(value, _PALE))
            parts.append(_text(_LEFT - 5, self._y(value) + 4, number(value), anchor="end"))
        hours = range(math.ceil(self._begin / 3600), math.floor(self._end / 3600) + 1)
        return parts + [_text(self._x(hour * 3600), self._inner + 20, clock(hour * 3600)) for hour in hours]

    def _limit(self, limit: Mapping[str, Any]) -> str:
        value, color = float(limit["value"]), limit.get("color", _RED)
        at = self._y(value)
        words = f"{limit.get('label', '')} {number(value)}"
        name = _text(self._width - _RIGHT, at + 13 if at < 24 else at - 4, words, anchor="end", color=color)
        return self._horizontal(value, color, dashed=True) + name

    def _horizontal(self, value: float, color: str, *, dashed: bool = False) -> str:
        at = f"{self._y(value):.1f}"
        dashes = ' stroke-width="1.5" stroke-dasharray="6 3"' if dashed else ""
        ends = f'x1="{_LEFT}" x2="{self._width - _RIGHT}" y1="{at}" y2="{at}"'
        return f'<line {ends} stroke="{color}"{dashes}/>'

    def _path(self, place: int) -> str:
        """A line pauses where it has no data; a value between two pauses is a dot."""
        line = self._lines[place]
        pieces: list[list[tuple[float, float]]] = [[]]
        for step, value in enumerate(self._tops[place]):
            if value is None:
                pieces.append([])
            else:
                pieces[-1].append((self._x(line.start + (step + 0.5) * line.period), self._y(value)))
        return "".join(self._piece(piece, line.color) for piece in pieces if piece)

    def _piece(self, points: Sequence[tuple[float, float]], color: str) -> str:
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        (first, y), (last, _) = points[0], points[-1]
        if self._stacked:
            ground = f"{self._y(0):.1f}"
            around = f"{first:.1f},{ground} {text} {last:.1f},{ground}"
            return f'<polygon points="{around}" fill="{color}" stroke="{color}"/>'
        if len(points) == 1:
            return f'<circle cx="{first:.1f}" cy="{y:.1f}" r="2.5" fill="{color}"/>'
        return f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="1.8"/>'


def number(value: float | None) -> str:
    """As short as CloudWatch shows it."""
    if value is None:
        return "--"
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    if value >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.1f}"


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def _sparkline(line: Line, width: int) -> str:
    values = [value or 0.0 for value in line.values]
    top = max(*values, 1.0)
    step = (width - 2) / max(1, len(values) - 1)
    points = " ".join(f"{place * step:.1f},{40 - value / top * 36:.1f}" for place, value in enumerate(values))
    shape = f'<polyline points="{points}" fill="none" stroke="#a9cbe6" stroke-width="2"/>'
    return f'<div class="spark">{_svg(width - 2, 42, [shape])}</div>'


def _stack(lines: Sequence[Line]) -> list[Series]:
    height = [0.0] * len(lines[0].values)
    tops: list[Series] = []
    for line in lines:
        height = [below + (value or 0.0) for below, value in zip(height, line.values, strict=True)]
        tops.append([*height])
    return tops


def _legend_places(lines: Sequence[Line], width: int) -> list[tuple[int, int]]:
    """Each label's distance from the left, and its row."""
    places, left, row = [], 12, 0
    for line in lines:
        needed = 26 + round(len(line.label) * 6.1)
        if left + needed > width and left > 12:
            left, row = 12, row + 1
        places.append((left, row))
        left += needed
    return places


def _legend(lines: Sequence[Line], places: Sequence[tuple[int, int]], top: float) -> str:
    return "".join(
        f'<rect x="{x}" y="{top + row * 15 - 8}" width="9" height="9" fill="{line.color}"/>'
        + _text(x + 13, top + row * 15, line.label, anchor="start")
        for line, (x, row) in zip(lines, places, strict=True)
    )


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.999)


def _text(
    x: float, y: float, words: str, *, size: int = 10, anchor: str = "middle", color: str = "#16191f"
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}"'
    halo = 'paint-order="stroke" stroke="#fff" stroke-width="3"'
    return f"<text {place} {halo}>{html.escape(words)}</text>"


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg width="{width}" height="{height}">{"".join(parts)}</svg>'
