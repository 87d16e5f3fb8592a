"""Two managed policies for people and programs: producers of lead events, and operators of a stage."""

from collections.abc import Iterable, Mapping

from aws_cdk import Acknowledgment, Aws, Stack, Validations
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs

from infra.config import DeploymentConfig
from infra.entrance import put_events_conditions
from infra.lead_function import LeadFunction

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html and
# .../list_amazoncloudwatch.html: none of these can be limited to a resource; DescribeAlarms can, but then it
# leaves out composite alarms.
_OF_NO_RESOURCE = (
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "logs:DescribeQueryDefinitions",
    "logs:GetQueryResults",
    "logs:StopQuery",
)
_READ_TRACES = ("xray:BatchGetTraces", "xray:GetTraceSummaries")
_HANDLE_PARKED = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
)


def producer_policy(
    stack: Stack, config: DeploymentConfig, *, lead_queue: sqs.Queue, bus: events.IEventBus
) -> iam.ManagedPolicy:
    """A policy that allows publishing lead events, to queue and bus, and reading nothing."""
    return iam.ManagedPolicy(
        stack,
        "ProducerPolicy",
        description=f"Publishes lead events to {stack.stack_name}",
        statements=[
            _allow("SendToLeadQueue", ["sqs:SendMessage"], lead_queue.queue_arn),
            _allow(
                "PutEvents", ["events:PutEvents"], bus.event_bus_arn, conditions=put_events_conditions(config)
            ),
        ],
    )


def operator_policy(
    stack: Stack,
    config: DeploymentConfig,
    *,
    lead_queue: sqs.Queue,
    dead_letter_queue: sqs.Queue,
    rule_dead_letter_queue: sqs.Queue,
    secret: secretsmanager.Secret,
    ledger: dynamodb.ITable,
    lead_function: LeadFunction,
    rule: events.Rule,
    sandbox: lambda_.Function | None = None,
) -> iam.ManagedPolicy:
    """A policy that allows what docs/operate.md, the runbook and leadctl do.

    Never: read the secret's value (only put a new one), purge a queue (parked leads have no other copy),
    write to the ledger (a wrong entry sends a lead twice).
    """
    # CloudFormation ends a stack's ARN with an id of its own making; this stack knows its own.
    monitoring = f"stack/LeadMonitoring-{config.stage}/*"
    monitoring_arn = f"arn:{Aws.PARTITION}:cloudformation:{Aws.REGION}:{Aws.ACCOUNT_ID}:{monitoring}"
    dashboard_arn = (
        f"arn:{Aws.PARTITION}:cloudwatch::{Aws.ACCOUNT_ID}:dashboard/{stack.stack_name}-{Aws.REGION}"
    )
    # CloudFormation names the topic of the other stack.
    own_topics = f"LeadMonitoring-{config.stage}-*"
    own_topics_arn = f"arn:{Aws.PARTITION}:sns:{Aws.REGION}:{Aws.ACCOUNT_ID}:{own_topics}"
    function, mapping = lead_function.function, lead_function.event_source_mapping
    policy = iam.ManagedPolicy(
        stack,
        "OperatorPolicy",
        description=f"Operates {stack.stack_name}: reads its state, handles parked leads, pauses, rotates",
        statements=[
            _allow("ReadStacks", ["cloudformation:DescribeStacks"], Aws.STACK_ID, monitoring_arn),
            _allow(
                "HandleParked",
                _HANDLE_PARKED,
                dead_letter_queue.queue_arn,
                rule_dead_letter_queue.queue_arn,
            ),
            _allow(
                "MoveParked",
                ["sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:StartMessageMoveTask"],
                dead_letter_queue.queue_arn,
            ),
            _allow(
                "SendToLeadQueue",
                ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"],
                lead_queue.queue_arn,
            ),
            _allow(
                "ReadLedger",
                ["dynamodb:BatchGetItem", "dynamodb:GetItem"],
                ledger.table_arn,
            ),
            _allow("ReadRule", ["events:DescribeRule"], rule.rule_arn),
            _allow(
                "ReadAlarmSubscriptions",
                ["sns:ListSubscriptionsByTopic"],
                config.alarm_topic_arn or own_topics_arn,
            ),
            _allow(
                "ReadLog",
                ["logs:FilterLogEvents", "logs:StartLiveTail", "logs:StartQuery"],
                lead_function.log_group.log_group_arn,
            ),
            _allow("ReadDashboard", ["cloudwatch:GetDashboard"], dashboard_arn),
            _allow(
                "ReadMetricsAndQueries", (*_OF_NO_RESOURCE, *(_READ_TRACES if config.tracing else ())), "*"
            ),
            _allow(
                "Check",
                ["lambda:GetFunctionConfiguration", "lambda:InvokeFunction"],
                function.function_arn,
            ),
            _allow(
                "PauseAndResume",
                [
                    "lambda:GetEventSourceMapping",
                    "lambda:UpdateEventSourceMapping",
                    # leadctl writes the reason of a pause into a tag.
                    "lambda:ListTags",
                    "lambda:TagResource",
                    "lambda:UntagResource",
                ],
                mapping.event_source_mapping_arn,
            ),
            _allow(
                "Rotate",
                [
                    "secretsmanager:DescribeSecret",
                    "secretsmanager:ListSecretVersionIds",
                    "secretsmanager:PutSecretValue",
                    # Restores the previous credentials.
                    "secretsmanager:UpdateSecretVersionStage",
                ],
                secret.secret_arn,
            ),
            *([_allow("SteerSandbox", ["lambda:InvokeFunction"], sandbox.function_arn)] if sandbox else []),
        ],
    )
    Validations.of(policy).acknowledge(
        Acknowledgment(
            id="AwsSolutions-IAM5[Resource::*]",
            reason="Reading alarms, metrics, query results and traces; AWS limits these to no resource.",
        ),
        Acknowledgment(
            id="AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:cloudformation:<AWS::Region>:"
            f"<AWS::AccountId>:{monitoring}]",
            reason="CloudFormation ends a stack's ARN with an id of its own making.",
        ),
        Acknowledgment(
            id=f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sns:<AWS::Region>:<AWS::AccountId>:{own_topics}]",
            reason="CloudFormation ends the topic's name with an id of its own making.",
        ),
    )
    return policy


def _allow(
    sid: str,
    actions: Iterable[str],
    *resources: str,
    conditions: Mapping[str, Mapping[str, list[str]]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid, actions=list(actions), resources=list(resources), conditions=conditions or None
    )
