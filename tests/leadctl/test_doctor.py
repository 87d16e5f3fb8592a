"""Everything that a delivery needs: what the function reports, and what only shows from outside."""

import json

import boto3
import pytest

from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import CHECKED, answer_of_function, raise_alarm


@pytest.fixture
def healthy(stage: Stage) -> Stage:
    """A stage in which everything is right; `report` is what the function answers."""
    answer_of_function(stage, CHECKED)
    stage.answers["DescribeRule"] = lambda _: {"Name": "leads", "State": "ENABLED"}
    raise_alarm("LeadsWaiting", "OK")
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:pager")
    stage.stacks["LeadMonitoring-dev"] = {"AlarmTopicArn": topic}
    return stage


def findings(stage: Stage) -> dict[str, tuple[str, str | None]]:
    """Each part with its verdict and reason."""
    rows = json.loads(stage.run("doctor", "-o", "json").stdout)
    return {row["part"]: (row["verdict"], row["what"]) for row in rows}


def test_a_stage_in_which_all_is_right(healthy: Stage) -> None:
    """Each part is named, so that a reader sees what was checked."""
    result = healthy.run("doctor")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "All is right."
    assert set(findings(healthy)) == {
        *("function", "secret", "ledger", "event source mapping", "rule", "alarms", "alarms' subscribers")
    }
    [request] = [params for name, params in healthy.calls if name == "Invoke"]
    assert json.loads(request["body"]) == {"check": True}


def test_alarms_that_watch_what_is_gone_are_found(healthy: Stage) -> None:
    """The delivery stack was made anew beside its alarms, which stay green for ever."""
    queue = healthy.outputs["LeadQueueUrl"].rpartition("/")[2]
    raise_alarm("InFlightNearLimit", "OK", QueueName=queue)
    assert findings(healthy)["alarms"] == ("right", None)
    raise_alarm("FunctionFailing", "OK", FunctionName="the-old-one")
    verdict, what = findings(healthy)["alarms"]
    assert (verdict, what) == ("wrong", "they watch what is no longer this stage's: the-old-one")


def test_the_alarms_are_those_of_the_stack_that_the_delivery_stack_names(healthy: Stage) -> None:
    """With the setting namePrefix, or in a stack of a team's own."""
    healthy.outputs["MonitoringStackName"] = "acme-LeadMonitoring-dev"
    assert findings(healthy)["alarms"] == ("wrong", "there is none")


def test_what_the_function_found_is_told_with_what_to_do(healthy: Stage) -> None:
    """In its own words."""
    problem = {"what": "secret: holds no usable client_id", "do": "fill it"}
    answer_of_function(
        healthy,
        CHECKED
        | {"problems": [problem], "notChecked": [{"what": "leads API", "why": "the token comes first"}]},
    )
    result = healthy.run("doctor")
    assert result.exit_code == 3
    assert "secret\twrong\tsecret: holds no usable client_id\tfill it" in result.stdout
    assert "leads API\tnot checked\tthe token comes first" in result.stdout
    assert "1 to fix." in result.stdout


@pytest.mark.parametrize(
    ("message", "verdict"), [("'Records'", "not checked"), ("no module named handler", "wrong")]
)
def test_a_function_without_a_check_or_that_fails_is_said(healthy: Stage, message: str, verdict: str) -> None:
    """An older version knows no check; another error is the function's."""
    answer_of_function(healthy, {"errorType": "KeyError", "errorMessage": message}, FunctionError="Unhandled")
    assert findings(healthy)["function's check"][0] == verdict


@pytest.mark.parametrize(
    ("reason", "do"),
    [
        ("ReservedFunctionConcurrentInvocationLimitExceeded", "delete-function-concurrency"),
        ("ConcurrentInvocationLimitExceeded", "ask AWS for more"),
    ],
)
def test_a_function_that_lambda_refuses_to_run_is_said_with_the_limit_that_it_met(
    healthy: Stage, reason: str, do: str
) -> None:
    """The check can't run then, and the rest is looked at all the same."""
    healthy.answers["Invoke"] = lambda _: {"Error": {"Code": "TooManyRequestsException"}, "Reason": reason}
    result = healthy.run("doctor")
    assert reason in result.stdout
    assert do in result.stdout
    assert "rule\tright" in result.stdout


def test_a_mapping_that_lost_its_rights_is_found_although_it_is_enabled(healthy: Stage) -> None:
    """Lambda says so in the mapping's last result only."""
    result = "PROBLEM: Function call failed"
    healthy.answers["GetEventSourceMapping"] = lambda params: (
        healthy.mapping.get(params) | {"LastProcessingResult": result}
    )
    assert findings(healthy)["event source mapping"] == ("wrong", result)
    healthy.answers["GetEventSourceMapping"] = lambda params: (
        healthy.mapping.get(params) | {"LastProcessingResult": "OK"}
    )
    assert findings(healthy)["event source mapping"] == ("right", None)


def test_what_only_shows_from_outside(healthy: Stage) -> None:
    """The function is fine, and still no lead comes through, or nobody hears of it."""
    healthy.mapping.state = "Disabled"
    healthy.answers["DescribeRule"] = lambda _: {"Name": "leads", "State": "DISABLED"}
    raise_alarm("DeliveryBlocked")
    healthy.answers["ListSubscriptionsByTopic"] = lambda _: {
        "Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]
    }
    found = findings(healthy)
    for part in ("event source mapping", "rule", "alarms", "alarms' subscribers"):
        assert found[part][0] == "wrong"
    assert "didn't confirm" in str(found["alarms' subscribers"][1])
    assert "DeliveryBlocked" in str(found["alarms"][1])


def test_an_address_whose_subscription_is_gone_is_named_with_the_remedy(healthy: Stage) -> None:
    """SNS deletes what wasn't confirmed within two days, and no deployment makes it again."""
    outputs = healthy.stacks["LeadMonitoring-dev"]
    boto3.client("sns").subscribe(
        TopicArn=outputs["AlarmTopicArn"], Protocol="email", Endpoint="ops@example.com"
    )
    outputs["AlarmEmails"] = "ops@example.com"
    assert findings(healthy)["alarms' subscribers"] == ("right", None)
    outputs["AlarmEmails"] = "ops@example.com,gone@example.com"
    result = healthy.run("doctor", "-o", "json")
    [row] = [each for each in json.loads(result.stdout) if each["part"] == "alarms' subscribers"]
    assert "gone@example.com" in row["what"]
    assert "ops@example.com" not in row["what"]
    assert row["do"] == (
        f"aws sns subscribe --topic-arn {outputs['AlarmTopicArn']} --protocol email "
        "--notification-endpoint gone@example.com"
    )


def test_a_missing_right_leaves_its_part_unchecked_only(healthy: Stage) -> None:
    """The others are checked all the same."""
    healthy.failures |= {
        "DescribeRule": "AccessDeniedException",
        "ListSubscriptionsByTopic": "AuthorizationError",
    }
    found = findings(healthy)
    assert found["rule"] == ("not checked", "you lack the right events:DescribeRule")
    assert found["alarms' subscribers"][0] == "not checked"
    assert found["secret"][0] == "right"
    assert healthy.run("doctor").stdout.splitlines()[-1] == "Nothing is known to be wrong."
