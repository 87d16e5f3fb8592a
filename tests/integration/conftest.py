"""The handler with everything around it: moto's AWS and the leads API sandbox over real HTTP."""

import functools
import importlib
import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from boto3.dynamodb.types import TypeDeserializer
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient
from mypy_boto3_sqs import SQSClient

from deliver_leads import pace
from deliver_leads.api import roots
from deliver_leads.pace import Pace
from local.sandbox.server import LeadsApiSandbox
from sim.settings import ENVIRONMENT
from tests.integration.simulated_queue import (
    REAL_CLOCK,
    SimulatedQueue,
    before_aws_calls,
    follow_clock,
    keep_quotas,
)
from tests.ledger_table import create_ledger_table
from tests.shared_session import shared_session

SECRET = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "user_identifier": "ops@example.com",
}


@dataclass
class Context:
    """Lambda's context object, with a time budget that a test sets."""

    remaining_s: float = 120.0
    function_name: str = "deliver-leads"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:deliver-leads"
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.remaining_s * 1000)


@dataclass
class Pipeline:
    """The lead queue, the function behind it and the API beyond; a test plays the event source mapping."""

    handler: Any
    sandbox: LeadsApiSandbox
    sqs: SQSClient
    secrets: SecretsManagerClient
    dynamodb: DynamoDBClient
    lead_queue_url: str
    dead_letter_queue_url: str
    log: io.StringIO
    at_end: ExitStack
    context: Context = field(default_factory=Context)
    passed_s: float = 0.0
    passed_when_sent: dict[str, float] = field(default_factory=dict)

    def send(self, body: object, **more: Any) -> str:
        """Publishes a message (an object as JSON); returns its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        sent = self.sqs.send_message(QueueUrl=self.lead_queue_url, MessageBody=text, **more)["MessageId"]
        self.passed_when_sent[sent] = self.passed_s
        return sent

    def receive(self) -> list[dict[str, Any]]:
        """The next batch, as the event source mapping hands it to the function."""
        answer = self.sqs.receive_message(
            QueueUrl=self.lead_queue_url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {
                    **message["Attributes"],
                    "SentTimestamp": str(
                        int(message["Attributes"]["SentTimestamp"])
                        + int(self.passed_when_sent.get(message["MessageId"], 0) * 1000)
                    ),
                },
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"], "dataType": "String"}
                    for name, value in message.get("MessageAttributes", {}).items()
                },
            }
            for message in answer.get("Messages", [])
        ]

    def pass_time(self, seconds: float) -> None:
        """The function's clock goes on; messages get older, too."""
        self.passed_s += seconds

    def settle(self) -> None:
        """Waits until a request without an answer can't take effect any more."""
        self.pass_time(int(os.environ["SETTLING_S"]) + 1)

    def deliver(self, records: list[dict[str, Any]] | None = None) -> set[str]:
        """One invocation; deletes what it doesn't report as failed, returns the ids that it does."""
        batch = self.receive() if records is None else records
        failed = self.invoke(batch)
        for record in batch:
            if record["messageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.lead_queue_url, ReceiptHandle=record["receiptHandle"])
        return failed

    def invoke(self, records: list[dict[str, Any]]) -> set[str]:
        """One invocation; returns the ids of the batch item failures."""
        response = self.handler({"Records": records}, self.context)
        return {item["itemIdentifier"] for item in response["batchItemFailures"]}

    def bring_back(self, records: list[dict[str, Any]], aged_s: float = 0) -> list[dict[str, Any]]:
        """The same messages at their next receive, as if older: no test waits for a delay."""
        again = json.loads(json.dumps(records))
        for record in again:
            attributes = record["attributes"]
            attributes["ApproximateReceiveCount"] = str(int(attributes["ApproximateReceiveCount"]) + 1)
            attributes["SentTimestamp"] = str(int(attributes["SentTimestamp"]) - int(aged_s * 1000))
        return list(again)

    def dead_letters(self) -> list[dict[str, Any]]:
        """What is parked: body and attributes."""
        answer = self.sqs.receive_message(
            QueueUrl=self.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=0,
        )
        return [
            {
                "body": message["Body"],
                **{
                    name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()
                },
            }
            for message in answer.get("Messages", [])
        ]

    def ask_sandbox(self, what: str) -> Any:
        """A control call's JSON: requests, leads or summary."""
        return requests.get(f"{self.sandbox.url}/_sandbox/{what}", timeout=10).json()

    def leads(self) -> dict[str, dict[str, Any]]:
        """The leads that the API holds, by e-mail address."""
        return {lead["email"]: lead for lead in self.ask_sandbox("leads")}

    def calls(self) -> list[tuple[str, int | None]]:
        """Every leads call that arrived: operation and the status answered (None: no answer)."""
        return [
            (r["operation"], r["status"]) for r in self.ask_sandbox("requests") if r["operation"] != "token"
        ]

    def fail(self, *rules: dict[str, Any]) -> None:
        """The faults that the sandbox commits from now on."""
        requests.put(f"{self.sandbox.url}/_sandbox/faults", json=list(rules), timeout=10).raise_for_status()

    def revoke_tokens(self) -> None:
        """Every token issued until now is refused."""
        requests.post(f"{self.sandbox.url}/_sandbox/revoke", timeout=10).raise_for_status()

    def redrive(self) -> list[dict[str, Any]]:
        """Moves what is parked back to the lead queue, as SQS does, and receives it."""
        answer = self.sqs.receive_message(
            QueueUrl=self.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for letter in answer.get("Messages", []):
            self.send(letter["Body"], MessageAttributes=letter["MessageAttributes"])
            # No purge, because SQS allows one in 60 s.
            self.sqs.delete_message(
                QueueUrl=self.dead_letter_queue_url, ReceiptHandle=letter["ReceiptHandle"]
            )
        return self.bring_back(self.receive())

    def bodies(self, operation: str) -> list[dict[str, Any]]:
        """The lead in every call of this operation that arrived."""
        return [r["body"] for r in self.ask_sandbox("requests") if r["operation"] == operation]

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's items, one for each lead."""
        read = TypeDeserializer().deserialize
        items = self.dynamodb.scan(TableName="ledger")["Items"]
        plain = [{name: read(value) for name, value in item.items()} for item in items]
        return [item for item in plain if item["event"] == "#lead"]

    def states(self) -> list[tuple[str, str]]:
        """Operation and state of every event that the ledger knows, after its claims."""
        return [(event["operation"], event["state"]) for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        """Every event that the ledger knows, after its claims."""
        return [
            event
            for item in self.ledger()
            for event in (*item.get("openEvents", ()), *item.get("shownEvents", ()))
        ]


# Parsing the roots of trust takes longer than a delivery, and the sandbox speaks plain HTTP.
shared_tls_context = functools.cache(roots.tls_context)


@pytest.fixture
def sandbox() -> Iterator[LeadsApiSandbox]:
    """A leads API of the test's own."""
    with LeadsApiSandbox() as running:
        yield running


@pytest.fixture
def settings() -> dict[str, str]:
    """What a test class changes in the function's environment."""
    return {}


@pytest.fixture
def pipeline(
    sandbox: LeadsApiSandbox, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A cold execution environment on moto and the sandbox."""
    with mock_aws(config={"core": {"passthrough": {"urls": [f"{sandbox.url}/.*"]}}}), ExitStack() as at_end:
        session = shared_session()
        monkeypatch.setattr(boto3, "Session", lambda: session)
        monkeypatch.setattr(roots, "tls_context", shared_tls_context)
        sqs, secrets = session.client("sqs"), session.client("secretsmanager")
        dynamodb = session.client("dynamodb")
        secrets.create_secret(Name="client-secret", SecretString=json.dumps(SECRET))
        create_ledger_table(dynamodb)
        lead_queue_url = sqs.create_queue(QueueName="leads", Attributes={"VisibilityTimeout": "900"})[
            "QueueUrl"
        ]
        dead_letter_queue_url = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        own = {
            "LEADS_API_URL": sandbox.url,
            "TOKEN_URL": sandbox.token_url,
            "LEAD_QUEUE_URL": lead_queue_url,
            "DEAD_LETTER_QUEUE_URL": dead_letter_queue_url,
            "POWERTOOLS_SERVICE_NAME": "deliver-leads",
            "POWERTOOLS_METRICS_NAMESPACE": "SevenTargets/LeadDelivery",
        }
        for name, value in (ENVIRONMENT | own | settings).items():
            monkeypatch.setitem(os.environ, name, value)
        # No test waits for a turn.
        monkeypatch.setattr(
            pace, "Pace", lambda most: Pace(most, lambda: time.time(), lambda s: running.pass_time(s))
        )
        module = importlib.reload(importlib.import_module("deliver_leads.handler"))
        log = io.StringIO()
        module.logger.registered_handler.setStream(log)
        queues = lead_queue_url, dead_letter_queue_url
        running = Pipeline(module.handler, sandbox, sqs, secrets, dynamodb, *queues, log, at_end)
        real_time = time.time
        monkeypatch.setattr(time, "time", lambda: real_time() + running.passed_s)
        yield running


@pytest.fixture
def queue(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> SimulatedQueue:
    """The pipeline's lead queue in simulated time, which all of the function's clocks follow."""
    simulated = SimulatedQueue(pipeline)
    follow_clock(vars(importlib.import_module("deliver_leads.handler")))
    # PyJWT, which checks the sandbox's tokens, goes by Python's own clock.
    monkeypatch.setattr("local.sandbox.tokens.time", SimpleNamespace(time=REAL_CLOCK))

    def set_delays(service: str, operation: str, request: Any) -> dict[str, Any] | None:
        if operation != "ChangeMessageVisibilityBatch":
            return None
        for entry in request["Entries"]:
            simulated.set_delay(entry["ReceiptHandle"], entry["VisibilityTimeout"])
        return {"Successful": [], "Failed": []}

    before_aws_calls(monkeypatch, set_delays)
    return simulated


@pytest.fixture
def aws_quotas(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's, for the size of an item, an expression and a statement."""
    keep_quotas(monkeypatch)
