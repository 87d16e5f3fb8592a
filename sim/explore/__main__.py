"""`python -m sim.explore` searches for histories that break an invariant; exit status 1 if there are."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

# The settings of the tests are the function's.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lambdas"))

from sim.explore.core import Core
from sim.explore.history import Laboratory
from sim.explore.search import Bounds, Failure, Findings, explore, read_replay, shrink, wander
from sim.explore.story import tell
from sim.explore.worlds import World, large_worlds, pair_worlds, small_worlds
from sim.mutants import MUTANTS

# So many failing worlds are printed; more of them seldom show more.
MOST_STORIES = 5
WALKS_PER_TASK = 200


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    options = _read_arguments(arguments)
    if options.replay:
        world, deviations = read_replay(options.replay)
        story = tell(_laboratory(options.mutant), world, deviations)
        print(story)
        return int("\nBROKEN" in story)
    started = time.monotonic()
    with ProcessPoolExecutor(options.processes, initializer=_prepare, initargs=(options.mutant,)) as pool:
        findings = _explore_all(pool, options.faults, options.turns)
        failures = findings.failures + _wander_all(pool, options.walks, options.seed)
    print(f"{len(failures)} histories break an invariant; {time.monotonic() - started:.0f} s")
    for broken, count in Counter(failure.broken for failure in failures).most_common():
        print(f"  {count} x {broken}")
    laboratory = _laboratory(options.mutant)
    for failure in sorted(failures, key=lambda each: len(each.deviations))[:MOST_STORIES]:
        shrunk = shrink(laboratory, failure)
        print(f"\n{tell(laboratory, shrunk.world, shrunk.deviations)}\nreplay: {shrunk.replay}")
    return int(bool(failures))


def _read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sim.explore", description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="in each history of a small world (default: 2)")
    parser.add_argument("--turns", type=int, default=1, help="context switches, likewise (default: 1)")
    parser.add_argument("--walks", type=int, default=20_000, help="random histories of the large worlds")
    parser.add_argument("--seed", default="1", help="of the random histories")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--replay", help="print the one history that this string names, e.g. s17:3=2,9=1")
    parser.add_argument(
        "--mutant", choices=sorted(MUTANTS), help="search the source with this rule taken away"
    )
    return parser.parse_args(arguments)


_laboratories: dict[str | None, Laboratory] = {}


def _laboratory(mutant: str | None) -> Laboratory:
    if mutant not in _laboratories:
        _laboratories[mutant] = Laboratory(Core(MUTANTS[mutant].patches if mutant else {}))
    return _laboratories[mutant]


def _prepare(mutant: str | None) -> None:
    """Sets a process up."""
    global _explorer  # the one thing that a process of the pool keeps
    _explorer = _laboratory(mutant)


_explorer: Laboratory


def _explore_one(task: tuple[World, Bounds]) -> Findings:
    return explore(_explorer, *task)


def _explore_all(pool: ProcessPoolExecutor, faults: int, turns: int) -> Findings:
    """The small worlds within the bounds, and the pairs of events with one deviation fewer."""
    small, pairs, findings = small_worlds(), pair_worlds(), Findings()
    print(
        f"{len(small)} small worlds, with up to {faults} faults in a history, and {len(pairs):,} pairs of"
        f" events, with one fewer; up to {turns} context switches, each in the place of a fault."
    )
    tasks = [(world, Bounds(faults, turns, faults)) for world in small]
    tasks += [(world, Bounds(faults - 1, turns, faults - 1)) for world in pairs]
    random.Random(0).shuffle(tasks)  # noqa: S311 - so that the progress that is shown is even
    for done, found in enumerate(pool.map(_explore_one, tasks), start=1):
        findings.add(found)
        _show_progress(done, len(tasks), findings.distinct, len(findings.failures))
    print(
        f"{findings.distinct:,} distinct histories, explored exhaustively. Two are the same when the world"
        " is, and the sequence of (environment, step, what happened at it)."
    )
    return findings


def _wander_some(numbers: range, seed: str) -> list[Failure]:
    worlds = large_worlds()
    found = []
    for number in numbers:
        world = random.Random(f"{seed}-{number}").choice(worlds)  # noqa: S311 - protects nothing
        failure = wander(_explorer, world, f"{seed}-{number}")
        if failure is not None:
            found.append(failure)
    return found


def _wander_all(pool: ProcessPoolExecutor, walks: int, seed: str) -> list[Failure]:
    numbers = [range(first, min(first + WALKS_PER_TASK, walks)) for first in range(0, walks, WALKS_PER_TASK)]
    failures: list[Failure] = []
    for done, found in enumerate(pool.map(partial(_wander_some, seed=seed), numbers), start=1):
        failures += found
        _show_progress(done, len(numbers), done * WALKS_PER_TASK, len(failures))
    large = len(large_worlds())
    print(f"{walks:,} random histories of {large:,} large worlds, with up to 6 faults (seed {seed}).")
    return failures


def _show_progress(done: int, of: int, histories: int, broken: int) -> None:
    if done * 10 // of > (done - 1) * 10 // of:
        print(f"  {done * 10 // of * 10:3} %, {histories:,} histories, {broken} broken", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
