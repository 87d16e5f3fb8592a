"""The leads API sandbox over real HTTP: the documented behaviour, its token checks and each kind of fault."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter

from local.sandbox.server import USER_IDENTIFIER, LeadsApiSandbox
from local.sandbox.tokens import CognitoUpstream, OwnTokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
JOHN = {"name": "John", "email": "john.doe@example.com", "assistantEmail": "ana@example.org"}
FORM = {"grant_type": "client_credentials", "scope": "leads/post"}
CLIENT = ("client-1", "secret-1")


class Caller:
    """A client of one sandbox with a pooled session and an access token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", HTTPAdapter(pool_maxsize=32))

    def log_in(self) -> None:
        token = self.token().json()["access_token"]
        self.session.headers.update(
            {"Authorization": f"Bearer {token}", "7ts-user-identifier": USER_IDENTIFIER}
        )

    def token(self, **change: Any) -> requests.Response:
        options: dict[str, Any] = {"data": FORM, "auth": CLIENT, "timeout": 10}
        return self.session.post(f"{self.url}/oauth2/token", **options | change)

    def create(self, **fields: object) -> requests.Response:
        return self.call("POST", "/leads", JOHN | fields)

    def update(self, **fields: object) -> requests.Response:
        return self.call("PUT", "/leads", JOHN | fields)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        **options: Any,
    ) -> requests.Response:
        return self.session.request(method, self.url + path, json=body, **{"timeout": 10} | options)

    def control(self, path: str) -> Any:
        return self.call("GET", f"/_sandbox/{path}").json()

    def last_request(self) -> dict[str, Any]:
        last: dict[str, Any] = self.control("requests")[-1]
        return last

    def script(self, operation: str, fault: dict[str, Any], **rule: object) -> None:
        answer = self.call("PUT", "/_sandbox/faults", [{"operation": operation, "fault": fault, **rule}])
        assert answer.status_code == 200, answer.text


@contextmanager
def caller_of(url: str) -> Iterator[Caller]:
    caller = Caller(url)
    with caller.session:
        yield caller


@pytest.fixture(scope="module")
def tokens() -> OwnTokenEndpoint:
    """One signing key for all tests: making one takes longer than most of them."""
    return OwnTokenEndpoint(*CLIENT)


@pytest.fixture
def sandbox(tokens: OwnTokenEndpoint) -> Iterator[LeadsApiSandbox]:
    with LeadsApiSandbox(tokens=tokens) as running:
        yield running


@pytest.fixture
def api(sandbox: LeadsApiSandbox) -> Iterator[Caller]:
    with caller_of(sandbox.url) as caller:
        caller.log_in()
        yield caller


# Creating


def test_a_create_answers_201_with_the_documented_fields(api: Caller) -> None:
    """The answer holds exactly the fields of the API document, with its fixed values."""
    answer = api.create(lastName="Doe", phone="+919123456789", scheduleId=7, scheduleName="Welcome")
    lead = answer.json()
    assert answer.status_code == 201
    assert lead.pop("nextScheduleTime")
    assert isinstance(lead.pop("assistantId"), int)
    assert lead == {
        "id": 1,
        "name": "John",
        "lastName": "Doe",
        "type": "SALES",
        "email": "john.doe@example.com",
        "phone": "+919123456789",
        "scheduleId": 7,
        "scheduleName": "Welcome",
        "state": "Cold",
        "subState": "Followup",
        "followup": 1,
    }


def test_a_create_keeps_every_field_and_defaults_the_source(api: Caller) -> None:
    """Undocumented fields are stored, custom fields are answered, an absent source becomes Website."""
    custom = [{"name": "plan", "value": "gold"}]
    assert api.create(company="Doe Ltd", customFields=custom).json()["customFields"] == custom
    [lead] = api.control("leads")
    assert (lead["company"], lead["source"], lead["creates"]) == ("Doe Ltd", "Website", 1)


def test_a_second_create_of_an_address_assigns_the_same_lead_and_is_counted(api: Caller) -> None:
    """One lead per e-mail address, whatever its case; the repeat shows in the lead and in the summary."""
    first = api.create().json()
    second = api.create(email="John.Doe@Example.com", assistantEmail="ben@example.org")
    assert (second.status_code, second.json()["id"]) == (201, first["id"])
    assert second.json()["assistantId"] != first["assistantId"]
    assert [lead["creates"] for lead in api.control("leads")] == [2]
    assert api.control("summary")["created_again"] == 1
    assert [r["effect"] for r in api.control("requests")] == [None, "created", "created_again"]


