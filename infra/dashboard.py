"""The stage's CloudWatch dashboard; its rows are an operator's questions, the first in large type."""

from collections.abc import Sequence

from aws_cdk import Aws, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from deliver_leads.contract import Metric

from . import log_queries
from .lead_delivery import LeadDelivery
from .running_cost import RunningCost
from .stage_metrics import PERIOD, StageMetrics
from .widgets import COLUMNS, counts, divided, figure, filled, graph, heading, now

# Of a queue; a lead that comes back later holds one of these places all the time.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MOST_IN_FLIGHT = 120_000
_HOUR = Duration.hours(1)
_VISIBLE, _NOT_VISIBLE = "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"
_AGE = "ApproximateAgeOfOldestMessage"
_GREEN, _GREY, _BLUE = cloudwatch.Color.GREEN, cloudwatch.Color.GREY, cloudwatch.Color.BLUE
_ORANGE, _RED, _BROWN = cloudwatch.Color.ORANGE, cloudwatch.Color.RED, cloudwatch.Color.BROWN
_PURPLE = cloudwatch.Color.PURPLE
# Statistic, label and colour of the lines that show how long something takes.
_SPREAD = (("p50", "half", _GREEN), ("p95", "95 of 100", _ORANGE), ("Maximum", "slowest", _RED))


