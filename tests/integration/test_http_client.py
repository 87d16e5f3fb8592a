"""The HTTP client against real sockets: what was sent for certain, what may have been, and what is shared."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import certifi
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deliver_leads.api.http_client import LONGEST_IDLE_S, HttpClient, NoAnswerError, NotSentError
from deliver_leads.outcome import DeferredError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: lead=jane; Path=/\r\n\r\nok"


def plenty() -> float:
    """Time enough."""
    return 60.0


class Server:
    """Answers each request on a connection by what `behave` does with it; keeps the heads it read."""

    def __init__(self, behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as stream:
                while request := self._read_request(stream):
                    self.heads.append(request)
                    self._behave(stream)
        except OSError:
            connection.close()

    @staticmethod
    def _read_request(stream: socket.socket) -> str:
        """A whole request with the body `{}`, however many pieces it comes in; empty at the end."""
        request = b""
        while not request.endswith(b"\r\n\r\n{}"):
            piece = stream.recv(65536)
            if not piece:
                return ""
            request += piece
        return request.decode("latin-1")

    def close(self) -> None:
        """Ends the accepting thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def serving(behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for the length of a test."""
    server = Server(behave, tls)
    try:
        yield server
    finally:
        server.close()


def client(read_timeout_s: float = 5.0) -> HttpClient:
    """The client under test."""
    return HttpClient(pool_size=4, connect_timeout_s=1.0, read_timeout_s=read_timeout_s)


def post(http: HttpClient, port: int, scheme: str = "http", host: str = "127.0.0.1") -> requests.Response:
    """One call."""
    return http.send("POST", f"{scheme}://{host}:{port}/leads", plenty, json={})


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class TestWhatAFailureMeans:
    """Only what certainly didn't leave may be sent again without confirming."""

    def test_a_refused_connection_sent_nothing(self) -> None:
        """Nobody was there to take it."""
        with pytest.raises(NotSentError):
            post(client(), closed_port())

    def test_a_connection_that_takes_too_long_sent_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time-out struck before the request."""

        def hang(*_: object, **__: object) -> None:
            raise TimeoutError

        monkeypatch.setattr("urllib3.util.connection.create_connection", hang)
        with pytest.raises(NotSentError):
            post(client(), 9)

    def test_a_name_that_can_not_be_resolved_sent_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """DNS is down."""

        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror

        monkeypatch.setattr("socket.getaddrinfo", unknown)
        with pytest.raises(NotSentError):
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
        """Connect and read time-outs and a reserve must fit into what is left."""
        with serving(lambda s: s.sendall(OK)) as server:
            with pytest.raises(DeferredError):
                client().send("POST", f"http://127.0.0.1:{server.port}/", lambda: 15.9, json={})
            assert client().send("POST", f"http://127.0.0.1:{server.port}/", lambda: 16.0, json={}).ok
            assert len(server.heads) == 1


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
        """It may be dead without a word, and a create sent over it would go unanswered."""
        now = [1000.0]
        monkeypatch.setattr("deliver_leads.api.http_client.time.time", lambda: now[0])
        with serving(lambda s: s.sendall(OK)) as server:
            http = client()
            for idle_s, connections in ((0.0, 1), (LONGEST_IDLE_S, 1), (LONGEST_IDLE_S + 1, 2)):
                now[0] += idle_s
                http.drop_idle_connections()
                post(http, server.port)
                assert server.connections == connections


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server context with a self-signed certificate for that host name or address, and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file = folder / "key.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_file)
    return context, pem


class TestTls:
    """The shared context verifies like requests' own."""

    def test_a_trusted_certificate_is_accepted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The context is built from certifi's bundle."""
        context, pem = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setattr(certifi, "where", lambda: str(pem))
        with serving(lambda s: s.sendall(OK), context) as server:
            assert post(client(), server.port, "https").ok

    @pytest.mark.parametrize("bundle_override", [False, True])
    def test_an_unknown_authority_is_refused_before_anything_is_sent(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle_override: bool
    ) -> None:
        """Not even when the environment names another bundle."""
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
