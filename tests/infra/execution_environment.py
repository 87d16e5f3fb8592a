"""An execution environment: the bundle under AWS's runtime client, with the variables of Lambda and stack."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.settings import lambda_environment
from tests.infra.runtime_api import RuntimeApi

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


def environment(bundle: Path, api: RuntimeApi, **more: str) -> dict[str, str]:
    """Lambda's own variables and the stack's; unless `more` says otherwise, AWS is out of reach."""
    return {
        **lambda_environment(bundle),
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_ENDPOINT_URL": NOWHERE,
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
