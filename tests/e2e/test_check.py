"""The check without a lead in the deployed stack, invoked as the README says."""

import json
from typing import Any

import pytest

from local.sample.events import LEAD_DEFAULTS
from local.stack.deployment import Deployment
from local.stack.user_pool import Credentials

pytestmark = pytest.mark.e2e


def check(deployment: Deployment) -> dict[str, Any]:
    """The report of one check."""
    answer = deployment.emulator.client("lambda").invoke(
        FunctionName=deployment.outputs["FunctionName"], Payload=json.dumps({"check": True})
    )
    assert "FunctionError" not in answer
    return dict(json.loads(answer["Payload"].read()))


def test_a_check_of_a_good_deployment_finds_all_right_and_creates_nothing(deployment: Deployment) -> None:
    """Secret, token, API, user, assistant, ledger and queues are reached from inside the function."""
    deployment.sandbox.add_assistants([LEAD_DEFAULTS["assistantEmail"]])
    assert check(deployment) == {
        "ok": True,
        "checked": [
            "secret",
            "access token",
            "leads API",
            "user identifier",
            "assistants",
            "ledger",
            "dead-letter queue",
            "lead queue",
        ],
        "notChecked": [],
        "problems": [],
    }
    assert [each["operation"] for each in deployment.sandbox.requests()] == ["token", "list_assistants"]
    assert deployment.take_dead_letters() == []


def test_a_check_of_a_wrong_secret_names_the_command_that_fills_it(deployment: Deployment) -> None:
    """The answer is enough to put it right; the rest is checked all the same."""
    deployment.fill_secret(Credentials(deployment.credentials.client_id, "not-the-secret"))
    report = check(deployment)
    [problem] = report["problems"]
    assert problem["what"] == "token endpoint answered 400 invalid_client"
    assert f"put-secret-value --secret-id {deployment.outputs['SecretName']}" in problem["do"]
    assert report["checked"] == ["secret", "ledger", "dead-letter queue", "lead queue"]
    assert "not-the-secret" not in json.dumps(report) + deployment.emulator.output()
    assert deployment.sandbox.leads() == {}
