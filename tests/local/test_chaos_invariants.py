"""The judge of the fault suite: it finds each way of breaking a promise, and nothing wrong in a good run."""

import json
from dataclasses import replace
from typing import Any

import pytest

from local.chaos.campaign import Evidence
from local.chaos.events import ASSISTANT, EARLY_FIELD, FILE_FIELD, FORM_FIELD, LAST, ChaosEvent, sha256
from local.chaos.faults import SETTLING_S, Kill, OutageFigures
from local.chaos.invariants import Promise, check
from local.publishing import REFUSED_WORDS, Published

EMAIL = "lead-000001@example.com"
NAMED = {"name": "Lead 1", "email": EMAIL, "assistantEmail": ASSISTANT}
FORM = NAMED | {FORM_FIELD: "met at booth 1", "phone": "1"}
FILE = NAMED | {FILE_FIELD: "row 1", "phone": "2"}
UPDATE = NAMED | {EARLY_FIELD: "early 1", LAST: "early"}
FORMER = NAMED | {"name": "Former 1", "industry": "former 1"}
MADE_BY_API = {"creates": 1, "state": "Cold", "type": "SALES"}
OVERRULED = "a later event of the lead, with another name, was delivered first; send what still holds"


def published(
    operation: str, lead: dict[str, Any], own_field: str = "", *, problem: str = "", event_id: str = ""
) -> Published[ChaosEvent]:
    event = ChaosEvent(
        "sqs",
        operation,
        lead,
        json.dumps(lead),
        "rejected" if problem else "delivered",
        problem,
        key=f"{operation} {own_field}",
        number=1,
        own_field=own_field,
    )
    return Published(event, event_id or f"{operation}-{own_field}")


CREATE = published("create", FORM, FORM_FIELD)
SECOND_CREATE = published("create", FILE, FILE_FIELD)
CHANGE = published("update", UPDATE, EARLY_FIELD)
STOP = published("stop_followup", NAMED)


def request(
    at: float,
    operation: str,
    body: dict[str, Any],
    status: int | None,
    effect: str | None = None,
    fault: str | None = None,
    late_s: float = 0,
) -> dict[str, Any]:
    return {
        "seq": round(at * 10),
        "at": at,
        "operation": operation,
        "email": EMAIL,
        "body": body,
        "status": status,
        "fault": fault,
        "effect": effect,
        "effect_at": at + late_s if effect else None,
    }


CREATED = request(100, "create", FORM, 201, "created")
UPDATED = request(200, "update", UPDATE, 200, "updated")


def letter(event_id: str, detail: str) -> dict[str, Any]:
    attributes = {"reason": "rejected", "detail": detail, "messageId": event_id, "eventId": event_id}
    return {
        "Body": "{}",
        "MessageAttributes": {name: {"StringValue": text} for name, text in attributes.items()},
    }


def run(
    *events: Published[ChaosEvent], requests: Any = (), held: dict[str, Any] | None = None, **more: Any
) -> Evidence:
    """A run whose ledger says of each event that it was delivered, or parked if the API refused it."""
    ledger = {
        each.event.ledger_key(each.id): "parked" if each.event.problem else "delivered"
        for each in events
        if each.event.problem in {"", REFUSED_WORDS}
    }
    leads = {EMAIL: held} if held else {}
    evidence = Evidence(published=list(events), requests=list(requests), leads=leads, ledger=ledger)
    return replace(evidence, **more)


def broken(evidence: Evidence, *kills: float, exhausted: bool = False) -> list[Promise]:
    verdict = check(evidence, [Kill("create", at) for at in kills], {sha256(EMAIL)} if exhausted else set())
    return [promise for promise, _ in verdict.broken]


GOOD = run(CREATE, CHANGE, requests=(CREATED, UPDATED), held=FORM | UPDATE | MADE_BY_API)


def test_a_run_without_faults_keeps_every_promise() -> None:
    """A create and its update, each with its effect and its place in the ledger."""
    assert broken(GOOD) == []


