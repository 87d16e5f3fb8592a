"""Every call ends in time and in bounded memory, whatever the server, the name or the network does."""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import certifi
import pytest

from deliver_leads.api.http_client import LARGEST_ANSWER_BYTES, HttpClient, NoAnswerError, NotSentError
from tests.integration.raw_server import Behaviour, certificate, serving

CONNECT_TIMEOUT_S = 0.5
READ_TIMEOUT_S = 0.5
# The machine may be busy: what is shown is that a call ends at all, and not after a multiple of its bound.
TOLERANCE = 10

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"
# More than any buffer between the two takes; and than the answer may be.
PIECE = bytes(65536)


def client() -> HttpClient:
    """The client under test."""
    return HttpClient(4, CONNECT_TIMEOUT_S, READ_TIMEOUT_S)


def post(http: HttpClient, port: int, scheme: str = "http", body: object = None) -> bytes:
    """One call; the body of its answer."""
    url = f"{scheme}://127.0.0.1:{port}/leads"
    return http.send("POST", url, lambda: 60.0, json={} if body is None else body).content


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Fails when the block takes a multiple of that."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < limit_s * TOLERANCE


def drip(start: bytes, piece: bytes) -> Behaviour:
    """Sends the start, then a piece every 20 ms until the client leaves."""

    def behave(stream: socket.socket) -> None:
        stream.sendall(start)
        for each in repeat(piece):
            stream.sendall(each)
            time.sleep(0.02)

    return behave


def flood(start: bytes, piece: bytes, sent: list[int]) -> Behaviour:
    """Sends the start, then the piece over and over, up to 1 GB, until the client leaves; notes the bytes."""

    def behave(stream: socket.socket) -> None:
        stream.sendall(start)
        for each in repeat(piece, 10**9 // len(piece)):
            stream.sendall(each)
            sent[0] += len(each)

    return behave


def read_only(stream: socket.socket) -> None:
    """Takes all and says nothing until the client leaves."""
    while stream.recv(65536):
        pass


DRIPS = {
    "head": (HEAD + b"X: ", b"x"),
    "many headers": (HEAD, b"X: x\r\n"),
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "body without a length": (HEAD + b"\r\n", b"x"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "chunk length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


class TestTime:
    """A call has an end, from the resolution of the name to the last byte."""

    @pytest.mark.parametrize(("start", "piece"), DRIPS.values(), ids=DRIPS)
    def test_an_answer_that_drips_is_lost_when_the_time_is_over(self, start: bytes, piece: bytes) -> None:
        """Each byte comes well within the read time-out."""
        with serving(drip(start, piece)) as server, within(READ_TIMEOUT_S), pytest.raises(NoAnswerError):
            post(client(), server.port)

    def test_an_answer_that_drips_over_tls_is_lost_when_the_time_is_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There, each byte comes in a record of its own."""
        context, pem = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setattr(certifi, "where", lambda: str(pem))
        with (
            serving(drip(HEAD + b"X: ", b"x"), context) as server,
            within(READ_TIMEOUT_S),
            pytest.raises(NoAnswerError, match="no answer in time"),
        ):
            post(client(), server.port, "https")

    @pytest.mark.parametrize("tls", [False, True])
    def test_a_request_that_the_server_does_not_take_is_given_up(
        self, tls: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It reads a little every now and then; part of the request may be there."""
        context, pem = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setattr(certifi, "where", lambda: str(pem))

        def sip(stream: socket.socket) -> None:
            while stream.recv(16384):
                time.sleep(0.003)

        with (
            serving(sip, context if tls else None, reads_requests=False) as server,
            within(READ_TIMEOUT_S),
            pytest.raises(NoAnswerError, match="no answer in time"),
        ):
            post(client(), server.port, "https" if tls else "http", body="x" * 60_000_000)

    @pytest.mark.parametrize("behave", [read_only, drip(b"\x16\x03\x03\x40\x00", b"\0")])
    def test_a_tls_handshake_that_does_not_end_sent_nothing(self, behave: Behaviour) -> None:
        """The server is silent, or drips the first record."""
        with (
            serving(behave, reads_requests=False) as server,
            within(CONNECT_TIMEOUT_S),
            pytest.raises(NotSentError, match="no connection in time"),
        ):
            post(client(), server.port, "https")

    @pytest.mark.parametrize("hello", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_a_server_that_speaks_no_tls_got_nothing(self, hello: bytes) -> None:
        """A wrong port."""

        def hang_up(stream: socket.socket) -> None:
            stream.sendall(hello)
            stream.shutdown(socket.SHUT_RDWR)

        with (
            serving(hang_up, reads_requests=False) as server,
            pytest.raises(NotSentError, match="no connection"),
        ):
            post(client(), server.port, "https")


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that drops everything, as an address without a host does: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):
            yield address[1]


def addresses_of(*ports: int) -> Callable[..., list[Any]]:
    """A `getaddrinfo` that knows one name, with an address for each of the ports."""
    return lambda *_: [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)) for port in ports
    ]


class TestConnecting:
    """Name and addresses share one time-out."""

    def test_all_dead_addresses_of_a_name_together_take_the_connect_time_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There isn't one time-out for each of them."""
        with silent_port() as port:
            monkeypatch.setattr(socket, "getaddrinfo", addresses_of(*[port] * 50))
            with within(CONNECT_TIMEOUT_S), pytest.raises(NotSentError, match="no connection in time"):
                post(client(), port)

    def test_a_dead_address_leaves_time_for_the_next_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half of the service's hosts may be down."""
        with silent_port() as silent, serving(lambda s: s.sendall(OK)) as server:
            monkeypatch.setattr(socket, "getaddrinfo", addresses_of(silent, server.port))
            assert post(client(), server.port) == b"ok"

    def test_names_that_are_not_resolved_end_in_time_and_hold_one_thread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`getaddrinfo` can't be interrupted; when it answers at last, calls work again."""
        answers, asked = threading.Event(), []

        def resolve_late(host: str, *_: object) -> list[Any]:
            asked.append(host)
            answers.wait(30)
            return list(addresses_of(server.port)())

        with serving(lambda s: s.sendall(OK)) as server:
            monkeypatch.setattr(socket, "getaddrinfo", resolve_late)
            http, faults = client(), []

            def call() -> None:
                with pytest.raises(NotSentError, match="no connection in time") as caught:
                    post(http, server.port)
                faults.append(caught)

            with within(2 * CONNECT_TIMEOUT_S):
                for _ in range(2):
                    callers = [threading.Thread(target=call) for _ in range(4)]
                    for caller in callers:
                        caller.start()
                    for caller in callers:
                        caller.join()
            assert len(faults) == 8
            assert len(asked) == 1
            answers.set()
            assert post(http, server.port) == b"ok"


FLOODS = {
    "announced": (HEAD + b"Content-Length: 1000000000\r\n\r\n", PIECE),
    "not announced": (HEAD + b"\r\n", PIECE),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + PIECE + b"\r\n"),
    "small chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    "one chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n", PIECE),
    "a chunk beyond all numbers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 60 + b"\r\n", PIECE),
    "a negative chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", PIECE),
    "a chunk of length -1": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", PIECE),
    "no chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", PIECE),
    "chunk length": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 60_000),
    "trailer": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n" * 10_000),
    "a header": (HEAD + b"X: ", b"x" * 60_000),
    "headers": (HEAD, b"X: " + b"x" * 60_000 + b"\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "no HTTP at all": (b"", PIECE),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n", PIECE),
}


