"""The sandbox as a function, called as its URL calls it, on moto."""

from __future__ import annotations

import base64
import io
import itertools
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from moto import mock_aws
from requests.adapters import BaseAdapter

from local.sandbox import function
from local.sandbox.dynamodb_store import KIND, NAME
from local.sandbox.server import USER_IDENTIFIER
from tests.local.sandbox_caller import CLIENT, Caller, caller_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "sandbox"


class FunctionUrl(BaseAdapter):
    """Calls the sandbox's function as a function URL does, control calls as an operator does.

    Calls come one after another, each to another of some execution environments: moto is for one thread.
    """

    def __init__(self, environments: int) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.environment = itertools.cycle([function._Sandbox() for _ in range(environments)]).__next__

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        path, _mark, query = request.path_url.partition("?")
        body = request.body or b""
        content = body if isinstance(body, bytes) else body.encode()
        response = requests.Response()
        response.request = request
        with self._lock:
            if path.startswith("/_sandbox/"):
                call: dict[str, Any] = {
                    "method": request.method,
                    "path": request.path_url.removeprefix("/_sandbox/"),
                }
                answer = function.handler(call | ({"body": json.loads(content)} if content else {}), None)
                response.status_code, raw = answer["status"], json.dumps(answer["body"]).encode()
            else:
                event = url_event(str(request.method), path, dict(request.headers), content, query)
                answer = json.loads(json.dumps(function.handler(event, None)))
                response.status_code, raw = answer["statusCode"], base64.b64decode(answer["body"])
                response.headers.update(answer["headers"])
        response.raw = io.BytesIO(raw)
        return response

    def close(self) -> None:
        """Nothing is open."""


def url_event(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", query: str = ""
) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method, "path": path}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def function_caller() -> Iterator[Caller]:
    """A client of the sandbox as a function, in two execution environments, with its table and its secret."""
    with mock_aws(), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        secret = {"client_id": CLIENT[0], "client_secret": CLIENT[1], "user_identifier": USER_IDENTIFIER}
        boto3.client("secretsmanager").create_secret(Name="sandbox", SecretString=json.dumps(secret))
        create_table()
        monkeypatch.setenv("SECRET_ID", "sandbox")
        monkeypatch.setenv("TABLE", TABLE)
        url = FunctionUrl(2)
        monkeypatch.setattr(function, "_sandbox", url.environment)
        with caller_of("https://sandbox.test") as caller:
            caller.session.mount("https://sandbox.test", url)
            yield caller


def create_table() -> None:
    """The table of the stack's template (infra/sandbox_stack.py), empty."""
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": KIND, "KeyType": "HASH"},
            {"AttributeName": NAME, "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": KIND, "AttributeType": "S"},
            {"AttributeName": NAME, "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
