"""The token's life: fetched once, shared, renewed in time, and honest about what is wrong."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from mypy_boto3_secretsmanager import SecretsManagerClient

from deliver_leads.api.access_token import REFUSAL_INTERVAL_S, AccessToken, AccessTokens
from deliver_leads.api.call_tally import CallTally
from deliver_leads.api.http_client import HttpAnswer, HttpClient, NoAnswerError, NotSentError
from deliver_leads.contract import Metric
from deliver_leads.outcome import BlockedError, DeferredError, RetryError
from tests.clock import Clock

GOOD = {"client_id": "id-1", "client_secret": "secret-1", "user_identifier": "user-1"}
SECRET_ID = "lead-delivery/client"


def answer(status: int, body: object = None, **headers: str) -> HttpAnswer:
    """What the token endpoint says."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers, content)


def token(value: str = "token-1", expires_in: float = 3600) -> HttpAnswer:
    """A granted token."""
    return answer(200, {"access_token": value, "expires_in": expires_in, "token_type": "Bearer"})


class Endpoint(HttpClient):
    """A token endpoint that answers from a list and keeps what it was asked."""

    def __init__(self, *answers: HttpAnswer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, method: str, url: str, time_left: Any, **request: Any) -> HttpAnswer:
        self.asked.append({"method": method, "url": url, **request})
        self.gate.wait()
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given


@pytest.fixture
def secrets() -> Iterator[SecretsManagerClient]:
    """A Secrets Manager that holds good credentials."""
    with mock_aws():
        client = boto3.client("secretsmanager")
        client.create_secret(Name=SECRET_ID, SecretString=json.dumps(GOOD))
        yield client


class Secret:
    """A Secrets Manager with one secret, which counts how often it is read."""

    def __init__(self, text: str = json.dumps(GOOD)) -> None:
        self.text = text
        self.reads = 0

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - AWS's name
        assert SecretId == SECRET_ID
        self.reads += 1
        return {"SecretString": self.text}


def tokens(
    endpoint: Endpoint, secrets: Any, clock: Clock | None = None, calls: CallTally | None = None
) -> AccessTokens:
    """The source of tokens under test."""
    url = "https://login.example.com/oauth2/token"
    return AccessTokens(endpoint, secrets, SECRET_ID, url, calls or CallTally(), clock or Clock())


def get(source: AccessTokens, refused: AccessToken | None = None) -> AccessToken:
    """One token, with time enough."""
    return source.get(lambda: 60.0, refused)


def test_the_request_is_the_client_credentials_grant_of_the_api_document(
    secrets: SecretsManagerClient,
) -> None:
    """HTTP Basic, form-encoded, scope leads/post."""
    endpoint = Endpoint(token())
    got = get(tokens(endpoint, secrets))
    assert (got.value, got.user_identifier) == ("token-1", "user-1")
    [asked] = endpoint.asked
    assert (asked["method"], asked["url"]) == ("POST", "https://login.example.com/oauth2/token")
    assert base64.b64decode(asked["headers"]["Authorization"].removeprefix("Basic ")) == b"id-1:secret-1"
    assert asked["data"] == {"grant_type": "client_credentials", "scope": "leads/post"}


def test_a_token_is_used_for_three_quarters_of_its_life_and_then_renewed(
    secrets: SecretsManagerClient,
) -> None:
    """A call never starts with a token that may end under way."""
    clock, endpoint = Clock(), Endpoint(token("one"), token("two"))
    source = tokens(endpoint, secrets, clock)
    assert get(source).value == "one"
    clock.now += 2699
    assert get(source).value == "one"
    clock.now += 1
    assert get(source).value == "two"


def test_a_refused_token_is_renewed_once_for_all_threads_that_met_the_refusal(
    secrets: SecretsManagerClient,
) -> None:
    """Ten threads with a revoked token ask for one new one, not ten."""
    endpoint = Endpoint(token("one"), token("two"))
    source = tokens(endpoint, secrets)
    revoked = get(source)
    assert [get(source, refused=revoked).value for _ in range(10)] == ["two"] * 10
    assert len(endpoint.asked) == 2


