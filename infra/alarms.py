"""The alarms as data: what each watches, over how long a time.

An alarm on a metric of attempts looks back further than the time between two attempts, because it would be
green between them otherwise: a lead's next attempt may be an hour away (`longest_delay_seconds`), and a batch
over which the function crashes comes back after the queue's visibility timeout. The alarm looks back over one
long period. CloudWatch evaluates it every minute, over the period that ends at that minute, so one period is
a window that slides. Several short periods would begin at other times at each evaluation: two events would
now be in one of them and now in two, and the alarm would flap. The period is filled with zeros, because where
the latest period has no data, CloudWatch goes back to earlier ones.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

docs/alarms.md shows what they make of each failure; sim/alarms computes it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from deliver_leads.contract import Metric, OutcomeEventsMode

from .config import DeploymentConfig
from .lead_delivery import LeadDelivery
from .stage_metrics import StageMetrics

_SHORT_S, _QUARTER_S, _HOUR_S, _DAY_S = 300, 900, 3600, 86_400
# Of SQS's limit of 120,000.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
_MANY_IN_FLIGHT = 90_000
_NEAR_PARKING = 0.75
# A fault counts as an outage when a lead older than this still fails, because the first retries outlast a
# short one.
_OUTAGE_AGE_S = 600


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Red when the metric is above `above`: in the last period, or in `bad` of the last `of` periods.

    `pages`: it is reason enough to call somebody, so it is part of the composite. `pages_if_leads_wait`: only
    while `LeadsWaiting` is red, too, which alone calls nobody, because an API at its limit isn't down.
    """

    name: str
    metric: cloudwatch.IMetric
    above: float = 0
    bad: int = 1
    of: int = 1
    missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING
    pages: bool = False
    pages_if_leads_wait: bool = False


def alarms(delivery: LeadDelivery) -> tuple[Alarm, ...]:
    """The metric alarms of a stage."""
    config = delivery.config
    watch = StageMetrics(delivery)
    return (
        *_of_the_function(config, watch),
        *_of_waiting_leads(config, watch),
        *_of_parked_leads(config, watch),
        *_of_the_entrance(config, watch),
        *_of_what_is_needed(config, watch),
    )


def near_parking_seconds(config: DeploymentConfig) -> int:
    """The age from which on a waiting lead is near to being parked."""
    return round(_NEAR_PARKING * config.park_after_hours * 3600)


def _of_the_function(config: DeploymentConfig, watch: StageMetrics) -> Iterator[Alarm]:
    """They look back beyond the visibility timeout, after which a batch that Lambda couldn't run returns."""
    back_s = _window_s(config.visibility_timeout_seconds)
    twice_back_s = _window_s(2 * config.visibility_timeout_seconds)
    # Red from the second error on, because a single one is over when the batch comes back.
    for name, metric in {"FunctionFailing": "Errors", "FunctionThrottled": "Throttles"}.items():
        yield Alarm(
            name=name, metric=_filled(_over(watch.function(metric), "Sum", twice_back_s)), above=1, pages=True
        )
    yield Alarm(
        name="FunctionNearTimeout",
        metric=_filled(_over(watch.function("Duration"), "Maximum", back_s)),
        above=config.function_timeout_seconds * 1000 * 0.9,
    )
    # Not the metric of the oldest message's age, because SQS leaves out messages that were received three
    # times.
    yield Alarm(
        name="LeadsNotTaken",
        metric=_math(
            "IF((FILL(ready, 0) > 0) AND (FILL(received, 0) == 0), 1, 0)",
            ready=_over(watch.lead_queue("ApproximateNumberOfMessagesVisible"), "Minimum", _QUARTER_S),
            # Not Lambda's invocations, because a check on a schedule is an invocation, too.
            received=_over(watch.lead_queue("NumberOfMessagesReceived"), "Sum", _QUARTER_S),
        ),
        pages=True,
    )


