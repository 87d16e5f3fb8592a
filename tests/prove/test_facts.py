"""The facts that only AWS shows, on answers as AWS documents them; boto3 checks each request."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from prove import facts
from prove.cost import estimate
from prove.facts import FACTS, Fact
from prove.stage import EXECUTION_POLICY, ProofError, Stage

ON_AWS = [fact for fact in FACTS if fact.aws_only]
URL, ARN = "https://sqs.eu-central-1.amazonaws.com/111122223333/", "arn:aws:sqs:eu-central-1:111122223333:"
OUTPUTS = {
    **{f"{name}Url": URL + name for name in ("LeadQueue", "DeadLetterQueue", "RuleDeadLetterQueue")},
    **{f"{name}Arn": ARN + name for name in ("LeadQueue", "DeadLetterQueue")},
    "FunctionName": "delivers",
    "SandboxFunctionName": "sandbox",
    "LedgerTableName": "ledger",
    "LogGroupName": "logs",
    "EventBusName": "bus",
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:111122223333:alarms",
}
REPORT = "REPORT RequestId: 1\tBilled Duration: 320 ms\tMax Memory Used: 90 MB\tInit Duration: 310 ms\t"
EMAILS = [f"{prefix}-{number}@example.com" for prefix in ("units", "healed") for number in range(50)]
Answers = dict[str, Callable[[dict[str, Any]], dict[str, Any]]]


def stack(params: dict[str, Any]) -> dict[str, Any]:
    made = {
        "StackName": params["body"]["StackName"],
        "StackStatus": "CREATE_COMPLETE",
        "RoleARN": "arn:aws:iam::111122223333:role/cdk-p-cfn-exec-role",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in OUTPUTS.items()],
    }
    return {"Stacks": [made]}


class Queues:
    """What a receive gives: parked messages, each with its own id, or notifications of all alarms."""

    def __init__(self) -> None:
        self.received = 0

    def receive(self, params: dict[str, Any]) -> dict[str, Any]:
        self.received += 1
        attributes = {"eventId": {"StringValue": "e1"}, "ERROR_CODE": {"StringValue": "NO_PERMISSIONS"}}
        if "DeadLetterQueue" in json.loads(params["body"])["QueueUrl"]:
            bodies: list[Any] = [{}]
        else:
            names = ("DeliveryBlocked", "EventsUndelivered", "FunctionFailing")
            notes = [
                {"AlarmName": f"LeadMonitoring-prove-{name}", "NewStateValue": "ALARM"} for name in names
            ]
            bodies = [{"detail-type": "Lead Delivered"}, *({"Message": json.dumps(note)} for note in notes)]
        return {
            "Messages": [
                {
                    "MessageId": f"{self.received}",
                    "ReceiptHandle": "r",
                    "Body": json.dumps(body),
                    "MessageAttributes": attributes,
                }
                for body in bodies
            ]
        }


def invoked(_: dict[str, Any]) -> dict[str, Any]:
    leads = [{"email": email} for email in EMAILS]
    return {"Payload": io.BytesIO(json.dumps({"status": 200, "body": leads}).encode())}


ANSWERS: Answers = {
    "DescribeStacks": stack,
    "DescribeAlarms": lambda _: {"MetricAlarms": [{"Dimensions": [{"Name": "x", "Value": "delivers"}]}]},
    "GetMetricStatistics": lambda _: {"Datapoints": [{"Sum": 100.0, "SampleCount": 10.0}]},
    "FilterLogEvents": lambda _: {"events": [{"message": REPORT}]},
    "ListAttachedRolePolicies": lambda _: {"AttachedPolicies": [{"PolicyArn": "arn:aws:iam::1:policy/few"}]},
    "ListRolePolicies": lambda _: {"PolicyNames": []},
    "GetPolicy": lambda _: {"Policy": {"DefaultVersionId": "v1"}},
    "GetPolicyVersion": lambda _: {"PolicyVersion": {"Document": EXECUTION_POLICY.read_text("utf-8")}},
    "GetQueueUrl": lambda _: {"QueueUrl": f"{URL}probe"},
    "GetQueueAttributes": lambda _: {"Attributes": {"QueueArn": f"{ARN}probe", "Policy": "{}"}},
    "PutEvents": lambda _: {"FailedEntryCount": 0},
    "GetFunctionConfiguration": lambda _: {"Environment": {"Variables": {}}, "MemorySize": 1024},
    "GetFunction": lambda _: {"Configuration": {"LastUpdateStatus": "Successful"}},
    "Invoke": invoked,
}


class FakeResponse:
    """Of the HTTP response boto3 looks at the status only."""

    status_code = 200


@pytest.fixture
def answers() -> Answers:
    return ANSWERS | {"ReceiveMessage": Queues().receive}


@pytest.fixture
def stage(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    def answer(model: Any, params: dict[str, Any], **_: Any) -> tuple[FakeResponse, dict[str, Any]]:
        return FakeResponse(), answers[model.name](params) if model.name in answers else {}

    session = boto3.Session()
    hooks: Any = session.events  # whose type has no answer
    hooks.register("before-call", answer)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return Stage("prove", tmp_path)


@pytest.mark.parametrize("fact", ON_AWS, ids=lambda fact: fact.look.__name__)
def test_a_fact_that_only_aws_shows_holds_on_what_aws_answers(
    fact: Fact, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's bill should be what finds a misspelt parameter."""
    deployed: list[tuple[str, ...]] = []
    monkeypatch.setattr(Stage, "deploy", lambda _, *words, **__: deployed.append(words))
    seen = fact.look(stage)
    assert seen.holds, seen.text
    assert deployed == ([("--revert-drift",)] if "revert-drift" in fact.expected else [])


