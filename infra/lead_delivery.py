"""Everything a lead passes through, as a construct: bus, rule, queues, function and ledger."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from aws_cdk import (
    Acknowledgment,
    Annotations,
    ArnFormat,
    Aws,
    CfnOutput,
    CfnResource,
    Duration,
    Fn,
    RemovalPolicy,
    SecretValue,
    Stack,
    Tags,
    Validations,
)
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deliver_leads.contract import CREDENTIAL_NAMES, PLACEHOLDER, LedgerAttribute

from .access_policies import operator_policy, producer_policy
from .bundling import function_code
from .check_schedule import CheckSchedule
from .config import ConfigError, DeploymentConfig
from .encryption import allow_services, key_of_the_settings
from .entrance import Entrance
from .lead_function import LeadFunction, Network
from .version import VERSION, commit

if TYPE_CHECKING:
    from .sandbox_stack import SandboxStack


class LeadDelivery(Construct):
    """What the leads of one stage pass through. One for each stack, whose name it uses for what it names.

    `config` has the settings. Without `code` the function's bundle is built on this machine. The others are
    what exists already, in place of what would be made; their owner keeps their settings and policies:

    event_bus             the rule on it takes lead events and the events of mappings, nothing else
    lead_queue            a standard queue; its visibility timeout must be at least
                          `config.visibility_timeout_seconds`, its retention 14 days
    dead_letter_queue     where parked leads go
    topics                their messages are lead events
    encryption_key        encrypts queues, secret, ledger, log and the function's environment
    network               the subnets and security groups of the function
    log_group             of the function
    monitoring_stack_name the stack with `LeadMonitoring`, if it is another one
    sandbox               what a stage with `leadsApi` "sandbox" delivers to

    Raises `ConfigError`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: DeploymentConfig,
        code: lambda_.Code | None = None,
        event_bus: events.IEventBus | None = None,
        lead_queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        topics: Sequence[sns.ITopic] = (),
        encryption_key: kms.IKey | None = None,
        network: Network | None = None,
        log_group: logs.ILogGroup | None = None,
        monitoring_stack_name: str | None = None,
        sandbox: "SandboxStack | None" = None,
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        if stack.node.try_find_child("LeadQueueUrl"):
            raise ConfigError(
                [f"the stack {stack.stack_name} has a LeadDelivery already; a second one needs its own"]
            )
        if (config.leads_api == "sandbox") != (sandbox is not None):
            raise ConfigError(["leadsApi is sandbox, but there is no stack of it, or the other way round"])
        self.config = config
        self.stack_name = stack.stack_name
        self.encryption_key = encryption_key or key_of_the_settings(self, config)
        # What a failed first deployment made goes with it, whatever the policy: it holds nothing yet.
        self._removal = (
            RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if config.keep_data else RemovalPolicy.DESTROY
        )
        lead_queue_name = self._lead_queue_name()
        self.dead_letter_queue = dead_letter_queue or self._queue(
            "DeadLetterQueue",
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                source_queues=[lead_queue or self._queue_named(lead_queue_name)],
            ),
        )
        if lead_queue:
            self._check_given(lead_queue)
        self.lead_queue = lead_queue or self._queue(
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
        entrance = Entrance(
            self,
            config,
            bus=event_bus,
            topics=topics,
            lead_queue=self.lead_queue,
            # What couldn't get into the lead queue lies in one place.
            dead_letter_queue=self.rule_dead_letter_queue,
        )
        self.event_bus = entrance.bus
        self.rule_dimensions = entrance.rule_dimensions
        self.bus_name = entrance.bus_name
        secret = sandbox.secret if sandbox else self._secret()
        self.ledger = self._ledger()
        self.lead_function = LeadFunction(
            self,
            "DeliverLeads",
            config=config,
            code=code or function_code(),
            lead_queue=self.lead_queue,
            dead_letter_queue=self.dead_letter_queue,
            secret=secret,
            ledger=self.ledger,
            event_bus=self.event_bus,
            encryption_key=self.encryption_key,
            keys_in_use=self.keys_in_use(),
            network=network or Network.of_settings(config),
            log_group=log_group,
            removal=self._removal,
            sandbox_url=sandbox.url if sandbox else None,
        )
        # What takes longest to be made.
        entrance.open_after(cast(CfnResource, self.lead_function.event_source_mapping.node.default_child))
        if self.encryption_key:
            allow_services(self.encryption_key)
        if config.check_every_minutes:
            CheckSchedule(
                self, "Check", self.lead_function.function, config.check_every_minutes, config.role_path
            )
        producers = producer_policy(self, entrance=entrance)
        operators = operator_policy(
            self,
            secret=secret,
            rule=entrance.rule,
            monitoring_stack_name=monitoring_stack_name or self.stack_name,
            sandbox=sandbox.function if sandbox else None,
        )
        apply_to_all(self, config)
        for name, value in {
            "LeadQueueUrl": self.lead_queue.queue_url,
            "LeadQueueArn": self.lead_queue.queue_arn,
            "DeadLetterQueueUrl": self.dead_letter_queue.queue_url,
            "DeadLetterQueueArn": self.dead_letter_queue.queue_arn,
            "RuleDeadLetterQueueUrl": self.rule_dead_letter_queue.queue_url,
            "EventBusName": entrance.bus_name,
            "EventRuleName": entrance.rule_dimensions["RuleName"],
            "FunctionName": self.lead_function.function.function_name,
            "LogGroupName": self.lead_function.log_group.log_group_name,
            # On AWS this is the ARN; every call that takes a secret's name takes the ARN too.
            "SecretName": secret.secret_arn,
            "LedgerTableName": self.ledger.table_name,
            "EventSourceMappingId": self.lead_function.event_source_mapping.event_source_mapping_id,
            "ProducerPolicyArn": producers.managed_policy_arn,
            "OperatorPolicyArn": operators.managed_policy_arn,
            "MonitoringStackName": monitoring_stack_name or self.stack_name,
            "Version": VERSION,
            "Commit": commit(),
            **({"SandboxFunctionName": sandbox.function.function_name} if sandbox else {}),
        }.items():
            # In the stack itself, so that leadctl finds them by these names whatever the construct's id is.
            CfnOutput(stack, name, value=value)

    def keys_in_use(self) -> list[kms.IKey]:
        """The customers' keys that the queues have, each once: who sends or reads needs rights for them."""
        queues = (self.lead_queue, self.dead_letter_queue, self.rule_dead_letter_queue)
        keys = [self.encryption_key, *(queue.encryption_master_key for queue in queues)]
        return list({key.key_arn: key for key in keys if key}.values())

    def _check_given(self, queue: sqs.IQueue) -> None:
        """Raises `ConfigError` for a queue of this app on which leads would be lost or sent twice."""
        if queue.fifo:
            raise ConfigError(["the lead queue must be a standard queue; docs/decisions/0005 says why"])
        needed_s = self.config.visibility_timeout_seconds
        resource = queue.node.default_child
        if not isinstance(resource, sqs.CfnQueue):
            Annotations.of(self).add_warning_v2(
                "leadQueueOfAnotherApp",
                "The lead queue comes from elsewhere: its policy must let the rule send, and its visibility "
                f"timeout must be at least {needed_s} s. docs/construct.md has both.",
            )
            return
        timeout_s = resource.visibility_timeout
        if timeout_s is None or timeout_s < needed_s:
            raise ConfigError(
                [
                    f"the lead queue's visibility timeout is {timeout_s or 30} s, but must be at least "
                    f"{needed_s}: 6 x (functionTimeoutSeconds + batchingWindowSeconds), or an event is sent "
                    "twice at a time"
                ]
            )

    def _queue(
        self,
        name: str,
        *,
        queue_name: str | None = None,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
        redrive_allow_policy: sqs.RedriveAllowPolicy | None = None,
    ) -> sqs.Queue:
        """A queue that is encrypted, for TLS only, with SQS's longest retention."""
        key = self.encryption_key
        return sqs.Queue(
            self,
            name,
            queue_name=queue_name,
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            # An hour, not five minutes: KMS is asked, and paid, less often.
            data_key_reuse=Duration.hours(1) if key else None,
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
        arn = Stack.of(self).format_arn(service="sqs", resource=name, arn_format=ArnFormat.NO_RESOURCE_NAME)
        return sqs.Queue.from_queue_arn(self, "NamedLeadQueue", arn)

    def _secret(self) -> secretsmanager.Secret:
        """The secret for the credentials. Once an operator has filled it, a deployment leaves its value
        alone: CloudFormation writes a value only when the template's own has changed.
        """
        secret = secretsmanager.Secret(
            self,
            "Credentials",
            description="7Targets: client_id and client_secret from support, user_identifier from the app",
            encryption_key=self.encryption_key,
            secret_object_value={key: SecretValue.unsafe_plain_text(PLACEHOLDER) for key in CREDENTIAL_NAMES},
            removal_policy=self._removal,
        )
        Validations.of(secret).acknowledge(
            Acknowledgment(id="AwsSolutions-SMG4", reason="7Targets gives credentials out by e-mail only.")
        )
        return secret

    def _ledger(self) -> dynamodb.ITable:
        """The stack's own table, or one that an earlier stack left behind, which must be as this one is."""
        if self.config.ledger_table_name:
            return dynamodb.Table.from_table_name(self, "KeptLedger", self.config.ledger_table_name)
        keep = self.config.keep_data
        table = dynamodb.Table(
            self,
            "Ledger",
            partition_key=dynamodb.Attribute(
                name=LedgerAttribute.PARTITION_KEY, type=dynamodb.AttributeType.STRING
            ),
            sort_key=dynamodb.Attribute(name=LedgerAttribute.SORT_KEY, type=dynamodb.AttributeType.STRING),
            time_to_live_attribute=LedgerAttribute.EXPIRY,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=(
                dynamodb.TableEncryption.CUSTOMER_MANAGED
                if self.encryption_key
                else dynamodb.TableEncryption.AWS_MANAGED
            ),
            encryption_key=self.encryption_key,
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


def apply_to_all(scope: Construct, config: DeploymentConfig) -> None:
    """The settings that concern whatever is in the scope."""
    for key, value in config.tags.items():
        Tags.of(scope).add(key, value)
    if boundary := config.permissions_boundary:
        find = (
            iam.ManagedPolicy.from_managed_policy_arn
            if boundary.startswith("arn:")
            else iam.ManagedPolicy.from_managed_policy_name
        )
        iam.PermissionsBoundary.of(scope).apply(find(scope, "PermissionsBoundary", boundary))
