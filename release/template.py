"""The template for who deploys by Terraform, a StackSet or Service Catalog: one stack, without the CDK."""

import json
import tempfile
from pathlib import Path
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from cdk_nag import AwsSolutionsChecks

from infra.bundling import PROJECT
from infra.config import DeploymentConfig
from infra.lead_delivery import LeadDelivery
from infra.lead_monitoring import LeadMonitoring


def write_template(config: DeploymentConfig, path: Path) -> None:
    """Writes delivery and alarms with these settings as one template.

    Its parameters say where the function's zip is and, unless the settings do, who gets the alarms.
    """
    flags = json.loads((PROJECT / "cdk.json").read_text("utf-8"))["context"]
    with tempfile.TemporaryDirectory() as folder:
        app = cdk.App(outdir=folder, context=flags, analytics_reporting=False)
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        stack = cdk.Stack(
            app,
            "LeadDelivery",
            stack_name=f"{config.name_prefix}LeadDelivery-{config.stage}",
            description=f"Delivers leads to 7Targets ({config.stage})",
            # The bootstrap stack is the CDK's, which nobody has here.
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        bucket = cdk.CfnParameter(
            stack, "CodeBucket", description="The bucket, in this region, with the function's zip"
        )
        key = cdk.CfnParameter(
            stack, "CodeKey", description="The zip's key there; another one for each version"
        )
        delivery = LeadDelivery(
            stack,
            "Delivery",
            config=config,
            code=lambda_.Code.from_cfn_parameters(bucket_name_param=bucket, object_key_param=key),
        )
        topic = None
        if not (config.alarm_emails or config.alarm_topic_arn):
            arn = cdk.CfnParameter(stack, "TopicArn", description="The SNS topic that gets the alarms")
            topic = sns.Topic.from_topic_arn(stack, "AlarmTopic", arn.value_as_string)
        # A StackSet gives the stack a name of its own.
        cast(cdk.CfnOutput, stack.node.find_child("MonitoringStackName")).value = cdk.Aws.STACK_NAME
        LeadMonitoring(stack, "Monitoring", delivery=delivery, topic=topic)
        template = app.synth().get_stack_artifact(stack.artifact_id).template
    path.write_text(json.dumps(template, indent=1) + "\n", "utf-8")
