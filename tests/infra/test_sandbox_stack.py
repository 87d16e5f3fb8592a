"""The stack LeadSandbox: what a stage without 7Targets delivers to."""

import functools
import json
from typing import Any

import pytest
from aws_cdk import aws_lambda as lambda_

from infra.config import ConfigError
from infra.delivery_stack import DeliveryStack
from infra.sandbox_stack import SandboxStack
from local.sandbox.dynamodb_store import EXPIRY, KIND, LONGEST_DELAY_S, NAME
from prove.stage import SETTINGS
from sim.synthesis import Template, build, config_of, new_app, properties, resources, synthesise

NO_CODE = lambda_.Code.from_inline("pass")
ENDPOINTS = ("functionUrl", "httpApi")
KEY = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"


@functools.cache
def sandbox(endpoint: str = "functionUrl", **settings: str) -> Template:
    """The template of its stack; the synthesis fails on a finding of cdk-nag."""
    app = new_app()
    build(app=app, leadsApi="sandbox", sandboxEndpoint=endpoint, **settings)
    return dict(app.synth().get_stack_by_name("LeadSandbox-dev").template)


def environment(template: Template) -> dict[str, Any]:
    """The variables of its function."""
    return dict(properties(template, "AWS::Lambda::Function")["Environment"]["Variables"])


def output_behind(reference: dict[str, Any]) -> object:
    """What the sandbox's stack gives for a reference of another stack to it."""
    [output] = [
        value for value in _values(reference, "Fn::GetStackOutput") if value["StackName"] == "LeadSandbox-dev"
    ]
    return sandbox()["Outputs"][output["OutputName"]]["Value"]


def _values(value: object, key: str) -> list[Any]:
    """Everything under this key, however deep."""
    if isinstance(value, list):
        return [found for inner in value for found in _values(inner, key)]
    if isinstance(value, dict):
        return [
            found
            for name, inner in value.items()
            for found in ([inner] if name == key else _values(inner, key))
        ]
    return []


def test_a_request_that_the_sandbox_has_begun_takes_effect_within_the_settling_time() -> None:
    """A function ends at its time-out. A create that took effect later would be sent twice."""
    time_out = properties(sandbox(), "AWS::Lambda::Function")["Timeout"]
    assert int(SETTINGS["settlingTimeSeconds"]) >= time_out
    assert config_of("dev").settling_time_seconds >= time_out


def test_both_functions_read_the_same_secret_which_nobody_typed() -> None:
    """It is made at the deployment, with the fields that the function wants."""
    secret = properties(sandbox(), "AWS::SecretsManager::Secret")["GenerateSecretString"]
    fields = {secret["GenerateStringKey"], *json.loads(secret["SecretStringTemplate"])}
    assert fields == {"client_id", "client_secret", "user_identifier"}
    delivery = synthesise(leadsApi="sandbox").delivery
    assert output_behind(environment(delivery)["SECRET_ID"]) == environment(sandbox())["SECRET_ID"]
    assert resources(delivery, "AWS::SecretsManager::Secret") == {}


@pytest.mark.parametrize(("variable", "path"), [("LEADS_API_URL", ""), ("TOKEN_URL", "/oauth2/token")])
def test_the_function_delivers_to_the_sandbox_s_url(variable: str, path: str) -> None:
    """By HTTPS, and without a slash at the end, as 7Targets' own URL is."""
    url = environment(synthesise(leadsApi="sandbox").delivery)[variable]
    assert "FunctionUrl" in json.dumps(output_behind(url))
    start, *rest = url["Fn::Join"][1]
    assert start == "https://"
    assert "".join(part for part in rest if isinstance(part, str)) == path


def test_nothing_else_of_the_function_differs() -> None:
    """It doesn't know that it delivers to a sandbox."""
    real, sandboxed = (environment(synthesise(leadsApi=api).delivery) for api in ("7targets", "sandbox"))
    assert {name for name in real if real[name] != sandboxed.get(name)} == {
        "LEADS_API_URL",
        "TOKEN_URL",
        "SECRET_ID",
    }
    assert real.keys() == sandboxed.keys()