def in_threads(count: int, source: AccessTokens, endpoint: Endpoint) -> list[str]:
    """What that many threads get that ask while the first request is under way."""
    results: list[str] = []

    def ask() -> None:
        try:
            results.append(get(source).value)
        except RetryError as error:
            results.append(error.summary)

    endpoint.gate.clear()
    started = [threading.Thread(target=ask) for _ in range(count)]
    for thread in started:
        thread.start()
    endpoint.gate.set()
    for thread in started:
        thread.join()
    return results


def test_threads_that_wait_share_one_request(secrets: SecretsManagerClient) -> None:
    """Single-flight: a cold environment with ten leads fetches one token."""
    endpoint = Endpoint(token())
    assert in_threads(10, tokens(endpoint, secrets), endpoint) == ["token-1"] * 10
    assert len(endpoint.asked) == 1


def test_the_secret_is_read_once_per_execution_environment(secrets: SecretsManagerClient) -> None:
    """Each read is paid for."""
    clock = Clock()
    source = tokens(Endpoint(token("one"), token("two")), secrets, clock)
    get(source)
    secrets.delete_secret(SecretId=SECRET_ID, ForceDeleteWithoutRecovery=True)
    clock.now += 3600
    assert get(source).value == "two"


def test_a_rotated_secret_is_read_again_when_the_old_one_is_refused(secrets: SecretsManagerClient) -> None:
    """A rotation needs no redeploy and loses no lead."""
    clock = Clock()
    endpoint = Endpoint(token("one"), answer(400, {"error": "invalid_client"}), token("two"))
    source = tokens(endpoint, secrets, clock)
    get(source)
    secrets.put_secret_value(
        SecretId=SECRET_ID, SecretString=json.dumps(GOOD | {"client_secret": "secret-2"})
    )
    clock.now += 3600
    assert get(source).value == "two"
    assert base64.b64decode(endpoint.asked[-1]["headers"]["Authorization"][6:]) == b"id-1:secret-2"


def test_a_refused_secret_that_was_not_changed_is_not_tried_twice(secrets: SecretsManagerClient) -> None:
    """One request shows enough; the next one comes with the next probe."""
    endpoint = Endpoint(answer(400, {"error": "invalid_client"}))
    with pytest.raises(BlockedError, match=r"put-secret-value --secret-id lead-delivery/client"):
        get(tokens(endpoint, secrets))
    assert len(endpoint.asked) == 1


def test_a_known_secret_that_is_refused_and_unchanged_is_blocked(secrets: SecretsManagerClient) -> None:
    """The client was switched off at 7Targets."""
    clock = Clock()
    source = tokens(Endpoint(token(), answer(400, {"error": "invalid_client"})), secrets, clock)
    get(source)
    clock.now += 3600
    with pytest.raises(BlockedError):
        get(source)


def test_after_correcting_the_secret_the_next_token_is_fetched_with_it(secrets: SecretsManagerClient) -> None:
    """A refusal is not remembered."""
    secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(GOOD | {"client_id": "REPLACE_ME"}))
    source = tokens(Endpoint(token()), secrets)
    with pytest.raises(BlockedError, match="no usable client_id"):
        get(source)
    secrets.put_secret_value(SecretId=SECRET_ID, SecretString=json.dumps(GOOD))
    assert get(source).value == "token-1"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("\ufeff ", "is empty"),
        ("not json", "isn't JSON: reading it fails at character 1"),
        ("{client_id:hunter2}", "isn't JSON: reading it fails at character 2"),
        (
            '\ufeff{"client_id": "hunter2" "client_secret": "s"}',
            "isn't JSON: reading it fails at character 26",
        ),
        ("[]", "is JSON, but no object"),
        ("{}", "holds no usable client_id, client_secret, user_identifier"),
        ('{"client_id": 7}', "holds no usable client_id, client_secret, user_identifier"),
        ('{"client_id": "a"}', "holds no usable client_secret, user_identifier"),
        ("[" * 100_000, "isn't JSON"),
        ('{"a":' * 100_000, "isn't JSON"),
    ],
    ids=lambda text: text[:20],
)
def test_a_malformed_secret_gives_one_error_with_what_is_wrong_and_the_command(
    secrets: SecretsManagerClient, text: str, what: str
) -> None:
    """No traceback, and no part of the secret."""
    with pytest.raises(BlockedError) as caught:
        get(tokens(Endpoint(), Secret(text)))
    assert caught.value.summary.startswith(f"secret lead-delivery/client {what}")
    assert "hunter2" not in caught.value.detail
    assert "aws secretsmanager put-secret-value --secret-id lead-delivery/client" in caught.value.summary


