"""The check without a lead: what it names, what it leaves alone, and what an answer proves to it."""

import http.server
import importlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, ConnectTimeoutError

from deliver_leads.check import assistants
from deliver_leads.contract import ASSISTANTS_EVENT, CHECK_EVENT
from local.sandbox.server import LeadsApiSandbox
from local.sandbox.tokens import OwnTokenEndpoint
from tests.integration.conftest import SECRET, Pipeline
from tests.integration.raw_server import closed_port

ASSISTANT = "Ava@example.org"
AWS_PARTS = ["ledger", "dead-letter queue", "lead queue"]
API_PARTS = ["secret", "access token", "leads API", "user identifier", "assistants"]
Report = dict[str, Any]


@dataclass(frozen=True)
class Broken:
    """One broken precondition, with words of the one problem and of the remedy that must be named for it."""

    name: str
    what: str
    do: str
    right: list[str]
    settings: Callable[[LeadsApiSandbox], dict[str, str]] = lambda _: {}
    break_it: Callable[[Pipeline], object] = lambda _: None


@pytest.fixture
def broken(request: pytest.FixtureRequest) -> Broken:
    """What a test breaks; nothing, unless it says so."""
    return getattr(request, "param", Broken("nothing", "", "", []))


@pytest.fixture
def settings(sandbox: LeadsApiSandbox, broken: Broken) -> dict[str, str]:
    """A default assistant, and what the test breaks."""
    return {"LEAD_DEFAULTS": json.dumps({"assistantEmail": ASSISTANT})} | broken.settings(sandbox)


@pytest.fixture(autouse=True)
def assigned(sandbox: LeadsApiSandbox) -> None:
    """The user's assistants at 7Targets."""
    add_assistants(sandbox, "max@example.org", ASSISTANT.lower())


def function() -> Any:
    """The module of the handler, as this test's execution environment runs it."""
    return importlib.import_module("deliver_leads.handler")


def use_api_at(url: str) -> None:
    """Sets leadsApiUrl for this test's execution environment."""
    object.__setattr__(function().settings, "leads_api_url", url)


def add_assistants(sandbox: LeadsApiSandbox, *emails: str) -> None:
    """Assigns the user to more assistants."""
    requests.post(f"{sandbox.url}/_sandbox/assistants", json=emails, timeout=10).raise_for_status()


def check(pipeline: Pipeline) -> Report:
    """The report of one check."""
    return dict(pipeline.handler(CHECK_EVENT, pipeline.context))


def fill_secret(**fields: str) -> Callable[[Pipeline], object]:
    """Puts a secret with these fields wrong."""
    text = json.dumps(SECRET | fields)
    return lambda pipeline: pipeline.secrets.put_secret_value(SecretId="client-secret", SecretString=text)


def answer(operation: str, kind: str = "status", **fault: Any) -> Callable[[Pipeline], object]:
    """Lets the sandbox answer so."""
    return lambda pipeline: pipeline.fail({"operation": operation, "fault": {"kind": kind, **fault}})


def forget_client(pipeline: Pipeline) -> None:
    """7Targets deletes the client; Cognito answers as for a wrong secret."""
    tokens = pipeline.sandbox.tokens
    assert isinstance(tokens, OwnTokenEndpoint)
    tokens.client_id = "another-client"


def forget_assistants(pipeline: Pipeline) -> None:
    """The user is assigned to one other assistant only."""
    requests.post(f"{pipeline.sandbox.url}/_sandbox/reset", timeout=10).raise_for_status()
    add_assistants(pipeline.sandbox, "max@example.org")


def fail_aws(service: str, operation: str, fault: Exception) -> Callable[[Pipeline], object]:
    """Lets each of the function's calls of an AWS operation fail."""

    def fail(**_: object) -> None:
        raise fault

    def register(pipeline: Pipeline) -> None:
        events = getattr(function(), f"_{service}").meta.events
        events.register(f"before-call.{service}.{operation}", fail)
        pipeline.at_end.callback(events.unregister, f"before-call.{service}.{operation}", fail)

    return register


