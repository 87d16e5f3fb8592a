"""The deployed stack when something goes wrong, judged at the sandbox and at the queues."""

import json

import pytest

from local.stack.deployment import Deployment
from local.stack.user_pool import Credentials
from local.stack.waiting import wait_until
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead, plain, send, wait_for_leads

pytestmark = pytest.mark.e2e


def test_killing_the_sandbox_in_mid_run_loses_nothing(deployment: Deployment) -> None:
    """Calls that break with the sandbox, and those while it is away, end in one lead each once it is back."""
    leads = [new_lead() for _ in range(60)]
    deployment.sandbox.set_faults([{"operation": "create", "fault": {"kind": "delay", "seconds": 0.3}}])
    for lead in leads:
        send(deployment, plain(lead))
    wait_until("some leads", lambda: len(deployment.sandbox.leads()) >= 10, timeout_s=EVENT_TIMEOUT_S)
    deployment.sandbox.kill()
    # Some messages must have met the outage before it ends.
    wait_until("a retry", lambda: "no connection" in deployment.emulator.output(), timeout_s=EVENT_TIMEOUT_S)
    deployment.sandbox.start()
    wait_for_leads(deployment, leads)
    assert [lead["creates"] for lead in deployment.sandbox.leads().values()] == [1] * len(leads)
    assert deployment.take_dead_letters() == []


def test_a_wrong_secret_blocks_without_parking_and_fixing_it_is_enough(deployment: Deployment) -> None:
    """Refused credentials keep the leads in the queue, with a reason that says what to do; no redeploy."""
    wrong = Credentials(deployment.credentials.client_id, "not-the-secret")
    deployment.fill_secret(wrong)
    leads = [new_lead() for _ in range(5)]
    for lead in leads:
        send(deployment, plain(lead))
    wait_until(
        "the advice", lambda: "put-secret-value" in deployment.emulator.output(), timeout_s=EVENT_TIMEOUT_S
    )
    line = next(line for line in deployment.emulator.output().splitlines() if "put-secret-value" in line)
    assert json.loads(line)["outcome"] == "blocked"
    assert deployment.outputs["SecretName"] in json.loads(line)["reason"]
    assert "Traceback" not in deployment.emulator.output()
    assert "not-the-secret" not in deployment.emulator.output()
    assert deployment.lead_queue_count() == len(leads)
    assert deployment.sandbox.leads() == {}

    deployment.fill_secret()
    wait_for_leads(deployment, leads)
    assert deployment.take_dead_letters() == []