def test_a_secret_with_a_byte_order_mark_is_read(secrets: SecretsManagerClient) -> None:
    """Windows PowerShell and editors put one before a file, and the AWS command line stores it as it is."""
    assert get(tokens(Endpoint(token()), Secret("\ufeff" + json.dumps(GOOD)))).value == "token-1"


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "flaw", ["user\u2019s", "zero\u200bwidth", "end\u200b", "two\nlines", "a\0b", "\ud800"]
)
def test_a_credential_that_no_header_can_carry_is_blocked_by_its_name(name: str, flaw: str) -> None:
    """What an e-mail adds to a copied text would fail in each call, far from its cause."""
    with pytest.raises(BlockedError, match=f"no usable {name} .*printable ASCII.*put-secret-value") as caught:
        get(tokens(Endpoint(), Secret(json.dumps(GOOD | {name: flaw}))))
    assert flaw not in caught.value.summary


def test_white_space_around_a_credential_does_no_harm() -> None:
    """A copied text often ends with a line break."""
    endpoint = Endpoint(token())
    got = get(tokens(endpoint, Secret(json.dumps({name: f" {value}\n" for name, value in GOOD.items()}))))
    assert got.user_identifier == "user-1"
    assert base64.b64decode(endpoint.asked[0]["headers"]["Authorization"][6:]) == b"id-1:secret-1"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (answer(429, **{"Retry-After": "7"}), RetryError, "token endpoint answered 429"),
        (answer(503), RetryError, "token endpoint answered 503"),
        (answer(408), RetryError, "token endpoint answered 408"),
        (answer(425), RetryError, "token endpoint answered 425"),
        (NotSentError("no connection"), RetryError, "token endpoint: no connection"),
        (NoAnswerError("no answer in time"), RetryError, "token endpoint: no answer in time"),
        (answer(200, {"expires_in": 3600}), RetryError, "answered 200 without a token"),
        (token(""), RetryError, "answered 200 without a token"),
        (token("two\r\nlines"), RetryError, "answered 200 without a token"),
        (token("t\u00f6ken"), RetryError, "answered 200 without a token"),
        (answer(200, b"[" * 100_000), RetryError, "answered 200 without a token"),
        (answer(200, b"<html>"), RetryError, "answered 200 without a token"),
        (answer(400, {"error": "invalid_scope"}), BlockedError, "may not use the scope leads/post"),
        (
            answer(400, {"error": "unauthorized_client"}),
            BlockedError,
            "check the setting tokenUrl and the client",
        ),
        (answer(404, b"<html>"), BlockedError, "check the setting tokenUrl"),
        (answer(400, {"error": "echo <secret-1>"}), BlockedError, "check the setting tokenUrl"),
        (answer(400, {"error": "mysecret"}), BlockedError, "answered 400: check the setting tokenUrl"),
        (answer(400, {"error": ["secret-1"]}), BlockedError, "check the setting tokenUrl"),
    ],
)
def test_every_refusal_says_what_to_do_next(
    secrets: SecretsManagerClient, given: HttpAnswer | Exception, kind: type[RetryError], words: str
) -> None:
    """What passes by itself is retried, what a person must fix is blocked."""
    with pytest.raises(RetryError) as caught:
        get(tokens(Endpoint(given), secrets))
    assert type(caught.value) is kind
    assert words in caught.value.summary
    assert "secret-1" not in caught.value.summary


def test_a_throttled_token_endpoint_is_given_the_time_it_asks_for(secrets: SecretsManagerClient) -> None:
    """Retry-After counts there too."""
    with pytest.raises(RetryError) as caught:
        get(tokens(Endpoint(answer(429, **{"Retry-After": "7"})), secrets))
    assert caught.value.retry_after_s == 7


