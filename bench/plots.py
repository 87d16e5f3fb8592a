"""Plots as SVG, without a package: transparent, in mid-tones that can be read on white and on black."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

_WIDTH = 800
_TEXT, _LINE = "#737b85", "#737b8555"
# Apart for eyes that see no red or green as well.
_OURS, _OTHERS, _MORE = "#2f81d6", "#8b939c", ("#2f81d6", "#d07d1c", "#8b939c")
_ROW = 30
_LABELS = 340


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
    room = _WIDTH - _LABELS - 110
    parts = [_words(0, 18, title, bold=True)]
    for number, row in enumerate(rows):
        top, width = 34 + number * _ROW, max(2, room * row.value / longest)
        colour = _OURS if row.is_ours else _OTHERS
        parts += [
            _words(_LABELS - 10, top + 15, row.label, anchor="end", bold=row.is_ours),
            f'<rect x="{_LABELS}" y="{top}" width="{width:.1f}" height="20" rx="3" fill="{colour}"/>',
            _words(_LABELS + width + 8, top + 15, row.text, bold=row.is_ours),
        ]
    return _svg(title, 34 + len(rows) * _ROW, parts)


def lines(title: str, x_label: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines over a common x axis; each is named at its end. The y axis begins at 0."""
    left, right, top, bottom = 60, _WIDTH - 150, 40, 260
    points = [point for line in series.values() for point in line]
    least_x, most_x = min(x for x, _ in points), max(x for x, _ in points)
    most_y = _round_up(max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        share = (x - least_x) / ((most_x - least_x) or 1)
        return left + share * (right - left), bottom - y / most_y * (bottom - top)

    parts = [_words(0, 18, title, bold=True)]
    for step in range(5):
        y = most_y * step / 4
        _, height = place(least_x, y)
        parts += [
            f'<line x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}" stroke="{_LINE}"/>',
            _words(left - 8, height + 4, f"{y:g}", anchor="end"),
        ]
    for x in (least_x, most_x):
        parts.append(_words(place(x, 0)[0], bottom + 20, f"{x:,.0f}", anchor="middle"))
    parts.append(_words((left + right) / 2, bottom + 20, x_label, anchor="middle"))
    ends = _apart([place(*line[-1])[1] for line in series.values()])
    for (name, line), colour, end in zip(series.items(), _MORE, ends, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>',
            _words(right + 8, end + 4, name, colour=colour),
        ]
    return _svg(title, bottom + 34, parts)


def _apart(heights: Sequence[float]) -> list[float]:
    """The same heights, moved down where two names would cover each other."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    moved = list(heights)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + 16)
    return moved


def _round_up(value: float) -> float:
    """To a number whose quarters are short."""
    scale = 1.0
    while scale * 10 < value:
        scale *= 10
    while scale >= value:
        scale /= 10
    return next(scale * step for step in (1, 2, 4, 6, 8, 10) if scale * step >= value)


def _words(
    x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False, colour: str = _TEXT
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(text)}</text>'
    )


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="13">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])
