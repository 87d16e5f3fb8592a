"""Whole processes, from their first instruction to their first batch; import time; the bundle's size.

A process imports, makes what it needs, and delivers a first batch of ten leads. The floor imports requests
and boto3, makes two clients, and makes one call, and the same call again. With and without `.pyc` files, at a
full CPU and at the share that Lambda gives for 1,024 MB.
"""

import re
import subprocess
from collections import Counter
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.leads import Leads, records
from bench.packages import Packages
from bench.pinning import CLIENT_CORE, pin
from bench.processes import Child, CpuShare, NoShareError, environment
from bench.servers import Servers

LATENCY_MS = 200
_LEADS = 10
# 1,769 MB are one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEMORY_MB = 1024
SHARE = round(MEMORY_MB / 1769, 2)
_SHOWN_MODULES = 12
_IMPORT_LINE = re.compile(r"import time: +(\d+) \| +(\d+) \|( *)(\S+)")


def measure(packages: Packages, servers: Servers, seed: int) -> dict[str, Any]:
    """Every variant in turns, as in `bench.batch`; `left_out` says why there is no share of a CPU."""
    rounds, leads = 11, Leads("start", seed)
    result: dict[str, Any] = {
        "rounds": rounds,
        "leads": _LEADS,
        "latency_ms": LATENCY_MS,
        "memory_mb": MEMORY_MB,
        "left_out": None,
    }
    with ExitStack() as stack:
        shares: dict[float, CpuShare | None] = {1: None}
        try:
            shares[SHARE] = stack.enter_context(CpuShare(SHARE))
        except NoShareError as error:
            result["left_out"] = str(error)
        variants: list[dict[str, Any]] = [
            {"what": what, "pyc": pyc, "cpu": share, "start_wall_ms": [], "start_cpu_ms": []}
            | {"first_wall_ms": [], "first_cpu_ms": [], "second_wall_ms": [], "second_cpu_ms": []}
            for share in shares
            for pyc in (True, False)
            for what in ("function", "floor")
        ]
        for _ in range(rounds):
            for variant in variants:
                _measure_one(packages, servers, leads, variant, shares[variant["cpu"]])
    bundle = {"zip_bytes": packages.zip_bytes, "unzipped_bytes": packages.unzipped_bytes}
    imports = _import_times(packages, servers, 5)
    return result | {"variants": variants, "bundle": bundle, "imports": imports}


def _measure_one(
    packages: Packages, servers: Servers, leads: Leads, variant: dict[str, Any], share: CpuShare | None
) -> None:
    """One process; adds to the variant's numbers."""
    folders = {
        ("function", True): packages.bundle,
        ("function", False): packages.bare_bundle,
        ("floor", True): packages.plain,
        ("floor", False): packages.bare_plain,
    }
    what, url = variant["what"], servers.api_urls[LATENCY_MS]
    variables = environment(servers, folders[what, variant["pyc"]], url, _LEADS)
    enter = {} if share is None else {"enter": share.enter}
    with Child(packages.python, what, servers, variables, **enter) as child:
        taken = [child.start]
        for _ in range(2):
            if what == "function":
                taken.append(child.run(records=records(leads.take(_LEADS))))
            else:
                taken.append(child.run(url=url, leads=leads.take(1), threads=1, writes=False))
    for name, sample in zip(("start", "first", "second"), taken, strict=True):
        variant[f"{name}_wall_ms"].append(round(sample.wall_ms, 1))
        variant[f"{name}_cpu_ms"].append(round(sample.cpu_ms, 1))


def _import_times(packages: Packages, servers: Servers, rounds: int) -> list[dict[str, Any]]:
    """The milliseconds that each top-level package's own modules take, the slowest first; the rest as one."""
    runs = [_import_time(packages, servers) for _ in range(rounds)]
    names = set().union(*runs)
    times = {name: median(run.get(name, 0) for run in runs) / 1000 for name in names}
    slowest = sorted(times, key=lambda name: -times[name])
    shown = [{"package": name, "ms": round(times[name], 1)} for name in slowest[:_SHOWN_MODULES]]
    rest = sum(times[name] for name in slowest[_SHOWN_MODULES:])
    return [*shown, {"package": f"{len(slowest) - _SHOWN_MODULES} others", "ms": round(rest, 1)}]


def _import_time(packages: Packages, servers: Servers) -> Counter[str]:
    """Microseconds by package. The handler's own hold its clients, which it makes when it is imported."""
    command = [str(packages.python), "-P", "-B", "-X", "importtime", "-c", "import deliver_leads.handler"]
    done = subprocess.run(  # noqa: S603
        command,
        preexec_fn=lambda: pin(CLIENT_CORE),
        check=True,
        capture_output=True,
        text=True,
        env=environment(servers, packages.bundle, servers.api_urls[0], _LEADS),
    )
    times: Counter[str] = Counter()
    for own_us, _, _, module in _IMPORT_LINE.findall(done.stderr):
        times[module if module == "deliver_leads.handler" else module.partition(".")[0]] += int(own_us)
    return times