def test_threads_that_wait_share_a_failure_too(secrets: SecretsManagerClient) -> None:
    """Ten time-outs one after another would outlast the invocation."""
    endpoint = Endpoint(*[NoAnswerError("no answer in time")] * 10)
    results = in_threads(10, tokens(endpoint, secrets), endpoint)
    assert results == ["token endpoint: no answer in time"] * 10
    assert len(endpoint.asked) < 10


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), BlockedError),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue"), RetryError),
        (EndpointConnectionError(endpoint_url="https://example.com"), RetryError),
    ],
)
def test_a_secret_that_can_not_be_read_is_blocked_or_retried(
    fault: Exception, kind: type[RetryError]
) -> None:
    """Missing rights are a person's business, a throttle passes."""

    class Failing:
        def get_secret_value(self, **_: str) -> None:
            raise fault

    with pytest.raises(RetryError) as caught:
        get(tokens(Endpoint(), Failing()))
    assert type(caught.value) is kind
    assert SECRET_ID in caught.value.summary


@pytest.mark.parametrize(
    ("expires_in", "used_s"),
    [
        ("3600", 2700),
        (3600.0, 2700),
        (None, 225),
        ("soon", 225),
        (True, 225),
        (0, 225),
        (-1, 225),
        ([], 225),
        (float("nan"), 225),
        (float("inf"), 225),
        ("1e999", 225),
        (10**400, 225),
        (10**9, 225),
    ],
)
def test_a_validity_that_is_missing_or_not_plausible_is_taken_as_five_minutes(
    expires_in: object, used_s: int
) -> None:
    """OAuth only recommends `expires_in`; a token is used for three quarters of it."""
    clock = Clock()
    first = answer(200, {"access_token": "one", "expires_in": expires_in})
    source = tokens(Endpoint(first, token("two")), Secret(), clock)
    assert get(source).value == "one"
    clock.now += used_s - 1
    assert get(source).value == "one"
    clock.now += 1
    assert get(source).value == "two"


class TestCounts:
    """The metrics of tokens."""

    def test_threads_that_share_a_token_or_its_failure_count_it_once(
        self, secrets: SecretsManagerClient
    ) -> None:
        """Each token is billed to the API's owner; a failure is the request's, not the leads'."""
        endpoint, calls = Endpoint(*[NoAnswerError("no answer in time")] * 10), CallTally()
        in_threads(10, tokens(endpoint, secrets, calls=calls), endpoint)
        assert calls.drain()[0] == {Metric.TOKENS_FAILED: len(endpoint.asked)}
        endpoint = Endpoint(token())
        in_threads(10, tokens(endpoint, secrets, calls=calls), endpoint)
        assert calls.drain()[0] == {Metric.TOKENS_FETCHED: 1}

    def test_a_token_that_no_time_was_left_for_has_not_failed(self, secrets: SecretsManagerClient) -> None:
        """Nothing was asked of the token endpoint."""
        calls = CallTally()
        source = tokens(Endpoint(DeferredError("not tried")), secrets, calls=calls)
        with pytest.raises(DeferredError):
            get(source)
        assert not calls.drain()[0]

    def test_a_token_that_is_bought_with_the_new_secret_has_not_failed(self) -> None:
        """A rotation is no fault, though the old secret was refused."""
        clock, secret, calls = Clock(), Secret(), CallTally()
        endpoint = Endpoint(token("one"), answer(400, {"error": "invalid_client"}), token("two"))
        source = tokens(endpoint, secret, clock, calls)
        get(source)
        secret.text = json.dumps(GOOD | {"client_secret": "secret-2"})
        clock.now += 3600
        assert get(source).value == "two"
        assert calls.drain()[0] == {Metric.TOKENS_FETCHED: 2}


def test_a_token_that_came_without_its_life_is_used() -> None:
    """The answer without `expires_in`."""
    assert get(tokens(Endpoint(answer(200, {"access_token": "one"})), Secret())).value == "one"


