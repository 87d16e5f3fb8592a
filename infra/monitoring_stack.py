"""The alarms that ring when leads stop flowing, and their topic."""

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from infra.config import DeploymentConfig
from infra.dashboard import Dashboard
from infra.delivery_stack import DeliveryStack

_PERIOD = Duration.minutes(5)
_RUNBOOK = "docs/runbook.md"


class MonitoringStack(Stack):
    """The alarms over one stage's `DeliveryStack`, which needs nothing of this stack."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, delivery: DeliveryStack
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=f"LeadMonitoring-{config.stage}",
            description=f"Alarms over the delivery of leads to 7Targets ({config.stage})",
        )
        self._action = actions.SnsAction(self._topic(config.alarm_email))
        # Visible messages, not NumberOfMessagesSent: that doesn't count what a redrive policy moved.
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
        self._alarm(
            "LeadsParked",
            "Leads are in the dead-letter queue: 7Targets rejected them, or they could not be confirmed.",
            delivery.dead_letter_queue.metric_approximate_number_of_messages_visible(
                statistic="Maximum", period=_PERIOD
            ),
        )
        self._alarm(
            "EventsUndelivered",
            "EventBridge could not put events into the lead queue; they are in the rule's dead-letter queue.",
            delivery.rule_dead_letter_queue.metric_approximate_number_of_messages_visible(
                statistic="Maximum", period=_PERIOD
            ),
        )
        # Two alarms: on a standard queue this metric leaves out messages that were received three times and
        # more, so it shows leads that are never received; the function's own shows leads that it returns.
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
        minutes = config.oldest_message_alarm_minutes
        self._alarm(
            "LeadsNotTaken",
            f"A lead has waited for more than {minutes} minutes: the function doesn't take leads in.",
            delivery.lead_queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_PERIOD),
            threshold=minutes * 60,
        )
        self._alarm(
            "LeadsWaiting",
            f"A lead was tried and sent back for more than {minutes} minutes: the function's log says why.",
            _own_metric(delivery, Metric.OLDEST_RETURNED, "Maximum"),
            threshold=minutes * 60,
        )
        self._alarm(
            "DeliveryBlocked",
            "Leads wait: the credentials are missing or refused. The function's log names the setting.",
            _own_metric(delivery, Metric.BLOCKED, "Sum"),
        )
        # Last, because it shows the alarms above.
        Dashboard(self, config=config, delivery=delivery, runbook=_RUNBOOK)

    def _alarm(self, name: str, description: str, metric: cloudwatch.IMetric, *, threshold: int = 0) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            # SQS sends no metrics of a queue that is idle for hours; the function sends none without leads.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)

    def _topic(self, email: str) -> sns.Topic:
        """The alarms' topic, with a key of its own: alarms can't publish through AWS's key for SNS.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
        """
        key = kms.Key(self, "AlarmKey", enable_key_rotation=True, removal_policy=RemovalPolicy.DESTROY)
        topic = sns.Topic(self, "Alarms", master_key=key, enforce_ssl=True)
        alarms_of_this_account = iam.ServicePrincipal(
            "cloudwatch.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        )
        # The TLS policy takes the place of SNS's default one, which lets the account's alarms publish.
        topic.grant_publish(alarms_of_this_account)
        key.grant(alarms_of_this_account, "kms:Decrypt", "kms:GenerateDataKey*")
        if email:
            topic.add_subscription(subscriptions.EmailSubscription(email))
        return topic


def _own_metric(delivery: DeliveryStack, name: Metric, statistic: str) -> cloudwatch.Metric:
    """A metric of the function's own, which CloudWatch reads from its log (embedded metric format)."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={"service": delivery.stack_name},
        statistic=statistic,
        period=_PERIOD,
    )
