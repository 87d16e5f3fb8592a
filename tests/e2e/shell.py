"""A person who follows the runbook at a shell, against the deployed stack."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.run_file import describe
from local.stack.deployment import Deployment
from tests.documents import PROJECT, section, shell_blocks
from tests.e2e.aws_program import install_aws_command

RUNBOOK = "docs/runbook.md"
NOT_TRIED = "*Not tried"


def blocks(heading: str) -> list[str]:
    """A procedure's shell blocks, without those that the runbook says weren't tried."""
    found: list[str] = []
    text = section(RUNBOOK, heading)
    while block := next(iter(shell_blocks(text)), None):
        before, text = text.split(f"```sh\n{block}```", 1)
        if NOT_TRIED not in before.rstrip().rsplit("\n\n", 1)[-1]:
            found.append(block)
    return found


@dataclass
class Operator:
    """A person at a shell, who has pasted what the runbook begins with."""

    deployment: Deployment
    folder: Path
    pasted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        install_aws_command(self.folder)
        _install_leadctl(self.folder)
        beginning, rest = (PROJECT / RUNBOOK).read_text("utf-8").split("\n## Procedures\n")
        text = beginning.split("\n## ")[0] + rest.split("\n### ")[0]
        self.pasted += [block.replace("STAGE=prod", "STAGE=dev") for block in shell_blocks(text)]

    def run(self, block: str, **variables: str) -> str:
        """Runs a block; returns what it prints. Fails with what it complains of.

        What leadctl asks at a terminal is answered with yes; it ends with 3 while leads are parked.
        """
        answered = re.sub(
            r"^(.*leadctl (?:import|send|pause|resume|credentials|parked (?:retry|drop))\b.*)$",
            r"\1 --yes",
            block,
            flags=re.MULTILINE,
        )
        done = self._run(answered, variables)
        assert done.returncode in ({0, 3} if "leadctl" in block else {0}), done.stderr
        return done.stdout

    def _run(self, block: str, variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return subprocess.run(  # noqa: S603 - this project's own runbook
            [shutil.which("sh") or "sh", "-c", "\n".join([*self.pasted, block])],
            cwd=self.folder,
            env=kept
            | self.deployment.emulator.aws_environment()
            | {
                "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(PROJECT),
            }
            | variables,
            check=False,
            capture_output=True,
            text=True,
        )


def _install_leadctl(folder: Path) -> None:
    program = folder / "leadctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m leadctl "$@"\n')
    program.chmod(0o755)


def write_run_file(folder: Path, deployment: Deployment) -> None:
    """What `make env` and `leadctl --local` find in this folder while the local run is up."""
    (folder / ".local").mkdir()
    (folder / ".local" / "run.json").write_text(json.dumps(describe(deployment, page_url="")), "utf-8")


def log_lines(deployment: Deployment) -> list[dict[str, Any]]:
    """The function's lines about attempts."""
    lines = deployment.emulator.output().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and '"attempt"' in line]
