"""Moto's AWS on a port, for an execution environment in a process of its own."""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import requests


@contextmanager
def aws_server() -> Iterator[str]:
    """An empty AWS; its URL, for `endpoint_url` and AWS_ENDPOINT_URL."""
    # Moto's server wants flask_cors, which serves browsers only.
    stand_in = types.ModuleType("flask_cors")
    vars(stand_in)["CORS"] = lambda _: None
    sys.modules.setdefault("flask_cors", stand_in)
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        yield url
    finally:
        requests.post(f"{url}/moto-api/reset", timeout=10)  # what moto keeps is shared by the whole process
        server.stop()
