"""The pace: what it learns from answers, who has room, and when a lead without room should come back."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.contract import LONGEST_RETRY_AFTER_S
from deliver_leads.outcome import NoRoomError
from deliver_leads.pace import CUT, LONGEST_LINE_S, LONGEST_PAUSE_S, PATIENCE_S, SLOWEST, Pace
from tests.clock import Clock

ANSWER = "the leads API answered 429"


@pytest.fixture
def clock() -> Clock:
    """Starts at some time."""
    return Clock()


def make(clock: Clock, most: int = 0) -> Pace:
    """A pace whose sleeps let the clock's time pass, and for which chance is always in the middle."""

    def sleep(seconds: float) -> None:
        clock.now += seconds

    return Pace(most, clock, sleep, lambda: 0.5)


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """Of an environment that was just started."""
    return make(clock)


def call(pace: Pace, clock: Clock, *, is_taken: bool = True, told_s: float | None = None) -> float:
    """One call of 0.2 s, in its turn; returns when it began."""
    pace.wait("lead")
    began_s = clock.now
    clock.now += 0.2
    if is_taken:
        pace.note_taken()
    else:
        pace.note_turned_away(began_s, told_s, ANSWER)
    return began_s


def limit(pace: Pace, clock: Clock, calls: int = 10) -> None:
    """So many calls at once, of which the last is turned away."""
    began_s = clock.now
    for number in range(calls):
        assert pace.turn(number) == 0
    clock.now += 0.2
    pace.note_turned_away(began_s, None, ANSWER)


def test_until_a_call_is_turned_away_none_waits(pace: Pace, clock: Clock) -> None:
    """An API without a limit gets as many calls as there are leads."""
    assert not pace.is_limited
    assert pace.has_room(1000)
    for number in range(1000):
        pace.line_up(number)
    assert [pace.turn(number) for number in range(1000)] == [0] * 1000


def test_after_that_calls_come_in_turn_at_half_the_pace_that_met_the_limit(pace: Pace, clock: Clock) -> None:
    """Ten calls in a second were too many."""
    limit(pace, clock, calls=10)
    assert pace.calls_a_second == 5
    began_s = [call(pace, clock) for _ in range(3)]
    assert [b - a for a, b in itertools.pairwise(began_s)] == pytest.approx([0.2, 0.2], rel=0.1)


def test_a_call_that_is_turned_away_cuts_the_pace_by_a_tenth_and_a_second_one_by_more(
    pace: Pace, clock: Clock
) -> None:
    """If none was taken between them, the pace is far from the limit."""
    limit(pace, clock)
    call(pace, clock)
    before = pace.calls_a_second
    call(pace, clock, is_taken=False)
    assert pace.calls_a_second == before * CUT
    call(pace, clock, is_taken=False)
    assert pace.calls_a_second < before * CUT * CUT


def test_calls_that_were_under_way_at_a_cut_do_not_cut_again(pace: Pace, clock: Clock) -> None:
    """Ten answers to one wave are one sign."""
    began_s = clock.now
    for number in range(10):
        pace.turn(number)
    clock.now += 0.2
    for _ in range(10):
        pace.note_turned_away(began_s, None, ANSWER)
    assert pace.calls_a_second == 5


def test_the_pace_grows_with_each_call_that_is_taken_and_faster_in_a_long_run(
    pace: Pace, clock: Clock
) -> None:
    """It looks for room above, carefully at first; when the limit is gone, none is left after minutes."""
    limit(pace, clock, calls=2)
    paces = [pace.calls_a_second]
    start_s = clock.now
    while pace.is_limited:
        pace.wait("lead")
        pace.note_taken()
        paces.append(pace.calls_a_second)
    assert paces == sorted(paces)
    assert paces[20] < paces[0] * 1.1
    assert clock.now - start_s < 600


def test_an_environment_with_few_leads_keeps_its_pace(pace: Pace, clock: Clock) -> None:
    """What is not used shows nothing of the limit."""
    limit(pace, clock)
    call(pace, clock)
    before = pace.calls_a_second
    for _ in range(100):
        clock.now += 10
        call(pace, clock)
    assert pace.calls_a_second == before


def test_the_slowest_pace_pauses_so_that_others_get_on(pace: Pace, clock: Clock) -> None:
    """So an API that turns everything away gets few calls, and is seen to be open again within the pause."""
    limit(pace, clock)
    while pace.calls_a_second > SLOWEST:
        call(pace, clock, is_taken=False)
    with pytest.raises(NoRoomError):
        pace.line_up("lead")
    clock.now += LONGEST_PAUSE_S
    call(pace, clock)