@pytest.mark.parametrize(
    ("fact", "operation", "answer"),
    [
        (facts.rights_are_few, "GetPolicyVersion", {"PolicyVersion": {"Document": "{}"}}),
        (facts.rights_are_few, "ListRolePolicies", {"PolicyNames": ["more"]}),
        (facts.monitoring_is_made, "DescribeAlarms", {"MetricAlarms": [{"Dimensions": []}]}),
        (
            facts.ledger_writes_together,
            "GetMetricStatistics",
            {"Datapoints": [{"Sum": 300.0, "SampleCount": 9.0}]},
        ),
        (
            facts.ledger_writes_together,
            "GetMetricStatistics",
            {"Datapoints": [{"Sum": 100.0, "SampleCount": 0.0}]},
        ),
        (facts.idle_polls_are_counted, "GetMetricStatistics", {"Datapoints": [{"Sum": 900.0}]}),
    ],
)
def test_a_fact_fails_when_aws_shows_something_else(
    fact: Callable[[Stage], facts.Seen],
    operation: str,
    answer: dict[str, Any],
    stage: Stage,
    answers: Answers,
) -> None:
    """A table of facts that always hold is no proof."""
    answers[operation] = lambda _: answer
    assert not fact(stage).holds


def test_a_policy_that_a_deployment_overlooks_is_put_back_by_hand(
    stage: Stage, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the facts that follow would fail for want of it."""
    attributes = {"Policy": "as the template has it"}

    def put(params: dict[str, Any]) -> dict[str, Any]:
        attributes.update(json.loads(params["body"])["Attributes"])
        return {}

    answers |= {"GetQueueAttributes": lambda _: {"Attributes": attributes}, "SetQueueAttributes": put}
    monkeypatch.setattr(Stage, "deploy", lambda *_, **__: None)
    assert facts.refused_event_is_kept(stage).text.endswith("back by hand")
    assert attributes == {"Policy": "as the template has it"}


def test_leads_created_again_are_shown_with_the_time_between(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows whether the first create took effect later than the settling time allows."""
    requests = [
        {"email": f"once-{number}@example.com", "effect": effect, "effect_at": at}
        for number, effect, at in ((1, "created", 10), (2, "created", 11), (1, "created_again", 75))
    ]
    monkeypatch.setattr(stage, "sandbox", lambda path, **_: requests if path == "requests" else [])
    monkeypatch.setattr(stage, "until", lambda *_: None)
    assert facts.each_lead_once(stage) == (False, "0 leads, 1 created again after 65 s")


def test_the_cost_is_counted_from_what_was_used(stage: Stage, answers: Answers) -> None:
    """Ten times the work of the function costs more, and the text has the numbers."""
    usd, text = estimate(stage, time.time())
    answers["GetMetricStatistics"] = lambda _: {"Datapoints": [{"Sum": 100_000_000.0}]}
    more, _ = estimate(stage, time.time())
    stage.used["sqs"] += 1_000_000
    most, _ = estimate(stage, time.time())
    assert "200 invocations, 0 GB-seconds, 600 write units" in text
    assert usd < more < most == pytest.approx(more + 0.40)


def test_a_stack_that_the_narrow_policy_cannot_delete_goes_all_the_same(
    stage: Stage, answers: Answers
) -> None:
    """Else it would stay on somebody's bill; the proof doesn't hold, because the policy isn't enough."""
    calls = ["nothing yet"]
    there = ["LeadDelivery-prove"]

    def describe(params: dict[str, Any]) -> dict[str, Any]:
        if params["body"]["StackName"] not in there:
            return {"Stacks": [{"StackStatus": "DELETE_COMPLETE"}]}
        return {"Stacks": [{"StackStatus": "DELETE_FAILED" if "DeleteStack" in calls else "CREATE_COMPLETE"}]}

    def delete(_: dict[str, Any]) -> dict[str, Any]:
        if calls[-1] == "AttachRolePolicy":
            there.clear()
        calls.append("DeleteStack")
        return {}

    def noted(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def answer(_: dict[str, Any]) -> dict[str, Any]:
            calls.append(name)
            return {}

        return answer

    answers |= {name: noted(name) for name in ("AttachRolePolicy", "DetachRolePolicy", "DeletePolicy")}
    answers |= {
        "DescribeStacks": describe,
        "DeleteStack": delete,
        "GetCallerIdentity": lambda _: {"Arn": "arn:aws:iam::111122223333:user/me"},
        "ListEventBuses": lambda _: {"EventBuses": []},
    }
    with pytest.raises(ProofError, match="LeadDelivery-prove: deleted only by"):
        stage.destroy()
    assert calls[1:] == ["DeleteStack", "AttachRolePolicy", "DeleteStack", "DetachRolePolicy", "DeletePolicy"]
