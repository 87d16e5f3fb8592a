"""The run on this machine: a few hundred lead events through the deployed stack, each accounted for.

    python -m local.sample [--seed N]

Exit status 0 only if everything adds up; 1 if it doesn't, or could not be run; 130 after Ctrl-C or SIGTERM.
On a terminal it stays up after its tables, until Ctrl-C, and the status is still that of the tables.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from local.judge import Observed
from local.publishing import REFUSED_WORDS, LeadToPublish, Published, publish
from local.run_file import require_no_other
from local.sample.accounting import account
from local.sample.events import (
    LEAD_DEFAULTS,
    malformed_events,
    read_sample,
    repeats,
)
from local.sample.report import THEME, Progress, RunFigures, check_figures, print_tables, print_verdict
from local.stack.deployment import Deployment, deployed
from local.stack.ports import PAGE_PORT, usual_port
from local.stack.waiting import NotInTimeError, wait_until
from local.staying import stay
from local.steps import Steps
from local.supervised_run import supervise

REPEATS = 16
_SETTLE_TIMEOUT_S = 300.0
_QUIET_S = 5.0
_FAULTS: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.04, {"kind": "status", "status": 503, "headers": {"Retry-After": "1"}}),
    (0.03, {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}),
    (0.02, {"kind": "status", "status": 502, "stored": True}),
    (0.02, {"kind": "cut_before"}),
    (0.03, {"kind": "cut_after"}),
    (0.02, {"kind": "wrong_content_type"}),
)


class Run:
    """Publishes events to a deployment and waits until each is where it must be."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self._deployment = deployment
        self._progress = progress
        self.published: list[Published[LeadToPublish]] = []
        self._quiet_since: float | None = None

    def publish(self, events: Iterable[LeadToPublish]) -> None:
        for batch in publish(self._deployment, events):
            self.published += batch
            self._show()

    def settle(self) -> None:
        """Returns when the lead queue is empty and all adds up, or when waiting longer makes no sense."""
        self._quiet_since = None
        with contextlib.suppress(NotInTimeError):  # the report shows what is where
            wait_until("settled events", self._is_settled, timeout_s=_SETTLE_TIMEOUT_S, interval_s=0.5)

    def observe(self) -> Observed:
        sandbox, emulator = self._deployment.sandbox, self._deployment.emulator
        # Not received, so that they stay in the queue for a person who looks at the run afterwards.
        parked = emulator.messages(self._deployment.outputs["DeadLetterQueueUrl"])
        return Observed(sandbox.requests(), sandbox.leads(), parked)

    def _is_settled(self) -> bool:
        if self._show():
            self._quiet_since = None
            return False
        # An event may be between bus and queue still: then it doesn't add up yet, and is given some time.
        self._quiet_since = self._quiet_since or time.monotonic()
        is_quiet = time.monotonic() - self._quiet_since > _QUIET_S
        return is_quiet or not account(self.published, self.observe()).discrepancies

    def _show(self) -> int:
        waiting = self._deployment.lead_queue_count()
        held = self._deployment.sandbox.summary()["leads"]
        self._progress.show(len(self.published), held, waiting)
        return waiting


def run(console: Console, folder: Path, seed: int, *, stays: bool) -> bool:
    """Returns whether everything added up."""
    if stays:
        require_no_other()
    started = time.monotonic()
    with (
        Steps(console) as steps,
        deployed(folder, lead_defaults=LEAD_DEFAULTS, seed=seed, report=steps) as deployment,
    ):
        steps.finish()
        adds_up = deliver(console, deployment, deploy_s=time.monotonic() - started)
        if stays:
            # From here on a lead fails only where somebody wants it to.
            deployment.sandbox.set_faults([])
            stay(console, deployment, page_port=usual_port(PAGE_PORT))
    if stays:
        console.print("Ended. Nothing is left running.")
    return adds_up


def deliver(console: Console, deployment: Deployment, deploy_s: float) -> bool:
    """Publishes the sample, prints what became of it; returns whether everything added up."""
    started = time.monotonic()
    events = [*read_sample(), *malformed_events()]
    again = repeats(events, REPEATS)
    deployment.sandbox.set_faults(faults(events))
    with Progress(console, len(events) + len(again)) as progress:
        this_run = Run(deployment, progress)
        this_run.publish(events)
        this_run.settle()
        # Only now, so that each meets an event that was delivered rather than one under way.
        this_run.publish(again)
        this_run.settle()
    observed = this_run.observe()
    figures = RunFigures(
        summary=deployment.sandbox.summary(),
        environments=deployment.execution_environments_started(),
        left_in_queue=deployment.lead_queue_count(),
        deploy_s=deploy_s,
        delivery_s=time.monotonic() - started,
    )
    result = account(this_run.published, observed)
    print_tables(console, result, observed, figures)
    discrepancies = [*result.discrepancies, *check_figures(figures)]
    print_verdict(console, result, discrepancies)
    return not discrepancies


def faults(events: Iterable[LeadToPublish]) -> list[dict[str, Any]]:
    """What the sandbox does: refuses some leads for good, one token once, and fails now and then."""
    refusal = {"kind": "status", "status": 422, "body": {"message": REFUSED_WORDS}}
    creates = [event for event in events if event.operation == "create"]
    refused = [event.email for event in creates if event.problem == REFUSED_WORDS]
    good = [event.email for event in creates if event.expected == "delivered"]
    return [
        *({"operation": "create", "email": email, "fault": refusal} for email in refused),
        # Half-way, when every execution environment has its token.
        {"operation": "leads", "email": good[len(good) // 2], "times": 1, "fault": {"kind": "revoked_token"}},
        *({"operation": "leads", "rate": rate, "fault": fault} for rate, fault in _FAULTS),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.sample", description="Runs the deployed stack locally."
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the draws for the sandbox's faults; default: 1"
    )
    options = parser.parse_args(arguments)
    console, stays = Console(theme=THEME, highlight=False), sys.stdout.isatty()
    return supervise(console, "lead-delivery", lambda folder: run(console, folder, options.seed, stays=stays))


if __name__ == "__main__":
    sys.exit(main())
