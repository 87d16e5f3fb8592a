"""Whether leads flow at a stage: what queues, mapping, alarms and metrics say, put into one sentence."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from leadctl.event_source_mapping import EventSourceMapping, Tap
from leadctl.moments import how_long, iso
from leadctl.output import count
from leadctl.parked.message import Place
from leadctl.parked.queues import ParkedQueues, queue_counts
from leadctl.parked.selection import grouped
from leadctl.problems import is_denied
from leadctl.target import Target

Found = TypeVar("Found")
# More would hide too many from others for a glance.
MOST_LOOKED_AT = 100
# So much later does CloudWatch have a metric.
_LATE_S = 600
# The alarms that say that leads don't reach 7Targets; the others say what else a person has to do.
STOPPING_ALARMS = (
    "LeadsNotFlowing",
    "DeliveryBlocked",
    "ApiDown",
    "FunctionFailing",
    "FunctionThrottled",
    "LeadsNotTaken",
    "LeadsWaiting",
)


@dataclass(frozen=True)
class ParkedGlance:
    """What a glance at the dead-letter queues shows: `oldest_s` and `groups` of those that were looked at."""

    count: int
    looked_at: int = 0
    oldest_s: float | None = None
    groups: list[dict[str, Any]] = field(default_factory=list)

    def sentence(self) -> str:
        """How many, and since when."""
        if not self.count:
            return "None is parked."
        if self.oldest_s is None:
            return f"{self.count:,} parked."
        return f"{self.count:,} parked, the oldest for {how_long(time.time() - self.oldest_s)}."


@dataclass(frozen=True)
class Health:
    """A stage at one moment. What couldn't be read is None."""

    queue: dict[str, int]
    parked: ParkedGlance
    tap: Tap
    alarms: list[dict[str, Any]] | None
    metrics: dict[str, float]

    @property
    def red(self) -> list[str]:
        """The names of the alarms that are on."""
        return [each["name"] for each in self.alarms or []]

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to act."""
        return bool(self.parked.count or self.red or not self.tap.is_open)

    def sentence(self) -> str:
        """The answer, before the figures."""
        return f"{self._flow()} {self.parked.sentence()}"

    def _flow(self) -> str:
        waiting = sum(self.queue.values())
        if not self.tap.is_open:
            return f"Leads don't flow, because {self.tap.sentence()}. {count(waiting, 'event')} in the queue."
        stopping = [name for name in STOPPING_ALARMS if any(name in red for red in self.red)]
        if stopping:
            return f"Leads don't flow as they should: the alarm {stopping[0]} is on."
        if self.metrics.get(Metric.BLOCKED):
            return "Leads wait, because credentials or a setting are wrong: leadctl doctor names it."
        if waiting and self.metrics.get(Metric.BREAKER_OPEN):
            return "Leads wait, because 7Targets doesn't answer; they go by themselves once it does."
        return "Leads flow."

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "sentence": self.sentence(),
            "leadQueue": self.queue,
            "parked": self.parked.count,
            "parkedLookedAt": self.parked.looked_at,
            "oldestParked": iso(self.parked.oldest_s),
            "parkedByReason": self.parked.groups,
            "mapping": self.tap.state,
            "pausedBy": self.tap.paused_by,
            "pausedAt": self.tap.paused_at,
            "pauseReason": self.tap.reason,
            "alarms": self.alarms,
            "lastHour": {str(name): value for name, value in self.metrics.items()},
        }


def look_at(target: Target, parked_before: ParkedGlance | None = None) -> Health:
    """`parked_before` is kept while the count doesn't change, so that parked messages are left alone."""
    return Health(
        queue=queue_counts(target.client("sqs"), target.output("LeadQueueUrl")),
        parked=_parked(target, parked_before),
        tap=EventSourceMapping(target).read(),
        alarms=_if_allowed(red_alarms, target),
        metrics=_if_allowed(_metrics, target) or {},
    )


def _if_allowed(read: Callable[[Target], Found], target: Target) -> Found | None:
    """None when the right is missing: the rest is worth showing."""
    try:
        return read(target)
    except Exception as error:
        if is_denied(error):
            return None
        raise


def _parked(target: Target, before: ParkedGlance | None) -> ParkedGlance:
    queues = ParkedQueues(target)
    total = sum(sum(queues.counts(place).values()) for place in Place)
    if not total or (before and before.count == total):
        return before if before and total else ParkedGlance(0)
    with queues.look(most=MOST_LOOKED_AT) as looked:
        messages = looked.messages
    oldest_s = min((each.first_seen_s for each in messages), default=None)
    return ParkedGlance(max(total, len(messages)), len(messages), oldest_s, grouped(messages))


def alarms(target: Target) -> list[dict[str, Any]]:
    """The stage's alarms, as CloudWatch describes them."""
    pages = (
        target.client("cloudwatch")
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=f"{target.monitoring_stack}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    )
    return [
        alarm for page in pages for alarm in [*page.get("MetricAlarms", []), *page.get("CompositeAlarms", [])]
    ]


def red_alarms(target: Target) -> list[dict[str, Any]] | None:
    """The stage's alarms that are on; None when it has no alarms at all."""
    found = alarms(target)
    if not found:
        return None
    return [
        {
            "name": alarm["AlarmName"].removeprefix(f"{target.monitoring_stack}-"),
            "since": iso(alarm["StateUpdatedTimestamp"].timestamp()),
            "description": alarm.get("AlarmDescription"),
        }
        for alarm in found
        if alarm["StateValue"] == "ALARM"
    ]


def _metrics(target: Target) -> dict[str, float]:
    """Of the function's own metrics, those that are known: the last hour's, or the last minutes'."""
    now = time.time()
    wanted = {
        Metric.DELIVERED: ("Sum", 3600),
        Metric.BLOCKED: ("Sum", _LATE_S),
        Metric.BREAKER_OPEN: ("Maximum", _LATE_S),
        Metric.OLDEST_RETURNED: ("Maximum", _LATE_S),
    }
    answer = target.client("cloudwatch").get_metric_data(
        StartTime=now - 3600,
        EndTime=now,
        MetricDataQueries=[_query(target, name, statistic) for name, (statistic, _) in wanted.items()],
    )
    results = {result["Id"]: result for result in answer["MetricDataResults"]}
    known: dict[str, float] = {}
    for name, (statistic, within_s) in wanted.items():
        result = results.get(name.lower(), {"Timestamps": [], "Values": []})
        values = [
            value
            for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
            if now - moment.timestamp() <= within_s
        ]
        if values:
            known[name] = sum(values) if statistic == "Sum" else max(values)
    return known


def _query(target: Target, name: Metric, statistic: str) -> dict[str, Any]:
    dimensions = [{"Name": "service", "Value": target.stack_name}]
    metric = {"Namespace": METRICS_NAMESPACE, "MetricName": str(name), "Dimensions": dimensions}
    return {"Id": name.lower(), "MetricStat": {"Metric": metric, "Period": 300, "Stat": statistic}}
