"""Connections on which a call ends in time, and takes no more than its share of the memory.

The time-outs of requests and urllib3 are for each receive and for each address of a name. So a server that
sends one byte now and then, in the head or in the body of its answer, would hold a call beyond the
invocation's end; and nothing limits the size of an answer. Here every send and every receive counts towards
one `Call`: its end, and the bytes that it may still receive.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any, cast

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import allowed_gai_family

Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


class AnswerTooLargeError(OSError):
    """The answer is larger than the call allows."""


@dataclass(slots=True)
class Call:
    """The time and the bytes that one call may still take. `ends_at` is a time of the monotonic clock."""

    ends_at: float
    answer_timeout_s: float
    bytes_left: int
    request_left: bool = False

    def time_left_s(self) -> float:
        """The seconds left, more than 0; raises `TimeoutError` when none are left."""
        return _time_until(self.ends_at)

    def note_sending(self) -> None:
        """From here on the server may have got the request, and has `answer_timeout_s` to answer it."""
        if not self.request_left:
            self.request_left = True
            self.ends_at = min(self.ends_at, time.monotonic() + self.answer_timeout_s)

    def note_received(self, count: int) -> None:
        """Counts received bytes; raises `AnswerTooLargeError` when they are too many."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise AnswerTooLargeError("the answer is too large")


# The call that this thread is making: sockets are made by ssl and urllib3, which don't hand it down to them.
# Without a call, a socket is AWS's: it shares the context, and has botocore's time-outs.
_current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)


def begin_call(connect_timeout_s: float, answer_timeout_s: float, largest_answer_bytes: int) -> Call:
    """Binds what this thread does on bounded connections to these bounds, until it ends the call."""
    call = Call(
        ends_at=time.monotonic() + connect_timeout_s + answer_timeout_s,
        answer_timeout_s=answer_timeout_s,
        bytes_left=largest_answer_bytes,
    )
    _current_call.set(call)
    return call


def end_call() -> None:
    """Lifts the bounds of `begin_call` from this thread."""
    _current_call.set(None)


class BoundedSocket(socket.socket):
    """A socket whose sends and receives together stay within the current call's bounds."""

    def recv_into(self, *args: Any) -> int:  # noqa: ANN401 - what the base class takes, for TLS another
        call = _current_call.get()
        if call is None:
            return super().recv_into(*args)
        self.settimeout(call.time_left_s())
        count = super().recv_into(*args)
        call.note_received(count)
        return count

    def sendall(self, *args: Any) -> None:  # noqa: ANN401 - as above
        call = _current_call.get()
        if call is not None:
            call.note_sending()
            self.settimeout(call.time_left_s())
        super().sendall(*args)


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """`BoundedSocket` over TLS. The handshake is one operation with one time-out, however slow it is."""


class _NameResolution:
    """`getaddrinfo` with a time-out.

    It can't be interrupted, so it runs in a thread of its own. A second call for the same name waits for the
    same thread, so that there is never more than one for each name.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], Future[Addresses]] = {}

    def resolve(self, host: str, port: int, timeout_s: float) -> Addresses:
        """Raises `TimeoutError`, or what `getaddrinfo` raises."""
        with self._lock:
            resolution = self._under_way.get((host, port))
            if resolution is None:
                resolution = Future()
                thread = threading.Thread(target=self._run, args=(host, port, resolution), daemon=True)
                thread.start()
                self._under_way[host, port] = resolution
        return resolution.result(timeout_s)

    def _run(self, host: str, port: int, resolution: Future[Addresses]) -> None:
        addresses: Addresses = ()
        fault: Exception | None = None
        try:
            addresses = socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
        except Exception as error:
            fault = error
        with self._lock:
            del self._under_way[host, port]  # before the result is known, so that the next one asks anew
        if fault is None:
            resolution.set_result(addresses)
        else:
            resolution.set_exception(fault)


_names = _NameResolution()


def _connect(
    host: str, port: int, timeout_s: float, options: Iterable[tuple[int, int, int | bytes]]
) -> BoundedSocket:
    """Resolves the name and tries its addresses, all within `timeout_s`; raises `OSError`.

    Each address gets an even share of the time left, so that one that doesn't answer leaves time for those
    behind it. The time that is left in the end becomes the socket's time-out, which bounds the TLS handshake.
    """
    ends_at = time.monotonic() + timeout_s
    addresses = _names.resolve(host, port, timeout_s)
    fault = OSError("the name has no address")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        candidate = BoundedSocket(family, kind, protocol)
        try:
            for option in options:
                candidate.setsockopt(*option)
            candidate.settimeout(_time_until(ends_at) / (len(addresses) - tried))
            candidate.connect(address)
            candidate.settimeout(_time_until(ends_at))
        except OSError as error:
            candidate.close()
            fault = error
        else:
            return candidate
    raise fault


def _time_until(ends_at: float) -> float:
    """The seconds until then, more than 0; raises `TimeoutError` when that time is over."""
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("time is over")
    return left_s


class _FinalAnswer(HTTPResponse):
    def begin(self) -> None:
        """Reads over interim answers, e.g. 103 (RFC 9110, 15.2); Python reads over 100 only."""
        super().begin()
        while self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _BoundedConnecting(HTTPConnection):
    response_class = _FinalAnswer

    def _new_conn(self) -> socket.socket:
        """Connects with one time-out; urllib3's own has none for the name, and a new one for each address."""
        try:
            return _connect(self._dns_host, self.port, cast(float, self.timeout), self.socket_options or ())
        except OSError as error:
            raise NewConnectionError(self, type(error).__name__) from error


class _BoundedTlsConnection(_BoundedConnecting, HTTPSConnection):
    def _tunnel(self) -> None:
        """Asks a proxy for the way to the server: nothing of the call's request leaves with that."""
        call = _current_call.get()
        if call is None:
            super()._tunnel()
            return
        ends_at, call.ends_at = call.ends_at, time.monotonic() + cast(float, self.timeout)
        try:
            super()._tunnel()
        finally:
            call.request_left, call.ends_at = False, ends_at


class _BoundedPool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnecting


class _BoundedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTlsConnection


_POOLS = {"http": _BoundedPool, "https": _BoundedTlsPool}


class BoundedAdapter(HTTPAdapter):
    """Bounded connections for requests, over a context that all share."""

    def __init__(self, pool_size: int, context: ssl.SSLContext) -> None:
        self._context = context
        self._context.sslsocket_class = BoundedTlsSocket
        super().__init__(pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's signature
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        manager = super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - as above
        """The shared context verifies; the base class would load the CA bundle for each connection again."""
