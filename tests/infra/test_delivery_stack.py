"""What the delivery stack's template promises."""

import json
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sqs as sqs

from app import build_stacks
from infra.bundling import PROJECT, LocalBundling
from infra.config import DeploymentConfig
from sim.synthesis import (
    Resource,
    Template,
    build,
    new_app,
    output_target,
    properties,
    resource_behind,
    resources,
    sources,
    synthesise,
    synthesise_anew,
)
from tests.foreign_events import mappings
from tests.infra.test_company_settings import COMPANY

QUEUES = ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl")
DAYS_14_S = 14 * 24 * 3600


def queue_policy(template: Template, output: str) -> list[Resource]:
    """The statements of the policy of the queue behind an output."""
    ref = {"Ref": output_target(template, output)}
    (policy,) = (
        p["Properties"]
        for p in resources(template, "AWS::SQS::QueuePolicy").values()
        if p["Properties"]["Queues"] == [ref]
    )
    return list(policy["PolicyDocument"]["Statement"])


def as_text(value: Any) -> str:
    """A joined text with its references in braces, e.g. `LeadDelivery-dev-{AWS::StackId/2}`."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"{{{name}}}"
        case {"Fn::Select": [index, {"Fn::Split": [separator, {"Ref": name}]}]}:
            return f"{{{name}{separator}{index}}}"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(as_text, parts))
        case _:
            raise AssertionError(value)


@pytest.mark.parametrize("output", QUEUES)
def test_queues_are_encrypted(output: str) -> None:
    """Leads are personal data, so no queue holds them in the clear."""
    queue = resource_behind(synthesise().delivery, output)["Properties"]
    assert queue["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize("output", QUEUES)
def test_queues_take_tls_only(output: str) -> None:
    """Every action is denied to everybody whose connection isn't encrypted."""
    template = synthesise().delivery
    assert {
        "Action": "sqs:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Resource": {"Fn::GetAtt": [output_target(template, output), "Arn"]},
    } in queue_policy(template, output)


@pytest.mark.parametrize("output", QUEUES)
def test_queues_keep_messages_as_long_as_sqs_can(output: str) -> None:
    """14 days are SQS's most, so that an outage or a holiday loses no lead."""
    queue = resource_behind(synthesise().delivery, output)["Properties"]
    assert queue["MessageRetentionPeriod"] == DAYS_14_S


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "functionTimeoutSeconds": "900",
            "batchSize": "100",
            "batchingWindowSeconds": "300",
            "updateGraceMinutes": "136",
        },
    ],
)
def test_visibility_timeout_outlasts_the_function(settings: dict[str, str]) -> None:
    """At least six function timeouts and the batching window, as AWS advises and the CDK doesn't check."""
    template = synthesise(**settings).delivery
    window_s = properties(template, "AWS::Lambda::EventSourceMapping")["MaximumBatchingWindowInSeconds"]
    timeout_s = properties(template, "AWS::Lambda::Function")["Timeout"]
    queue = resource_behind(template, "LeadQueueUrl")["Properties"]
    assert 6 * timeout_s + window_s <= queue["VisibilityTimeout"] <= 43_200


def test_the_receive_count_never_parks_a_lead() -> None:
    """The redrive policy has SQS's highest count: the function parks a lead by its age."""
    template = synthesise().delivery
    assert resource_behind(template, "LeadQueueUrl")["Properties"]["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [output_target(template, "DeadLetterQueueUrl"), "Arn"]},
        "maxReceiveCount": 1000,
    }


def test_the_dead_letter_queue_is_the_lead_queue_s_alone() -> None:
    """No other queue of the account may have its messages moved among the parked leads.

    The policy gives the lead queue's ARN by its name, which must be the name that the lead queue gets.
    """
    template = synthesise().delivery
    policy = resource_behind(template, "DeadLetterQueueUrl")["Properties"]["RedriveAllowPolicy"]
    assert policy["redrivePermission"] == "byQueue"
    name = resource_behind(template, "LeadQueueUrl")["Properties"]["QueueName"]
    assert [as_text(arn) for arn in policy["sourceQueueArns"]] == [
        "arn:{AWS::Partition}:sqs:{AWS::Region}:{AWS::AccountId}:" + as_text(name)
    ]


