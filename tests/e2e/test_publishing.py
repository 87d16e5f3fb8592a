"""docs/events/publish.md: each example, run as it is written, brings its lead to the sandbox."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from local.environment import variables
from local.run_file import describe
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.documents import PROJECT
from tests.e2e.aws_program import install_aws_command

pytestmark = pytest.mark.e2e


@pytest.fixture
def environment(deployment: Deployment, tmp_path: Path) -> dict[str, str]:
    """A producer's shell after `eval "$(make env)"`, with the aws command's stand-in on its PATH."""
    install_aws_command(tmp_path)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        **variables(describe(deployment, page_url="")),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
    }


def example(heading: str, language: str) -> str:
    """A section's fenced blocks of a language, one after another."""
    text = (PROJECT / "docs/events/publish.md").read_text("utf-8").split(f"\n## {heading}\n")[1]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text.split("\n## ")[0], re.DOTALL | re.MULTILINE)
    assert found
    return "\n".join(found)


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - this project's own examples
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(deployment: Deployment, *emails: str) -> None:
    wait_until("the leads", lambda: set(emails) <= deployment.sandbox.leads().keys(), timeout_s=180)


def test_the_shell_s_examples_deliver(
    deployment: Deployment, environment: dict[str, str], tmp_path: Path
) -> None:
    """They send by message, by event, and with the address for version 1 of the command line."""
    output = run(["sh", "-ec", example("Shell", "sh")], tmp_path, environment)
    wait_for(deployment, "jane.shell@example.com", "jane.bus@example.com")
    assert "\n0\n" in output
    # The last example sends the first one's lead again, with its key.
    wait_until("an empty queue", lambda: deployment.lead_queue_count() == 0, timeout_s=180)
    assert deployment.sandbox.summary()["created_again"] == 0


def test_the_python_example_delivers(
    deployment: Deployment, environment: dict[str, str], tmp_path: Path
) -> None:
    """The example needs nothing but boto3."""
    (tmp_path / "example.py").write_text(example("Python", "python"), "utf-8")
    run([sys.executable, "example.py"], tmp_path, environment)
    wait_for(deployment, "jane.python@example.com")


def test_the_javascript_example_delivers(
    deployment: Deployment, environment: dict[str, str], tmp_path: Path
) -> None:
    """A stand-in for the SDK takes the commands' input for the body of AWS's own call."""
    for package in ("client-sqs", "client-eventbridge"):
        folder = tmp_path / "node_modules" / "@aws-sdk" / package
        folder.mkdir(parents=True)
        shutil.copy(PROJECT / "tests/e2e/aws_sdk.mjs", folder / "index.mjs")
        (folder / "package.json").write_text('{"type": "module", "exports": "./index.mjs"}', "utf-8")
    (tmp_path / "example.mjs").write_text(example("JavaScript", "javascript"), "utf-8")
    run([shutil.which("node") or "node", "example.mjs"], tmp_path, environment)
    wait_for(deployment, "jane.javascript@example.com", "jane.javascript.bus@example.com")
