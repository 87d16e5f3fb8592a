"""The fault suite: thousands of leads through the deployed stack under every fault, each accounted for.

    python -m local.chaos [--seed N] [--leads N] [--kills N] [--outage-hours N] [--mutant NAME]

Exit status 0 only if all invariants hold; 1 if not, or if it could not be run; 130 after Ctrl-C. A seed draws
the same events and the same plan of faults again; threads and clocks still differ from run to run.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from local.chaos.aws_fault_proxy import AwsFaultProxy
from local.chaos.campaign import ChaosRun
from local.chaos.events import make_plan
from local.chaos.faults import scale_time
from local.chaos.invariants import Verdict, check
from local.chaos.report import figures
from local.stack.deployment import Deployment, deployed
from local.supervised_run import supervise
from sim.mutants import MUTANTS, Mutant

_MOST_SHOWN = 30
# Many of the calls only wait, for a delay on purpose: more workers than the default keep the run short.
_SETTINGS = {"maximumConcurrency": "8"}


def run(console: Console, folder: Path, options: argparse.Namespace) -> Verdict:
    """Deploys, commits the faults, prints the figures; returns which invariants hold."""
    begun = time.monotonic()

    def report(step: str) -> None:
        console.print(f"{time.monotonic() - begun:4.0f} s  {step}", markup=False)

    plan = make_plan(options.seed, options.leads)
    with AwsFaultProxy(options.seed) as proxy:
        endpoints = {"dynamodb": proxy.url, "sqs": proxy.url}
        with deployed(
            folder, settings=_SETTINGS, seed=options.seed, service_endpoints=endpoints, report=report
        ) as deployment:
            proxy.forward_to(deployment.emulator.url)
            scale_time(deployment)
            if options.mutant:
                break_function(deployment, folder, MUTANTS[options.mutant])
            chaos = ChaosRun(deployment, proxy, plan, report)
            report(f"Storm: {len(plan.storm)} events, {options.kills} kills")
            chaos.storm(options.kills)
            report("Calm: batches whose order is known")
            chaos.calm()
            chaos.outage(options.outage_hours)
            report("Looking at the sandbox, the queues and the ledger")
            evidence = chaos.look_around()
    verdict = check(evidence, chaos.faults.kills, proxy.retries_exhausted)
    console.print(figures(evidence, verdict, chaos.faults.kills, proxy))
    report("Done")
    return verdict


def break_function(deployment: Deployment, folder: Path, mutant: Mutant) -> None:
    """Puts a broken build in the place of the deployed one."""
    bundle = next(
        path.parent.parent for path in (folder / "cdk.out").glob("asset.*/deliver_leads/handler.py")
    )
    deployment.emulator.client("lambda").update_function_code(
        FunctionName=deployment.outputs["FunctionName"], ZipFile=mutant.zip_bundle(bundle)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options, console = _options(arguments), Console()

    def run_and_report(folder: Path) -> bool:
        verdict = run(console, folder, options)
        for promise, sentence in verdict.broken[:_MOST_SHOWN]:
            console.print(f"  - {promise}: {sentence}", markup=False, soft_wrap=True)
        if verdict.broken:
            console.print(f"{len(verdict.broken)} invariants are broken.")
            console.print(again, markup=False, soft_wrap=True)
        else:
            console.print(f"All invariants hold, with seed {options.seed}.")
        return not verdict.broken

    again = f"To run it again: {_command(options)}"
    console.print(again, markup=False, soft_wrap=True)
    return supervise(console, "lead-chaos", run_and_report)


def _command(options: argparse.Namespace) -> str:
    words = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {value}")
        for name, value in vars(options).items()
        if value is not None and value is not False
    ]
    return " ".join(["python -m local.chaos", *words])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.chaos", description="Runs the fault suite.")
    add = parser.add_argument
    add("--seed", type=int, default=None, help="of events and faults; default: a random one, printed")
    add("--leads", type=_count(20), default=5000, help="at least 20; default: 5000")
    add("--kills", type=_count(0), default=24, help="of the function's worker in mid-call; default: 24")
    add("--outage-hours", type=float, default=24.0, help="an hour is 12 s here; default: 24")
    add(
        "--mutant",
        choices=sorted(MUTANTS),
        help="a broken build in the function's place, which the suite has to notice",
    )
    options = parser.parse_args(arguments)
    if not 0.5 <= options.outage_hours <= 24:
        parser.error("--outage-hours must be from 0.5 to 24")
    if options.seed is None:
        options.seed = random.randrange(100_000)  # noqa: S311 - guards nothing
    return options


def _count(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}")
        return int(text)

    return read


if __name__ == "__main__":
    sys.exit(main())
