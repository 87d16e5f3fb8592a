"""What the template promises about the check that runs by itself."""

import json
from typing import Any

import pytest

from deliver_leads.contract import CHECK_EVENT
from sim.synthesis import Template, output_target, properties, resources, synthesise


def scheduled(minutes: int = 60) -> Template:
    """The template of a stage that checks itself."""
    return synthesise(checkEveryMinutes=str(minutes)).delivery


def schedule_role(template: Template) -> tuple[str, dict[str, Any]]:
    """The logical id and the properties of the role that EventBridge Scheduler takes."""
    function_role = properties(template, "AWS::Lambda::Function")["Role"]["Fn::GetAtt"][0]
    (found,) = (item for item in resources(template, "AWS::IAM::Role").items() if item[0] != function_role)
    return found[0], found[1]["Properties"]


def test_no_check_is_scheduled_unless_a_stage_asks_for_it() -> None:
    """Each costs 7Targets an access token."""
    types = {resource["Type"] for resource in synthesise().delivery["Resources"].values()}
    assert not {name for name in types if name.startswith("AWS::Scheduler")}


@pytest.mark.parametrize(
    ("minutes", "rate"), [(5, "rate(5 minutes)"), (60, "rate(1 hour)"), (1440, "rate(1 day)")]
)
def test_the_schedule_invokes_the_function_with_the_check_event(minutes: int, rate: str) -> None:
    """It does so as often as the setting says; a check that comes late, or again, is worth nothing."""
    template = scheduled(minutes)
    schedule = properties(template, "AWS::Scheduler::Schedule")
    target = schedule["Target"]
    assert (schedule["ScheduleExpression"], schedule["State"]) == (rate, "ENABLED")
    assert target["Arn"] == {"Fn::GetAtt": [output_target(template, "FunctionName"), "Arn"]}
    assert json.loads(target["Input"]) == CHECK_EVENT
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}


def test_the_schedule_s_role_may_invoke_this_function_and_nothing_else() -> None:
    """No version, no alias, no other function."""
    template = scheduled()
    role_id, role = schedule_role(template)
    target = properties(template, "AWS::Scheduler::Schedule")["Target"]
    assert target["RoleArn"] == {"Fn::GetAtt": [role_id, "Arn"]}
    assert "ManagedPolicyArns" not in role
    [policy] = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Action": "lambda:InvokeFunction",
            "Effect": "Allow",
            "Resource": {"Fn::GetAtt": [output_target(template, "FunctionName"), "Arn"]},
        }
    ]
    assert not resources(template, "AWS::IAM::Policy")


def test_only_this_stack_s_schedules_may_take_the_role() -> None:
    """Else anybody's schedule that is given the role's name would be let in (the confused deputy)."""
    template = scheduled()
    [(group_id, group)] = resources(template, "AWS::Scheduler::ScheduleGroup").items()
    [statement] = schedule_role(template)[1]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": {"Ref": "AWS::AccountId"},
            "aws:SourceArn": {"Fn::GetAtt": [group_id, "Arn"]},
        }
    }
    assert properties(template, "AWS::Scheduler::Schedule")["GroupName"] == group["Properties"]["Name"]


def test_the_schedule_goes_with_the_stack() -> None:
    """It is deleted in prod too, because it holds no data."""
    template = synthesise("prod", checkEveryMinutes="60").delivery
    for resource_type in ("AWS::Scheduler::ScheduleGroup", "AWS::Scheduler::Schedule"):
        [resource] = resources(template, resource_type).values()
        assert resource.get("DeletionPolicy", "Delete") == "Delete"
