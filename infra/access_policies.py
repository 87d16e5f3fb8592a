"""Two managed policies for people and programs: producers of lead events, and operators of a stage."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aws_cdk import Acknowledgment, Aws, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager

from .encryption import USE_OF_A_QUEUE
from .entrance import Entrance

if TYPE_CHECKING:
    from .lead_delivery import LeadDelivery

# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html and
# .../list_amazoncloudwatch.html: none of these can be limited to a resource; DescribeAlarms can, but then it
# leaves out composite alarms.
_OF_NO_RESOURCE = (
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    # To find what an earlier stack of the stage has left.
    "dynamodb:ListTables",
    "logs:DescribeQueryDefinitions",
    "logs:GetQueryResults",
    "logs:StopQuery",
    "sqs:ListQueues",
)
_READ_TRACES = ("xray:BatchGetTraces", "xray:GetTraceSummaries")
_HANDLE_PARKED = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
)


def producer_policy(delivery: "LeadDelivery", *, entrance: Entrance) -> iam.ManagedPolicy:
    """A policy that allows publishing lead events, to queue and bus, and reading nothing."""
    return iam.ManagedPolicy(
        delivery,
        "ProducerPolicy",
        path=delivery.config.role_path or None,
        description=f"Publishes lead events to {delivery.stack_name}",
        statements=[
            # Some clients ask for the queue's address and attributes before they send.
            _allow(
                "SendToLeadQueue",
                ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"],
                delivery.lead_queue.queue_arn,
            ),
            _allow(
                "PutEvents",
                ["events:PutEvents"],
                delivery.event_bus.event_bus_arn,
                conditions=entrance.put_events_conditions(),
            ),
            *_use_of_keys(delivery),
        ],
    )


def operator_policy(
    delivery: "LeadDelivery",
    *,
    secret: secretsmanager.Secret,
    rule: events.Rule,
    monitoring_stack_name: str,
    sandbox: lambda_.Function | None,
) -> iam.ManagedPolicy:
    """A policy that allows what docs/operate.md, the runbook and leadctl do.

    Never: read the secret's value (only put a new one), purge a queue (parked leads have no other copy),
    write to the ledger (a wrong entry sends a lead twice).
    """
    config, lead_function = delivery.config, delivery.lead_function
    # CloudFormation ends a stack's ARN with an id of its own making; this stack knows its own.
    monitoring = f"stack/{monitoring_stack_name}/*"
    monitoring_arn = f"arn:{Aws.PARTITION}:cloudformation:{Aws.REGION}:{Aws.ACCOUNT_ID}:{monitoring}"
    dashboard_arn = (
        f"arn:{Aws.PARTITION}:cloudwatch::{Aws.ACCOUNT_ID}:dashboard/{delivery.stack_name}-{Aws.REGION}"
    )
    own_alarms = f"{monitoring_stack_name}-*"
    alarms_arn = f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:{own_alarms}"
    # CloudFormation names the topic of the other stack.
    own_topics = f"{monitoring_stack_name}-*"
    own_topics_arn = f"arn:{Aws.PARTITION}:sns:{Aws.REGION}:{Aws.ACCOUNT_ID}:{own_topics}"
    function, mapping = lead_function.function, lead_function.event_source_mapping
    policy = iam.ManagedPolicy(
        delivery,
        "OperatorPolicy",
        path=config.role_path or None,
        description=f"Operates {delivery.stack_name}: reads its state, handles parked leads, pauses, rotates",
        statements=[
            _allow("ReadStacks", ["cloudformation:DescribeStacks"], Aws.STACK_ID, monitoring_arn),
            _allow(
                "HandleParked",
                _HANDLE_PARKED,
                delivery.dead_letter_queue.queue_arn,
                delivery.rule_dead_letter_queue.queue_arn,
            ),
            _allow(
                "MoveParked",
                ["sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:StartMessageMoveTask"],
                delivery.dead_letter_queue.queue_arn,
            ),
            _allow(
                "SendToLeadQueue",
                ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"],
                delivery.lead_queue.queue_arn,
            ),
            _allow(
                "ReadLedger",
                [
                    "dynamodb:BatchGetItem",
                    "dynamodb:DescribeTable",
                    "dynamodb:DescribeTimeToLive",
                    "dynamodb:GetItem",
                ],
                delivery.ledger.table_arn,
            ),
            _allow("ReadAndEnableRule", ["events:DescribeRule", "events:EnableRule"], rule.rule_arn),
            _allow(
                "TestAndQuietAlarms",
                [
                    "cloudwatch:DisableAlarmActions",
                    "cloudwatch:EnableAlarmActions",
                    "cloudwatch:SetAlarmState",
                ],
                alarms_arn,
            ),
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
            *_use_of_keys(delivery),
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
            id="AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:"
            f"{own_alarms}]",
            reason="The alarms have names that begin so.",
        ),
        Acknowledgment(
            id=f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:sns:<AWS::Region>:<AWS::AccountId>:{own_topics}]",
            reason="CloudFormation ends the topic's name with an id of its own making.",
        ),
    )
    return policy


def _use_of_keys(delivery: "LeadDelivery") -> list[iam.PolicyStatement]:
    """What a queue's senders and readers need of the customers' keys; table and secret need no more."""
    keys = [key.key_arn for key in delivery.keys_in_use()]
    return [_allow("UseKeys", USE_OF_A_QUEUE, *keys)] if keys else []


def _allow(
    sid: str,
    actions: Iterable[str],
    *resources: str,
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid, actions=list(actions), resources=list(resources), conditions=conditions or None
    )
