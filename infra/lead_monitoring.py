"""The alarms over one stage, as a construct, and who gets them."""

from collections.abc import Sequence
from typing import cast

from aws_cdk import Annotations, Aws, CfnOutput, RemovalPolicy, Stack, Tags
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from .alarm_texts import TEXTS
from .alarms import Alarm, alarms, near_parking_seconds
from .dashboard import Dashboard
from .lead_delivery import LeadDelivery

# An alarm that was just made goes from "no data" to OK, and nobody needs a message about that.
# https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
BEGINNING_OR_END = {"$or": [{"NewStateValue": ["ALARM"]}, {"OldStateValue": ["ALARM"]}]}


class LeadMonitoring(Construct):
    """The alarms over a `LeadDelivery`, which needs nothing of this, with the dashboard.

    It may be in the same stack or in another one. `topic` gets the alarms; without it the settings say which.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        delivery: LeadDelivery,
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self._config = delivery.config
        self._delivery = delivery
        self._prefix = stack.stack_name
        self._in_texts = self._names_and_numbers()
        topic = topic or self._topic()
        self._action = actions.SnsAction(topic)
        specs = alarms(delivery)
        made = {spec.name: self._alarm(spec) for spec in specs}
        self._composite(
            [made[spec.name] for spec in specs if spec.pages],
            made["LeadsWaiting"],
            [made[spec.name] for spec in specs if spec.pages_if_leads_wait],
        )
        # The dashboard comes last, because it shows the alarms above.
        dashboard = Dashboard(self, delivery=delivery)
        for key, value in self._config.tags.items():
            Tags.of(self).add(key, value)
        # In the stack itself, so that leadctl finds them by these names whatever the construct's id is.
        CfnOutput(stack, "DashboardUrl", value=dashboard.url)
        CfnOutput(stack, "AlarmTopicArn", value=topic.topic_arn)

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

    def _composite(
        self,
        reasons: Sequence[cloudwatch.Alarm],
        waiting: cloudwatch.Alarm,
        lasting: Sequence[cloudwatch.Alarm],
    ) -> None:
        """The one for a pager: red once, however many of its reasons follow, until the last one is over.

        `lasting` are reasons while `waiting` is red as well.

        Each of its reasons sends a notification too, because its text says what to do; CloudWatch can
        suppress the actions of composite alarms only. docs/alarms.md has the filter for a pager's
        subscription.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm_Suppression.html
        """
        name, rule = "LeadsNotFlowing", cloudwatch.AlarmRule
        composite = cloudwatch.CompositeAlarm(
            self,
            name,
            composite_alarm_name=self._name(name),
            alarm_description=self._text(name),
            alarm_rule=rule.any_of(*reasons, rule.all_of(waiting, rule.any_of(*lasting))),
        )
        self._notify(composite)

    def _notify(self, alarm: cloudwatch.AlarmBase) -> None:
        """Sends the alarm's end as well as its beginning: silence would leave open whether it is over."""
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)

    def _name(self, alarm: str) -> str:
        """A name without CloudFormation's ending: it is an e-mail's subject, and a pager filters by it."""
        return f"{self._prefix}-{alarm}"

    def _text(self, alarm: str) -> str:
        link = f"{self._config.runbook_url}#{alarm.lower()}"
        return TEXTS[alarm].fill(self._in_texts, link)

    def _names_and_numbers(self) -> dict[str, str]:
        config = self._config
        return {
            "stage": config.stage,
            "stack": self._delivery.stack_name,
            "park_hours": str(config.park_after_hours),
            "near_parking_hours": f"{near_parking_seconds(config) / 3600:g}",
            "waiting_minutes": str(config.oldest_message_alarm_minutes),
            "no_leads_hours": str(config.no_leads_alarm_hours),
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
        """A topic with a customer's key, or one of its own: alarms can't publish through AWS's key for SNS.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
        """
        alarms_of_this_account = iam.ServicePrincipal(
            "cloudwatch.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
        )
        key = self._delivery.encryption_key
        if key is None:
            key = kms.Key(self, "AlarmKey", enable_key_rotation=True, removal_policy=RemovalPolicy.DESTROY)
            key.grant(alarms_of_this_account, "kms:Decrypt", "kms:GenerateDataKey*")
        topic = sns.Topic(self, "Alarms", master_key=key, enforce_ssl=True)
        # The TLS policy takes the place of SNS's default one, which lets the account's alarms publish.
        topic.grant_publish(alarms_of_this_account)
        for address in self._config.alarm_emails:
            subscription = topic.add_subscription(subscriptions.EmailSubscription(address))
            resource = cast(sns.CfnSubscription, subscription.node.default_child)
            resource.filter_policy_scope = "MessageBody"
            resource.filter_policy = BEGINNING_OR_END
        if self._config.alarm_emails:
            # leadctl finds out by it who no longer gets the alarms.
            CfnOutput(Stack.of(self), "AlarmEmails", value=",".join(self._config.alarm_emails))
        return topic
