"""What the template promises about the function, its role and what feeds it."""

import json
from typing import Any

import pytest

from deliver_leads.contract import OWN_EVENT_SOURCE
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT
from sim.synthesis import Template, output_target, properties, resource_behind, synthesise
from tests.foreign_events import mappings

LEDGER_ACTIONS = frozenset(f"dynamodb:{name}" for name in ("UpdateItem", "PartiQLInsert", "PartiQLUpdate"))


def environment(template: Template) -> dict[str, Any]:
    """The function's environment variables."""
    return dict(properties(template, "AWS::Lambda::Function")["Environment"]["Variables"])


def role_statements(template: Template) -> list[tuple[frozenset[str], Any]]:
    """Actions and resource of each statement of the function's role."""
    role = properties(template, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    return [
        (
            frozenset([s["Action"]] if isinstance(s["Action"], str) else s["Action"]),
            json.dumps(s["Resource"]),
        )
        for s in policy["PolicyDocument"]["Statement"]
        if s["Effect"] == "Allow"
    ]


def arn(template: Template, output: str) -> str:
    """A reference to the ARN of the resource behind an output, as JSON."""
    return json.dumps({"Fn::GetAtt": [output_target(template, output), "Arn"]})


def test_the_function_runs_the_bundle_s_python_on_arm64() -> None:
    """The runtime that the bundle is compiled for, and the handler that is in it."""
    function = properties(synthesise().delivery, "AWS::Lambda::Function")
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["Handler"] == "deliver_leads.handler.handler"


def test_the_function_is_traced_on_request_only() -> None:
    """Traces cost up to USD 5 a million leads and show Lambda's own part, since the function has no SDK."""
    assert "TracingConfig" not in properties(synthesise().delivery, "AWS::Lambda::Function")
    traced = properties(synthesise(tracing="true").delivery, "AWS::Lambda::Function")
    assert traced["TracingConfig"] == {"Mode": "Active"}


def test_the_environment_is_exactly_what_the_function_reads() -> None:
    """One variable more or less than this is a disagreement between stack and function."""
    assert environment(synthesise().delivery).keys() == {
        "LEADS_API_URL",
        "TOKEN_URL",
        "SECRET_ID",
        "LEAD_QUEUE_URL",
        "DEAD_LETTER_QUEUE_URL",
        "LEDGER_TABLE",
        "LEAD_DEFAULTS",
        "EVENT_SOURCES",
        "ONLY_RECIPIENTS",
        "CALLS_PER_SECOND",
        "MAPPINGS",
        "PARALLEL_CALLS",
        "CONNECT_TIMEOUT_S",
        "READ_TIMEOUT_S",
        "SETTLING_S",
        "VISIBILITY_TIMEOUT_S",
        "DUPLICATE_WINDOW_S",
        "LEDGER_S",
        "UPDATE_GRACE_S",
        "RETRY_BASE_DELAY_S",
        "RETRY_MAX_DELAY_S",
        "PARK_AFTER_S",
        "OUTCOME_EVENTS",
        "EVENT_BUS",
        "POWERTOOLS_SERVICE_NAME",
        "POWERTOOLS_METRICS_NAMESPACE",
        "POWERTOOLS_LOG_LEVEL",
        "DEPLOYED_VERSION",
    }


def test_the_function_can_read_its_environment() -> None:
    """The function's own settings accept what the stack gives it, in the function's units."""
    template = synthesise(
        duplicateWindowHours="2",
        ledgerDays="31",
        updateGraceMinutes="31",
        settlingTimeSeconds="45",
        functionTimeoutSeconds="140",
    ).delivery
    variables = {
        name: v if isinstance(v, str) else "known after deployment"
        for name, v in environment(template).items()
    }
    settings = Settings.from_environment(variables)
    assert settings.duplicate_window_s == 2 * 3600
    assert settings.ledger_s == 31 * 86_400
    assert settings.update_grace_s == 31 * 60
    assert settings.settling_s == 45
    assert settings.visibility_timeout_s == 6 * 140


@pytest.mark.parametrize(("listed", "read"), [("", ()), ("my.crm,my.forms", ("my.crm", "my.forms"))])
def test_the_function_knows_the_listed_event_sources(listed: str, read: tuple[str, ...]) -> None:
    """The rule takes events of all sources, so it is the function that holds to the list."""
    text = environment(synthesise(eventSources=listed).delivery)["EVENT_SOURCES"]
    assert Settings.from_environment(ENVIRONMENT | {"EVENT_SOURCES": text}).event_sources == read


def test_mappings_reach_the_function() -> None:
    """They are as in the settings, and in that order, which decides between two that fit."""
    text = environment(synthesise(mappings=json.dumps(mappings())).delivery)["MAPPINGS"]
    assert list(Settings.from_environment(ENVIRONMENT | {"MAPPINGS": text}).mappings) == mappings()


def test_lead_defaults_reach_the_function_as_json() -> None:
    """An object on the command line is an object in the function."""
    template = synthesise(leadDefaults='{"assistantEmail": "ava@example.com"}').delivery
    assert json.loads(environment(template)["LEAD_DEFAULTS"]) == {"assistantEmail": "ava@example.com"}


@pytest.mark.parametrize(
    ("variable", "output"),
    [
        ("SECRET_ID", "SecretName"),
        ("LEAD_QUEUE_URL", "LeadQueueUrl"),
        ("DEAD_LETTER_QUEUE_URL", "DeadLetterQueueUrl"),
        ("LEDGER_TABLE", "LedgerTableName"),
    ],
)
def test_the_function_uses_the_resources_that_the_outputs_name(variable: str, output: str) -> None:
    """What an operator looks at is what the function works on."""
    template = synthesise().delivery
    assert environment(template)[variable] == {"Ref": output_target(template, output)}


def test_the_role_allows_exactly_the_calls_that_are_made() -> None:
    """Each action on its one resource."""
    template = synthesise().delivery
    queue = {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
    }
    assert set(role_statements(template)) == {
        (frozenset(queue), arn(template, "LeadQueueUrl")),
        (
            frozenset({"sqs:SendMessage", "sqs:GetQueueAttributes"}),
            arn(template, "DeadLetterQueueUrl"),
        ),
        (
            frozenset({"secretsmanager:GetSecretValue"}),
            json.dumps({"Ref": output_target(template, "SecretName")}),
        ),
        (
            LEDGER_ACTIONS,
            arn(template, "LedgerTableName"),
        ),
        (frozenset({"logs:CreateLogStream", "logs:PutLogEvents"}), arn(template, "LogGroupName")),
    }


@pytest.mark.parametrize("mode", ["ids", "lead"])
def test_the_role_may_publish_outcomes_on_the_bus_when_that_is_wanted(mode: str) -> None:
    """And nothing else there: no event under another source, and none on another bus."""
    template = synthesise(outcomeEvents=mode).delivery
    statements = properties(template, "AWS::IAM::Role")["Policies"][0]["PolicyDocument"]["Statement"]
    assert [s for s in statements if "events:PutEvents" in json.dumps(s)] == [
        {
            "Effect": "Allow",
            "Action": "events:PutEvents",
            "Resource": json.loads(arn(template, "EventBusName")),
            "Condition": {
                "ForAllValues:StringEquals": {"events:source": [OWN_EVENT_SOURCE]},
                "Null": {"events:source": "false"},
            },
        }
    ]


@pytest.mark.parametrize("mode", ["off", "ids", "lead"])
def test_the_function_knows_what_to_publish_and_on_which_bus(mode: str) -> None:
    """The setting's word, and the bus that the rule is on."""
    template = synthesise(outcomeEvents=mode).delivery
    variables = environment(template)
    assert json.dumps(variables["EVENT_BUS"]) == arn(template, "EventBusName")
    text = {"OUTCOME_EVENTS": variables["OUTCOME_EVENTS"]}
    assert Settings.from_environment(ENVIRONMENT | text).outcome_events == mode


def test_tracing_brings_its_own_rights_and_no_others() -> None:
    """A star for X-Ray only, whose actions take no resources."""
    traced = set(role_statements(synthesise(tracing="true").delivery))
    assert traced - set(role_statements(synthesise().delivery)) == {
        (frozenset({"xray:PutTraceSegments", "xray:PutTelemetryRecords"}), json.dumps("*"))
    }


def test_the_function_works_on_the_adopted_ledger() -> None:
    """And has the same rights on it as on a table of the stack's own."""
    template = synthesise("prod", ledgerTableName="kept.ledger_1").delivery
    assert environment(template)["LEDGER_TABLE"] == "kept.ledger_1"
    (adopted,) = (
        (actions, resource)
        for actions, resource in role_statements(template)
        if "dynamodb:UpdateItem" in actions
    )
    assert adopted[0] == LEDGER_ACTIONS
    assert json.loads(adopted[1])["Fn::Join"][1][-1] == ":table/kept.ledger_1"


def test_only_lambda_may_take_the_role() -> None:
    """For functions of this account, wherever Lambda says for which account it acts."""
    (statement,) = properties(synthesise().delivery, "AWS::IAM::Role")["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_the_role_s_rights_are_there_with_the_role() -> None:
    """A separate policy could come after the event source mapping, which AWS then refuses."""
    types = {resource["Type"] for resource in synthesise().delivery["Resources"].values()}
    assert "AWS::IAM::Policy" not in types


def test_the_mapping_reports_failed_messages_one_by_one() -> None:
    """Else one failed lead would bring back its whole batch."""
    mapping = properties(synthesise().delivery, "AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_the_mapping_feeds_the_function_from_the_lead_queue() -> None:
    """And from no other queue."""
    template = synthesise().delivery
    mapping = properties(template, "AWS::Lambda::EventSourceMapping")
    assert json.dumps(mapping["EventSourceArn"]) == arn(template, "LeadQueueUrl")
    assert mapping["FunctionName"] == {"Ref": output_target(template, "FunctionName")}


def test_the_mapping_bounds_concurrency_without_throttling() -> None:
    """Maximum concurrency, not reserved concurrency, which would raise receive counts."""
    template = synthesise(maximumConcurrency="7").delivery
    mapping = properties(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 7}
    assert "ReservedConcurrentExecutions" not in properties(template, "AWS::Lambda::Function")


def test_the_mapping_takes_batch_and_window_from_the_settings() -> None:
    """A bulk stage can wait for fuller batches."""
    template = synthesise(batchSize="100", batchingWindowSeconds="5").delivery
    mapping = properties(template, "AWS::Lambda::EventSourceMapping")
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (100, 5)


@pytest.mark.parametrize(("stage", "days"), [("dev", 14), ("prod", 90)])
def test_the_function_logs_to_a_group_that_forgets(stage: str, days: int) -> None:
    """The group is the stack's own, for as long as the stage says."""
    template = synthesise(stage).delivery
    assert resource_behind(template, "LogGroupName")["Properties"]["RetentionInDays"] == days
    function = properties(template, "AWS::Lambda::Function")
    assert function["LoggingConfig"]["LogGroup"] == {"Ref": output_target(template, "LogGroupName")}
