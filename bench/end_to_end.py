"""The deployed shape on the emulator: real template, real bundle, a queue that hands out batches.

The times are the emulator's and the sandbox's more than the function's: they show that nothing waits for long
between a lead's sending and its delivery, not what AWS would take.
"""

import json
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.leads import Leads
from local.publishing import LeadToPublish, publish
from local.stack.deployment import Deployment, deployed
from local.stack.waiting import wait_until

_TIMEOUT_S = 120.0


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """A burst, whose end shows the throughput; then a trickle, whose leads wait for no other."""
    leads = Leads("end-to-end", seed)
    with deployed(folder, seed=seed) as deployment:
        # Starts the execution environments, which is no part of this.
        _run(deployment, leads, batches=5, pause_s=0)
        burst = _run(deployment, leads, batches=50, pause_s=0)
        trickle = _run(deployment, leads, batches=20, pause_s=1)
        return {
            "burst": burst,
            "trickle": trickle,
            "environments": deployment.execution_environments_started(),
        }


def _run(deployment: Deployment, leads: Leads, batches: int, pause_s: float) -> dict[str, Any]:
    """Sends tens of leads and waits until 7Targets has all of them."""
    before = len(deployment.sandbox.requests())
    sent_at: dict[str, float] = {}
    for _ in range(batches):
        events = [event_of(lead) for lead in leads.take(10)]
        sent_at |= dict.fromkeys((event.email for event in events), time.time())
        for _ in publish(deployment, events):
            pass
        time.sleep(pause_s)

    def delivered_at() -> dict[str, float]:
        requests = deployment.sandbox.requests(since=before)
        return {each["email"]: each["effect_at"] for each in requests if each["effect"] == "created"}

    wait_until(
        "all leads", lambda: delivered_at().keys() >= sent_at.keys(), timeout_s=_TIMEOUT_S, interval_s=1
    )
    at = delivered_at()
    times_s = [at[email] - sent_at[email] for email in sent_at]
    cuts = quantiles(times_s, n=100, method="inclusive")
    return {
        "leads": len(sent_at),
        "leads_per_s": round(len(sent_at) / (max(at.values()) - min(sent_at.values())), 1),
        **{f"p{percent}_s": round(cuts[percent - 1], 2) for percent in (50, 95, 99)},
    }


def event_of(lead: dict[str, Any]) -> LeadToPublish:
    """A message that creates the lead."""
    body = json.dumps({"operation": "create", "lead": lead, "idempotencyKey": lead["email"]})
    return LeadToPublish("sqs", "create", lead, body, "delivered")
