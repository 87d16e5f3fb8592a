"""The stage's AWS services in simulated time, with the metrics that AWS documents for each of them.

SQS   every minute while a queue is active: it holds messages, or was called within six hours.
      https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
      https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html
Lambda   Invocations, Errors and Duration of each invocation; a throttled one counts as Throttles only.
      https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
      A batch that failed or was throttled comes back after the queue's visibility timeout.
      https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
EventBridge   what fails is tried again with growing pauses, 185 times in 24 hours, unless it can't succeed.
      https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
      https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
"""

import heapq
import itertools
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.alarms.cloudwatch import Metrics, key_of
from sim.synthesis import Templates, output_target, properties

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
ACTIVE_S = 6 * HOUR_S
BATCH = 10
POLLED_AFTER_S = 1
LONGEST_PAUSE_S = 480  # so that 185 attempts take 24 hours
START_S = 1_800_000_000  # when a simulation begins, in epoch seconds


class Clock:
    """Simulated seconds, and what is to be done when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Plans it for `seconds` from the beginning."""
        heapq.heappush(self._due, (seconds, next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plans it for `seconds` from now."""
        self.at(self.now + seconds, action)

    def run(self, until_s: float) -> None:
        """Does what is due. An action may take time itself."""
        while self._due and self._due[0][0] <= until_s:
            due_s, _, action = heapq.heappop(self._due)
            self.now = max(self.now, due_s)
            action()
        self.now = max(self.now, until_s)


class Stage:
    """A stage's templates as AWS reads them: the resources' names, and the function's environment."""

    def __init__(self, templates: Templates) -> None:
        delivery = templates.delivery

        def target(output: str) -> str:
            return output_target(delivery, output)

        self.lead_queue, self.dead_letter_queue, self.rule_dead_letter_queue = (
            f"{target(f'{name}Url')}.QueueName"
            for name in ("LeadQueue", "DeadLetterQueue", "RuleDeadLetterQueue")
        )
        self.function = {"FunctionName": target("FunctionName")}
        self.rule = {
            "EventBusName": target("EventBusName"),
            "RuleName": delivery["Outputs"]["EventRuleName"]["Value"],
        }
        rate = properties(delivery, "AWS::Scheduler::Schedule")["ScheduleExpression"]
        self.check_every_s = MINUTE_S * int(rate.removeprefix("rate(").partition(" ")[0])
        if "hour" in rate:
            self.check_every_s *= 60
        function = properties(delivery, "AWS::Lambda::Function")
        self.function_timeout_s: int = function["Timeout"]
        self.environment = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in function["Environment"]["Variables"].items()
        }
        self.visibility_timeout_s: int = next(
            resource["Properties"]["VisibilityTimeout"]
            for name, resource in delivery["Resources"].items()
            if name == target("LeadQueueUrl")
        )


@dataclass
class Message:
    """A message of the lead queue."""

    message_id: str
    body: str
    sent_s: float
    visible_s: float
    receive_count: int = 0

    def record(self) -> dict[str, Any]:
        """As the event source mapping hands it to the function."""
        sent_ms = int((START_S + self.sent_s) * 1000)
        attributes = {"ApproximateReceiveCount": str(self.receive_count), "SentTimestamp": str(sent_ms)}
        handle, body = self.message_id, self.body
        return {"messageId": handle, "receiptHandle": handle, "body": body, "attributes": attributes}


@dataclass
class Queue:
    """A queue and its metrics. `others_…`: so many more than are simulated one by one."""

    name: str
    metrics: Metrics
    messages: dict[str, Message] = field(default_factory=dict)
    called_s: float = -ACTIVE_S
    sent: int = 0
    received: int = 0
    others_ready: int = 0
    others_in_flight: int = 0
    count: int = 0

    def send(self, body: str, now: float) -> Message:
        """A new message."""
        self.count += 1
        self.sent += 1
        self.called_s = now
        message = Message(f"{self.name[:4]}-{self.count}", body, now, now)
        self.messages[message.message_id] = message
        return message

    def ready(self, now: float) -> list[Message]:
        """Those that are visible."""
        return [each for each in self.messages.values() if each.visible_s <= now]

    def report(self, now: float) -> None:
        """The metrics of the minute that ends."""
        if not self.messages and not self.others_in_flight and now - self.called_s > ACTIVE_S:
            return
        visible = len(self.ready(now))
        values = {
            "ApproximateNumberOfMessagesVisible": visible + self.others_ready,
            "ApproximateNumberOfMessagesNotVisible": len(self.messages) - visible + self.others_in_flight,
            "NumberOfMessagesSent": self.sent,
            "NumberOfMessagesReceived": self.received,
        }
        self.sent = self.received = 0
        for name, value in values.items():
            self.metrics.put(key_of("AWS/SQS", name, {"QueueName": self.name}), value, now - 1)


class Rule:
    """EventBridge's rule: it puts events into the lead queue."""

    def __init__(self, clock: Clock, metrics: Metrics, dimensions: Mapping[str, str]) -> None:
        self._clock = clock
        self._metrics = metrics
        self._dimensions = dimensions
        self.refusal = ""  # "passing": worth another attempt; "final": it isn't

    def deliver(
        self, put: Callable[[], object], give_up: Callable[[], bool], attempt: int = 0, since: float = -1
    ) -> None:
        """Puts it now or later; `give_up` says whether the dead-letter queue took it."""
        since = self._clock.now if since < 0 else since
        if attempt:
            self._count("RetryInvocationAttempts")
        if not self.refusal:
            put()
        elif self.refusal == "passing" and self._clock.now - since < DAY_S:
            pause_s = min(2.0**attempt, LONGEST_PAUSE_S) * random.uniform(0.8, 1)  # noqa: S311 - a simulation
            self._clock.after(pause_s, lambda: self.deliver(put, give_up, attempt + 1, since))
        else:
            self._count("InvocationsSentToDlq" if give_up() else "InvocationsFailedToBeSentToDlq")

    def _count(self, name: str) -> None:
        self._metrics.put(key_of("AWS/Events", name, self._dimensions), 1, self._clock.now)


class Function:
    """Lambda: runs the function's code, or fails before it does."""

    def __init__(self, clock: Clock, metrics: Metrics, dimensions: Mapping[str, str], timeout_s: int) -> None:
        self._clock = clock
        self._metrics = metrics
        self._dimensions = dimensions
        self.timeout_s = timeout_s

    def count(self, name: str, value: float = 1) -> None:
        """One of its metrics."""
        self._metrics.put(key_of("AWS/Lambda", name, self._dimensions), value, self._clock.now)

    def invoke(self, run: Callable[[], dict[str, Any] | None], least_s: float = 0.2) -> dict[str, Any] | None:
        """What the function answers; None when it failed.

        `run` may take time. That is over when it returns: other invocations go on beside it.
        """
        self.count("Invocations")
        begun = self._clock.now
        answer = run()
        self._clock.now = max(self._clock.now, begun + least_s)
        self.count("Duration", (self._clock.now - begun) * 1000)
        self.count("Errors", answer is None)
        self._clock.now = begun
        return answer
