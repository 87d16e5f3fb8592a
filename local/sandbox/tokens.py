"""Access tokens of the sandbox: who issues them, and the check each leads call's token goes through.

Two endpoints, one check: `OwnTokenEndpoint` keeps Amazon Cognito's contract by itself, `CognitoUpstream`
passes requests on to a Cognito user pool (the emulator's). The tokens of both are checked in the same way.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import parse_qs

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from werkzeug.datastructures import Authorization

SCOPE = "leads/post"
_UPSTREAM_TIMEOUT_S = 10.0


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
    """Answers token requests and publishes the keys its tokens are signed with."""

    @property
    def client_ids(self) -> frozenset[str]:
        """The clients whose tokens the leads API accepts."""

    def answer(self, request: TokenRequest) -> TokenAnswer: ...

    def jwks(self) -> dict[str, Any]: ...


@lru_cache
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class OwnTokenEndpoint:
    """Amazon Cognito's client credentials grant. Endpoints of one process share their signing key.

    `client_secret` may be changed while it runs, as a rotation does: tokens stay good until they expire.
    """

    client_id: str
    client_secret: str = field(repr=False)
    expires_in_s: int = 3600
    _key: rsa.RSAPrivateKey = field(default_factory=_signing_key, repr=False)
    _key_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def client_ids(self) -> frozenset[str]:
        return frozenset({self.client_id})

    def jwks(self) -> dict[str, Any]:
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": self._key_id, "alg": "RS256", "use": "sig"}]}

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
        return jwt.encode(own | claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

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


@dataclass(frozen=True)
class CognitoUpstream:
    """Passes token requests on to a Cognito user pool's token endpoint and reads its key set."""

    token_url: str
    jwks_url: str
    client_ids: frozenset[str]

    def jwks(self) -> dict[str, Any]:
        """Raises `requests.RequestException` when the key set can't be read."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy meant for the internet can't reach the loopback interface
            answer = session.get(self.jwks_url, timeout=_UPSTREAM_TIMEOUT_S)
            answer.raise_for_status()
            return dict(answer.json())

    def answer(self, request: TokenRequest) -> TokenAnswer:
        """The upstream's own answer; raises `requests.RequestException` when there is none."""
        headers = {"Authorization": request.authorization, "Content-Type": request.content_type}
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                self.token_url, data=request.form, headers=headers, timeout=_UPSTREAM_TIMEOUT_S
            )
        jti = token_id(answer.json()["access_token"]) if answer.status_code == requests.codes.ok else None
        media_type = answer.headers.get("Content-Type", "application/json")
        return TokenAnswer(answer.status_code, answer.content, media_type, jti)


class TokenCheck:
    """Signature (RS256), expiry, scope, use and client of an access token."""

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self._endpoint = endpoint
        self._keys: dict[str, jwt.PyJWK] = {}

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a good token.

        Raises `jwt.PyJWTError` for any other, `requests.RequestException` when the keys can't be read.
        """
        key_id = jwt.get_unverified_header(token).get("kid", "")
        if key_id not in self._keys:  # first token, or the issuer took a new key
            key_set = jwt.PyJWKSet.from_dict(self._endpoint.jwks())
            self._keys = {key.key_id: key for key in key_set.keys if key.key_id}
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("signed with a key the issuer doesn't publish")
        claims: dict[str, Any] = jwt.decode(
            token, self._keys[key_id], algorithms=["RS256"], options={"require": ["exp", "jti"]}
        )
        if SCOPE not in str(claims.get("scope", "")).split():
            raise jwt.InvalidTokenError(f"the scope {SCOPE} is missing")
        if claims.get("token_use", "access") != "access":
            raise jwt.InvalidTokenError("not an access token")
        if claims.get("client_id") not in self._endpoint.client_ids:
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
