"""`make dev`: what it promises to who develops a producer or the function."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from local.stack.child_process import PROJECT
from local.stack.emulator import is_alive
from local.stack.ports import free_port
from local.stack.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("running")]

PARTS = ("app.py", "cdk.json", "pyproject.toml", "requirements.lock", "infra", "lambdas", "local")
INSTALLED = (".venv", ".emulator", "node_modules")
CREATE = """
import boto3, json, os
lead = {"name": "Jane", "email": "%s", "assistantEmail": "sam@example.net"}
boto3.client("sqs").send_message(
    QueueUrl=os.environ["LEAD_QUEUE_URL"], MessageBody=json.dumps({"operation": "create", "lead": lead}))
"""


class Developer:
    """A person with a clone of the project: one terminal has `make dev`, the other one publishes."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        self.sandbox_port = free_port()
        self.output = clone / "dev.log"
        clone.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
            copy(PROJECT / name, clone / name)
        for name in INSTALLED:
            (clone / name).symlink_to((PROJECT / name).resolve())

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        ports = ("--port", free_port(), "--page-port", free_port(), "--sandbox-port", self.sandbox_port)
        with self.output.open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - this project's own program
                [sys.executable, "-m", "local.dev", *map(str, ports), *options],
                cwd=self.clone,
                env={**os.environ, "TMPDIR": str(self.clone)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_file(self) -> dict[str, Any]:
        return dict(json.loads((self.clone / ".local" / "run.json").read_text("utf-8")))

    def publish(self, email: str) -> None:
        """Publishes from a shell that has only what `make env` prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        script = f'eval "$({sys.executable} -m local.environment)"; exec {sys.executable} -c "$PROGRAM"'
        subprocess.run(  # noqa: S603 - this project's own program
            [shutil.which("sh") or "sh", "-ec", script],
            cwd=self.clone,
            env=kept | {"PROGRAM": CREATE % email},
            check=True,
        )

    def lead(self, email: str) -> dict[str, Any]:
        """The lead as the sandbox holds it, once it does."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            with requests.Session() as session:
                session.trust_env = False
                leads = session.get(f"http://127.0.0.1:{self.sandbox_port}/_sandbox/leads", timeout=10).json()
            found[:] = [lead for lead in leads if lead["email"] == email]
            return bool(found)

        wait_until(f"lead {email}", is_there, timeout_s=120)
        return found[0]


@pytest.fixture
def developer(tmp_path: Path) -> Developer:
    """A developer with a fresh clone."""
    return Developer(tmp_path / "clone")


@pytest.fixture
def dev(developer: Developer) -> Iterator["subprocess.Popen[bytes]"]:
    """`make dev`, up; ended after the test, should the test fail."""
    process = developer.start()

    def is_up() -> bool:
        assert process.poll() is None, developer.output.read_text("utf-8")
        return (developer.clone / ".local" / "run.json").exists()

    try:
        wait_until("the run's file", is_up, timeout_s=300)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def test_a_producer_publishes_the_function_changes_and_ctrl_c_ends_it_all(
    developer: Developer, dev: "subprocess.Popen[bytes]"
) -> None:
    """What `make env` prints is enough to publish, and new code runs without a deployment."""
    developer.publish("before@example.com")
    assert developer.lead("before@example.com")["name"] == "Jane"

    calls = developer.clone / "lambdas/deliver_leads/api/leads_api.py"
    source = calls.read_text("utf-8")
    assert source.count("json=dict(lead)") == 1
    calls.write_text(source.replace("json=dict(lead)", 'json={**lead, "name": "Changed"}'), "utf-8")
    wait_until(
        "new code", lambda: "its workers start anew" in developer.output.read_text("utf-8"), timeout_s=180
    )
    developer.publish("after@example.com")
    assert developer.lead("after@example.com")["name"] == "Changed"

    started = psutil.Process(dev.pid).children(recursive=True)
    assert len(started) >= 2
    dev.send_signal(signal.SIGINT)
    assert dev.wait(timeout=60) == 0
    assert [each for each in started if is_alive(each)] == []
    assert "Nothing is left running." in developer.output.read_text("utf-8")
    assert not (developer.clone / ".local" / "run.json").exists()
    assert list(developer.clone.glob("lead-delivery-*")) == []
