"""README.md: its blocks work one after another, as a new reader copies them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.sample.events import LEAD_DEFAULTS
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.documents import PROJECT
from tests.e2e.aws_program import install_aws_command
from tests.e2e.shell import write_run_file

pytestmark = pytest.mark.e2e

# The local run itself, which is up here: tests/e2e/test_the_run.py.
RUN = "make run\n"
DEPLOY = "## Deploy to AWS"
TO_7TARGETS = "**To 7Targets.**"
# What is done before: leadctl is on PATH, and the local run has deployed the same app, without alarms.
INSTALL = ".venv/bin/uv tool install"
DEPLOYED = "make() { :; }\nnpx() { :; }\n"


def script(text: str) -> str:
    """The text's blocks of shell and Python, as one program for the shell."""
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return "".join(
        block if language == "sh" else f".venv/bin/python - <<'END_OF_PYTHON'\n{block}END_OF_PYTHON\n"
        for language, block in blocks
        if block != RUN
    )


@pytest.fixture
def checkout(deployment: Deployment, tmp_path: Path) -> Path:
    """A checkout whose local run is up, with the packages of this one."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path)
    # Older than what is installed, so that make installs nothing.
    os.utime(tmp_path / "requirements.lock", (0, 0))
    for name in ("local", "settings"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to((PROJECT / ".venv").resolve())
    write_run_file(tmp_path, deployment)
    programs = tmp_path / "bin"
    programs.mkdir()
    install_aws_command(programs)
    # What an installation makes; tests/leadctl/test_packaging.py holds what is in it.
    (programs / "leadctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m leadctl "$@"\n')
    (programs / "leadctl").chmod(0o755)
    return tmp_path


def run(blocks: str, checkout: Path, environment: dict[str, str]) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MAKE"))}
    local = {
        "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    done = subprocess.run(  # noqa: S603 - this project's own document
        [shutil.which("sh") or "sh", "-euc", blocks],
        cwd=checkout,
        env=kept | local | environment,
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_blocks_up_to_the_deployment_publish_to_the_local_run(
    deployment: Deployment, checkout: Path
) -> None:
    """In one shell, from the top."""
    text, _ = (PROJECT / "README.md").read_text("utf-8").split(DEPLOY)
    assert f"```sh\n{RUN}```" in text
    assert INSTALL in text
    output = run(script(text).replace(INSTALL, ":"), checkout, {})
    emails = {"jane@example.com", "jim@example.com"}
    wait_until("the leads", lambda: emails <= deployment.sandbox.leads().keys(), timeout_s=180)
    assert "Send 1 lead to LeadDelivery-dev?" in output


def test_the_blocks_of_the_deployment_fill_the_secret_and_check_it(
    deployment: Deployment, checkout: Path
) -> None:
    """In a new shell; what comes before, a stage with a sandbox, is tried in test_prove.py."""
    _, text = (PROJECT / "README.md").read_text("utf-8").replace("prod", "dev").split(TO_7TARGETS)
    (checkout / "credentials.json").write_text(json.dumps(vars(deployment.credentials)), "utf-8")
    deployment.sandbox.add_assistants([LEAD_DEFAULTS["assistantEmail"]])
    # Off a terminal nobody is asked; and a stage without alarms isn't all right.
    blocks = script(text).replace("credentials.json", "credentials.json --yes")
    blocks = blocks.replace("leadctl doctor", "leadctl doctor -o json > doctor || [ $? = 3 ]")
    run(DEPLOYED + blocks, checkout, deployment.emulator.aws_environment())
    found = {each["part"]: each["verdict"] for each in json.loads((checkout / "doctor").read_text("utf-8"))}
    assert found["leads API"] == "right"
    assert {part for part, verdict in found.items() if verdict == "wrong"} == {"alarms"}
