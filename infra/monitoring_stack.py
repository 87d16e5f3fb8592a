"""The stack of the alarms over one stage: `LeadMonitoring`, with the stage's name and place."""

from aws_cdk import Stack
from constructs import Construct

from .config import DeploymentConfig
from .delivery_stack import DeliveryStack, environment, monitoring_stack_name
from .lead_monitoring import LeadMonitoring


class MonitoringStack(Stack):
    """The alarms over one stage's `DeliveryStack`, which needs nothing of this stack."""

    def __init__(
        self, scope: Construct, construct_id: str, *, config: DeploymentConfig, stack: DeliveryStack
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=environment(config),
            stack_name=monitoring_stack_name(config),
            description=f"Alarms over the delivery of leads to 7Targets ({config.stage})",
            tags=dict(config.tags),
        )
        # This id alone leaves the logical ids of what is inside as they are.
        LeadMonitoring(self, "Default", delivery=stack.delivery)
