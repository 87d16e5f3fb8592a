"""The table of delays, as docs/delivery.md prints it."""

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.api.http_client import read_retry_after
from deliver_leads.contract import LAST_RECEIVE, LONGEST_RETRY_AFTER_S
from deliver_leads.retry_policy import LATE_AGE_S, LONGEST_VISIBILITY_S, line_delay_s, retry_delay_s
from infra.config import DeploymentConfig

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


def test_a_young_lead_without_room_comes_back_for_its_place_in_the_line() -> None:
    """In whole seconds, not before."""
    assert line_delay_s(0.2, 0, max_s=900, jitter=0) == 1
    assert line_delay_s(7.1, 60, max_s=900, jitter=0) == 8
    assert line_delay_s(3601, 60, max_s=900, jitter=0) == 3601


def test_an_old_lead_without_room_comes_back_less_often() -> None:
    """After a sixteenth of its age, in four hours or more after the longest delay, less a third at random."""
    assert line_delay_s(1, HOUR_S, max_s=900, jitter=0) == HOUR_S / 16
    assert line_delay_s(1, HOUR_S, max_s=900, jitter=1) == pytest.approx(HOUR_S / 16 * 2 / 3, abs=1)
    assert line_delay_s(1, 4 * HOUR_S, max_s=900, jitter=0) == 900
    assert line_delay_s(1, 13 * 24 * HOUR_S, max_s=900, jitter=1) == 600


@pytest.mark.parametrize(
    ("max_s", "park_after_hours"), [(900, 96), (900, 141), (1950, 312), (200, 24), (60, 7)]
)
def test_a_lead_that_waits_for_room_for_days_is_not_parked_for_its_receives(
    max_s: int, park_after_hours: int
) -> None:
    """However short its places in the line are, with any settings that `cdk synth` takes."""
    config = DeploymentConfig(
        stage="dev", retry_max_delay_seconds=max_s, park_after_hours=park_after_hours, update_grace_minutes=99
    )
    assert config.receives_until_parked <= LAST_RECEIVE
    chance = random.Random(1)  # noqa: S311 - repeatable, protects nothing
    elapsed_s, receives = 0.0, 0
    while elapsed_s < park_after_hours * HOUR_S:
        receives += 1
        elapsed_s += line_delay_s(0.0, elapsed_s, max_s=max_s, jitter=chance.random())
    assert receives <= config.receives_until_parked or receives < LAST_RECEIVE * 2 / 3


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
