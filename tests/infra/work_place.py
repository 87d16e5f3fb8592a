"""What an execution environment works with: AWS on moto, and a leads API that a test may make odd."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import boto3

from sim.settings import ENVIRONMENT
from tests.infra.runtime_api import RuntimeApi
from tests.ledger_table import create_ledger_table

# Calls and the reserve fit well into an invocation; the good leads fit into them on a busy machine too.
CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 4
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