def test_parallel_creates_of_one_address_make_one_lead(api: Caller) -> None:
    """Thirty-two connections at once: one create makes the lead, all others count as repeats."""
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: api.create(), range(64)))
    assert {answer.status_code for answer in answers} == {201}
    assert [lead["creates"] for lead in api.control("leads")] == [64]


@pytest.mark.parametrize("path", ["/leads", "/leads/stop/followup"])
@pytest.mark.parametrize("field", ["name", "email", "assistantEmail"])
@pytest.mark.parametrize("value", [None, "", "  ", 7])
def test_a_wrong_mandatory_field_is_refused_by_name(
    api: Caller, path: str, field: str, value: object
) -> None:
    """Each mandatory field must be a text that isn't empty, in every call with a body."""
    answer = api.call("PUT", path, JOHN | {field: value})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(f"{field} is mandatory")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"not JSON", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_filled_json_object_is_refused(api: Caller, body: bytes) -> None:
    """Empty, of another type, or not JSON at all: 400, and nothing is stored."""
    answer = api.call("POST", "/leads", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, api.control("leads")) == (400, [])


def test_a_body_of_another_content_type_is_refused(api: Caller) -> None:
    """The API takes JSON only."""
    answer = api.call("POST", "/leads", data=JOHN)
    assert (answer.status_code, "Content-Type" in answer.json()["message"]) == (400, True)


def test_any_text_survives(api: Caller) -> None:
    """A text that UTF-8 can't hold, as JSON's escapes allow, is stored and answered unchanged."""
    assert api.create(name="\ud800", email="\ud800@example.com").json()["name"] == "\ud800"


# Updating and stopping


def test_an_update_changes_what_is_given_and_leaves_the_rest(api: Caller) -> None:
    """Absent and null fields stay as they are; the lead is found by its address."""
    before = api.create(phone="1", lastName="Doe", source="Fair").json()
    after = api.update(name="Jon", phone=None, lastName="Dow")
    assert after.status_code == 200
    assert after.json() == before | {"name": "Jon", "lastName": "Dow"}
    assert api.control("leads")[0]["source"] == "Fair"


def test_an_update_finds_the_lead_by_its_id(api: Caller) -> None:
    """The id identifies the lead when it is given; the address may differ in case only."""
    lead_id = api.create().json()["id"]
    assert api.update(id=lead_id, email="JOHN.DOE@example.com", name="Jon").json()["name"] == "Jon"
    assert api.control("leads")[0]["email"] == JOHN["email"]


def test_the_sequence_id_wins_and_without_one_the_name_decides(api: Caller) -> None:
    """scheduleId before scheduleName, before the default of the assistant; without both it stays."""
    default = api.create().json()
    named = api.update(scheduleName="Trial").json()
    assert (default["scheduleName"], named["scheduleName"]) == ("Default", "Trial")
    assert named["scheduleId"] != default["scheduleId"]
    assert api.update(scheduleId=99, scheduleName="Trial").json()["scheduleId"] == 99
    assert api.update(name="Jon").json()["scheduleId"] == 99


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"email": "nobody@example.com"}, 404, "no such lead"),
        ({"id": 4711}, 404, "no such lead"),
        ({"id": 1, "email": "other@example.com"}, 400, "email can't be changed"),
        ({"id": "1"}, 400, "id must be"),
        ({"id": 2**63}, 400, "id must be"),
    ],
)
@pytest.mark.parametrize("path", ["/leads", "/leads/stop/followup"])
def test_an_update_or_stop_that_fits_no_lead_is_refused(
    api: Caller, path: str, fields: dict[str, Any], status: int, message: str
) -> None:
    """An unknown lead, a changed address and a wrong id are told apart."""
    api.create()
    answer = api.call("PUT", path, JOHN | fields)
    assert answer.status_code == status
    assert message in answer.json()["message"]


def test_a_stop_ends_the_followup_and_a_create_starts_it_again(api: Caller) -> None:
    """After a stop no message is scheduled, and an update doesn't change that."""
    api.create()
    stopped = api.call("PUT", "/leads/stop/followup", JOHN)
    assert stopped.status_code == 200
    for lead in (stopped.json(), api.update(name="Jon").json()):
        assert (lead["nextScheduleTime"], lead["followup"]) == (None, 0)
    assert api.create().json()["followup"] == 1


