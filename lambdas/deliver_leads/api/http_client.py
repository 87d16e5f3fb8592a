"""HTTP calls out of the function: bounded in time and in size, and what a failed one means.

Why threads can share one session: nothing is written to it after its construction, cookies are refused, the
token goes with each request, and its pool is as large as the number of threads.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import IncompleteRead
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from ..contract import RESERVE_S
from ..outcome import DeferredError
from .bounded_connection import AnswerTooLargeError, BoundedAdapter, Call, begin_call, end_call
from .roots import tls_context

TimeLeft = Callable[[], float]
"""Seconds that are left to the invocation."""

# The AWS clients in handler.py have these. Between two tries, botocore's standard mode waits at most 1 s.
AWS_CONNECT_TIMEOUT_S = 1
AWS_READ_TIMEOUT_S = 3
AWS_TRIES = 2
LONGEST_AWS_CALL_S = AWS_TRIES * (AWS_CONNECT_TIMEOUT_S + AWS_READ_TIMEOUT_S) + (AWS_TRIES - 1)
# The limit of an answer's head and body together, and again of the body after it is decompressed. A lead
# takes a few kilobytes; each thread may hold one answer.
LARGEST_ANSWER_BYTES = 1024 * 1024
LARGEST_REFUSAL_BYTES = 16 * 1024
USER_AGENT = "7targets-lead-delivery"
# A network device may have dropped a connection that idled longer, and neither end knows; a create sent
# over it would go unanswered. Load balancers commonly drop after 60 s.
LONGEST_IDLE_S = 20.0


class NotSentError(Exception):
    """The call failed before a request left this machine."""


class InterimAnswerError(Exception):
    """Only a 1xx came, other than the usual 100."""


class NoAnswerError(Exception):
    """The request left, or may have left, and no whole answer came back."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. The names of `headers` ignore case; `content` is the body, decompressed."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, because the token would go along. Even with `allow_redirects=False`, requests would read a
        redirect's body.
        """


class HttpClient:
    """Makes one call at a time per thread, and none that can't end before the invocation does.

    `connect_timeout_s` is for the name, all of its addresses and the TLS handshake together;
    `read_timeout_s` is from the first byte of the request to the last byte of its answer.
    """

    def __init__(
        self,
        pool_size: int,
        connect_timeout_s: float,
        read_timeout_s: float,
        tls: ssl.SSLContext | None = None,
        proxy_url: str | None = None,
    ) -> None:
        self.longest_call_s = connect_timeout_s + read_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._last_used = time.time()
        self._proxies = {"https": proxy_url} if proxy_url else {}
        self._session = _Session()
        self._session.trust_env = False  # no netrc, CA bundle or exception from the proxy by surprise
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = BoundedAdapter(pool_size, tls or tls_context())
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)

    def send(self, method: str, url: str, time_left: TimeLeft, **request: Any) -> HttpAnswer:  # noqa: ANN401
        """Raises `DeferredError` when the time left is too short, `NotSentError` or `NoAnswerError`."""
        self.require_time(time_left)
        call = begin_call(self._connect_timeout_s, self._read_timeout_s, LARGEST_ANSWER_BYTES)
        try:
            return self._exchange(method, url, request)
        except Exception as error:  # for any error, what counts is whether the request may have left
            raise _fault(call, error) from None
        finally:
            end_call()

    def _exchange(self, method: str, url: str, request: Mapping[str, Any]) -> HttpAnswer:
        prepared = requests.Request(method, url, **request).prepare()  # the session has nothing to add
        prepared.headers.update({"Accept-Encoding": "identity", "User-Agent": USER_AGENT})
        timeout = (self._connect_timeout_s, self._read_timeout_s)
        # On leaving the block, a connection with an unread rest of the answer is closed.
        with self._session.send(
            prepared,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            verify=True,
            cert=None,
            proxies=self._proxies,
        ) as response:
            if response.status_code < HTTPStatus.OK:
                # No answer of HTTP follows, and none may be taken for the next request's.
                raise InterimAnswerError
            if 400 <= response.status_code < 500:
                return HttpAnswer(response.status_code, response.headers, _first_words(response))
            content = response.raw.read(LARGEST_ANSWER_BYTES + 1, decode_content=True)
            if len(content) > LARGEST_ANSWER_BYTES:
                raise AnswerTooLargeError
            return HttpAnswer(response.status_code, response.headers, content)

    def require_time(self, time_left: TimeLeft) -> None:
        """Raises `DeferredError` when one more call might not end before the invocation does."""
        if time_left() < self.longest_call_s + RESERVE_S:
            raise DeferredError("not tried, because the invocation's time is nearly over", delay_s=0)

    def drop_idle_connections(self) -> None:
        """To be called at an invocation's start, before any thread sends: see `LONGEST_IDLE_S`."""
        now = time.time()
        if now - self._last_used > LONGEST_IDLE_S:
            self._session.close()
        self._last_used = now


def _first_words(response: requests.Response) -> bytes:
    """As much of a refusal as a person needs: its status alone says that it is one."""
    try:
        content: bytes = response.raw.read(LARGEST_REFUSAL_BYTES, decode_content=True)
    except Exception:
        return b""
    return content


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


# The first that fits counts.
_NOT_SENT: Mapping[type[Exception], str] = {
    TimeoutError: "no connection in time",
    socket.gaierror: "the host's name can't be resolved",
    ssl.SSLCertVerificationError: "the server's certificate is not trusted",
    requests.exceptions.ProxyError: "no connection through the proxy",
    requests.ConnectionError: "no connection",
}


def _fault(call: Call, error: Exception) -> NotSentError | NoAnswerError:
    """Says what happened, without the error's own words: these may quote the request."""
    causes = tuple(_causes(error))

    def is_due_to(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if not call.request_left:
        for kind, words in _NOT_SENT.items():
            if is_due_to(kind):
                return NotSentError(words)
        return NotSentError(f"the request could not be made ({type(error).__name__})")
    if is_due_to(TimeoutError):
        return NoAnswerError("no answer in time")
    if is_due_to(AnswerTooLargeError):
        return NoAnswerError(f"the answer is larger than {LARGEST_ANSWER_BYTES // 1024} KiB")
    if is_due_to(ConnectionError, IncompleteRead):
        return NoAnswerError("the connection broke")
    return NoAnswerError(f"the answer could not be read ({type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it arose from: requests and urllib3 wrap an error several times."""
    while error is not None:
        yield error
        # Behind a proxy urllib3 wraps an error of TLS without raising it.
        wrapped = next((each for each in error.args if isinstance(each, BaseException)), None)
        error = error.__cause__ or error.__context__ or wrapped
