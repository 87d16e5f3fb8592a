"""The bars that the function has to clear, and the ratios that are held against them. Pure.

A ratio is made within each turn and is the median of the turns, so that a turn in which the machine was busy
counts for both sides of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

LARGEST_ZIP_MB = 5.0
JUDGED_LATENCY_MS = 200


@dataclass(frozen=True)
class Bar:
    """`value` is None where it was not measured."""

    what: str
    most: float
    value: float | None

    @property
    def is_kept(self) -> bool | None:
        """Whether the bar is kept by the value as it is shown, with two decimals."""
        return None if self.value is None else round(self.value, 2) <= self.most


def ratio(above: Sequence[float], below: Sequence[float], times: float = 1) -> float:
    """The median of what `above` divided by so many `times` `below` is in each turn."""
    return median(a / (times * b) for a, b in zip(above, below, strict=True))


def batch_case(
    results: Mapping[str, Any],
    what: str,
    leads: int,
    threads: int,
    latency_ms: int = JUDGED_LATENCY_MS,
) -> Mapping[str, Any]:
    """What was measured of one case of `bench.batch`."""
    wanted = {"what": what, "leads": leads, "threads": threads, "latency_ms": latency_ms}
    [found] = [case for case in results["batch"]["cases"] if wanted.items() <= case.items()]
    return dict(found)


def start_variant(results: Mapping[str, Any], what: str, *, pyc: bool, cpu: float) -> Mapping[str, Any]:
    """What was measured of one variant of `bench.cold_start`."""
    wanted = {"what": what, "pyc": pyc, "cpu": cpu}
    [found] = [each for each in results["cold_start"]["variants"] if wanted.items() <= each.items()]
    return dict(found)


def judge(results: Mapping[str, Any]) -> list[Bar]:
    """All bars, in the order in which they are shown."""
    batch: dict[str, float] = {}
    if "batch" in results:
        call = batch_case(results, "one call", 1, 1)["wall_ms"]
        ten, hundred = batch_case(results, "function", 10, 10), batch_case(results, "function", 100, 32)
        writes = batch_case(results, "two single writes", 10, 10)
        batch = {
            "ten": ratio(ten["wall_ms"], call),
            "hundred": ratio(hundred["wall_ms"], call, times=4),
            "cpu": ratio(ten["cpu_ms"], writes["cpu_ms"]),
        }
    start: dict[str, float] = {}
    if "cold_start" in results:
        function = start_variant(results, "function", pyc=True, cpu=1)
        floor = start_variant(results, "floor", pyc=True, cpu=1)
        start = {
            "first": ratio(function["first_wall_ms"], floor["second_wall_ms"]),
            "cpu": ratio(function["start_cpu_ms"], floor["start_cpu_ms"]),
            "zip": results["cold_start"]["bundle"]["zip_bytes"] / 1e6,
        }
    return [
        Bar("warm batch of 10 at 200 ms: wall ÷ one call", 1.15, batch.get("ten")),
        Bar("first batch of 10 in a new process: wall ÷ one call", 1.30, start.get("first")),
        Bar("100 leads on 32 threads: wall ÷ 4 calls", 1.15, batch.get("hundred")),
        Bar("CPU per delivered lead ÷ (POST + two single update_item)", 0.45, batch.get("cpu")),
        Bar("cold start: CPU ÷ (requests + boto3 + two clients)", 1.10, start.get("cpu")),
        Bar("bundle, zipped, in MB", LARGEST_ZIP_MB, start.get("zip")),
    ]
