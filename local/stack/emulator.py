"""The emulated AWS: MiniStack on the loopback interface, from a virtual environment of its own.

That environment (`.emulator`, made by the Makefile) holds MiniStack and nothing else, because the function
sees what is installed there and what is in MiniStack's environment variables.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.session
import psutil
import requests
from botocore.config import Config

from local.stack.child_process import PROJECT, ChildFailedError, ChildProcess
from local.stack.ports import free_port
from local.stack.waiting import wait_until

ACCOUNT = "000000000000"
REGION = "us-east-1"
PROGRAM = PROJECT / ".emulator" / "bin" / "ministack"
_START_TIMEOUT_S = 30.0
_KILL_TIMEOUT_S = 10.0
# It writes its state when it is asked to end.
_END_TIMEOUT_S = 20.0
_PEEK_TIMEOUT_S = 10.0


class Emulator:
    """Starts when constructed; runs until `close`. Without `port` it takes a free one.

    Its state is in memory and in `folder`, or, with `state`, in that folder, where the next one finds it.
    `service_endpoints` (e.g. {"dynamodb": "http://127.0.0.1:5000"}) sends the function's own calls of a
    service there instead of straight to the emulator: the place for a proxy.
    """

    def __init__(
        self,
        folder: Path,
        service_endpoints: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        if not PROGRAM.exists():
            raise ChildFailedError("the emulator is not installed: run it by `make run`")
        self._folder = folder
        self._service_endpoints = service_endpoints or {}
        self._state = state
        self._forgotten = 0
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = ChildProcess(
            [str(PROGRAM)], environment=self._environment(port), log=folder / "emulator.log"
        )
        try:
            wait_until("the emulator's start", self._is_ready, timeout_s=_START_TIMEOUT_S)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends MiniStack and the function's workers; state that is to be kept is written first."""
        if self._state:
            self._process.end(_END_TIMEOUT_S)
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def client(self, service: Any) -> Any:  # noqa: ANN401 - boto3's clients have no type of their own
        """A boto3 client of the emulated service, whatever AWS settings this process was started with."""
        # Without session variables it would want the profile that AWS_PROFILE names.
        unconfigured = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        session = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
            region_name=REGION,
            botocore_session=unconfigured,
        )
        return session.client(service, endpoint_url=self.url, config=Config(proxies={}))

    def aws_environment(self) -> dict[str, str]:
        return aws_environment(self.url)

    def workers(self) -> list[psutil.Process]:
        """The processes that run the function now: its warm execution environments."""
        workers = []
        for child in psutil.Process(self._process.pid).children():
            try:
                command = child.cmdline()
            except psutil.Error:  # it has just ended
                continue
            if command and command[-1].endswith("_worker.py"):
                workers.append(child)
        return workers

    def kill_workers(self) -> None:
        """SIGKILL for all of them, in mid-call or not; the next message gets a new one."""
        workers = self.workers()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        wait_until("the workers' end", lambda: not any(map(is_alive, workers)), timeout_s=_KILL_TIMEOUT_S)

    @property
    def log(self) -> Path:
        """What it prints, the function's log lines included."""
        return self._process.log

    def check_alive(self) -> None:
        self._process.check_alive()

    def output(self) -> str:
        """What it printed, the function's log lines included, since the start or `forget_output`."""
        return self._process.output()[self._forgotten :]

    def output_since(self, position: int) -> tuple[str, int]:
        """The whole lines that it printed after this byte of its log, and the byte after them."""
        with self._process.log.open("rb") as log:
            log.seek(position)
            lines, line_break, _ = log.read().rpartition(b"\n")
        return lines.decode("utf-8", "replace"), position + len(lines) + len(line_break)

    def messages(self, queue_url: str) -> list[dict[str, Any]]:
        """All messages of a queue, which nobody is kept from receiving: AWS has no such call."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{self.url}/_ministack/sqs/messages",
                params={"account": ACCOUNT, "QueueUrl": queue_url},
                timeout=_PEEK_TIMEOUT_S,
            )
        answer.raise_for_status()
        return list(answer.json()["messages"][ACCOUNT][REGION][queue_url])

    def forget_output(self) -> None:
        self._forgotten = len(self._process.output())

    def execution_environments_started(self, function: str) -> int:
        """How many there have been, those that ended included."""
        return len(re.findall(rf"Lambda worker spawned for {re.escape(function)} ", self._process.output()))

    def _environment(self, port: int) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMPDIR": folder,
            "STATE_DIR": str(self._state or folder),
            "S3_DATA_DIR": f"{self._state or folder}/s3",
            **({"PERSIST_STATE": "1", "S3_PERSIST": "1"} if self._state else {}),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            # In the queues' addresses, so that they are the endpoint's.
            "MINISTACK_HOST": "127.0.0.1",
            # Listeners on fixed ports, which two runs side by side would fight for.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # At its start it looks for containers of its own to remove; there is none of this run.
            "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
            **{f"AWS_ENDPOINT_URL_{name.upper()}": url for name, url in self._service_endpoints.items()},
        }

    def _is_ready(self) -> bool:
        self._process.check_alive()
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.url}/_ministack/health", timeout=2).ok
        except requests.RequestException:
            return False


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie too: it has ended, though its parent has not asked how."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def aws_environment(url: str) -> dict[str, str]:
    """Environment variables that send an AWS tool (the CDK, the aws command line) to the emulator there."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
