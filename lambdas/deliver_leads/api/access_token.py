"""The client's credentials from Secrets Manager, and the access token they buy from the token endpoint."""

import base64
import json
import threading
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..contract import CREDENTIAL_NAMES, PLACEHOLDER
from ..outcome import BlockedError, RetryError
from .http_client import Deadline, HttpClient, NoAnswerError, NotSentError, read_retry_after

SCOPE = "leads/post"  # the API document
# Amazon Cognito's guidance for cached client-credentials tokens: use them for about 75 % of their life.
USED_SHARE_OF_LIFE = 0.75


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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._secrets = secrets
        self._secret_id = secret_id
        self._token_url = token_url
        self._clock = clock
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._token: AccessToken | None = None
        self._failures = 0
        self._last_failure: RetryError | None = None

    def get(self, deadline: Deadline, refused: AccessToken | None = None) -> AccessToken:
        """The cached token, or a new one when there is none, it is about to end, or it is the `refused` one.

        Raises `BlockedError` when a person has to fix the credentials or the token URL, else `RetryError`.
        """
        failures_before = self._failures
        with self._lock:
            token = self._token
            if token is not None and token is not refused and self._clock() < token.fresh_until:
                return token
            if self._failures != failures_before and self._last_failure is not None:
                # The thread that fetched while this one waited has failed; each lead gets its own error.
                raise copy(self._last_failure) from None
            try:
                self._token = self._fetch_with_current_secret(deadline)
            except RetryError as error:
                self._failures += 1
                self._last_failure = error
                raise
            return self._token

    def forget_credentials(self) -> None:
        """To be called when the API refuses them: the secret is read anew before the next token."""
        with self._lock:
            self._credentials = None
            self._token = None

    def _fetch_with_current_secret(self, deadline: Deadline) -> AccessToken:
        known = self._credentials
        credentials = known or self._read_secret()
        try:
            token = self._fetch(credentials, deadline)
        except BlockedError:
            self._credentials = None
            # The secret may have been rotated since it was read.
            if known is None or (credentials := self._read_secret()) == known:
                raise
            token = self._fetch(credentials, deadline)
        self._credentials = credentials
        return token

    def _fetch(self, credentials: Credentials, deadline: Deadline) -> AccessToken:
        basic = base64.b64encode(f"{credentials.client_id}:{credentials.client_secret}".encode()).decode()
        asked_at = self._clock()
        try:
            response = self._http.send(
                "POST",
                self._token_url,
                deadline,
                headers={"Authorization": f"Basic {basic}"},
                data={"grant_type": "client_credentials", "scope": SCOPE},
            )
        except (NotSentError, NoAnswerError) as error:
            raise RetryError(f"token endpoint: {error}") from None
        status = response.status_code
        if status == 429 or status >= 500:
            wait = read_retry_after(response.headers.get("Retry-After"), asked_at)
            raise RetryError(f"token endpoint answered {status}", status=status, retry_after_s=wait)
        answer = _json_object(response.content)
        if status != 200:
            raise self._refusal(status, answer.get("error"))
        value, lifetime_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(value, str) or not isinstance(lifetime_s, int | float) or lifetime_s <= 0:
            raise RetryError("token endpoint answered 200 without a token")
        return AccessToken(
            value, credentials.user_identifier, fresh_until=asked_at + lifetime_s * USED_SHARE_OF_LIFE
        )

    def _refusal(self, status: int, error: object) -> BlockedError:
        if isinstance(error, str) and error.replace("_", "").isalpha():
            hint = {
                "invalid_client": f"check client_id and client_secret; {self._how_to_fill_secret()}",
                "invalid_scope": f"the client may not use the scope {SCOPE}; ask 7Targets support",
            }.get(error, f"check the setting tokenUrl and the client; {self._how_to_fill_secret()}")
            return BlockedError(f"token endpoint answered {status} {error}: {hint}", status=status)
        return BlockedError(f"token endpoint answered {status}: check the setting tokenUrl", status=status)

    def _read_secret(self) -> Credentials:
        try:
            text = self._secrets.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in {"ResourceNotFoundException", "AccessDeniedException", "InvalidRequestException"}:
                raise BlockedError(f"secret {self._secret_id} can't be read ({code})") from None
            raise RetryError(f"secret {self._secret_id} can't be read now ({code})") from None
        except BotoCoreError as error:
            raise RetryError(f"secret {self._secret_id} can't be read now ({type(error).__name__})") from None
        content = _json_object(text.encode())
        values = [content.get(name) for name in CREDENTIAL_NAMES]
        bad = [
            name
            for name, value in zip(CREDENTIAL_NAMES, values, strict=True)
            if not isinstance(value, str) or not value.strip() or PLACEHOLDER in value
        ]
        if bad:
            raise BlockedError(
                f"secret {self._secret_id} holds no usable {', '.join(bad)}; {self._how_to_fill_secret()}"
            )
        return Credentials(*(str(value).strip() for value in values))

    def _how_to_fill_secret(self) -> str:
        return (
            f"fill it with: aws secretsmanager put-secret-value --secret-id {self._secret_id}"
            ' --secret-string \'{"client_id": "…", "client_secret": "…", "user_identifier": "…"}\''
        )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
