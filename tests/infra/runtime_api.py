"""A small host of Lambda's runtime API: hands out invocations one by one and keeps what comes back.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

VERSION = "/2018-06-01/runtime"
# The time that an invocation has at its start.
TIMEOUT_S = 60


class RuntimeApi:
    """Serves one execution environment on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.invocations: queue.Queue[object] = queue.Queue()
        self.outcomes: queue.Queue[tuple[str, Any]] = queue.Queue()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # unbuffered small writes cost 40 ms each together with delayed acknowledgements
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with suppress(ConnectionError):  # a test ends by killing the process
                    super().handle()

            def do_GET(self) -> None:
                body = json.dumps(host.invocations.get()).encode()
                deadline_ms = int((time.time() + TIMEOUT_S) * 1000)
                self._answer(
                    200,
                    body,
                    {
                        "Lambda-Runtime-Aws-Request-Id": "request-1",
                        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                        "Content-Type": "application/json",
                        # Without it AWS's client crashes instead of complaining.
                        "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1",
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:0:function:f",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                host.outcomes.put((self.path.removeprefix(VERSION), json.loads(body)))
                self._answer(202, b"{}", {})

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def address(self) -> str:
        """What Lambda puts into AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def invoke(self, event: object) -> tuple[str, Any]:
        """Hands out one event; returns the path and the body of what the runtime client posts.

        Raises `queue.Empty` at the deadline, when Lambda would kill the function.
        """
        self.invocations.put(event)
        return self.outcomes.get(timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
