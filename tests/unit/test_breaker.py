"""The circuit breaker: how it opens, probes, recovers, and what it costs while it is open."""

import threading

import pytest

from deliver_leads.breaker import FAULTS_TO_OPEN, CircuitBreaker, Evidence
from deliver_leads.outcome import BreakerOpenError
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    """Starts at some time."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """Probes after 30 s, growing to 300 s."""
    return CircuitBreaker(30, 300, clock)


def run(breaker: CircuitBreaker, evidence: Evidence, subject: str = "lead") -> None:
    """One admitted attempt."""
    breaker.note(breaker.admit(0), evidence, subject, "leads API answered 503")


def open_up(breaker: CircuitBreaker) -> None:
    """Counts as many faults as the breaker needs to open."""
    for number in range(FAULTS_TO_OPEN):
        run(breaker, Evidence.FAULT, f"lead {number}")


def test_it_opens_after_shared_faults_of_five_leads_in_a_row_and_says_why(breaker: CircuitBreaker) -> None:
    """What a person reads names the cause."""
    open_up(breaker)
    with pytest.raises(BreakerOpenError, match="leads API answered 503"):
        breaker.admit(0)


@pytest.mark.parametrize("evidence", [Evidence.HEALTHY, Evidence.NONE])
def test_faults_that_are_not_in_a_row_or_not_shared_do_not_open_it(
    breaker: CircuitBreaker, evidence: Evidence
) -> None:
    """One lead's trouble stops no other lead."""
    for _ in range(20):
        for number in range(FAULTS_TO_OPEN - 1):
            run(breaker, Evidence.FAULT, f"lead {number}")
        run(breaker, Evidence.HEALTHY)
        run(breaker, evidence)


def test_a_few_leads_that_always_fail_do_not_open_it(breaker: CircuitBreaker) -> None:
    """Something about them may be the reason, as with an assistant that isn't the user's own."""
    for _ in range(20):
        for number in range(FAULTS_TO_OPEN - 1):
            run(breaker, Evidence.FAULT, f"lead {number}")
    run(breaker, Evidence.FAULT, "another lead")
    with pytest.raises(BreakerOpenError):
        breaker.admit(0)


def test_one_probe_is_let_through_per_interval_and_the_interval_grows(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    """The bound on calls to an API that is down: 12 an hour once the interval is at its longest.

    It grows even if each probe is the same lead's.
    """
    open_up(breaker)
    probes_at: list[float] = []
    start = clock.now
    while clock.now < start + 3600:
        clock.now += 1
        try:
            is_probe = breaker.admit(0)
        except BreakerOpenError:
            continue
        assert is_probe
        probes_at.append(clock.now - start)
        breaker.note(is_probe, Evidence.FAULT, "lead", "still down")
    assert probes_at[:5] == [30, 90, 210, 450, 750]
    assert len(probes_at) <= 15


def test_a_probe_that_succeeds_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    """It recovers by itself, and the next outage starts with the short interval again."""
    open_up(breaker)
    clock.now += 30
    run(breaker, Evidence.FAULT)
    clock.now += 60
    run(breaker, Evidence.HEALTHY)
    assert breaker.admit(0) is False
    open_up(breaker)
    clock.now += 30
    assert breaker.admit(0) is True


def test_a_probe_without_evidence_makes_room_for_the_next_one(breaker: CircuitBreaker, clock: Clock) -> None:
    """A duplicate or a ledger fault says nothing about the API."""
    open_up(breaker)
    clock.now += 30
    run(breaker, Evidence.NONE)
    assert breaker.admit(0) is True


@pytest.mark.parametrize(("evidence", "let_through"), [(Evidence.HEALTHY, True), (Evidence.FAULT, False)])
def test_the_rest_of_the_batch_waits_for_the_probe_and_shares_its_fate(
    breaker: CircuitBreaker, clock: Clock, evidence: Evidence, let_through: bool
) -> None:
    """So that nobody is deferred by a pause that is already over."""
    open_up(breaker)
    clock.now += 30
    assert breaker.admit(0) is True
    admitted: list[bool] = []

    def follow() -> None:
        try:
            breaker.admit(patience_s=60)
            admitted.append(True)
        except BreakerOpenError:
            admitted.append(False)

    followers = [threading.Thread(target=follow) for _ in range(4)]
    for follower in followers:
        follower.start()
    breaker.note(True, evidence)
    for follower in followers:
        follower.join()
    assert admitted == [let_through] * 4


def test_nobody_waits_longer_for_a_probe_than_there_is_time(breaker: CircuitBreaker, clock: Clock) -> None:
    """The invocation's deadline comes first."""
    open_up(breaker)
    clock.now += 30
    breaker.admit(0)
    with pytest.raises(BreakerOpenError):
        breaker.admit(patience_s=-1)
