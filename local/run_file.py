"""The file `.local/run.json`: from it leadctl and `make env` know where the local run is, while it is up.

Beside what leadctl reads (leadctl/local_run.py) it holds `process`, so that the file of a run that was killed
counts for nothing.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from local.stack.child_process import PROJECT, ChildFailedError
from local.stack.deployment import STACK, Deployment
from local.stack.emulator import ACCOUNT

PLACE = PROJECT / ".local" / "run.json"


class AnotherRunError(ChildFailedError):
    """A local run is up already; the text says which."""


def require_no_other() -> None:
    """Raises `AnotherRunError`: two runs can't share the file."""
    if other := read():
        raise AnotherRunError(
            f"a local run is up already (process {other['process']}): end it first, by Ctrl-C in its terminal"
        )


@contextmanager
def written(deployment: Deployment, page_url: str) -> Iterator[None]:
    """The file is there while this lasts."""
    content = describe(deployment, page_url)
    PLACE.parent.mkdir(exist_ok=True)
    # Never half a file for a reader.
    unfinished = PLACE.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    unfinished.replace(PLACE)
    try:
        yield
    finally:
        PLACE.unlink(missing_ok=True)


def describe(deployment: Deployment, page_url: str) -> dict[str, Any]:
    """What the file says of a run."""
    environment = deployment.emulator.aws_environment()
    return {
        "endpointUrl": deployment.emulator.url,
        "region": environment["AWS_REGION"],
        "account": ACCOUNT,
        "accessKeyId": environment["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
        "stackName": STACK,
        "outputs": deployment.outputs,
        "pageUrl": page_url,
        "process": os.getpid(),
    }


def read(place: Path | None = None) -> dict[str, Any] | None:
    """What the file says, or None when no run is up."""
    try:
        content = json.loads((place or PLACE).read_text("utf-8"))
        return dict(content) if psutil.pid_exists(content["process"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
