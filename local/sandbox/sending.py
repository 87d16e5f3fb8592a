"""Answers that leave the sandbox as no honest server sends them: not at all, drop by drop, without measure.

Each function writes to the connection of the request being handled and closes it; what the server writes to
it afterwards goes nowhere. A client that has gone is no error.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from flask import request

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from flask import Response

_PIECE = b" " * 65_536


def hang_up() -> None:
    """Closes the connection."""
    with contextlib.suppress(OSError):  # the client may have closed it first
        _connection().shutdown(socket.SHUT_RDWR)


def send_whole(response: Response) -> None:
    """The answer at once, while the request is being handled still."""
    _send([_head(response), response.get_data()])


def send_dripping(response: Response, part: str, pause_s: float, stopping: threading.Event) -> None:
    """One byte each `pause_s` seconds, from the first on or ("body") after the headers; cut by `stopping`."""
    head, body = _head(response), response.get_data()
    at_once, dripping = (b"", head + body) if part == "headers" else (head, body)

    def drops() -> Iterator[bytes]:
        yield at_once
        for place in range(len(dripping)):
            if stopping.wait(pause_s):
                return
            yield dripping[place : place + 1]

    _send(drops())


def send_huge(response: Response, megabytes: int, *, compressed: bool) -> None:
    """The answer and so much white space behind it, of no length that the headers would give away."""
    body = response.get_data()
    response.headers.remove("Content-Length")
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
        # Two members, which is good gzip: the large one is the same for every answer.
        _send([_head(response), gzip.compress(body), _compressed_space(megabytes)])
        return

    def pieces() -> Iterator[bytes]:
        yield _head(response)
        yield body
        for _ in range(megabytes * 2**20 // len(_PIECE)):
            yield _PIECE

    _send(pieces())


def _send(pieces: Iterator[bytes] | list[bytes]) -> None:
    connection = _connection()
    with contextlib.suppress(OSError):  # the client may have gone
        for piece in pieces:
            connection.sendall(piece)
    hang_up()


def _connection() -> socket.socket:
    return cast(socket.socket, request.environ["werkzeug.socket"])


def _head(response: Response) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in response.headers]
    return f"HTTP/1.1 {response.status}\r\n{''.join(lines)}Connection: close\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=2)
def _compressed_space(megabytes: int) -> bytes:
    return gzip.compress(b" " * (megabytes * 2**20), mtime=0)
