"""The stack of one stage's delivery: `LeadDelivery`, with the stage's name and place."""

from typing import TYPE_CHECKING

from aws_cdk import Environment, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .config import DeploymentConfig
from .lead_delivery import LeadDelivery

if TYPE_CHECKING:
    from .sandbox_stack import SandboxStack


def environment(config: DeploymentConfig) -> Environment:
    """Where the CDK's command line may deploy the stage; anywhere, as far as the settings don't say."""
    return Environment(account=config.account or None, region=config.region or None)


def monitoring_stack_name(config: DeploymentConfig) -> str:
    """The name of the stack with the stage's alarms."""
    return f"{config.name_prefix}LeadMonitoring-{config.stage}"


class DeliveryStack(Stack):
    """What one stage's leads pass through. CloudFormation names what it can, so that stages never collide."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        config: DeploymentConfig,
        code: lambda_.Code,
        sandbox: "SandboxStack | None" = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=environment(config),
            stack_name=f"{config.name_prefix}LeadDelivery-{config.stage}",
            description=f"Delivers leads to 7Targets ({config.stage})",
            tags=dict(config.tags),
            termination_protection=config.keep_data,
        )
        self.delivery = LeadDelivery(
            self,
            # This id alone leaves the logical ids of what is inside as they are.
            "Default",
            config=config,
            code=code,
            monitoring_stack_name=monitoring_stack_name(config),
            sandbox=sandbox,
        )
