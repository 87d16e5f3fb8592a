"""The dashboard's picture: CloudWatch's arithmetic, alarms and queries, and that all of it is drawn."""

import struct
import zlib
from typing import Any

import pytest

from local.dashboard.alarm_states import red_alarms
from local.dashboard.log_insights import QueryError, flatten, run
from local.dashboard.measured_run import Measurements, key_of
from local.dashboard.metric_math import Series, UnknownExpressionError, evaluate, series
from local.dashboard.page import Page
from local.dashboard.png import with_fewer_colors
from local.dashboard.template import read_template
from tests.infra.synthesis import synthesise

KNOWN: dict[str, Series] = {"a": [1.0, None, 3.0], "b": [2.0, 5.0, None]}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("a / 2", [0.5, None, 1.5]),
        ("FILL(a, 0) + FILL(b, 0)", [3, 5, 3]),
        ("FILL(a, REPEAT)", [1, 1, 3]),
        ("MAX([a, b])", [2, 5, 3]),
        ("CEIL(MAX([FILL(a, 0), FILL(b, 0)]) / 2)", [1, 3, 2]),
        ("IF(FILL(a, 0) > 0 AND FILL(b, 0) == 0, 1, 0)", [0, 0, 1]),
        ("FILL(a, 0) / FILL(b, 0)", [0.5, 0, None]),
    ],
)
def test_metric_math_is_computed_as_cloudwatch_does(expression: str, values: Series) -> None:
    """Where one side has no data there is no result; what can't be divided has none either."""
    assert evaluate(expression, KNOWN) == values


def test_metric_math_that_is_not_known_is_refused() -> None:
    """Rather than drawn wrongly."""
    with pytest.raises(UnknownExpressionError):
        evaluate("RATE(a)", KNOWN)


@pytest.mark.parametrize(
    ("statistic", "value"), [("Sum", 10), ("Average", 2.5), ("Maximum", 4), ("p50", 2), ("SampleCount", 4)]
)
def test_a_statistic_is_one_of_a_period_s_values(statistic: str, value: float) -> None:
    """A period without values has none."""
    points = [(100.0 + number, float(number)) for number in (1, 2, 3, 4)]
    assert series(points, statistic, 100, 60, 2) == [value, None]


LINES = [
    flatten({"message": "attempt", "outcome": "rejected", "reason": "no name", "list": ["x", "y"]}),
    flatten({"message": "attempt", "outcome": "retry", "reason": "no answer", "delay_s": 30}),
    flatten({"message": "attempt", "outcome": "Rejected", "reason": "no name"}),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('filter outcome = "retry"', 1),
        ('filter outcome != "retry"', 2),
        ("filter ispresent(delay_s)", 1),
        ("filter not ispresent(delay_s)", 2),
        ('filter outcome not in ["retry", "rejected"]', 1),
        ('filter tolower(outcome) in ["rejected"] and reason = "no name"', 2),
        ('filter list.1 = "y"', 1),
        ("stats count(*) as n by reason | sort n desc | limit 1", 1),
    ],
)
def test_a_query_s_rows_are_those_that_cloudwatch_finds(query: str, found: int) -> None:
    """Of the commands and conditions that the project's queries are made of."""
    assert len(run(query, LINES)[1]) == found


def test_a_query_that_is_not_known_is_refused() -> None:
    """Rather than answered wrongly."""
    with pytest.raises(QueryError):
        run("parse @message '*' as x", LINES)


def an_alarm(**more: Any) -> dict[str, Any]:
    """More than zero in two of the last three periods."""
    return {
        "Namespace": "N",
        "MetricName": "M",
        "Dimensions": [{"Name": "service", "Value": "s"}],
        "Statistic": "Sum",
        "Period": 60,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        **more,
    }


@pytest.mark.parametrize(
    ("values", "more", "is_red"),
    [
        ([1.0, 1.0, 0.0], {}, True),
        ([1.0, 0.0, 0.0], {}, False),
        ([1.0, None, None], {"TreatMissingData": "notBreaching"}, False),
        ([1.0, None, None], {"TreatMissingData": "breaching"}, True),
    ],
)
def test_an_alarm_is_red_when_enough_periods_are_bad(values: Series, more: Any, is_red: bool) -> None:
    """And the composite one with it."""
    alarms = {"One": an_alarm(**more), "All": {"AlarmRule": '(ALARM("One") OR ALARM("Other"))'}}
    red = red_alarms(alarms, lambda _key, _statistic, _period, _count: values)
    assert red == ({"One", "All"} if is_red else set())


def test_the_whole_dashboard_is_drawn_from_the_template() -> None:
    """Every widget with its title; figures, tables and red alarms with what was measured."""
    template = synthesise().monitoring
    outputs = {
        name: value["Value"] if isinstance(value["Value"], str) else name
        for name, value in synthesise().delivery["Outputs"].items()
    }
    monitoring = read_template(template, outputs)
    now = 1_800_000_000.0
    measured = Measurements(now=now)
    own = key_of("SevenTargets/LeadDelivery", "Delivered", {"service": "LeadDelivery-dev"})
    measured.points[own] += [(now - 600, 40.0), (now - 60, 1234.0), (now - 7200, 9.0)]
    measured.log.append(LINES[0] | {"@timestamp": now - 60})
    html, height = Page(measured, now - 6 * 3600, {"LeadsWaiting"}).render(monitoring.widgets, "A run")
    for widget in monitoring.widgets:
        assert widget["properties"].get("title", "").replace("'", "&#x27;") in html
    assert ">1,274<" in html
    assert "<td>no name</td>" in html
    assert "<span class=red>LeadsWaiting</span>" in html
    assert "No data available" in html
    assert height > 3000


def test_a_screenshot_keeps_its_pixels_in_a_palette() -> None:
    """Whatever way a row's differences are written in."""
    rows = [bytes([10, 20, 30, 40, 50, 60]), bytes([10, 20, 30, 90, 80, 70])]
    differences = [b"\x01" + bytes([10, 20, 30, 30, 30, 30]), b"\x02" + bytes([0, 0, 0, 50, 30, 10])]

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    png += chunk(b"IDAT", zlib.compress(b"".join(differences))) + chunk(b"IEND", b"")
    small = with_fewer_colors(png)
    palette = small[small.index(b"PLTE") + 4 :]
    start = small.index(b"IDAT") + 4
    pixels = zlib.decompressobj().decompress(small[start:])
    shown = [
        b"".join(palette[3 * place : 3 * place + 3] for place in pixels[at + 1 : at + 3]) for at in (0, 3)
    ]
    assert shown == rows
