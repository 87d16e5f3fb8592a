"""A team's own CDK app: a platform stack that was there before, and a stack with LeadDelivery in it."""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct
from lead_delivery_cdk import DeploymentConfig, LeadDelivery, LeadMonitoring, Network


class Platform(cdk.Stack):
    """What the team has: its key, its network, its bus and the topic of those on call."""

    def __init__(self, scope: Construct, construct_id: str, **stack: object) -> None:
        super().__init__(scope, construct_id, **stack)
        self.key = kms.Key(self, "Key", enable_key_rotation=True)
        self.vpc = ec2.Vpc(self, "Vpc", nat_gateways=1, max_azs=2)
        self.vpc.add_flow_log("FlowLog")
        self.bus = events.EventBus(self, "Bus", event_bus_name="sales")
        self.on_call = sns.Topic(self, "OnCall", master_key=self.key, enforce_ssl=True)


class Leads(cdk.Stack):
    """Leads from the team's bus and from a topic, and the alarms over them in the same stack."""

    def __init__(self, scope: Construct, construct_id: str, *, platform: Platform, **stack: object) -> None:
        super().__init__(scope, construct_id, **stack)
        outbound = ec2.SecurityGroup(self, "Outbound", vpc=platform.vpc, allow_all_outbound=False)
        outbound.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "7Targets and AWS, by TLS")
        fairs = sns.Topic(self, "Fairs", enforce_ssl=True, master_key=platform.key)
        delivery = LeadDelivery(
            self,
            "Leads",
            config=DeploymentConfig(
                stage="prod",
                event_sources=("sales.crm",),
                lead_defaults={"assistantEmail": "sam.assistant@example.net"},
                tags={"team": "sales"},
                park_after_hours=72,
            ),
            event_bus=platform.bus,
            topics=[fairs],
            encryption_key=platform.key,
            network=Network.of(platform.vpc.private_subnets, [outbound]),
        )
        LeadMonitoring(self, "Alarms", delivery=delivery, topic=platform.on_call)


app = cdk.App()
platform = Platform(app, "sales-platform")
Leads(app, "sales-leads", platform=platform, termination_protection=True)
app.synth()