class Dashboard:
    """Makes the dashboard and the saved queries in `scope`, with the alarms that are in it by then.

    `url` opens it in AWS's console.
    """

    def __init__(self, scope: Construct, *, delivery: LeadDelivery) -> None:
        self._config = delivery.config
        self._stage = delivery.stack_name
        self._runbook = delivery.config.runbook_url
        self._log_group = delivery.lead_function.log_group.log_group_name
        self._metrics = StageMetrics(delivery)
        self._save_queries(scope)
        alarms = [each for each in scope.node.find_all() if isinstance(each, cloudwatch.AlarmBase)]
        # The alarm that pages comes first.
        alarms.sort(key=lambda each: not isinstance(each, cloudwatch.CompositeAlarm))
        # An account's dashboards share one list in all Regions, and one replaces another of the same name.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
        name = f"{self._stage}-{Aws.REGION}"
        cloudwatch.Dashboard(
            scope,
            "Dashboard",
            dashboard_name=name,
            default_interval=Duration.hours(12),
            # The titles name the period, so a longer time range mustn't change it.
            period_override=cloudwatch.PeriodOverride.INHERIT,
            widgets=[
                *self._do_leads_flow(alarms),
                *self._who_waits(),
                *self._what_was_not_taken(),
                *self._whose_fault_is_it(),
                *self._does_everything_come_in(),
                *self._does_the_machine_run_well(),
                *self._what_does_it_cost(),
            ],
        )
        url = f"https://{Aws.REGION}.console.aws.amazon.com/cloudwatch/home?region={Aws.REGION}"
        self.url = f"{url}#dashboards/dashboard/{name}"

    def _do_leads_flow(self, alarms: Sequence[cloudwatch.IAlarm]) -> list[list[cloudwatch.IWidget]]:
        metrics = self._metrics
        # The function's event source mapping asks this queue all the time, so it always has metrics.
        base = metrics.lead_queue(_VISIBLE, statistic="Maximum")
        in_flight = metrics.lead_queue(_NOT_VISIBLE, statistic="Maximum")
        return [
            heading(
                f"# Do leads flow? {self._stage}",
                f"What to do about a red alarm is under its name in {self._link()}. "
                "The CDK makes this dashboard: the next deployment undoes a change that is made here.",
            ),
            [
                figure("Delivered in the last hour", self._delivered(base), over=_HOUR),
                figure("Waiting now", now(base, in_flight, base=base)),
                figure("Longest wait in the last hour", self._longest_wait(), over=_HOUR),
                figure(
                    "Parked now: a person must act",
                    now(
                        metrics.dead_letter_queue(_VISIBLE),
                        metrics.rule_dead_letter_queue(_VISIBLE),
                        base=base,
                    ),
                ),
            ],
            [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=COLUMNS, height=4)],
            [
                counts(
                    "Came in, and left",
                    metrics.lead_queue("NumberOfMessagesSent", "came in", _BLUE),
                    metrics.own(Metric.DELIVERED, "delivered", _GREEN),
                    metrics.own(Metric.DUPLICATE, "duplicate", _GREY),
                    metrics.own(Metric.IGNORED, "ignored: a mapping leaves it out", _BROWN),
                    metrics.own(Metric.NOT_MAILED, "delivered, but not e-mailed", _PURPLE),
                    metrics.own(Metric.PARKED, "parked", _RED),
                    width=12,
                ),
                counts(
                    "What the attempts came to",
                    metrics.own(Metric.DELIVERED, "delivered", _GREEN),
                    metrics.own(Metric.DUPLICATE, "duplicate", _GREY),
                    metrics.own(Metric.DEFERRED, "deferred: put off", _BLUE),
                    metrics.own(Metric.RETRY, "retry", _ORANGE),
                    metrics.own(Metric.UNCONFIRMED, "unconfirmed: no answer came", _BROWN),
                    metrics.own(Metric.BLOCKED, "blocked: a setting is wrong", _RED),
                    metrics.own(Metric.REJECTED, "rejected", _PURPLE),
                    stacked=True,
                    width=12,
                ),
            ],
        ]

    def _who_waits(self) -> list[list[cloudwatch.IWidget]]:
        metrics, config = self._metrics, self._config
        in_flight = metrics.lead_queue(_NOT_VISIBLE, "under way, or back later", _BLUE, statistic="Maximum")
        return [
            heading(
                "## Who waits, and how long?",
                "Leads that wait go by themselves when the cause is gone. "
                f"After {config.park_after_hours} hours a lead is parked. {self._link('LeadsWaiting')}",
            ),
            [
                graph(
                    "Leads that wait",
                    metrics.lead_queue(_VISIBLE, "not taken yet", _ORANGE, statistic="Maximum"),
                    in_flight,
                    stacked=True,
                ),
                graph(
                    "Longest wait (minutes)",
                    divided(self._never_tried(), 60, "never tried", _ORANGE),
                    divided(self._sent_back(), 60, "tried and sent back", _BLUE),
                    self._line(),
                    limit=(config.oldest_message_alarm_minutes, "LeadsWaiting"),
                ),
                graph(
                    "From sent to delivered (seconds)",
                    *(
                        metrics.own(Metric.DELIVERY_TIME, label, color, statistic=each)
                        for each, label, color in _SPREAD
                    ),
                ),
                cloudwatch.GaugeWidget(
                    title="In flight, of the most that SQS allows",
                    metrics=[in_flight],
                    left_y_axis=cloudwatch.YAxisProps(min=0, max=MOST_IN_FLIGHT),
                    live_data=True,
                    width=6,
                    height=6,
                ),
            ],
        ]

    def _what_was_not_taken(self) -> list[list[cloudwatch.IWidget]]:
        metrics = self._metrics
        return [
            heading(
                "## What was not taken, and why?",
                "A parked lead gets no e-mails. Fix the cause, then redrive. "
                f"SQS deletes it 14 days after it was parked. {self._link('LeadsParked')}",
            ),
            [
                graph(
                    "Parked",
                    filled(metrics.own(Metric.PARKED, "new in 5 minutes", _RED)),
                    metrics.dead_letter_queue(_VISIBLE, "parked now", _PURPLE),
                    metrics.rule_dead_letter_queue(_VISIBLE, "undelivered by EventBridge", _BROWN),
                    width=12,
                ),
                graph(
                    "Age of the oldest parked lead (days)",
                    divided(metrics.dead_letter_queue(_AGE), 86_400, "oldest", _RED),
                    limit=(14, "SQS deletes it"),
                    width=12,
                ),
            ],
            [
                self._table("Why leads are parked", log_queries.REASONS),
                self._table("Why leads wait", log_queries.WAITING),
            ],
            [
                self._table("Parked last", log_queries.LAST_PARKED),
                self._table("Delivered, but 7Targets doesn't e-mail them", log_queries.NOT_MAILED),
            ],
        ]

    def _whose_fault_is_it(self) -> list[list[cloudwatch.IWidget]]:
        metrics = self._metrics
        return [
            heading(
                "## Whose fault is it: 7Targets', ours, or the lead's?",
                "**7Targets'**: 5xx, 429 or no answer; leads wait and go by themselves. "
                "**Ours**: blocked, tokens refused, a fault on our side; *Why leads wait* names the setting. "
                "**The lead's**: rejected; *Why leads are parked* names field and source.",
            ),
            [
                counts(
                    "What the leads API answered",
                    metrics.own(Metric.ANSWERED_2XX, "2xx: taken", _GREEN),
                    metrics.own(Metric.ANSWERED_4XX, "4xx: refused", _PURPLE),
                    metrics.own(Metric.ANSWERED_429, "429: turned away", _ORANGE),
                    metrics.own(Metric.ANSWERED_5XX, "5xx: failed", _RED),
                    metrics.own(Metric.UNANSWERED, "no answer", _BROWN),
                    stacked=True,
                ),
                graph(
                    "How long the leads API takes (ms)",
                    *(
                        metrics.own(Metric.API_LATENCY, label, color, statistic=each)
                        for each, label, color in _SPREAD
                    ),
                ),
                counts(
                    "Can the leads API be used?",
                    metrics.own(Metric.BREAKER_OPEN, "batches that ended with an open breaker", _RED),
                    metrics.own(Metric.TOKENS_FAILED, "tokens refused", _PURPLE),
                    metrics.own(Metric.TOKENS_FETCHED, "tokens fetched", _GREEN),
                ),
                counts(
                    "Faults on our side",
                    metrics.own(Metric.BLOCKED, "blocked: a setting is wrong", _RED),
                    metrics.function("Errors", "function failed", _BROWN),
                    metrics.own(Metric.LEDGER_NOT_WRITTEN, "ledger not written", _ORANGE),
                    metrics.own(Metric.PARKING_REFUSED, "parking refused", _PURPLE),
                    metrics.own(Metric.VISIBILITY_NOT_SET, "delay not set", _GREY),
                    metrics.own(Metric.CHECK_FAILED, "check failed", _BLUE),
                    metrics.own(Metric.OUTCOME_EVENTS_LOST, "outcome events lost", _GREEN),
                ),
            ],
        ]

    def _does_everything_come_in(self) -> list[list[cloudwatch.IWidget]]:
        metrics = self._metrics
        return [
            heading("## Does everything come in? EventBridge and SQS"),
            [
                counts(
                    "Events from the bus to the lead queue",
                    metrics.rule("MatchedEvents", "taken from the bus", _GREEN),
                    metrics.rule("RetryInvocationAttempts", "tried again", _ORANGE),
                    metrics.rule("FailedInvocations", "given up", _BROWN),
                    metrics.rule("InvocationsSentToDlq", "put into the rule's dead-letter queue", _PURPLE),
                    metrics.rule("InvocationsFailedToBeSentToDlq", "lost", _RED),
                    width=12,
                ),
                counts(
                    "Messages of the lead queue",
                    metrics.lead_queue("NumberOfMessagesSent", "came in", _BLUE),
                    metrics.lead_queue("NumberOfMessagesReceived", "received", _ORANGE),
                    metrics.lead_queue("NumberOfMessagesDeleted", "left", _GREEN),
                    width=12,
                ),
            ],
        ]

    def _does_the_machine_run_well(self) -> list[list[cloudwatch.IWidget]]:
        metrics, config = self._metrics, self._config
        return [
            heading("## Does the machine run well? Lambda and the ledger"),
            [
                counts(
                    "Invocations",
                    metrics.function("Invocations", "invoked", _GREEN),
                    metrics.function("Errors", "failed", _RED),
                    metrics.function("Throttles", "throttled", _ORANGE),
                ),
                graph(
                    "How long an invocation takes (seconds)",
                    *(
                        divided(metrics.function("Duration", statistic=each), 1000, label, color)
                        for each, label, color in _SPREAD
                    ),
                    limit=(config.function_timeout_seconds, "functionTimeoutSeconds"),
                ),
                graph(
                    "Invocations at a time",
                    metrics.function("ConcurrentExecutions", "most", _BLUE, statistic="Maximum"),
                    limit=(config.maximum_concurrency, "maximumConcurrency"),
                ),
                counts(
                    "Ledger",
                    metrics.ledger("ConsumedWriteCapacityUnits", "units written", _GREEN),
                    metrics.ledger("WriteThrottleEvents", "throttled", _RED),
                    right=metrics.ledger(
                        "SuccessfulRequestLatency",
                        "ms of an update (right)",
                        _BLUE,
                        statistic="Average",
                        Operation="UpdateItem",
                    ),
                ),
            ],
        ]

    def _what_does_it_cost(self) -> list[list[cloudwatch.IWidget]]:
        month = Duration.days(30)
        cost = RunningCost(self._config, self._metrics)
        return [
            heading(
                "## What does it cost?",
                "What depends on traffic, at list prices of us-east-1; docs/cost.md has the rest.",
            ),
            [
                figure("USD in the last 30 days", cost.total(), over=month),
                figure("USD for a million delivered leads", *cost.of_a_million(), over=month, width=18),
            ],
        ]

    def _never_tried(self) -> cloudwatch.Metric:
        """The age of the oldest lead that nothing takes: SQS leaves out what was received three times."""
        return self._metrics.lead_queue(_AGE, statistic="Maximum")

    def _sent_back(self) -> cloudwatch.Metric:
        return self._metrics.own(Metric.OLDEST_RETURNED, statistic="Maximum")

    def _delivered(self, base: cloudwatch.Metric) -> cloudwatch.MathExpression:
        """The number of delivered leads: 0, not a gap, where there are none, since `base` always has data."""
        return cloudwatch.MathExpression(
            expression="SUM([delivered, 0 * base])",
            label="leads",
            using_metrics={"delivered": self._metrics.own(Metric.DELIVERED), "base": base},
            period=PERIOD,
        )

    def _line(self) -> cloudwatch.MathExpression:
        """How long all that wait will take, if 7Targets takes as many calls as in this period."""
        metrics = self._metrics
        return cloudwatch.MathExpression(
            expression=f"IF(taken > 0, (visible + hidden) * {PERIOD.to_minutes()} / taken, 0)",
            label="the line: what waits, at this rate",
            color=_GREY,
            using_metrics={
                "taken": metrics.own(Metric.ANSWERED_2XX),
                "visible": metrics.lead_queue(_VISIBLE, statistic="Maximum"),
                "hidden": metrics.lead_queue(_NOT_VISIBLE, statistic="Maximum"),
            },
            period=PERIOD,
        )

    def _longest_wait(self) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression="CEIL(MAX([untried, returned]) / 60)",
            label="minutes",
            using_metrics={"untried": self._never_tried(), "returned": self._sent_back()},
            period=PERIOD,
        )

    def _save_queries(self, scope: Construct) -> None:
        # The console lists them under the stage's name; they cost nothing.
        for name, query in log_queries.SAVED.items():
            words = name.replace("'", "").replace(",", "").split()
            logs.CfnQueryDefinition(
                scope,
                "Query" + "".join(word.capitalize() for word in words),
                name=f"{self._stage}/{name}",
                query_string=query,
                log_group_names=[self._log_group],
            )

    def _table(self, title: str, query: str) -> cloudwatch.LogQueryWidget:
        return cloudwatch.LogQueryWidget(
            title=title, log_group_names=[self._log_group], query_string=query, width=12
        )

    def _link(self, alarm: str = "") -> str:
        where = f"{self._runbook}#{alarm.lower()}" if alarm else self._runbook
        name = f"Runbook: {alarm}" if alarm else "the runbook"
        return f"[{name}]({where})" if where.startswith("https://") else f"{name} ({where})"
