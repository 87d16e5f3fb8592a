"""What the two managed policies allow, and what they must never."""

import json
import re
from fnmatch import fnmatchcase
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from sim.synthesis import Template, output_target, resource_behind, synthesise
from tests.aws_command import read_command
from tests.documents import PROJECT, aws_commands, section, shell_blocks

PRODUCER, OPERATOR = "ProducerPolicyArn", "OperatorPolicyArn"


def allowed(template: Template, output: str) -> dict[str, list[Any]]:
    """The resources of each action that the policy behind an output allows."""
    found: dict[str, list[Any]] = {}
    for statement in resource_behind(template, output)["Properties"]["PolicyDocument"]["Statement"]:
        assert statement["Effect"] == "Allow"
        actions, resources = statement["Action"], statement["Resource"]
        for action in [actions] if isinstance(actions, str) else actions:
            found.setdefault(action, []).extend(resources if isinstance(resources, list) else [resources])
    return found


def arn(template: Template, output: str) -> dict[str, Any]:
    """The ARN of the resource behind an output."""
    return {"Fn::GetAtt": [output_target(template, output), "Arn"]}


@pytest.mark.parametrize("output", [PRODUCER, OPERATOR])
def test_the_output_is_a_managed_policy(output: str) -> None:
    """A person attaches it to a role or a group, by its ARN."""
    policy = resource_behind(synthesise().delivery, output)
    assert policy["Type"] == "AWS::IAM::ManagedPolicy"
    # Whom it is for is up to the account: the stack attaches it to nobody.
    assert not {"Roles", "Users", "Groups"} & policy["Properties"].keys()


@pytest.mark.parametrize("output", [PRODUCER, OPERATOR])
def test_it_fits_into_a_managed_policy(output: str) -> None:
    """6,144 characters without white space; references get up to about a hundred longer."""
    document = resource_behind(synthesise().delivery, output)["Properties"]["PolicyDocument"]
    references = json.dumps(document).count('"Ref"') + json.dumps(document).count('"Fn::GetAtt"')
    assert len(json.dumps(document, separators=(",", ":"))) + 100 * references < 6_144


def test_a_producer_may_publish_by_both_ways_and_nothing_else() -> None:
    """No message can be read with it."""
    template = synthesise().delivery
    assert allowed(template, PRODUCER) == {
        "sqs:GetQueueAttributes": [arn(template, "LeadQueueUrl")],
        "sqs:GetQueueUrl": [arn(template, "LeadQueueUrl")],
        "sqs:SendMessage": [arn(template, "LeadQueueUrl")],
        "events:PutEvents": [arn(template, "EventBusName")],
    }


@pytest.mark.parametrize(
    ("settings", "conditions"),
    [
        ({}, None),
        ({"eventSources": "my.crm"}, None),
        (
            {"eventBusName": "default"},
            {"events:detail-type": ["Lead Created", "Lead Updated", "Lead Followup Stopped"]},
        ),
        (
            {"eventBusName": "default", "eventSources": "my.crm,my.forms"},
            {
                "events:detail-type": ["Lead Created", "Lead Updated", "Lead Followup Stopped"],
                "events:source": ["my.crm", "my.forms"],
            },
        ),
    ],
)
def test_on_a_bus_of_others_a_producer_may_publish_lead_events_only(
    settings: dict[str, str], conditions: dict[str, list[str]] | None
) -> None:
    """Else it could play any other event there. On the stage's own bus, what is wrong is parked.

    A call has the keys of all its entries, so that each of them must be allowed; one without any isn't.
    """
    template = synthesise(**settings).delivery
    policy = resource_behind(template, PRODUCER)["Properties"]["PolicyDocument"]
    (statement,) = (each for each in policy["Statement"] if each["Action"] == "events:PutEvents")
    all_of_a_call = {
        "ForAllValues:StringEquals": conditions,
        "Null": dict.fromkeys(conditions or {}, "false"),
    }
    assert statement.get("Condition") == (all_of_a_call if conditions else None)


def test_an_operator_may_do_what_the_documents_ask_for() -> None:
    """On this stage's resources, each action on those that it is for."""
    template = synthesise().delivery
    rights = allowed(template, OPERATOR)
    both = [arn(template, "DeadLetterQueueUrl"), arn(template, "RuleDeadLetterQueueUrl")]
    for action in ("ReceiveMessage", "ChangeMessageVisibility", "DeleteMessage", "GetQueueUrl"):
        assert rights[f"sqs:{action}"][:2] == both
    for action in ("StartMessageMoveTask", "ListMessageMoveTasks", "CancelMessageMoveTask"):
        assert rights[f"sqs:{action}"] == both[:1]
    assert rights["sqs:SendMessage"] == [arn(template, "LeadQueueUrl")]
    assert rights["sqs:GetQueueAttributes"] == [*both, arn(template, "LeadQueueUrl")]
    assert rights["dynamodb:GetItem"] == [arn(template, "LedgerTableName")]
    for action in ("StartQuery", "FilterLogEvents", "StartLiveTail"):
        assert rights[f"logs:{action}"] == [arn(template, "LogGroupName")]
    for action in ("InvokeFunction", "GetFunctionConfiguration"):
        assert rights[f"lambda:{action}"] == [arn(template, "FunctionName")]
    for action in (
        *("GetEventSourceMapping", "UpdateEventSourceMapping"),
        *("ListTags", "TagResource", "UntagResource"),
    ):
        assert output_target(template, "EventSourceMappingId") in json.dumps(rights[f"lambda:{action}"])
    for action in ("DescribeSecret", "PutSecretValue", "ListSecretVersionIds", "UpdateSecretVersionStage"):
        assert rights[f"secretsmanager:{action}"] == [{"Ref": output_target(template, "SecretName")}]
    assert {"Ref": "AWS::StackId"} in rights["cloudformation:DescribeStacks"]
    assert ":stack/LeadMonitoring-dev/*" in json.dumps(rights["cloudformation:DescribeStacks"])
    assert rights["dynamodb:BatchGetItem"] == rights["dynamodb:GetItem"]
    assert "LeadRule" in json.dumps(rights["events:DescribeRule"])
    assert ":LeadMonitoring-dev-*" in json.dumps(rights["sns:ListSubscriptionsByTopic"])


