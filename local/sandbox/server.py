"""The leads API sandbox: our stand-in for api.7targets.com over real HTTP, held to the vendor's API document.

In a test: `with LeadsApiSandbox() as sandbox: …`; as a process: `python -m local.sandbox`.
Beside the API's own calls (and POST /oauth2/token) it answers, without any authentication:

    GET  /_sandbox/requests?since=SEQ  every leads and token request received and what came of it
    GET  /_sandbox/leads               the leads with all their fields; `creates` counts creates of one lead
    POST /_sandbox/leads               adds leads that were there before any create: a list of creates' bodies
    POST /_sandbox/assistants          adds assistants of the user: a list of e-mail addresses
    GET  /_sandbox/summary             counts
    GET  /_sandbox/held                operations of the requests being delayed now, by the client's port
    PUT  /_sandbox/faults              the faults to commit from now on (see faults.py)
    POST /_sandbox/revoke              refuses every token issued until now
    POST /_sandbox/reset               forgets everything, faults too
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from typing import TYPE_CHECKING, Self, cast

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import get_content_length

from local.sandbox.app import SandboxApp
from local.sandbox.faults import Faults
from local.sandbox.store import SqliteStore
from local.sandbox.tokens import OwnTokenEndpoint

if TYPE_CHECKING:
    from pathlib import Path
    from socketserver import _AfInetAddress, _RequestType

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from local.sandbox.tokens import TokenEndpoint

USER_IDENTIFIER = "ops@example.com"


class LeadsApiSandbox:
    """The sandbox, answering from threads of this process until it is closed.

    Without `tokens` it issues them itself, to the client `sandbox-client` with the secret `sandbox-secret`.
    Without `state` it keeps everything in memory. Raises sqlite3.Error for a state file it can't use and
    SystemExit, with the reason on stderr, for a port it can't have.
    """

    def __init__(
        self,
        *,
        tokens: TokenEndpoint | None = None,
        state: Path | None = None,
        port: int = 0,
        user_identifier: str = USER_IDENTIFIER,
        seed: int = 0,
    ) -> None:
        self.tokens = tokens or OwnTokenEndpoint("sandbox-client", "sandbox-secret")
        self.user_identifier = user_identifier
        self.store = SqliteStore(state)
        self.faults = Faults(seed)
        self._stopping = threading.Event()
        app = SandboxApp(self.store, self.faults, self.tokens, user_identifier, self._stopping)
        self._server = KeepAliveServer(port, app.flask)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def token_url(self) -> str:
        return f"{self.url}/oauth2/token"

    def close(self) -> None:
        """Cuts every connection and ends the threads; delays end at once."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class KeepAliveServer(ThreadedWSGIServer):
    """Werkzeug's threaded server on the loopback interface; connections stay open between requests."""

    # Threads are joined at the end, so that none writes to a state file that was closed.
    daemon_threads = False

    def __init__(self, port: int, app: WSGIApplication) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__("127.0.0.1", port, app, _KeepAliveHandler)

    def process_request(self, request: _RequestType, client_address: _AfInetAddress) -> None:
        self._connections.add(cast(socket.socket, request))
        super().process_request(request, client_address)

    def shutdown_request(self, request: _RequestType) -> None:
        self._connections.discard(cast(socket.socket, request))
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Closes open connections too: one kept in a client's pool must not outlive the server."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # the client may have closed it first
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _KeepAliveHandler(WSGIRequestHandler):
    """Werkzeug's own handler ends every answer with `Connection: close`, so `run_wsgi` is replaced."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        self.environ = environ = self.make_environ()
        body = self._read_body(environ)
        if body is None:
            self.close_connection = True
            return
        # Read to its end before it is answered, or its rest would be taken for the next request line.
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        if self.close_connection:
            headers["Connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        # One write, one packet: head and body apart would cost a delayed acknowledgement each.
        self.wfile.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + b"".join(chunks))

    def _read_body(self, environ: WSGIEnvironment) -> bytes | None:
        """None when the client went away, or broke the chunked encoding, before the body was complete."""
        try:
            if environ.get("wsgi.input_terminated"):
                return bytes(environ["wsgi.input"].read())
            length = get_content_length(environ) or 0
            body = self.rfile.read(length)
        except OSError:
            return None
        return body if len(body) == length else None

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name for it
        """Silent: the sandbox keeps every request it received, an access log would only repeat it."""