def deleted(queue: str) -> Callable[[Pipeline], object]:
    """Deletes the queue of that attribute of the pipeline."""
    return lambda pipeline: pipeline.sqs.delete_queue(QueueUrl=getattr(pipeline, queue))


DENIED = ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueAttributes")
NO_ROUTE = ConnectTimeoutError(endpoint_url="https://dynamodb.us-east-1.amazonaws.com/")
BROKEN = [
    Broken(
        "placeholder",
        "holds no usable client_id, client_secret, user_identifier (still the placeholder)",
        "aws secretsmanager put-secret-value --secret-id client-secret",
        AWS_PARTS,
        break_it=fill_secret(**dict.fromkeys(SECRET, "REPLACE_ME")),
    ),
    Broken(
        "wrong pair",
        "token endpoint answered 400 invalid_client",
        "check client_id and client_secret",
        ["secret", *AWS_PARTS],
        break_it=fill_secret(client_secret="wrong-secret"),
    ),
    Broken(
        "revoked client",
        "token endpoint answered 400 invalid_client",
        "ask 7Targets support whether the client was revoked",
        ["secret", *AWS_PARTS],
        break_it=forget_client,
    ),
    Broken(
        "revoked token",
        "leads API answered 401 to a new token",
        "ask 7Targets support whether the client or its tokens were revoked",
        ["secret", "access token", *AWS_PARTS],
        break_it=answer("leads", "revoked_token"),
    ),
    Broken(
        "wrong token URL: unknown path",
        "token endpoint answered 404",
        "check the setting tokenUrl",
        ["secret", *AWS_PARTS],
        settings=lambda sandbox: {"TOKEN_URL": f"{sandbox.url}/oauth2"},
    ),
    Broken(
        "wrong token URL: a web page",
        "token endpoint answered 200 without a token",
        "check the setting tokenUrl",
        ["secret", *AWS_PARTS],
        break_it=answer("token", status=200, body="<html>"),
    ),
    Broken(
        "wrong API URL: unknown path",
        "leads API answered 404: there is no leads API at this address",
        "check the setting leadsApiUrl",
        ["secret", "access token", *AWS_PARTS],
        settings=lambda sandbox: {"LEADS_API_URL": f"{sandbox.url}/v2"},
    ),
    Broken(
        "wrong API URL: a web page",
        "leads API answered 200 without JSON",
        "check the setting leadsApiUrl",
        ["secret", "access token", *AWS_PARTS],
        break_it=answer("list_assistants", "wrong_content_type"),
    ),
    Broken(
        "wrong API URL: a redirect",
        "leads API answered 302",
        "check the setting leadsApiUrl",
        ["secret", "access token", *AWS_PARTS],
        break_it=answer("list_assistants", status=302, headers={"Location": "https://example.com"}),
    ),
    Broken(
        "no such user",
        "leads API answered 403: it takes the token and refuses the user",
        "check user_identifier in the secret",
        ["secret", "access token", "leads API", *AWS_PARTS],
        break_it=fill_secret(user_identifier="stranger@example.com"),
    ),
    Broken(
        "unknown assistant",
        "assistantEmail of leadDefaults is none of the user's 1 assistants",
        "assign the user to it in the 7Targets app, or correct the setting",
        [*API_PARTS[:-1], *AWS_PARTS],
        break_it=forget_assistants,
    ),
    Broken(
        "no egress to the token endpoint",
        "token endpoint: no connection",
        "that the function reaches 127.0.0.1: in a VPC it needs DNS, a route out (a NAT gateway)",
        ["secret", *AWS_PARTS],
        settings=lambda _: {"TOKEN_URL": f"http://127.0.0.1:{closed_port()}/oauth2/token"},
    ),
    Broken(
        "no egress to the API",
        "leads API: no connection",
        "check the setting leadsApiUrl, and that the function reaches 127.0.0.1: in a VPC it needs DNS",
        ["secret", "access token", *AWS_PARTS],
        settings=lambda _: {"LEADS_API_URL": f"http://127.0.0.1:{closed_port()}"},
    ),
    Broken(
        "no egress to AWS",
        "ledger: no answer (ConnectTimeoutError)",
        "see that the function reaches DynamoDB: in a VPC it needs DNS",
        [*API_PARTS, "dead-letter queue", "lead queue"],
        break_it=fail_aws("dynamodb", "UpdateItem", NO_ROUTE),
    ),
    Broken(
        "ledger gone",
        "ledger: it is gone (ResourceNotFoundException)",
        "restore it under its name, ledger (aws dynamodb restore-table-from-backup",
        [*API_PARTS, "dead-letter queue", "lead queue"],
        break_it=lambda pipeline: pipeline.dynamodb.delete_table(TableName="ledger"),
    ),
    Broken(
        "dead-letter queue gone",
        "dead-letter queue: it is gone (AWS.SimpleQueueService.NonExistentQueue)",
        "create it again under its name, dead-letters",
        [*API_PARTS, "ledger", "lead queue"],
        break_it=deleted("dead_letter_queue_url"),
    ),
    Broken(
        "lead queue gone",
        "lead queue: it is gone (AWS.SimpleQueueService.NonExistentQueue)",
        "create it again under its name, leads",
        [*API_PARTS, "ledger", "dead-letter queue"],
        break_it=deleted("lead_queue_url"),
    ),
]


