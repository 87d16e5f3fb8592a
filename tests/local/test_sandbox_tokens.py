"""The sandbox's token endpoint and its check of access tokens, over real HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.sandbox.server import LeadsApiSandbox
from local.sandbox.tokens import CognitoUpstream, OwnTokenEndpoint
from tests.local.sandbox_caller import CLIENT, FORM, JOHN, Caller, caller_of


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
    """Neither an unknown key nor a known key's id on a foreign signature, nor anything else, will do."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    stranger = OwnTokenEndpoint(*CLIENT, _key=key)
    impostor = OwnTokenEndpoint(*CLIENT, _key=key, _key_id=tokens.jwks()["keys"][0]["kid"])
    for credential in (f"Bearer {stranger.sign()}", f"Bearer {impostor.sign()}", "Bearer x", tokens.sign()):
        api.session.headers["Authorization"] = credential
        assert api.create().status_code == 401


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


def test_with_an_upstream_its_answers_are_passed_on_and_its_keys_decide(
    sandbox: LeadsApiSandbox, tokens: OwnTokenEndpoint
) -> None:
    """Token requests go to the user pool, whose tokens are then good, and are counted here as well."""
    pool = CognitoUpstream(
        sandbox.token_url, f"{sandbox.url}/.well-known/jwks.json", frozenset({tokens.client_id})
    )
    with LeadsApiSandbox(tokens=pool) as front, caller_of(front.url) as caller:
        caller.log_in()
        assert caller.create().status_code == 201
        refused = caller.token(auth=("client-1", "wrong"))
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid_client"})
        assert caller.control("summary")["tokens_fetched"] == 1
        sandbox.close()
        assert caller.token().status_code == 503