def _of_waiting_leads(config: DeploymentConfig, watch: StageMetrics) -> Iterator[Alarm]:
    """A metric of an attempt is refreshed by the next attempt, at most `longest_delay_seconds` later."""
    next_attempt_s = _window_s(config.longest_delay_seconds)
    oldest = _filled(_over(watch.own(Metric.OLDEST_RETURNED), "Maximum", next_attempt_s))
    waiting_s = config.oldest_message_alarm_minutes * 60
    yield Alarm(name="LeadsWaiting", metric=oldest, above=waiting_s)
    yield Alarm(name="LeadsNearParking", metric=oldest, above=near_parking_seconds(config))
    yield Alarm(name="ApiDown", metric=_outage(watch, next_attempt_s), pages_if_leads_wait=True)
    blocked = _filled(_over(watch.own(Metric.BLOCKED), "Sum", next_attempt_s))
    yield Alarm(name="DeliveryBlocked", metric=blocked, pages=True)
    in_flight = _over(watch.lead_queue("ApproximateNumberOfMessagesNotVisible"), "Maximum", _SHORT_S)
    yield Alarm(name="InFlightNearLimit", metric=_filled(in_flight), above=_MANY_IN_FLIGHT)


def _outage(watch: StageMetrics, window_s: int) -> cloudwatch.MathExpression:
    """1 while 7Targets has been failing for some time.

    It counts as failing while a breaker is open because calls failed; or, since a few leads don't open a
    breaker, while failed calls outnumber successful ones two to one: fewer may come from one lead that always
    fails. A blocked call is our fault, so it counts as successful; a
    429 as neither, because an API at its limit isn't down. The function writes BreakerOpen and
    Blocked with every batch, so that each side has a value whenever there are attempts.
    """
    sums = {
        "unanswered": Metric.UNANSWERED,
        "failed": Metric.ANSWERED_5XX,
        "tokens": Metric.TOKENS_FAILED,
        "taken": Metric.ANSWERED_2XX,
        "blocked": Metric.BLOCKED,
    }
    most = {"oldest": Metric.OLDEST_RETURNED, "breaker": Metric.BREAKER_OPEN}
    faults = "SUM([unanswered, failed, tokens, breaker])"
    is_open = f"(breaker > blocked) AND ({faults} > breaker)"
    is_failing = f"{faults} > breaker + 2 * SUM([taken, blocked])"
    return _math(
        f"IF(FILL(oldest, 0) > {_OUTAGE_AGE_S}, IF(({is_open}) OR ({is_failing}), 1, 0), 0)",
        **{key: _over(watch.own(name), "Maximum", window_s) for key, name in most.items()},
        **{key: _over(watch.own(name), "Sum", window_s) for key, name in sums.items()},
    )


def _of_parked_leads(config: DeploymentConfig, watch: StageMetrics) -> Iterator[Alarm]:
    # Green again some minutes later, so that the next parked leads raise it again.
    yield Alarm(name="LeadsParked", metric=_filled(_over(watch.own(Metric.PARKED), "Sum", _SHORT_S)))
    # Five days, because a lead that SQS's redrive policy moved after its 1,000 receives keeps its first sent
    # time, and may have less than six days left. Of six, because whoever looks into the queue hides its
    # messages.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    yield Alarm(
        name="LeadsParkedForLong",
        metric=_math("MAX([leads, events])", **_parked(watch, "Minimum", 6 * 3600)),
        bad=20,
        of=24,
    )
    refused = _over(watch.own(Metric.PARKING_REFUSED), "Sum", _window_s(config.longest_delay_seconds))
    yield Alarm(name="ParkingRefused", metric=_filled(refused), pages_if_leads_wait=True)
    yield Alarm(
        name="ManyRejected",
        metric=_math(
            # One lead that can't be parked is rejected up to 13 times in an hour.
            "IF(FILL(rejected, 0) >= 15, IF(rejected > 0.2 * SUM([rejected, delivered]), 1, 0), 0)",
            rejected=_over(watch.own(Metric.REJECTED), "Sum", _HOUR_S),
            delivered=_over(watch.own(Metric.DELIVERED), "Sum", _HOUR_S),
        ),
    )


