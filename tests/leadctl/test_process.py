"""leadctl as a process: exit codes, pipes, disks, signals; never a traceback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infra.aws_server import aws_server

pytestmark = pytest.mark.shipped

PROJECT = Path(__file__).parents[2]
TIMEOUT_S = 120


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """The process, which has ended afterwards, also when the test failed."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@dataclass
class Shell:
    """A folder with a local run's file, and an environment without any AWS."""

    folder: Path
    environment: dict[str, str]

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Starts leadctl."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        command = [sys.executable, "-m", "leadctl", *words]
        return subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=self.folder, env=self.environment, text=True, **streams
        )

    def run(self, *words: str, **more: Any) -> tuple[int, str, str]:
        """Its exit code, stdout and stderr, in which there is no traceback."""
        with ended(self.start(*words, **more)) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        assert "Traceback" not in err
        return process.returncode, out, err


@pytest.fixture(scope="module")
def local_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A local run on moto's server, with 40 parked messages."""
    folder = tmp_path_factory.mktemp("project")
    with aws_server() as url:
        sqs = boto3.client(
            "sqs",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        queues = {
            name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("leads", "parked", "events")
        }
        body = json.dumps({"text": "x" * 1000})
        for _ in range(4):
            sqs.send_message_batch(
                QueueUrl=queues["parked"],
                Entries=[{"Id": str(number), "MessageBody": body} for number in range(10)],
            )
        run = {
            "endpointUrl": url,
            "region": "us-east-1",
            "account": "000000000000",
            "accessKeyId": "test",
            "secretAccessKey": "test",
            "stackName": "LeadDelivery-dev",
            "outputs": {
                "LeadQueueUrl": queues["leads"],
                "DeadLetterQueueUrl": queues["parked"],
                "RuleDeadLetterQueueUrl": queues["events"],
                "FunctionName": "none",
            },
        }
        (folder / ".local").mkdir()
        (folder / ".local" / "run.json").write_text(json.dumps(run), "utf-8")
        yield shell(folder)


def shell(folder: Path, **more: str) -> Shell:
    """Without credentials, Region, profile or configuration files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LEADCTL_"))}
    nothing = {
        "HOME": str(folder),
        "PYTHONPATH": str(PROJECT),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONIOENCODING": "utf-8",
    }
    return Shell(folder, kept | nothing | more)


def test_off_a_terminal_rows_are_whole_and_without_colour(local_run: Shell) -> None:
    """For cut, awk and grep; the first line on stderr says where."""
    code, out, err = local_run.run("--local", "parked", "list", "--each")
    assert code == 3
    lines = out.splitlines()
    assert len(lines) == 41
    assert all(line.count("\t") == 4 for line in lines)
    assert "\x1b" not in out
    assert err.startswith("LeadDelivery-dev · local run · http://127.0.0.1:")


def test_a_closed_pipe_ends_it_without_a_word(local_run: Shell) -> None:
    """As by head, when it has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    code, _, err = local_run.run("--local", "parked", "export", "-", stdout=writer)
    os.close(writer)
    assert code == 128 + signal.SIGPIPE
    assert len(err.splitlines()) == 1, err  # which stack it is


@pytest.mark.parametrize("words", [("parked", "export", "-"), ("parked", "list", "-o", "csv")])
def test_a_full_disk_is_said(local_run: Shell, words: tuple[str, ...]) -> None:
    """Whether it shows at once or only at the end."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        code, _, err = local_run.run("--local", *words, stdout=full)
    assert code == 1
    assert err.splitlines()[-1] == "The output can't be written: No space left on device."


def test_ctrl_c_ends_with_130_and_a_sentence(tmp_path: Path) -> None:
    """A script sees that it isn't done."""
    os.mkfifo(tmp_path / "event")
    # Opening it waits until leadctl has opened it, too; then leadctl waits for an event in it.
    with (
        ended(shell(tmp_path).start("send", "event")) as process,
        (tmp_path / "event").open("w", encoding="utf-8"),
    ):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted. Nothing was changed."


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_without_credentials_it_says_so(tmp_path: Path, variable: str) -> None:
    """And how to get some. A region by either of AWS's variables is one."""
    code, _, err = shell(tmp_path, **{variable: "eu-west-1"}).run("status")
    assert code == 4
    assert err.startswith("No AWS credentials")


def test_without_a_region_it_says_so(tmp_path: Path) -> None:
    """There is none by default."""
    code, _, err = shell(tmp_path).run("status", "--stage", "dev")
    assert code == 2
    assert "--region" in err


def test_an_unknown_profile_is_said(tmp_path: Path) -> None:
    """AWS's own error has the name."""
    code, _, err = shell(tmp_path).run("status", "--profile", "nobody")
    assert code == 4
    assert "nobody" in err


def test_a_local_run_that_was_killed_is_said(tmp_path: Path, local_run: Shell) -> None:
    """Its file is still there."""
    (tmp_path / ".local").mkdir()
    text = (local_run.folder / ".local" / "run.json").read_text("utf-8")
    run = json.loads(text) | {"endpointUrl": "http://127.0.0.1:9"}
    (tmp_path / ".local" / "run.json").write_text(json.dumps(run), "utf-8")
    code, _, err = shell(tmp_path).run("--local", "parked", "list")
    assert code == 4
    assert "start it by `make dev`" in err


def test_a_typing_error_is_a_usage_error(tmp_path: Path) -> None:
    """With where to read on."""
    code, _, err = shell(tmp_path).run("parked", "lst")
    assert code == 2
    assert "No such command 'lst'" in err
