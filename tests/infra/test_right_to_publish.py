"""docs/events/publish.md on the right to publish: the CDK's example by synthesis, Terraform's by its form."""

import re
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Template

from sim.synthesis import synthesise
from tests.documents import PROJECT

SECTION = (PROJECT / "docs/events/publish.md").read_text("utf-8").split("\n## The right to publish\n")[1]


def block(language: str) -> str:
    """The section's only fenced block of a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.shipped
def test_the_cdk_example_attaches_the_policy() -> None:
    """It is executed as it is written, in a stack with a role."""
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - this project's own document
    stack = cdk.Stack(cdk.App(), "Producer")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    names["allow_publishing"](stack, role, "arn:aws:iam::111122223333:policy/Producer")
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Role", {"ManagedPolicyArns": ["arn:aws:iam::111122223333:policy/Producer"]}
    )


def test_the_terraform_example_reads_outputs_that_the_stack_has() -> None:
    """It names the stack; everything that it refers to is there, but for the producer's own role."""
    text = block("hcl")
    outputs = set(re.findall(r'\.outputs\["(\w+)"\]', text))
    assert outputs == {"ProducerPolicyArn", "LeadQueueUrl"}
    assert outputs <= synthesise("prod").delivery["Outputs"].keys()
    assert 'data "aws_cloudformation_stack" "leads"' in text
    assert text.count("data.aws_cloudformation_stack.leads.outputs") == len(outputs)
    assert text.count("{") == text.count("}")