@pytest.mark.parametrize("broken", BROKEN, indirect=True, ids=[each.name for each in BROKEN])
def test_a_broken_precondition_is_named_with_its_remedy_and_nothing_is_created(
    pipeline: Pipeline, broken: Broken, capsys: pytest.CaptureFixture[str]
) -> None:
    """All other parts are checked all the same; answer, log and metrics hold nothing private."""
    broken.break_it(pipeline)
    report = check(pipeline)
    [problem] = report["problems"]
    assert broken.what in problem["what"]
    assert broken.do in problem["do"]
    assert (report["ok"], report["checked"]) == (False, broken.right)
    assert {call for call, _ in pipeline.calls()} <= {"list_assistants", "update", "unknown"}
    assert {(call, status) for call, status in pipeline.calls() if call == "update"} <= {("update", 401)}
    assert pipeline.leads() == {}
    assert pipeline.ask_sandbox("summary")["tokens_fetched"] <= 1
    output = capsys.readouterr().out
    assert written(output, "CheckFailed") == [1]
    for private in (*SECRET.values(), ASSISTANT, "wrong-secret", "stranger", "eyJ", "@", "Basic "):
        assert private not in json.dumps(report) + pipeline.log.getvalue() + output


def written(output: str, metric: str) -> list[float]:
    """The values of a metric in the function's embedded metric format lines."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"_aws"')]
    return [value for line in lines for value in line.get(metric, [])]


def test_all_is_well(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part is reached, with one token and one call of the API; ledger and queues stay as they are."""
    assert check(pipeline) == {
        "ok": True,
        "checked": [*API_PARTS, *AWS_PARTS],
        "notChecked": [],
        "problems": [],
    }
    assert written(capsys.readouterr().out, "CheckFailed") == [0]
    assert pipeline.calls() == [("list_assistants", 200)]
    assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 1
    assert pipeline.dynamodb.scan(TableName="ledger")["Items"] == []
    assert pipeline.dead_letters() == pipeline.receive() == []
    line = json.loads(pipeline.log.getvalue())
    assert (line["level"], line["message"], line["ok"]) == ("INFO", "check", True)


def listed(pipeline: Pipeline) -> Report:
    """What the function says of the user's assistants."""
    return dict(pipeline.handler(ASSISTANTS_EVENT, pipeline.context))