def test_an_unanswered_create_is_asked_for_after_the_settling_time() -> None:
    """A create that took effect late is confirmed by an update; one without effect is sent after a 404."""
    confirmed = (
        request(100, "create", FORM, 503, "created", "late", late_s=SETTLING_S - 1),
        request(100 + SETTLING_S, "update", FORM, 200, "updated"),
    )
    again = (
        request(100, "create", FORM, 503, fault="status"),
        request(100 + SETTLING_S, "update", FORM, 404),
        request(101 + SETTLING_S, "create", FORM, 201, "created"),
    )
    for requests in (confirmed, again):
        assert broken(run(CREATE, requests=requests, held=FORM | MADE_BY_API)) == []


def test_only_a_stop_that_was_published_twice_is_sent_twice() -> None:
    """A create that came between may have started the e-mails again."""
    stops = [request(at, "stop_followup", NAMED, 200, "stopped") for at in (200, 201)]
    held = FORM | MADE_BY_API | {"nextScheduleTime": None, "followup": 0}
    again = replace(STOP, event=replace(STOP.event, expected="duplicate", copy=1), id="again")
    assert broken(run(CREATE, STOP, again, requests=(CREATED, *stops), held=held)) == []
    assert broken(run(CREATE, STOP, requests=(CREATED, *stops), held=held)) == [Promise.BLIND]


def test_only_an_update_of_a_batch_in_order_may_be_superseded_by_its_neighbour() -> None:
    """A batch that came in two parts: the last update is there, and the first was not sent."""
    first, last = (
        published("update", NAMED | {LAST: f"batch {place}"}, LAST, event_id=f"batch-{place}")
        for place in (1, 2)
    )
    first = replace(first, event=replace(first.event, key="first"))
    requests = (CREATED, request(200, "update", last.event.lead, 200, "updated"))
    evidence = run(CREATE, first, last, requests=requests, held=FORM | {LAST: "batch 2"} | MADE_BY_API)
    evidence.ledger[first.event.ledger_key(first.id)] = "superseded"
    assert broken(evidence) == []
    alone = run(CREATE, CHANGE, requests=(CREATED, UPDATED), held=FORM | UPDATE | MADE_BY_API)
    alone.ledger[CHANGE.event.ledger_key(CHANGE.id)] = "superseded"
    assert broken(alone) == [Promise.UNTRUE]


def test_a_lead_that_was_held_before_may_be_created_once_or_not_at_all() -> None:
    """Its first create assigns it; where an update has shown the lead, the create goes as an update."""
    assigned = (request(100, "create", FORM, 201, "assigned"),)
    updated = (request(100, "update", FORM, 200, "updated"),)
    for creates, requests in ((1, assigned), (0, updated)):
        held = FORMER | FORM | MADE_BY_API | {"creates": creates}
        assert broken(run(CREATE, requests=requests, held=held, existing=[FORMER])) == []
    both = (*updated, request(101, "create", FORM, 201, "assigned"))
    assert broken(run(CREATE, requests=both, held=FORMER | FORM | MADE_BY_API, existing=[FORMER])) == [
        Promise.BLIND,
        Promise.BLIND,
    ]


def test_of_two_creates_the_later_ones_fields_stand() -> None:
    """The order of delivery doesn't matter; fields that only the earlier one has are there, too."""
    requests = (CREATED, request(200, "update", FILE, 200, "updated"))
    good = run(CREATE, SECOND_CREATE, requests=requests, held=FORM | FILE | MADE_BY_API)
    assert broken(good) == []
    undone = replace(good, leads={EMAIL: FILE | FORM | MADE_BY_API})
    assert broken(undone) == [Promise.UNDONE]


def test_an_event_that_would_undo_a_later_ones_name_may_be_parked() -> None:
    """It must have that reason, and such an event must have been published later."""
    other = published("create", FILE | {"name": "Ms Lead 1"}, FILE_FIELD)
    evidence = run(
        other,
        CREATE,
        requests=(CREATED,),
        held=FORM | MADE_BY_API,
        dead_letters=[letter(other.id, OVERRULED)],
    )
    evidence.ledger[other.event.ledger_key(other.id)] = "parked"
    assert broken(evidence) == []
    assert Promise.LOST in broken(replace(evidence, published=[CREATE, other]))
    of_the_same_name = replace(evidence, published=[SECOND_CREATE, CREATE])
    of_the_same_name.dead_letters[0] = letter(SECOND_CREATE.id, OVERRULED)
    assert Promise.LOST in broken(of_the_same_name)


