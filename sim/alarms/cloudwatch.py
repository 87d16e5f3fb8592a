"""CloudWatch as its documents describe it: metrics by the minute, and the states of a template's alarms.

An alarm is evaluated every minute over periods that end at that minute; every hour over whole hours if it
looks back further than a day. AWS shows by examples how it treats missing data; tests hold this module to
them.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
AWS doesn't say how many more periods than its own an alarm retrieves; its examples show two.
"""

import json
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from sim.alarms.metric_math import Value, compile_expression

Template = Mapping[str, Any]
Key = tuple[str, str, tuple[tuple[str, str], ...]]
"""Namespace, name, dimensions."""
Flags = Sequence[bool | None]
"""For each period, the latest first: is it bad? None where there is no data."""
OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
EXTRA_PERIODS = 2
DAY_MIN = 1440
_COMBINE: Mapping[str, Callable[[float, float], float]] = {
    "Sum": operator.add,
    "Minimum": min,
    "Maximum": max,
}


def key_of(namespace: str, name: str, dimensions: Mapping[str, str]) -> Key:
    """A metric is what has the same namespace, name and dimensions, all of them."""
    return namespace, name, tuple(sorted(dimensions.items()))


@dataclass
class Metrics:
    """Every value that was written, by minute."""

    minutes: int = 0
    values: dict[Key, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(dict))

    def put(self, key: Key, value: float, at_s: float) -> None:
        """At `at_s` seconds from the beginning."""
        self.values[key].setdefault(int(at_s // 60), []).append(value)

    def put_embedded(self, line: str, at_s: float) -> None:
        """A line of the function's log in the embedded metric format."""
        blob = json.loads(line)
        for directive in blob["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: blob[name] for name in names}
                for metric in directive["Metrics"]:
                    key = key_of(directive["Namespace"], metric["Name"], dimensions)
                    found = blob[metric["Name"]]
                    for value in found if isinstance(found, list) else [found]:
                        self.put(key, value, at_s)

    def series(
        self, key: Key, statistic: str, period_min: int, step: int = 1, late_min: int = 0
    ) -> list[Value]:
        """For each `step` minutes: the statistic of the period that ends there, but for its last minutes."""
        combine = _COMBINE[statistic]
        found: list[Value] = [None] * (self.minutes + 1)
        for minute, values in self.values.get(key, {}).items():
            first = minute + 1 + late_min
            first += -first % step
            value = values[0] if len(values) == 1 else reduce(combine, values)
            for end in range(first, min(minute + period_min, self.minutes) + 1, step):
                before = found[end]
                found[end] = value if before is None else combine(before, value)
        return found


def evaluate(flags: Flags, bad: int, of: int, missing: str, before: str) -> str:
    """The alarm's state, from the latest `of` + 2 periods and its state before."""
    real = [(age, is_bad) for age, is_bad in enumerate(flags) if is_bad is not None][:of]
    found = sum(is_bad for _, is_bad in real)
    filled = of - len(real)
    if found >= bad or (missing == "breaching" and found + filled >= bad):
        return ALARM
    if not filled or missing in {"breaching", "notBreaching"}:
        return OK
    if not real:
        return before if missing == "ignore" else INSUFFICIENT
    # AWS: "the oldest available breaching datapoint … is at least as old as the value of Datapoints to Alarm,
    # and all other more recent data points are breaching or missing".
    if found == len(real) and real[-1][0] + 1 >= bad:
        return before if missing == "ignore" else ALARM
    return OK


@dataclass(frozen=True)
class Watched:
    """One metric of an alarm."""

    key: Key
    statistic: str


@dataclass(frozen=True)
class MetricAlarm:
    """An alarm of a template."""

    name: str
    metrics: tuple[tuple[str, Watched], ...]
    expression: str
    period_min: int
    above: float
    bad: int
    of: int
    missing: str

    def states(self, metrics: Metrics, late_min: int) -> list[str]:
        """Its state at each minute."""
        step = 60 if self.period_min * self.of > DAY_MIN else 1
        fresh = self._flags(metrics, step, late_min)
        # Earlier periods count only where one is not enough, or has no data.
        whole = self._flags(metrics, step, 0) if self.of > 1 or None in fresh else fresh
        # Before the simulation all was well, so there is nothing to miss in that time.
        first = self.period_min * self.of if self.missing == "breaching" else 0
        state, found = OK, []
        quiet = self.missing == "notBreaching" and True not in fresh and True not in whole
        for minute in range(metrics.minutes + 1):
            if not quiet and minute >= first and minute % step == 0:
                # What is late is missing in the latest period only.
                older = range(minute - self.period_min, -1, -self.period_min)
                past = [whole[each] for each in older[: self.of + EXTRA_PERIODS - 1]]
                state = evaluate([fresh[minute], *past], self.bad, self.of, self.missing, state)
            found.append(state)
        return found

    def _flags(self, metrics: Metrics, step: int, late_min: int) -> list[bool | None]:
        columns = {
            each_id: metrics.series(each.key, each.statistic, self.period_min, step, late_min)
            for each_id, each in self.metrics
        }
        if self.expression:
            value = compile_expression(self.expression)
            rows = zip(*columns.values(), strict=True)
            result = [value(dict(zip(columns, row, strict=True))) for row in rows]
        else:
            (result,) = columns.values()
        return [None if each is None else each > self.above for each in result]


@dataclass(frozen=True)
class Alarms:
    """The alarms of a monitoring template; `composites`: the rule of each, in other alarms' names."""

    metric_alarms: tuple[MetricAlarm, ...]
    composites: Mapping[str, str]


def read_alarms(monitoring: Template, delivery: Template) -> Alarms:
    """The alarms, with the resources of the delivery stack in the place of references to its outputs."""

    def resolved(value: Any) -> str:
        if isinstance(value, str):
            return value
        if "Fn::GetStackOutput" in value:
            output = value["Fn::GetStackOutput"]["OutputName"]
            return resolved(delivery["Outputs"][output]["Value"])
        return ".".join([value["Ref"]] if "Ref" in value else value["Fn::GetAtt"])

    def watched(metric: Mapping[str, Any], statistic: str) -> Watched:
        dimensions = {each["Name"]: resolved(each["Value"]) for each in metric["Dimensions"]}
        return Watched(key_of(metric["Namespace"], metric["MetricName"], dimensions), statistic)

    metric_alarms, composites = [], {}
    for logical_id, resource in monitoring["Resources"].items():
        properties = resource["Properties"]
        name = re.sub(r"[0-9A-F]{8}$", "", logical_id)
        if resource["Type"] == "AWS::CloudWatch::CompositeAlarm":
            composites[name] = _rule(properties["AlarmRule"]["Fn::Join"][1])
        elif resource["Type"] == "AWS::CloudWatch::Alarm":
            metric_alarms.append(_read_metric_alarm(name, properties, watched))
    return Alarms(tuple(metric_alarms), composites)


def _rule(parts: Sequence[Any]) -> str:
    """`(ALARM("…") OR (ALARM("…") AND …))` as an expression of the alarms' names, 1 for each that is red."""
    words = [
        part if isinstance(part, str) else re.sub(r"[0-9A-F]{8}$", "", part["Fn::GetAtt"][0])
        for part in parts
    ]
    return re.sub(r'ALARM\("(\w+)"\)', r"\1", "".join(words))


def _read_metric_alarm(
    name: str, properties: Mapping[str, Any], watched: Callable[[Mapping[str, Any], str], Watched]
) -> MetricAlarm:
    assert properties["ComparisonOperator"] == "GreaterThanThreshold"
    if "Metrics" in properties:
        stats = {each["Id"]: each["MetricStat"] for each in properties["Metrics"] if "MetricStat" in each}
        metrics = {key: watched(stat["Metric"], stat["Stat"]) for key, stat in stats.items()}
        (expression,) = (each["Expression"] for each in properties["Metrics"] if "Expression" in each)
        (period_s,) = {stat["Period"] for stat in stats.values()}
    else:
        metrics = {"": watched(properties, properties["Statistic"])}
        expression, period_s = "", properties["Period"]
    return MetricAlarm(
        name,
        tuple(metrics.items()),
        expression,
        period_s // 60,
        properties["Threshold"],
        properties["DatapointsToAlarm"],
        properties["EvaluationPeriods"],
        properties["TreatMissingData"],
    )
