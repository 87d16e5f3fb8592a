"""The evaluator of alarms does what AWS's documents say, by their own examples."""

import itertools

import pytest

from sim.alarms.cloudwatch import ALARM, INSUFFICIENT, OK, MetricAlarm, Metrics, Watched, evaluate, key_of
from sim.alarms.metric_math import Row, UnknownSyntaxError, Value, compile_expression

pytestmark = pytest.mark.simulation

BEFORE = "as before"
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
KEY = key_of("N", "M", {"d": "v"})


@pytest.mark.parametrize(
    ("points", "bad", "states"),
    [
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
        ("0 - X - X", 3, (OK, OK, OK, OK)),
        ("0 - - - -", 3, (OK, OK, OK, OK)),
        ("- - - - -", 3, (INSUFFICIENT, BEFORE, ALARM, OK)),
        ("0 X X - X", 3, (ALARM, ALARM, ALARM, ALARM)),
        ("- - X - -", 3, (ALARM, BEFORE, ALARM, OK)),
        ("0 - X - X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("0 0 X 0 X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("0 - X - -", 2, (OK, OK, ALARM, OK)),
        ("- - - - 0", 2, (OK, OK, ALARM, OK)),
        ("- - - X -", 2, (ALARM, BEFORE, ALARM, OK)),
    ],
)
def test_missing_data_is_treated_as_in_the_tables_of_aws(
    points: str, bad: int, states: tuple[str, ...]
) -> None:
    """The latest period is on the right there, and three of the five that are retrieved count."""
    flags = [{"0": False, "X": True, "-": None}[point] for point in reversed(points.split())]
    assert tuple(evaluate(flags, bad, 3, each, BEFORE) for each in TREATMENTS) == states


def alarm(period_min: int, statistic: str = "Sum", of: int = 1, expression: str = "") -> MetricAlarm:
    """One that is red above 0."""
    return MetricAlarm(
        "A", (("m", Watched(KEY, statistic)),), expression, period_min, 0, of, of, "notBreaching"
    )


def red_minutes(watching: MetricAlarm, *minutes: int, horizon: int = 60, late_min: int = 0) -> list[int]:
    """When it is red, given a 1 in these minutes."""
    metrics = Metrics(horizon)
    for minute in minutes:
        metrics.put(KEY, 1, minute * 60)
    return [at for at, state in enumerate(watching.states(metrics, late_min)) if state == ALARM]


def test_an_alarm_is_evaluated_every_minute_over_the_period_that_ends_there() -> None:
    """AWS: at the end of minute 5 over minutes 1 to 5, at the end of minute 6 over minutes 2 to 6."""
    filled = alarm(5, expression="FILL(m, 0)")
    assert red_minutes(filled, 10) == [11, 12, 13, 14, 15]


def test_what_is_late_is_missing_in_the_latest_period() -> None:
    """It is there when it is an older one."""
    assert red_minutes(alarm(5, expression="FILL(m, 0)"), 10, late_min=2) == [13, 14, 15]


def test_without_data_an_alarm_goes_back_to_earlier_periods() -> None:
    """So a single bad period lasts for three, unless it is filled."""
    assert red_minutes(alarm(5), 10) == list(range(11, 26))


def test_an_alarm_that_looks_back_further_than_a_day_is_evaluated_every_hour() -> None:
    """AWS says so of multi-day alarms."""
    red = red_minutes(alarm(60, of=25, expression="FILL(m, 0)"), *range(30, 1700), horizon=1700)
    assert red[0] == 1500, "evaluated every minute, it would be red at 1471"


def test_short_periods_flap_where_a_long_one_doesn_t() -> None:
    """Two errors four minutes apart are now in one period of five and now in two: why alarms.py avoids it."""
    short = MetricAlarm("A", (("m", Watched(KEY, "Sum")),), "FILL(m, 0)", 5, 0, 2, 8, "notBreaching")
    long = MetricAlarm("A", (("m", Watched(KEY, "Sum")),), "FILL(m, 0)", 40, 1, 1, 1, "notBreaching")

    def changes(minutes: list[int]) -> int:
        return sum(b - a > 1 for a, b in itertools.pairwise(minutes))

    assert changes(red_minutes(short, 10, 14)) > 3
    assert changes(red_minutes(long, 10, 14)) == 0


@pytest.mark.parametrize(
    ("expression", "row", "value"),
    [
        ("FILL(a, 0)", {"a": None}, 0),
        ("FILL(a, 0)", {"a": 3}, 3),
        ("SUM([a, b])", {"a": None, "b": 2}, 2),
        ("SUM([a, b])", {"a": None, "b": None}, None),
        ("MAX([a, b])", {"a": 1, "b": 2}, 2),
        ("a > b", {"a": None, "b": 2}, None),
        ("IF((FILL(a, 0) > 0) AND (FILL(b, 0) == 0), 1, 0)", {"a": 1, "b": None}, 1),
        ("IF(FILL(a, 0) >= 15, IF(a > 0.2 * SUM([a, b]), 1, 0), 0)", {"a": 15, "b": 60}, 0),
        ("IF(FILL(a, 0) >= 15, IF(a > 0.2 * SUM([a, b]), 1, 0), 0)", {"a": None, "b": 1}, 0),
        ("IF((a > b) OR (a > b + 2 * a), 1, 0)", {"a": 2, "b": 1}, 1),
        ("a OR b OR (c AND (a OR d))", {"a": 0, "b": 0, "c": 1, "d": 1}, 1),
        ("a OR b OR (c AND (a OR d))", {"a": 0, "b": 0, "c": 0, "d": 1}, 0),
        ("IF(a > 1, 1, 0)", {"a": None}, None),
        ("CEIL(MAX([a, b]) / 60)", {"a": 90, "b": None}, 2),
        ("CEIL(a)", {"a": None}, None),
        ("SUM([FILL(a, REPEAT), 0 * FILL(b, REPEAT)])", {"a": 2, "b": None}, 2),
    ],
)
def test_metric_math_is_evaluated_as_documented(expression: str, row: Row, value: Value) -> None:
    """As far as alarms and dashboard use it."""
    assert compile_expression(expression)(row) == value


@pytest.mark.parametrize("expression", ["RATE(a)", "a - b", "IF(a > 1, 1)", "a b"])
def test_metric_math_that_isn_t_known_here_is_refused(expression: str) -> None:
    """A new expression must not be misread in silence."""
    with pytest.raises(UnknownSyntaxError):
        compile_expression(expression)
