"""An egress proxy that opens TLS, as companies have, with an authority of its own."""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from bench.certificates import write_certificates

Address = tuple[str, int]
Answer = Callable[[socket.socket], None]


class InspectingProxy:
    """Answers CONNECT, shows a certificate for the host, and passes what it has decrypted on.

    `upstreams` has for each host where that goes, without TLS; other hosts are refused. `asked` lists the
    hosts. `answer_connect` is what a proxy does that works otherwise. `ca_file` is the authority's
    certificate.
    """

    def __init__(self, folder: Path, upstreams: Mapping[str, Address]) -> None:
        self.asked: list[str] = []
        self.answer_connect: Answer | None = None
        self.ca_file = folder / "ca.pem"
        self._upstreams = upstreams
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(write_certificates(folder, *upstreams))
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1) or b"\r\n\r\n"
        host = head.split()[1].decode().removesuffix(":443")
        self.asked.append(host)
        if self.answer_connect is not None:
            self.answer_connect(client)
            return
        upstream = self._upstreams.get(host)
        if upstream is None:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            opened = self._context.wrap_socket(client, server_side=True)
        except OSError:  # the client doesn't trust the authority
            client.close()
            return
        server = socket.create_connection(upstream)
        self._open += [opened, server]
        threading.Thread(target=_pass_on, args=(server, opened), daemon=True).start()
        _pass_on(opened, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        source.close()
        target.close()
