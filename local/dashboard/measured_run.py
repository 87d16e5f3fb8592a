"""A run on the emulated AWS with what CloudWatch would measure of it, in scaled time.

The function's own metrics are the lines that it writes for CloudWatch; queue depths are sampled; AWS's other
metrics are told from the function's log and from what was published. The ledger has none.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.dashboard.log_insights import Record, flatten
from local.dashboard.metric_math import Series, series
from local.dashboard.scenarios import Scenario, event, usual_faults
from local.publishing import publish
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until

# A second is a minute, and so 15 minutes between two tries of a lead are 15 s.
SCALE = 60
_SCALED_ENVIRONMENT = {"RETRY_BASE_DELAY_S": "1", "RETRY_MAX_DELAY_S": "15", "UPDATE_GRACE_S": "3600"}
_SCALED_METRICS = {"OldestReturned", "DeliveryTime"}  # times between events, not of one call
_SAMPLES_EVERY_S = 0.5
_EVENT_BYTES = 26  # that CloudWatch adds to each log event
_QUEUES = ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl")
_GAUGES = {
    "ApproximateNumberOfMessagesVisible": "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible": "ApproximateNumberOfMessagesNotVisible",
}
Key = tuple[str, str, tuple[tuple[str, str], ...]]


def key_of(namespace: str, name: str, dimensions: Mapping[str, str]) -> Key:
    return namespace, name, tuple(sorted(dimensions.items()))


@dataclass
class Measurements:
    """Times are in scaled epoch seconds, and so is `now`."""

    now: float = 0.0
    points: dict[Key, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    log: list[Record] = field(default_factory=list)

    def read(self, key: Key, statistic: str, period: float, count: int) -> Series:
        """The last `count` periods until now."""
        return series(self.points.get(key, ()), statistic, self.now - count * period, period, count)


class MeasuredRun:
    """Publishes leads for `seconds` while the scenario's fault is committed, and measures."""

    def __init__(
        self, deployment: Deployment, scenario: Scenario, seconds: float, leads_per_s: float
    ) -> None:
        self._deployment = deployment
        self._scenario = scenario
        self._seconds = seconds
        self._leads_per_s = leads_per_s
        self._measured = Measurements()
        self._begun = 0.0
        self._sent: dict[str, float] = {}  # SQS's or EventBridge's id of each message -> when it was sent
        self._names = {url: deployment.outputs[url].rsplit("/", 1)[1] for url in _QUEUES}

    def run(self) -> Measurements:
        scale_time(self._deployment)
        self._deployment.sandbox.set_faults(usual_faults())
        self._warm_up()
        self._begun = time.time()
        pending = [(self._scenario.begins, self._scenario.fault), (self._scenario.ends, self._scenario.undo)]
        published, sampled = 0, 0.0
        while (passed := time.time() - self._begun) < self._seconds:
            while pending and passed >= pending[0][0] * self._seconds:
                pending.pop(0)[1](self._deployment)
            if published < passed * self._leads_per_s:
                self._publish(published, passed)
                published += 1
            if passed - sampled >= _SAMPLES_EVERY_S:
                sampled = passed
                self._sample()
            time.sleep(0.02)
        self._measured.now = self._scaled(time.time())
        self._read_log()
        return self._measured

    def _warm_up(self) -> None:
        """One lead, because the first start of an execution environment isn't what the picture is about."""
        for _ in publish(self._deployment, [event(999_999, is_wrong=False)]):
            pass
        wait_until("the first delivery", lambda: not self._deployment.lead_queue_count(), timeout_s=60)

    def _publish(self, number: int, passed: float) -> None:
        scenario = self._scenario
        during = scenario.begins * self._seconds <= passed < scenario.ends * self._seconds
        is_wrong = during and (number * 7919 % 100) / 100 < scenario.share_wrong
        for batch in publish(self._deployment, [event(number, is_wrong)]):
            now = time.time()
            for each in batch:
                self._sent[each.id] = now
                self._note_queue("LeadQueueUrl", "NumberOfMessagesSent", now, 1)
                if each.event.channel == "eventbridge":
                    outputs = self._deployment.outputs
                    bus = {"EventBusName": outputs["EventBusName"], "RuleName": outputs["EventRuleName"]}
                    self._note("AWS/Events", "MatchedEvents", bus, now, 1)

    def _sample(self) -> None:
        now = time.time()
        for url in _QUEUES:
            answer = self._deployment.sqs.get_queue_attributes(
                QueueUrl=self._deployment.outputs[url], AttributeNames=list(_GAUGES.values())
            )
            for metric, attribute in _GAUGES.items():
                self._note_queue(url, metric, now, float(answer["Attributes"][attribute]))

    def _read_log(self) -> None:
        function = {"FunctionName": self._deployment.outputs["FunctionName"]}
        group = {"LogGroupName": self._deployment.outputs["LogGroupName"]}
        runs: list[tuple[float, float]] = []
        for at, text in self._log_events():
            self._note("AWS/Logs", "IncomingBytes", group, at, len(text.encode()) + _EVENT_BYTES)
            if found := re.match(r"REPORT .*?\bDuration: ([\d.]+) ms", text):
                milliseconds = float(found[1])
                runs.append((at - milliseconds / 1000, at))
                self._note("AWS/Lambda", "Duration", function, at, milliseconds)
                for name, value in (("Invocations", 1), ("Errors", 0), ("Throttles", 0)):
                    self._note("AWS/Lambda", name, function, at, value)
            elif text.startswith("{"):
                self._read_line(json.loads(text), at)
        for begin, _ in runs:
            at_once = sum(start <= begin < end for start, end in runs)
            self._note("AWS/Lambda", "ConcurrentExecutions", function, begin, at_once)
        self._tell_ages()

    def _read_line(self, line: dict[str, Any], at: float) -> None:
        if "_aws" not in line:
            self._measured.log.append(flatten(line) | {"@timestamp": self._scaled(at)})
            if line.get("message") == "attempt":
                self._note_queue("LeadQueueUrl", "NumberOfMessagesReceived", at, 1)
                if "delay_s" not in line:
                    self._note_queue("LeadQueueUrl", "NumberOfMessagesDeleted", at, 1)
            return
        for group in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in group["Dimensions"]:
                for metric in group["Metrics"]:
                    name, values = metric["Name"], line[metric["Name"]]
                    factor = SCALE if name in _SCALED_METRICS else 1
                    for value in values if isinstance(values, list) else [values]:
                        self._note(
                            group["Namespace"],
                            name,
                            {each: line[each] for each in dimensions},
                            at,
                            value * factor,
                        )

    def _log_events(self) -> Iterator[tuple[float, str]]:
        """Every line since the run began, in order."""
        pages = self._deployment.emulator.client("logs").get_paginator("filter_log_events")
        group, begun_ms = self._deployment.outputs["LogGroupName"], int(self._begun * 1000)
        found = [
            (each["timestamp"] / 1000, str(each["message"]))
            for page in pages.paginate(logGroupName=group, startTime=begun_ms)
            for each in page["events"]
        ]
        yield from sorted(found, key=lambda each: each[0])

    def _tell_ages(self) -> None:
        """SQS's age of the oldest message, which leaves out what was received three times and more."""
        ended: dict[str, float] = {}
        for line in self._measured.log:
            if line.get("message") == "attempt" and ("delay_s" not in line or line["receive_count"] >= 3):
                for name in ("message_id", "event_id"):
                    ended.setdefault(str(line.get(name)), self._real(line["@timestamp"]))
        parked = [self._real(line["@timestamp"]) for line in self._measured.log if line.get("parked") is True]
        step_s = 1.0
        for step in range(int(self._seconds / step_s)):
            at = self._begun + step * step_s
            waiting = [sent for id_, sent in self._sent.items() if sent <= at < ended.get(id_, at + 1)]
            age_s = (at - min(waiting)) * SCALE if waiting else 0.0
            self._note_queue("LeadQueueUrl", "ApproximateAgeOfOldestMessage", at, age_s)
            parked_s = (at - parked[0]) * SCALE if parked and at >= parked[0] else 0.0
            self._note_queue("DeadLetterQueueUrl", "ApproximateAgeOfOldestMessage", at, parked_s)

    def _note_queue(self, url: str, metric: str, at: float, value: float) -> None:
        self._note("AWS/SQS", metric, {"QueueName": self._names[url]}, at, value)

    def _note(
        self, namespace: str, name: str, dimensions: Mapping[str, str], at: float, value: float
    ) -> None:
        self._measured.points[key_of(namespace, name, dimensions)].append((self._scaled(at), value))

    def _scaled(self, at: float) -> float:
        return self._begun + (at - self._begun) * SCALE

    def _real(self, scaled: float) -> float:
        return self._begun + (scaled - self._begun) / SCALE


def scale_time(deployment: Deployment) -> None:
    """Takes the delays below what the stack's settings allow; the emulator starts new workers."""
    client, name = deployment.emulator.client("lambda"), deployment.outputs["FunctionName"]
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | _SCALED_ENVIRONMENT}
    )
