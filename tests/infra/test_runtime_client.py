"""The built bundle under AWS's own Lambda runtime client, in an environment that holds nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.bundling import PROJECT, build_bundle
from infra.runtime_python import find_runtime_python
from tests.infra.runtime_api import RuntimeApi
from tests.settings import ENVIRONMENT


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is deployed."""
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose site-packages hold the runtime client, as Lambda's do, and no package of ours."""
    folder = tmp_path_factory.mktemp("runtime") / "venv"
    uv = Path(sys.executable).with_name("uv")
    lock = (PROJECT / "requirements.lock").read_text()
    [pin] = [line.split()[0] for line in lock.splitlines() if line.startswith("awslambdaric==")]
    base = find_runtime_python() or Path(sys.executable)
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--python", base, folder],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            folder,
            "--require-hashes",
            "-c",
            "requirements.lock",
            pin,
        ],
    ]
    for command in commands:
        subprocess.run(command, check=True, cwd=PROJECT)  # noqa: S603
    return folder / "bin" / "python"


def environment(bundle: Path, api: RuntimeApi, **more: str) -> dict[str, str]:
    """Lambda's own variables and the stack's; AWS is out of reach, and so is the leads API."""
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(bundle),
        "LAMBDA_TASK_ROOT": str(bundle),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "deliver-leads",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "POWERTOOLS_SERVICE_NAME": "deliver-leads",
        "POWERTOOLS_METRICS_NAMESPACE": "SevenTargets/LeadDelivery",
        **ENVIRONMENT,
        **more,
    }


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """A runtime API for one execution environment."""
    with RuntimeApi() as running:
        yield running


def start(clean_python: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """An execution environment."""
    command = [str(clean_python), "-m", "awslambdaric", "deliver_leads.handler.handler"]
    return subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_the_bundle_answers_under_the_real_runtime_client_with_a_well_formed_response(
    bundle: Path, clean_python: Path, api: RuntimeApi
) -> None:
    """No import error, no forgotten dependency, and a partial batch response that Lambda can read."""
    event = json.loads((PROJECT / "docs/events/sqs_batch.json").read_text())
    process = start(clean_python, environment(bundle, api))
    try:
        path, response = api.invoke(event)
        again, empty = api.invoke({"Records": []})
    finally:
        process.kill()
        process.wait()
    # AWS is out of reach, so the lead can't be claimed and goes back to the queue.
    assert path == again == "/invocation/request-1/response"
    assert response == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert empty == {"batchItemFailures": []}


def test_an_incomplete_environment_ends_at_start_with_one_error_that_names_what_is_missing(
    bundle: Path, clean_python: Path, api: RuntimeApi
) -> None:
    """A deployment that can't work is seen at once, not lead by lead."""
    process = start(clean_python, environment(bundle, api, TOKEN_URL="", LEDGER_TABLE=""))
    try:
        path, error = api.outcomes.get(timeout=60)
    finally:
        process.kill()
        process.wait()
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
