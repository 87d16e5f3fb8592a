"""What the function makes of an API that limits its callers: the real bundle, and the simulation.

    python -m bench rate

What takes long is simulated. The bundle runs in the deployed shape: on the emulator, with as many
environments at a time as the default of `maximumConcurrency`, against the sandbox. It writes its table into
docs/measurements.md.
"""

import bisect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.documents import table, write
from bench.end_to_end import event_of
from bench.leads import Leads
from bench.scale.scenarios import at_once
from bench.scale.simulation import Answer, LeadsApi, Result, Simulation
from local.publishing import publish
from local.stack.deployment import Deployment, deployed
from local.stack.waiting import wait_until

DOCUMENT = "docs/measurements.md"
HEAD = ["what", "by", "to reach", "measured"]
_TIMEOUT_S = 300.0
_ENVIRONMENTS = 5
_STEADY = 0.2  # of the time is the start
_CLOSED_S = 600
_SEEDS = range(1, 6)

Row = tuple[str, str, str, str]


def measure(folder: Path, seed: int) -> list[Row]:
    """The rows of the table."""
    rows = [*_bundle(folder, seed), *_simulated()]
    write(DOCUMENT, {"rate": table(HEAD, rows)})
    print(table(HEAD, rows))
    return rows


def _bundle(folder: Path, seed: int) -> Iterator[Row]:
    number, leads = 150, Leads("rate", seed)
    with deployed(folder, seed=seed) as deployment:
        for retry_after, words in (("", "without"), ("seconds", "with")):
            limit = {"calls_per_second": 5, "burst": 5, "retry_after": retry_after}
            requests = _run(deployment, leads, number, limit)
            yield _limited(f"5 calls a second, {number} leads, {words} `Retry-After`", 5, requests)
        known = 10
        _set_known_limit(deployment, known // _ENVIRONMENTS)
        requests = _run(deployment, leads, number, None)
        at_s = sorted(each["at"] for each in requests)
        most = max(bisect.bisect_left(at_s, one + 1) - place for place, one in enumerate(at_s))
        what = f"`callsPerSecond` {known}, {number} leads: most calls in any second"
        yield what, "bundle", f"≤ {known}", f"{most}, {len(at_s) / (at_s[-1] - at_s[0]):.1f} on average"


def _run(
    deployment: Deployment, leads: Leads, number: int, limit: Mapping[str, object] | None
) -> list[dict[str, Any]]:
    """The calls of the leads API by new environments, until it has taken so many leads, sent at once."""
    deployment.emulator.kill_workers()
    rules = [{"operation": "leads", "fault": {"kind": "limited", **limit}}] if limit else []
    deployment.sandbox.set_faults(rules)
    before = len(deployment.sandbox.requests())
    for _ in publish(deployment, [event_of(lead) for lead in leads.take(number)]):
        pass

    def calls() -> list[dict[str, Any]]:
        found = deployment.sandbox.requests(since=before)
        return [each for each in found if each["operation"] != "token"]

    def is_done() -> bool:
        return [each["effect"] for each in calls()].count("created") == number

    wait_until("all leads", is_done, timeout_s=_TIMEOUT_S, interval_s=1)
    return calls()


def _set_known_limit(deployment: Deployment, calls_per_second: int) -> None:
    """As a deployment with `callsPerSecond` does, for an environment."""
    client, name = deployment.emulator.client("lambda"), deployment.outputs["FunctionName"]
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables["CALLS_PER_SECOND"] = str(calls_per_second)
    client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def _limited(what: str, a_second: float, requests: Sequence[Mapping[str, Any]]) -> Row:
    """From the first call to the last that was taken."""
    taken = [each["at"] for each in requests if each["effect"]]
    first, last = min(each["at"] for each in requests), max(taken)
    steady = [each for each in requests if first + _STEADY * (last - first) < each["at"] <= last]
    turned_away = sum(not each["effect"] for each in steady) / len(steady)
    share = len(taken) / (a_second * (last - first))
    return what, "bundle", "≥ 90 %", f"{share:.0%}; {turned_away:.0%} of the calls turned away"


def _simulated() -> Iterator[Row]:
    for a_second, number, least in ((50, 5_000, "≥ 85 %"), (5, 5_000, "≥ 90 %"), (1, 20_000, "-")):
        result = Simulation(at_once(number, LeadsApi(a_second=a_second)), sample_every_s=1).run()
        share = result.delivered / a_second / result.ended_s
        what = f"{a_second} a second, {number:,} leads at once: share of the rate"
        yield what, "simulation", least, f"{share:.0%}, in {_duration(result.ended_s)}"
        if a_second > 1:
            turned_away = f"{steady_share_turned_away(result):.1%}"
            yield "of these calls turned away, without the start", "simulation", "≤ 5 %", turned_away
        else:
            yield "most receives of a lead, of 900", "simulation", "-", str(result.most_receives)
    closed = {"closed_from_s": 0.0, "closed_until_s": float(_CLOSED_S)}
    for tells, words, first, last in ((True, "with", "≤ 30 s", "≤ 90 s"), (False, "without", "-", "≤ 300 s")):
        runs = [Simulation(at_once(200, LeadsApi(**closed, tells=tells), seed=seed)).run() for seed in _SEEDS]
        after = [(run.first_delivered_s - _CLOSED_S, run.ended_s - _CLOSED_S) for run in runs]
        what = f"ten minutes of 429 {words} `Retry-After`, 200 leads: "
        yield f"{what}first after its end", "simulation", first, f"{max(each[0] for each in after):.0f} s"
        yield f"{what}last after its end", "simulation", last, f"{max(each[1] for each in after):.0f} s"
    yield from _outage()


def _outage() -> Iterator[Row]:
    """As it was before there was a pace."""
    runs = [
        Simulation(at_once(200, LeadsApi(down_from_s=0, down_until_s=3600), seed=seed)).run()
        for seed in _SEEDS
    ]
    calls = median(run.calls[Answer.DOWN] / run.most_environments for run in runs)
    last_s = max(run.ended_s for run in runs) - 3600
    yield "an hour of 503: calls of each environment", "simulation", "≤ 31", f"{calls:.0f}"
    yield "an hour of 503: last of 200 leads after its end", "simulation", "≤ 15 min", _duration(last_s)


def steady_share_turned_away(result: Result) -> float:
    """Of the calls after the start."""
    start = result.samples[int(len(result.samples) * _STEADY)]
    end = result.samples[-1]
    taken, turned_away = end.taken - start.taken, end.turned_away - start.turned_away
    return turned_away / (taken + turned_away)


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
