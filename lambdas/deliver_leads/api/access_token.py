"""The client's credentials from Secrets Manager, and the access token they buy from the token endpoint."""

import base64
import json
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeGuard

from botocore.exceptions import BotoCoreError, ClientError

from ..contract import CREDENTIAL_NAMES, PLACEHOLDER, Metric
from ..outcome import BlockedError, DeferredError, RetryError
from .call_tally import CallTally
from .http_client import HttpClient, NoAnswerError, NotSentError, TimeLeft, read_retry_after

SCOPE = "leads/post"  # the API document
# Amazon Cognito's guidance for cached client-credentials tokens: use them for about 75 % of their validity.
USED_SHARE_OF_LIFE = 0.75
# OAuth only recommends `expires_in` (RFC 6749, 5.1). Cognito's tokens are valid for 5 minutes to a day.
UNTOLD_LIFE_S = 300.0
LONGEST_LIFE_S = 86_400.0
# A 401 or 403 may be the fault of the secret, of the token, or of one lead (an assistant that the user isn't
# assigned to). So a lead that is refused again and again must not buy a token, or read the secret, each time;
# and a corrected secret should not wait for the end of the cached token.
REFUSAL_INTERVAL_S = 300.0
# The error codes of RFC 6749, 5.2. A log may repeat these; any other text may hold what was sent.
OAUTH_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
}
# What a person has to do, by Secrets Manager's code for a secret that can't be read.
UNREADABLE_SECRET = {
    "ResourceNotFoundException": "it is gone for good, which CloudFormation doesn't see; delete the stack, "
    "and deploy it again",
    "AccessDeniedException": "the function's role may not read it; deploy the stack again, and look for a "
    "permissions boundary or a service control policy that forbids it",
    "InvalidRequestException": "it was deleted; aws secretsmanager restore-secret brings it back",
}
# These statuses pass by themselves: time-out, too early, too many requests.
PASSING_STATUSES = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What 7Targets support sends (client id and secret) and what its UI shows (user identifier)."""

    client_id: str
    client_secret: str = field(repr=False)
    user_identifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and the user identifier that must go with it in every leads call."""

    value: str = field(repr=False)
    user_identifier: str = field(repr=False)
    fresh_until: float


