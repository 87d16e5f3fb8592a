"""HTTP calls out of the function: one pooled session for all threads, and what a failed call means.

Why threads can share one session: nothing is written to it after its construction, cookies are refused, the
token goes with each request, and its pool is as large as the number of threads.
"""

import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from ..outcome import DeferredError

Deadline = Callable[[], float]
"""Seconds that are left to the invocation."""

# Left over for what follows the last call: the ledger, the dead letter, the answer to Lambda. It covers the
# time-outs and tries of the AWS clients in handler.py.
RESERVE_S = 10.0
# A connection that idled longer may have been dropped by a network device without a word; a create sent over
# it would go unanswered. Load balancers commonly drop after 60 s.
LONGEST_IDLE_S = 20.0


class NotSentError(Exception):
    """The call failed before a request left this machine."""


class NoAnswerError(Exception):
    """The request left, or may have left, and no whole answer came back."""


class _SharedContextAdapter(HTTPAdapter):
    """Parses the CA bundle once instead of at every new connection (39 ms of CPU each)."""

    def __init__(self, pool_size: int) -> None:
        self._context = ssl.create_default_context(cafile=certifi.where())
        super().__init__(pool_maxsize=pool_size, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - the base class's signature
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - as above
        """The shared context verifies; the base class would load the CA bundle for each connection again."""


class HttpClient:
    """Makes one call at a time per thread, and none that can't end before the invocation's deadline."""

    def __init__(self, pool_size: int, connect_timeout_s: float, read_timeout_s: float) -> None:
        self.longest_call_s = connect_timeout_s + read_timeout_s
        self._timeout = (connect_timeout_s, read_timeout_s)
        self._last_used = time.time()
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, netrc or CA bundle by surprise
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _SharedContextAdapter(pool_size))

    def send(self, method: str, url: str, deadline: Deadline, **request: Any) -> requests.Response:  # noqa: ANN401
        """Raises `DeferredError` when the time left is too short, `NotSentError` or `NoAnswerError`."""
        self.require_time(deadline)
        try:
            return self._session.request(method, url, timeout=self._timeout, allow_redirects=False, **request)
        except requests.ConnectTimeout:
            raise NotSentError("no connection in time") from None
        except requests.ConnectionError as error:
            kind = _connection_fault(error)
            if kind:
                raise NotSentError(kind) from None
            raise NoAnswerError("the connection broke") from None
        except requests.Timeout:
            raise NoAnswerError("no answer in time") from None
        except requests.RequestException as error:
            raise NoAnswerError(f"the answer could not be read ({type(error).__name__})") from None

    def require_time(self, deadline: Deadline) -> None:
        """Raises `DeferredError` when one more call might not end before the deadline."""
        if deadline() < self.longest_call_s + RESERVE_S:
            raise DeferredError("not tried, because the invocation's time is nearly over", delay_s=0)

    def drop_idle_connections(self) -> None:
        """To be called at an invocation's start, before any thread sends: see `LONGEST_IDLE_S`."""
        now = time.time()
        if now - self._last_used > LONGEST_IDLE_S:
            self._session.close()
        self._last_used = now


def read_retry_after(value: str | None, now: float) -> float | None:
    """`Retry-After` in seconds from `now` (epoch), from either of its forms (RFC 9110, 10.2.3); else None."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _connection_fault(error: requests.ConnectionError) -> str | None:
    """What kept the connection from being made; None when it was made, so that a request may have left."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else None
    if isinstance(reason, NewConnectionError):  # covers a name that can't be resolved
        return "no connection"
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the server's certificate is not trusted"
    return None
