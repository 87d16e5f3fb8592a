"""Ports on the loopback interface: a free one, a usual one, or a certain one that must not be taken."""

import random
import socket

from local.stack.child_process import ChildFailedError

# Below the ranges from which Linux and macOS take the ports of outgoing connections.
_PORTS = range(20_000, 32_000)
# Where the page of a local run is, so that a bookmark works, unless something else is there.
PAGE_PORT = 8700


class PortTakenError(ChildFailedError):
    """A port that was asked for is taken; the text says what to do."""


def free_port() -> int:
    """A port that no process listens on now."""
    for port in random.sample(_PORTS, 100):
        if _is_free(port):
            return port
    raise PortTakenError("no free port on 127.0.0.1")


def usual_port(port: int) -> int:
    """This one, or a free one where it is taken."""
    return port if _is_free(port) else free_port()


def require_free(port: int, variable: str) -> None:
    """Raises `PortTakenError`; `variable` is the one of make that chooses another port."""
    if not _is_free(port):
        raise PortTakenError(f"port {port} is taken: end what uses it, or choose another, {variable}=<port>")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
