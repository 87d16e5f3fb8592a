"""Trying client credentials at the token endpoint, before they take the place of those that work."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from urllib.parse import urlsplit

from leadctl.problems import ProblemError, ToBeFixedError

SCOPE = "leads/post"  # the API document
TIMEOUT_S = 30
# RFC 6749, 5.2
_REFUSED = {
    "invalid_client": "client_id or client_secret is wrong",
    "invalid_scope": f"the client may not use the scope {SCOPE}: ask 7Targets support",
    "unauthorized_client": "the client may not use the client credentials grant: ask 7Targets support",
}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """A redirect would take the secret elsewhere."""


def try_credentials(token_url: str, client_id: str, client_secret: str) -> None:
    """Returns if the endpoint gives a token. Raises `ToBeFixedError` when it refuses, else `ProblemError`."""
    basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    body = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": SCOPE}).encode()
    if urlsplit(token_url).scheme not in {"https", "http"}:
        raise ProblemError(f"The setting tokenUrl is no web address: {token_url}")
    request = urllib.request.Request(  # noqa: S310 - checked above
        token_url,
        body,
        {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
    )
    is_here = urlsplit(token_url).hostname in {"127.0.0.1", "localhost", "::1"}
    handlers: list[urllib.request.BaseHandler] = [
        _NoRedirect(),
        *([urllib.request.ProxyHandler({})] if is_here else []),
    ]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as answer:
            content = answer.read()
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise ProblemError(
            f"Nothing was stored, because the token endpoint can't be asked: {reason}. Try again, or from "
            f"where {urlsplit(token_url).hostname} can be reached."
        ) from None
    if "access_token" not in _object(content):
        raise ProblemError("Nothing was stored, because the token endpoint answered without a token.")


def _refusal(error: urllib.error.HTTPError) -> ProblemError:
    code = str(_object(error.read()).get("error", ""))
    if code in _REFUSED:
        return ToBeFixedError(
            f"Nothing was stored, because the token endpoint refuses them: {_REFUSED[code]}."
        )
    return ProblemError(f"Nothing was stored, because the token endpoint answered {error.code}.")


def _object(content: bytes) -> dict[str, object]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
