"""What the page of a local run is served: figures, stories, parked leads, the switch."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from botocore.exceptions import ClientError

from local.page.history import hash_address
from local.page.server import Page
from local.page.switch import DESCRIPTIONS
from local.stack.deployment import QUICK_SETTINGS
from tests.documents import PROJECT
from tests.local.fake_run import DEAD_LETTERS, LEAD_QUEUE, FakeRun
from tests.local.sandbox_caller import JOHN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.sandbox_caller import Caller

JOHNS_HASH = hash_address(JOHN["email"])
WISH = json.dumps({"operation": "create", "lead": JOHN})


class Reader:
    """A person with the page open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **options: Any) -> Any:
        answer = self.session.get(self.page.url + path, timeout=10, **options)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: object) -> requests.Response:
        return self.session.post(self.page.url + path, json=body, timeout=10)

    def figures(self) -> dict[str, Any]:
        """The figures as of now, not of the last second."""
        self.page.overview.look()
        return dict(self.get("/overview"))

    def story(self, email: str) -> dict[str, Any]:
        self.figures()
        return dict(self.get("/story", params={"email": email}))

    def titles(self, email: str) -> list[str]:
        return [step["title"] for step in self.story(email)["steps"]]


@pytest.fixture
def run(api: Caller) -> FakeRun:
    return FakeRun(api)


@pytest.fixture
def reader(run: FakeRun) -> Iterator[Reader]:
    page = Page(run.deployment)
    page.start()
    reader = Reader(page)
    yield reader
    reader.session.close()
    page.stop()


def lose_the_answer(run: FakeRun, api: Caller) -> None:
    """A create that is stored and never answered, and the attempt's log line about it."""
    api.script("create", {"kind": "cut_after"}, times=1)
    with pytest.raises(requests.ConnectionError):
        api.create()
    run.attempt(outcome="unconfirmed", lead=JOHNS_HASH, delay_s=6, reason="leads API: the connection broke")


# Figures


def test_the_headline_counts_lost_answers_and_creates_that_were_repeated(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """A second create of a lead is the one thing that must not happen, so the page can show it."""
    lose_the_answer(run, api)
    figures = reader.figures()
    assert (figures["answersLost"], figures["createdAgain"], figures["lostExample"]) == (1, 0, JOHN["email"])
    api.create()
    assert reader.figures()["createdAgain"] == 1


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        ({"kind": "status", "status": 502, "stored": True}, 1),
        ({"kind": "wrong_content_type"}, 1),
        ({"kind": "status", "status": 503}, 0),
        ({"kind": "delay", "seconds": 0}, 0),
    ],
)
def test_an_answer_is_lost_only_if_the_lead_was_stored(
    reader: Reader, api: Caller, fault: dict[str, Any], lost: int
) -> None:
    """A 503 that did nothing is a refusal, not a lost answer."""
    api.script("create", fault, times=1)
    api.create()
    assert reader.figures()["answersLost"] == lost


