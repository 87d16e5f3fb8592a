"""`make run`: what it promises to a newcomer."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from local import run_file
from local.stack.child_process import PROJECT
from local.stack.emulator import is_alive
from local.stack.ports import PAGE_PORT, usual_port
from local.stack.waiting import wait_until

pytestmark = pytest.mark.e2e

RUN = (sys.executable, "-m", "local.sample")


def start_run(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - this project's own program
        RUN,
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def get(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run that was just started; ended after the test, should the test fail."""
    with start_run(tmp_path) as process:
        yield process
        if process.poll() is None:
            process.terminate()


def test_the_run_accounts_for_every_event(running: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """The run ends with status 0, says so in words, and leaves no file behind."""
    output, _ = running.communicate(timeout=400)
    assert running.returncode == 0, output
    assert "All 350 events are accounted for, each exactly once." in output
    assert list(tmp_path.glob("lead-delivery-*")) == []


# Only one run of a clone can stay up at a time: this one shares a worker with those of `make dev`.
@pytest.mark.xdist_group("dev")
def test_on_a_terminal_the_run_stays_until_ctrl_c(tmp_path: Path) -> None:
    """Its addresses work after the tables, the page's is the usual one and the last, parked leads are still
    parked and add up with the others, and Ctrl-C ends it well.
    """
    page = usual_port(PAGE_PORT)
    controller, terminal = pty.openpty()
    with (
        open(controller, "rb", buffering=0) as screen,  # noqa: PTH123 - it has no path
        subprocess.Popen(  # noqa: S603 - this project's own program
            RUN,
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        ) as process,
    ):
        os.close(terminal)
        shown = ""
        try:
            while "\nOpen http://" not in shown or not shown.endswith("\n"):
                try:
                    shown += screen.read(4096).decode("utf-8", "replace")
                except OSError:  # Linux says EIO once the last process of a terminal has ended
                    pytest.fail(f"the run ended too early:\n{shown}")
            assert "each exactly once" in shown
            run = run_file.read()
            assert run is not None
            assert run["process"] == process.pid
            assert shown.split()[-2:] == ["Open", run["pageUrl"]]
            assert run["pageUrl"].endswith(f":{PAGE_PORT}") == (page == PAGE_PORT)
            assert "<html" in get(run["pageUrl"]).text
            figures = get(f"{run['pageUrl']}/overview").json()
            names = ("cameIn", "delivered", "duplicates", "waiting", "parked")
            assert [figures[name] for name in names] == [350, 308, 16, 0, 26]
            reasons = get(f"{run['pageUrl']}/parked").json()["reasons"]
            assert sum(each["count"] for each in reasons) == 26
            started = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.terminate()
    assert [each for each in started if is_alive(each)] == []
    assert run_file.read() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_behind(
    running: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals
) -> None:
    """A signal in the middle of the deployment ends every process that was started, and removes the files."""
    process = psutil.Process(running.pid)
    wait_until("the deployment's start", lambda: len(process.children()) >= 3, timeout_s=180)
    started = process.children(recursive=True)
    running.send_signal(number)
    output, _ = running.communicate(timeout=30)
    assert running.returncode == 130, output
    assert "Nothing is left running." in output
    # A child of the CDK's, which the run has ended, may be seen for a moment still.
    wait_until("the end of all processes", lambda: not any(map(is_alive, started)), timeout_s=180)
    assert list(tmp_path.glob("lead-delivery-*")) == []