class AccessTokens:
    """Hands out one access token to all threads of an execution environment, between invocations too.

    Renewal is single-flight: one thread fetches, the others wait and share its token, or its error.
    """

    def __init__(
        self,
        http: HttpClient,
        secrets: Any,  # noqa: ANN401 - a boto3 Secrets Manager client, whose type exists in the stubs only
        secret_id: str,
        token_url: str,
        calls: CallTally,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._secret_id = secret_id
        self._token_url = token_url
        self._calls = calls
        self._clock = clock
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._token: AccessToken | None = None
        self._secret_in_doubt = False
        self._reread_from = 0.0
        self._replace_from = 0.0
        self._failures = 0
        self._last_failure: RetryError | None = None

    @property
    def is_first(self) -> bool:
        """Whether no token was asked for yet."""
        return self._token is None and not self._failures

    def get(self, time_left: TimeLeft, refused: AccessToken | None = None) -> AccessToken:
        """The cached token, or a new one when there is none, it is about to end, or it is the `refused` one.

        Raises `BlockedError` when a person has to fix the credentials or the token URL, else `RetryError`.
        """
        failures_before = self._failures
        with self._lock:
            self._check_doubted_secret()
            token = self._token
            if token is not None and token is not refused and self._clock() < token.fresh_until:
                return token
            if token is not None and token is refused and self._clock() < self._replace_from:
                self._secret_in_doubt = True
                raise RetryError(
                    "leads API answered 401 to a new token too; the next one is asked for within 5 minutes",
                    status=HTTPStatus.UNAUTHORIZED,
                )
            if self._failures != failures_before and self._last_failure is not None:
                # The thread that fetched while this one waited has failed; each lead gets its own error.
                raise copy(self._last_failure) from None
            try:
                self._token = self._fetch_with_current_secret(time_left)
            except RetryError as error:
                self._failures += 1
                self._last_failure = error
                if not isinstance(error, DeferredError):
                    self._calls.count(Metric.TOKENS_FAILED)
                raise
            self._calls.count(Metric.TOKENS_FETCHED)
            return self._token

    def doubt_credentials(self, refused: AccessToken | None = None) -> None:
        """To be called when the API refuses them: the secret is read again; if it changed, so is the token.

        `refused` is a token that was answered 401 although it had just replaced another one; it isn't
        replaced at once. Both happen at most once in `REFUSAL_INTERVAL_S`.
        """
        with self._lock:
            self._secret_in_doubt = True
            if refused is not None and refused is self._token:
                self._replace_from = self._clock() + REFUSAL_INTERVAL_S

    def _check_doubted_secret(self) -> None:
        """Raises as `get` does, and keeps a token that may still serve the other leads."""
        if not self._secret_in_doubt or self._clock() < self._reread_from:
            return
        self._reread_from = self._clock() + REFUSAL_INTERVAL_S
        credentials = self.read_secret()
        self._secret_in_doubt = False
        if credentials != self._credentials:
            self._credentials = credentials
            self._token = None

    def _fetch_with_current_secret(self, time_left: TimeLeft) -> AccessToken:
        known = self._credentials
        credentials = known or self.read_secret()
        try:
            token = self.fetch(credentials, time_left)
        except BlockedError:
            self._credentials = None
            # The secret may have been rotated since it was read.
            if known is None or (credentials := self.read_secret()) == known:
                raise
            token = self.fetch(credentials, time_left)
        self._credentials = credentials
        return token

    def fetch(self, credentials: Credentials, time_left: TimeLeft) -> AccessToken:
        """A new token for these credentials, beside the cached one; raises as `get` does."""
        basic = base64.b64encode(f"{credentials.client_id}:{credentials.client_secret}".encode()).decode()
        asked_at = self._clock()
        try:
            response = self._http.send(
                "POST",
                self._token_url,
                time_left,
                headers={"Authorization": f"Basic {basic}"},
                data={"grant_type": "client_credentials", "scope": SCOPE},
            )
        except (NotSentError, NoAnswerError) as error:
            raise RetryError(f"token endpoint: {error}") from None
        status = response.status_code
        if status in PASSING_STATUSES or status >= 500:
            wait = read_retry_after(response.headers.get("Retry-After"), asked_at)
            raise RetryError(f"token endpoint answered {status}", status=status, retry_after_s=wait)
        answer = _json_object(response.content)
        if status != 200:
            raise self._refusal(status, answer.get("error"))
        value = answer.get("access_token")
        if not _fits_a_header(value):
            raise RetryError("token endpoint answered 200 without a token")
        life_s = _life_s(answer.get("expires_in"))
        return AccessToken(
            value, credentials.user_identifier, fresh_until=asked_at + life_s * USED_SHARE_OF_LIFE
        )

    def _refusal(self, status: int, error: object) -> BlockedError:
        if isinstance(error, str) and error in OAUTH_ERRORS:
            hint = {
                "invalid_client": "check client_id and client_secret, and ask 7Targets support whether the "
                f"client was revoked; {self._how_to_fill_secret()}",
                "invalid_scope": f"the client may not use the scope {SCOPE}; ask 7Targets support",
            }.get(error, f"check the setting tokenUrl and the client; {self._how_to_fill_secret()}")
            return BlockedError(f"token endpoint answered {status} {error}", remedy=hint, status=status)
        what, hint = f"token endpoint answered {status}", "check the setting tokenUrl"
        return BlockedError(what, remedy=hint, status=status)

    def read_secret(self) -> Credentials:
        """The credentials as they are now; raises as `get` does."""
        try:
            text = self._secrets.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in UNREADABLE_SECRET:
                what, hint = f"secret {self._secret_id} can't be read ({code})", UNREADABLE_SECRET[code]
                raise BlockedError(what, remedy=hint) from None
            raise RetryError(f"secret {self._secret_id} can't be read now ({code})") from None
        except BotoCoreError as error:
            raise RetryError(f"secret {self._secret_id} can't be read now ({type(error).__name__})") from None
        content = self._parsed(text)
        values = {name: _stripped(content.get(name)) for name in CREDENTIAL_NAMES}
        bad = [name for name, value in values.items() if not _fits_a_header(value) or PLACEHOLDER in value]
        if bad:
            is_unfilled = any(PLACEHOLDER in values[name] for name in bad)
            usable = "text of printable ASCII characters, without a line break"
            why = "still the placeholder" if is_unfilled else f"each must be {usable}"
            raise BlockedError(
                f"secret {self._secret_id} holds no usable {', '.join(bad)} ({why})",
                remedy=self._how_to_fill_secret(),
            )
        return Credentials(**values)

    def _parsed(self, secret: str) -> dict[str, Any]:
        """Raises `BlockedError`, which repeats nothing of the secret."""
        # Windows' editors and PowerShell put a byte order mark before what they save.
        text = secret.lstrip("\ufeff")
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            place = len(secret) - len(text) + error.pos + 1
            what = f"isn't JSON: reading it fails at character {place}" if text.strip() else "is empty"
        except (ValueError, RecursionError):
            what = "isn't JSON"
        else:
            if isinstance(content, dict):
                return content
            what = "is JSON, but no object"
        raise BlockedError(f"secret {self._secret_id} {what}", remedy=self._how_to_fill_secret())

    def _how_to_fill_secret(self) -> str:
        return (
            f"fill it with: aws secretsmanager put-secret-value --secret-id {self._secret_id}"
            ' --secret-string \'{"client_id": "…", "client_secret": "…", "user_identifier": "…"}\''
        )


def _json_object(text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _stripped(value: object) -> str:
    """The text without the white space that a copied text often ends with; empty for what is no text."""
    return value.strip() if isinstance(value, str) else ""


def _fits_a_header(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _life_s(expires_in: object) -> float:
    """For how long a token is valid, if the answer is plausible; some endpoints send the number as a text."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return UNTOLD_LIFE_S
    try:
        life_s = float(expires_in)
    except (ValueError, OverflowError):
        return UNTOLD_LIFE_S
    return life_s if 0 < life_s <= LONGEST_LIFE_S else UNTOLD_LIFE_S