def test_the_table_is_the_one_that_the_store_asks_for() -> None:
    """Keys and expiry."""
    table = properties(sandbox(), "AWS::DynamoDB::Table")
    assert table["KeySchema"] == [
        {"AttributeName": KIND, "KeyType": "HASH"},
        {"AttributeName": NAME, "KeyType": "RANGE"},
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": EXPIRY, "Enabled": True}


def test_the_company_s_key_encrypts_all_that_the_sandbox_keeps() -> None:
    """Where a company allows no other key, a stage that mails nobody can be deployed, too."""
    template = sandbox(kmsKeyArn=KEY)
    assert properties(template, "AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"] == KEY
    assert properties(template, "AWS::SecretsManager::Secret")["KmsKeyId"] == KEY
    assert properties(template, "AWS::Logs::LogGroup")["KmsKeyId"] == KEY
    assert properties(template, "AWS::Lambda::Function")["KmsKeyArn"] == KEY


def test_the_function_outlasts_the_longest_delay() -> None:
    """What comes after the delay needs some seconds too."""
    assert properties(sandbox(), "AWS::Lambda::Function")["Timeout"] >= LONGEST_DELAY_S + 10


@pytest.mark.shipped
def test_a_company_without_public_function_urls_takes_an_http_api() -> None:
    """One or the other, never both."""
    of_url, of_api = sandbox("functionUrl"), sandbox("httpApi")
    assert resources(of_url, "AWS::Lambda::Url")
    assert not resources(of_url, "AWS::ApiGatewayV2::Api")
    assert resources(of_api, "AWS::ApiGatewayV2::Api")
    assert not resources(of_api, "AWS::Lambda::Url")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_all_of_it_goes_with_the_stack(endpoint: str) -> None:
    """Nothing of a sandbox is worth keeping."""
    policies = {r.get("DeletionPolicy", "Delete") for r in sandbox(endpoint)["Resources"].values()}
    assert policies == {"Delete"}


def test_at_rest_it_costs_nothing_but_its_secret() -> None:
    """docs/cost.md says so; all else is billed by use."""
    by_use = {"AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::Lambda::Url", "AWS::Logs::LogGroup"}
    free = {"AWS::IAM::Role", "AWS::Lambda::Permission"}
    made = {resource["Type"] for resource in sandbox()["Resources"].values()}
    assert made == by_use | free | {"AWS::SecretsManager::Secret"}


def test_an_operator_may_steer_the_sandbox_and_nothing_else_is_new() -> None:
    """By invoking its function, whose URL shows nothing."""
    [operator] = [
        policy["Properties"]["PolicyDocument"]["Statement"]
        for policy in resources(synthesise(leadsApi="sandbox").delivery, "AWS::IAM::ManagedPolicy").values()
        if "Operates" in policy["Properties"]["Description"]
    ]
    [steer] = [statement for statement in operator if statement["Sid"] == "SteerSandbox"]
    assert steer["Action"] == "lambda:InvokeFunction"
    assert "Function" in json.dumps(output_behind(steer["Resource"]))


@pytest.mark.shipped
@pytest.mark.parametrize("settings", [{}, {"endpoint": "httpApi"}, {"kmsKeyArn": KEY}], ids=str)
def test_the_template_passes_cfn_lint(settings: dict[str, str]) -> None:
    """As the other stacks' do, but for function URLs, which some regions lack (docs/settings.md)."""
    from cfnlint.api import lint_all  # type: ignore[import-untyped]

    findings = [match for match in lint_all(json.dumps(sandbox(**settings))) if match.rule.id[0] != "I"]
    assert [
        str(match) for match in findings if "'AWS::Lambda::Url' does not exist in" not in str(match)
    ] == []


@pytest.mark.parametrize("leads_api", ["sandbox", "7targets"])
def test_a_delivery_without_the_sandbox_that_its_settings_name_is_refused(leads_api: str) -> None:
    """Its leads would go to 7Targets, or the sandbox would stay empty."""
    app = new_app()
    made = SandboxStack(app, "Sandbox", config=config_of("dev", leadsApi="sandbox"), code=NO_CODE)
    with pytest.raises(ConfigError, match="leadsApi is sandbox"):
        DeliveryStack(
            app,
            "Delivery",
            config=config_of("dev", leadsApi=leads_api),
            code=NO_CODE,
            sandbox=made if leads_api == "7targets" else None,
        )