def test_each_event_is_counted_once_so_that_the_figures_add_up(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """Delivered after a retry, a duplicate, waiting, parked: four events came in."""
    api.create()
    run.attempt(outcome="retry", event_id="e-1", delay_s=3)
    run.attempt(outcome="delivered", event_id="e-1")
    run.attempt(outcome="rejected", event_id="e-2", parked=True)
    run.attempt(outcome="duplicate", event_id="e-3")
    run.queues.park(WISH, "no")
    run.queues.send_message(QueueUrl=LEAD_QUEUE, MessageBody=WISH)
    figures = reader.figures()
    parts = {name: figures[name] for name in ("delivered", "duplicates", "waiting", "parked")}
    assert parts == dict.fromkeys(parts, 1)
    assert (figures["cameIn"], figures["at7Targets"]) == (4, 1)
    bars = figures["chart"]["bars"]
    assert {kind: sum(bar.get(kind, 0) for bar in bars) for kind in ("later", "delivered", "parked")} == {
        "later": 1,
        "delivered": 1,
        "parked": 1,
    }
    assert bars[-1]["waiting"] == 1


def test_a_retried_event_is_not_counted_as_another(run: FakeRun, reader: Reader) -> None:
    """Neither while it waits nor after it: sent again it has another message id, but the same event id."""
    run.attempt(outcome="rejected", message_id="m-1", parked=True)
    reader.post("/parked/retry", {"ids": [run.queues.park(WISH, "no", eventId="e-1")]})
    assert reader.figures()["cameIn"] == 1
    run.queues.queues[LEAD_QUEUE].clear()
    run.attempt(outcome="delivered", message_id="m-2")
    figures = reader.figures()
    assert (figures["cameIn"], figures["delivered"], figures["parked"]) == (1, 1, 0)


def test_a_message_that_sqs_brings_twice_stays_delivered(run: FakeRun, reader: Reader) -> None:
    """A duplicate is what a producer has sent twice, as in the table on the terminal."""
    run.attempt(outcome="delivered")
    run.attempt(outcome="duplicate")
    figures = reader.figures()
    assert (figures["delivered"], figures["duplicates"]) == (1, 0)


def test_figures_come_as_server_sent_events_until_the_page_stops(run: FakeRun, reader: Reader) -> None:
    """An open stream doesn't keep the run from ending."""
    with reader.session.get(f"{reader.page.url}/events", stream=True, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first = next(lines)
        assert json.loads(first.removeprefix(b"data: "))["cameIn"] == 0
        reader.page.overview.stop()
        assert list(lines)[-1:] in ([], [b""])


def test_a_sandbox_that_is_down_leaves_the_figures_as_they_were(
    run: FakeRun, reader: Reader, api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch itself takes it down."""
    api.create()
    assert reader.figures()["at7Targets"] == 1

    def refuse(_: int) -> list[dict[str, Any]]:
        raise requests.ConnectionError

    monkeypatch.setattr(run.sandbox, "requests", refuse)
    figures = reader.figures()
    assert (figures["at7Targets"], figures["problem"]) == (1, "")


def test_a_run_that_has_ended_is_said_so(
    run: FakeRun, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures that have stopped would look like a calm run."""

    def refuse() -> int:
        raise requests.ConnectionError

    monkeypatch.setattr(run, "lead_queue_count", refuse)
    assert "doesn't answer" in reader.figures()["problem"]


# The story of one lead


def test_the_story_shows_the_lost_answer_the_pause_and_the_confirmation(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """The steps are in the order in which they happened, with the id at the end and no second create."""
    lose_the_answer(run, api)
    api.update()
    run.attempt(
        outcome="delivered", lead=JOHNS_HASH, lead_id=117, lead_state="Cold", status=200, receive_count=2
    )
    assert reader.titles("  John.Doe@Example.com ") == [
        "Answer lost",
        "Pause for settling",
        "Confirmed",
        "Delivered",
    ]
    story = reader.story(JOHN["email"])
    assert story["summary"] == (
        "Delivered: it is 7Targets' lead 117. An answer was lost on the way; the lead was created once all"
        " the same."
    )
    assert story["steps"][-1]["text"] == "7Targets id 117, state Cold, at attempt 2."


def test_the_story_begins_when_the_ledger_says_that_the_event_came(run: FakeRun, reader: Reader) -> None:
    """The story has the event's source; times are as exact as SQS's."""
    event = {
        "key": {"S": "create#1"},
        "state": {"S": "waiting"},
        "operation": {"S": "create"},
        "source": {"S": "com.example.crm"},
        "messageId": {"S": "m-1"},
        "orderMs": {"N": "1700000000123"},
        "firstSeenS": {"N": "1700000003"},
    }
    run.ledger = {"openEvents": {"L": [{"M": event}]}, "leadId": {"S": ""}}
    first = reader.story(JOHN["email"])["steps"][0]
    assert first["at"] == 1700000000.123
    assert first["text"] == "An event on the bus, from com.example.crm, to create the lead."


def test_a_create_that_was_not_stored_is_not_shown_as_there(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """404 to the question: then, and only then, a second POST is right."""
    api.script("create", {"kind": "cut_before"}, times=1)
    with pytest.raises(requests.ConnectionError):
        api.create()
    api.update()
    api.create()
    assert reader.titles(JOHN["email"]) == ["No answer", "Not there", "Sent"]


def test_an_update_after_the_confirmation_is_an_update(run: FakeRun, reader: Reader, api: Caller) -> None:
    """Only the first one answers the question that a lost answer leaves."""
    lose_the_answer(run, api)
    api.update()
    run.attempt(outcome="delivered", lead=JOHNS_HASH, lead_id=1)
    api.update(name="Johnny")
    run.attempt(outcome="delivered", lead=JOHNS_HASH, lead_id=1, operation="update", event_id="e-2")
    assert reader.titles(JOHN["email"])[2:] == ["Confirmed", "Delivered", "Sent", "Delivered"]


def test_attempts_that_say_the_same_are_one_step(run: FakeRun, reader: Reader) -> None:
    """An outage would fill the page with one sentence."""
    for _ in range(9):
        run.attempt(outcome="retry", lead=JOHNS_HASH, delay_s=8, reason="not tried")
    steps = reader.story(JOHN["email"])["steps"]
    assert [step["text"] for step in steps] == ["Sent back 9 times: not tried. Comes back after 8 s."]


def test_each_lost_answer_is_followed_by_its_pause(run: FakeRun, reader: Reader, api: Caller) -> None:
    """Two attempts that say the same, but each has sent something."""
    lose_the_answer(run, api)
    api.script("update", {"kind": "cut_before"}, times=1)
    with pytest.raises(requests.ConnectionError):
        api.update()
    run.attempt(outcome="unconfirmed", lead=JOHNS_HASH, delay_s=6, reason="leads API: the connection broke")
    assert reader.titles(JOHN["email"]) == [
        "Answer lost",
        "Pause for settling",
        "No answer",
        "Pause for settling",
    ]


def test_a_create_in_doubt_that_was_turned_away_needs_no_pause(run: FakeRun, reader: Reader) -> None:
    """It is unconfirmed still, and comes back before a pause would be over."""
    run.attempt(outcome="unconfirmed", lead=JOHNS_HASH, delay_s=1, reason="leads API answered 429")
    [step] = reader.story(JOHN["email"])["steps"]
    assert step["text"] == "Sent back: leads API answered 429. Comes back after 1 s."


def test_an_update_before_its_create_is_shown_as_such(run: FakeRun, reader: Reader, api: Caller) -> None:
    """No fault, though it was answered 404."""
    api.update()
    run.attempt(outcome="retry", lead=JOHNS_HASH, operation="update", delay_s=1)
    assert reader.titles(JOHN["email"]) == ["Not there", "Waits"]


def test_a_lost_answer_to_an_update_leaves_no_create_in_doubt(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """The first sentence says which kind of answer was lost."""
    api.create()
    run.attempt(outcome="delivered", lead=JOHNS_HASH, lead_id=1)
    api.script("update", {"kind": "cut_after"}, times=1)
    with pytest.raises(requests.ConnectionError):
        api.update(name="Johnny")
    assert reader.story(JOHN["email"])["summary"] == (
        "Delivered: it is 7Targets' lead 1. The answer to a PUT was lost on the way; a PUT can't create a"
        " lead."
    )


def test_a_lead_that_waits_untried_is_found(run: FakeRun, reader: Reader) -> None:
    """No attempt and no ledger item knows of it yet."""
    run.queues.send_message(QueueUrl=LEAD_QUEUE, MessageBody=json.dumps({"detail": {"lead": JOHN}}))
    story = reader.story(JOHN["email"])
    assert (story["found"], story["summary"]) == (True, "Waits in the lead queue.")


def test_a_lead_with_a_domain_in_letters_of_its_own_is_found_as_7targets_has_it(
    run: FakeRun, reader: Reader, api: Caller
) -> None:
    """The function sends, logs and remembers the domain in punycode."""
    api.create(email="john@xn--bcher-kva.example")
    run.attempt(outcome="delivered", lead=hash_address("john@xn--bcher-kva.example"), lead_id=1)
    parked = run.queues.park(json.dumps({"lead": {**JOHN, "email": "John@BÜCHER.example"}}), "suppressed")
    assert reader.titles("john@bücher.example")[-2:] == ["Sent", "Delivered"]
    assert reader.story("john@bücher.example")["parked"] == [parked]


def test_a_parked_lead_and_its_retry_are_shown(run: FakeRun, reader: Reader) -> None:
    """Its story offers the retry, and goes on after it."""
    run.attempt(outcome="rejected", lead=JOHNS_HASH, parked=True, reason="suppressed")
    parked = run.queues.park(WISH, "suppressed", messageId="m-1", eventId="e-1")
    story = reader.story(JOHN["email"])
    assert (story["summary"], story["parked"]) == ("Parked: suppressed.", [parked])
    assert reader.post("/parked/retry", {"ids": [parked]}).json() == {"sent": 1}
    run.queues.queues[LEAD_QUEUE].clear()
    run.attempt(outcome="delivered", lead=JOHNS_HASH, lead_id=3, message_id="m-2")
    assert reader.titles(JOHN["email"])[-3:] == ["Parked", "Sent again", "Delivered"]


def test_an_address_that_no_attempt_could_read_is_found_in_the_dead_letter_queue(
    run: FakeRun, reader: Reader
) -> None:
    """The commonest reason of all: the address isn't one."""
    lead = {**JOHN, "email": "john.example.com"}
    run.queues.park(json.dumps({"operation": "create", "lead": lead}), "lead.email: is not an e-mail address")
    assert reader.titles("john.example.com") == ["Came in", "Parked"]


def test_an_unknown_address_is_not_found(reader: Reader) -> None:
    """Said so, rather than an empty story."""
    assert reader.story("nobody@example.com")["found"] is False


# Parked leads


def test_parked_leads_are_grouped_by_reason(run: FakeRun, reader: Reader) -> None:
    """A field has another path in an event of the bus; to the person who fixes it, it is the same."""
    for detail in ("lead.name: is missing", "suppressed", "detail.lead.name: is missing"):
        run.queues.park(WISH, detail)
    reasons = reader.get("/parked")["reasons"]
    assert [(each["reason"], each["count"]) for each in reasons] == [
        ("lead.name: is missing", 2),
        ("suppressed", 1),
    ]
    assert reasons[1]["messages"][0]["email"] == JOHN["email"]


def test_a_retry_sends_before_it_deletes_and_keeps_the_attributes(run: FakeRun, reader: Reader) -> None:
    """The function reads from them which event it is, and when it first came."""
    others = [run.queues.park(WISH, "other") for _ in range(12)]
    wanted = run.queues.park(WISH, "no", eventId="e-7", firstSeen="2026-01-01T00:00:00+00:00")
    run.queues.calls.clear()
    assert reader.post("/parked/retry", {"ids": [wanted]}).json() == {"sent": 1}
    assert run.queues.calls == [f"send to {LEAD_QUEUE}", f"deletion in {DEAD_LETTERS}"]
    (sent,) = run.queues.queues[LEAD_QUEUE]
    assert sent["MessageBody"] == WISH
    assert sent["MessageAttributes"]["eventId"]["StringValue"] == "e-7"
    assert sent["MessageAttributes"]["firstSeen"]["StringValue"] == "2026-01-01T00:00:00+00:00"
    assert [each["MessageId"] for each in run.queues.queues[DEAD_LETTERS]] == others
    again = run.queues.receive_message(QueueUrl=DEAD_LETTERS, MaxNumberOfMessages=20, VisibilityTimeout=0)
    assert len(again["Messages"]) == len(others)


def test_a_retry_says_what_became_of_what_it_sent(run: FakeRun, reader: Reader) -> None:
    """One that is still wrong is parked again, where it was before."""
    parked = [run.queues.park(WISH, "no") for _ in range(4)]
    reader.post("/parked/retry", {"ids": parked[1:]})
    assert reader.figures()["retried"] == {"waiting": 3}
    first, second, _ = [each["MessageId"] for each in run.queues.queues[LEAD_QUEUE]]
    run.attempt(outcome="rejected", message_id=first, parked=True)
    run.attempt(outcome="delivered", message_id=second, event_id="e-2")
    assert reader.figures()["retried"] == {"parked": 1, "delivered": 1, "waiting": 1}
    reader.post("/parked/retry", {"ids": parked[:1]})
    assert reader.figures()["retried"] == {"waiting": 1}


def test_a_retry_that_could_not_be_sent_stays_parked(run: FakeRun, reader: Reader) -> None:
    """Nothing is lost, and the page says why."""
    parked = run.queues.park(WISH, "no")
    run.queues.refuses = ClientError({"Error": {"Code": "Throttled"}}, "SendMessage")
    answer = reader.post("/parked/retry", {"ids": [parked]})
    assert (answer.status_code, "Throttled" in answer.json()["message"]) == (502, True)
    assert [each["MessageId"] for each in run.queues.queues[DEAD_LETTERS]] == [parked]


# The switch, and publishing


def test_a_slow_api_answers_within_the_functions_time_out(run: FakeRun, reader: Reader) -> None:
    """Else it would be one that loses answers."""
    reader.post("/api", {"mode": "slow"})
    (rule,) = run.sandbox.faults
    assert 1 < rule["fault"]["seconds"] < float(QUICK_SETTINGS["readTimeoutSeconds"])


def test_an_unknown_mode_changes_nothing(reader: Reader) -> None:
    """The answer names those there are."""
    answer = reader.post("/api", {"mode": "sideways"})
    assert answer.status_code == 400
    assert all(mode in answer.json()["message"] for mode in DESCRIPTIONS)
    assert reader.figures()["mode"] == "up"


def test_an_outage_stays_on_the_chart(reader: Reader) -> None:
    """When it began and when it ended."""
    for mode in ("503", "503", "up"):
        reader.post("/api", {"mode": mode})
    assert [period["mode"] for period in reader.figures()["periods"]] == ["up", "503", "up"]


def test_made_up_leads_are_published_by_both_ways_in(run: FakeRun, reader: Reader) -> None:
    """Each with an address of its own."""
    emails = reader.post("/leads", {"count": 20}).json()["emails"]
    assert len(set(emails)) == 20
    assert run.lead_queue_count() == 10
    assert reader.post("/leads", {"count": 100_000}).status_code == 400


# The page itself


def test_the_page_needs_nothing_from_elsewhere(reader: Reader) -> None:
    """It works without a network; what a lead's fields hold is never read as HTML."""
    answer = reader.session.get(reader.page.url, timeout=10)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; connect-src 'self'")
    assert set(re.findall(r"https?://[^\"'\s]+", answer.text)) == {"http://www.w3.org/2000/svg"}
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", answer.text)
    assert answer.text == (PROJECT / "local/page/page.html").read_text("utf-8")


@pytest.mark.parametrize("path", ["/parked/retry", "/api", "/leads"])
def test_another_site_can_change_nothing(reader: Reader, path: str) -> None:
    """Neither by a form, which needs no permission, nor by a name of its own that leads to this machine."""
    url = reader.page.url + path
    form = reader.session.post(
        url, data='{"mode": "down"}', headers={"Content-Type": "text/plain"}, timeout=10
    )
    renamed = reader.session.post(url, json={"mode": "down"}, headers={"Host": "evil.example"}, timeout=10)
    assert (form.status_code, renamed.status_code) == (415, 403)
    assert reader.figures()["mode"] == "up"


def test_another_site_can_read_nothing(reader: Reader) -> None:
    """Addresses of people are on the page."""
    answer = reader.session.get(f"{reader.page.url}/parked", headers={"Host": "evil.example"}, timeout=10)
    assert answer.status_code == 403
