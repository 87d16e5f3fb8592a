"""A proxy between the function and the emulated AWS, for faults of the ledger and of the dead-letter queue.

    UpdateItem              throttled, or done and its answer dropped
    BatchExecuteStatement   the same, or all statements but one carried out
    SendMessage             refused with an internal failure

Everything else passes through as it is. A fault meets one request, or as many in a row (of the same lead, or
with the same message) as exhaust botocore's two tries. It is drawn from the seed, the lead and how often
that lead came by: not from the order in which threads happen to ask.
"""

import asyncio
import hashlib
import json
import random
import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

# One is healed by botocore, five are more than the tries of one attempt at a lead.
_RUN_LENGTHS = (1, 1, 5)
_BOTOCORE_TRIES = 2  # total_max_attempts in handler.py
_FAULTY_OPERATIONS = {"UpdateItem", "BatchExecuteStatement", "SendMessage"}
_LEDGER_FAULTS = {
    "UpdateItem": ("throttled", "dropped"),
    "BatchExecuteStatement": ("throttled", "dropped", "in part"),
}
_ERRORS = {
    "throttled": (
        "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "400 Bad Request",
    ),
    "refused": ("com.amazonaws.sqs#InternalFailure", "500 Internal Server Error"),
}
_LEAD_HASH = re.compile("[0-9a-f]{64}")
_LONGEST_HEAD_BYTES = 64 * 1024
_Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class _Message:
    """A request (with its `operation`) or an answer; `raw` is all of it as it came."""

    operation: str
    body: bytes
    raw: bytes


class AwsFaultProxy:
    """Starts when constructed; listens on `url` until `close`, in a thread of its own.

    `rates` maps an operation (`UpdateItem`, `BatchExecuteStatement`, `SendMessage`) to the share of requests
    at which a fault starts; it may be replaced at any time. `counts` are requests by what met them
    (`throttled`, `dropped`, `in part`, `refused`); `retries_exhausted` holds the ledger's
    partition keys for which botocore's two tries may all have failed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.rates: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.retries_exhausted: set[str] = set()
        self._seen: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._under_way: dict[str, tuple[str, int]] = {}
        self._upstream: tuple[str, int] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_HEAD_BYTES)
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._thread = threading.Thread(target=self._loop.run_forever, name="aws-fault-proxy")
        self._thread.start()

    def forward_to(self, url: str) -> None:
        """The emulated AWS; before this is called, connections are closed without an answer."""
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 80)

    def close(self) -> None:
        """Cuts all connections and ends the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the function, with one of the proxy's own to the emulator."""
        task = asyncio.current_task()
        if task:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        link: _Link | None = None
        try:
            while True:
                request = await _read(reader)
                fault = self._draw(request) if request.operation in _FAULTY_OPERATIONS else None
                if fault in _ERRORS:
                    writer.write(_error(fault))
                else:
                    # The emulator closes connections that idle; the function must not be the one to notice.
                    if link is None or link[0].at_eof():
                        link = await self._open_link(link)
                    link[1].write(_without_first_statement(request) if fault == "in part" else request.raw)
                    answer = await _read(link[0])
                    if fault == "dropped":
                        break
                    writer.write(_with_first_refused(answer) if fault == "in part" else answer.raw)
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # either side has gone, or the proxy is closing: the other side's connection is cut
        finally:
            writer.transport.abort()
            if link:
                link[1].transport.abort()

    async def _open_link(self, old: _Link | None) -> _Link:
        if old:
            old[1].transport.abort()
        if self._upstream is None:
            raise ConnectionError("the proxy does not know the emulator yet")
        return await asyncio.open_connection(*self._upstream)

    def _draw(self, request: _Message) -> str | None:
        """The fault that this request meets, None for none."""
        operation = request.operation
        leads, subject = _subject(request)
        fault, left = self._under_way.pop(subject, ("", 0)) if operation in self.rates else ("", 0)
        if not left:
            fault, left = self._start(operation, subject)
        if not left:
            del self._in_a_row[subject]
            return None
        if fault == "in part" and len(leads) == 1:
            fault = "throttled"  # a request without a statement is refused as a whole
        self.counts[fault] += 1
        self._in_a_row[subject] += 1
        if self._in_a_row[subject] >= _BOTOCORE_TRIES:
            self.retries_exhausted.update(leads)
        if left > 1:
            self._under_way[subject] = (fault, left - 1)
        return fault

    def _start(self, operation: str, subject: str) -> tuple[str, int]:
        """A fault and how many requests it meets, perhaps none."""
        self._seen[subject] += 1
        # A pseudo-random draw that doesn't depend on what other threads do.
        draws = random.Random(f"{self._seed} {subject} {self._seen[subject]}")  # noqa: S311 - guards nothing
        if draws.random() >= self.rates.get(operation, 0):
            return "", 0
        fault = "refused" if operation == "SendMessage" else draws.choice(_LEDGER_FAULTS[operation])
        return fault, 1 if fault == "in part" else draws.choice(_RUN_LENGTHS)


def _subject(request: _Message) -> tuple[set[str], str]:
    """The leads' partition keys (none for a message), and what a run of faults sticks to."""
    if request.operation == "SendMessage":
        return set(), hashlib.sha256(request.body).hexdigest()
    content = json.loads(request.body)
    if request.operation == "UpdateItem":
        lead = str(content["Key"]["lead"]["S"])
        return {lead}, lead
    leads = {
        parameter["S"]
        for statement in content["Statements"]
        for parameter in statement["Parameters"]
        if _LEAD_HASH.fullmatch(parameter.get("S", ""))
    }
    return leads, " ".join(sorted(leads))


def _without_first_statement(request: _Message) -> bytes:
    content = json.loads(request.body)
    return _with_body(request, {**content, "Statements": content["Statements"][1:]})


def _with_first_refused(answer: _Message) -> bytes:
    content = json.loads(answer.body)
    refused = {"Error": {"Code": "ThrottlingError", "Message": "made by the fault suite"}}
    return _with_body(answer, {**content, "Responses": [refused, *content["Responses"]]})


def _with_body(message: _Message, content: object) -> bytes:
    body = json.dumps(content).encode()
    head = message.raw.removesuffix(message.body)
    length = re.compile(rb"(?i)(content-length: *)\d+")
    checksums = re.compile(rb"(?i)x-amz-crc32:[^\r]*\r\n")
    return checksums.sub(b"", length.sub(rb"\g<1>%d" % len(body), head)) + body


def _error(fault: str) -> bytes:
    name, status = _ERRORS[fault]
    body = json.dumps({"__type": name, "message": "made by the fault suite"})
    headers = f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}".encode()


async def _read(reader: asyncio.StreamReader) -> _Message:
    """A whole HTTP request or answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise ConnectionError("neither botocore nor the emulator's JSON services send chunks")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Message(headers.get("x-amz-target", "").partition(".")[2], body, head + body)
