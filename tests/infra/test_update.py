"""*Update* and *Roll back* of the runbook, run as they are written there in a user's clone."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.bundling import PROJECT
from tests.documents import section, shell_blocks
from tests.repository import ENVIRONMENT, publish

pytestmark = pytest.mark.shipped

NEXT_VERSION = "A next version"
NEXT_TAG = "v9.0.0"
INSTALLED = (".venv", "node_modules")


def run(folder: Path, script: str, **variables: str) -> str:
    """Runs a script as a person's shell does, and returns what it prints."""
    done = subprocess.run(  # noqa: S603 - the project's own documents
        [shutil.which("sh") or "sh", "-ec", script],
        cwd=folder,
        env=ENVIRONMENT | variables,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def publish_next_version(upstream: Path) -> None:
    """Changes every file that has to do with settings."""
    for name in ("settings/example.toml", ".gitignore"):
        file = upstream / name
        file.write_text(f"# {NEXT_VERSION}\n{file.read_text('utf-8')}", "utf-8")
    cdk_json = json.loads((upstream / "cdk.json").read_text("utf-8"))
    cdk_json["context"]["@aws-cdk/core:a-new-flag"] = True
    (upstream / "cdk.json").write_text(json.dumps(cdk_json), "utf-8")
    stack = upstream / "infra/delivery_stack.py"
    text = stack.read_text("utf-8")
    assert "Delivers leads to 7Targets" in text
    stack.write_text(text.replace("Delivers leads to 7Targets", NEXT_VERSION), "utf-8")
    run(upstream, f"git commit -q -a -m Next && git tag {NEXT_TAG}")


class User:
    """Somebody with a clone, its packages and settings of their own; `npx` notes how it is called."""

    def __init__(self, upstream: Path, clone: Path) -> None:
        run(upstream.parent, f"git clone -q '{upstream}' '{clone}'")
        self.clone = clone
        self.calls = clone.parent / "npx.log"
        for name in INSTALLED:
            (clone / name).symlink_to((PROJECT / name).resolve())
        for lock in ("requirements.lock", "package.json", "package-lock.json"):
            os.utime(clone / lock, (0, 0))  # what is installed is not older than they are
        programs = clone.parent / "bin"
        programs.mkdir()
        (programs / "npx").write_text(f'#!/bin/sh\necho "$@" >> "{self.calls}"\n', "utf-8")
        (programs / "npx").chmod(0o755)
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        settings = (clone / "settings/example.toml").read_text("utf-8")
        self.settings = clone / "settings/dev.toml"
        # Without the sandbox, whose bundle takes seconds.
        ours = 'memoryMegabytes = 1234  # ours\nleadsApi = "7targets"\n'
        self.settings.write_text(ours + settings, "utf-8")

    def follow(self, heading: str, *, then: str = "", **variables: str) -> str:
        """Runs the only block of a procedure."""
        (block,) = shell_blocks(section("docs/runbook.md", heading))
        return run(
            self.clone, block + then, STAGE="dev", PATH=self.path, AWS_REGION="eu-central-1", **variables
        )

    def template(self) -> dict[str, Any]:
        """What `make synth` has left to be deployed."""
        text = (self.clone / "cdk.out/LeadDelivery.template.json").read_text("utf-8")
        return dict(json.loads(text))


def memory(template: dict[str, Any]) -> int:
    """The setting that the user has edited, as it would be deployed."""
    (function,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::Lambda::Function")
    return int(function["Properties"]["MemorySize"])


def test_an_update_and_a_roll_back_leave_the_user_s_settings_alone(tmp_path: Path) -> None:
    """The next version touches the same files; and after a roll back, the next update works as the first."""
    upstream = tmp_path / "upstream"
    upstream.mkdir()
    publish(upstream)
    user = User(upstream, tmp_path / "clone")
    settings = user.settings.read_text("utf-8")
    publish_next_version(upstream)

    noted = user.follow("Update", then='echo "noted: $LAST_GOOD_COMMIT"', RELEASE=NEXT_TAG)
    last_good = noted.split("noted: ")[1].strip()
    assert user.template()["Description"].startswith(NEXT_VERSION)
    assert memory(user.template()) == 1234
    # The first synthesis has applied the CDK's own rules for templates, which take seconds.
    user.follow("Roll back", LAST_GOOD_COMMIT=last_good, CDK_VALIDATION="false")
    assert user.template()["Description"].startswith("Delivers leads to 7Targets")
    assert memory(user.template()) == 1234
    user.follow("Update", RELEASE="origin/main", CDK_VALIDATION="false")
    assert user.template()["Description"].startswith(NEXT_VERSION)

    assert user.settings.read_text("utf-8") == settings
    deploy = ["cdk deploy --all -c stage=dev"]
    assert user.calls.read_text("utf-8").splitlines() == [
        call for each in (["cdk diff --all -c stage=dev", *deploy], deploy) for call in each
    ] + ["cdk diff --all -c stage=dev", *deploy]