# Assistants and everything else


def test_assistants_are_searched_sorted_and_paged(api: Caller) -> None:
    """The list holds every assistant that was given a lead, the newest first unless asked otherwise."""
    for name in ("ana", "ben", "bea"):
        api.create(assistantEmail=f"{name}@example.org")

    def listed(query: str) -> list[str]:
        return [
            one["emailid"].partition("@")[0] for one in api.call("GET", f"/leads/assistant{query}").json()
        ]

    assert listed("") == ["bea", "ben", "ana"]
    assert listed("?searchString=B&sort=name,asc") == ["bea", "ben"]
    assert listed("?page=1&size=2&sort=emailid,asc") == ["ben"]
    assert {"id", "name", "defaultScheduleId"} <= api.call("GET", "/leads/assistant").json()[0].keys()


@pytest.mark.parametrize("query", ["page=x", "size=0", "page=-1", "sort=colour", "sort=id,up"])
def test_a_wrong_page_or_order_is_refused(api: Caller, query: str) -> None:
    """A wrong query is answered with 400 and words about it."""
    answer = api.call("GET", f"/leads/assistant?{query}")
    assert (answer.status_code, "must be" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/leads", 405), ("GET", "/lead", 404)])
def test_a_call_the_api_does_not_have_is_refused_and_recorded(
    api: Caller, method: str, path: str, status: int
) -> None:
    """A wrong method or path shows at the far side too, as the operation `unknown`."""
    answer = api.call(method, path)
    assert (answer.status_code, "message" in answer.json()) == (status, True)
    assert (api.last_request()["operation"], api.last_request()["status"]) == ("unknown", status)


def test_a_connection_serves_many_calls_and_ends_with_the_sandbox(tokens: OwnTokenEndpoint) -> None:
    """Keep-alive works, after chunked bodies too, and an idle connection doesn't outlive the sandbox."""
    with (
        LeadsApiSandbox(tokens=tokens) as sandbox,
        closing(HTTPConnection(sandbox.url.removeprefix("http://"), timeout=10)) as connection,
    ):
        connection.connect()
        connection.auto_open = 0  # a closed connection stays closed

        def exchange(body: Any) -> tuple[int, bytes]:
            connection.request("POST", "/leads", body)
            answer = connection.getresponse()
            return answer.status, answer.read()

        for body in (iter([b"{", b"}"]), b"{}"):
            assert exchange(body) == (401, b'{"message":"Unauthorized"}\n')
        sandbox.close()
        with pytest.raises((HTTPException, OSError)):
            exchange(b"{}")


# Access tokens


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


# Faults


def test_a_scripted_status_is_answered_and_has_no_effect(api: Caller) -> None:
    """Status, headers and body are as scripted; the rule ends after its turns."""
    fault = {
        "kind": "status",
        "status": 429,
        "headers": {"Retry-After": "2"},
        "body": {"message": "slow down"},
    }
    api.script("create", fault, times=1)
    answer = api.create()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert answer.json() == {"message": "slow down"}
    assert (api.last_request()["fault"], api.last_request()["effect"]) == ("status", None)
    assert api.create().json()["id"] == 1


def test_a_scripted_status_may_hide_that_the_lead_was_stored(api: Caller) -> None:
    """As a proxy's 502 does: the call took effect and yet is answered as failed."""
    api.script("leads", {"kind": "status", "status": 502, "stored": True, "body": "<html>"})
    answer = api.create()
    assert (answer.status_code, answer.text) == (502, "<html>")
    assert (api.last_request()["effect"], len(api.control("leads"))) == ("created", 1)


@pytest.mark.parametrize(("kind", "effect"), [("cut_before", None), ("cut_after", "created")])
def test_a_cut_connection_brings_no_answer(api: Caller, kind: str, effect: str | None) -> None:
    """The lead is stored or not as the kind says; the request is recorded without a status."""
    api.script("any", {"kind": kind}, times=1)
    with pytest.raises(requests.ConnectionError):
        api.create()
    last = api.last_request()
    assert (last["status"], last["fault"], last["effect"]) == (None, kind, effect)
    assert len(api.control("leads")) == (1 if effect else 0)
    assert api.create().status_code == 201


def test_a_delay_holds_the_answer_back(api: Caller) -> None:
    """The call is handled as usual, later."""
    api.script("create", {"kind": "delay", "seconds": 0.05})
    answer = api.create()
    assert answer.status_code == 201
    assert answer.elapsed.total_seconds() >= 0.05


def test_closing_ends_a_delay_and_the_call_takes_effect(tokens: OwnTokenEndpoint, tmp_path: Path) -> None:
    """A client that no longer waits leaves a request behind; closing doesn't wait for its delay."""
    state = tmp_path / "state.db"
    with LeadsApiSandbox(tokens=tokens, state=state) as sandbox, caller_of(sandbox.url) as caller:
        caller.log_in()
        caller.script("create", {"kind": "delay", "seconds": 600})
        with pytest.raises(requests.ReadTimeout):
            caller.call("POST", "/leads", JOHN, timeout=0.2)
    with LeadsApiSandbox(tokens=tokens, state=state) as sandbox, caller_of(sandbox.url) as caller:
        assert len(caller.control("leads")) == 1


def test_a_wrong_content_type_follows_the_effect(api: Caller) -> None:
    """The lead is stored and its status answered, with a web page for a body."""
    api.script("create", {"kind": "wrong_content_type"})
    answer = api.create()
    assert (answer.status_code, answer.text[:6]) == (201, "<html>")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert len(api.control("leads")) == 1


def test_a_token_can_be_refused_for_one_request(api: Caller) -> None:
    """revoked_token answers 401 while it has turns; the token itself stays good."""
    api.script("leads", {"kind": "revoked_token"}, times=1)
    assert [api.create().status_code for _ in range(2)] == [401, 201]


def test_token_requests_can_fail_too(api: Caller) -> None:
    """A fault of the token endpoint leaves the leads calls alone and isn't counted as a token fetched."""
    api.script("token", {"kind": "status", "status": 503})
    assert (api.token().status_code, api.create().status_code) == (503, 201)
    assert api.control("summary")["tokens_fetched"] == 1


def test_a_rule_for_one_address_meets_no_other(api: Caller) -> None:
    """The address must match exactly."""
    api.script("create", {"kind": "status", "status": 500}, email=JOHN["email"])
    assert [api.create(email=email).status_code for email in ("jane@example.com", JOHN["email"])] == [
        201,
        500,
    ]


def test_a_rate_follows_the_seed_and_a_missed_draw_tries_the_next_rule(tokens: OwnTokenEndpoint) -> None:
    """The same seed gives the same faults, another seed others; a list of rules shares the requests."""

    def statuses(seed: int) -> list[int]:
        with LeadsApiSandbox(tokens=tokens, seed=seed) as sandbox, caller_of(sandbox.url) as caller:
            caller.log_in()
            rules = [
                {"operation": "create", "rate": 0.5, "fault": {"kind": "status", "status": status}}
                for status in (500, 503)
            ]
            caller.call("PUT", "/_sandbox/faults", rules)
            return [caller.create().status_code for _ in range(40)]

    assert statuses(1) == statuses(1) != statuses(2)
    assert set(statuses(1)) == {500, 503, 201}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "must be a JSON list"),
        ([7], "rule 1 must be a JSON object"),
        ([{"operation": "delete"}], "rule 1: operation must be one of any, leads, "),
        ([{"operation": "any", "colour": 1}], "rule 1: unknown key 'colour'"),
        (
            [{"operation": "any", "rate": 2, "fault": {"kind": "cut_after"}}],
            "rate must be a number from 0 to 1",
        ),
        ([{"operation": "any", "times": 0, "fault": {"kind": "cut_after"}}], "times must be a whole number"),
        ([{"operation": "any", "email": 1, "fault": {"kind": "cut_after"}}], "email must be a text"),
        ([{"operation": "any"}], "fault.kind must be one of status, "),
        ([{"operation": "any", "fault": {"kind": "status"}}], "status must be a whole number from 200"),
        ([{"operation": "any", "fault": {"kind": "delay"}}], "seconds must be a number from 0 to 600"),
        ([{"operation": "any", "fault": {"kind": "cut_after", "seconds": 1}}], "unknown key 'seconds'"),
        ([{"operation": "any", "fault": {"kind": "revoked_token"}}], "needs an operation of the leads API"),
        (
            [{"operation": "any", "fault": {"kind": "status", "status": 500, "headers": {"a": "\n"}}}],
            "headers must be an object",
        ),
        (
            [{"operation": "any", "fault": {"kind": "status", "status": 500, "stored": 1}}],
            "stored must be true or false",
        ),
    ],
)
def test_a_wrong_fault_rule_is_refused_and_changes_nothing(api: Caller, rules: object, message: str) -> None:
    """The answer names the rule and the key; the rules in force stay."""
    api.script("create", {"kind": "status", "status": 503})
    answer = api.call("PUT", "/_sandbox/faults", rules)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert api.create().status_code == 503


