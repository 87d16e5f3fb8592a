"""The sandbox's token endpoint and its check of access tokens, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from werkzeug import Request, Response

from local.sandbox.cognito import CognitoUpstream
from local.sandbox.server import KeepAliveServer, LeadsApiSandbox
from local.sandbox.tokens import OwnTokenEndpoint, TokenRequest
from tests.local.sandbox_caller import CLIENT, FORM, JOHN, Caller, caller_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def test_the_token_endpoint_keeps_cognitos_contract(api: Caller) -> None:
    """A good request gets a bearer token for an hour."""
    answer = api.token()
    assert answer.status_code == 200
    assert answer.json() == {"access_token": answer.json()["access_token"], "expires_in": 3600} | {
        "token_type": "Bearer"
    }


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"auth": ("client-1", "wrong")}, "invalid_client"),
        ({"auth": ("client-2", "secret-1")}, "invalid_client"),
        ({"auth": None, "headers": {"Authorization": ""}}, "invalid_client"),
        ({"data": FORM | {"scope": "leads/read"}}, "invalid_scope"),
        ({"data": FORM | {"grant_type": "password"}}, "unsupported_grant_type"),
        ({"data": {"scope": "leads/post"}}, "invalid_request"),
        ({"data": None, "json": FORM}, "invalid_request"),
    ],
)
def test_a_wrong_token_request_gets_cognitos_error(api: Caller, change: dict[str, Any], error: str) -> None:
    """Every refusal is a 400 with the error code of Cognito's contract."""
    answer = api.token(**change)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) - 1},
        {"scope": "leads/read"},
        {"token_use": "id"},
        {"client_id": "client-2"},
        {"jti": None},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_a_token_with_a_wrong_claim_is_refused(
    api: Caller, tokens: OwnTokenEndpoint, claims: dict[str, Any]
) -> None:
    """Expiry, scope, use and client are checked, not only the signature."""
    api.session.headers["Authorization"] = f"Bearer {tokens.sign(**claims)}"
    answer = api.create()
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert api.control("leads") == []


def test_a_token_signed_by_somebody_else_is_refused(api: Caller, tokens: OwnTokenEndpoint) -> None:
    """Neither a foreign signature, nor none, nor anything else, will do."""
    stranger = OwnTokenEndpoint(*CLIENT).sign()
    unsigned = jwt.encode(tokens.claims(tokens.sign()), "", algorithm="none")
    for credential in (f"Bearer {stranger}", f"Bearer {unsigned}", "Bearer x", tokens.sign()):
        api.session.headers["Authorization"] = credential
        assert api.create().status_code == 401


def test_processes_with_one_key_take_each_other_s_tokens(api: Caller, tokens: OwnTokenEndpoint) -> None:
    """The sandbox on Lambda runs in several, and a secret that is rotated leaves earlier tokens good."""
    api.session.headers["Authorization"] = (
        f"Bearer {OwnTokenEndpoint('client-1', 'other', key=tokens.key).sign()}"
    )
    assert api.create().status_code == 201


def test_revoking_refuses_old_tokens_and_leaves_new_ones(api: Caller) -> None:
    """A revoked token answers 401; the next one fetched is good."""
    assert api.create().status_code == 201
    assert api.call("POST", "/_sandbox/revoke").json() == {"revoked": 1}
    assert api.create().status_code == 401
    api.log_in()
    assert api.create().status_code == 201


@pytest.mark.parametrize("identifier", [None, "", "someone@example.com"])
def test_a_wrong_user_identifier_is_refused(api: Caller, identifier: str | None) -> None:
    """The header must be there and name the configured user."""
    answer = api.call("POST", "/leads", JOHN, headers={"7ts-user-identifier": identifier})
    assert (answer.status_code, "7ts-user-identifier" in answer.json()["message"]) == (403, True)


class UserPool:
    """A token endpoint that signs as Cognito does, and its key set."""

    def __init__(self, tokens: OwnTokenEndpoint) -> None:
        self._tokens = tokens
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.method == "GET":
            key = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return Response(json.dumps({"keys": [{**key, "kid": "1"}]}))(environ, start_response)
        asked = TokenRequest(request.headers["Authorization"], request.content_type, request.get_data())
        answer = self._tokens.answer(asked)
        body = json.loads(answer.body)
        if answer.status == 200:
            claims = self._tokens.claims(body["access_token"])
            body["access_token"] = jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": "1"})
        return Response(json.dumps(body), answer.status)(environ, start_response)


def test_with_an_upstream_its_answers_are_passed_on_and_its_keys_decide(tokens: OwnTokenEndpoint) -> None:
    """Token requests go to the user pool, whose tokens are then good, and are counted here as well."""
    pool = KeepAliveServer(0, UserPool(tokens))
    serving = threading.Thread(target=pool.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    url = f"http://127.0.0.1:{pool.port}"
    upstream = CognitoUpstream(f"{url}/oauth2/token", url, frozenset({tokens.client_id}))
    with LeadsApiSandbox(tokens=upstream) as front, caller_of(front.url) as caller:
        try:
            caller.log_in()
            assert caller.create().status_code == 201
            refused = caller.token(auth=("client-1", "wrong"))
            assert (refused.status_code, refused.json()) == (400, {"error": "invalid_client"})
            assert caller.control("summary")["tokens_fetched"] == 1
            caller.session.headers["Authorization"] = f"Bearer {tokens.sign()}"
            assert caller.create().status_code == 401
        finally:
            pool.shutdown()
            serving.join()
            pool.server_close()
        assert caller.token().status_code == 503