@pytest.mark.shipped
def test_a_new_stack_never_meets_a_kept_lead_queue_of_an_old_one() -> None:
    """The queue's name has the stack's own id in it, and no more than SQS's 80 characters."""
    app = new_app()
    stack, _ = build_stacks(app, DeploymentConfig(stage="x" * 100), LocalBundling())
    template = app.synth().get_stack_artifact(stack.artifact_id).template
    name = as_text(resource_behind(template, "LeadQueueUrl")["Properties"]["QueueName"])
    start, stack_s_id, end = name.partition("-{AWS::StackId/2}")
    assert stack_s_id
    assert end == ""
    assert len(start) + len("-12345678-1234-1234-1234-123456789012") <= 80


@pytest.mark.parametrize("settings", [{}, {"eventSources": "my.crm,my.forms"}], ids=["any", "listed"])
def test_the_rule_takes_everything_but_what_became_of_leads(settings: dict[str, str]) -> None:
    """A misspelt type or an unlisted source must not vanish after a 200; the function says what is wrong."""
    types = ["Lead Delivered", "Lead Duplicate", "Lead Rejected", "Lead Parked"]
    assert properties(synthesise(**settings).delivery, "AWS::Events::Rule")["EventPattern"] == {
        "$or": [
            {"source": [{"anything-but": ["7targets-lead-delivery"]}]},
            {"detail-type": [{"anything-but": types}]},
        ]
    }


def rule_target(template: Template) -> Resource:
    """The rule's only target."""
    (target,) = properties(template, "AWS::Events::Rule")["Targets"]
    return dict(target)


def test_the_rule_passes_the_whole_envelope_on() -> None:
    """No input transformer: the function needs the envelope's id and time."""
    assert not {"InputTransformer", "InputPath", "Input"} & rule_target(synthesise().delivery).keys()


def test_the_rule_listens_on_the_stage_s_own_bus() -> None:
    """Other events of the account's default bus never meet the rule."""
    template = synthesise().delivery
    rule = properties(template, "AWS::Events::Rule")
    assert rule["EventBusName"] == {"Ref": output_target(template, "EventBusName")}


def test_events_that_the_lead_queue_refuses_go_to_the_rule_s_dead_letter_queue() -> None:
    """After 24 hours of EventBridge's own retries, not silently nowhere."""
    template = synthesise().delivery
    target = rule_target(template)
    assert target["DeadLetterConfig"] == {
        "Arn": {"Fn::GetAtt": [output_target(template, "RuleDeadLetterQueueUrl"), "Arn"]}
    }
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 24 * 3600, "MaximumRetryAttempts": 185}


def test_nobody_but_the_account_s_own_roles_may_use_the_dead_letter_queue() -> None:
    """Its policy allows nothing: the function's right stands in the function's role."""
    assert all(s["Effect"] == "Deny" for s in queue_policy(synthesise().delivery, "DeadLetterQueueUrl"))


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_the_secret_holds_the_placeholder_only(stage: str) -> None:
    """Credentials never pass through the template; an operator fills them in."""
    secret = json.loads(properties(synthesise(stage).delivery, "AWS::SecretsManager::Secret")["SecretString"])
    assert secret == {
        "client_id": "REPLACE_ME",
        "client_secret": "REPLACE_ME",
        "user_identifier": "REPLACE_ME",
    }


def test_the_ledger_is_keyed_by_lead_and_event() -> None:
    """The key that the function writes, and the attribute that lets entries expire."""
    table = properties(synthesise().delivery, "AWS::DynamoDB::Table")
    assert table["KeySchema"] == [
        {"AttributeName": "lead", "KeyType": "HASH"},
        {"AttributeName": "event", "KeyType": "RANGE"},
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}


