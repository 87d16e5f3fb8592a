"""The alarms over one stage, and who gets them."""

from collections.abc import Sequence

from aws_cdk import Annotations, Aws, CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.alarm_texts import TEXTS
from infra.alarms import Alarm, alarms, near_parking_seconds
from infra.config import DeploymentConfig
from infra.dashboard import Dashboard
from infra.delivery_stack import DeliveryStack, environment


class MonitoringStack(Stack):
    """The alarms over one stage's `DeliveryStack`, which needs nothing of this stack."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, delivery: DeliveryStack
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=environment(config),
            stack_name=f"LeadMonitoring-{config.stage}",
            description=f"Alarms over the delivery of leads to 7Targets ({config.stage})",
        )
        self._config = config
        self._in_texts = self._names_and_numbers(delivery)
        topic = self._topic()
        self._action = actions.SnsAction(topic)
        specs = alarms(config, delivery)
        made = {spec.name: self._alarm(spec) for spec in specs}
        self._composite([made[spec.name] for spec in specs if spec.pages])
        # The dashboard comes last, because it shows the alarms above.
        Dashboard(self, config=config, delivery=delivery, runbook=config.runbook_url)
        CfnOutput(self, "AlarmTopicArn", value=topic.topic_arn)

    def _alarm(self, spec: Alarm) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            spec.name,
            alarm_name=self._name(spec.name),
            alarm_description=self._text(spec.name),
            metric=spec.metric,
            threshold=spec.above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            datapoints_to_alarm=spec.bad,
            evaluation_periods=spec.of,
            treat_missing_data=spec.missing,
        )
        self._notify(alarm)
        return alarm

    def _composite(self, reasons: Sequence[cloudwatch.Alarm]) -> None:
        """The one for a pager: red once, however many of its reasons follow, until the last one is over.

        Each of its reasons sends a notification too, because its text says what to do; CloudWatch can
        suppress the actions of composite alarms only. The runbook gives the filter for a pager's
        subscription.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
        """
        name = "LeadsNotFlowing"
        red = [cloudwatch.AlarmRule.from_alarm(each, cloudwatch.AlarmState.ALARM) for each in reasons]
        composite = cloudwatch.CompositeAlarm(
            self,
            name,
            composite_alarm_name=self._name(name),
            alarm_description=self._text(name),
            alarm_rule=cloudwatch.AlarmRule.any_of(*red),
        )
        self._notify(composite)

    def _notify(self, alarm: cloudwatch.AlarmBase) -> None:
        """Sends the alarm's end as well as its beginning: silence would leave open whether it is over."""
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)

    def _name(self, alarm: str) -> str:
        """A name without CloudFormation's ending: it is an e-mail's subject, and a pager filters by it."""
        return f"{self.stack_name}-{alarm}"

    def _text(self, alarm: str) -> str:
        link = f"{self._config.runbook_url}#{alarm.lower()}"
        return TEXTS[alarm].fill(self._in_texts, link)

    def _names_and_numbers(self, delivery: DeliveryStack) -> dict[str, str]:
        config, function = self._config, delivery.lead_function
        return {
            "stage": config.stage,
            "prefix": self.stack_name,
            "park_hours": str(config.park_after_hours),
            "near_parking_hours": f"{near_parking_seconds(config) / 3600:g}",
            "waiting_minutes": str(config.oldest_message_alarm_minutes),
            "no_leads_hours": str(config.no_leads_alarm_hours),
            "function": function.function.function_name,
            "log_group": function.log_group.log_group_name,
            "mapping": function.event_source_mapping.event_source_mapping_id,
            "lead_queue": delivery.lead_queue.queue_url,
            "dead_letter_queue": delivery.dead_letter_queue.queue_url,
            "rule_dead_letter_queue": delivery.rule_dead_letter_queue.queue_url,
            "bus": config.event_bus_name or delivery.event_bus.event_bus_name,
            "rule": delivery.rule_dimensions["RuleName"],
        }

    def _topic(self) -> sns.ITopic:
        config = self._config
        if config.alarm_topic_arn:
            return sns.Topic.from_topic_arn(self, "Alarms", config.alarm_topic_arn)
        if config.keep_data and not config.alarm_emails:
            Annotations.of(self).add_warning_v2(
                "alarmsReachNobody",
                f"No alarm of the stage {config.stage} reaches anybody: set alarmEmails or alarmTopicArn.",
            )
        return self._own_topic()

    def _own_topic(self) -> sns.Topic:
        """A topic with a key of its own: alarms can't publish through AWS's key for SNS.

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
        for address in self._config.alarm_emails:
            topic.add_subscription(subscriptions.EmailSubscription(address))
        return topic
