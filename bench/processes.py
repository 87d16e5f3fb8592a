"""Processes that are measured, as the measuring process sees them; and a share of a CPU for them."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from bench.pinning import CLIENT_CORE, pin
from bench.servers import Servers
from sim.settings import lambda_environment

_CHILD = Path(__file__).with_name("child.py")


class ChildFailedError(Exception):
    """The process ended, or didn't deliver its leads; then what was measured means nothing."""


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    wall_ms: float
    cpu_ms: float


def environment(servers: Servers, packages: Path, api_url: str, threads: int) -> dict[str, str]:
    """Lambda's own variables, and the stack's with `threads` parallel calls."""
    return {
        **lambda_environment(packages),
        "AWS_ENDPOINT_URL": servers.aws_url,
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "LEADS_API_URL": api_url,
        "TOKEN_URL": f"{servers.aws_url}/oauth2/token",
        "LEDGER_TABLE": "ledger",
        "PARALLEL_CALLS": str(threads),
    }


class Child:
    """Runs bench/child.py until the end of the block; `start` is what it took until it was ready."""

    def __init__(
        self,
        python: Path,
        what: str,
        servers: Servers,
        environment: Mapping[str, str],
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        """`enter` is called in the process before it begins."""

        def begin() -> None:
            pin(CLIENT_CORE)
            enter()

        self._servers = servers
        started = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            [str(python), "-P", "-B", str(_CHILD), what, str(servers.ca)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=begin,
        )
        self.memory_mib = 0.0
        ready = self._read()
        self.start = Sample((ready["ready_at"] - started) * 1000, ready["cpu_ms"])

    def run(self, **command: Any) -> Sample:  # noqa: ANN401 - JSON
        """Carries out one command; `memory_mib` is then what the process holds after it.

        Raises `ChildFailedError` if a lead was not delivered.
        """
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._read()
        if answer["failed"]:
            raise ChildFailedError(
                f"{answer['failed']:g} leads were not delivered: is this machine busy with something else?"
            )
        self._servers.leads_sent += len(command.get("leads") or command["records"])
        self.memory_mib = psutil.Process(self._process.pid).memory_info().rss / 2**20
        return Sample(answer["wall_ms"], answer["cpu_ms"])

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailedError(f"the process ended with status {self._process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its stdin, at which it ends


class NoShareError(Exception):
    """This machine can't give a process a share of a CPU; the text says why."""


class CpuShare:
    """A control group whose processes together get this share of one CPU, as Lambda gives by memory size.

    Needs root, or a control group that was handed to this user. Raises `NoShareError`.
    """

    # Time is given out in slices of this length; Lambda's is not documented.
    _PERIOD_US = 20_000

    def __init__(self, share: float) -> None:
        quota = round(share * self._PERIOD_US)
        attempts = (
            ("/sys/fs/cgroup", {"cpu.max": f"{quota} {self._PERIOD_US}"}),
            ("/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": self._PERIOD_US, "cpu.cfs_quota_us": quota}),
        )
        problems = []
        for root, files in attempts:
            self._group = Path(root, f"lead-delivery-bench-{os.getpid()}")
            try:
                self._group.mkdir()
                for name, value in files.items():
                    # Not created: a folder that is no control group takes any file.
                    with (self._group / name).open("r+") as file:
                        file.write(str(value))
            except OSError as error:
                problems.append(f"{error.filename}: {error.strerror}")
                self.close()
            else:
                return
        raise NoShareError("no control group for a share of a CPU (" + "; ".join(problems) + ")")

    def enter(self) -> None:
        """Puts this process into it."""
        with (self._group / "cgroup.procs").open("r+") as file:
            file.write(str(os.getpid()))

    def close(self) -> None:
        """Removes it; its processes have ended."""
        with contextlib.suppress(OSError):
            self._group.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
