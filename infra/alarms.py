"""The alarms as data: what each watches, and how many of the last periods must be bad.

Two things decide the numbers. A lead's next attempt may be an hour away (`longest_delay_seconds`), and a
batch over which the function dies comes back after the queue's visibility timeout: an alarm on what attempts
report looks back further than that, or it would be green between two of them. And an alarm is evaluated every
minute, over periods that end at that minute; where periods have no data, real ones from further back count.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

docs/runbook.md shows what they make of each failure; tests/alarms computes it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from infra.config import DeploymentConfig
from infra.delivery_stack import RULE_NAME, DeliveryStack

_PERIOD_S = 300
# Of SQS's limit of 120,000, both of a standard and of a FIFO queue.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_MANY_IN_FLIGHT = 90_000
_NEAR_PARKING = 0.75
# An outage is one when a lead that is older than this still fails: a short one passes with the first retries.
_OUTAGE_AGE_S = 600
_NOT_BREACHING = cloudwatch.TreatMissingData.NOT_BREACHING


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Red when the metric is above `above` in `bad` of the last `of` periods. `pages`: it is reason enough to
    call somebody, so it is part of the composite.
    """

    name: str
    metric: cloudwatch.IMetric
    above: float = 0
    bad: int = 1
    of: int = 1
    missing: cloudwatch.TreatMissingData = _NOT_BREACHING
    pages: bool = False


def alarms(config: DeploymentConfig, delivery: DeliveryStack) -> tuple[Alarm, ...]:
    """The metric alarms of a stage."""
    watch = _Watch(delivery)
    return (
        *_of_the_function(config, watch),
        *_of_waiting_leads(config, watch),
        *_of_parked_leads(config, watch),
        *_of_the_entrance(config, watch),
        *_of_what_is_needed(config, watch),
    )


def near_parking_seconds(config: DeploymentConfig) -> int:
    """From which age on a waiting lead is near to being parked."""
    return round(_NEAR_PARKING * config.park_after_hours * 3600)


class _Watch:
    """The metrics under the names and dimensions that AWS and the function give them."""

    def __init__(self, delivery: DeliveryStack) -> None:
        self._delivery = delivery

    def own(self, name: Metric, statistic: str = "Sum", period_s: int = _PERIOD_S) -> cloudwatch.Metric:
        """One of the function's own, which CloudWatch reads from its log (embedded metric format)."""
        dimensions = {"service": self._delivery.stack_name}
        return _metric(METRICS_NAMESPACE, name, dimensions, statistic, period_s)

    def function(self, name: str, statistic: str = "Sum") -> cloudwatch.Metric:
        """https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"""
        function = self._delivery.lead_function.function.function_name
        return _metric("AWS/Lambda", name, {"FunctionName": function}, statistic)

    def lead_queue(self, name: str, statistic: str, period_s: int = _PERIOD_S) -> cloudwatch.Metric:
        """The lead queue's."""
        return _of_queue(self._delivery.lead_queue, name, statistic, period_s)

    def rule(self, name: str, period_s: int = _PERIOD_S) -> cloudwatch.Metric:
        """The rule's; one on a custom bus has both dimensions.

        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
        """
        bus = self._delivery.event_bus.event_bus_name
        return _metric("AWS/Events", name, {"EventBusName": bus, "RuleName": RULE_NAME}, "Sum", period_s)

    def parked(self, statistic: str, period_s: int = _PERIOD_S) -> Mapping[str, cloudwatch.IMetric]:
        """What is in each dead-letter queue."""
        queues = {
            "leads": self._delivery.dead_letter_queue,
            "events": self._delivery.rule_dead_letter_queue,
        }
        name = "ApproximateNumberOfMessagesVisible"
        return {key: _of_queue(queue, name, statistic, period_s) for key, queue in queues.items()}


