"""The metrics of one stage, the function's own and AWS's, each under the dimensions that it comes with.

SQS  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
Lambda  https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
EventBridge  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
DynamoDB  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
Logs  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
"""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from deliver_leads.contract import METRICS_NAMESPACE, Metric

from .lead_delivery import LeadDelivery

PERIOD = Duration.minutes(5)


class StageMetrics:
    """What can be shown of one stage. `label` and `color` are a graph's; without them CloudWatch chooses."""

    def __init__(self, delivery: LeadDelivery) -> None:
        self._delivery = delivery

    def own(
        self, name: Metric, label: str | None = None, color: str | None = None, *, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        """A metric that the function writes into its log, in the embedded metric format."""
        return _metric(METRICS_NAMESPACE, name, statistic, label, color, service=self._delivery.stack_name)

    def lead_queue(
        self, name: str, label: str | None = None, color: str | None = None, *, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        return _of_queue(self._delivery.lead_queue, name, statistic, label, color)

    def dead_letter_queue(
        self, name: str, label: str | None = None, color: str | None = None
    ) -> cloudwatch.Metric:
        return _of_queue(self._delivery.dead_letter_queue, name, "Maximum", label, color)

    def rule_dead_letter_queue(
        self, name: str, label: str | None = None, color: str | None = None
    ) -> cloudwatch.Metric:
        return _of_queue(self._delivery.rule_dead_letter_queue, name, "Maximum", label, color)

    def rule(self, name: str, label: str | None = None, color: str | None = None) -> cloudwatch.Metric:
        return _metric("AWS/Events", name, "Sum", label, color, **self._delivery.rule_dimensions)

    def function(
        self, name: str, label: str | None = None, color: str | None = None, *, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        function = self._delivery.lead_function.function.function_name
        return _metric("AWS/Lambda", name, statistic, label, color, FunctionName=function)

    def ledger(
        self,
        name: str,
        label: str | None = None,
        color: str | None = None,
        *,
        statistic: str = "Sum",
        **more_dimensions: str,
    ) -> cloudwatch.Metric:
        table = self._delivery.ledger.table_name
        return _metric("AWS/DynamoDB", name, statistic, label, color, TableName=table, **more_dimensions)

    def logged_bytes(self) -> cloudwatch.Metric:
        group = self._delivery.lead_function.log_group.log_group_name
        return _metric("AWS/Logs", "IncomingBytes", "Sum", None, None, LogGroupName=group)


def _of_queue(
    queue: sqs.IQueue, name: str, statistic: str, label: str | None, color: str | None
) -> cloudwatch.Metric:
    return _metric("AWS/SQS", name, statistic, label, color, QueueName=queue.queue_name)


def _metric(
    namespace: str, name: str, statistic: str, label: str | None, color: str | None, **dimensions: str
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        label=label,
        color=color,
        period=PERIOD,
    )
