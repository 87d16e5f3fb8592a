"""Goes through the histories of worlds: all of them within bounds, and random ones beyond.

A history is described by its deviations: at which decisions something else than "all goes well" happens. The
search starts at the history without any, and adds one deviation after the other, always behind the last one,
so that it comes to each history once.
"""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sim.explore.history import History, Laboratory
from sim.explore.schedule import Deviations, Option
from sim.explore.worlds import World, find_world

Deviation = tuple[int, int]
"""A decision's number in its history, and the option that is taken there."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many faults and turns (context switches) a history has at most, and how many of both together."""

    faults: int
    turns: int
    both: int

    def allow(self, faults: int, turns: int) -> bool:
        """Whether a history with so many is inside."""
        return faults <= self.faults and turns <= self.turns and faults + turns <= self.both


@dataclass(frozen=True, slots=True)
class Failure:
    """A history in which an invariant is broken."""

    world: World
    deviations: tuple[Deviation, ...]
    broken: str

    @property
    def replay(self) -> str:
        """The string that names the history."""
        return f"{self.world.name}:" + ",".join(f"{number}={option}" for number, option in self.deviations)


@dataclass(slots=True)
class Findings:
    """What a search came to."""

    histories: int = 0
    distinct: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Takes in what another search came to."""
        self.histories += other.histories
        self.distinct += other.distinct
        self.failures += other.failures


def run_history(laboratory: Laboratory, world: World, deviations: Sequence[Deviation]) -> History:
    """Runs the history with these deviations."""
    history = History(laboratory, world, Deviations(dict(deviations)))
    history.run()
    return history


def explore(laboratory: Laboratory, world: World, bounds: Bounds, most_failures: int = 1) -> Findings:
    """All histories of a world within the bounds, those with fewer deviations first."""
    findings = Findings()
    fingerprints: set[int] = set()
    waiting: deque[tuple[tuple[Deviation, ...], int, int]] = deque([((), 0, 0)])
    while waiting:
        deviations, faults, turns = waiting.popleft()
        history = run_history(laboratory, world, deviations)
        findings.histories += 1
        fingerprints.add(history.fingerprint())
        if history.judge.broken is not None:
            findings.failures.append(Failure(world, deviations, history.judge.broken))
            if len(findings.failures) >= most_failures:
                break
            continue
        first = deviations[-1][0] + 1 if deviations else 0
        for number, options in enumerate(history.decisions[first:], start=first):
            for index, option in enumerate(options[1:], start=1):
                cost = faults + option.faults, turns + option.turns
                if bounds.allow(*cost):
                    waiting.append(((*deviations, (number, index)), *cost))
    findings.distinct = len(fingerprints)
    return findings


class Wanderer:
    """Deviates at random, until its faults and turns are used up."""

    def __init__(self, seed: str, faults: int, turns: int, likelihood: float) -> None:
        self._random = random.Random(seed)  # noqa: S311 - protects nothing
        self._faults = faults
        self._turns = turns
        self._likelihood = likelihood
        self.deviations: list[Deviation] = []

    def choose(self, decision: int, options: Sequence[Option]) -> int:
        """One of the options that are left to it."""
        if self._random.random() >= self._likelihood:
            return 0
        left = [
            index
            for index, option in enumerate(options)
            if option.faults <= self._faults and option.turns <= self._turns
        ]
        chosen = self._random.choice(left)
        self._faults -= options[chosen].faults
        self._turns -= options[chosen].turns
        if chosen:
            self.deviations.append((decision, chosen))
        return chosen


def wander(laboratory: Laboratory, world: World, seed: str) -> Failure | None:
    """One random history of a world, with up to six faults and as many turns."""
    wanderer = Wanderer(seed, faults=6, turns=6, likelihood=0.2)
    history = History(laboratory, world, wanderer)
    history.run()
    if history.judge.broken is None:
        return None
    return Failure(world, tuple(wanderer.deviations), history.judge.broken)


def shrink(laboratory: Laboratory, failure: Failure) -> Failure:
    """Drops each deviation without which an invariant is broken all the same."""
    smaller = True
    while smaller:
        smaller = False
        for dropped in failure.deviations:
            left = tuple(each for each in failure.deviations if each != dropped)
            broken = run_history(laboratory, failure.world, left).judge.broken
            if broken is not None:
                failure = Failure(failure.world, left, broken)
                smaller = True
                break
    return failure


def read_replay(text: str) -> tuple[World, tuple[Deviation, ...]]:
    """The world and the deviations that a replay string names. Raises `ValueError` for any other text."""
    name, _, rest = text.partition(":")
    try:
        world = find_world(name)
    except KeyError:
        raise ValueError(f"no world is called {name!r}") from None
    return world, tuple(_read_deviation(part) for part in rest.split(",") if part)


def _read_deviation(text: str) -> Deviation:
    number, _, option = text.partition("=")
    return int(number), int(option)