def _of_the_function(config: DeploymentConfig, watch: _Watch) -> Iterator[Alarm]:
    """A batch that Lambda couldn't run or that ended in an error comes back after the visibility timeout."""
    back = _periods(config.visibility_timeout_seconds)
    twice_back = _periods(2 * config.visibility_timeout_seconds)
    # Two, because a single one is over when the batch comes back.
    yield Alarm(name="FunctionFailing", metric=watch.function("Errors"), bad=2, of=twice_back, pages=True)
    yield Alarm(
        name="FunctionThrottled", metric=watch.function("Throttles"), bad=2, of=twice_back, pages=True
    )
    yield Alarm(
        name="FunctionNearTimeout",
        metric=watch.function("Duration", "Maximum"),
        above=config.function_timeout_seconds * 1000 * 0.9,
        of=back,
    )
    # Not the age of the oldest message: SQS leaves out of it what was received three times. Filled, because
    # an idle function has no Invocations; and 3 of 5, because what is reported late is filled, too.
    yield Alarm(
        name="LeadsNotTaken",
        metric=_math(
            "IF((FILL(ready, 0) > 0) AND (FILL(invoked, 0) == 0), 1, 0)",
            ready=watch.lead_queue("ApproximateNumberOfMessagesVisible", "Minimum"),
            invoked=watch.function("Invocations"),
        ),
        bad=3,
        of=5,
        pages=True,
    )


def _of_waiting_leads(config: DeploymentConfig, watch: _Watch) -> Iterator[Alarm]:
    """What attempts report is seen again at the next attempt, after `longest_delay_seconds` at the latest."""
    next_attempt = _periods(config.longest_delay_seconds)
    oldest = watch.own(Metric.OLDEST_RETURNED, "Maximum")
    yield Alarm(
        name="LeadsWaiting",
        metric=oldest,
        above=config.oldest_message_alarm_minutes * 60,
        of=next_attempt,
        pages=True,
    )
    yield Alarm(name="LeadsNearParking", metric=oldest, above=near_parking_seconds(config), of=next_attempt)
    yield Alarm(name="ApiDown", metric=_outage(watch), of=_periods(config.longest_delay_seconds, 900))
    yield Alarm(name="DeliveryBlocked", metric=watch.own(Metric.BLOCKED), of=next_attempt, pages=True)
    yield Alarm(
        name="InFlightNearLimit",
        metric=watch.lead_queue("ApproximateNumberOfMessagesNotVisible", "Maximum"),
        above=_MANY_IN_FLIGHT,
        of=3,
    )


def _outage(watch: _Watch) -> cloudwatch.MathExpression:
    """1 where 7Targets fails more often than it answers, and that for some time.

    An open breaker counts as one failure; the failed calls count where too few leads come to open it. What is
    blocked counts for 7Targets, because then we are to blame. Over a quarter of an hour, so that others
    outweigh one lead that always fails. The function writes BreakerOpen and Blocked with every batch, so both
    sides have a value wherever the oldest one has.
    """
    period_s = 900
    names = {
        "unanswered": Metric.UNANSWERED,
        "failed": Metric.ANSWERED_5XX,
        "tokens": Metric.TOKENS_FAILED,
        "taken": Metric.ANSWERED_2XX,
        "blocked": Metric.BLOCKED,
    }
    return _math(
        "IF((oldest > {age}) AND (MAX([SUM([unanswered, failed, tokens]), breaker]) > SUM([taken, blocked])),"
        " 1, 0)".replace("{age}", str(_OUTAGE_AGE_S)),
        period_s,
        oldest=watch.own(Metric.OLDEST_RETURNED, "Maximum", period_s),
        breaker=watch.own(Metric.BREAKER_OPEN, "Maximum", period_s),
        **{key: watch.own(name, "Sum", period_s) for key, name in names.items()},
    )


