"""What the settings of a company make of the templates: names, roles, tags, keys, networks."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import certifi
import pytest

from infra.config import ConfigError
from infra.encryption import service_statements
from sim.synthesis import (
    Resource,
    Template,
    build,
    properties,
    resource_behind,
    resources,
    synthesise,
)
from tests.documents import PROJECT

KEY = "arn:aws:kms:eu-central-1:111122223333:key/12345678-1234-1234-1234-123456789012"
BOUNDARY = "acme/developers"
# certifi's bundle is a file of certificates that is there on every machine.
COMPANY = {
    "account": "111122223333",
    "region": "eu-central-1",
    "namePrefix": "acme-",
    "tags": '{"team": "sales", "cost-centre": "4711"}',
    "rolePath": "/acme/",
    "permissionsBoundary": BOUNDARY,
    "kmsKeyArn": KEY,
    "subnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "securityGroupIds": "sg-0123456789abcdef0",
    "proxyUrl": "http://proxy.acme.example:3128",
    "noProxy": "dynamodb.eu-central-1.amazonaws.com,.vpce.amazonaws.com",
    "certificateAuthorityFile": certifi.where(),
    "checkEveryMinutes": "60",
}


def delivery() -> Template:
    """The delivery stack of a stage with all of them."""
    return synthesise("prod", **COMPANY).delivery


def monitoring() -> Template:
    """Its monitoring stack."""
    return synthesise("prod", **COMPANY).monitoring


def statements(policy: Resource) -> list[Resource]:
    """The statements of a managed policy or of a role's only inline policy."""
    document = policy.get("PolicyDocument") or policy["Policies"][0]["PolicyDocument"]
    return list(document["Statement"])


def actions_on(policy: Resource, resource: object) -> set[str]:
    """The actions that a policy allows on a resource."""
    found = [s for s in statements(policy) if resource in (s["Resource"], *s["Resource"])]
    return {a for s in found for a in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}


@pytest.mark.shipped
def test_a_stage_has_its_place_in_its_stacks() -> None:
    """So an assembly that was synthesised elsewhere can't be deployed into another account either."""
    stacks = build("prod", account="111122223333", region="eu-central-1")
    assert {(stack.account, stack.region) for stack in stacks} == {("111122223333", "eu-central-1")}


@pytest.mark.shipped
def test_the_prefix_is_before_both_stacks_names_and_all_that_is_named_after_them() -> None:
    """CloudFormation's own names begin with the stack's: roles, queues, tables."""
    stack, watching = build("prod", namePrefix="acme-")
    assert (stack.stack_name, watching.stack_name) == ("acme-LeadDelivery-prod", "acme-LeadMonitoring-prod")
    template = delivery()
    assert template["Outputs"]["MonitoringStackName"]["Value"] == "acme-LeadMonitoring-prod"
    assert properties(template, "AWS::Events::EventBus")["Name"] == "acme-LeadDelivery-prod"
    for alarm in resources(monitoring(), "AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmName"].startswith("acme-LeadMonitoring-prod-")


def test_every_role_and_policy_has_the_path_and_every_role_the_boundary() -> None:
    """The function's role and the schedule's; a company's SCP refuses any other."""
    roles = [role["Properties"] for role in resources(delivery(), "AWS::IAM::Role").values()]
    policies = [each["Properties"] for each in resources(delivery(), "AWS::IAM::ManagedPolicy").values()]
    assert (len(roles), len(policies)) == (2, 2)
    assert {each["Path"] for each in roles + policies} == {"/acme/"}
    for role in roles:
        assert f":policy/{BOUNDARY}" in json.dumps(role["PermissionsBoundary"])
    assert not resources(monitoring(), "AWS::IAM::Role")


@pytest.mark.shipped
def test_a_boundary_may_be_given_by_its_arn() -> None:
    """For example AWS's own, or one of another path."""
    arn = "arn:aws:iam::111122223333:policy/boundary"
    template = synthesise(permissionsBoundary=arn).delivery
    assert properties(template, "AWS::IAM::Role")["PermissionsBoundary"] == arn


# What CloudFormation can't tag, or what has a list of its own.
UNTAGGED = {
    "AWS::CloudFormation::CustomResource",
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::ManagedPolicy",
    "AWS::Lambda::LayerVersion",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}


def test_everything_that_takes_tags_has_them() -> None:
    """Costs are split by them, and some companies refuse what has none."""
    for template in (delivery(), monitoring()):
        for name, resource in template["Resources"].items():
            if resource["Type"] in UNTAGGED:
                continue
            tags = resource["Properties"]["Tags"]
            found = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
            assert found == {"team": "sales", "cost-centre": "4711"}, name


