"""Warm batches through the function, beside one call, bare threads, a loop, two single writes, and the peer.

The cases of one latency take turns, so that what else the machine does hits all of them alike; ratios are
made within a turn. Before each measurement the same case delivers a few leads, which opens its connections:
the function closes those that idled for 20 seconds.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.leads import Leads, records
from bench.packages import Packages
from bench.processes import Child, Sample, environment
from bench.servers import API_LATENCIES_MS, Servers

THREADS = (10, 32)


@dataclass(frozen=True)
class Case:
    """`what`: see `CASES`."""

    what: str
    leads: int
    threads: int = 10


CASES = (
    Case("one call", 1, 1),
    Case("function", 1),
    Case("function", 10),
    Case("function", 100),
    Case("function", 100, 32),
    Case("bare threads", 10),
    Case("bare threads", 100),
    Case("bare threads", 100, 32),
    Case("loop", 10, 1),
    Case("two single writes", 10),
    Case("two single writes", 100, 32),
    Case("peer", 10, 1),
)


def measure(packages: Packages, servers: Servers, seed: int) -> dict[str, Any]:
    """Every case at every latency; each number of `wall_ms` and `cpu_ms` is of one turn."""
    rounds, leads = 9, Leads("batch", seed)
    measured = []
    for latency_ms in API_LATENCIES_MS:
        samples: dict[Case, list[Sample]] = {case: [] for case in CASES}
        with ExitStack() as stack:
            runners = _runners(packages, servers, leads, latency_ms, stack)
            for turn in range(rounds):
                first = turn * 5 % len(CASES)  # none is always behind the same neighbour
                for case in (*CASES[first:], *CASES[:first]):
                    runners[case](min(case.leads, case.threads))
                    samples[case].append(runners[case](case.leads))
        measured += [
            {
                **vars(case),
                "latency_ms": latency_ms,
                "wall_ms": [round(sample.wall_ms, 2) for sample in taken],
                "cpu_ms": [round(sample.cpu_ms, 2) for sample in taken],
            }
            for case, taken in samples.items()
        ]
    return {"rounds": rounds, "cases": measured}


def _runners(
    packages: Packages, servers: Servers, leads: Leads, latency_ms: int, stack: ExitStack
) -> dict[Case, Callable[[int], Sample]]:
    """What delivers a number of new leads, for each case."""
    url = servers.api_urls[latency_ms]

    def start(what: str, threads: int = 1) -> Child:
        folder = packages.bundle if what == "function" else packages.plain
        variables = environment(servers, folder, url, threads)
        return stack.enter_context(Child(packages.python, what, servers, variables))

    functions = {threads: start("function", threads) for threads in THREADS}
    floor, peer = start("floor"), start("peer")

    def runner(case: Case) -> Callable[[int], Sample]:
        if case.what in {"function", "peer"}:
            child = peer if case.what == "peer" else functions[case.threads]
            return lambda number: child.run(records=records(leads.take(number)))
        writes = case.what == "two single writes"
        return lambda number: floor.run(
            url=url, leads=leads.take(number), threads=case.threads, writes=writes
        )

    return {case: runner(case) for case in CASES}
