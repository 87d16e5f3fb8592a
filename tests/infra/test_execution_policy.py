"""docs/execution-policy.json: what CloudFormation may do when it deploys, made from the templates.

WRITE=1 .venv/bin/python -m pytest -n0 tests/infra/test_execution_policy.py    writes it anew
"""

import functools
import json
import os
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from infra.bundling import PROJECT
from sim.synthesis import WITH_EVERY_ALARM, synthesise
from tests.infra.test_sandbox_stack import ENDPOINTS, sandbox

pytestmark = pytest.mark.shipped  # it reads all of AWS's schemas

FILE = PROJECT / "docs/execution-policy.json"
SCHEMAS = Path(str(distribution("cfn-lint").locate_file("cfnlint/data/schemas/resources")))
# Which settings make resources of further types.
VARIANTS: tuple[dict[str, str], ...] = (
    {},
    {
        **WITH_EVERY_ALARM,
        "tracing": "true",
        "snsTopicArns": "arn:aws:sns:us-east-1:111122223333:leads",
        "producerAccounts": "111122223333",
        "kmsKeyArn": "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555",
        "subnetIds": "subnet-0123456789abcdef0",
        "securityGroupIds": "sg-0123456789abcdef0",
    },
)
# Of certificateAuthorityFile, which no template's test has.
MORE_TYPES = {"AWS::Lambda::LayerVersion"}
# Rights of the handlers for what no stage has: replicas, imports, streams, file systems, users, groups.
NOT_NEEDED = re.compile(
    r"(elasticfilesystem|firehose|kinesis|s3|s3files):|"
    r"dynamodb:(.*Replica|.*Kinesis.*|ImportTable|DescribeImport|BatchWriteItem|(Delete|Get|Put|Update)Item|Query|Scan)$|"
    r"iam:(Attach|Detach)(Group|User)Policy$|logs:(CreateLogStream|DescribeLogStreams|PutLogEvents|.*BearerToken.*)$|"
    r"secretsmanager:.*Re(plicate|moveRegions)|lambda:(PassCapacityProvider|.*ScalingConfig)$"
)
# Roles and policies could give away any right, so these go by name, in which the stack's is.
NAMED = "*LeadDelivery-*", "*LeadSandbox-*"


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """AWS's schema of each resource type of the templates; it says which rights its handlers use."""
    read = (json.loads(path.read_text("utf-8")) for path in SCHEMAS.glob("*.json"))
    return {schema["typeName"]: schema for schema in read if schema.get("typeName") in types()}


@functools.cache
def types() -> frozenset[str]:
    """The resource types of all variants of a stage."""
    stages = (template for settings in VARIANTS for template in synthesise("prod", **settings))
    templates = (*stages, *(sandbox(endpoint) for endpoint in ENDPOINTS))
    return frozenset(
        {r["Type"] for template in templates for r in template["Resources"].values()} | MORE_TYPES
    )


def actions() -> set[str]:
    """What AWS's handlers of these types call; to list what is there is nobody's need."""
    return {
        action
        for schema in schemas().values()
        for name, handler in schema["handlers"].items()
        if name != "list"
        for action in handler["permissions"]
        if not NOT_NEEDED.match(action)
    }


def policy() -> dict[str, Any]:
    """The policy for `cdk bootstrap --cloudformation-execution-policies`."""
    named: list[str] = []
    rest: list[str] = []
    for action in sorted(actions() - {"iam:PassRole", "iam:CreateServiceLinkedRole"}):
        (named if action.startswith("iam:") else rest).append(action)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Resources", "Effect": "Allow", "Action": rest, "Resource": "*"},
            {
                "Sid": "RolesAndPolicies",
                "Effect": "Allow",
                "Action": named,
                "Resource": [
                    f"arn:aws:iam::*:{kind}/{name}" for kind in ("role", "policy") for name in NAMED
                ],
            },
            {
                "Sid": "GiveRoles",
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": [f"arn:aws:iam::*:role/{name}" for name in NAMED],
                "Condition": {
                    "StringEquals": {
                        "iam:PassedToService": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]
                    }
                },
            },
            # The function's zip, the bootstrap's version, and the outputs that the other stack refers to.
            {
                "Sid": "Cdk",
                "Effect": "Allow",
                "Action": ["cloudformation:DescribeStacks", "s3:GetObject", "ssm:GetParameters"],
                "Resource": [
                    "arn:aws:cloudformation:*:*:stack/*Lead*",
                    "arn:aws:s3:::cdk-*-assets-*",
                    "arn:aws:ssm:*:*:parameter/cdk-bootstrap/*",
                ],
            },
        ],
    }


def test_the_policy_has_what_each_resource_of_the_templates_needs() -> None:
    """A new kind of resource would fail half way through a deployment."""
    assert types() == schemas().keys()
    text = json.dumps(policy(), indent=1) + "\n"
    if os.environ.get("WRITE"):
        FILE.write_text(text, "utf-8")
    assert FILE.read_text("utf-8") == text, (
        "WRITE=1 pytest tests/infra/test_execution_policy.py writes it anew"
    )


def test_it_fits_into_a_managed_policy() -> None:
    """6,144 characters without white space."""
    assert len(json.dumps(policy(), separators=(",", ":"))) <= 6_144


def test_it_gives_no_role_of_others_away() -> None:
    """Who may change any role, or give any to a function of theirs, may do everything."""
    for statement in policy()["Statement"]:
        if any(action.startswith("iam:") for action in statement["Action"]) or "iam" in statement["Action"]:
            assert all("Lead" in resource for resource in statement["Resource"]), statement["Sid"]
    assert not {action for action in actions() if action.startswith("dynamodb:") and action.endswith("Item")}