def test_the_ledger_is_encrypted_and_paid_by_use() -> None:
    """AWS manages its key, and it has no capacity that a burst of leads could exhaust."""
    table = properties(synthesise().delivery, "AWS::DynamoDB::Table")
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


DATA = (*QUEUES, "SecretName", "LedgerTableName", "LogGroupName")


@pytest.mark.parametrize("output", DATA)
@pytest.mark.parametrize(
    ("stage", "policies"), [("dev", ("Delete", "Delete")), ("prod", ("RetainExceptOnCreate", "Retain"))]
)
def test_prod_keeps_its_data_and_dev_cleans_up(stage: str, policies: tuple[str, str], output: str) -> None:
    """Deleting or replacing prod's stack leaves leads, credentials, ledger and log where they are.

    A first deployment that fails takes them along again, because they hold nothing yet.
    """
    resource = resource_behind(synthesise(stage).delivery, output)
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == policies


@pytest.mark.shipped
@pytest.mark.parametrize(("stage", "protected"), [("dev", False), ("prod", True)])
def test_prod_s_stack_can_t_be_deleted_by_mistake(stage: str, protected: bool) -> None:
    """Termination protection follows `keepData`; the CDK's command line sets it from the assembly."""
    app = new_app()
    stack, _ = build(stage, app=app)
    assert bool(app.synth().get_stack_artifact(stack.artifact_id).termination_protection) is protected


def test_a_kept_ledger_is_adopted_instead_of_a_new_one() -> None:
    """The stack makes no table then, so it can't delete one either, and names the adopted one."""
    template = synthesise("prod", ledgerTableName="LeadDelivery-prod-Ledger-1").delivery
    assert not resources(template, "AWS::DynamoDB::Table")
    assert template["Outputs"]["LedgerTableName"]["Value"] == "LeadDelivery-prod-Ledger-1"


@pytest.mark.parametrize(("stage", "kept"), [("dev", False), ("prod", True)])
def test_prod_s_ledger_can_be_restored_and_not_be_deleted(stage: str, kept: bool) -> None:
    """Point-in-time recovery and deletion protection go with `keepData`."""
    table = properties(synthesise(stage).delivery, "AWS::DynamoDB::Table")
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": kept}
    assert table["DeletionProtectionEnabled"] is kept


def test_a_stage_named_on_the_command_line_can_keep_its_data() -> None:
    """`-c keepData=true` wins over the stage's own setting."""
    queue = resource_behind(synthesise(keepData="true").delivery, "LeadQueueUrl")
    assert queue["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize(
    ("output", "resource_type"),
    [
        ("LeadQueueUrl", "AWS::SQS::Queue"),
        ("LeadQueueArn", "AWS::SQS::Queue"),
        ("DeadLetterQueueUrl", "AWS::SQS::Queue"),
        ("DeadLetterQueueArn", "AWS::SQS::Queue"),
        ("RuleDeadLetterQueueUrl", "AWS::SQS::Queue"),
        ("EventBusName", "AWS::Events::EventBus"),
        ("FunctionName", "AWS::Lambda::Function"),
        ("LogGroupName", "AWS::Logs::LogGroup"),
        ("SecretName", "AWS::SecretsManager::Secret"),
        ("LedgerTableName", "AWS::DynamoDB::Table"),
        ("EventSourceMappingId", "AWS::Lambda::EventSourceMapping"),
        ("ProducerPolicyArn", "AWS::IAM::ManagedPolicy"),
        ("OperatorPolicyArn", "AWS::IAM::ManagedPolicy"),
    ],
)
def test_outputs_name_what_people_and_tools_need(output: str, resource_type: str) -> None:
    """An operator's tool finds every resource by the stack's outputs alone."""
    assert resource_behind(synthesise().delivery, output)["Type"] == resource_type


def test_the_rule_s_output_is_its_bare_name() -> None:
    """Ref of a rule on a custom bus would be "<bus>|<name>", which no call takes."""
    template = synthesise().delivery
    assert template["Outputs"]["EventRuleName"]["Value"] == properties(template, "AWS::Events::Rule")["Name"]