def test_the_users_assistants_are_listed_for_an_import(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    """All pages, and nothing of them in log and metrics; it is no check."""
    many = [f"assistant{number}@example.org" for number in range(assistants.PAGE_SIZE + 5)]
    add_assistants(pipeline.sandbox, *many)
    assert listed(pipeline) == {"assistants": sorted([*many, "max@example.org", ASSISTANT.lower()])}
    output = capsys.readouterr().out
    assert written(output, "CheckFailed") == []
    assert "@" not in pipeline.log.getvalue() + output
    assert pipeline.leads() == {}


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (answer("list_assistants", status=404), "it has no such call"),
        (answer("list_assistants", status=503), "leads API answered 503"),
        (answer("list_assistants", "wrong_content_type"), "leads API answered 200 without JSON"),
        (fill_secret(client_secret="wrong-secret"), "invalid_client"),
    ],
)
def test_a_list_that_cannot_be_had_says_why(
    pipeline: Pipeline, break_it: Callable[[Pipeline], object], why: str
) -> None:
    """In words that an import can show."""
    break_it(pipeline)
    found = listed(pipeline)
    assert list(found) == ["why"]
    assert why in found["why"]


def test_what_could_not_be_tried_is_reported_with_the_reason(pipeline: Pipeline) -> None:
    """A part that wasn't looked at must not look right."""
    fill_secret(client_secret="wrong-secret")(pipeline)
    assert check(pipeline)["notChecked"] == [
        {"what": "leads API", "why": "the access token comes first"},
        {"what": "user identifier", "why": "the leads API comes first"},
        {"what": "assistants", "why": "the user identifier comes first"},
    ]


def test_several_problems_are_reported_at_once(pipeline: Pipeline) -> None:
    """A new deployment has more than one, and each check costs."""
    fill_secret(client_secret="wrong-secret")(pipeline)
    deleted("dead_letter_queue_url")(pipeline)
    fail_aws("sqs", "GetQueueAttributes", DENIED)(pipeline)
    whats = [each["what"] for each in check(pipeline)["problems"]]
    assert whats == [
        "token endpoint answered 400 invalid_client",
        "dead-letter queue: the function's role may not use it (AccessDenied)",
        "lead queue: the function's role may not use it (AccessDenied)",
    ]


class TestBetweenBatches:
    """A check in an execution environment that delivers leads."""

    def create(self, pipeline: Pipeline, name: str) -> None:
        pipeline.send({"operation": "create", "lead": {"name": "N", "email": f"{name}@example.com"}})

    def test_the_batches_go_on_with_their_own_token(self, pipeline: Pipeline) -> None:
        """A check buys one of its own, although one is cached, and leaves the cached one where it is."""
        for name in ("before", "after"):
            self.create(pipeline, name)
            assert pipeline.deliver() == set()
            check(pipeline)
        assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 1 + 2

    def test_a_failed_check_costs_the_batches_nothing(self, pipeline: Pipeline) -> None:
        """A secret that is broken meanwhile stops no lead before the cached token ends."""
        self.create(pipeline, "before")
        pipeline.deliver()
        fill_secret(client_secret="wrong-secret")(pipeline)
        assert not check(pipeline)["ok"]
        self.create(pipeline, "after")
        assert pipeline.deliver() == set()

    def test_an_open_breaker_neither_stops_a_check_nor_is_closed_by_it(self, pipeline: Pipeline) -> None:
        """The list of assistants may work while creates fail."""
        answer("create", status=503)(pipeline)
        for number in range(6):
            self.create(pipeline, str(number))
        pipeline.deliver()
        assert check(pipeline)["ok"]
        before = len(pipeline.calls())
        self.create(pipeline, "late")
        assert len(pipeline.deliver()) == 1
        assert len(pipeline.calls()) == before


