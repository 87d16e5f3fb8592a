"""A deployed stage on moto's AWS, and leadctl called as a person calls it."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import boto3
import botocore.handlers
import pytest
from botocore.awsrequest import AWSResponse, HTTPHeaders
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result
from moto import mock_aws

from deliver_leads.dead_letters import DeadLetterQueue
from deliver_leads.event.message import Message
from deliver_leads.ledger import Ledger
from deliver_leads.outcome import DeliveryError, RejectedError
from deliver_leads.settings import Settings
from leadctl.cli import cli
from sim.settings import ENVIRONMENT
from tests.ledger_table import TABLE, create_ledger_table
from tests.shared_session import SharedSession, shared_session

ACCOUNT, REGION = "123456789012", "us-east-1"
LOG_GROUP = "/lead-delivery/dev"
MAPPING_ID = "11111111-2222-3333-4444-555555555555"


@dataclass
class Mapping:
    """The event source mapping, which moto has without its tags."""

    state: str = "Enabled"
    tags: dict[str, str] = field(default_factory=dict)

    def get(self, _: dict[str, Any]) -> dict[str, Any]:
        """GetEventSourceMapping."""
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{MAPPING_ID}"
        return {"State": self.state, "EventSourceMappingArn": arn}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateEventSourceMapping."""
        self.state = "Enabled" if json.loads(params["body"])["Enabled"] else "Disabled"
        return self.get(params)

    def tag(self, params: dict[str, Any]) -> dict[str, Any]:
        """TagResource."""
        self.tags |= json.loads(params["body"])["Tags"]
        return {}

    def untag(self, params: dict[str, Any]) -> dict[str, Any]:
        """UntagResource."""
        for name in params["query_string"]["tagKeys"]:
            self.tags.pop(name, None)
        return {}


@dataclass
class Stage:
    """One stage's resources, and what the tests do to AWS: stacks that are there, operations that fail."""

    outputs: dict[str, str]
    function_settings: dict[str, str]
    stacks: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    current: ClassVar["Stage"]
    mapping: Mapping = field(default_factory=Mapping)

    def __post_init__(self) -> None:
        self.stacks["LeadDelivery-dev"] = self.outputs
        self.answers |= {
            "GetFunctionConfiguration": lambda _: {
                "LastModified": "2026-11-01T10:00:00.000+0000",
                "Runtime": "python3.13",
                "CodeSha256": "abc",
                "State": "Active",
                "LastUpdateStatus": "Successful",
                "Environment": {"Variables": self.function_settings},
            },
            "GetEventSourceMapping": self.mapping.get,
            "UpdateEventSourceMapping": self.mapping.update,
            "ListTags": lambda _: {"Tags": self.mapping.tags},
            "TagResource": self.mapping.tag,
            "UntagResource": self.mapping.untag,
        }
        self.sqs = shared_session().client("sqs")
        self.dynamodb = shared_session().client("dynamodb")
        self.ledger = Ledger(self.dynamodb, Settings.from_environment(ENVIRONMENT))

    def hook(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Stands between leadctl and moto: notes each call, fails it, or answers it."""
        operation = model.name
        self.calls.append((operation, params))
        if operation in self.before:
            self.before[operation]()
        if operation in self.failures:
            code = self.failures[operation]
            raise ClientError({"Error": {"Code": code, "Message": "as the test wants it"}}, operation)
        if operation in self.answers:
            answer = self.answers[operation](params)
            return AWSResponse("", 429 if "Error" in answer else 200, HTTPHeaders(), None), answer
        if operation == "DescribeStacks":
            return AWSResponse("", 200, HTTPHeaders(), None), {"Stacks": self._described(params)}
        return None

    def _described(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        body = params.get("body") or {}
        name = body.get("StackName")
        if name and name not in self.stacks:
            message = f"Stack with id {name} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        return [
            {
                "StackName": each,
                "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{each}/1",
                "StackStatus": "CREATE_COMPLETE",
                "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
            }
            for each, outputs in self.stacks.items()
            if name in {None, each}
        ]

    def operations(self) -> list[str]:
        """The names of the AWS calls so far."""
        return [name for name, _ in self.calls]

    def run(self, *words: str, stdin: str | None = None) -> Result:
        """Calls leadctl; in the result, stdout and stderr are apart."""
        self.calls.clear()
        return CliRunner().invoke(cli, list(words), input=stdin, prog_name="leadctl", catch_exceptions=False)

    def park(
        self,
        body: object,
        error: DeliveryError | None = None,
        *,
        message_id: str = "message-1",
        event_id: str = "",
        sent_s: float = 1_795_000_000,
    ) -> None:
        """Parks a message as the function does."""
        text = body if isinstance(body, str) else json.dumps(body)
        why = error or RejectedError(
            "answered 422", detail="answered 422: on the suppression list", status=422
        )
        message = Message(
            message_id, "receipt", text, 1, int(sent_s * 1000), parked_event_id=event_id or None
        )
        DeadLetterQueue(self.sqs, self.outputs["DeadLetterQueueUrl"]).park(
            message, event_id or message_id, why.outcome, why
        )

    def send(self, output: str, body: object, **more: Any) -> str:
        """Puts a message (an object as JSON) into a queue; returns its id."""
        text = body if isinstance(body, str) else json.dumps(body)
        sent = self.sqs.send_message(QueueUrl=self.outputs[output], MessageBody=text, **more)
        return str(sent["MessageId"])

    def take(self, output: str = "LeadQueueUrl") -> list[dict[str, Any]]:
        """All messages of a queue that can be received now; they are gone then."""
        taken: list[dict[str, Any]] = []
        url = self.outputs[output]
        while batch := self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            for message in batch:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken += [dict(message) for message in batch]
        return taken


def _stand_between(**call: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
    """The hook of the test that runs now, because clients outlive a test."""
    return Stage.current.hook(**call)


leadctls_session = functools.cache(SharedSession)


def _create() -> Stage:
    client = shared_session().client
    sqs = client("sqs")
    create_ledger_table(client("dynamodb"))
    client("logs").create_log_group(logGroupName=LOG_GROUP)
    secret = client("secretsmanager").create_secret(
        Name="credentials",
        SecretString=json.dumps(
            dict.fromkeys(("client_id", "client_secret", "user_identifier"), "REPLACE_ME")
        ),
    )["ARN"]

    outputs = {
        "LeadQueueUrl": sqs.create_queue(QueueName="leads")["QueueUrl"],
        "DeadLetterQueueUrl": sqs.create_queue(QueueName="parked")["QueueUrl"],
        "RuleDeadLetterQueueUrl": sqs.create_queue(QueueName="undelivered")["QueueUrl"],
        "EventBusName": "LeadDelivery-dev",
        "EventRuleName": "leads",
        "FunctionName": "deliver-leads",
        "LogGroupName": LOG_GROUP,
        "SecretName": secret,
        "LedgerTableName": TABLE,
        "EventSourceMappingId": MAPPING_ID,
        "OperatorPolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/operators",
    }
    return Stage(
        outputs, {"LEAD_DEFAULTS": "{}", "EVENT_SOURCES": "[]", "TOKEN_URL": "http://127.0.0.1:9/token"}
    )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """A stage; the current directory is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEADCTL_STAGE", raising=False)
    with mock_aws():
        made = _create()
        monkeypatch.setattr(Stage, "current", made, raising=False)
        handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-call", _stand_between)]
        monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
        real = boto3.Session
        monkeypatch.setattr(
            boto3,
            "Session",
            lambda **given: (real if "botocore_session" in given else leadctls_session)(**given),
        )
        yield made
