"""The fault suite: thousands of leads through the deployed stack under every fault, each accounted for.

    python -m local.chaos [--seed N] [--leads N] [--kills N] [--outage-hours N] [--mutant NAME]

Exit status 0 only if all invariants hold; 1 if not, or if it could not be run; 130 after Ctrl-C. A seed draws
the same events and the same plan of faults again; threads and clocks still differ from run to run.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local.aws_fault_proxy import AwsFaultProxy
from local.chaos_check import Verdict, check
from local.chaos_events import make_plan
from local.chaos_faults import scale_time
from local.chaos_report import figures
from local.chaos_run import ChaosRun
from local.child_process import ChildFailedError
from local.deployment import Deployment, deployed
from local.mutants import MUTANTS, Mutant, MutantError
from local.waiting import NotInTimeError

_MOST_SHOWN = 30
# Many of the calls only wait, for a delay on purpose: more workers than the default keep the run short.
_SETTINGS = {"maximumConcurrency": "8"}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(console: Console, folder: Path, options: argparse.Namespace) -> Verdict:
    """Deploys, commits the faults, prints the figures; returns what the invariants say."""
    begun = time.monotonic()

    def tell(step: str) -> None:
        console.print(f"{time.monotonic() - begun:4.0f} s  {step}", markup=False)

    plan = make_plan(options.seed, options.leads)
    with AwsFaultProxy(options.seed) as proxy:
        endpoints = {"dynamodb": proxy.url, "sqs": proxy.url}
        with deployed(
            folder, settings=_SETTINGS, seed=options.seed, service_endpoints=endpoints, tell=tell
        ) as deployment:
            proxy.forward_to(deployment.emulator.url)
            scale_time(deployment)
            if options.mutant:
                break_function(deployment, folder, MUTANTS[options.mutant])
            chaos = ChaosRun(deployment, proxy, plan, tell)
            tell(f"Storm: {len(plan.storm)} events, {options.kills} kills")
            chaos.storm(options.kills)
            tell("Calm: batches whose order is known")
            chaos.lanes()
            chaos.outage(options.outage_hours)
            tell("Looking at the sandbox, the queues and the ledger")
            evidence = chaos.look_around()
    verdict = check(evidence, chaos.faults.kills, proxy.defeated)
    console.print(figures(evidence, verdict, chaos.faults.kills, proxy))
    tell("Done")
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
    options = _options(arguments)
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="lead-chaos-"))
    again = f"python -m local.chaos --seed {options.seed} --leads {options.leads} --kills {options.kills}"
    again += f" --outage-hours {options.outage_hours:g}" + (
        f" --mutant {options.mutant}" if options.mutant else ""
    )
    console.print(f"To run it again: {again}", markup=False)
    status = 1
    try:
        verdict = run(console, folder, options)
        for line in verdict.broken[:_MOST_SHOWN]:
            console.print(f"  - {line}", markup=False)
        if verdict.broken:
            console.print(
                f"{len(verdict.broken)} invariants are broken. To run it again: {again}", markup=False
            )
        else:
            console.print(f"All invariants hold, with seed {options.seed}.")
            status = 0
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        status = 130
    except (ChildFailedError, MutantError, NotInTimeError) as error:
        console.print(f"The run failed: {error}", markup=False)
    except (ClientError, BotoCoreError, requests.RequestException) as error:
        console.print(f"The run failed, since the emulated AWS or the sandbox did: {error}", markup=False)
    if status == 1:
        console.print(f"Logs and state are kept in {folder}", markup=False)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return status


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
        help="a broken build in the function's place; the suite must fail",
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


def _interrupt(*_: object) -> None:
    """Unwinds, which ends every process that was started; a second signal can't stop that half-way."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
