"""What each answer of the leads API means, line by line of the README's outcome table."""

import json

import pytest

from deliver_leads.api.answers import MAX_DETAIL_LENGTH, classify
from deliver_leads.event.lead import Operation
from deliver_leads.outcome import (
    BlockedError,
    DeliveredLead,
    DeliveryError,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UnknownLeadError,
)

CREATE, UPDATE, STOP = Operation.CREATE, Operation.UPDATE, Operation.STOP_FOLLOWUP


def outcome(operation: Operation, status: int, body: bytes = b"{}") -> DeliveryError:
    """What is not a delivery."""
    answer = classify(operation, status, body, None)
    assert isinstance(answer, DeliveryError)
    return answer


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("operation", Operation)
def test_any_2xx_with_a_lead_is_a_delivery(operation: Operation, status: int) -> None:
    """The vendor's connectors saw 200 and 201 swapped between environments."""
    answer = classify(operation, status, b'{"id": 2345, "state": "Cold"}', None)
    assert answer == DeliveredLead(2345, "Cold", status)


@pytest.mark.parametrize(
    ("lead_id", "shown"),
    [
        (2345, 2345),
        ("2345", "2345"),
        ("a1-B2_c3", "a1-B2_c3"),
        ("jane@example.com", "sha256:8c87b489ce35cf2e2f39f80e282cb2e804932a56a213983eeeb428407d43b52d"),
    ],
)
def test_an_id_that_looks_like_none_is_shown_as_its_hash(lead_id: int | str, shown: int | str) -> None:
    """It is stored and logged, and an API that changes might put a person's address there."""
    answer = classify(CREATE, 201, json.dumps({"id": lead_id}).encode(), None)
    assert isinstance(answer, DeliveredLead)
    assert answer.lead_id == shown


def test_a_lead_without_a_state_is_a_delivery_too() -> None:
    """Only the id shows that it is a lead."""
    assert classify(CREATE, 201, b'{"id": 1}', None) == DeliveredLead(1, None, 201)


@pytest.mark.parametrize(
    ("shown", "sequence"),
    [
        ('"scheduleId": 7, "scheduleName": "Hot"', {"scheduleId": 7, "scheduleName": "Hot"}),
        ('"scheduleId": "7"', {"scheduleId": "7"}),
        ('"scheduleId": null, "scheduleName": {}', {}),
        ('"scheduleId": true', {}),
        ('"nextScheduleTime": null', {}),
    ],
)
def test_a_delivered_lead_shows_its_sequence_as_far_as_the_answer_does(
    shown: str, sequence: dict[str, int | str]
) -> None:
    """A create in doubt sets its sequence only if the lead is in another one."""
    answer = classify(UPDATE, 200, f'{{"id": 1, {shown}}}'.encode(), None)
    assert isinstance(answer, DeliveredLead)
    assert answer.sequence == sequence


@pytest.mark.parametrize(
    ("state", "shown"),
    [("DeActivated", "DeActivated"), ("", None), ("Jane Doe", None), ("jane@example.com", None), (7, None)],
)
def test_a_state_is_shown_if_it_is_a_word(state: object, shown: str | None) -> None:
    """It is logged, and may be what a producer wrote into the lead."""
    answer = classify(UPDATE, 200, json.dumps({"id": 1, "state": state}).encode(), None)
    assert isinstance(answer, DeliveredLead)
    assert answer.state == shown


