"""The HTTP client behind an egress proxy: what a failed way out means for a request."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deliver_leads.api.http_client import HttpClient, NoAnswerError, NotSentError
from deliver_leads.api.roots import tls_context
from tests.inspecting_proxy import Address, InspectingProxy

URL = "https://api.example.com/leads"
CONNECT_S, READ_S = 1.0, 0.5


def send(proxy: InspectingProxy, *, trusts: bool = True) -> int:
    """One call through the proxy; the answer's status."""
    context = tls_context(str(proxy.ca_file) if trusts else None)
    client = HttpClient(4, CONNECT_S, READ_S, context, proxy.url)
    return client.send("POST", URL, lambda: 600.0, json={}).status_code


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def proxy(server: socket.socket, tmp_path: Path) -> Iterator[InspectingProxy]:
    """A proxy before that server."""
    address: Address = server.getsockname()
    with InspectingProxy(tmp_path, {"api.example.com": address}) as running:
        yield running


def test_a_company_s_authority_is_trusted_beside_the_usual_ones(
    proxy: InspectingProxy, server: socket.socket
) -> None:
    """The name is asked of the proxy, which alone can resolve it."""

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            received = b""
            while not received.endswith(
                b"{}"
            ):  # to close before the body has come would break the connection
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    serving = threading.Thread(target=serve)
    serving.start()
    assert send(proxy) == 201
    serving.join()
    assert proxy.asked == ["api.example.com"]


def test_an_authority_that_nobody_gave_is_not_trusted(proxy: InspectingProxy) -> None:
    """So a proxy can't read leads by surprise."""
    with pytest.raises(NotSentError, match=r"^the server's certificate is not trusted$"):
        send(proxy, trusts=False)


def test_a_proxy_that_refuses_leaves_nothing_unanswered(proxy: InspectingProxy) -> None:
    """What it was asked for holds nothing of the lead, so the lead is repeated as any that wasn't sent."""
    proxy.answer_connect = lambda client: client.sendall(
        b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"
    )
    with pytest.raises(NotSentError, match=r"^no connection through the proxy$"):
        send(proxy)


def test_a_proxy_that_says_nothing_ends_with_the_time_for_connecting(proxy: InspectingProxy) -> None:
    """And neither does it leave anything unanswered."""
    proxy.answer_connect = lambda _: None
    with pytest.raises(NotSentError, match=r"^no connection in time$"):
        send(proxy)


def test_a_request_that_left_through_the_proxy_is_unanswered_without_an_answer(
    proxy: InspectingProxy,
) -> None:
    """The server took the connection and the request, and is silent."""
    with pytest.raises(NoAnswerError, match=r"^no answer in time$"):
        send(proxy)