PAGES = ("docs/runbook.md", "docs/operate.md", "docs/alarms.md")
# The command line's word for an action that IAM calls otherwise.
RENAMED = {"lambda:Invoke": "lambda:InvokeFunction"}
FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def actions_of(text: str) -> set[str]:
    """The IAM action of each aws command of a text, in a block or in a sentence."""
    in_sentences = re.findall(r"`(?:aws|enable-alarm-actions)\b[^`]*`", FENCED.sub("", text))
    calls = [(words[0], words[1:]) for block in shell_blocks(text) for words in aws_commands(block)]
    calls += [(words[1], words[2:]) for each in in_sentences if len(words := each.strip("`").split()) > 2]
    return {action_of(service, rest) for service, rest in calls}


def action_of(service: str, words: list[str]) -> str:
    """`sqs`, `receive-message …` is sqs:ReceiveMessage; waiting is the call that it repeats."""
    if words[0] == "wait":
        command = read_command([service, *words], literal=False)
        return f"{service}:{command.operation}"
    action = f"{service}:{''.join(part.capitalize() for part in words[0].split('-'))}"
    return RENAMED.get(action, action)


def test_every_aws_command_of_an_operator_s_pages_is_allowed_or_says_who_may() -> None:
    """The person who is called at night must not get AccessDenied from the first command."""
    rights = allowed(synthesise().delivery, OPERATOR)
    table = (PROJECT / "docs/operate.md").read_text("utf-8").split("## Who may operate")[1].split("\n## ")[0]
    others = set(re.findall(r"`(\w+:\w+)`", table))
    asked = {action for page in PAGES for action in actions_of((PROJECT / page).read_text("utf-8"))}
    assert {"sqs:ListQueues", "lambda:InvokeFunction", "logs:FilterLogEvents"} <= asked | rights.keys()
    # All but the sending is on what another stack has left, where the operator has no rights.
    adopting = actions_of(section("docs/runbook.md", "Adopt a kept ledger")) - {"sqs:SendMessage"}
    elsewhere = {action for action in adopting if "*" not in rights[action]}
    assert (asked - rights.keys()) | elsewhere == others
    known = json.loads(
        Path(
            str(distribution("cfn-lint").locate_file("cfnlint/data/AdditionalSpecs/Policies.json"))
        ).read_text()
    )
    named = {f"{service}:{action}".lower() for service, of in known.items() for action in of["Actions"]}
    assert [action for action in asked | rights.keys() if action.lower() not in named] == []


@pytest.mark.parametrize("tracing", [False, True])
def test_an_operator_may_read_traces_when_there_are_any(tracing: bool) -> None:
    """A right that serves nothing is left out."""
    rights = allowed(synthesise(tracing=str(tracing).lower()).delivery, OPERATOR)
    assert any(action.startswith("xray:") for action in rights) is tracing


@pytest.mark.parametrize(
    "action",
    [
        "secretsmanager:GetSecretValue",
        "sqs:PurgeQueue",
        "sqs:SetQueueAttributes",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
        "lambda:UpdateFunctionConfiguration",
        "iam:PassRole",
    ],
)
def test_an_operator_may_never(action: str) -> None:
    """Read the credentials, lose parked leads, make the ledger lie, or get more rights."""
    rights = allowed(synthesise().delivery, OPERATOR)
    assert [pattern for pattern in rights if fnmatchcase(action.lower(), pattern.lower())] == []


def test_an_operator_s_writes_are_on_named_resources() -> None:
    """Only reading goes without: AWS limits those actions to no resource."""
    rights = allowed(synthesise().delivery, OPERATOR)
    unlimited = {action for action, resources in rights.items() if "*" in resources}
    reads = ("Get", "BatchGet", "Describe", "List", "StopQuery")
    assert [action for action in unlimited if not action.split(":")[1].startswith(reads)] == []


def test_a_kept_stage_has_policies_of_its_own() -> None:
    """Somebody who operates dev doesn't operate prod."""
    document = json.dumps(resource_behind(synthesise("prod").delivery, OPERATOR)["Properties"])
    assert "LeadMonitoring-prod/" in document
    assert "-dev" not in document
