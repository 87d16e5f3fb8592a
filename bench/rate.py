"""What the function makes of an API that limits its callers: the real bundle, and the simulation.

    python -m bench rate

What takes long is simulated. The bundle runs in the deployed shape: on the emulator, with as many
environments at a time as the default of `maximumConcurrency`, against the sandbox. It writes its table into
docs/measurements.md.
"""

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
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
# In the steady state each environment has found its part of the limit, and none lacks leads yet.
_STEADY_FROM_S, _STEADY_PART = 60.0, 0.9  # after the first call, and until so many of the leads are taken
_CLOSED_S = 600
_SEEDS, _SEEDS_OF_SHORT_RUNS = range(1, 6), range(1, 41)

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
            what = f"5 calls a second, {number} leads, {words} `Retry-After`: share of the rate"
            share = _share(_run(deployment, leads, number, limit), 5)
            yield what, "bundle", "≥ 90 %", f"{share:.0%}"
            share, turned_away = _steady(_run(deployment, leads, 4 * number, limit), 5)
            what = f"the same with {4 * number} leads, in the steady state: share of the rate"
            yield what, "bundle", "≥ 90 %", f"{share:.0%}"
            yield "its calls turned away", "bundle", "≤ 5 %", f"{turned_away:.1%}"
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


def _share(requests: Sequence[Mapping[str, Any]], a_second: float) -> float:
    """Of what the API takes from the first call to the last that was taken, start and end included."""
    taken = [float(each["at"]) for each in requests if each["effect"]]
    first_s = min(float(each["at"]) for each in requests)
    return len(taken) / (a_second * (max(taken) - first_s))


def _steady(requests: Sequence[Mapping[str, Any]], a_second: float) -> tuple[float, float]:
    """In the steady state: the share of what the API takes, and of the calls, the share turned away."""
    taken_s = sorted(float(each["at"]) for each in requests if each["effect"])
    first_s = min(float(each["at"]) for each in requests) + _STEADY_FROM_S
    last_s = taken_s[int(_STEADY_PART * len(taken_s))]
    answers = [bool(each["effect"]) for each in requests if first_s <= each["at"] < last_s]
    return sum(answers) / (a_second * (last_s - first_s)), answers.count(False) / len(answers)


def _simulated() -> Iterator[Row]:
    for has_retry_after, words in ((False, "without"), (True, "with")):
        shares = short_burst_shares(has_retry_after)
        what = f"5 calls a second, 150 leads, {words} `Retry-After`: share of the rate, mean of {len(shares)}"
        yield what, "simulation", "≥ 90 %", f"{mean(shares):.0%}, {min(shares):.0%} at worst"
    for a_second, number, least in ((50, 5_000, "≥ 85 %"), (5, 5_000, "≥ 90 %"), (1, 20_000, "-")):
        result = Simulation(at_once(number, LeadsApi(a_second=a_second)), sample_every_s=1).run()
        share = result.share_of(a_second)
        what = f"{a_second} a second, {number:,} leads at once: share of the rate"
        yield what, "simulation", least, f"{share:.0%}, in {_duration(result.last_delivered_s)}"
        if a_second > 1:
            turned_away = f"{steady_share_turned_away(result):.1%}"
            yield "its calls turned away, in the steady state", "simulation", "≤ 5 %", turned_away
        else:
            yield "most receives of a lead, of 900", "simulation", "-", str(result.most_receives)
    for a_second in (5, 50):
        result = Simulation(at_once(300 * a_second, LeadsApi(a_second=a_second, burst=1))).run()
        what = f"{a_second} a second, never two at once, {300 * a_second:,} leads: share of the rate"
        yield what, "simulation", "-", f"{result.share_of(a_second):.0%}"
    closed = {"closed_from_s": 0.0, "closed_until_s": float(_CLOSED_S)}
    for has_retry_after, words, first, last in (
        (True, "with", "≤ 30 s", "≤ 90 s"),
        (False, "without", "-", "≤ 300 s"),
    ):
        runs = [
            Simulation(at_once(200, LeadsApi(**closed, has_retry_after=has_retry_after), seed=seed)).run()
            for seed in _SEEDS
        ]
        after = [(run.first_delivered_s - _CLOSED_S, run.last_delivered_s - _CLOSED_S) for run in runs]
        what = f"ten minutes of 429 {words} `Retry-After`, 200 leads: "
        yield f"{what}first after its end", "simulation", first, f"{max(each[0] for each in after):.0f} s"
        yield f"{what}last after its end", "simulation", last, f"{max(each[1] for each in after):.0f} s"
    yield from _outage()


def short_burst_shares(has_retry_after: bool) -> list[float]:
    """Of 5 calls a second, by 150 leads: of each run."""
    api = LeadsApi(a_second=5, has_retry_after=has_retry_after)
    return [
        Simulation(at_once(150, replace(api), seed=seed)).run().share_of(5) for seed in _SEEDS_OF_SHORT_RUNS
    ]


def _outage() -> Iterator[Row]:
    """As it was before there was a pace."""
    runs = [
        Simulation(at_once(200, LeadsApi(down_from_s=0, down_until_s=3600), seed=seed)).run()
        for seed in _SEEDS
    ]
    calls = median(run.calls[Answer.DOWN] / run.most_environments for run in runs)
    last_s = max(run.last_delivered_s for run in runs) - 3600
    yield "an hour of 503: calls of each environment", "simulation", "≤ 31", f"{calls:.0f}"
    yield "an hour of 503: last of 200 leads after its end", "simulation", "≤ 15 min", _duration(last_s)


def steady_share_turned_away(result: Result) -> float:
    """Of the calls in the steady state. The result has a sample for each second."""
    samples = [each for each in result.samples if each.taken < _STEADY_PART * result.delivered]
    start, end = next(each for each in samples if each.at_s >= _STEADY_FROM_S), samples[-1]
    taken, turned_away = end.taken - start.taken, end.turned_away - start.turned_away
    return turned_away / (taken + turned_away)


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
