"""The dashboard's widgets on one page, as CloudWatch's console lays them out."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local.dashboard.log_insights import run
from local.dashboard.measured_run import Key, Measurements, key_of
from local.dashboard.metric_math import Series, evaluate
from local.dashboard.shapes import Graph, Line, clock, figures, gauge

_COLUMN, _ROW, _GAP, _BAR = 58, 46, 6, 32  # pixels
WIDTH = 24 * _COLUMN + _GAP
_MOST_ROWS = 8
# CloudWatch's own order of colours, for what has none.
_COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_STYLE = """
body { margin: 0; background: #f2f3f3; font: 12px "DejaVu Sans", sans-serif; color: #16191f }
.bar { padding: 8px 12px }
.widget { position: absolute; box-sizing: border-box; overflow: hidden;
          background: #fff; border: 1px solid #d5dbdb }
.widget > h3 { font-size: 12.5px; margin: 7px 10px 2px }
.text { background: none; border: none; padding: 4px 10px }
.text h1 { font-size: 22px; margin: 6px 0 2px }
.text h2 { font-size: 18px; margin: 8px 0 2px }
.text p { margin: 2px 0; color: #414d5c }
.figures { display: flex; height: calc(100% - 34px); align-items: center; position: relative }
.figures div { flex: 1; text-align: center }
.figures b { font-weight: 400; display: block }
.spark { position: absolute; bottom: 0; left: 0 }
.alarms { display: flex; flex-wrap: wrap; gap: 5px; padding: 4px 10px }
.alarms span { background: #d9efd9; border-left: 5px solid #1d8102; padding: 6px 10px }
.alarms .red { background: #fbdad3; border-color: #d13212; font-weight: 700 }
table { border-collapse: collapse; width: calc(100% - 20px); margin: 2px 10px; font-size: 10px }
th { text-align: left; border-bottom: 1px solid #aab7b8; padding: 2px 6px 2px 0 }
td { border-bottom: 1px solid #eaeded; padding: 2px 6px 2px 0; white-space: nowrap; overflow: hidden;
     text-overflow: ellipsis; max-width: 440px }
.none { color: #687078; text-align: center; margin-top: 60px }
"""


class Page:
    """`start` to `measured.now` is the time that the dashboard shows; `red` are the names of alarms."""

    def __init__(self, measured: Measurements, start: float, red: set[str]) -> None:
        self._measured = measured
        self._start = start
        self._red = red

    def render(self, widgets: Sequence[Mapping[str, Any]], caption: str) -> tuple[str, int]:
        """The HTML, and its height in pixels."""
        height = _BAR + max(each["y"] + each["height"] for each in widgets) * _ROW + _GAP
        shown = f"{clock(self._start)} to {clock(self._measured.now)}"
        bar = f'<div class="bar">{html.escape(caption)} &nbsp; {shown}</div>'
        body = "".join(self._widget(widget) for widget in widgets)
        return f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>{bar}{body}', height

    def _widget(self, widget: Mapping[str, Any]) -> str:
        properties, kind = widget["properties"], widget["type"]
        width, height = widget["width"] * _COLUMN - _GAP, widget["height"] * _ROW - _GAP
        left, top = widget["x"] * _COLUMN + _GAP, widget["y"] * _ROW + _BAR
        place = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
        if kind == "text":
            return f'<div class="widget text" style="{place}">{_markdown(properties["markdown"])}</div>'
        if kind == "alarm":
            body = self._alarms(properties)
        elif kind == "log":
            body = self._table(properties)
        else:
            body = self._metrics(properties, width, height - 30)
        return f'<div class="widget" style="{place}"><h3>{html.escape(properties["title"])}</h3>{body}</div>'

    def _alarms(self, properties: Mapping[str, Any]) -> str:
        """The red ones first."""
        names = sorted(properties["alarms"], key=lambda name: name not in self._red)
        boxes = [f"<span{' class=red' if name in self._red else ''}>{name}</span>" for name in names]
        return f'<div class="alarms">{"".join(boxes)}</div>'

    def _table(self, properties: Mapping[str, Any]) -> str:
        _, query = properties["query"].split("|", 1)  # SOURCE '<log group>'
        columns, rows = run(query, (line for line in self._measured.log if line["@timestamp"] >= self._start))
        if not rows:
            return '<p class="none">No results</p>'
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        lines = [
            "".join(f"<td>{html.escape(_cell(name, row.get(name)))}</td>" for name in columns)
            for row in rows[:_MOST_ROWS]
        ]
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"

    def _metrics(self, properties: Mapping[str, Any], width: int, height: int) -> str:
        now, start = self._measured.now, self._start
        if "start" in properties:
            start = now - _duration_s(properties["start"])
        whole_s = now - start if properties.get("setPeriodToTimeRange") else None
        lines = self._lines(properties["metrics"], start, whole_s)
        if not lines:
            return '<p class="none">No data available</p>'
        view = properties.get("view", "timeSeries")
        if view == "singleValue":
            return figures(lines, width, height, sparkline=properties.get("sparkline", False))
        if view == "gauge":
            return gauge(lines[0], properties["yAxis"]["left"]["max"], width, height)
        limits = properties.get("annotations", {}).get("horizontal", [])
        stacked = properties.get("stacked", False)
        return Graph(lines, limits, begin=start, end=now, stacked=stacked).draw(width, height)

    def _lines(self, metrics: Sequence[Sequence[Any]], start: float, whole_s: float | None) -> list[Line]:
        """`whole_s`: the widget's only period."""
        now, known, lines = self._measured.now, dict[str, Series](), list[Line]()
        if not any(self._is_measured(names) for names, _ in expanded(metrics)):
            return []
        # Metrics first, because an expression stands before those that it uses.
        for names, options in sorted(expanded(metrics), key=lambda each: "expression" in each[1]):
            period = whole_s or options.get("period", 300)
            count = max(1, math.floor((now - start) / period))
            if names:
                values = self._measured.read(metric_key(names), options.get("stat", "Average"), period, count)
            else:
                values = evaluate(options["expression"], known)
            known[options.get("id", "")] = values
            if options.get("visible", True):
                color = options.get("color", _COLORS[len(lines) % len(_COLORS)])
                lines.append(Line(options["label"], color, values, now - len(values) * period, period))
        return lines

    def _is_measured(self, names: Sequence[str]) -> bool:
        return bool(names) and metric_key(names) in self._measured.points


def metric_key(names: Sequence[str]) -> Key:
    namespace, metric, *dimensions = names
    return key_of(namespace, metric, dict(zip(dimensions[::2], dimensions[1::2], strict=True)))


def expanded(metrics: Sequence[Sequence[Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """The names and the options of each; "." repeats what stands above it, an expression has no names."""
    expanded: list[tuple[list[str], dict[str, Any]]] = []
    above: list[str] = []
    for each in metrics:
        options = dict(each[-1])
        names = [above[place] if name == "." else str(name) for place, name in enumerate(each[:-1])]
        above = names or above
        expanded.append((names, options))
    return expanded


def _markdown(text: str) -> str:
    parts = []
    for line in text.splitlines():
        level = len(line) - len(line.lstrip("#"))
        words = html.escape(line[level:].strip(), quote=False)
        words = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", words)
        words = re.sub(r"\*(.+?)\*", r"<i>\1</i>", words)
        words = re.sub(r"\[(.+?)\]\((.+?)\)", r'<a href="\2">\1</a>', words)
        tag = f"h{level}" if level else "p"
        parts.append(f"<{tag}>{words}</{tag}>")
    return "".join(parts)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in ("@timestamp", "last"):
        return datetime.fromtimestamp(float(str(value)), UTC).strftime("%H:%M:%S")
    return f"{str(value)[:10]}…" if name in ("lead", "event_id") else str(value)


def _duration_s(text: str) -> int:
    """Of "-PT1H" or "-P30D"."""
    found = re.fullmatch(r"-P(?:(\d+)D|T(\d+)H)", text)
    if not found:
        raise ValueError(f"{text} is no time range that this module knows")
    return int(found[1]) * 86_400 if found[1] else int(found[2]) * 3600