# What the sandbox remembers


def test_requests_are_recorded_in_order_without_credentials(api: Caller) -> None:
    """Each request with its operation, body, token id, answer and effect; never a secret or a token."""
    api.create(name="Jane")
    api.call("PUT", "/leads/stop/followup", JOHN)
    token, create, stop = api.control("requests")
    assert [r["operation"] for r in (token, create, stop)] == ["token", "create", "stop_followup"]
    assert (create["body"], create["email"]) == (JOHN | {"name": "Jane"}, JOHN["email"])
    assert (create["status"], create["effect"], stop["effect"]) == (201, "created", "stopped")
    assert token["jti"] == create["jti"]
    assert token["at"] <= create["at"] <= stop["at"]
    everything = api.call("GET", "/_sandbox/requests").text
    assert "secret-1" not in everything
    assert str(api.session.headers["Authorization"]).split(".")[2] not in everything
    assert api.control(f"requests?since={create['seq']}") == [stop]


def test_the_summary_counts_requests_tokens_and_leads(api: Caller) -> None:
    """One line per operation, status, fault and effect; the totals stand beside them."""
    api.log_in()
    api.create()
    api.create(email="")
    summary = api.control("summary")
    counts = {(r["operation"], r["status"], r["effect"]): r["count"] for r in summary.pop("requests")}
    assert counts == {("token", 200, None): 2, ("create", 201, "created"): 1, ("create", 400, None): 1}
    assert summary == {"leads": 1, "created_again": 0, "tokens_fetched": 2, "distinct_jti": 1}


