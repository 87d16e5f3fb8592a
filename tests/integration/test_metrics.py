"""The function's metrics and the alarms that watch them carry the same names."""

import json
from typing import Any

import pytest

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from deliver_leads.outcome import Outcome
from tests.infra.synthesis import resources, synthesise
from tests.integration.conftest import Pipeline


def create(name: str) -> dict[str, Any]:
    """A create of a lead named so."""
    lead = {"name": name, "email": f"{name}@example.com", "assistantEmail": "sam@example.net"}
    return {"operation": "create", "lead": lead}


def written_metrics(output: str) -> set[str]:
    """The names in the function's embedded metric format lines, in the stacks' namespace."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]
    groups = [group for line in lines for group in line["_aws"]["CloudWatchMetrics"]]
    return {
        metric["Name"]
        for group in groups
        if group["Namespace"] == METRICS_NAMESPACE
        for metric in group["Metrics"]
    }


def test_every_metric_that_an_alarm_watches_is_written_by_the_function(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    """A metric renamed on one side only would silence its alarm."""
    pipeline.fail(
        {"operation": "create", "email": "blocked@example.com", "fault": {"kind": "status", "status": 403}},
        {"operation": "create", "email": "refused@example.com", "fault": {"kind": "status", "status": 422}},
    )
    for name in ("good", "refused", "blocked"):
        pipeline.send(create(name))
    pipeline.deliver()
    written = written_metrics(capsys.readouterr().out)
    alarms = resources(synthesise().monitoring, "AWS::CloudWatch::Alarm").values()
    watched = {
        each["Properties"]["MetricName"]
        for each in alarms
        if each["Properties"]["Namespace"] == METRICS_NAMESPACE
    }
    assert watched
    assert watched <= written


def test_every_outcome_has_a_metric_of_its_name() -> None:
    """Outcomes are counted under the names that the documents and the alarms use."""
    assert {Metric[outcome.name] for outcome in Outcome} == set(Metric) - {
        Metric.PARKED,
        Metric.OLDEST_RETURNED,
    }
    assert all(Metric[outcome.name] == outcome.capitalize() for outcome in Outcome)
