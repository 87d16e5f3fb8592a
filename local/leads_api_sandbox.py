"""The leads API sandbox: our stand-in for api.7targets.com over real HTTP, held to the vendor's API document.

    python -m local.leads_api_sandbox --client-id ID --client-secret SECRET [--port N] [--state FILE]
    python -m local.leads_api_sandbox --client-id ID --token-upstream URL --jwks URL …

The second form lets a Cognito user pool issue the tokens. In a test: `with LeadsApiSandbox() as sandbox: …`.
Beside the API's own calls (and POST /oauth2/token) it answers, without any authentication:

    GET  /_sandbox/requests?since=SEQ  every leads and token request received and what came of it
    GET  /_sandbox/leads               the leads with all their fields; `creates` counts creates of one lead
    GET  /_sandbox/summary             counts
    GET  /_sandbox/held                operations of the requests being delayed now, by the client's port
    PUT  /_sandbox/faults              the faults to commit from now on (see sandbox_faults)
    POST /_sandbox/revoke              refuses every token issued until now
    POST /_sandbox/reset               forgets everything, faults too
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import socket
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import get_content_length

from local.sandbox_app import SandboxApp
from local.sandbox_faults import Faults
from local.sandbox_store import SandboxStore
from local.sandbox_tokens import CognitoUpstream, OwnTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socketserver import _AfInetAddress, _RequestType

    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from local.sandbox_tokens import TokenEndpoint

USER_IDENTIFIER = "ops@example.com"
_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


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
        self.store = SandboxStore(state)
        self.faults = Faults(seed)
        self._stopping = threading.Event()
        app = SandboxApp(self.store, self.faults, self.tokens, user_identifier, self._stopping)
        self._server = KeepAliveServer(port, app.flask)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the sandbox until SIGTERM or SIGINT."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # Blocked before any thread starts, so that only sigwait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        sandbox = LeadsApiSandbox(
            tokens=_token_endpoint(parser, options),
            state=options.state,
            port=options.port,
            user_identifier=options.user_identifier,
            seed=options.seed,
        )
    except sqlite3.Error as error:
        parser.error(f"can't use the state file {options.state}: {error}")
    with sandbox:
        print(f"listening on {sandbox.url}", flush=True)
        signal.sigwait(_STOP_SIGNALS)


def _token_endpoint(parser: argparse.ArgumentParser, options: argparse.Namespace) -> TokenEndpoint:
    if options.token_upstream and options.jwks:
        return CognitoUpstream(options.token_upstream, options.jwks, frozenset(options.client_id))
    if options.token_upstream or options.jwks:
        parser.error("--token-upstream and --jwks go together")
    if not options.client_secret or len(options.client_id) > 1:
        parser.error("without --token-upstream, one --client-id and a --client-secret are needed")
    return OwnTokenEndpoint(options.client_id[0], options.client_secret, options.expires_in)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.leads_api_sandbox", description="A stand-in for the 7Targets leads API."
    )
    add = parser.add_argument
    add("--port", type=_port, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    add("--state", type=Path, metavar="FILE", help="keeps leads and requests here; default: in memory")
    add("--user-identifier", default=USER_IDENTIFIER, metavar="TEXT", help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the draws for faults with a rate; default: 0")
    add(
        "--client-id",
        action="append",
        required=True,
        metavar="ID",
        help="client whose tokens are accepted; may be given again, for a rotation",
    )
    add("--client-secret", metavar="SECRET", help="for tokens issued by the sandbox itself")
    add("--expires-in", type=int, default=3600, metavar="SECONDS", help="life of these tokens; default: 3600")
    add("--token-upstream", metavar="URL", help="token endpoint of the user pool that issues the tokens")
    add("--jwks", metavar="URL", help="that user pool's key set")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    main()