UNKNOWN_CALL = [
    answer("list_assistants", status=404),
    answer("list_assistants", status=405),
    answer("list_assistants", status=400),
    answer(
        "list_assistants", status=403, headers={"x-amzn-ErrorType": "MissingAuthenticationTokenException"}
    ),
]


@pytest.mark.parametrize("break_it", UNKNOWN_CALL, ids=["404", "405", "400", "gateway"])
def test_an_api_without_the_list_of_assistants_is_not_at_fault(
    pipeline: Pipeline, break_it: Callable[[Pipeline], object]
) -> None:
    """Its address is shown by a call of the API document, asked without a token; the user stays unproven."""
    break_it(pipeline)
    report = check(pipeline)
    assert (report["ok"], report["checked"]) == (True, ["secret", "access token", "leads API", *AWS_PARTS])
    assert [each["what"] for each in report["notChecked"]] == ["user identifier", "assistants"]
    assert pipeline.calls()[1:] == [("update", 401)]


@dataclass
class Guard:
    """A server that looks at the token before the path, and has no path that it is asked for."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def guard() -> Iterator[Guard]:
    """Runs it for the length of a test."""
    running = Guard()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            running.asked.append((self.command, self.path.partition("?")[0]))
            self.send_response(404 if self.headers["Authorization"] else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = answer  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("path", "is_right"), [("", True), ("/leads", False)])
def test_behind_a_guard_a_path_in_the_address_distinguishes_a_wrong_address_from_an_unknown_call(
    pipeline: Pipeline, path: str, is_right: bool
) -> None:
    """It answers 401 without a token, whatever the path is; 7Targets' own address has none."""
    with guard() as running:
        use_api_at(running.url + path)
        report = check(pipeline)
    assert running.asked == [("GET", f"{path}/leads/assistant"), ("PUT", f"{path}/leads")]
    assert report["ok"] is is_right
    whats = [each["what"] for each in report["problems"]]
    assert whats == [] if is_right else ["leads API answered 404: the address has a wrong path"]


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429}, {"kind": "cut_before"}],
    ids=["503", "429", "cut"],
)
@pytest.mark.parametrize(("operation", "name"), [("leads", "leads API"), ("token", "token endpoint")])
def test_an_outage_is_reported_as_one_that_may_pass(
    pipeline: Pipeline, operation: str, name: str, fault: dict[str, Any]
) -> None:
    """No setting is blamed before it has lasted."""
    answer(operation, **fault)(pipeline)
    [problem] = check(pipeline)["problems"]
    assert problem["what"].startswith(name)
    assert problem["do"].startswith(
        "check again in some minutes, because this may pass by itself; if it last"
    )


