"""The outcome table of the README, line by line."""

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


def test_a_lead_without_a_state_is_a_delivery_too() -> None:
    """Only the id tells that it is a lead."""
    assert classify(CREATE, 201, b'{"id": 1}', None) == DeliveredLead(1, None, 201)


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b'{"id": true}', b'{"message": "ok"}', b"\xff", b"[" * 9**6]
)
def test_a_2xx_without_a_lead_leaves_a_create_unconfirmed(body: bytes) -> None:
    """Something in between answered: the lead may stand, or not."""
    assert type(outcome(CREATE, 200, body)) is UnconfirmedError
    assert type(outcome(UPDATE, 200, body)) is RetryError


@pytest.mark.parametrize(
    ("operation", "status", "kind"),
    [
        (CREATE, 400, RejectedError),
        (UPDATE, 409, RejectedError),
        (CREATE, 413, RejectedError),
        (STOP, 422, RejectedError),
        (CREATE, 418, RejectedError),
        (UPDATE, 404, UnknownLeadError),
        (STOP, 404, UnknownLeadError),
        (CREATE, 404, BlockedError),
        (UPDATE, 405, BlockedError),
        (CREATE, 301, BlockedError),
        (CREATE, 402, BlockedError),
        (UPDATE, 403, BlockedError),
        (CREATE, 401, RetryError),
        (CREATE, 425, RetryError),
        (CREATE, 429, RetryError),
        (CREATE, 503, RetryError),
        (UPDATE, 500, RetryError),
        (CREATE, 408, UnconfirmedError),
        (CREATE, 500, UnconfirmedError),
        (CREATE, 502, UnconfirmedError),
        (CREATE, 504, UnconfirmedError),
    ],
)
def test_every_status_has_its_outcome(operation: Operation, status: int, kind: type[DeliveryError]) -> None:
    """Exactly one line decides, and it is the one in this table."""
    error = outcome(operation, status)
    assert type(error) is kind
    assert error.status == status


def test_a_throttle_carries_what_the_api_asked_for() -> None:
    """Retry-After reaches the retry policy."""
    answer = classify(CREATE, 429, b"", 17.0)
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
    ("operation", "status", "shared"), [(CREATE, 503, True), (UPDATE, 403, True), (UPDATE, 404, False)]
)
def test_only_faults_that_all_leads_would_meet_are_shared(
    operation: Operation, status: int, shared: bool
) -> None:
    """They count towards the circuit breaker."""
    error = outcome(operation, status)
    assert isinstance(error, RetryError)
    assert error.shared is shared
