"""The other ends of what is measured: the leads API, its token endpoint and AWS, in one fast process.

    python -m bench.servers FOLDER

TLS with keep-alive, and each answer after a fixed time. It prints its ports and serves until its stdin ends,
so that it always ends with the process that started it. The leads API has a port for each latency, so no call
changes it.
"""

import asyncio
import json
import re
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from bench.certificates import write_certificates
from bench.dynamodb import Tables, UnknownOperationError
from bench.pinning import SERVER_CORE, pin

HOST = "127.0.0.1"
API_LATENCIES_MS = (0, 50, 200)
# DynamoDB's single-digit milliseconds. The secret and the token are answered as fast: they are asked for once
# in the life of an execution environment, and what is measured is the client.
AWS_LATENCY_MS = 5

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *(\S+)", re.IGNORECASE)
_SECRET = json.dumps({"client_id": "id", "client_secret": "secret", "user_identifier": "user"})

Respond = Callable[[bytes, bytes], tuple[int, object]]


class Connection(asyncio.Protocol):
    """One client's connection: HTTP/1.1 with bodies of a known length, one request after another."""

    def __init__(self, respond: Respond, latency_s: float) -> None:
        self._respond = respond
        self._latency_s = latency_s
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers, after the latency, each request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            status, answer = self._respond(head, body)
            content = json.dumps(answer).encode()
            sent = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
                status,
                len(content),
                content,
            )
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._transport.write, sent)
            else:
                self._transport.write(sent)


class LeadsApi:
    """Takes every lead, with the fields of the documented answer; a GET returns how many it took."""

    def __init__(self) -> None:
        self._taken = 0

    def respond(self, head: bytes, body: bytes) -> tuple[int, object]:
        """201 for a create, 200 for an update."""
        if head.startswith(b"GET"):
            return 200, self._taken
        self._taken += 1
        lead = json.loads(body)
        answer = {name: lead.get(name) for name in ("name", "lastName", "email", "phone", "scheduleName")}
        answer |= {"id": lead.get("id") or self._taken, "type": "SALES", "state": "Cold"}
        answer |= {"subState": "Followup", "followup": 1, "assistantId": 1, "scheduleId": 1}
        answer["nextScheduleTime"] = "2027-01-01T09:00:00+00:00"
        return (201 if head.startswith(b"POST") else 200), answer


class Aws:
    """DynamoDB, Secrets Manager's one call, and the token endpoint, which is Amazon Cognito's."""

    def __init__(self) -> None:
        self._tables = Tables()

    def respond(self, head: bytes, body: bytes) -> tuple[int, object]:
        """By the header that names the operation."""
        target = _TARGET.search(head)
        if target is None:
            return 200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
        service, _, operation = target[1].decode().partition(".")
        if service == "secretsmanager":
            return 200, {"ARN": "arn", "Name": "client-secret", "SecretString": _SECRET}
        try:
            return 200, self._tables.answer(operation, json.loads(body))
        except UnknownOperationError as error:
            what = f"the benchmark's stand-in doesn't know {error}"
            return 400, {"__type": "UnknownOperationException", "message": what}


async def serve(folder: Path) -> None:
    """Listens, prints the ports, returns when stdin ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(write_certificates(folder, HOST))
    loop = asyncio.get_running_loop()

    async def listen(respond: Respond, latency_ms: int) -> int:
        server = await loop.create_server(
            lambda: Connection(respond, latency_ms / 1000), HOST, 0, ssl=context, backlog=200
        )
        return int(server.sockets[0].getsockname()[1])

    api = LeadsApi()
    ports = {
        "aws": await listen(Aws().respond, AWS_LATENCY_MS),
        "api": {latency_ms: await listen(api.respond, latency_ms) for latency_ms in API_LATENCIES_MS},
    }
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


class NotTakenError(Exception):
    """The leads API got other leads than were sent, so what was measured means nothing."""


class Servers:
    """The process of the servers, as the measuring process sees it; runs until the end of the block.

    `leads_sent` counts the leads that clients were asked to send.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.leads_sent = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "bench.servers", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        ports: Any = json.loads(self._process.stdout.readline())
        self.aws_url = f"https://{HOST}:{ports['aws']}"
        self.api_urls = {int(ms): f"https://{HOST}:{port}" for ms, port in ports["api"].items()}
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its stdin

    def require_all_taken(self) -> None:
        """Raises `NotTakenError`, e.g. when the function took a lead for a duplicate."""
        context = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(self.api_urls[0], context=context) as answer:  # noqa: S310 - https
            taken = int(answer.read())
        if taken != self.leads_sent:
            raise NotTakenError(f"the leads API got {taken} leads, but {self.leads_sent} were to be sent")

    @property
    def ca(self) -> Path:
        """The certificate that a client has to trust."""
        return self._folder / "ca.pem"


if __name__ == "__main__":
    pin(SERVER_CORE)
    asyncio.run(serve(Path(sys.argv[1])))