class TestAssistants:
    """What the list of assistants shows."""

    def listed(self, *emails: str | None) -> Callable[[Pipeline], object]:
        return answer("list_assistants", status=200, body=[{"id": 1, "emailid": email} for email in emails])

    def test_the_assistant_is_found_on_a_later_page(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The newest come first, and the default assistant may be the oldest."""
        monkeypatch.setattr(assistants, "PAGE_SIZE", 2)
        add_assistants(pipeline.sandbox, *(f"a{number}@example.org" for number in range(5)))
        assert check(pipeline)["ok"]
        assert pipeline.calls() == [("list_assistants", 200)] * 3

    def test_an_api_that_knows_no_pages_ends_the_search(self, pipeline: Pipeline) -> None:
        """It answers the same page for ever."""
        self.listed("max@example.org")(pipeline)
        [problem] = check(pipeline)["problems"]
        assert "none of the user's 1 assistants" in problem["what"]
        assert len(pipeline.calls()) == 2

    def test_a_search_without_end_proves_nothing(
        self, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A user of thousands of assistants must not fail the check."""
        monkeypatch.setattr(assistants, "PAGE_SIZE", 1)
        monkeypatch.setattr(assistants, "MOST_PAGES", 3)
        add_assistants(pipeline.sandbox, *(f"a{number}@example.org" for number in range(5)))
        report = check(pipeline)
        assert report["ok"]
        why = "the assistant isn't among the first 3 of the user's"
        assert report["notChecked"] == [{"what": "assistants", "why": why}]

    def test_a_user_without_assistants_is_reported(self, pipeline: Pipeline) -> None:
        """No lead could be given to anyone."""
        self.listed()(pipeline)
        [problem] = check(pipeline)["problems"]
        assert problem["what"] == "the user has no assistant"
        assert problem["do"].startswith("assign the user to every assistant")

    @pytest.mark.parametrize("body", [{"content": []}, [{"id": 1}], ["max"], 7], ids=str)
    def test_a_list_of_another_form_proves_nothing(self, pipeline: Pipeline, body: object) -> None:
        """Its form is known from a help page only."""
        answer("list_assistants", status=200, body=body)(pipeline)
        report = check(pipeline)
        assert report["ok"]
        assert [each["what"] for each in report["notChecked"]] == ["assistants"]

    @pytest.mark.parametrize(
        "broken",
        [Broken("no default", "", "", [], settings=lambda _: {"LEAD_DEFAULTS": "{}"})],
        indirect=True,
    )
    def test_without_a_default_assistant_any_will_do(self, pipeline: Pipeline, broken: Broken) -> None:
        """Each lead names its own then."""
        self.listed("max@example.org")(pipeline)
        assert check(pipeline)["checked"] == [*API_PARTS, *AWS_PARTS]


class TestTime:
    """A check ends before the invocation does."""

    @pytest.mark.parametrize(
        ("left_s", "right"),
        [(9.5, ["secret"]), (60.0, ["secret", *AWS_PARTS])],
    )
    def test_a_part_for_which_no_time_is_left_is_not_begun(
        self, pipeline: Pipeline, left_s: float, right: list[str]
    ) -> None:
        """A call of the API takes up to 33 s, and leaves 37 s; one of AWS takes up to 9 s."""
        pipeline.context.remaining_s = left_s
        report = check(pipeline)
        assert report["checked"] == right
        assert pipeline.ask_sandbox("requests") == []
        assert all("time was nearly over" in each["what"] for each in report["problems"])
        assert all("functionTimeoutSeconds" in each["do"] for each in report["problems"])
        assert len(report["problems"]) == (1 if left_s == 60.0 else 4)


def test_an_unexpected_error_is_reported_without_its_words(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one part neither hides the others nor quotes what it met."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET["client_secret"])

    monkeypatch.setattr(function().http, "send", fail)
    report = check(pipeline)
    [problem] = report["problems"]
    assert problem["what"].startswith("access token: internal error: ValueError at test_check.py:")
    assert report["checked"] == ["secret", *AWS_PARTS]
    assert SECRET["client_secret"] not in json.dumps(report) + pipeline.log.getvalue()


def test_a_host_whose_name_is_not_known_is_reported(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in the setting, or a network without DNS."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror

    use_api_at("http://leads.example.com")
    connect = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more: unknown() if host == "leads.example.com" else connect(host, *more),
    )
    [problem] = check(pipeline)["problems"]
    assert problem["what"] == "leads API: the host's name can't be resolved"
    assert "that the function reaches leads.example.com: in a VPC it needs DNS" in problem["do"]


@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@pytest.mark.parametrize(
    "event", [{}, {"check": False}, {"check": "true"}, {"detail-type": "Lead Created"}, [], "check", None]
)
def test_an_event_that_is_neither_a_batch_nor_a_check_is_refused_in_words(
    pipeline: Pipeline, event: object
) -> None:
    """It is an error, so that a rule that invokes the function directly doesn't drop leads unseen."""
    with pytest.raises(Exception, match=re.escape('nor {"check": true}')) as caught:
        pipeline.handler(event, pipeline.context)
    assert type(caught.value).__name__ == "UnknownEventError"