def test_a_told_end_is_waited_for(pace: Pace, clock: Clock) -> None:
    """Nothing probes before, and leads come back in the seconds after it."""
    told_s = clock.now + 600
    call(pace, clock, is_taken=False, told_s=600 - 0.2)
    with pytest.raises(NoRoomError, match="429"):
        pace.line_up("lead")
    assert not pace.has_room(1)
    back_s = [clock.now + pace.book() for _ in range(200)]
    assert back_s == sorted(back_s)
    assert told_s < back_s[0]
    assert 5 < back_s[-1] - back_s[0] < 60
    clock.now = told_s
    pace.line_up("lead")
    assert pace.turn("lead") == 0


def test_a_told_end_counts_up_to_an_hour(pace: Pace, clock: Clock) -> None:
    """A wrong header must not stop the leads for days."""
    call(pace, clock, is_taken=False, told_s=1e9)
    clock.now += LONGEST_RETRY_AFTER_S
    pace.line_up("lead")


def test_a_told_end_that_is_sooner_does_not_replace_a_later_one(pace: Pace, clock: Clock) -> None:
    """Calls that were under way may get a shorter `Retry-After`."""
    began_s = clock.now
    pace.note_turned_away(began_s, 600, ANSWER)
    pace.note_turned_away(began_s, 1, ANSWER)
    clock.now += 10
    with pytest.raises(NoRoomError):
        pace.line_up("lead")


def test_there_is_room_for_as_many_as_have_their_turn_soon(pace: Pace, clock: Clock) -> None:
    """The others go back at once, and hold up no thread."""
    limit(pace, clock, calls=4)
    for number in range(6):
        pace.line_up(number)
    assert not pace.has_room(1)
    with pytest.raises(NoRoomError) as caught:
        pace.line_up("lead")
    assert caught.value.place_s is not None
    assert 0 < caught.value.place_s < PATIENCE_S
    pace.leave(0)
    pace.leave(0)
    pace.line_up("lead")


def test_there_is_no_more_room_than_time(pace: Pace, clock: Clock) -> None:
    """The invocation's end comes first."""
    limit(pace, clock, calls=4)
    with pytest.raises(NoRoomError):
        pace.line_up("lead", patience_s=0.1)


def test_who_waits_goes_back_when_the_limit_closes_meanwhile(clock: Clock) -> None:
    """A thread doesn't sleep for minutes."""

    def sleep(seconds: float) -> None:
        clock.now += seconds
        closing.note_turned_away(clock.now, 600, ANSWER)

    closing = Pace(0, clock, sleep)
    limit(closing, clock)
    with pytest.raises(NoRoomError):
        closing.wait("lead")


def test_the_line_of_those_who_come_back_has_an_end(pace: Pace, clock: Clock) -> None:
    """So that a limit that is over is seen within a minute by all leads, however many wait."""
    limit(pace, clock)
    places_s = [pace.book() for _ in range(10_000)]
    assert max(places_s) < LONGEST_LINE_S + PATIENCE_S
    assert min(places_s[1000:]) > LONGEST_LINE_S / 3


@given(st.integers(1, 20), st.lists(st.floats(0, 2), max_size=60), st.lists(st.booleans(), min_size=1))
def test_a_known_limit_holds_in_every_second(most: int, gaps_s: list[float], answers: list[bool]) -> None:
    """Whatever is asked when, and whatever the API answers, from the first call on."""
    clock = Clock()
    pace = make(clock, most)
    began_s, answer = [], itertools.cycle(answers)
    for gap_s in gaps_s:
        clock.now += gap_s
        while pace.turn("lead") == 0:
            began_s.append(clock.now)
            if next(answer):
                pace.note_taken()
            else:
                pace.note_turned_away(clock.now, None, ANSWER)
    for number, at_s in enumerate(began_s):
        assert sum(at_s <= other_s < at_s + 1 for other_s in began_s[number:]) <= most


def test_no_turn_is_given_twice(clock: Clock) -> None:
    """To threads that ask at the same time."""

    def slow_clock() -> float:
        time.sleep(0.001)  # another thread goes on
        return clock.now

    pace = Pace(100, slow_clock)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(pace.turn, range(8))).count(0) == 1
            clock.now += 1


def test_leads_without_room_come_back_at_once_for_another_environment(pace: Pace, clock: Clock) -> None:
    """Also during a pause, in which this one would else take all leads and keep them from the others."""
    limit(pace, clock)
    while pace.calls_a_second > SLOWEST:
        call(pace, clock, is_taken=False)
    assert not pace.has_room(1)
    assert pace.book() < 1
