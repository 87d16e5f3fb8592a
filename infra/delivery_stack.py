"""Everything a lead passes through: bus, rule, lead queue, function, ledger and the dead-letter queues."""

from aws_cdk import (
    Acknowledgment,
    CfnOutput,
    Duration,
    RemovalPolicy,
    SecretValue,
    Stack,
    Validations,
)
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deliver_leads.contract import CREDENTIAL_NAMES, PLACEHOLDER, LedgerAttribute
from infra.config import DeploymentConfig
from infra.lead_function import LeadFunction

# Unique on its bus is enough for a rule. Where CloudFormation makes the name, its Ref is "<bus>|<name>".
RULE_NAME = "leads"
# Reserved for events that the integration itself will publish, which must never come back to it as leads.
OWN_EVENT_SOURCE = "7targets-lead-delivery"


class DeliveryStack(Stack):
    """What one stage's leads pass through. CloudFormation names what it can, so that stages never collide."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, code: lambda_.Code
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=f"LeadDelivery-{config.stage}",
            description=f"Delivers leads to 7Targets ({config.stage})",
        )
        self._config = config
        self._removal = RemovalPolicy.RETAIN if config.keep_data else RemovalPolicy.DESTROY
        self.dead_letter_queue = self._queue("DeadLetterQueue", fifo=config.fifo)
        self.lead_queue = self._queue(
            "LeadQueue",
            fifo=config.fifo,
            visibility_timeout=Duration.seconds(config.visibility_timeout_seconds),
            # SQS's most: the function parks a lead by its age, a lower count would park leads in an outage.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letter_queue, max_receive_count=1000),
        )
        # EventBridge takes no FIFO queue here.
        self.rule_dead_letter_queue = self._queue("RuleDeadLetterQueue", fifo=False)
        Validations.of(self.rule_dead_letter_queue).acknowledge(
            Acknowledgment(id="AwsSolutions-SQS3", reason="It is a dead-letter queue: the rule's target's.")
        )
        # The only resource that AWS wants a name for.
        self.event_bus = events.EventBus(self, "EventBus", event_bus_name=self.stack_name)
        self._rule(self.event_bus)
        secret = self._secret()
        self.ledger = self._ledger()
        self.lead_function = LeadFunction(
            self,
            "DeliverLeads",
            config=config,
            code=code,
            lead_queue=self.lead_queue,
            dead_letter_queue=self.dead_letter_queue,
            secret=secret,
            ledger=self.ledger,
        )
        for name, value in {
            "LeadQueueUrl": self.lead_queue.queue_url,
            "LeadQueueArn": self.lead_queue.queue_arn,
            "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "DeadLetterQueueArn": self.dead_letter_queue.queue_arn,
            "RuleDeadLetterQueueUrl": self.rule_dead_letter_queue.queue_url,
            "EventBusName": self.event_bus.event_bus_name,
            "EventRuleName": RULE_NAME,
            "FunctionName": self.lead_function.function.function_name,
            "LogGroupName": self.lead_function.log_group.log_group_name,
            # The ARN on AWS; every call that takes a secret's name takes that too.
            "SecretName": secret.secret_arn,
            "LedgerTableName": self.ledger.table_name,
            "EventSourceMappingId": self.lead_function.event_source_mapping.event_source_mapping_id,
        }.items():
            CfnOutput(self, name, value=value)

    def _queue(
        self,
        name: str,
        *,
        fifo: bool,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        """A queue encrypted by SQS, for TLS only, with SQS's longest retention.

        A FIFO queue has another id in the template. So the monitoring stack's references change with the
        queue, and its alarms follow; with the same id they would go on watching the queue that is gone.
        """
        return sqs.Queue(
            self,
            f"Fifo{name}" if fifo else name,
            # CloudFormation takes "true" or nothing.
            fifo=fifo or None,
            # So that EventBridge and producers need not give an id. Two equal bodies within 5 minutes are one
            # message then, unless their producer gives each a MessageDeduplicationId.
            content_based_deduplication=fifo or None,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
            removal_policy=self._removal,
        )

    def _rule(self, bus: events.EventBus) -> None:
        """All events go to the lead queue whole: the envelope's id and time are of use in the function."""
        target = targets.SqsQueue(
            self.lead_queue,
            # A rule has constant groups only, so all its leads are in one strict order.
            message_group_id="leads" if self._config.fifo else None,
            dead_letter_queue=self.rule_dead_letter_queue,
            # EventBridge's most, both.
            max_event_age=Duration.hours(24),
            retry_attempts=185,
        )
        # Everything else, whatever its type and source: what no rule takes is gone after a 200. The function
        # rejects what isn't a lead event or comes from a source that isn't listed, and says why.
        pattern = events.EventPattern(source=events.Match.anything_but(OWN_EVENT_SOURCE))
        events.Rule(
            self, "LeadRule", rule_name=RULE_NAME, event_bus=bus, event_pattern=pattern, targets=[target]
        )

    def _secret(self) -> secretsmanager.Secret:
        """The place of the credentials. Once an operator has filled it, a deployment leaves its value alone:
        CloudFormation writes a value only when the template's own has changed.
        """
        secret = secretsmanager.Secret(
            self,
            "Credentials",
            description="7Targets: client_id and client_secret from support, user_identifier from the app",
            secret_object_value={key: SecretValue.unsafe_plain_text(PLACEHOLDER) for key in CREDENTIAL_NAMES},
            removal_policy=self._removal,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(id="AwsSolutions-SMG4", reason="7Targets gives credentials out by e-mail only.")
        )
        return secret

    def _ledger(self) -> dynamodb.Table:
        keep = self._config.keep_data
        table = dynamodb.Table(
            self,
            "Ledger",
            partition_key=dynamodb.Attribute(
                name=LedgerAttribute.PARTITION_KEY, type=dynamodb.AttributeType.STRING
            ),
            sort_key=dynamodb.Attribute(name=LedgerAttribute.SORT_KEY, type=dynamodb.AttributeType.STRING),
            time_to_live_attribute=LedgerAttribute.EXPIRY,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=keep
            ),
            deletion_protection=keep,
            removal_policy=self._removal,
        )
        if not keep:
            Validations.of(table).acknowledge(
                Acknowledgment(id="AwsSolutions-DDB3", reason="keepData is false: a stage whose data may go.")
            )
        return table
