"""Which alarms are red now, by CloudWatch's rules: M of the last N periods, missing data as each says."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from local.dashboard.measured_run import Key, key_of
from local.dashboard.metric_math import Series, evaluate

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
# Of a metric: statistic, period in seconds, number of periods until now.
Reader = Callable[[Key, str, float, int], Series]


def red_alarms(alarms: Mapping[str, Mapping[str, Any]], read: Reader) -> set[str]:
    """The names of the alarms in ALARM."""
    red = {name for name, alarm in alarms.items() if "AlarmRule" not in alarm and _is_red(alarm, read)}
    for name, alarm in alarms.items():
        if "AlarmRule" in alarm and _holds(alarm["AlarmRule"], red):
            red.add(name)
    return red


def _is_red(alarm: Mapping[str, Any], read: Reader) -> bool:
    periods = int(alarm["EvaluationPeriods"])
    enough = int(alarm.get("DatapointsToAlarm", periods))
    breaches = _COMPARISONS[alarm["ComparisonOperator"]]
    missing = alarm.get("TreatMissingData", "missing") == "breaching"
    verdicts: list[bool] = [
        missing if value is None else breaches(value, alarm["Threshold"])
        for value in _values(alarm, read, periods)
    ]
    return sum(verdicts) >= enough


def _values(alarm: Mapping[str, Any], read: Reader, periods: int) -> Series:
    if "Metrics" not in alarm:
        return _read(
            alarm, alarm.get("Statistic") or alarm["ExtendedStatistic"], alarm["Period"], read, periods
        )
    known: dict[str, Series] = {}
    later = []
    for each in alarm["Metrics"]:
        if "MetricStat" in each:
            stat = each["MetricStat"]
            known[each["Id"]] = _read(stat["Metric"], stat["Stat"], stat["Period"], read, periods)
        else:
            later.append(each)
    for each in reversed(later):
        known[each["Id"]] = evaluate(each["Expression"], known)
    (shown,) = (each["Id"] for each in alarm["Metrics"] if each.get("ReturnData", True))
    return known[shown]


def _read(metric: Mapping[str, Any], statistic: str, period: int, read: Reader, periods: int) -> Series:
    dimensions = {each["Name"]: each["Value"] for each in metric.get("Dimensions", [])}
    return read(key_of(metric["Namespace"], metric["MetricName"], dimensions), statistic, period, periods)


def _holds(rule: str, red: set[str]) -> bool:
    """`rule`: ALARM("name") and OK("name") in brackets, with AND, OR and NOT."""
    text = re.sub(
        r'(ALARM|OK)\("?([^")]+)"?\)', lambda each: str((each[2] in red) == (each[1] == "ALARM")), rule
    )
    words = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False"}
    python = re.sub(r"\b(AND|OR|NOT|TRUE|FALSE)\b", lambda each: words[each[0]], text)
    if not re.fullmatch(r"(True|False|and|or|not|[() ])*", python):
        raise ValueError(f"alarm rule: {rule}")
    return bool(eval(python))  # noqa: S307 - of the words above only
