"""Addresses of pages: printed off a terminal."""

from pathlib import Path

import pytest

from deliver_leads.lead_state import State
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import JANE, claim, complete, write_local_run


def test_a_leads_page_is_found_by_address_or_id(stage: Stage) -> None:
    """In the vendor's app."""
    complete(stage, claim(stage), "4711", state=State.DELIVERED)
    for what in (JANE, "4711"):
        assert stage.run("open", what).stdout == "https://solution.7targets.com/all-leads?id=4711\n"
    assert (
        stage.run("open", "<Jane@Example.com>").stdout == "https://solution.7targets.com/all-leads?id=4711\n"
    )
    assert stage.run("open", "leo@example.com").exit_code == 3


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("alarms", "search=LeadMonitoring-dev-"),
        ("log", "log-group/$252Flead-delivery$252Fdev"),
        ("parked", "queues/https%3A%2F%2Fsqs.us-east-1.amazonaws.com%2F123456789012%2Fparked"),
        ("function", "functions/deliver-leads"),
        ("stack", "filteringText=LeadDelivery-dev"),
    ],
)
def test_each_place_has_its_page_in_the_console(stage: Stage, what: str, part: str) -> None:
    """Of the stage's region."""
    url = stage.run("open", what).stdout
    assert url.startswith("https://us-east-1.console.aws.amazon.com/")
    assert part in url


def test_the_dashboard_is_the_default(stage: Stage) -> None:
    """Where the monitoring stack says it is."""
    assert stage.run("open").exit_code == 1
    stage.stacks["LeadMonitoring-dev"] = {"DashboardUrl": "https://dashboard.example"}
    assert stage.run("open").stdout == "https://dashboard.example\n"


def test_a_local_run_has_its_page(stage: Stage, tmp_path: Path) -> None:
    """And none of the console's."""
    write_local_run(tmp_path, stage, pageUrl="http://127.0.0.1:8700")
    assert stage.run("--local", "open").stdout == "http://127.0.0.1:8700\n"
    assert stage.run("--local", "open", "queue").exit_code == 1


def test_an_unknown_place_is_a_usage_error(stage: Stage) -> None:
    """With those that there are."""
    result = stage.run("open", "kitchen")
    assert result.exit_code == 2
    assert "dashboard" in result.stderr
