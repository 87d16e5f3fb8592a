"""One run of the fault suite: a storm, a calm, an outage; and what can be seen from outside afterwards."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.chaos.aws_fault_proxy import AwsFaultProxy
from local.chaos.events import ChaosEvent, Plan
from local.chaos.faults import PROBE_INTERVAL_S, SCALE, Faults, OutageFigures
from local.publishing import LARGEST_BATCH, REFUSED_WORDS, Published, publish
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until

# So many messages keep all workers busy; with more, the emulator's own queue becomes slow.
_BACKLOG = 500
_PIECE = 20
_DRAIN_TIMEOUT_S = 600.0
_QUIET_S = 2.0
# First only the token endpoint is down, then the leads calls are, then there is nothing to connect to.
_OUTAGE_PARTS = {"token": 0.25, "leads": 0.5, "all": 0.25}
# Per execution environment: five shared faults open the breaker while a batch of ten may be in flight; then
# one probe per interval. With the token endpoint down, each is a refused leads call and a failed token call.
_CALLS_TO_OPEN = 5 + LARGEST_BATCH
_CALLS_PER_PROBE = {"token": 2, "leads": 1}


@dataclass
class Evidence:
    """All that can be looked at from outside the function, after a run.

    `existing`: the leads that 7Targets held before. `published` is in the order of publishing. `ledger`: the
    state of each event that the ledger remembers, by the hash of its lead's address and its key.
    """

    existing: list[dict[str, Any]] = field(default_factory=list)
    published: list[Published[ChaosEvent]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    leads: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[tuple[str, str], str] = field(default_factory=dict)
    left_in_queue: int = 0
    environments: int = 0
    events_per_s: float = 1.0
    outage: OutageFigures = field(default_factory=OutageFigures)


class ChaosRun:
    """Publishes a plan's events to a deployment while `faults` are committed on it."""

    def __init__(
        self, deployment: Deployment, proxy: AwsFaultProxy, plan: Plan, report: Callable[[str], None]
    ) -> None:
        self._deployment = deployment
        self._plan = plan
        self._report = report
        refused = [event for event in plan.storm if event.problem == REFUSED_WORDS]
        self.faults = Faults(deployment, proxy, refused)
        self.evidence = Evidence(plan.existing)

    def storm(self, kills: int) -> None:
        """All faults at once, `kills` workers killed in mid-call, a revocation, a rotation of the secret."""
        events, started = self._plan.storm, time.monotonic()
        self._deployment.sandbox.add_leads(self._plan.existing)
        self.faults.storm()
        faults: list[tuple[float, Callable[[], None]]] = [
            ((place + 1) / (kills + 1), self._kill(place)) for place in range(kills)
        ]
        faults += [(0.3, self._deployment.sandbox.revoke_tokens), (0.6, self.faults.rotate_the_secret)]
        faults.sort(key=lambda fault: fault[0])
        for start in range(0, len(events), _PIECE):
            self._publish(events[start : start + _PIECE])
            while faults and faults[0][0] * len(events) <= start + _PIECE:
                _, commit = faults.pop(0)
                commit()
        for _, commit in faults:
            commit()
        self._report("Storm: all is published; waiting for what is delayed")
        self._drain()
        self.evidence.events_per_s = len(events) / (time.monotonic() - started)

    def outage(self, hours: float) -> None:
        """The API is away for `hours` of scaled time; half the events come at its start, half later."""
        figures, sandbox = self.evidence.outage, self._deployment.sandbox
        self.faults.calm()
        figures.waiting = len(self._plan.outage)
        half = figures.waiting // 2
        later = self._plan.outage[half:]
        started_before = self._deployment.execution_environments_started()
        figures.environments = len(self._deployment.emulator.workers())
        figures.began_at = time.time()
        seen, begun = len(sandbox.requests()), time.monotonic()
        for part, share in _OUTAGE_PARTS.items():
            lasts_s = hours * 3600 / SCALE * share
            self._report(f"Outage of {hours:g} hours: {part}, {lasts_s:.0f} s")
            if part == "all":
                figures.calls = len(sandbox.requests(since=seen))
            self.faults.go_down(part)
            if part == "token":
                self._publish(self._plan.outage[:half])
            self._spend(lasts_s, later if part == "leads" else [])
            probes = lasts_s / PROBE_INTERVAL_S + 1
            figures.most_calls += round(probes * _CALLS_PER_PROBE.get(part, 0))
        figures.lasted_s = time.monotonic() - begun
        figures.environments += self._deployment.execution_environments_started() - started_before
        figures.most_calls = figures.environments * (figures.most_calls + 2 * _CALLS_TO_OPEN)
        self.faults.come_back()
        figures.ended_at = time.time()
        self._drain()

    def calm(self) -> None:
        """Batches whose make-up is known: the function is paused until all of their messages are queued.

        Nothing fails here, because a batch that comes back in parts has no order any more.
        """
        self.faults.calm()
        mapping = self._deployment.outputs["EventSourceMappingId"]
        client = self._deployment.emulator.client("lambda")
        client.update_event_source_mapping(UUID=mapping, Enabled=False)
        for event in self._plan.calm:
            # One by one, because messages of one call may have the same time of sending, which gives no
            # order.
            self._publish([event])
        client.update_event_source_mapping(UUID=mapping, Enabled=True)
        self._drain()

    def look_around(self) -> Evidence:
        """Everything that the invariants are about, read once all is over."""
        evidence, deployment = self.evidence, self._deployment
        evidence.requests = deployment.sandbox.requests()
        evidence.leads = deployment.sandbox.leads()
        evidence.dead_letters = deployment.take_dead_letters()
        evidence.left_in_queue = deployment.lead_queue_count()
        evidence.environments = deployment.execution_environments_started()
        pages = deployment.emulator.client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=deployment.outputs["LedgerTableName"]):
            for item in page["Items"]:
                evidence.ledger |= _states(item)
        return evidence

    def _kill(self, place: int) -> Callable[[], None]:
        operation = "token" if place % 4 == 3 else "leads"
        return lambda: self.faults.kill_a_worker_in_mid_call(operation)

    def _publish(self, events: Sequence[ChaosEvent]) -> None:
        for batch in publish(self._deployment, events):
            self.evidence.published += batch
        wait_until("room in the lead queue", self._has_room, timeout_s=_DRAIN_TIMEOUT_S)

    def _has_room(self) -> bool:
        return self._deployment.lead_queue_count() < _BACKLOG

    def _spend(self, seconds: float, events: Sequence[ChaosEvent]) -> None:
        """Publishes the events evenly over the time."""
        begun = time.monotonic()
        for number, event in enumerate(events):
            due = begun + seconds * number / len(events)
            time.sleep(max(0.0, due - time.monotonic()))
            self._publish([event])
        time.sleep(max(0.0, begun + seconds - time.monotonic()))

    def _drain(self) -> None:
        """Returns when the lead queue stays empty: an event may be on its way from the bus still."""
        empty_since: float | None = None

        def is_drained() -> bool:
            nonlocal empty_since
            waiting = self._deployment.lead_queue_count()
            empty_since = None if waiting else empty_since or time.monotonic()
            return empty_since is not None and time.monotonic() - empty_since > _QUIET_S

        wait_until("an empty lead queue", is_drained, timeout_s=_DRAIN_TIMEOUT_S, interval_s=0.25)


def _states(item: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """What a lead's item says of its events: those that are open, and those that are final."""
    lead = item["lead"]["S"]
    finals = item.get("finalEvents", {"M": {}})["M"]
    marks = {key: value["S"].split()[-1][0] for key, value in finals.items()}
    states = {(lead, key): {"d": "delivered", "s": "superseded"}[mark] for key, mark in marks.items()}
    for name in ("journal", "openEvents"):
        for entry in item.get(name, {"L": []})["L"]:
            states.setdefault((lead, entry["M"]["key"]["S"]), entry["M"]["state"]["S"])
    return states
