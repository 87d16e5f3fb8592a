"""One sentence that says whether leads flow, then the figures."""

import json
import time

import boto3

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from deliver_leads.outcome import RejectedError
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import raise_alarm

FLOWS = "Leads flow. None is parked."


def sentence(stage: Stage) -> str:
    """The first line of stdout."""
    return stage.run("status").stdout.splitlines()[0]


def put_metric(name: Metric, value: float) -> None:
    """As the function would have written it a minute ago."""
    boto3.client("cloudwatch").put_metric_data(
        Namespace=METRICS_NAMESPACE,
        MetricData=[
            {
                "MetricName": str(name),
                "Dimensions": [{"Name": "service", "Value": "LeadDelivery-dev"}],
                "Timestamp": time.time() - 60,
                "Value": value,
            }
        ],
    )


def test_a_stage_without_trouble(stage: Stage) -> None:
    """A script needs no more than the exit code."""
    raise_alarm("LeadsWaiting", "OK")
    put_metric(Metric.DELIVERED, 412)
    result = stage.run("status")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == FLOWS
    assert "412  delivered in the last hour" in result.stdout
    assert "OK  all alarms" in result.stdout


def test_parked_leads_are_counted_by_reason_and_age(stage: Stage) -> None:
    """Leads flow all the same; the exit code says that somebody has to act."""
    for number in range(3):
        stage.park("{}", message_id=f"message-{number}", sent_s=time.time() - 2.4 * 86_400)
    stage.park("x", RejectedError("body: is not JSON"), message_id="message-9", sent_s=time.time())
    result = stage.run("status")
    assert result.exit_code == 3
    assert result.stdout.splitlines()[0] == "Leads flow. 4 parked, the oldest for 2 days."
    assert "3  rejected: answered 422: on the suppression list" in result.stdout
    assert len(stage.take("DeadLetterQueueUrl")) == 4


def test_a_pause_is_told_with_its_reason(stage: Stage) -> None:
    """The next person must know whether to end it."""
    stage.send(
        "LeadQueueUrl",
        "{}",
    )
    assert stage.run("pause", "--reason", "moving assistants", "--yes").exit_code == 0
    shown = sentence(stage)
    assert shown.startswith("Leads don't flow, because moto paused it at 20")
    assert shown.endswith("moving assistants. 1 event in the queue. None is parked.")


def test_a_mapping_that_somebody_closed_elsewhere_is_told(stage: Stage) -> None:
    """In the console, nobody is asked for a reason."""
    stage.mapping.state = "Disabled"
    assert "the event source mapping is disabled, and nobody noted why" in sentence(stage)


def test_the_alarms_are_named(stage: Stage) -> None:
    """An alarm that stops leads is in the sentence; another one is in the figures."""
    raise_alarm("ManyRejected")
    assert sentence(stage) == FLOWS
    assert "ALARM  ManyRejected, since 20" in stage.run("status").stdout
    raise_alarm("LeadsNotTaken")
    assert sentence(stage).startswith("Leads don't flow as they should: the alarm LeadsNotTaken is on.")


def test_the_functions_own_metrics_say_why_leads_wait(stage: Stage) -> None:
    """Before an alarm does."""
    stage.send(
        "LeadQueueUrl",
        "{}",
    )
    put_metric(Metric.BREAKER_OPEN, 1)
    assert sentence(stage).startswith("Leads wait, because 7Targets doesn't answer")
    put_metric(Metric.BLOCKED, 2)
    assert sentence(stage).startswith("Leads wait, because credentials or a setting are wrong")


def test_what_may_not_be_read_is_left_out(stage: Stage) -> None:
    """A sentence without the alarms is better than none."""
    stage.failures |= {
        "DescribeAlarms": "AccessDenied",
        "GetMetricData": "AccessDenied",
        "ListTags": "AccessDenied",
    }
    result = stage.run("status")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, FLOWS)
    assert "alarms: none is known here" in result.stdout


def test_json_has_the_sentence_and_the_figures(stage: Stage) -> None:
    """For a script or a chat message."""
    stage.park("{}")
    found = json.loads(stage.run("status", "-o", "json").stdout)
    assert found["sentence"].startswith("Leads flow. 1 parked")
    assert (found["parked"], found["mapping"], found["alarms"]) == (1, "Enabled", None)