def _of_the_entrance(config: DeploymentConfig, watch: StageMetrics) -> Iterator[Alarm]:
    # EventBridge tries an event 185 times in 24 hours, with growing pauses: more than seven times in an hour.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    yield Alarm(
        name="EventsUndelivered",
        metric=_math(
            "IF((FILL(retried, 0) > 3) OR (FILL(events, 0) > 0), 1, 0)",
            retried=_over(watch.rule("RetryInvocationAttempts"), "Sum", _HOUR_S),
            events=_parked(watch, "Maximum", _HOUR_S)["events"],
        ),
        pages=True,
    )
    # Red for a day after the last lost event, because each is a lead that is gone.
    lost = _over(watch.rule("InvocationsFailedToBeSentToDlq"), "Sum", _DAY_S)
    yield Alarm(name="EventsLost", metric=_filled(lost), pages=True)
    if config.no_leads_alarm_hours:
        sent = _over(watch.lead_queue("NumberOfMessagesSent"), "Sum", _HOUR_S)
        yield Alarm(
            name="NoLeads",
            metric=_math("IF(FILL(sent, 0) > 0, 0, 1)", sent=sent),
            bad=config.no_leads_alarm_hours,
            of=config.no_leads_alarm_hours,
            # An idle queue has no metrics after six hours.
            missing=cloudwatch.TreatMissingData.BREACHING,
        )


def _of_what_is_needed(config: DeploymentConfig, watch: StageMetrics) -> Iterator[Alarm]:
    # The function's own metric, because DynamoDB's don't show a table that is gone or that the function may
    # not use. Red from the second on, because a single failed write is over with the next attempt.
    unwritten = _over(
        watch.own(Metric.LEDGER_NOT_WRITTEN), "Sum", _window_s(2 * config.longest_delay_seconds)
    )
    yield Alarm(name="LedgerFailing", metric=_filled(unwritten), above=1, pages_if_leads_wait=True)
    # Red for a day after the last one, because only the next lead shows whether the plan has room again.
    yield Alarm(name="LeadsNotMailed", metric=_filled(_over(watch.own(Metric.NOT_MAILED), "Sum", _DAY_S)))
    if config.outcome_events != OutcomeEventsMode.OFF:
        lost = _over(watch.own(Metric.OUTCOME_EVENTS_LOST), "Sum", _HOUR_S)
        yield Alarm(name="OutcomeEventsLost", metric=_filled(lost))
    if config.check_every_minutes:
        yield Alarm(
            name="CheckFailed",
            metric=_over(watch.own(Metric.CHECK_FAILED), "Maximum", _SHORT_S),
            # Each check reports whether it failed, so its result holds until the next one.
            missing=cloudwatch.TreatMissingData.IGNORE,
        )


def _window_s(seconds: int) -> int:
    """A period that always holds a value of a metric that is written every `seconds`, even if some come late.

    CloudWatch takes a multiple of 60 s.
    """
    return math.ceil((seconds + 600) / 60) * 60


def _over(metric: cloudwatch.Metric, statistic: str, period_s: int) -> cloudwatch.Metric:
    return metric.with_(statistic=statistic, period=Duration.seconds(period_s))


def _parked(watch: StageMetrics, statistic: str, period_s: int) -> Mapping[str, cloudwatch.IMetric]:
    name = "ApproximateNumberOfMessagesVisible"
    queues = {"leads": watch.dead_letter_queue(name), "events": watch.rule_dead_letter_queue(name)}
    return {key: _over(metric, statistic, period_s) for key, metric in queues.items()}


def _filled(metric: cloudwatch.Metric) -> cloudwatch.MathExpression:
    """The metric, with 0 for a period without data."""
    return _math("FILL(found, 0)", found=metric)


def _math(expression: str, **metrics: cloudwatch.IMetric) -> cloudwatch.MathExpression:
    """Metric math. SUM and MAX leave out metrics without data; an operator gives no value where one side has
    none.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    # The expression's period replaces those of its metrics, so it is set to theirs.
    period = next(metric.period for metric in metrics.values() if isinstance(metric, cloudwatch.Metric))
    return cloudwatch.MathExpression(expression=expression, using_metrics=metrics, period=period)