def test_the_key_encrypts_queues_ledger_secret_log_environment_and_the_alarms_topic() -> None:
    """All that holds a lead or a credential, and what alarms say."""
    template = delivery()
    for output in ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl"):
        queue = resource_behind(template, output)["Properties"]
        assert (queue["KmsMasterKeyId"], queue["KmsDataKeyReusePeriodSeconds"]) == (KEY, 3600)
        assert "SqsManagedSseEnabled" not in queue
    table = properties(template, "AWS::DynamoDB::Table")["SSESpecification"]
    assert table == {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    assert properties(template, "AWS::SecretsManager::Secret")["KmsKeyId"] == KEY
    assert properties(template, "AWS::Logs::LogGroup")["KmsKeyId"] == KEY
    assert properties(template, "AWS::Lambda::Function")["KmsKeyArn"] == KEY
    assert properties(monitoring(), "AWS::SNS::Topic")["KmsMasterKeyId"] == KEY
    assert not resources(monitoring(), "AWS::KMS::Key")


def test_function_producers_and_operators_may_use_the_key() -> None:
    """Who sends to an encrypted queue needs both, and so does who reads it."""
    template = delivery()
    of_a_queue = {"kms:Decrypt", "kms:GenerateDataKey"}
    function = resource_behind(template, "FunctionName")["Properties"]["Role"]["Fn::GetAtt"][0]
    assert of_a_queue < actions_on(template["Resources"][function]["Properties"], KEY)
    for output in ("ProducerPolicyArn", "OperatorPolicyArn"):
        assert actions_on(resource_behind(template, output)["Properties"], KEY) == of_a_queue


def test_the_page_shows_the_statements_that_a_key_of_this_app_gets() -> None:
    """The owner of another key copies them."""
    page = (PROJECT / "docs/company.md").read_text("utf-8")
    (shown,) = [block for block in page.split("```json\n")[1:] if "LogGroups" in block]
    made = cdk.Stack(cdk.App(), "Key").resolve([each.to_statement_json() for each in service_statements()])
    assert json.loads(shown.split("```")[0]) == filled(made)


def filled(value: Any) -> Any:
    """A part of a template with the page's account and region in it."""
    places = {"Region": "eu-central-1", "AccountId": "111122223333", "Partition": "aws"}
    match value:
        case {"Ref": name}:
            return places[name.removeprefix("AWS::")]
        case {"Fn::Join": [separator, parts]}:
            return separator.join(map(filled, parts))
        case dict():
            return {key: filled(each) for key, each in value.items()}
        case list():
            return [filled(each) for each in value]
        case _:
            return value


def test_the_function_is_in_the_network_and_may_make_its_interfaces() -> None:
    """AWS's managed policy for it has these actions; they take no resource."""
    template = delivery()
    function = resource_behind(template, "FunctionName")["Properties"]
    assert function["VpcConfig"] == {
        "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "SecurityGroupIds": ["sg-0123456789abcdef0"],
    }
    role = template["Resources"][function["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert {"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"} < actions_on(role, "*")
    assert "VpcConfig" not in properties(synthesise().delivery, "AWS::Lambda::Function")


def test_the_function_gets_the_proxy_and_the_authority() -> None:
    """The file is in a layer, so that the bundle stays the same for everybody."""
    template = delivery()
    function = resource_behind(template, "FunctionName")["Properties"]
    variables = function["Environment"]["Variables"]
    assert variables["HTTPS_PROXY"] == "http://proxy.acme.example:3128"
    assert variables["NO_PROXY"] == "dynamodb.eu-central-1.amazonaws.com,.vpce.amazonaws.com"
    assert variables["EXTRA_CA_FILE"] == f"/opt/{Path(certifi.where()).name}"
    (layer,) = resources(template, "AWS::Lambda::LayerVersion")
    assert function["Layers"] == [{"Ref": layer}]
    usual = properties(synthesise().delivery, "AWS::Lambda::Function")
    assert "Layers" not in usual
    assert not {"HTTPS_PROXY", "NO_PROXY", "EXTRA_CA_FILE"} & usual["Environment"]["Variables"].keys()


@pytest.mark.shipped
def test_the_layer_holds_the_authority_s_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """The file may lie among others, such as the stage's settings."""
    (tmp_path / "prod.toml").write_text("", "utf-8")
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    stack, _ = build(certificateAuthorityFile=str(tmp_path / "ca.pem"))
    app: Any = stack.node.root
    assembly = Path(app.synth().directory)
    assert [[file.name for file in folder.iterdir()] for folder in assembly.glob("asset.*")] == [["ca.pem"]]


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n", None]
)
def test_a_file_that_is_no_authority_s_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Else each lead would wait for a connection that never comes."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="must be a file of PEM certificates"):
        build(certificateAuthorityFile=str(file))
