"""The dashboard over the deployed stack: it reads the metrics that the function really writes there."""

from collections.abc import Iterator

import pytest

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from local.dashboard.measured_run import SCALE, MeasuredRun, key_of
from local.dashboard.page import Page, expanded, metric_key
from local.dashboard.scenarios import SCENARIOS
from local.dashboard.template import read_template
from local.stack.deployment import Deployment
from tests.infra.synthesis import synthesise

pytestmark = pytest.mark.e2e
SECONDS = 20


@pytest.fixture
def unscaled(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment, with its own delays again when the test is over."""
    client, name = deployment.emulator.client("lambda"), deployment.outputs["FunctionName"]
    environment = client.get_function_configuration(FunctionName=name)["Environment"]
    yield deployment
    client.update_function_configuration(FunctionName=name, Environment=environment)


def test_the_dashboard_shows_what_the_deployed_function_measured(unscaled: Deployment) -> None:
    """Every metric that it wrote has a place, and the figures are those of the run."""
    measured = MeasuredRun(unscaled, SCENARIOS["rejected"], SECONDS, 2).run()
    monitoring = read_template(synthesise().monitoring, unscaled.outputs)
    shown = {
        metric_key(names)
        for widget in monitoring.widgets
        for names, _ in expanded(widget["properties"].get("metrics", []))
        if names
    }
    stage = {"service": "LeadDelivery-dev"}
    written = {key for key in measured.points if key[0] == METRICS_NAMESPACE and dict(key[2]) == stage}
    assert {Metric.DELIVERED, Metric.REJECTED, Metric.PARKED} <= {key[1] for key in written}
    assert written <= shown
    delivered = sum(value for _, value in measured.points[key_of(METRICS_NAMESPACE, Metric.DELIVERED, stage)])
    page, _ = Page(measured, measured.now - SECONDS * SCALE, set()).render(monitoring.widgets, "A run")
    assert f">{delivered:,.0f}</b>leads" in page
    assert "every create needs it" in page
