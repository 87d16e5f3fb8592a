"""What AWS's services must be allowed on a customer's key before they can write into what it encrypts.

The roles of the function, of producers and of operators have their own rights. What CloudFormation makes with
the key (table, secret, function) needs the key's usual statement for the account, with which a key is made.
"""

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from .config import DeploymentConfig

# What a queue's senders and readers need.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
USE_OF_A_QUEUE = ("kms:Decrypt", "kms:GenerateDataKey")
# What a function needs for its queues, table, secret and environment.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
USE_BY_A_FUNCTION = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


def key_of_the_settings(scope: Construct, config: DeploymentConfig) -> kms.IKey | None:
    """None without `kmsKeyArn`: AWS's own keys."""
    return kms.Key.from_key_arn(scope, "Key", config.kms_key_arn) if config.kms_key_arn else None


def service_statements() -> list[iam.PolicyStatement]:
    """The statements for the key's policy; docs/company.md shows them for a key that comes from elsewhere."""
    logs_arn = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:*"
    return [
        # No condition on the source, because EventBridge sends none when it writes into an encrypted queue,
        # and a topic may be another account's. The queue's policy says which rule and which topics.
        # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
        # https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html
        _allow("RuleAndTopicsIntoQueues", ["events.amazonaws.com", "sns.amazonaws.com"], USE_OF_A_QUEUE),
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
        _allow(
            "AlarmsIntoTheTopic",
            ["cloudwatch.amazonaws.com"],
            ("kms:Decrypt", "kms:GenerateDataKey*"),
            {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        ),
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
        _allow(
            "LogGroups",
            [f"logs.{Aws.REGION}.amazonaws.com"],
            ("kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"),
            {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs_arn}},
        ),
    ]


def allow_services(key: kms.IKey) -> None:
    """Adds the statements to a key of this app; the policy of another one is its owner's."""
    for statement in service_statements():
        key.add_to_resource_policy(statement)


def _allow(
    sid: str,
    services: list[str],
    actions: tuple[str, ...],
    conditions: dict[str, dict[str, str]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid,
        principals=[iam.ServicePrincipal(service) for service in services],
        actions=list(actions),
        resources=["*"],
        conditions=conditions,
    )
