"""`make dev` as a user starts it, and what its page and its sandbox answer over HTTP."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import psutil
import requests
from botocore.config import Config

from local import run_file
from local.page.history import Attempt
from local.stack.child_process import PROJECT
from local.stack.emulator import is_alive
from local.stack.ports import free_port
from local.stack.waiting import wait_until

_START_TIMEOUT_S = 300.0
_END_TIMEOUT_S = 60.0


class MakeDev:
    """Starts when constructed, in a process group of its own as from a terminal. `folder` takes its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._output = folder / "output"
        ports = {name: free_port() for name in ("PORT", "PAGE_PORT", "SANDBOX_PORT")}
        self.aws, self.page, self.sandbox = (f"http://127.0.0.1:{port}" for port in ports.values())
        self._sqs = boto3.client(
            "sqs",
            endpoint_url=self.aws,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}),
        )
        # Those of a make that runs the tests are not a user's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this project's own
                ["make", "dev", *(f"{name}={port}" for name, port in ports.items())],  # noqa: S607
                cwd=PROJECT,
                env=kept | {"TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until("the page", self._is_up, timeout_s=_START_TIMEOUT_S)
            run = run_file.read()
            assert run is not None
            self._queue = run["outputs"]["LeadQueueUrl"]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends what a test that failed has left."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(_END_TIMEOUT_S)

    def press_ctrl_c(self) -> None:
        """Ends it as a user does, and checks that all is well and nothing is left."""
        assert self._process.poll() is None, self.output()
        started = psutil.Process(self._process.pid).children(recursive=True)
        os.killpg(self._process.pid, signal.SIGINT)
        # By the signal: what make itself does with it after the run has ended well.
        assert self._process.wait(_END_TIMEOUT_S) in {0, -signal.SIGINT}, self.output()
        assert "Ended. Nothing is left running." in self.output()
        assert [each for each in started if is_alive(each)] == []
        assert list(self._folder.glob("lead-delivery-*")) == []

    def output(self) -> str:
        """What the user has seen on the terminal."""
        return self._output.read_text("utf-8", "replace")

    def get(self, url: str, **parameters: str) -> Any:
        return self._call("GET", url, params=parameters)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        return self._call("POST", f"{self.page}{path}", json=body)

    def figures(self) -> dict[str, Any]:
        return dict(self.get(f"{self.page}/overview"))

    def received(self, since: int = 0) -> list[dict[str, Any]]:
        """What came to the sandbox after this `seq`."""
        return list(self.get(f"{self.sandbox}/_sandbox/requests", since=str(since)))

    def leads(self) -> dict[str, dict[str, Any]]:
        """Those at the sandbox, by address."""
        return {lead["email"]: lead for lead in self.get(f"{self.sandbox}/_sandbox/leads")}

    def set_faults(self, *rules: Mapping[str, object]) -> None:
        self._call("PUT", f"{self.sandbox}/_sandbox/faults", json=rules)

    def send(self, *bodies: object) -> None:
        """Puts messages into the lead queue."""
        for body in bodies:
            self._sqs.send_message(QueueUrl=self._queue, MessageBody=json.dumps(body))

    def waiting(self) -> int:
        """Messages in the lead queue, those in flight or coming back later too."""
        answer = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["All"])
        return sum(
            int(count)
            for name, count in answer["Attributes"].items()
            if name.startswith("ApproximateNumberOfMessages")
        )

    def attempts(self) -> list[Attempt]:
        """By the function's log, in the file that the terminal names."""
        [log] = self._folder.glob("lead-delivery-*/emulator.log")
        return list(filter(None, map(Attempt.from_line, log.read_text("utf-8", "replace").splitlines())))

    def _is_up(self) -> bool:
        assert self._process.poll() is None, self.output()
        try:
            return bool(self.figures())
        except requests.ConnectionError:
            return False

    def _call(self, method: str, url: str, **options: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, timeout=30, **options)
        answer.raise_for_status()
        return answer.json()
