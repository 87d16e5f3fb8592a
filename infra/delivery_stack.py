"""Everything a lead passes through: bus, rule, lead queue, function, ledger and the dead-letter queues."""

from aws_cdk import (
    Acknowledgment,
    ArnFormat,
    Aws,
    CfnOutput,
    Duration,
    Environment,
    Fn,
    RemovalPolicy,
    SecretValue,
    Stack,
    Validations,
)
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deliver_leads.contract import CREDENTIAL_NAMES, PLACEHOLDER, LedgerAttribute
from infra.access_policies import operator_policy, producer_policy
from infra.check_schedule import CheckSchedule
from infra.config import DeploymentConfig
from infra.entrance import add_rule, event_bus, rule_dimensions, rule_name, subscribe_to_topics
from infra.lead_function import LeadFunction


def environment(config: DeploymentConfig) -> Environment:
    """Where the CDK's command line may deploy the stage; anywhere, as far as the settings don't say."""
    return Environment(account=config.account or None, region=config.region or None)


class DeliveryStack(Stack):
    """What one stage's leads pass through. CloudFormation names what it can, so that stages never collide."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, code: lambda_.Code
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=environment(config),
            stack_name=f"LeadDelivery-{config.stage}",
            description=f"Delivers leads to 7Targets ({config.stage})",
            termination_protection=config.keep_data,
        )
        self._config = config
        # What a failed first deployment made goes with it, whatever the policy: it holds nothing yet.
        self._removal = (
            RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if config.keep_data else RemovalPolicy.DESTROY
        )
        lead_queue_name = self._lead_queue_name()
        self.dead_letter_queue = self._queue(
            "DeadLetterQueue",
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                source_queues=[self._queue_named(lead_queue_name)],
            ),
        )
        self.lead_queue = self._queue(
            "LeadQueue",
            queue_name=lead_queue_name,
            visibility_timeout=Duration.seconds(config.visibility_timeout_seconds),
            # SQS's maximum, because the function parks leads by age; a lower count would park leads in an
            # outage.
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letter_queue, max_receive_count=1000),
        )
        self.rule_dead_letter_queue = self._queue("RuleDeadLetterQueue")
        Validations.of(self.rule_dead_letter_queue).acknowledge(
            Acknowledgment(id="AwsSolutions-SQS3", reason="It is a dead-letter queue: the rule's target's.")
        )
        self.event_bus = event_bus(self, config)
        self.rule_dimensions = rule_dimensions(self, config, self.event_bus)
        rule = add_rule(
            self,
            config,
            bus=self.event_bus,
            lead_queue=self.lead_queue,
            dead_letter_queue=self.rule_dead_letter_queue,
        )
        subscribe_to_topics(
            self,
            config,
            lead_queue=self.lead_queue,
            # What couldn't get into the lead queue lies in one place.
            dead_letter_queue=self.rule_dead_letter_queue,
        )
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
            event_bus=self.event_bus,
            removal=self._removal,
        )
        if config.check_every_minutes:
            CheckSchedule(self, "Check", self.lead_function.function, config.check_every_minutes)
        producers = producer_policy(self, config, lead_queue=self.lead_queue, bus=self.event_bus)
        operators = operator_policy(
            self,
            config,
            lead_queue=self.lead_queue,
            dead_letter_queue=self.dead_letter_queue,
            rule_dead_letter_queue=self.rule_dead_letter_queue,
            secret=secret,
            ledger=self.ledger,
            lead_function=self.lead_function,
            rule=rule,
        )
        for name, value in {
            "LeadQueueUrl": self.lead_queue.queue_url,
            "LeadQueueArn": self.lead_queue.queue_arn,
            "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "DeadLetterQueueArn": self.dead_letter_queue.queue_arn,
            "RuleDeadLetterQueueUrl": self.rule_dead_letter_queue.queue_url,
            "EventBusName": config.event_bus_name or self.event_bus.event_bus_name,
            "EventRuleName": rule_name(self, config),
            "FunctionName": self.lead_function.function.function_name,
            "LogGroupName": self.lead_function.log_group.log_group_name,
            # On AWS this is the ARN; every call that takes a secret's name takes the ARN too.
            "SecretName": secret.secret_arn,
            "LedgerTableName": self.ledger.table_name,
            "EventSourceMappingId": self.lead_function.event_source_mapping.event_source_mapping_id,
            "ProducerPolicyArn": producers.managed_policy_arn,
            "OperatorPolicyArn": operators.managed_policy_arn,
        }.items():
            CfnOutput(self, name, value=value)

    def _queue(
        self,
        name: str,
        *,
        queue_name: str | None = None,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
        redrive_allow_policy: sqs.RedriveAllowPolicy | None = None,
    ) -> sqs.Queue:
        """A queue encrypted by SQS, for TLS only, with SQS's longest retention."""
        return sqs.Queue(
            self,
            name,
            queue_name=queue_name,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
            redrive_allow_policy=redrive_allow_policy,
            removal_policy=self._removal,
        )

    def _lead_queue_name(self) -> str:
        """The lead queue's name, because its dead-letter queue names it before it is there.

        Two references would be a circle. The stack's own id is in the name, so that a stack that is made anew
        never meets a kept queue of the old one. SQS takes 80 characters.
        """
        unique = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        return f"{self.stack_name[:43]}-{unique}"

    def _queue_named(self, name: str) -> sqs.IQueue:
        arn = self.format_arn(service="sqs", resource=name, arn_format=ArnFormat.NO_RESOURCE_NAME)
        return sqs.Queue.from_queue_arn(self, "NamedLeadQueue", arn)

    def _secret(self) -> secretsmanager.Secret:
        """The secret for the credentials. Once an operator has filled it, a deployment leaves its value
        alone: CloudFormation writes a value only when the template's own has changed.
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

    def _ledger(self) -> dynamodb.ITable:
        """The stack's own table, or one that an earlier stack left behind, which must be as this one is."""
        if self._config.ledger_table_name:
            return dynamodb.Table.from_table_name(self, "KeptLedger", self._config.ledger_table_name)
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
