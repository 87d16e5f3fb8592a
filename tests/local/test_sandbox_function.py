"""What the sandbox does as a function only: environments share it, invocations steer it."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from local.sandbox import function
from local.sandbox.dynamodb_store import DynamoDbStore
from local.sandbox.leads import SandboxLeads
from tests.local.sandbox_caller import CLIENT, JOHN
from tests.local.sandbox_function import TABLE, url_event

if TYPE_CHECKING:
    from tests.local.sandbox_caller import Caller


@pytest.mark.parametrize("path", ["/_sandbox/leads", "/_sandbox", "/_sandbox/reset"])
def test_the_url_shows_and_steers_nothing(function_api: Caller, path: str) -> None:
    """It is open to the internet: who may invoke the function is decided by IAM."""
    function_api.create()
    answer = function.handler(url_event("POST", path, {}), None)
    assert (answer["statusCode"], answer["body"]) == (404, "")
    assert len(function_api.control("leads")) == 1


def test_of_two_creates_at_once_the_second_is_a_repeat(function_api: Caller) -> None:
    """Another environment's create between the read and the write makes the work start again."""
    store, other = (DynamoDbStore(boto3.client("dynamodb"), TABLE) for _ in range(2))
    leads = SandboxLeads(store)
    calls: list[str] = []

    def create() -> str:
        _, effect = leads.create(JOHN)
        if not calls:
            other.apply(partial(SandboxLeads(other).create, JOHN))
        calls.append(effect)
        return effect

    assert store.apply(create) == "created_again"
    assert calls == ["created", "created_again"]
    assert [lead["creates"] for lead in store.leads()] == [2]


def test_environments_share_the_fault_rules_and_their_turns(function_api: Caller) -> None:
    """Three turns are three turns, whichever environment the requests come to; new rules count from none."""
    for _ in range(2):
        function_api.script(
            "create", {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}}, times=3
        )
        answers = [function_api.create() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [429, 429, 429, 201, 201]
        assert answers[0].headers["Retry-After"] == "2"
    function_api.call("POST", "/_sandbox/reset")
    assert function_api.create().status_code == 201


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "cut_after"}, "rule 1: cut_after can't be played by a function behind a URL"),
        ({"kind": "drip", "part": "body", "seconds": 1}, "rule 1: drip can't be played by a function"),
        ({"kind": "delay", "seconds": 51}, "rule 1: a function delays by 50 seconds at most"),
    ],
)
def test_a_fault_that_a_url_can_t_play_is_refused(
    function_api: Caller, fault: dict[str, Any], words: str
) -> None:
    """A rule that did nothing would let a test pass for the wrong reason."""
    answer = function_api.call("PUT", "/_sandbox/faults", [{"operation": "create", "fault": fault}])
    assert answer.status_code == 400
    assert words in answer.json()["message"]
    assert function_api.create().status_code == 201


def test_after_a_rotation_the_new_secret_counts_and_earlier_tokens_stay_good(function_api: Caller) -> None:
    """As with Cognito; the sandbox reads the secret that the delivering function reads."""
    client = boto3.client("secretsmanager")
    secret = json.loads(client.get_secret_value(SecretId=os.environ["SECRET_ID"])["SecretString"])
    try:
        rotated = json.dumps(secret | {"client_secret": "rotated"})
        client.put_secret_value(SecretId=os.environ["SECRET_ID"], SecretString=rotated)
        assert function_api.token().status_code == 400
        assert function_api.token(auth=(CLIENT[0], "rotated")).status_code == 200
        assert function_api.create().status_code == 201
    finally:
        client.put_secret_value(SecretId=os.environ["SECRET_ID"], SecretString=json.dumps(secret))


def test_what_is_kept_expires(function_api: Caller) -> None:
    """Leads and requests hold what people typed, so they don't stay for ever."""
    function_api.create()
    items = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
    kept = {item["kind"]["S"] for item in items if "expiresAt" not in item}
    assert kept == {"counter", "signing key"}