def _of_parked_leads(config: DeploymentConfig, watch: _Watch) -> Iterator[Alarm]:
    # Green again some minutes later, so that the next lot tells again.
    yield Alarm(name="LeadsParked", metric=watch.own(Metric.PARKED))
    # Five days, because a lead that SQS's redrive policy moved after its 1,000 receives keeps its first sent
    # time, and may have less than six left. 20 of 24, because a look into the queue hides what is in it.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    six_hours_s = 6 * 3600
    yield Alarm(
        name="LeadsParkedForLong",
        metric=_math("MAX([leads, events])", six_hours_s, **watch.parked("Minimum", six_hours_s)),
        bad=20,
        of=24,
    )
    yield Alarm(
        name="ParkingRefused",
        metric=watch.own(Metric.PARKING_REFUSED),
        of=_periods(config.longest_delay_seconds),
    )
    yield Alarm(
        name="ManyRejected",
        metric=_math(
            "IF((rejected >= 10) AND (rejected > 0.2 * SUM([rejected, delivered])), 1, 0)",
            900,
            rejected=watch.own(Metric.REJECTED, "Sum", 900),
            delivered=watch.own(Metric.DELIVERED, "Sum", 900),
        ),
        of=4,
    )


def _of_the_entrance(config: DeploymentConfig, watch: _Watch) -> Iterator[Alarm]:
    # EventBridge tries again with growing pauses, 185 times in 24 hours: two in an hour are a lasting fault.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    yield Alarm(
        name="EventsUndelivered",
        metric=_math(
            "SUM([retried, events])",
            retried=watch.rule("RetryInvocationAttempts"),
            events=watch.parked("Maximum")["events"],
        ),
        bad=2,
        of=12,
        pages=True,
    )
    # Red for a day after the last one, because each is a lead that is gone.
    yield Alarm(name="EventsLost", metric=watch.rule("InvocationsFailedToBeSentToDlq", 3600), of=24)
    if config.no_leads_alarm_hours:
        sent = watch.lead_queue("NumberOfMessagesSent", "Sum", 3600)
        yield Alarm(
            name="NoLeads",
            metric=_math("IF(FILL(sent, 0) > 0, 0, 1)", 3600, sent=sent),
            bad=config.no_leads_alarm_hours,
            of=config.no_leads_alarm_hours,
            # An idle queue has no metrics after six hours.
            missing=cloudwatch.TreatMissingData.BREACHING,
        )


def _of_what_is_needed(config: DeploymentConfig, watch: _Watch) -> Iterator[Alarm]:
    # The function's own, because DynamoDB's don't show a table that is gone or that it may not use.
    yield Alarm(
        name="LedgerFailing",
        metric=watch.own(Metric.LEDGER_NOT_WRITTEN),
        bad=2,
        of=_periods(2 * config.longest_delay_seconds),
    )
    # Red for a day after the last one, because nothing tells that the plan has room again but the next lead.
    yield Alarm(name="LeadsNotMailed", metric=watch.own(Metric.NOT_MAILED, period_s=3600), of=24)
    if getattr(config, "outcome_events", False):
        yield Alarm(
            name="OutcomeEventsLost",
            metric=watch.own(Metric.OUTCOME_EVENTS_LOST),
            of=_periods(config.longest_delay_seconds),
        )
    if getattr(config, "check_every_minutes", 0):
        yield Alarm(
            name="CheckFailed",
            metric=watch.own(Metric.CHECK_FAILED, "Maximum"),
            # Each check says whether it failed, so between two of them the last one holds.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )


def _periods(seconds: int, period_s: int = _PERIOD_S) -> int:
    """So many periods that what is reported every `seconds` is always in them: some reports come late."""
    return math.ceil(seconds / period_s) + 2


def _metric(
    namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, period_s: int = _PERIOD_S
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic=statistic,
        period=Duration.seconds(period_s),
    )


def _of_queue(queue: sqs.Queue, name: str, statistic: str, period_s: int) -> cloudwatch.Metric:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""
    return _metric("AWS/SQS", name, {"QueueName": queue.queue_name}, statistic, period_s)


def _math(
    expression: str, period_s: int = _PERIOD_S, **metrics: cloudwatch.IMetric
) -> cloudwatch.MathExpression:
    """SUM and MAX of a list take what there is of it; an operator gives nothing where one side has nothing.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    return cloudwatch.MathExpression(
        expression=expression, using_metrics=metrics, period=Duration.seconds(period_s)
    )
