"""Plots as SVG, without a package: transparent, in mid-tones that can be read on white and on black."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 800
_TEXT = "#737b85"
_OURS, _OTHERS = "#2f81d6", "#8b939c"
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


def _words(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_TEXT}"{weight}>{escape(text)}</text>'
    )


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="13">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])
