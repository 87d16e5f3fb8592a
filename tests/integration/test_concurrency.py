"""Leads side by side: the shared session, token, breaker, logger and metrics hold under many threads."""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.client import BaseClient

from deliver_leads.api.http_client import HttpClient
from tests.integration.conftest import Pipeline
from tests.integration.lead_events import record


def create(number: int, **fields: object) -> dict[str, object]:
    """A create whose fields all carry its number."""
    lead = {"name": f"N{number}", "email": f"lead{number}@example.com", "assistantEmail": "sam@example.net"}
    return {"operation": "create", "lead": lead | {"context": f"context {number}"} | fields}


@pytest.fixture
def short_switch_interval() -> Iterator[None]:
    """Threads take turns a thousand times as often, so that races show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


class TestRaces:
    """Thirty-two threads."""

    @pytest.fixture
    def settings(self) -> dict[str, str]:
        """The most threads that can be configured."""
        return {"PARALLEL_CALLS": "32"}

    @pytest.mark.usefixtures("short_switch_interval")
    def test_no_lead_gets_anothers_fields_token_or_log_line(
        self, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The API holds every lead as sent, once; one log line and one count each; one token for all."""
        numbers = range(40)
        failed = pipeline.invoke([record(create(number), number) for number in numbers])
        assert failed == set(), pipeline.log.getvalue()
        held = pipeline.leads()
        assert {lead["email"]: lead["context"] for lead in held.values()} == {
            f"lead{number}@example.com": f"context {number}" for number in numbers
        }
        assert {lead["creates"] for lead in held.values()} == {1}
        assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 1
        lines = [json.loads(line) for line in pipeline.log.getvalue().splitlines()]
        assert Counter(line["message_id"] for line in lines) == Counter(f"message-{n}" for n in numbers)
        assert len({line["lead_id"] for line in lines}) == len(numbers)
        metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert sum(sum(blob.get("Delivered", [])) for blob in metrics) == len(numbers)
        assert sum(sum(blob.get("Answered2xx", [])) for blob in metrics) == len(numbers)
        assert sum(len(blob.get("ApiLatency", [])) for blob in metrics) == len(numbers)

    @pytest.mark.usefixtures("short_switch_interval")
    def test_a_revocation_in_mid_batch_costs_one_renewal(self, pipeline: Pipeline) -> None:
        """However many threads hold the revoked token."""
        pipeline.invoke([record(create(0), 0)])
        pipeline.revoke_tokens()
        assert pipeline.invoke([record(create(number), number) for number in range(1, 34)]) == set()
        assert pipeline.ask_sandbox("summary")["tokens_fetched"] == 2
        assert len(pipeline.leads()) == 34


def test_leads_of_a_batch_are_in_flight_at_the_same_time(pipeline: Pipeline) -> None:
    """A batch takes as long as its slowest call: ten slow calls overlap."""
    pipeline.fail({"operation": "create", "fault": {"kind": "delay", "seconds": 0.3}})
    pipeline.invoke([record(create(number), number) for number in range(10)])
    arrivals = [r["at"] for r in pipeline.ask_sandbox("requests") if r["operation"] == "create"]
    # One after another, the last would arrive at least nine delays after the first.
    assert max(arrivals) - min(arrivals) < 9 * 0.3


def test_no_call_of_an_invocation_goes_on_after_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda freezes what still runs, and it would go on in the next invocation: a lead sent twice."""
    under_way: set[int] = set()
    made = itertools.count()

    def watch(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            number = next(made)
            under_way.add(number)
            try:
                return original(*args, **kwargs)
            finally:
                under_way.discard(number)

        monkeypatch.setattr(owner, name, call)

    watch(HttpClient, "send")
    watch(BaseClient, "_make_api_call")
    pipeline.fail(
        {"operation": "create", "rate": 0.3, "fault": {"kind": "delay", "seconds": 0.3}},
        {"operation": "create", "rate": 0.3, "fault": {"kind": "cut_after"}},
        {"operation": "create", "rate": 0.3, "fault": {"kind": "status", "status": 429}},
    )
    for batch in range(2):
        pipeline.invoke([record(create(number), number) for number in range(batch * 20, batch * 20 + 20)])
        assert under_way == set()
    assert next(made) > 40
