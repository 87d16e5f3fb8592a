"""A bounded part of the search (`make explore` runs the whole), and proof that it finds what it is for."""

import pytest

from sim.explore.core import Core
from sim.explore.history import Laboratory
from sim.explore.mutant_worlds import MUTANT_WORLDS, Shown
from sim.explore.search import (
    Bounds,
    Failure,
    explore,
    read_replay,
    run_history,
    shrink,
    wander,
)
from sim.explore.story import tell
from sim.explore.worlds import CREATE, UPDATE, Before, World, find_world, large_worlds, small_worlds
from sim.mutants import MUTANTS, PatchError
from tests.documents import PROJECT

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def laboratory() -> Laboratory:
    """The function as it is."""
    return Laboratory(Core())


def bounds_of(shown: Shown) -> Bounds:
    """How far a mutant's world is searched."""
    return Bounds(shown.faults, shown.turns, shown.faults + shown.turns)


def describe(laboratory: Laboratory, failures: list[Failure]) -> str:
    """The story of the first failure."""
    if not failures:
        return ""
    shrunk = shrink(laboratory, failures[0])
    return f"{tell(laboratory, shrunk.world, shrunk.deviations)}\nreplay: {shrunk.replay}"


@pytest.mark.parametrize("part", range(4))
def test_no_history_of_a_small_world_with_one_fault_breaks_an_invariant(
    laboratory: Laboratory, part: int
) -> None:
    """The small worlds in four parts, so that processes can share them."""
    for world in small_worlds()[part::4]:
        findings = explore(laboratory, world, Bounds(1, 1, 1))
        assert not findings.failures, describe(laboratory, findings.failures)


def test_no_random_history_of_a_large_world_breaks_an_invariant(laboratory: Laboratory) -> None:
    """With up to six faults; every forty-first world once."""
    for number, world in enumerate(large_worlds()[::41]):
        failure = wander(laboratory, world, f"bounded-{number}")
        assert failure is None, describe(laboratory, [failure])


@pytest.mark.parametrize("name", sorted(MUTANT_WORLDS))
def test_the_search_finds_what_a_mutant_breaks(name: str) -> None:
    """The failing history is printed as a story that fits a screen."""
    shown = MUTANT_WORLDS[name]
    broken = Laboratory(Core(MUTANTS[name].patches))
    findings = explore(broken, shown.world, bounds_of(shown))
    assert findings.failures
    story = describe(broken, findings.failures)
    assert "BROKEN: " in story
    assert len(story.splitlines()) <= 20


def test_the_search_finds_nothing_in_the_mutants_worlds_without_the_mutants(laboratory: Laboratory) -> None:
    """A mutant must fail because of its patch."""
    for shown in MUTANT_WORLDS.values():
        findings = explore(laboratory, shown.world, bounds_of(shown))
        assert not findings.failures, describe(laboratory, findings.failures)


def test_a_patch_that_no_longer_fits_the_source_is_refused() -> None:
    """A mutant that breaks nothing would prove nothing."""
    with pytest.raises(PatchError, match="0 times"):
        Core({"delivery.py": [("what is not there", "")]})
    with pytest.raises(PatchError, match="no such file"):
        Core({"nothing.py": [("a", "b")]})


def test_a_replay_string_names_one_history(laboratory: Laboratory) -> None:
    """The same decisions lead to the same steps, whatever ran before."""
    world, deviations = read_replay("s127:1=1,4=2")
    assert world == find_world("s127")
    assert deviations == ((1, 1), (4, 2))
    first = run_history(laboratory, world, deviations)
    run_history(laboratory, find_world("s1"), ())
    second = run_history(laboratory, world, deviations)
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != run_history(laboratory, world, ((1, 1),)).fingerprint()
    assert Failure(world, deviations, "").replay == "s127:1=1,4=2"


def test_the_document_shows_a_history_as_it_is_printed() -> None:
    """Of the function without its settling time."""
    story = tell(Laboratory(Core(MUTANTS["settling"].patches)), *read_replay("s112:2=1"))
    assert "\nBROKEN" in story
    assert story in (PROJECT / "docs" / "measurements.md").read_text("utf-8")


@pytest.mark.parametrize("text", ["", "x1:", "s1:a=b", "s1:3"])
def test_a_string_that_names_no_history_is_refused(text: str) -> None:
    """So that a typing mistake is not taken for a history without faults."""
    with pytest.raises(ValueError, match=r"."):
        read_replay(text)


def test_the_search_comes_to_each_history_once(laboratory: Laboratory) -> None:
    """As many distinct ones as were run."""
    world = World("once", (CREATE, UPDATE), Before.NOTHING, apart=True)
    findings = explore(laboratory, world, Bounds(1, 1, 2))
    assert findings.distinct == findings.histories > 200


def test_shrinking_leaves_only_the_deviations_that_matter() -> None:
    """Of three, one is enough to break this mutant."""
    broken = Laboratory(Core(MUTANTS["doubt"].patches))
    whole = Failure(MUTANT_WORLDS["doubt"].world, ((0, 1), (2, 2), (4, 1)), "")
    assert run_history(broken, whole.world, whole.deviations).judge.broken
    shrunk = shrink(broken, whole)
    assert shrunk.deviations == ((2, 2),)
    assert shrunk.broken
