"""Tokens of a Cognito user pool (the emulator's), passed on and checked: for the sandbox as a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jwt
import requests

from local.sandbox.tokens import IssuerSilentError, TokenAnswer, TokenRequest, checked_claims, token_id

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class CognitoUpstream:
    """Passes token requests on to a Cognito user pool's token endpoint and reads its key set."""

    token_url: str
    jwks_url: str
    client_ids: frozenset[str]
    _keys: dict[str, jwt.PyJWK] = field(default_factory=dict)

    def answer(self, request: TokenRequest) -> TokenAnswer:
        """The upstream's own answer; raises `IssuerSilentError` when there is none."""
        headers = {"Authorization": request.authorization, "Content-Type": request.content_type}
        answer = _call("POST", self.token_url, data=request.form, headers=headers)
        jti = token_id(answer.json()["access_token"]) if answer.status_code == requests.codes.ok else None
        media_type = answer.headers.get("Content-Type", "application/json")
        return TokenAnswer(answer.status_code, answer.content, media_type, jti)

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a good token. Raises `jwt.PyJWTError` for any other, or `IssuerSilentError`."""
        key_id = jwt.get_unverified_header(token).get("kid", "")
        if key_id not in self._keys:  # first token, or the issuer took a new key
            key_set = jwt.PyJWKSet.from_dict(_call("GET", self.jwks_url).json())
            self._keys.update({key.key_id: key for key in key_set.keys if key.key_id})
        if key_id not in self._keys:
            raise jwt.InvalidKeyError("signed with a key the issuer doesn't publish")
        return checked_claims(token, self._keys[key_id], "RS256", self.client_ids)


def _call(method: str, url: str, **arguments: Any) -> requests.Response:  # noqa: ANN401 - requests' own
    with requests.Session() as session:
        session.trust_env = False  # a proxy meant for the internet can't reach the loopback interface
        try:
            answer = session.request(method, url, timeout=_TIMEOUT_S, **arguments)
            if method == "GET":
                answer.raise_for_status()
        except requests.RequestException as error:
            raise IssuerSilentError(str(error)) from None
        return answer
