"""What `make dev` and `make env` are made of: ports, the run's file, the watch over the function's code."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from infra.bundling import _not_shipped
from local import environment, run_file
from local.dev import __main__ as dev
from local.dev.code_watch import CodeWatch, shipped, zip_code
from local.run_file import AnotherRunError
from local.stack.deployment import Deployment
from local.stack.ports import free_port, usual_port
from local.steps import Steps


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The run's file, in a folder of its own."""
    found = tmp_path / "run.json"
    monkeypatch.setattr(run_file, "PLACE", found)
    return found


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """A run sets its own handlers."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def describe_run(process: int) -> str:
    """The file's content."""
    outputs = {"LeadQueueUrl": "http://127.0.0.1:4566/000000000000/leads", "EventBusName": "LeadDelivery-dev"}
    return json.dumps(
        {
            "endpointUrl": "http://127.0.0.1:4566",
            "region": "us-east-1",
            "accessKeyId": "test",
            "secretAccessKey": "test",
            "outputs": outputs,
            "process": process,
        }
    )


def ended_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_usual_port_that_is_taken_gives_way_to_a_free_one(taken_port: int) -> None:
    """A bookmark works wherever it can; two products with the same usual port can both run."""
    free = free_port()
    assert usual_port(free) == free
    assert usual_port(taken_port) != taken_port


@pytest.mark.usefixtures("place", "restored_signals")
def test_make_dev_on_a_taken_port_that_was_asked_for_fails_in_a_sentence(
    taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, no traceback, and nothing was started."""
    assert dev.main(["--port", str(taken_port)]) == 1
    output = capsys.readouterr().out
    assert f"port {taken_port} is taken" in output
    assert "PORT=<port>" in output.replace("\n", " ")


@pytest.mark.usefixtures("place", "restored_signals")
def test_state_takes_no_other_port_than_its_own(
    taken_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queues' addresses in it name the port, so that the next run could not use it."""
    monkeypatch.setattr(dev, "_EMULATOR_PORT", taken_port)
    assert dev.main(["--state", str(tmp_path / "state")]) == 1
    assert f"port {taken_port} is taken" in capsys.readouterr().out


@pytest.mark.usefixtures("restored_signals")
def test_a_second_run_that_stays_is_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`make env` and leadctl couldn't distinguish them; the error says which one is up."""
    place.write_text(describe_run(os.getpid()), "utf-8")
    assert dev.main([]) == 1
    assert f"a local run is up already (process {os.getpid()})" in capsys.readouterr().out


def test_the_file_of_a_killed_run_counts_for_nothing(place: Path) -> None:
    """A run that was killed couldn't remove it."""
    place.write_text(describe_run(ended_process()), "utf-8")
    run_file.require_no_other()
    place.write_text("{", "utf-8")
    run_file.require_no_other()
    place.write_text(describe_run(os.getpid()), "utf-8")
    with pytest.raises(AnotherRunError):
        run_file.require_no_other()


@pytest.mark.usefixtures("place")
def test_make_env_without_a_run_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, or `eval` would run the sentence."""
    assert environment.main() == 1
    captured = capsys.readouterr()
    assert (captured.out, "`make dev`" in captured.err) == ("", True)


def test_each_step_ends_with_its_seconds() -> None:
    """Half a minute of silence looks like a hang."""
    output = io.StringIO()
    with Steps(Console(file=output)) as steps:
        steps("Start")
        steps("Deploy")
    lines = output.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == ["Start", "Deploy"]
    assert all(float(line.split(" s  ")[0]) >= 0 for line in lines)


def test_the_watch_ships_what_the_bundle_ships(tmp_path: Path) -> None:
    """Else the function would run other files here than after a deployment."""
    package = tmp_path / "package"
    names = ("handler.py", "py.typed", "fields.json", "notes.md", "api/calls.py", ".handler.py.swp")
    for name in (*names, "__pycache__/handler.pyc", "api/__pycache__/calls.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    shutil.copytree(package, tmp_path / "bundle", ignore=_not_shipped)
    bundled = {path.relative_to(tmp_path / "bundle") for path in (tmp_path / "bundle").rglob("*.*")}
    assert {path.relative_to(package) for path in shipped(package)} == bundled
    assert len(bundled) == 4


class Watched:
    """A project with a package of one module, a bundle that was deployed, and what the watch does."""

    def __init__(self, folder: Path) -> None:
        self.module = folder / "lambdas" / "deliver_leads" / "handler.py"
        self.module.parent.mkdir(parents=True)
        self.module.write_text("VERSION = 1\n", "utf-8")
        self.bundle = folder / "bundle"
        for name in ("requests/api.py", "deliver_leads/handler.py", "deliver_leads/__pycache__/handler.pyc"):
            (self.bundle / name).parent.mkdir(parents=True, exist_ok=True)
            (self.bundle / name).write_text("deployed", "utf-8")
        self.reports: list[str] = []
        self.put: list[dict[str, Any]] = []
        functions = SimpleNamespace(update_function_code=lambda **arguments: self.put.append(arguments))
        deployment = SimpleNamespace(
            bundle=self.bundle,
            outputs={"FunctionName": "leads"},
            emulator=SimpleNamespace(client=lambda _: functions),
        )
        self.watch = CodeWatch(cast(Deployment, deployment), self.reports.append, folder)

    def change(self, text: str) -> None:
        self.module.write_text(text, "utf-8")
        self.watch.look()


def test_a_change_takes_effect_once_it_is_over(tmp_path: Path) -> None:
    """An editor may be in the middle of writing; unchanged code is left alone."""
    watched = Watched(tmp_path)
    watched.watch.look()
    watched.change("VERSION = 22\n")
    assert watched.put == []
    watched.watch.look()
    watched.watch.look()
    [put] = watched.put
    assert put["FunctionName"] == "leads"
    assert "its workers start anew" in watched.reports[0]


def test_the_new_code_is_the_bundle_with_the_package_as_it_now_is(tmp_path: Path) -> None:
    """Its compiled files are left out: they are taken unchecked, and would win."""
    watched = Watched(tmp_path)
    watched.module.with_name("new.py").write_text("", "utf-8")
    code = zip_code(watched.bundle, watched.module.parent)
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            "requests/api.py": "deployed",
            "deliver_leads/handler.py": "VERSION = 1\n",
            "deliver_leads/new.py": "",
        }


def test_a_file_that_is_no_python_is_reported_and_not_run(tmp_path: Path) -> None:
    """Every lead would wait for the correction; corrected, it is taken."""
    watched = Watched(tmp_path)
    watched.change("def (\n")
    watched.watch.look()
    watched.watch.look()
    assert watched.put == []
    assert len(watched.reports) == 1
    assert "handler.py is no Python" in watched.reports[0]
    watched.change("VERSION = 333\n")
    watched.watch.look()
    assert len(watched.put) == 1
