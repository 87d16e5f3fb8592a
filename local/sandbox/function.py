"""The sandbox as a Lambda function behind a URL (a function URL, or an HTTP API): the leads API of a stage.

Over the URL it answers what 7Targets answers. What steers the sandbox (server.py lists it) is for who may
invoke the function: {"method": "GET", "path": "leads"}, with a "body" where there is one.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Response

from local.sandbox.app import SandboxApp
from local.sandbox.dynamodb_store import DynamoDbStore, StoredFaults
from local.sandbox.tokens import OwnTokenEndpoint

_READ_SECRET_EVERY_S = 60
# A write whose answer is lost is written again, and then looks like a second request: hence the long wait.
_AWS = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})


class _Sandbox:
    """The sandbox of one execution environment."""

    def __init__(self) -> None:
        store = DynamoDbStore(boto3.client("dynamodb", config=_AWS), os.environ["TABLE"])
        self._secrets = boto3.client("secretsmanager", config=_AWS)
        self._tokens = OwnTokenEndpoint("", "", key=store.signing_key())
        self._app = SandboxApp(store, StoredFaults(store), self._tokens, "", threading.Event())
        self._secret_read_at = 0.0

    def answer(self, request: EnvironBuilder) -> Response:
        if request.path == "/oauth2/token" or time.time() > self._secret_read_at + _READ_SECRET_EVERY_S:
            self._read_secret()
        return Response(*run_wsgi_app(self._app.flask, request.get_environ(), buffered=True))

    def _read_secret(self) -> None:
        """The same credentials as the function that delivers the leads, also after a rotation."""
        answer = self._secrets.get_secret_value(SecretId=os.environ["SECRET_ID"])
        credentials = json.loads(answer["SecretString"])
        self._tokens.client_id, self._tokens.client_secret = (
            credentials["client_id"],
            credentials["client_secret"],
        )
        self._app.user_identifier = credentials["user_identifier"]
        self._secret_read_at = time.time()


_sandbox = lru_cache(_Sandbox)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers a request in payload format 2.0, or a control call."""
    if "requestContext" in event:
        return _answer_url(event)
    content = json.dumps(event["body"]) if "body" in event else None
    path, _, query = f"/_sandbox/{event['path']}".partition("?")
    request = EnvironBuilder(
        path=path, query_string=query, method=event["method"], data=content, content_type="application/json"
    )
    answer = _sandbox().answer(request)
    return {"status": answer.status_code, "body": json.loads(answer.get_data() or b"null")}


def _answer_url(event: dict[str, Any]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html"""
    path = event["rawPath"]
    if path.startswith("/_sandbox"):
        return {"statusCode": 404, "body": ""}
    content = event.get("body", "")
    request = EnvironBuilder(
        path=path,
        query_string=event.get("rawQueryString", ""),
        method=event["requestContext"]["http"]["method"],
        headers=event["headers"],
        data=base64.b64decode(content) if event.get("isBase64Encoded") else content.encode(),
    )
    answer = _sandbox().answer(request)
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    body = base64.b64encode(answer.get_data()).decode()
    return {"statusCode": answer.status_code, "headers": headers, "body": body, "isBase64Encoded": True}
