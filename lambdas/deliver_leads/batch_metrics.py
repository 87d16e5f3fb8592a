"""A batch's metrics: what is counted, and what is written although it is zero."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from .api.call_tally import CallTally
from .attempt import Attempt
from .breaker import CircuitBreaker
from .contract import Metric
from .event.lead import Operation

# Written by every batch, so that their alarms distinguish "well" from "no traffic", and turn OK by data. With
# its zeros a metric costs USD 0.30 in healthy months too, so all others are written only when they occur.
WRITTEN_AS_ZERO = (Metric.PARKED, Metric.BLOCKED, Metric.LEDGER_NOT_WRITTEN, Metric.BREAKER_OPEN)
# The vendor's words, in lower case, for a lead that it holds and doesn't e-mail; `New` is beyond the plan.
UNMAILED_STATES = {"new", "deactivated", "pending"}


class BatchMetrics:
    """Writes metrics through Powertools, which prints them when the invocation ends.

    Not for threads: Powertools' `Metrics` counts twice under them. An environment that crashes loses the
    metrics of one batch only, because each batch writes its own.
    """

    def __init__(self, metrics: Metrics, calls: CallTally, breaker: CircuitBreaker) -> None:
        self._metrics = metrics
        self._calls = calls
        self._breaker = breaker

    def write(self, attempts: Sequence[Attempt], visibility_not_set: int) -> None:
        """To be called once for each batch, when all of its calls have ended."""
        counts, latencies_ms = self._calls.drain()
        counts.update(_count(attempts))
        counts[Metric.VISIBILITY_NOT_SET] = visibility_not_set
        counts[Metric.BREAKER_OPEN] = int(self._breaker.is_open)
        self._write_each(Metric.API_LATENCY, MetricUnit.Milliseconds, latencies_ms)
        self._write_each(Metric.DELIVERY_TIME, MetricUnit.Seconds, _delivery_times_s(attempts))
        # Counts come last, so that something is left to print at the invocation's end: Powertools warns if
        # nothing is.
        for name, count in counts.items():
            if count or name in WRITTEN_AS_ZERO:
                self._metrics.add_metric(name, MetricUnit.Count, count)
        # SQS's own age metric leaves out messages that were received three times or more.
        ages_s = [time.time() - each.message.sent_at for each in attempts if each.delay_s is not None]
        if ages_s:
            self._metrics.add_metric(Metric.OLDEST_RETURNED, MetricUnit.Seconds, round(max(ages_s)))

    def write_lost_events(self, count: int) -> None:
        """To be called once for each batch where outcome events are sent; 0 when all of them were."""
        self._metrics.add_metric(Metric.OUTCOME_EVENTS_LOST, MetricUnit.Count, count)

    def _write_each(self, name: Metric, unit: MetricUnit, values: Iterable[float]) -> None:
        """Writes each value by itself, so that CloudWatch can give percentiles. Powertools prints after every
        100th.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
        """
        for value in values:
            self._metrics.add_metric(name, unit, value)


def _count(attempts: Iterable[Attempt]) -> Counter[Metric]:
    """Counts each attempt once under its outcome, or as deferred; and what else it shows."""
    counts = Counter(dict.fromkeys(WRITTEN_AS_ZERO, 0))
    for attempt in attempts:
        counts[Metric.DEFERRED if attempt.deferred else Metric[attempt.outcome.name]] += 1
        counts[Metric.PARKED] += attempt.parked
        counts[Metric.PARKING_REFUSED] += attempt.parking_refused
        counts[Metric.LEDGER_NOT_WRITTEN] += not attempt.ledger_written
        counts[Metric.NOT_MAILED] += _is_not_mailed(attempt)
    return counts


def _delivery_times_s(attempts: Iterable[Attempt]) -> list[float]:
    return [round(each.delivery_s, 1) for each in attempts if each.delivery_s is not None]


def _is_not_mailed(attempt: Attempt) -> bool:
    """Whether 7Targets sends the lead no e-mails, although nobody asked for that, as a stop does."""
    was_stopped = attempt.reading.operation is Operation.STOP_FOLLOWUP
    return not was_stopped and (attempt.lead_state or "").lower() in UNMAILED_STATES
