"""SECURITY.md: the rights of each role are those that the templates give."""

import re

import pytest

from sim.synthesis import Template, resources, synthesise
from tests.documents import PROJECT
from tests.infra.test_sandbox_stack import KEY, sandbox

Words = dict[str, str | tuple[str, ...]]
# The page's words for roles and resources, with what the templates' names begin with.
ROLES: Words = {"function": "DeliverLeadsRole", "schedule of the check": "CheckRole", "sandbox": "Role"}
RESOURCES: Words = {
    "lead queue": "LeadQueue",
    "dead-letter queue": "DeadLetterQueue",
    "secret": "Credentials",
    "ledger": "Ledger",
    "table": "Table",
    "log": ("DeliverLeadsLogs", "Logs"),
    "bus": "EventBus",
    "function": "DeliverLeadsFunction",
    "your key": "arn:aws:kms:",
    "no resource": "*",
}
# What the last column says, and the settings that make it so.
SETTINGS = {
    "outcomeEvents": "ids",
    "kmsKeyArn": KEY,
    "subnetIds": "subnet-0123456789abcdef0",
    "tracing": "true",
    "checkEveryMinutes": "60",
}
Right = tuple[str, str, str]


def on_the_page(*with_settings: str) -> set[Right]:
    """Role, resource and action of each row whose settings are given, or that needs none."""
    text = (PROJECT / "SECURITY.md").read_text("utf-8").split("## What each role may")[1].split("\n## ")[0]
    lines = re.findall(r"^\|.*", text, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        (role, resource.partition(",")[0], action)
        for role, resource, actions, setting in rows[2:]
        for action in re.findall(r"`([^`]+)`", actions)
        if set(re.findall(r"`([^`]+)`", setting)) <= set(with_settings)
    }


def in_the_template(template: Template) -> set[Right]:
    """Role, resource and action of each statement, in the page's words. No right is given in another way."""
    assert resources(template, "AWS::IAM::Policy") == {}
    return {
        (word_of(ROLES, name), word_of(RESOURCES, place(statement["Resource"])), action)
        for name, role in resources(template, "AWS::IAM::Role").items()
        for policy in role["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }


def place(resource: object) -> str:
    """A logical id, an ARN, or *."""
    if isinstance(resource, dict):
        return str(resource["Ref"] if "Ref" in resource else resource["Fn::GetAtt"][0])
    return str(resource)


def word_of(words: Words, name: str) -> str:
    """What the page calls it; what it has no word for stays as it is, and differs."""
    return next((word for word, beginning in words.items() if name.startswith(beginning)), name)


@pytest.mark.parametrize("settings", [{}, SETTINGS])
def test_the_rights_on_the_page_are_those_of_the_roles(settings: dict[str, str]) -> None:
    """A right that isn't there would be found by a reviewer; one that isn't given, by nobody."""
    group = {"securityGroupIds": "sg-0123456789abcdef0"} if "subnetIds" in settings else {}
    templates = synthesise("prod", **settings, **group)
    found = {right for template in templates for right in in_the_template(template)}
    assert found == on_the_page(*settings)


@pytest.mark.parametrize("settings", [{}, {"kmsKeyArn": KEY}], ids=str)
def test_the_rights_of_the_sandbox_are_on_the_page(settings: dict[str, str]) -> None:
    """It is another stack, which only stages without 7Targets have."""
    of_the_sandbox = on_the_page("leadsApi", *settings) - on_the_page(*settings)
    assert in_the_template(sandbox(**settings)) == of_the_sandbox