def test_a_reset_forgets_leads_requests_revocations_and_faults(api: Caller) -> None:
    """Afterwards the sandbox is as new, and tokens it issued before are still good."""
    api.create()
    api.call("POST", "/_sandbox/revoke")
    api.script("any", {"kind": "cut_before"})
    api.call("POST", "/_sandbox/reset")
    assert (api.control("leads"), api.control("requests")) == ([], [])
    assert api.create().json()["id"] == 1


# The process


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The sandbox as a process of its own, and its URL."""
    command = [sys.executable, "-m", "local.sandbox", "--client-id", CLIENT[0], *arguments]
    with subprocess.Popen(  # noqa: S603 - our own module
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert found, line
            yield process, found[1]
        finally:
            process.kill()


def test_a_killed_sandbox_goes_on_where_it_was(tmp_path: Path) -> None:
    """Leads, requests and revocations survive SIGKILL; the same port can be taken again at once."""
    arguments = ("--client-secret", CLIENT[1], "--state", str(tmp_path / "state.db"))
    with running(*arguments) as (process, url), caller_of(url) as caller:
        caller.log_in()
        lead_id = caller.create().json()["id"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        with running(*arguments, "--port", url.rpartition(":")[2]) as (_, url_again):
            assert url_again == url
            caller.log_in()
            assert caller.update(name="Jon").json()["id"] == lead_id
            assert [r["operation"] for r in caller.control("requests")] == [
                "token",
                "create",
                "token",
                "update",
            ]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_sandbox_quietly(stop: signal.Signals) -> None:
    """Exit status 0 and nothing on stderr, even with an open connection and after a cut one."""
    with running("--client-secret", CLIENT[1]) as (process, url), caller_of(url) as caller:
        caller.script("token", {"kind": "cut_after"})
        with pytest.raises(requests.ConnectionError):
            caller.token()
        assert caller.control("leads") == []
        process.send_signal(stop)
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--client-secret"),
        (["--client-secret", "s", "--port", "70000"], "a port is a number from 0 to 65535"),
        (["--token-upstream", "http://127.0.0.1:1/oauth2/token"], "--token-upstream and --jwks go together"),
        (["--client-secret", "s", "--state", "/nowhere/state.db"], "can't use the state file"),
        (["--client-secret", "s", "--state", __file__], "can't use the state file"),
    ],
)
def test_a_wrong_command_line_gets_a_clear_message(arguments: list[str], message: str) -> None:
    """The message names what is wrong; there is no traceback."""
    command = [sys.executable, "-m", "local.sandbox", "--client-id", "c", *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
