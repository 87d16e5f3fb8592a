"""`make prove` and a stage that delivers to its own sandbox, on an emulator that outlasts both."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from local.stack.cdk import bootstrap
from local.stack.emulator import Emulator, aws_environment
from local.stack.waiting import wait_until
from prove.facts import FACTS
from prove.stage import Stage
from tests.documents import PROJECT
from tests.e2e.test_readme import DEPLOY, script

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("prove")]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("emulator")) as running:
        bootstrap(running.client("cloudformation"))
        yield running


@pytest.fixture
def stage(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for name, value in aws_environment(emulator.url).items():
        monkeypatch.setenv(name, value)
    return Stage("prove", tmp_path, endpoint=emulator.url)


def begin(emulator: Emulator) -> "subprocess.Popen[str]":
    """The program as `make prove LOCAL=1` starts it, but on an emulator that was there before."""
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "prove", "--endpoint", emulator.url],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "200"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def await_stack(stage: Stage, name: str) -> None:
    wait_until(name, lambda: stage.states().get(name) == "CREATE_COMPLETE", timeout_s=500)


@pytest.mark.timeout(1500)  # two deployments and all facts, beside the other tests
def test_after_a_kill_the_next_proof_cleans_up_and_holds(emulator: Emulator, stage: Stage) -> None:
    """Each fact is tried, or says why only AWS shows it; nothing of either run is left."""
    killed = begin(emulator)
    try:
        await_stack(stage, "LeadDelivery-prove")
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert stage.left_over()
    output, _ = (proof := begin(emulator)).communicate(timeout=900)
    assert proof.returncode == 0, output
    assert "An earlier run left something" in output
    for fact in FACTS:
        assert len(re.findall(rf"^.*{re.escape(fact.name[:30])}", output, re.MULTILINE)) >= 1, output
    assert output.count("only on AWS") == sum(bool(fact.aws_only) for fact in FACTS)
    assert "facts tried" in output
    assert stage.left_over() == []


def test_ctrl_c_destroys_the_stage(emulator: Emulator, stage: Stage) -> None:
    """A second one doesn't stop that half-way."""
    stopped = begin(emulator)
    try:
        await_stack(stage, "LeadSandbox-prove")
        for _ in range(2):
            os.kill(stopped.pid, signal.SIGINT)
        output, _ = stopped.communicate(timeout=240)
    finally:
        stopped.kill()
    assert (stopped.returncode, "Stopping" in output) == (130, True), output
    assert stage.left_over() == []


@pytest.mark.timeout(1200)  # a deployment, beside the other tests
def test_the_readme_leads_to_a_stage_with_a_lead_that_nobody_mailed(
    emulator: Emulator, stage: Stage, tmp_path: Path
) -> None:
    """Its first blocks of the deployment, as they are: the stage dev, its sandbox, a lead in it."""
    _, text = (PROJECT / "README.md").read_text("utf-8").split(DEPLOY)
    first, second, *_ = re.findall(r"^```sh\n.*?^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "leadctl").write_text(f'#!/bin/sh\nexec {sys.executable} -m leadctl "$@"\n')
    (tmp_path / "leadctl").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CDK_OUTPUT": str(tmp_path / "cdk.out"),
        "CDK_REQUIRE_APPROVAL": "never",
        "CDK_SETTINGS": "",
    }
    # Bootstrapping takes a bucket and roles of AWS's; `prove` has made them on the emulator.
    on_the_emulator = 'make() { :; }\nnpx() { [ "$2" = bootstrap ] || command npx "$@"; }\n'
    # The emulator can't make the alarms.
    deploys = script(first).replace("--all", "LeadSandbox LeadDelivery")
    run(on_the_emulator + deploys, environment)
    dev = Stage("dev", tmp_path, endpoint=emulator.url)
    dev.require_the_sandbox()
    dev.reach_the_sandbox()
    run(script(second).split("leadctl sandbox")[0], environment)
    wait_until("the lead", lambda: bool(dev.leads("")), timeout_s=180)
    assert "kim@example.com" in run(script(second), environment)
    dev.destroy()


def run(blocks: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(  # noqa: S603 - this project's own document
        [shutil.which("sh") or "sh", "-euc", blocks],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
