"""The leads API sandbox as a process of its own, and its control calls."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests

from local.stack.child_process import ChildProcess
from local.stack.waiting import wait_until

_START_TIMEOUT_S = 60.0
# All that ten thousand leads have sent takes a busy machine long.
_CALL_TIMEOUT_S = 120.0


class SandboxProcess:
    """Starts when constructed, runs until `close`; `kill` and `start` keep the port and everything it holds.

    `client_ids` are the clients whose tokens it takes; a change counts from the next `start`. Without `port`
    it takes a free one, without `state` (a folder) its state is in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token_upstream: str,
        jwks: str,
        client_id: str,
        user_identifier: str,
        seed: int = 0,
        port: int = 0,
        state: Path | None = None,
    ) -> None:
        self._folder = folder
        self._options = {
            "--state": str((state or folder) / "sandbox.sqlite"),
            "--token-upstream": token_upstream,
            "--jwks": jwks,
            "--user-identifier": user_identifier,
            "--seed": str(seed),
        }
        self.client_ids = [client_id]
        self._session = requests.Session()
        self._session.trust_env = False
        self._starts = 0
        self._is_stopped = False
        self._port = port
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts it, after a `kill` on the same port with the same state."""
        self._starts += 1
        clients = [("--client-id", client_id) for client_id in self.client_ids]
        words = [word for option in (*self._options.items(), *clients) for word in option]
        self._process = ChildProcess(
            [sys.executable, "-m", "local.sandbox", "--port", str(self._port), *words],
            environment=dict(os.environ),
            log=self._folder / f"sandbox-{self._starts}.log",
        )
        self._is_stopped = False
        try:
            wait_until("the sandbox's start", self._is_listening, timeout_s=_START_TIMEOUT_S)
        except BaseException:
            self.kill()
            raise

    def check_alive(self) -> None:
        """Raises `ChildFailedError` if it has ended by itself: after a `kill` it is meant to be away."""
        if not self._is_stopped:
            self._process.check_alive()

    def kill(self) -> None:
        """SIGKILL: connections break, requests under way get no answer. Does no harm twice."""
        # First, because another thread may look at the process meanwhile.
        self._is_stopped = True
        self._process.kill()

    def close(self) -> None:
        self.kill()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Every leads and token request received after the one with the `seq` `since`, in order of effect."""
        return list(self._call("GET", "requests", params={"since": since}))

    def leads(self) -> dict[str, dict[str, Any]]:
        """The leads it holds, by e-mail address in lower case."""
        return {lead["email"].lower(): lead for lead in self._call("GET", "leads")}

    def add_leads(self, leads: Sequence[Mapping[str, Any]]) -> None:
        """Adds leads that 7Targets holds already, before any event: each has the fields of a create."""
        self._call("POST", "leads", json=list(leads))

    def add_assistants(self, emails: Sequence[str]) -> None:
        """Adds assistants to those that the user is assigned to."""
        self._call("POST", "assistants", json=list(emails))

    def summary(self) -> dict[str, Any]:
        return dict(self._call("GET", "summary"))

    def held(self) -> dict[int, str]:
        """The operations of the requests that it delays now, by the port of the client's connection."""
        return {int(port): operation for port, operation in self._call("GET", "held").items()}

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replaces the faults it commits; local/sandbox/faults.py describes a rule."""
        self._call("PUT", "faults", json=list(rules))

    def revoke_tokens(self) -> None:
        """Every token issued until now is refused from now on."""
        self._call("POST", "revoke")

    def reset(self) -> None:
        """Forgets leads, requests and faults."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - whatever JSON it answers
        answer = self._session.request(
            method, f"{self.url}/_sandbox/{path}", timeout=_CALL_TIMEOUT_S, **arguments
        )
        answer.raise_for_status()
        return answer.json()

    def _is_listening(self) -> bool:
        self._process.check_alive()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", self._process.output())
        if found:
            self._port = int(found[1])
        return found is not None