def test_an_update_may_be_parked_for_the_other_name_of_the_create_with_which_the_bus_has_swapped_it() -> None:
    """It was published after its create, but came into the queue before."""
    renamed = published("update", UPDATE | {"name": "Early 1"}, EARLY_FIELD)
    letters = [letter(renamed.id, OVERRULED)]
    for events in ((CREATE, renamed), (renamed, CREATE)):
        evidence = run(*events, requests=(CREATED,), held=FORM | MADE_BY_API, dead_letters=letters)
        evidence.ledger[renamed.event.ledger_key(renamed.id)] = "parked"
        assert broken(evidence) == []


@pytest.mark.parametrize("parked", [0, 1])
def test_of_an_event_and_its_copy_one_is_parked_for_both(parked: int) -> None:
    """The other one is acknowledged, because the ledger has the event as parked."""
    renamed = published("update", UPDATE | {"name": "Early 1"}, EARLY_FIELD)
    again = replace(renamed, event=replace(renamed.event, expected="duplicate", copy=1), id="again")
    letters = [letter((renamed, again)[parked].id, OVERRULED)]
    held = FORM | MADE_BY_API
    evidence = run(renamed, CREATE, again, requests=(CREATED,), held=held, dead_letters=letters)
    evidence.ledger[renamed.event.ledger_key(renamed.id)] = "parked"
    assert broken(evidence) == []


@pytest.mark.parametrize(
    ("change", "promises"),
    [
        pytest.param({"leads": {}}, [Promise.LOST], id="the lead is missing"),
        pytest.param(
            {"leads": {EMAIL: FORM | MADE_BY_API}, "requests": [CREATED]},
            [Promise.LOST, Promise.LOST, Promise.UNTRUE],
            id="an update is reported as delivered and had no effect",
        ),
        pytest.param(
            {"leads": {EMAIL: FORM | UPDATE | MADE_BY_API | {LAST: "older"}}},
            [Promise.UNDONE],
            id="a field is undone",
        ),
        pytest.param(
            {"leads": {**GOOD.leads, "other@example.com": FORM}},
            [Promise.UNACCOUNTED],
            id="a lead nobody asked for",
        ),
        pytest.param({"left_in_queue": 1}, [Promise.UNACCOUNTED], id="a message is left"),
        pytest.param({"ledger": {}}, [Promise.UNTRUE] * 2, id="the ledger has forgotten"),
        pytest.param(
            {"ledger": {**GOOD.ledger, ("0", "key#create#0"): "delivered"}},
            [Promise.UNACCOUNTED],
            id="the ledger has made something up",
        ),
        pytest.param(
            {"dead_letters": [letter(CHANGE.id, "leads API answered 500")]},
            [Promise.LOST],
            id="parked for a fault that isn't its own",
        ),
        pytest.param(
            {"requests": [CREATED, request(150, "create", FORM, 201, "created_again"), UPDATED]},
            [Promise.CREATED_TWICE, Promise.BLIND, Promise.BLIND],
            id="created twice",
        ),
        pytest.param(
            {"requests": [CREATED, UPDATED, UPDATED | {"at": 300}]},
            [Promise.BLIND],
            id="an update is repeated for no reason",
        ),
        pytest.param(
            {"requests": [request(90, "create", FORM, 503, fault="status"), CREATED, UPDATED]},
            [Promise.BLIND],
            id="an unanswered create is repeated without asking, and luck has it that nothing happens",
        ),
        pytest.param(
            {"requests": [CREATED, request(199, "update", UPDATE, 502, fault="status"), UPDATED]},
            [Promise.BLIND],
            id="an unanswered update is repeated before it is settled",
        ),
        pytest.param(
            {"outage": OutageFigures(began_at=1, ended_at=150, calls=3, most_calls=2)},
            [Promise.OUTAGE, Promise.OUTAGE],
            id="too many calls in the outage, and the update long after it",
        ),
    ],
)
def test_each_breach_is_found(change: dict[str, Any], promises: list[Promise]) -> None:
    """A good run with one thing wrong is reported under the promise that it breaks."""
    assert broken(replace(GOOD, **change)) == promises


