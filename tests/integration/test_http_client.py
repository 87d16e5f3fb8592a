"""The HTTP client against real sockets: what was sent for certain, what may have been, and what is shared."""

import socket
from pathlib import Path

import certifi
import pytest

from deliver_leads.api.http_client import (
    LONGEST_IDLE_S,
    HttpAnswer,
    HttpClient,
    NoAnswerError,
    NotSentError,
)
from deliver_leads.contract import RESERVE_S
from deliver_leads.outcome import DeferredError
from tests.integration.raw_server import certificate, closed_port, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: lead=jane; Path=/\r\n\r\nok"


def plenty() -> float:
    """Time enough."""
    return 60.0


def client(read_timeout_s: float = 5.0) -> HttpClient:
    """The client under test."""
    return HttpClient(pool_size=4, connect_timeout_s=1.0, read_timeout_s=read_timeout_s)


def post(http: HttpClient, port: int, scheme: str = "http", host: str = "127.0.0.1") -> HttpAnswer:
    """One call."""
    return http.send("POST", f"{scheme}://{host}:{port}/leads", plenty, json={})


class TestWhatAFailureMeans:
    """Only what certainly didn't leave may be sent again without confirming."""

    def test_a_refused_connection_sent_nothing(self) -> None:
        """Nobody was there to take it."""
        with pytest.raises(NotSentError):
            post(client(), closed_port())

    def test_a_name_that_can_not_be_resolved_sent_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """DNS is down."""

        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror

        monkeypatch.setattr("socket.getaddrinfo", unknown)
        with pytest.raises(NotSentError, match="the host's name can't be resolved"):
            post(client(), 9, host="api.example.com")

    def test_no_answer_in_time_may_have_been_sent(self) -> None:
        """A slow API may still do its work."""
        with serving(lambda _: None) as server, pytest.raises(NoAnswerError, match="in time"):
            post(client(read_timeout_s=0.2), server.port)

    @pytest.mark.parametrize("partial", [b"", b"HT", b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{"])
    def test_a_connection_cut_before_the_end_of_the_answer_may_have_been_sent(self, partial: bytes) -> None:
        """Cut at once, in the status line, or in the body."""

        def cut(stream: socket.socket) -> None:
            stream.sendall(partial)
            stream.shutdown(socket.SHUT_RDWR)

        with serving(cut) as server, pytest.raises(NoAnswerError):
            post(client(), server.port)

    def test_an_answer_that_can_not_be_decoded_may_have_been_sent(self) -> None:
        """The API did answer, but nobody knows what."""
        garbled = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
        with (
            serving(lambda s: s.sendall(garbled)) as server,
            pytest.raises(NoAnswerError, match="could not be read"),
        ):
            post(client(), server.port)

    def test_a_call_that_could_outlast_the_invocation_is_not_started(self) -> None:
        """The longest call and the reserve for what follows it must fit into what is left."""
        with serving(lambda s: s.sendall(OK)) as server:
            url, enough_s = f"http://127.0.0.1:{server.port}/", client().longest_call_s + RESERVE_S
            with pytest.raises(DeferredError):
                client().send("POST", url, lambda: enough_s - 0.1, json={})
            assert client().send("POST", url, lambda: enough_s, json={}).content == b"ok"
            assert len(server.heads) == 1

    @pytest.mark.parametrize(
        ("url", "request_"),
        [
            ("http://127.0.0.1:9/", {"json": {"name": float("inf")}}),
            ("http://127.0.0.1:9/", {"json": {"name": {1}}}),
            ("http://127.0.0.1:9/", {"json": {"name": "\ud800"}}),
            ("http://127.0.0.1:9/", {"headers": {"7ts-user-identifier": "two\nlines"}}),
            ("127.0.0.1:9/leads", {}),
            ("ftp://127.0.0.1:9/", {}),
            ("http://", {}),
            (f"http://{'a' * 64}.example.com/", {}),
        ],
    )
    def test_a_request_that_can_not_be_made_sent_nothing(self, url: str, request_: dict[str, object]) -> None:
        """Whatever is wrong with it: a value, a header, the address."""
        with pytest.raises(NotSentError):
            client().send("POST", url, plenty, **request_)

    def test_a_header_that_http_can_not_carry_sent_nothing(self) -> None:
        """It is noticed when the connection stands already, and before the first byte."""
        with serving(lambda s: s.sendall(OK)) as server:
            with pytest.raises(NotSentError, match=r"could not be made \(UnicodeEncodeError\)"):
                client().send(
                    "POST",
                    f"http://127.0.0.1:{server.port}/",
                    plenty,
                    json={},
                    headers={"7ts-user-identifier": "user\u2019s"},
                )
            assert server.heads == []

    def test_an_interim_answer_is_read_over_and_never_taken_for_another_request_s(self) -> None:
        """After a 103 the final answer follows on the same connection."""
        with serving(
            lambda s: s.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2 + OK)
        ) as server:
            http = client()
            assert [post(http, server.port).status_code for _ in range(3)] == [200] * 3
            assert server.connections == 1

    def test_another_protocol_is_no_answer(self) -> None:
        """After 101 nothing that follows is HTTP."""
        switch = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        with serving(lambda s: s.sendall(switch)) as server, pytest.raises(NoAnswerError):
            post(client(), server.port)


class TestSharing:
    """One session for all threads and leads."""

    def test_a_cookie_set_for_one_lead_is_not_sent_with_the_next(self) -> None:
        """A session's cookie jar would carry it over."""
        with serving(lambda s: s.sendall(OK)) as server:
            http = client()
            post(http, server.port)
            post(http, server.port)
            assert server.connections == 1
            assert "Cookie" not in server.heads[1]

    def test_neither_proxy_nor_netrc_of_the_environment_is_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Credentials go where the settings say, and nowhere else."""
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password mine")
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
        with serving(lambda s: s.sendall(OK)) as server:
            post(client(), server.port)
            assert "Authorization" not in server.heads[0]

    def test_a_redirect_is_not_followed(self) -> None:
        """The token would go along."""
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        with serving(lambda s: s.sendall(moved)) as server:
            assert post(client(), server.port).status_code == 302

    def test_a_connection_that_idled_long_is_not_used_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It may be broken without a sign, and a create sent over it would go unanswered."""
        now = [1000.0]
        monkeypatch.setattr("deliver_leads.api.http_client.time.time", lambda: now[0])
        with serving(lambda s: s.sendall(OK)) as server:
            http = client()
            for idle_s, connections in ((0.0, 1), (LONGEST_IDLE_S, 1), (LONGEST_IDLE_S + 1, 2)):
                now[0] += idle_s
                http.drop_idle_connections()
                post(http, server.port)
                assert server.connections == connections


class TestTls:
    """The shared context verifies like requests' own."""

    def test_a_trusted_certificate_is_accepted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The context is built from certifi's bundle."""
        context, pem = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setattr(certifi, "where", lambda: str(pem))
        with serving(lambda s: s.sendall(OK), context) as server:
            assert post(client(), server.port, "https").content == b"ok"

    @pytest.mark.parametrize("bundle_override", [False, True])
    def test_an_unknown_authority_is_refused_before_anything_is_sent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle_override: bool
    ) -> None:
        """It is refused even if the environment names another bundle."""
        context, pem = certificate(tmp_path, "127.0.0.1")
        if bundle_override:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        with serving(lambda s: s.sendall(OK), context) as server:
            with pytest.raises(NotSentError, match="not trusted"):
                post(client(), server.port, "https")
            assert server.heads == []

    def test_a_certificate_for_another_host_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The name is checked, not only the authority."""
        context, pem = certificate(tmp_path, "api.example.com")
        monkeypatch.setattr(certifi, "where", lambda: str(pem))
        with serving(lambda s: s.sendall(OK), context) as server, pytest.raises(NotSentError):
            post(client(), server.port, "https")
