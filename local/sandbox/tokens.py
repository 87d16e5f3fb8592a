"""Access tokens of the sandbox: who issues them, and the check each leads call's token goes through.

Two issuers: `OwnTokenEndpoint` keeps Amazon Cognito's contract by itself; `CognitoUpstream` (cognito.py)
passes requests on to a Cognito user pool (the emulator's). The claims of both are checked in the same way.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import parse_qs

import jwt
from werkzeug.datastructures import Authorization

SCOPE = "leads/post"


class IssuerSilentError(Exception):
    """The user pool that issues the tokens doesn't answer."""


@dataclass(frozen=True)
class TokenRequest:
    """A request to the token endpoint, as it arrived."""

    authorization: str | None
    content_type: str | None
    form: bytes


@dataclass(frozen=True)
class TokenAnswer:
    """What the token endpoint answers; `jti` is the id of the token in it, None for a refusal."""

    status: int
    body: bytes
    content_type: str = "application/json"
    jti: str | None = None


class TokenEndpoint(Protocol):
    """Answers token requests, and knows its own tokens. Both raise `IssuerSilentError`."""

    def answer(self, request: TokenRequest) -> TokenAnswer: ...

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a good token; raises `jwt.PyJWTError` for any other."""


@dataclass
class OwnTokenEndpoint:
    """Amazon Cognito's client credentials grant, with tokens signed by HMAC (Cognito signs by RSA).

    `client_secret` may be changed while it runs, as a rotation does: tokens stay good until they expire.
    Processes with the same `key` take each other's tokens.
    """

    client_id: str
    client_secret: str = field(repr=False)
    expires_in_s: int = 3600
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def sign(self, **claims: object) -> str:
        """A token as this endpoint issues it; `claims` replace its own, for a test that needs a wrong one."""
        now = int(time.time())
        own = {
            "sub": self.client_id,
            "client_id": self.client_id,
            "token_use": "access",
            "scope": SCOPE,
            "iat": now,
            "exp": now + self.expires_in_s,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(own | claims, self.key, algorithm="HS256")

    def claims(self, token: str) -> dict[str, Any]:
        return checked_claims(token, self.key, "HS256", frozenset({self.client_id}))

    def answer(self, request: TokenRequest) -> TokenAnswer:
        error = self._refusal(request)
        if error:
            return TokenAnswer(400, json.dumps({"error": error}).encode())
        token = self.sign()
        body = {"access_token": token, "expires_in": self.expires_in_s, "token_type": "Bearer"}
        return TokenAnswer(200, json.dumps(body).encode(), jti=token_id(token))

    def _refusal(self, request: TokenRequest) -> str | None:
        """The error code of Cognito's token endpoint documentation that fits, None for a good request."""
        client = Authorization.from_header(request.authorization)
        form = parse_qs(request.form.decode("utf-8", "replace"))
        grant = form.get("grant_type", [""])[0]
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded" or not grant:
            return "invalid_request"
        if grant != "client_credentials":
            return "unsupported_grant_type"
        if client is None or client.type != "basic":
            return "invalid_client"
        if (client.username, client.password) != (self.client_id, self.client_secret):
            return "invalid_client"
        # Without a scope, Cognito grants every scope the client may have.
        return "invalid_scope" if form.get("scope", [SCOPE])[0] != SCOPE else None


def checked_claims(
    token: str, key: bytes | jwt.PyJWK, algorithm: str, client_ids: frozenset[str]
) -> dict[str, Any]:
    """Signature, expiry, scope, use and client of an access token. Raises `jwt.PyJWTError`."""
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=[algorithm], options={"require": ["exp", "jti"]}
    )
    if SCOPE not in str(claims.get("scope", "")).split():
        raise jwt.InvalidTokenError(f"the scope {SCOPE} is missing")
    if claims.get("token_use", "access") != "access":
        raise jwt.InvalidTokenError("not an access token")
    if claims.get("client_id") not in client_ids:
        raise jwt.InvalidTokenError("issued to another client")
    return claims


@lru_cache(maxsize=256)  # parsing costs more than everything else in a call but the signature
def token_id(token: str) -> str | None:
    """The `jti` of a token, good or bad, by which a request is recognised; None if it has none."""
    try:
        jti = jwt.decode(token, options={"verify_signature": False}).get("jti")
    except jwt.PyJWTError:
        return None
    return jti if isinstance(jti, str) and jti.isascii() else None
