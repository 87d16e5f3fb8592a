"""A leads API that drips, floods or sends bombs, met by the bundle under AWS's own runtime client.

Such an answer may not outlive the invocation, because a function that is killed answers for none of its
batch; nor may it fill the memory, which has the same effect.
"""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any, Self

import boto3
import psutil
import pytest

from sim.settings import ENVIRONMENT
from tests.infra.aws_server import aws_server
from tests.infra.execution_environment import environment, running
from tests.infra.runtime_api import RuntimeApi
from tests.ledger_table import create_ledger_table

pytestmark = pytest.mark.shipped

# Calls and the reserve fit well into an invocation; the good leads fit into them on a busy machine too.
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 4
# A flood and a bomb end by their size, so a time-out that a busy machine could reach would only hide that.
READ_TIMEOUT_OF_LARGE_ANSWERS_S = 10
# Before the bounds, the bomb took 830 MiB and the flood 2,800.
MOST_MEMORY_BYTES = 150 * 1024 * 1024

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Grants tokens and takes leads; a test may set other answers."""

    protocol_version = "HTTP/1.1"
    server: "HostileApi"

    def do_POST(self) -> None:
        """A token, or a lead."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/oauth2/token":
            if self.server.answer_token is not None:
                self.server.answer_token(self)
            else:
                self.answer(200, {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})
            return
        lead = json.loads(body)
        self.server.asked.append(lead["email"])
        if lead["email"].startswith("odd"):
            self.server.answer_odd(self)
        else:
            self.answer(201, lead | {"id": len(self.server.asked)})

    do_PUT = do_POST  # noqa: N815 - the base class's name

    def answer(self, status: int, body: object) -> None:
        """A whole answer."""
        content = json.dumps(body).encode()
        self.wfile.write(f"HTTP/1.1 {status} OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class HostileApi(ThreadingHTTPServer):
    """The leads API and the token endpoint; leads at `odd…` are answered by `answer_odd`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.answer_odd: Answer = lambda _: None
        self.answer_token: Answer | None = None

    @property
    def url(self) -> str:
        """The address of both, API and token endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Nothing: clients that leave are what this is about."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def send(start: bytes, pieces: Iterator[bytes], pause_s: float = 0) -> Answer:
    """Sends the start, then each piece after a pause, until the client leaves."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(start)
        for piece in pieces:
            handler.wfile.write(piece)
            time.sleep(pause_s)

    return answer


HEAD = b"HTTP/1.1 201 Created\r\n"


def dripping_head() -> Answer:
    """One byte a second."""
    return send(HEAD + b"X: ", repeat(b"x"), pause_s=1)


def dripping_body() -> Answer:
    """One byte a second."""
    return send(HEAD + b"Content-Length: 1000\r\n\r\n", repeat(b" "), pause_s=1)


def flood() -> Answer:
    """1 GB."""
    return send(HEAD + b"Content-Length: 1000000000\r\n\r\n", repeat(bytes(1_000_000), 1000))


def bomb() -> Answer:
    """300 kB that unpack to 300 MB."""
    packed = gzip.compress(bytes(300_000_000))
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    return send(HEAD + head, iter([packed]))


class Stack:
    """The queue, the ledger and the secret on moto, and an execution environment between them and the API."""

    def __init__(self, aws_url: str, api: HostileApi, runtime: RuntimeApi) -> None:
        self._runtime = runtime
        self._sqs = boto3.client("sqs", endpoint_url=aws_url)
        self.queue_url = self._sqs.create_queue(QueueName="leads")["QueueUrl"]
        self.dead_letter_queue_url = self._sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        create_ledger_table(boto3.client("dynamodb", endpoint_url=aws_url))
        secret = {"client_id": "id", "client_secret": "secret", "user_identifier": "user"}
        boto3.client("secretsmanager", endpoint_url=aws_url).create_secret(
            Name=ENVIRONMENT["SECRET_ID"], SecretString=json.dumps(secret)
        )
        self.settings = {
            "AWS_ENDPOINT_URL": aws_url,
            "LEADS_API_URL": api.url,
            "TOKEN_URL": f"{api.url}/oauth2/token",
            "LEAD_QUEUE_URL": self.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.dead_letter_queue_url,
            "CONNECT_TIMEOUT_S": str(CONNECT_TIMEOUT_S),
            "READ_TIMEOUT_S": str(READ_TIMEOUT_S),
        }

    def publish(self, *emails: str) -> list[dict[str, Any]]:
        """A create for each address, as records of one batch."""
        for email in emails:
            lead = {"name": "Jane", "email": email, "assistantEmail": "sam@example.net"}
            body = json.dumps({"operation": "create", "lead": lead})
            self._sqs.send_message(QueueUrl=self.queue_url, MessageBody=body)
        answer = self._sqs.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        assert len(answer["Messages"]) == len(emails)
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message["Attributes"]),
                "messageAttributes": {},
            }
            for message in answer["Messages"]
        ]

    def invoke(self, records: list[dict[str, Any]]) -> set[str]:
        """One invocation, which must end before its deadline; the addresses that stay in the queue."""
        path, response = self._runtime.invoke({"Records": records})
        assert path == "/invocation/request-1/response"
        failed = {item["itemIdentifier"] for item in response["batchItemFailures"]}
        return {
            json.loads(record["body"])["lead"]["email"] for record in records if record["messageId"] in failed
        }


@contextmanager
def little_memory(process_id: int) -> Iterator[None]:
    """Fails when the process grows much at any time."""
    process = psutil.Process(process_id)
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert peak - before < MOST_MEMORY_BYTES


@pytest.fixture
def leads_api() -> Iterator[HostileApi]:
    """An API that behaves until a test says otherwise."""
    with HostileApi() as running_api:
        yield running_api


@pytest.fixture
def stack(leads_api: HostileApi, api: RuntimeApi) -> Iterator[Stack]:
    """One stack for each test."""
    with aws_server() as url:
        yield Stack(url, leads_api, api)


def settings_for(stack: Stack, hostile: Callable[[], Answer]) -> dict[str, str]:
    """The stack's, with the time that the answer is to need."""
    if hostile in {flood, bomb}:
        return {**stack.settings, "READ_TIMEOUT_S": str(READ_TIMEOUT_OF_LARGE_ANSWERS_S)}
    return stack.settings


GOOD = ["ann@example.com", "ben@example.com", "cem@example.com"]


@pytest.mark.parametrize("hostile", [dripping_head, dripping_body, flood, bomb])
def test_an_odd_answer_ends_in_time_and_memory_and_harms_no_other_lead_of_the_batch(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    hostile: Callable[[], Answer],
) -> None:
    """It counts as a lost answer: that lead alone comes back."""
    leads_api.answer_odd = hostile()
    with running(clean_python, environment(bundle, api, **settings_for(stack, hostile))) as process_id:
        assert stack.invoke(stack.publish("warm@example.com")) == set()
        records = stack.publish(GOOD[0], "odd1@example.com", "odd2@example.com", *GOOD[1:])
        with little_memory(process_id):
            assert stack.invoke(records) == {"odd1@example.com", "odd2@example.com"}
    assert sorted(leads_api.asked[1:]) == [*GOOD, "odd1@example.com", "odd2@example.com"]


@pytest.mark.parametrize("hostile", [dripping_head, dripping_body, flood, bomb])
def test_an_odd_answer_of_the_token_endpoint_ends_in_time_and_memory_and_loses_nothing(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    hostile: Callable[[], Answer],
) -> None:
    """Without a token no lead is sent; when the endpoint is well again, all are."""
    with running(clean_python, environment(bundle, api, **settings_for(stack, hostile))) as process_id:
        assert stack.invoke([]) == set()
        records = stack.publish(*GOOD)
        leads_api.answer_token = hostile()
        with little_memory(process_id):
            assert stack.invoke(records) == set(GOOD)
        assert leads_api.asked == []
        leads_api.answer_token = None
        assert stack.invoke(records) == set()
    assert sorted(leads_api.asked) == GOOD