def test_a_create_that_goes_as_an_update_may_need_a_second_one_for_its_sequence() -> None:
    """And both again, if the second one had no answer; but not if it had."""
    create = published("create", FORM | {"scheduleName": "Trial"}, FORM_FIELD)
    held = FORMER | FORM | MADE_BY_API | {"scheduleName": "Trial", "creates": 0}
    first = request(100, "update", FORM, 200, "updated")
    second = request(100.1, "update", FORM | {"scheduleName": "Trial"}, 200, "updated")
    unanswered = second | {"status": 504, "fault": "status"}
    later = [first | {"at": 110}, second | {"at": 110.1}]
    good = run(create, requests=[first, unanswered, *later], held=held, existing=[FORMER])
    assert broken(good) == []
    assert broken(replace(good, requests=[first, second, *later])) == [Promise.BLIND]


def test_what_the_function_could_not_note_may_be_repeated() -> None:
    """After a kill, or without a ledger, an answered update is sent again; a create never is."""
    repeated = replace(GOOD, requests=[CREATED, UPDATED, UPDATED | {"at": 201}])
    assert broken(repeated) == [Promise.BLIND]
    assert broken(repeated, 200.5) == []
    assert broken(repeated, exhausted=True) == []
    created_again = replace(
        GOOD, requests=[CREATED, request(150, "create", FORM, 201, "created_again"), UPDATED]
    )
    assert Promise.CREATED_TWICE in broken(created_again, 100.5, exhausted=True)


def test_an_answer_may_come_too_late_on_a_busy_machine() -> None:
    """A few may go out again after the settling time: the sandbox can't see what arrived in time."""
    others = [request(1000 + at, "update", NAMED | {LAST: str(at)}, 404) for at in range(100)]
    repeated = UPDATED | {"at": 200 + SETTLING_S}
    assert broken(replace(GOOD, requests=[CREATED, UPDATED, repeated, *others])) == []
    assert broken(replace(GOOD, requests=[CREATED, UPDATED, repeated])) == [Promise.BLIND]
    at_once = UPDATED | {"at": 201}
    assert broken(replace(GOOD, requests=[CREATED, UPDATED, at_once, *others])) == [Promise.BLIND]


def test_a_create_that_a_stop_overtook_need_not_change_the_sequence() -> None:
    """The stop ended it; to set another one may start the e-mails again."""
    create = published("create", FORM | {"scheduleName": "Trial"}, FORM_FIELD)
    stopped = request(100, "stop_followup", NAMED, 200, "stopped")
    updated = request(101, "update", FORM, 200, "updated")
    held = FORMER | FORM | MADE_BY_API | {"scheduleName": "Former", "creates": 0}
    held |= {"followup": 0, "nextScheduleTime": None}
    assert broken(run(create, STOP, requests=[stopped, updated], held=held, existing=[FORMER])) == []
    assert broken(run(create, requests=[updated], held=held, existing=[FORMER])) == [Promise.LOST]


def test_a_stop_must_have_had_its_effect() -> None:
    """A lead whose follow-up goes on is found by the lead and by the ledger's word."""
    stopped = request(200, "stop_followup", NAMED, 200, "stopped")
    held = FORM | MADE_BY_API | {"followup": 0, "nextScheduleTime": None}
    assert broken(run(CREATE, STOP, requests=(CREATED, stopped), held=held)) == []
    still_running = run(CREATE, STOP, requests=(CREATED,), held=held | {"followup": 1})
    assert broken(still_running) == [Promise.LOST, Promise.UNTRUE]


def test_an_event_that_is_wrong_must_be_parked_with_its_reason() -> None:
    """It isn't lost or parked for another reason. The ledger doesn't know what can't be read."""
    wrong = published("update", NAMED | {"name": " "}, problem="lead.name")
    good = run(wrong, dead_letters=[letter(wrong.id, "lead.name: must not be empty")])
    assert broken(good) == []
    assert broken(replace(good, dead_letters=[])) == [Promise.LOST]
    other_words = replace(good, dead_letters=[letter(wrong.id, "internal error")])
    assert broken(other_words) == [Promise.UNACCOUNTED]
