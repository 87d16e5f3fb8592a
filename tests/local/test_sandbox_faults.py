"""Each kind of fault of the sandbox, as its client sees it and as its record shows it."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from gzip import decompress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import requests

from local.sandbox.server import LeadsApiSandbox
from local.stack.waiting import wait_until
from tests.local.sandbox_caller import JOHN, Caller, caller_of

if TYPE_CHECKING:
    from pathlib import Path

    from local.sandbox.tokens import OwnTokenEndpoint


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


@pytest.mark.parametrize("status", [None, 503])
def test_a_late_effect_has_no_trace_when_the_client_gets_its_answer(
    tokens: OwnTokenEndpoint, tmp_path: Path, status: int | None
) -> None:
    """The client sees an error or a closed connection, and no lead is there; later it is."""
    state = tmp_path / "state.db"
    with LeadsApiSandbox(tokens=tokens, state=state) as sandbox, caller_of(sandbox.url) as caller:
        caller.log_in()
        late = {"kind": "late", "seconds": 600} | ({"status": status} if status else {})
        caller.script("create", late)
        if status:
            assert caller.create().status_code == status
        else:
            with pytest.raises(requests.ConnectionError):
                caller.create()
        assert caller.update().status_code == 404
    with LeadsApiSandbox(tokens=tokens, state=state) as sandbox, caller_of(sandbox.url) as caller:
        _, update, create = caller.control("requests")
        assert (create["operation"], create["status"], create["fault"]) == ("create", status, "late")
        assert create["at"] <= update["at"] <= create["effect_at"]
        assert (create["effect"], update["effect_at"]) == ("created", None)


def test_a_late_effect_keeps_its_time(api: Caller) -> None:
    """By its record, it takes effect no sooner than the rule says."""
    api.script("update", {"kind": "late", "seconds": 0.1, "status": 504})
    api.create()
    assert api.update(name="Jon").status_code == 504
    wait_until("the effect", lambda: api.control("leads")[0]["name"] == "Jon", timeout_s=30, interval_s=0.02)
    update = api.last_request()
    assert update["effect_at"] - update["at"] >= 0.1


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


@pytest.mark.parametrize("part", ["headers", "body"])
def test_an_answer_can_come_drop_by_drop(api: Caller, part: str) -> None:
    """Each byte comes within the client's read time-out, which bounds nothing then; all come in the end."""
    api.script("create", {"kind": "drip", "part": part, "seconds": 0.002})
    answer = api.call("POST", "/leads", JOHN, timeout=5)
    assert (answer.status_code, answer.json()["id"]) == (201, 1)
    assert part == "body" or answer.elapsed.total_seconds() > 0.002 * len("HTTP/1.1 201 CREATED")
    assert api.last_request()["effect"] == "created"


def test_a_client_that_leaves_a_dripping_answer_is_no_error(tokens: OwnTokenEndpoint) -> None:
    """The effect stays, others are answered meanwhile, and closing doesn't wait for the last drop."""
    with LeadsApiSandbox(tokens=tokens) as sandbox, caller_of(sandbox.url) as caller:
        caller.log_in()
        caller.script("create", {"kind": "drip", "part": "headers", "seconds": 60})
        with pytest.raises(requests.ReadTimeout):
            caller.call("POST", "/leads", JOHN, timeout=0.2)
        assert caller.update(name="Jon").status_code == 200


@pytest.mark.parametrize("gzip", [False, True])
def test_an_answer_can_be_huge_and_good_json_all_the_same(api: Caller, gzip: bool) -> None:
    """A client that reads it whole finds the lead in it; compressed, it is a thousandth on the wire."""
    api.script("create", {"kind": "huge", "megabytes": 3, "gzip": gzip})
    with api.session.post(f"{api.url}/leads", json=JOHN, timeout=30, stream=True) as answer:
        on_the_wire = answer.raw.read(decode_content=False)
        assert "Content-Length" not in answer.headers
    text = decompress(on_the_wire) if gzip else on_the_wire
    assert json.loads(text)["id"] == 1
    assert len(text) > 3 * 2**20
    assert (len(on_the_wire) < 2**14) == gzip
    assert (answer.headers.get("Content-Encoding") == "gzip") == gzip
    assert api.last_request()["effect"] == "created"


def test_the_token_endpoint_can_drip_and_be_huge_too(api: Caller) -> None:
    """A token request meets the same answers as a leads call."""
    api.script("token", {"kind": "huge", "megabytes": 1})
    assert len(api.token().content) > 2**20
    api.script("token", {"kind": "drip", "part": "body", "seconds": 60})
    with pytest.raises(requests.ConnectionError):
        api.token(timeout=0.2)


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


@pytest.mark.parametrize("status", [429, 503])
def test_a_limited_api_takes_a_burst_and_turns_the_others_away(api: Caller, status: int) -> None:
    """What it turns away has no effect."""
    limit = {"kind": "limited", "calls_per_second": 0.01, "burst": 2, "status": status}
    api.script("leads", limit | {"retry_after": "seconds"})
    answers = [api.create() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, status]
    assert 90 <= int(answers[-1].headers["Retry-After"]) <= 100
    assert (api.last_request()["fault"], api.last_request()["effect"]) == ("limited", None)
    api.script("leads", limit | {"retry_after": "date"})
    end = parsedate_to_datetime([api.create() for _ in range(3)][-1].headers["Retry-After"])
    assert 90 <= end.timestamp() - time.time() <= 101
    api.script("leads", limit)
    assert "Retry-After" not in [api.create() for _ in range(3)][-1].headers


def test_a_limited_api_takes_more_calls_as_time_passes(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as it says, however long nobody has called."""
    now_s = 1000.0
    monkeypatch.setattr("local.sandbox.faults.time", SimpleNamespace(time=lambda: now_s))
    api.script("leads", {"kind": "limited", "calls_per_second": 2, "burst": 3})
    for passed_s, taken in ((0.0, 3), (0.5, 1), (100.0, 3)):
        now_s = 1000.0 + passed_s
        statuses = [api.create().status_code for _ in range(5)]
        assert statuses.count(429) == 5 - taken


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
        ([{"operation": "any", "fault": {"kind": "late"}}], "seconds must be a number from 0 to 600"),
        ([{"operation": "any", "fault": {"kind": "late", "seconds": 1, "status": 0}}], "status must be a"),
        ([{"operation": "any", "fault": {"kind": "drip", "seconds": 1}}], "part must be headers or body"),
        ([{"operation": "any", "fault": {"kind": "drip", "part": "body"}}], "seconds must be a number"),
        (
            [{"operation": "any", "fault": {"kind": "huge"}}],
            "megabytes must be a whole number from 1 to 1024",
        ),
        (
            [{"operation": "any", "fault": {"kind": "huge", "megabytes": 1, "gzip": 1}}],
            "gzip must be true or false",
        ),
        (
            [{"operation": "any", "fault": {"kind": "limited", "calls_per_second": 0}}],
            "calls_per_second must be a number from 0.001",
        ),
        (
            [{"operation": "any", "fault": {"kind": "limited", "calls_per_second": 1, "retry_after": [5]}}],
            "retry_after must be seconds or date",
        ),
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
