"""Servers on plain sockets that answer as a test says, byte by byte if it likes."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.certificates import write_certificates

Behaviour = Callable[[socket.socket], None]


class Server:
    """Answers each request on a connection by what `behave` does with it; keeps the heads it read."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None, reads_requests: bool) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._behave = behave
        self._tls = tls
        self._reads_requests = reads_requests
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
                if not self._reads_requests:
                    self._behave(stream)
                    return
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
def serving(
    behave: Behaviour, tls: ssl.SSLContext | None = None, *, reads_requests: bool = True
) -> Iterator[Server]:
    """A server for the length of a test; if it reads no requests, it behaves as soon as it is connected."""
    server = Server(behave, tls, reads_requests)
    try:
        yield server
    finally:
        server.close()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context for that host name or address, and the certificate of the authority behind it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificates(folder, name))
    return context, folder / "ca.pem"