@pytest.mark.parametrize(
    ("time", "shown"),
    [
        ("2026-11-30T09:00:00Z", True),
        ("2026-11-30T09:00:00.123+05:30", True),
        ("30/11/2026 09:00", True),
        ("Nov 30, 2026 9:00:00 AM", True),
        (1795856400000, True),
        (None, False),
        (True, False),
        ("", False),
        ("09:00", False),
        ("14155550142", False),
        ("+1 415 555 0142", False),
        ("Jane Doe of Main Street", False),
        ("jane@example.com 09:00", False),
        ("x" * 50 + " 09:00", False),
    ],
    ids=str,
)
def test_the_next_message_s_time_is_shown_if_it_looks_like_one(time: object, shown: bool) -> None:
    """Its format isn't documented, and it may be what a producer wrote into the lead."""
    answer = classify(UPDATE, 200, json.dumps({"id": 1, "nextScheduleTime": time}).encode(), None)
    assert isinstance(answer, DeliveredLead)
    assert answer.next_schedule_time == (time if shown else None)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'{"id": true}', b'{"message": "ok"}', b"\xff", b"[" * 9**6]
)
def test_a_2xx_without_a_lead_is_no_answer(operation: Operation, body: bytes) -> None:
    """Something in between answered: the request had its effect, will have it, or never had."""
    assert type(outcome(operation, 200, body)) is UnconfirmedError


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        (RejectedError, [400, 409, 412, 413, 414, 416, 418, 422, 423, 424, 428, 451]),
        (BlockedError, [402, 403]),
        (BlockedError, [100, 301, 302, 304, 307, 308]),
        (BlockedError, [405, 406, 407, 410, 411, 415, 417, 421, 426, 431, 494, 499]),
        (RetryError, [401, 425, 429]),
        (UnconfirmedError, [408, 500, 501, 502, 503, 504, 507, 520, 599]),
    ],
)
def test_every_status_has_its_outcome(
    operation: Operation, kind: type[DeliveryError], statuses: list[int]
) -> None:
    """Exactly one line decides, and it is the one in this table, whatever the operation."""
    for status in statuses:
        error = outcome(operation, status)
        assert type(error) is kind, status
        assert error.status == status


@pytest.mark.parametrize(
    ("operation", "kind"), [(UPDATE, UnknownLeadError), (STOP, UnknownLeadError), (CREATE, BlockedError)]
)
def test_a_404_means_an_unknown_lead_except_on_a_create(
    operation: Operation, kind: type[DeliveryError]
) -> None:
    """A create names no lead that could be missing, so the address is wrong."""
    assert type(outcome(operation, 404)) is kind


@pytest.mark.parametrize(
    ("status", "setting"),
    [
        (402, "plan"),
        (403, "user_identifier"),
        (404, "leadsApiUrl"),
        (301, "leadsApiUrl"),
        (415, "leadsApiUrl"),
    ],
)
def test_a_blocked_lead_names_what_a_person_has_to_check(status: int, setting: str) -> None:
    """The log line is what that person sees first."""
    assert setting in outcome(CREATE, status).summary


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_api_says_when_to_come_back(status: int) -> None:
    """Retry-After reaches the retry policy."""
    answer = classify(CREATE, status, b"", 17.0)
    assert isinstance(answer, RetryError)
    assert answer.retry_after_s == 17.0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"message": "no such assistant"}', "no such assistant"),
        (b'"no such  assistant"', "no such assistant"),
        (b"no such\nassistant", "no such assistant"),
        (b"", "(no words)"),
        (b'{"error": 1}', '{"error": 1}'),
    ],
)
def test_the_apis_own_words_reach_the_person_but_not_the_log(body: bytes, words: str) -> None:
    """They may quote the lead: `detail` goes to the dead-letter queue, `summary` is logged."""
    error = outcome(CREATE, 400, body)
    assert error.detail == f"leads API answered 400: {words}"
    assert error.summary == "leads API answered 400"


def test_long_words_are_cut() -> None:
    """A dead letter holds a reason, not a page."""
    assert len(outcome(CREATE, 400, b"x" * 10_000).detail) < MAX_DETAIL_LENGTH + 50


@pytest.mark.parametrize(
    ("operation", "status", "shared"),
    [
        (CREATE, 503, True),
        (UPDATE, 403, True),
        (CREATE, 404, True),
        (UPDATE, 404, False),
        (STOP, 404, False),
        (CREATE, 425, True),
        (CREATE, 429, False),
    ],
)
def test_only_faults_that_all_leads_would_meet_are_shared(
    operation: Operation, status: int, shared: bool
) -> None:
    """They count towards the circuit breaker. An API that is limited is not down."""
    error = outcome(operation, status)
    assert isinstance(error, RetryError)
    assert error.shared is shared
