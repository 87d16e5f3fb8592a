"""The leads calls of the sandbox, over real HTTP: they behave as the API document says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from local.sandbox.server import LeadsApiSandbox
from tests.local.sandbox_caller import JOHN, Caller

if TYPE_CHECKING:
    from local.sandbox.tokens import OwnTokenEndpoint


@pytest.fixture(params=["process", pytest.param("function", marks=pytest.mark.shipped)])
def api(request: pytest.FixtureRequest) -> Caller:
    """The sandbox in both its forms: the same calls, with a file and with a table."""
    caller: Caller = request.getfixturevalue("api" if request.param == "process" else "function_api")
    return caller


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


def test_a_lead_that_was_there_before_is_assigned_by_its_first_create(api: Caller) -> None:
    """It keeps what the create doesn't name; only the second create counts as a repeat."""
    before = JOHN | {"name": "Johnny", "company": "Doe Ltd", "assistantEmail": "ben@example.org"}
    assert api.call("POST", "/_sandbox/leads", [before]).status_code == 200
    [held] = api.control("leads")
    assert (held["id"], held["creates"], held["followup"]) == (1, 0, 1)
    assert api.update(phone="1").json()["id"] == 1
    answer = api.create()
    assert (answer.status_code, answer.json()["id"]) == (201, 1)
    api.create()
    assert [r["effect"] for r in api.control("requests")] == [None, "updated", "assigned", "created_again"]
    [held] = api.control("leads")
    assert (held["company"], held["name"], held["creates"]) == ("Doe Ltd", "John", 2)


@pytest.mark.parametrize("leads", [None, {}, [JOHN, {}], [JOHN, JOHN]])
def test_leads_to_add_are_taken_whole_or_not_at_all(api: Caller, leads: object) -> None:
    """A lead without a mandatory field, or one that is held already, leaves the sandbox as it was."""
    answer = api.call("POST", "/_sandbox/leads", leads)
    assert (answer.status_code, "message" in answer.json()) == (400, True)
    assert api.control("leads") == []


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
    """An unknown lead, a changed address and a wrong id are distinguished."""
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


def test_assistants_can_be_added_until_a_reset(api: Caller) -> None:
    """Each once, beside those that were given a lead."""
    api.create(assistantEmail="ana@example.org")
    for _ in range(2):
        assert api.call("POST", "/_sandbox/assistants", ["ben@example.org", "ana@example.org"]).ok
    listed = api.call("GET", "/leads/assistant").json()
    assert [one["emailid"] for one in listed] == ["ben@example.org", "ana@example.org"]
    api.call("POST", "/_sandbox/reset")
    assert api.call("GET", "/leads/assistant").json() == []


@pytest.mark.parametrize("emails", [None, {}, "ana@example.org", [7]])
def test_assistants_to_add_are_a_list_of_addresses(api: Caller, emails: object) -> None:
    """A slip in a test shows at once."""
    answer = api.call("POST", "/_sandbox/assistants", emails)
    assert (answer.status_code, "must be" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("query", ["page=x", "size=0", "page=-1", "sort=colour", "sort=id,up"])
def test_a_wrong_page_or_order_is_refused(api: Caller, query: str) -> None:
    """A wrong query is answered with 400 and words about it."""
    answer = api.call("GET", f"/leads/assistant?{query}")
    assert (answer.status_code, "must be" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/leads", 405), ("GET", "/lead", 404)])
def test_a_call_the_api_does_not_have_is_refused_and_recorded(
    api: Caller, method: str, path: str, status: int
) -> None:
    """A wrong method or path is in the sandbox's log, too, as the operation `unknown`."""
    answer = api.call(method, path)
    assert (answer.status_code, "message" in answer.json()) == (status, True)
    assert (api.last_request()["operation"], api.last_request()["status"]) == ("unknown", status)


def test_a_connection_serves_many_calls_and_ends_with_the_sandbox(tokens: OwnTokenEndpoint) -> None:
    """Keep-alive works, after chunked bodies too, and an idle connection ends with the sandbox."""
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
