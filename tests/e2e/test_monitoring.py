"""The stack LeadMonitoring on the emulated AWS, as far as the emulator can make it."""

import json
from typing import Any

import pytest

from local.stack.deployment import Deployment

pytestmark = pytest.mark.e2e

STACK = "LeadMonitoring-dev"
# What the emulator can't make, so that the first deployment to AWS is what tries it. Alarms with a computed
# metric are a third kind.
NOT_EMULATED = ("AWS::CloudWatch::CompositeAlarm", "AWS::Logs::QueryDefinition")


def is_emulated(resource: dict[str, Any]) -> bool:
    """Whether the emulator makes such a resource."""
    is_computed = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return resource["Type"] not in NOT_EMULATED and not is_computed


def test_the_monitoring_stack_is_made_and_its_alarms_watch_what_was_deployed(deployment: Deployment) -> None:
    """Its references to the other stack are resolved: an alarm over a wrong name would stay green for ever."""
    template = json.loads((deployment.bundle.parent / "LeadMonitoring.template.json").read_text("utf-8"))
    kept = {name: each for name, each in template["Resources"].items() if is_emulated(each)}
    # The dashboard shows alarms by their ARNs, also those that are left out here.
    kept = {name: each for name, each in kept.items() if each["Type"] != "AWS::CloudWatch::Dashboard"}
    alarms_in_template = [each for each in kept.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert len(alarms_in_template) > 8
    cloudformation = deployment.emulator.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(template | {"Resources": kept}),
        Capabilities=["CAPABILITY_IAM"],
    )
    try:
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        made = deployment.emulator.client("cloudwatch").describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
        assert len(made) == len(alarms_in_template)
        names = {
            "FunctionName": {deployment.outputs["FunctionName"]},
            "QueueName": {
                deployment.outputs[name].rpartition("/")[2]
                for name in ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl")
            },
            "service": {"LeadDelivery-dev"},
        }
        watched = [each for alarm in made for each in alarm["Dimensions"] if each["Name"] in names]
        assert {each["Name"] for each in watched} == names.keys()
        assert [each for each in watched if each["Value"] not in names[each["Name"]]] == []
        assert {action for alarm in made for action in alarm["AlarmActions"]} == {outputs["AlarmTopicArn"]}
    finally:
        cloudformation.delete_stack(StackName=STACK)