# Made when a test wants them, because packing takes a second.
BOMBS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "several gzip members": ("gzip", lambda zeros: gzip.compress(zeros[:1_000_000]) * 50),
    "gzip in gzip": ("gzip, gzip", lambda zeros: gzip.compress(gzip.compress(zeros))),
}


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails when Python holds more than a few answers of the largest size at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 8 * LARGEST_ANSWER_BYTES
    finally:
        tracemalloc.stop()


class TestSize:
    """An answer has a largest size."""

    @pytest.mark.parametrize(("start", "piece"), FLOODS.values(), ids=FLOODS)
    def test_an_answer_without_end_is_lost_and_not_held(self, start: bytes, piece: bytes) -> None:
        """The client leaves after the largest size; the rest is what the sockets' buffers took."""
        sent = [0]
        with serving(flood(start, piece, sent)) as server, little_memory(), pytest.raises(NoAnswerError):
            post(client(), server.port)
        assert sent[0] < 64 * LARGEST_ANSWER_BYTES

    @pytest.mark.parametrize(("encoding", "pack"), BOMBS.values(), ids=BOMBS)
    def test_a_small_answer_that_unpacks_to_a_huge_one_is_lost_and_not_held(
        self, encoding: str, pack: Callable[[bytes], bytes]
    ) -> None:
        """50 MB in a few kilobytes."""
        bomb = pack(bytes(50_000_000))
        head = HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
        with (
            serving(lambda s: s.sendall(head + bomb)) as server,
            little_memory(),
            pytest.raises(NoAnswerError, match="larger than 1024 KiB"),
        ):
            post(client(), server.port)

    def test_no_compression_is_asked_for_and_a_compressed_answer_is_understood(self) -> None:
        """Some servers compress in any case."""
        body = gzip.compress(b'{"id": 1}')
        head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with serving(lambda s: s.sendall(head + body)) as server:
            assert post(client(), server.port) == b'{"id": 1}'
            assert "Accept-Encoding: identity\r\n" in server.heads[0]

    @pytest.mark.parametrize("framing", ["length", "chunks", "close"])
    def test_an_answer_of_nearly_the_largest_size_is_whole(self, framing: str) -> None:
        """However its end is marked."""
        body = b"x" * (LARGEST_ANSWER_BYTES - 1000)

        def behave(stream: socket.socket) -> None:
            if framing == "length":
                stream.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            elif framing == "chunks":
                chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
                stream.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
            else:
                stream.sendall(HEAD + b"\r\n" + body)
                stream.shutdown(socket.SHUT_RDWR)

        with serving(behave) as server:
            assert post(client(), server.port) == body


class TestAfterwards:
    """What a lost answer leaves behind."""

    @pytest.mark.parametrize("answer", [HEAD + b"Content-Length: 9\r\n\r\n", HEAD + b"\r\n" + PIECE * 20])
    def test_a_connection_whose_answer_was_lost_is_not_used_again(self, answer: bytes) -> None:
        """The rest of it would be taken for the next lead's answer."""
        answers = [answer, OK, OK]
        with serving(lambda s: s.sendall(answers.pop(0))) as server:
            http = client()
            with pytest.raises(NoAnswerError):
                post(http, server.port)
            assert post(http, server.port) == b"ok"
            assert server.connections == 2
            assert post(http, server.port) == b"ok"
            assert server.connections == 2

    def test_the_bounds_are_those_of_each_call_and_not_of_the_connection(self) -> None:
        """More calls than one call's time and bytes would allow."""
        body = b"x" * (LARGEST_ANSWER_BYTES // 4)
        answer = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

        def behave(stream: socket.socket) -> None:
            time.sleep(READ_TIMEOUT_S / 4)
            stream.sendall(answer)

        with serving(behave) as server:
            http = client()
            assert [len(post(http, server.port)) for _ in range(12)] == [len(body)] * 12
            assert server.connections == 1
