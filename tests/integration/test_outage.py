"""A 24-hour outage in simulated time: the real batch, delivery, breaker and retry policy.

It costs seconds, since no delay is waited for: the simulated queue hands out each message when its visibility
timeout is over, ten at most to one of five execution environments.
"""

import heapq
import itertools
import random
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from deliver_leads.batch import BatchRunner
from deliver_leads.breaker import FAULTS_TO_OPEN, CircuitBreaker
from deliver_leads.delivery import Delivery
from deliver_leads.lead_state import EventRecord, LeadState
from deliver_leads.ledger import Claim, EarlyClaim
from deliver_leads.outcome import BlockedError, DeliveredLead, RetryError, UnconfirmedError
from deliver_leads.pace import Pace
from deliver_leads.settings import Settings
from sim.settings import ENVIRONMENT

pytestmark = pytest.mark.simulation

HOUR_S, DAY_S = 3600, 24 * 3600
ENVIRONMENTS = 5
LEADS = 100
START_S = 1_800_000_000
SETTINGS = Settings.from_environment(ENVIRONMENT)
PROBES_PER_HOUR = HOUR_S / (SETTINGS.retry_max_delay_s / 3)


@dataclass
class Simulation:
    """Five execution environments, one queue and an API that is down until `recovers_at` (seconds)."""

    fault: RetryError
    recovers_at: float = DAY_S
    now: float = 0.0
    calls: list[float] = field(default_factory=list)
    delivered: dict[str, float] = field(default_factory=dict)
    parked: list[str] = field(default_factory=list)
    receives: dict[str, int] = field(default_factory=dict)
    invocations: list[float] = field(default_factory=list)
    last_success_s: float = 0.0
    delays: dict[str, int] = field(default_factory=dict)

    def send(self, _operation: object, lead: dict[str, Any], _deadline: object) -> DeliveredLead:
        """The leads API."""
        self.calls.append(self.now)
        if self.now < self.recovers_at:
            raise self.fault
        self.delivered[lead["email"]] = self.now
        return DeliveredLead(1, "Cold", 201)

    def claim(self, event: Any, message: Any, lease_s: float) -> Claim:
        """The ledger, which never refuses here."""
        record = EventRecord(
            key=event.key.text,
            digest=event.key.digest,
            operation=event.operation,
            order_ms=message.order_ms,
            sent_s=message.sent_ms // 1000,
            message_id=message.message_id,
            source=event.source,
            first_seen_s=int(self.now),
            updated_s=int(self.now),
        )
        return Claim(event, "owner", LeadState(), record)

    def claim_new(self, events: Any, lease_s: float) -> list[EarlyClaim]:
        """The same, for several leads."""
        return [EarlyClaim("owner", self.claim(event, message, lease_s)) for event, message in events]

    def park(self, message: Any, *_: object) -> None:
        """The dead-letter queue."""
        self.parked.append(message.message_id)

    def change_message_visibility_batch(self, Entries: list[dict[str, Any]], **_: object) -> dict[str, Any]:  # noqa: N803
        """SQS."""
        self.delays |= {entry["ReceiptHandle"]: entry["VisibilityTimeout"] for entry in Entries}
        return {}

    def environment(self) -> BatchRunner:
        """A function that was just started."""
        silent: Any = SimpleNamespace(
            write=lambda *_: None, info=lambda *_, **__: None, warning=lambda *_, **__: None
        )
        api: Any = self
        ledger: Any = SimpleNamespace(
            claim=lambda event, message, lease_s, **_: self.claim(event, message, lease_s),
            claim_new=self.claim_new,
            complete=lambda *_, **__: True,
            complete_together=lambda completions, _: [True] * len(completions),
        )
        http: Any = SimpleNamespace(longest_call_s=33.0, require_time=lambda _: None)
        breaker = CircuitBreaker(
            SETTINGS.retry_base_delay_s, SETTINGS.retry_max_delay_s / 3, clock=lambda: self.now
        )
        delivery = Delivery(SETTINGS, http, api, ledger, api, breaker, Pace())
        return BatchRunner(delivery, self, SETTINGS, silent, silent)

    def run(self) -> None:
        """Simulates until every lead is out of the queue. Leads keep arriving through the whole outage."""
        environments = itertools.cycle([self.environment() for _ in range(ENVIRONMENTS)])
        sent_at = {number: number * DAY_S / LEADS for number in range(LEADS)}
        queue = [(at, number) for number, at in sent_at.items()]
        heapq.heapify(queue)
        while queue:
            self.now = max(self.now, queue[0][0]) + 0.1
            batch: list[int] = []
            while queue and queue[0][0] <= self.now + 1 and len(batch) < 10:
                batch.append(heapq.heappop(queue)[1])
            self.invocations.append(self.now)
            self.delays = {}
            records = [self.record(number, sent_at[number]) for number in batch]
            next(environments).run(records, time_left=lambda: 120.0)
            for handle, delay_s in self.delays.items():
                heapq.heappush(queue, (self.now + delay_s, int(handle)))

    def record(self, number: int, sent_at: float) -> dict[str, Any]:
        """A message at its next receive."""
        name = str(number)
        self.receives[name] = self.receives.get(name, 0) + 1
        lead = f'{{"name": "N", "email": "l{number}@example.com", "assistantEmail": "sam@example.net"}}'
        return {
            "messageId": name,
            "receiptHandle": name,
            "body": f'{{"operation": "create", "lead": {lead}}}',
            "attributes": {
                "ApproximateReceiveCount": str(self.receives[name]),
                "SentTimestamp": str(int((START_S + sent_at) * 1000)),
            },
        }


@pytest.fixture(
    params=[
        UnconfirmedError("leads API answered 503", status=503),
        RetryError("leads API: no connection"),
        RetryError("token endpoint: no answer in time"),
        BlockedError("token endpoint answered 400 invalid_client"),
    ],
    ids=["503", "no-connection", "no-token", "refused-credentials"],
)
def simulation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Simulation:
    """An outage of each kind."""
    random.seed(1)
    simulated = Simulation(fault=request.param)
    fake_time = SimpleNamespace(time=lambda: START_S + simulated.now, monotonic=time.monotonic)
    for module in ("delivery", "event.message"):
        monkeypatch.setattr(f"deliver_leads.{module}.time", fake_time)
    return simulated


def test_a_day_without_the_api_parks_nothing_delays_at_most_one_step_and_is_not_hammered(
    simulation: Simulation,
) -> None:
    """The figures of docs/measurements.md: no lead parked, all delivered in time, calls within the bound."""
    simulation.run()
    assert simulation.parked == []
    assert len(simulation.delivered) == LEADS
    late_s = max(simulation.delivered.values()) - DAY_S
    assert late_s <= SETTINGS.retry_max_delay_s + 30, "one delay step, and the queue's own pace"
    during = [at for at in simulation.calls if at < DAY_S]
    # Each environment: five faults to open, a batch in flight beside them, the first quick probes, then one
    # probe per longest interval.
    bound = ENVIRONMENTS * (FAULTS_TO_OPEN + SETTINGS.parallel_calls + 4 + 24 * PROBES_PER_HOUR)
    assert len(during) <= bound
    assert max(simulation.receives.values()) <= 300
