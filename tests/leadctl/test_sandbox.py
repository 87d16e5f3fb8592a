"""The leads of a stage that delivers to its own sandbox."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from deliver_leads.lead_state import State
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import claim, complete

JANE = {"id": 1, "email": "jane@example.com", "name": "Jane", "assistantEmail": "sam@example.net"}
JANE |= {"followup": 1, "creates": 1}


@pytest.fixture
def sandboxed(stage: Stage) -> Stage:
    stage.outputs["SandboxFunctionName"] = "the-sandbox"
    return stage


def answer(stage: Stage, payload: object, **more: Any) -> None:
    """What the sandbox's function answers."""
    stage.answers["Invoke"] = lambda _: {"Payload": io.BytesIO(json.dumps(payload).encode()), **more}


def test_the_leads_of_the_sandbox_are_shown(sandboxed: Stage) -> None:
    """By an invocation, because the sandbox's URL shows them to nobody."""
    answer(sandboxed, {"status": 200, "body": [JANE]})
    result = sandboxed.run("sandbox", "leads")
    assert (result.exit_code, "jane@example.com" in result.stdout) == (0, True)
    [request] = [params for name, params in sandboxed.calls if name == "Invoke"]
    assert "the-sandbox" in request["url_path"]
    assert json.loads(request["body"]) == {"method": "GET", "path": "leads"}
    assert json.loads(sandboxed.run("sandbox", "leads", "-o", "json").stdout) == [JANE]


def test_an_empty_sandbox_is_something_to_look_after(sandboxed: Stage) -> None:
    """Whoever looks has sent a lead."""
    answer(sandboxed, {"status": 200, "body": []})
    result = sandboxed.run("sandbox", "leads")
    assert (result.exit_code, "holds no lead" in result.stderr) == (3, True)


def test_a_stage_with_a_sandbox_is_not_said_to_mail_anybody(sandboxed: Stage) -> None:
    """Neither before an import, nor by a link to a lead of somebody else's at 7Targets."""
    Path("leads.csv").write_text("name,email,assistant\nJane,jane@example.com,sam@example.net\n", "utf-8")
    asked = sandboxed.run("import", "leads.csv", "--dry-run").stderr
    assert "Send 1 lead to LeadDelivery-dev? Its sandbox mails nobody." in asked
    complete(sandboxed, claim(sandboxed), "4711", state=State.DELIVERED)
    found = sandboxed.run("find", "jane@example.com").stdout
    assert ("Lead 4711 in the sandbox" in found, "all-leads" in found) == (True, False)


def test_a_stage_that_delivers_to_7targets_has_none(stage: Stage) -> None:
    """The sentence names the setting."""
    result = stage.run("sandbox", "leads")
    assert (result.exit_code, "leadsApi" in result.stderr) == (1, True)


def test_a_sandbox_that_fails_is_reported(sandboxed: Stage) -> None:
    """In Lambda's own words."""
    answer(sandboxed, {"errorMessage": "Task timed out"}, FunctionError="Unhandled")
    result = sandboxed.run("sandbox", "leads")
    assert (result.exit_code, "Task timed out" in result.stderr) == (1, True)
