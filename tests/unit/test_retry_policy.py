"""The table of delays, as docs/delivery.md prints it."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.api.http_client import read_retry_after
from deliver_leads.contract import LONGEST_RETRY_AFTER_S
from deliver_leads.retry_policy import LATE_AGE_S, LONGEST_VISIBILITY_S, retry_delay_s

HOUR_S = 3600


@pytest.mark.parametrize(
    ("receive_count", "delay_s"),
    [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900), (900, 900)],
)
def test_the_delay_doubles_from_30_seconds_to_15_minutes(receive_count: int, delay_s: int) -> None:
    """Quick after a blip, gentle in an outage."""
    assert retry_delay_s(receive_count, 0, base_s=30, max_s=900, jitter=0) == delay_s


def test_after_a_day_the_delay_is_an_hour() -> None:
    """A long outage costs few receives."""
    assert retry_delay_s(100, LATE_AGE_S, base_s=30, max_s=900, jitter=0) == HOUR_S
    assert retry_delay_s(100, LATE_AGE_S - 1, base_s=30, max_s=900, jitter=0) == 900


@given(st.integers(0, 2000), st.floats(0, 14 * 24 * HOUR_S), st.floats(0, 1))
def test_jitter_takes_off_at_most_half(receive_count: int, age_s: float, jitter: float) -> None:
    """Leads that failed together don't come back together, and none comes back at once."""
    full = retry_delay_s(receive_count, age_s, base_s=30, max_s=900, jitter=0)
    assert full / 2 - 1 <= retry_delay_s(receive_count, age_s, base_s=30, max_s=900, jitter=jitter) <= full


def test_retry_after_is_honoured_up_to_an_hour_and_never_shortens_the_delay() -> None:
    """An API that says when to come back is believed, within reason."""

    def delay_s(retry_after_s: float) -> int:
        return retry_delay_s(1, 0, base_s=30, max_s=900, jitter=0, retry_after_s=retry_after_s)

    assert delay_s(300) == 300
    assert delay_s(1) == 30
    assert delay_s(1e9) == LONGEST_RETRY_AFTER_S


def test_no_lead_is_received_more_than_200_times_in_a_day_or_1000_times_before_it_is_parked() -> None:
    """The queue's receive limit of 1,000 is a safety net: age decides when to park."""
    elapsed_s, receives, in_first_day = 0.0, 0, 0
    while elapsed_s < 13 * 24 * HOUR_S:
        receives += 1
        in_first_day += elapsed_s < LATE_AGE_S
        elapsed_s += retry_delay_s(receives, elapsed_s, base_s=30, max_s=900, jitter=1)
    assert in_first_day <= 200
    assert receives < 1000


def test_no_delay_is_longer_than_sqs_takes() -> None:
    """SQS refuses a visibility timeout that ends later than 12 hours after the receive."""
    assert retry_delay_s(20, LATE_AGE_S, base_s=30, max_s=43_200, jitter=0) == LONGEST_VISIBILITY_S < 43_200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        (formatdate(1_000_090, usegmt=True), 90),
        (formatdate(999_000, usegmt=True), 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1" * 30, None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    """RFC 9110 allows seconds and a date; anything else counts as absent."""
    assert read_retry_after(value, now=1_000_000) == seconds
