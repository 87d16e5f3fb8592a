"""The built bundle under AWS's own Lambda runtime client, in an environment that holds nothing else."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from infra.bundling import PROJECT
from sim.settings import ENVIRONMENT
from tests.infra.execution_environment import environment, running
from tests.infra.runtime_api import RuntimeApi

pytestmark = pytest.mark.shipped


def test_the_bundle_answers_under_the_real_runtime_client_with_a_well_formed_response(
    bundle: Path, clean_python: Path, api: RuntimeApi
) -> None:
    """No import error, no forgotten dependency, and a partial batch response that Lambda can read."""
    event = json.loads((PROJECT / "docs/events/sqs_batch.json").read_text())
    with running(clean_python, environment(bundle, api)):
        path, response = api.invoke(event)
        again, empty = api.invoke({"Records": []})
    # AWS is out of reach, so the lead can't be claimed and goes back to the queue.
    assert path == again == "/invocation/request-1/response"
    assert response == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert empty == {"batchItemFailures": []}


def test_an_incomplete_environment_ends_at_start_with_one_error_that_names_what_is_missing(
    bundle: Path, clean_python: Path, api: RuntimeApi
) -> None:
    """A deployment that can't work is seen at once, not lead by lead."""
    with running(clean_python, environment(bundle, api, TOKEN_URL="", LEDGER_TABLE="")):
        path, error = api.outcomes.get(timeout=60)
    assert path == "/init/error"
    assert error["errorType"] == "SettingsError"
    assert "TOKEN_URL is not set; LEDGER_TABLE is not set" in error["errorMessage"]


def test_a_cold_start_imports_neither_pydantic_nor_the_xray_sdk(bundle: Path, clean_python: Path) -> None:
    """Each would cost about as much as half of everything else."""
    program = "import sys, deliver_leads.handler; print(' '.join(sys.modules))"
    shown = subprocess.run(  # noqa: S603
        [clean_python, "-c", program],
        env={"PATH": os.defpath, "PYTHONPATH": str(bundle), "AWS_DEFAULT_REGION": "us-east-1", **ENVIRONMENT},
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {name.split(".")[0] for name in shown.stdout.split()}
    assert {"boto3", "requests", "aws_lambda_powertools"} <= imported
    assert not imported & {"pydantic", "aws_xray_sdk", "jsonschema", "fastjsonschema"}