class TestRefusedByTheApi:
    """What follows a 401 or 403 of the leads API."""

    def test_a_corrected_secret_takes_effect_with_the_next_lead(self) -> None:
        """It doesn't wait for the cached token's end, because the user identifier goes with each call."""
        secret = Secret()
        source = tokens(Endpoint(token("one"), token("two")), secret)
        get(source)
        secret.text = json.dumps(GOOD | {"user_identifier": "user-2"})
        source.doubt_credentials()
        assert (get(source).value, get(source).user_identifier) == ("two", "user-2")

    def test_a_secret_that_is_corrected_after_it_was_read_again_takes_effect_within_the_interval(
        self,
    ) -> None:
        """Even if no lead is refused after the interval."""
        clock, secret = Clock(), Secret()
        source = tokens(Endpoint(token("one"), token("two")), secret, clock)
        get(source)
        source.doubt_credentials()
        get(source)
        secret.text = json.dumps(GOOD | {"user_identifier": "user-2"})
        source.doubt_credentials()
        clock.now += REFUSAL_INTERVAL_S - 1
        assert get(source).user_identifier == "user-1"
        clock.now += 1
        assert get(source).user_identifier == "user-2"

    def test_a_lead_that_is_refused_at_every_attempt_buys_no_token_and_few_reads_of_the_secret(self) -> None:
        """An assistant that the user isn't assigned to is answered 403 for days."""
        clock, secret, endpoint = Clock(), Secret(), Endpoint(token("one"))
        source = tokens(endpoint, secret, clock)
        for _ in range(20):
            assert get(source).value == "one"
            source.doubt_credentials()
            clock.now += REFUSAL_INTERVAL_S / 4
        assert len(endpoint.asked) == 1
        assert secret.reads == 1 + 20 / 4

    def test_a_new_token_that_is_refused_too_is_replaced_once_per_interval(self) -> None:
        """A lasting 401 costs one token in five minutes, however many leads meet it."""
        clock, secret = Clock(), Secret()
        endpoint = Endpoint(*[token(f"token-{number}") for number in range(10)])
        source = tokens(endpoint, secret, clock)

        def be_refused() -> None:
            new = get(source, refused=get(source))
            source.doubt_credentials(new)

        be_refused()
        assert len(endpoint.asked) == 2
        for _ in range(10):
            with pytest.raises(RetryError, match="401 to a new token too") as caught:
                be_refused()
            assert caught.value.status == 401
        assert len(endpoint.asked) == 2
        clock.now += REFUSAL_INTERVAL_S
        be_refused()
        assert len(endpoint.asked) == 3

    def test_a_revoked_token_is_replaced_at_once_although_a_lead_was_refused_before(self) -> None:
        """A 403 says nothing about the token."""
        source = tokens(Endpoint(token("one"), token("two")), Secret())
        revoked = get(source)
        source.doubt_credentials()
        assert get(source, refused=revoked).value == "two"

    def test_a_corrected_secret_ends_a_lasting_401(self) -> None:
        """It is read again even while the refused token isn't replaced."""
        clock, secret = Clock(), Secret()
        endpoint = Endpoint(token("one"), token("two"), token("three"))
        source = tokens(endpoint, secret, clock)
        source.doubt_credentials(get(source, refused=get(source)))
        get(source)
        with pytest.raises(RetryError):
            get(source, refused=get(source))
        secret.text = json.dumps(GOOD | {"client_secret": "secret-2"})
        clock.now += REFUSAL_INTERVAL_S
        assert get(source).value == "three"

    def test_a_secret_that_was_broken_meanwhile_is_reported_and_stops_no_other_lead(self) -> None:
        """The token that was bought before may still be good."""
        clock, secret = Clock(), Secret()
        source = tokens(Endpoint(token("one"), token("two")), secret, clock)
        get(source)
        secret.text = "{}"
        source.doubt_credentials()
        with pytest.raises(BlockedError, match="no usable client_id"):
            get(source)
        assert get(source).value == "one"
        secret.text = json.dumps(GOOD | {"client_id": "id-2"})
        clock.now += REFUSAL_INTERVAL_S
        assert get(source).value == "two"


def test_no_secret_shows_in_a_repr(secrets: SecretsManagerClient) -> None:
    """A debugger's or a logger's view of the objects is safe."""
    source = tokens(Endpoint(token("very-secret-token")), secrets)
    shown = repr(get(source)) + repr(source._credentials)
    for secret in ("very-secret-token", "secret-1", "user-1"):
        assert secret not in shown
