"""The function that delivers leads, with its role, its log group and what feeds it from the lead queue."""

import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from aws_cdk import Acknowledgment, Aws, Duration, IgnoreMode, RemovalPolicy, Stack, Token, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from deliver_leads.contract import METRICS_NAMESPACE, OWN_EVENT_SOURCE, OutcomeEventsMode, pack_mappings

from .config import ConfigError, DeploymentConfig
from .encryption import USE_BY_A_FUNCTION
from .entrance import all_of
from .version import VERSION, commit

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
ENVIRONMENT_BYTES = 4096
# A queue's URL, the secret's ARN or a table's name, which CloudFormation makes, in the longest region's name.
GENERATED_BYTES = 160

# Lambda must not take the role for another account's function. "If exists", because no page of AWS's says
# that Lambda sends the key, be it for the function or for its event source mapping, and without the key a
# plain condition would stop both. AWS advises it for keys that aren't always there:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
FOR_THIS_ACCOUNT_ONLY = {"StringEqualsIfExists": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
_NETWORK_INTERFACES = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
# Where Lambda puts a layer's files.
_LAYERS = "/opt"


@dataclass(frozen=True)
class Network:
    """The subnets and security groups of the function, by their ids."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]

    @classmethod
    def of(cls, subnets: Sequence[ec2.ISubnet], security_groups: Sequence[ec2.ISecurityGroup]) -> Self:
        """Of an app's own constructs, e.g. `vpc.private_subnets`."""
        return cls(
            tuple(subnet.subnet_id for subnet in subnets),
            tuple(group.security_group_id for group in security_groups),
        )

    @classmethod
    def of_settings(cls, config: DeploymentConfig) -> Self | None:
        """None where the settings name no subnets: Lambda's own network."""
        return cls(config.subnet_ids, config.security_group_ids) if config.subnet_ids else None


class LeadFunction(Construct):
    """`deliver_leads` on Lambda, fed by the lead queue, allowed to do what it does and no more."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: DeploymentConfig,
        code: lambda_.Code,
        lead_queue: sqs.IQueue,
        dead_letter_queue: sqs.IQueue,
        secret: secretsmanager.Secret,
        ledger: dynamodb.ITable,
        event_bus: events.IEventBus,
        encryption_key: kms.IKey | None,
        keys_in_use: Sequence[kms.IKey],
        network: Network | None,
        log_group: logs.ILogGroup | None,
        removal: RemovalPolicy,
        sandbox_url: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config
        self._lead_queue = lead_queue
        self._dead_letter_queue = dead_letter_queue
        self._secret = secret
        self._ledger = ledger
        self._event_bus = event_bus
        self._sandbox_url = sandbox_url
        self._encryption_key = encryption_key
        self._keys_in_use = keys_in_use
        self._network = network
        self.log_group = log_group or self._make_log_group(removal)
        self.function = self._make_function(code)
        self.event_source_mapping = self._make_event_source_mapping()

    def _make_log_group(self, removal: RemovalPolicy) -> logs.LogGroup:
        group = logs.LogGroup(self, "Logs", removal_policy=removal, encryption_key=self._encryption_key)
        # The construct's enum has words for the numbers; the setting is the number itself.
        cast(logs.CfnLogGroup, group.node.default_child).retention_in_days = self._config.log_retention_days
        return group

    def _make_role(self) -> iam.Role:
        """The rights of the function's own calls and of those that its event source mapping makes."""
        allowed = {
            self._lead_queue.queue_arn: (
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ChangeMessageVisibility",
            ),
            # The check reads the queue's attributes, because it doesn't send.
            self._dead_letter_queue.queue_arn: ("sqs:SendMessage", "sqs:GetQueueAttributes"),
            self._secret.secret_arn: ("secretsmanager:GetSecretValue",),
            self._ledger.table_arn: (
                "dynamodb:UpdateItem",
                # BatchExecuteStatement: the claims and the completions of a batch.
                "dynamodb:PartiQLInsert",
                "dynamodb:PartiQLUpdate",
            ),
            self.log_group.log_group_arn: ("logs:CreateLogStream", "logs:PutLogEvents"),
        }
        allowed |= {key.key_arn: USE_BY_A_FUNCTION for key in self._keys_in_use}
        of_no_resource: list[str] = []
        if self._config.tracing:
            of_no_resource += ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        if self._network:
            of_no_resource += _NETWORK_INTERFACES
        if of_no_resource:
            allowed["*"] = tuple(of_no_resource)
        statements = [
            iam.PolicyStatement(actions=list(actions), resources=[resource])
            for resource, actions in allowed.items()
        ]
        if self._config.outcome_events != OutcomeEventsMode.OFF:
            statements.append(
                iam.PolicyStatement(
                    actions=["events:PutEvents"],
                    resources=[self._event_bus.event_bus_arn],
                    conditions=all_of({"events:source": [OWN_EVENT_SOURCE]}),
                )
            )
        role = iam.Role(
            self,
            "Role",
            path=self._config.role_path or None,
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com", conditions=FOR_THIS_ACCOUNT_ONLY),
            # Inline: Lambda refuses an event source mapping whose role hasn't its rights yet.
            inline_policies={"DeliverLeads": iam.PolicyDocument(statements=statements)},
        )
        if of_no_resource:
            Validations.of(role).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-IAM5[Resource::*]",
                    reason="X-Ray's actions take no resources, nor do those of network interfaces.",
                )
            )
        return role

    def _make_function(self, code: lambda_.Code) -> lambda_.Function:
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler="deliver_leads.handler.handler",
            code=code,
            role=self._make_role().without_policy_updates(),
            log_group=self.log_group,
            tracing=lambda_.Tracing.ACTIVE if self._config.tracing else None,
            memory_size=self._config.memory_megabytes,
            timeout=Duration.seconds(self._config.function_timeout_seconds),
            environment=_fitting(self._environment()),
            environment_encryption=self._encryption_key,
            layers=self._layers(),
        )
        # The function refers to its role already, and cfn-lint warns of saying so twice.
        resource = cast(lambda_.CfnFunction, function.node.default_child)
        resource.add_deletion_override("DependsOn")
        if self._network:
            # By its ids, because a VPC that comes from elsewhere need not be known here.
            resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
                subnet_ids=list(self._network.subnet_ids),
                security_group_ids=list(self._network.security_group_ids),
            )
        Validations.of(function).acknowledge(
            Acknowledgment(
                id="AwsSolutions-L1", reason="The bundle is compiled for Python 3.13 and tested with it."
            )
        )
        return function

    def _layers(self) -> list[lambda_.ILayerVersion] | None:
        """A layer with the company's certificate authority, so that the bundle is the same for everybody."""
        if not self._config.certificate_authority_file:
            return None
        file = Path(self._config.certificate_authority_file)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                [
                    f"certificateAuthorityFile is {str(file)!r}, but must be a file of PEM certificates: "
                    f"{error}"
                ]
            ) from None
        code = lambda_.Code.from_asset(
            str(file.parent), exclude=["*", f"!{file.name}"], ignore_mode=IgnoreMode.GIT
        )
        return [lambda_.LayerVersion(self, "CertificateAuthority", code=code)]

    def _way_out(self) -> dict[str, str]:
        """What the function needs to know of a company's network; boto3 reads the proxy's variables, too."""
        config = self._config
        variables = {}
        if config.proxy_url:
            variables["HTTPS_PROXY"] = config.proxy_url
            variables["NO_PROXY"] = ",".join(config.no_proxy)
        if config.certificate_authority_file:
            variables["EXTRA_CA_FILE"] = f"{_LAYERS}/{Path(config.certificate_authority_file).name}"
        return {name: value for name, value in variables.items() if value}

    def _environment(self) -> dict[str, str]:
        config = self._config
        return {
            **self._way_out(),
            "LEADS_API_URL": self._sandbox_url or config.leads_api_url,
            "TOKEN_URL": f"{self._sandbox_url}/oauth2/token" if self._sandbox_url else config.token_url,
            "SECRET_ID": self._secret.secret_arn,
            "LEAD_QUEUE_URL": self._lead_queue.queue_url,
            "DEAD_LETTER_QUEUE_URL": self._dead_letter_queue.queue_url,
            "LEDGER_TABLE": self._ledger.table_name,
            "LEAD_DEFAULTS": json.dumps(dict(config.lead_defaults), sort_keys=True),
            "EVENT_SOURCES": json.dumps(config.event_sources),
            "ONLY_RECIPIENTS": json.dumps([each.lower() for each in config.only_recipients]),
            "MAPPINGS": pack_mappings(config.mappings),
            "PARALLEL_CALLS": str(config.parallel_calls),
            "CALLS_PER_SECOND": str(config.calls_per_second // config.maximum_concurrency),
            "CONNECT_TIMEOUT_S": str(config.connect_timeout_seconds),
            "READ_TIMEOUT_S": str(config.read_timeout_seconds),
            "SETTLING_S": str(config.settling_time_seconds),
            "VISIBILITY_TIMEOUT_S": str(config.visibility_timeout_seconds),
            "DUPLICATE_WINDOW_S": str(config.duplicate_window_hours * 3600),
            "LEDGER_S": str(config.ledger_days * 86_400),
            "UPDATE_GRACE_S": str(config.update_grace_minutes * 60),
            "RETRY_BASE_DELAY_S": str(config.retry_base_delay_seconds),
            "RETRY_MAX_DELAY_S": str(config.retry_max_delay_seconds),
            "PARK_AFTER_S": str(config.park_after_hours * 3600),
            "OUTCOME_EVENTS": config.outcome_events,
            "EVENT_BUS": self._event_bus.event_bus_arn,
            # The service is a dimension of every metric, so that the stages of one account stay apart.
            "POWERTOOLS_SERVICE_NAME": Stack.of(self).stack_name,
            "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "DEPLOYED_VERSION": f"{VERSION} {commit()}",
        }

    def _make_event_source_mapping(self) -> lambda_.EventSourceMapping:
        config = self._config
        return lambda_.EventSourceMapping(
            self,
            "LeadQueueMapping",
            target=self.function,
            event_source_arn=self._lead_queue.queue_arn,
            batch_size=config.batch_size,
            max_batching_window=Duration.seconds(config.batching_window_seconds),
            # Not reserved concurrency, which throttles and so raises the messages' receive counts.
            max_concurrency=config.maximum_concurrency,
            report_batch_item_failures=True,
        )


def _fitting(environment: dict[str, str]) -> dict[str, str]:
    """The environment as it is. Raises `ConfigError` if Lambda would refuse it during the deployment."""
    sizes = {
        name: len(name) + (GENERATED_BYTES if Token.is_unresolved(value) else len(value.encode()))
        for name, value in environment.items()
    }
    too_many = sum(sizes.values()) - ENVIRONMENT_BYTES
    if too_many > 0:
        raise ConfigError(
            [
                f"the function's environment is {too_many} bytes larger than the {ENVIRONMENT_BYTES} that "
                f"Lambda allows; of it mappings takes {sizes['MAPPINGS']} (compressed), eventSources "
                f"{sizes['EVENT_SOURCES']}, onlyRecipients {sizes['ONLY_RECIPIENTS']} and leadDefaults "
                f"{sizes['LEAD_DEFAULTS']}"
            ]
        )
    return environment