def test_no_output_is_exported() -> None:
    """An export would lock the lead queue while the monitoring stack refers to it."""
    assert not any("Export" in output for output in synthesise().delivery["Outputs"].values())


def test_stages_in_one_account_never_collide() -> None:
    """Whatever has a name of its own has the stage in it."""
    assert properties(synthesise("dev").delivery, "AWS::Events::EventBus")["Name"] == "LeadDelivery-dev"
    assert properties(synthesise("prod").delivery, "AWS::Events::EventBus")["Name"] == "LeadDelivery-prod"


EVERY_KIND: list[dict[str, str]] = [
    {"stage": "dev"},
    {"stage": "prod"},
    {"stage": "prod", **COMPANY},
    {
        "stage": "prod",
        "alarmEmails": "ops@example.com,sales@example.com",
        "checkEveryMinutes": "60",
        "outcomeEvents": "lead",
    },
    {"stage": "prod", "alarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:on-call"},
    {"stage": "prod", "noLeadsAlarmHours": "168"},
    {"stage": "prod", "ledgerTableName": "LeadDelivery-prod-Ledger-1", "tracing": "true"},
    {
        "stage": "prod",
        "eventBusName": "default",
        "mappings": json.dumps(mappings()),
        "snsTopicArns": "arn:aws:sns:eu-west-1:111122223333:leads",
    },
    {"stage": "prod", "eventBusName": "arn:aws:events:eu-west-1:999988887777:event-bus/central"},
    {
        "stage": "prod",
        "snsTopicArns": "arn:aws:sns:eu-west-1:111122223333:leads",
        "producerAccounts": "111122223333,444455556666",
        "producerOrganization": "o-a1b2c3d4e5",
    },
]


@pytest.mark.shipped
@pytest.mark.parametrize("context", EVERY_KIND, ids=str)
def test_templates_pass_cfn_lint(context: dict[str, str]) -> None:
    """Neither an error nor a warning; informational rules (I…) are off by default in the tool, too."""
    # Here, because it takes most of a second, in each process that collects tests.
    from cfnlint.api import lint_all  # type: ignore[import-untyped]

    findings = [match for template in synthesise(**context) for match in lint_all(json.dumps(template))]
    assert [str(match) for match in findings if not match.rule.id.startswith("I")] == []


@pytest.mark.parametrize("context", EVERY_KIND, ids=str)
def test_templates_pass_cdk_nag(context: dict[str, str]) -> None:
    """The synthesis itself fails on a finding, so its end is the proof."""
    assert synthesise(**context).delivery["Resources"]


@pytest.mark.shipped
def test_an_insecure_resource_fails_the_synthesis() -> None:
    """cdk-nag really is attached: a queue that anybody may reach in the clear stops it."""
    app = new_app()
    stack, _ = build(app=app)
    sqs.Queue(stack, "Insecure")
    with pytest.raises(Exception, match=r"(?s)AwsSolutions-SQS4"):
        app.synth()


@pytest.mark.shipped
def test_the_templates_suit_any_account_and_region() -> None:
    """So synth needs no credentials, and one build can be deployed anywhere."""
    stacks = build()
    assert all(cdk.Token.is_unresolved(stack.account) for stack in stacks)
    assert all(cdk.Token.is_unresolved(stack.region) for stack in stacks)


def test_the_templates_report_nothing_to_the_cdk_s_makers() -> None:
    """No metadata resource with what is used where."""
    assert not any(resources(template, "AWS::CDK::Metadata") for template in synthesise())


@pytest.mark.shipped
def test_a_template_is_cached_only_as_long_as_all_that_it_is_made_from_is_the_same() -> None:
    """Every file of the project that a synthesis opens is one of the cache's sources."""
    opened: set[Path] = set()

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            opened.add(Path(arguments[0]).resolve())

    sys.addaudithook(note)
    synthesise_anew()
    of_project = {path for path in opened if path.is_relative_to(PROJECT) and path.suffix != ".pyc"}
    assert of_project - {path for path in of_project if ".venv" in path.parts} <= set(sources())
