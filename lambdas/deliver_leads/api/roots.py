"""One TLS context for all connections of an execution environment.

It parses the roots of trust (certifi's) once, which takes some 20 ms of CPU. urllib3 lets each new connection
parse them again, those of requests and of botocore alike, and a first batch opens more than ten.
"""

import ssl
from typing import Any

import certifi
from botocore import httpsession


class _ParsedOnce(ssl.SSLContext):
    _is_parsed = False

    def load_verify_locations(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's signature
        if not self._is_parsed:
            super().load_verify_locations(*args, **kwargs)
            self._is_parsed = True


def tls_context(more_roots: str | None = None) -> ssl.SSLContext:
    """A context that verifies certificate and host name, and keeps the roots that it begins with.

    `more_roots` is a file of PEM certificates, e.g. of the authority of a company's proxy that opens TLS.
    """
    context = _ParsedOnce(ssl.PROTOCOL_TLS_CLIENT)
    if more_roots:
        ssl.SSLContext.load_verify_locations(context, more_roots)
    context.load_verify_locations(certifi.where())
    return context


def share_with_aws(context: ssl.SSLContext) -> None:
    """Lets the AWS clients that are made from now on verify their servers by this context.

    botocore has no public way to hand one in. tests/integration/test_roots.py counts how often roots are
    parsed, and so notices when this is no longer the place.
    """
    vars(httpsession)["create_urllib3_context"] = lambda: context
