"""The one TLS context: all connections trust by it, AWS's too, and the roots are parsed once."""

import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import certifi
import pytest
from botocore import httpsession
from botocore.exceptions import SSLError

from deliver_leads.api.http_client import HttpClient
from deliver_leads.api.roots import share_with_aws, tls_context
from deliver_leads.aws_clients import client_config
from tests.integration.raw_server import certificate, serving

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 17\r\n\r\n" + (
    b'{"TableNames":[]}'
)
MakeClient = Callable[[int], Any]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The bundles of roots that are parsed; what is shared with AWS ends with the test."""
    bundles: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def count(context: ssl.SSLContext, cafile: Any = None, *more: Any, **named: Any) -> None:
        bundles.append(cafile)
        load(context, cafile, *more, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", count)
    monkeypatch.setattr(httpsession, "create_urllib3_context", httpsession.create_urllib3_context)
    return bundles


def dynamodb(port: int) -> Any:
    """A client as the handler makes it."""
    return boto3.Session().client(
        "dynamodb", endpoint_url=f"https://127.0.0.1:{port}", config=client_config(5, tries=1)
    )


def test_all_connections_of_an_environment_parse_the_roots_once(
    parsed: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the leads API and of each AWS client, side by side; urllib3 alone parses them for each."""
    server_context, pem = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setattr(certifi, "where", lambda: str(pem))
    context = tls_context()
    share_with_aws(context)
    http = HttpClient(5, 3, 30, context)
    with (
        serving(lambda stream: stream.sendall(ANSWER), server_context) as server,
        ThreadPoolExecutor(5) as pool,
    ):
        url, clients = f"https://127.0.0.1:{server.port}", [dynamodb(server.port) for _ in range(2)]
        answers = [
            pool.submit(http.send, "POST", url, lambda: 120.0, json={}),
            *(pool.submit(client.list_tables) for client in clients for _ in range(2)),
        ]
        assert answers[0].result().status_code == 200
        assert [answer.result()["TableNames"] for answer in answers[1:]] == [[]] * 4
        assert server.connections >= 3
    assert parsed == [str(pem)]


@pytest.mark.parametrize(("name", "is_trusted"), [("127.0.0.1", False), ("dynamodb.example.com", True)])
def test_an_aws_client_refuses_a_server_that_is_not_trusted_or_not_the_one_that_was_meant(
    parsed: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_trusted: bool
) -> None:
    """Sharing the context takes nothing away from what botocore checks."""
    server_context, pem = certificate(tmp_path, name)
    if is_trusted:
        monkeypatch.setattr(certifi, "where", lambda: str(pem))
    share_with_aws(tls_context())
    with serving(lambda stream: stream.sendall(ANSWER), server_context) as server:
        with pytest.raises(SSLError):
            dynamodb(server.port).list_tables()
        assert server.heads == []
