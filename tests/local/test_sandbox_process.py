"""What the sandbox remembers, and its life as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import requests

from local.stack.child_process import ChildFailedError
from local.stack.sandbox_process import SandboxProcess
from local.stack.waiting import wait_until
from tests.local.sandbox_caller import CLIENT, JOHN, Caller, caller_of

pytestmark = pytest.mark.shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


# What the sandbox remembers


def test_requests_are_recorded_in_order_without_credentials(api: Caller) -> None:
    """Each request with its operation, body, token id, answer and effect; never a secret or a token."""
    api.create(name="Jane")
    api.call("PUT", "/leads/stop/followup", JOHN)
    token, create, stop = api.control("requests")
    assert [r["operation"] for r in (token, create, stop)] == ["token", "create", "stop_followup"]
    assert (create["body"], create["email"]) == (JOHN | {"name": "Jane"}, JOHN["email"])
    assert (create["status"], create["effect"], stop["effect"]) == (201, "created", "stopped")
    assert token["jti"] == create["jti"]
    assert token["at"] <= create["at"] <= stop["at"]
    everything = api.call("GET", "/_sandbox/requests").text
    assert "secret-1" not in everything
    assert str(api.session.headers["Authorization"]).split(".")[2] not in everything
    assert api.control(f"requests?since={create['seq']}") == [stop]


def test_the_summary_counts_tokens_and_leads(api: Caller) -> None:
    """A create that was refused makes no lead."""
    api.log_in()
    api.create()
    api.create(email="")
    assert api.control("summary") == {"leads": 1, "created_again": 0, "tokens_fetched": 2}


def test_a_reset_forgets_leads_requests_revocations_and_faults(api: Caller) -> None:
    """Afterwards the sandbox is as new, and tokens it issued before are still good."""
    api.create()
    api.call("POST", "/_sandbox/revoke")
    api.script("any", {"kind": "cut_before"})
    api.call("POST", "/_sandbox/reset")
    assert (api.control("leads"), api.control("requests")) == ([], [])
    assert api.create().json()["id"] == 1


# The process


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The sandbox as a process of its own, and its URL."""
    command = [sys.executable, "-m", "local.sandbox", "--client-id", CLIENT[0], *arguments]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert found, line
            yield process, found[1]
        finally:
            process.kill()


def test_a_killed_sandbox_goes_on_where_it_was(tmp_path: Path) -> None:
    """Leads, requests and revocations survive SIGKILL; the same port can be taken again at once."""
    arguments = ("--client-secret", CLIENT[1], "--state", str(tmp_path / "state.db"))
    with running(*arguments) as (process, url), caller_of(url) as caller:
        caller.log_in()
        lead_id = caller.create().json()["id"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        with running(*arguments, "--port", url.rpartition(":")[2]) as (_, url_again):
            assert url_again == url
            caller.log_in()
            assert caller.update(name="Jon").json()["id"] == lead_id
            assert [r["operation"] for r in caller.control("requests")] == [
                "token",
                "create",
                "token",
                "update",
            ]


def test_only_a_sandbox_that_ended_by_itself_ends_the_run(tmp_path: Path) -> None:
    """One that was killed on purpose is an outage to watch; once it is started again, its end counts."""
    nowhere = "http://127.0.0.1:1"
    others = set(psutil.Process().children())

    def look() -> bool:
        sandbox.check_alive()
        return False

    with SandboxProcess(
        tmp_path, token_upstream=nowhere, jwks=nowhere, client_id="client", user_identifier="user"
    ) as sandbox:
        sandbox.check_alive()
        sandbox.kill()
        sandbox.check_alive()
        sandbox.start()
        sandbox.check_alive()
        [process] = set(psutil.Process().children()) - others
        process.kill()
        with pytest.raises(ChildFailedError, match=r"^sandbox-2 ended with status -9"):
            wait_until("the failure", look, timeout_s=60)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_sandbox_quietly(stop: signal.Signals) -> None:
    """Exit status 0 and nothing on stderr, even with an open connection and after a cut one."""
    with running("--client-secret", CLIENT[1]) as (process, url), caller_of(url) as caller:
        caller.script("token", {"kind": "cut_after"})
        with pytest.raises(requests.ConnectionError):
            caller.token()
        assert caller.control("leads") == []
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--client-secret"),
        (["--client-secret", "s", "--port", "70000"], "a port is a number from 0 to 65535"),
        (["--token-upstream", "http://127.0.0.1:1/oauth2/token"], "--token-upstream and --jwks go together"),
        (["--client-secret", "s", "--state", "/nowhere/state.db"], "can't use the state file"),
        (["--client-secret", "s", "--state", __file__], "can't use the state file"),
    ],
)
def test_a_wrong_command_line_gets_a_clear_message(arguments: list[str], message: str) -> None:
    """The message names what is wrong; there is no traceback."""
    command = [sys.executable, "-m", "local.sandbox", "--client-id", "c", *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
