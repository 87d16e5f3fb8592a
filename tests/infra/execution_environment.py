"""An execution environment: the bundle under AWS's runtime client, with the variables of Lambda and stack."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.infra.runtime_api import RuntimeApi
from tests.settings import ENVIRONMENT

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


def environment(bundle: Path, api: RuntimeApi, **more: str) -> dict[str, str]:
    """Lambda's own variables and the stack's; unless `more` says otherwise, AWS is out of reach."""
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
        "AWS_ENDPOINT_URL": NOWHERE,
        "POWERTOOLS_SERVICE_NAME": "deliver-leads",
        "POWERTOOLS_METRICS_NAMESPACE": "SevenTargets/LeadDelivery",
        **ENVIRONMENT,
        **more,
    }


@contextmanager
def running(python: Path, environment: dict[str, str]) -> Iterator[int]:
    """An execution environment's process; its id."""
    command = [str(python), "-m", "awslambdaric", "deliver_leads.handler.handler"]
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
