"""Plots as SVG, without a package: bars, and small panels of lines, for light and dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# In between light and dark: an SVG can only ask for the browser's theme, which is not always the page's.
INK, FAINT = "#76808b", "#76808b55"
COLORS = ("#e07b22", "#3a86d4")

_PANEL_W, _PANEL_H = 300, 150
_LEFT, _TOP, _GAP_X, _GAP_Y = 56, 74, 62, 64
_BARS_W, _BAR_H, _LABELS, _VALUES = 800, 30, 340, 110
_OURS, _OTHERS = "#2f81d6", "#8b939c"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Row:
    """One bar; `is_ours`: it is the function's."""

    label: str
    value: float
    text: str
    is_ours: bool = False


def bars(title: str, rows: Sequence[Row]) -> str:
    """Horizontal bars from 0 on, each with its value in words."""
    longest = max(row.value for row in rows)
    room = _BARS_W - _LABELS - _VALUES
    parts = [_text(0, 18, title, size=13, weight=600)]
    for number, row in enumerate(rows):
        top, width = 34 + number * _BAR_H, max(2, room * row.value / longest)
        colour, weight = (_OURS, 600) if row.is_ours else (_OTHERS, 400)
        parts += [
            _text(_LABELS - 10, top + 15, row.label, size=13, anchor="end", weight=weight),
            f"<rect x='{_LABELS}' y='{top}' width='{width:.1f}' height='20' rx='3' fill='{colour}'/>",
            _text(_LABELS + width + 8, top + 15, row.text, size=13, weight=weight),
        ]
    return _svg(title, _BARS_W, 34 + len(rows) * _BAR_H, parts)


@dataclass(frozen=True)
class Line:
    """`points` are x and y; lines of the same number in all panels have the same colour and name."""

    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """`lines` may have None for a line that this panel doesn't show; `shaded`: from which x to which.

    The y axis goes to `least_y` at least, so that what is next to nothing looks like it.
    """

    title: str
    lines: Sequence[Line | None]
    least_y: float
    shaded: tuple[float, float] | None = None


def grid(
    rows: Sequence[Sequence[Panel]],
    *,
    title: str,
    names: Sequence[str],
    x_unit: str,
    x_ticks: Sequence[float],
) -> str:
    """All panels have the same x axis, and each its own y axis from 0."""
    width = _LEFT + len(rows[0]) * (_PANEL_W + _GAP_X) - _GAP_X + 26
    height = _TOP + len(rows) * (_PANEL_H + _GAP_Y) - 18
    parts = [_text(4, 18, title, size=15, weight=600)]
    at = 4.0
    for name, color in zip(names, COLORS, strict=False):
        parts.append(f"<rect x='{at}' y='32' width='18' height='3' fill='{color}'/>")
        parts.append(_text(at + 24, 37, name))
        at += 24 + 6.6 * len(name) + 24
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            x, y = _LEFT + column * (_PANEL_W + _GAP_X), _TOP + row * (_PANEL_H + _GAP_Y)
            parts += _panel(panel, x, y, x_unit, x_ticks)
    return _svg(title, width, height, parts)


def _panel(panel: Panel, left: float, top: float, x_unit: str, x_ticks: Sequence[float]) -> list[str]:
    most_x = x_ticks[-1]
    most_y, step = _scale(max(panel.least_y, *(y for line in panel.lines if line for _, y in line.points)))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x / most_x * _PANEL_W, top + _PANEL_H * (1 - y / most_y)

    parts = [_text(left, top - 10, panel.title, weight=600)]
    if panel.shaded:
        start, _ = place(panel.shaded[0], 0)
        end, _ = place(panel.shaded[1], 0)
        parts.append(
            f"<rect x='{start:.1f}' y='{top}' width='{end - start:.1f}' height='{_PANEL_H}' fill='{INK}22'/>"
        )
    for number in range(round(most_y / step) + 1):
        _, y = place(0, number * step)
        color = INK if number == 0 else FAINT
        parts.append(f"<path d='M{left} {y:.1f}h{_PANEL_W}' stroke='{color}'/>")
        parts.append(_text(left - 6, y + 4, short(number * step), anchor="end", size=11))
    for x in x_ticks:
        at, _ = place(x, 0)
        label = f"{x:g} {x_unit}" if x == x_ticks[-1] else f"{x:g}"
        parts.append(_text(at, top + _PANEL_H + 16, label, anchor="middle", size=11))
    for line, color in zip(panel.lines, COLORS, strict=False):
        if line:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
            parts.append(
                f"<polyline points='{points}' fill='none' stroke='{color}' stroke-width='2' "
                "stroke-linejoin='round'/>"
            )
    return parts


def _scale(most: float) -> tuple[float, float]:
    """The end of an axis and the distance of its lines: two to five of them, at round numbers."""
    size = 10 ** math.floor(math.log10(most))
    step = next(size * part for part in (0.2, 0.25, 0.5, 1, 2) if most / (size * part) <= 5)
    return math.ceil(round(most / step, 9)) * step, step


def short(number: float) -> str:
    """A number in few letters: 1.5 k, 6 M."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: int = 400) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{escape(text)}</text>"
    )


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' {_FONT} font-size='12' fill='{INK}' role='img'>"
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])
