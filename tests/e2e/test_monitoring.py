"""The stack LeadMonitoring on the emulated AWS, as far as the emulator can make it."""

import json
from typing import Any

import pytest

from local.stack.deployment import Deployment

pytestmark = pytest.mark.e2e

STACK = "LeadMonitoring-dev"
# What the emulator can't make, so that the first deployment to AWS is what tries it. Of an alarm over several
# metrics, or over a computed one, it can make only an alarm over the first of them.
NOT_EMULATED = ("AWS::CloudWatch::CompositeAlarm", "AWS::Logs::QueryDefinition")


def emulated(template: dict[str, Any]) -> dict[str, Any]:
    """The template without what the emulator can't make."""
    resources = template["Resources"]
    left_out = {name for name, each in resources.items() if each["Type"] in NOT_EMULATED}
    kept = {name: _simpler(each) for name, each in resources.items() if name not in left_out}
    return template | {"Resources": _without_references(kept, left_out)}


def _simpler(resource: dict[str, Any]) -> dict[str, Any]:
    properties = resource["Properties"] if resource["Type"] == "AWS::CloudWatch::Alarm" else {}
    if "Metrics" not in properties:
        return resource
    first = next(each["MetricStat"] for each in properties["Metrics"] if "MetricStat" in each)
    rest = {name: value for name, value in properties.items() if name not in {"Metrics", "Period"}}
    plain = {**first["Metric"], "Period": first["Period"], "Statistic": "Sum"}
    return resource | {"Properties": rest | plain}


def _without_references(value: Any, left_out: set[str]) -> Any:
    """References to what is left out, replaced by a word."""
    if isinstance(value, list):
        return [_without_references(each, left_out) for each in value]
    if isinstance(value, dict):
        if value.get("Ref") in left_out or (value.get("Fn::GetAtt") or [""])[0] in left_out:
            return "left-out"
        return {name: _without_references(each, left_out) for name, each in value.items()}
    return value


def test_the_monitoring_stack_is_made_and_its_alarms_watch_what_was_deployed(deployment: Deployment) -> None:
    """Its references to the other stack are resolved: over a wrong name an alarm stays green for ever."""
    template = json.loads((deployment.bundle.parent / "LeadMonitoring.template.json").read_text("utf-8"))
    alarms = [each for each in template["Resources"].values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    cloudformation = deployment.emulator.client("cloudformation")
    cloudwatch = deployment.emulator.client("cloudwatch")
    # Larger than what CloudFormation takes as text.
    s3 = deployment.emulator.client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="monitoring.json", Body=json.dumps(emulated(template)).encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{deployment.emulator.url}/templates/monitoring.json",
        Capabilities=["CAPABILITY_IAM"],
    )
    try:
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        [stack] = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        made = cloudwatch.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
        assert len(made) == len(alarms) > 12
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
        shown = cloudwatch.get_dashboard(DashboardName="LeadDelivery-dev-us-east-1")["DashboardBody"]
        assert deployment.outputs["FunctionName"] in shown
    finally:
        cloudformation.delete_stack(StackName=STACK)
