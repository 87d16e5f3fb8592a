"""The cost model: known cases, what it rests on, and that the documents show what it computes."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cost.inputs import Inputs
from bench.cost.model import (
    batch_seconds,
    cost_of_a_million,
    monthly,
    sequential_seconds,
    start_seconds,
    usage_of_a_million,
    usd_of_a_million,
)
from bench.cost.prices import FILE, Prices
from bench.cost.tables import computed
from bench.documents import with_computed
from deliver_leads.contract import Metric
from infra import running_cost
from infra.config import DeploymentConfig

PROJECT = Path(__file__).resolve().parents[2]
CONFIG, INPUTS, PRICES = DeploymentConfig(stage="model"), Inputs(), Prices.read()
COMPUTED = computed(INPUTS, PRICES)


@pytest.mark.parametrize("document", COMPUTED)
def test_the_documents_show_what_the_model_computes(document: str) -> None:
    """After a changed price or input: `python -m bench.cost --write`."""
    text = (PROJECT / document).read_text("utf-8")
    assert with_computed(text, COMPUTED[document]) == text


def test_a_table_without_a_place_in_its_document_is_an_error() -> None:
    """Else a renamed marker would leave an old table behind."""
    with pytest.raises(ValueError, match="no markers for memory"):
        with_computed("<!-- computed: memory -->\n", {"memory": "| |"})


def test_each_price_says_what_it_is_for_and_where_and_when_it_was_seen() -> None:
    """A price without a date is a rumour."""
    for name, price in tomllib.loads(FILE.read_text("utf-8")).items():
        assert price["usd"] > 0, name
        assert price["page"].startswith("https://aws.amazon.com/"), name
        assert price["unit"], name
        assert price["seen"], name
        assert price["on"], name


def test_the_dashboard_counts_with_the_same_prices() -> None:
    """It can't import them, because it is deployed without the benchmarks."""
    ours = vars(running_cost)
    assert {
        "_INVOCATION": PRICES.invocation,
        "_SQS_CALL": PRICES.sqs_request,
        "_WRITE_UNIT": PRICES.write_unit,
        "_EVENT": PRICES.event,
        "_GB_SECOND": PRICES.gb_second,
        "_LOGGED_BYTE": pytest.approx(PRICES.logged_gb / 1e9),
    } == {name: value for name, value in ours.items() if re.fullmatch(r"_[A-Z_]+", name)}


def test_the_metrics_that_are_counted_are_those_of_the_function() -> None:
    """And Powertools' ColdStart; tests/infra holds the alarms."""
    assert len(Metric) + 1 == INPUTS.all_metrics


def test_one_lead_takes_its_call_its_two_ledger_calls_and_its_cpu() -> None:
    """Nothing of a single lead is hidden."""
    whole_core = replace(CONFIG, memory_megabytes=INPUTS.core_megabytes)
    for seconds in (batch_seconds, sequential_seconds):
        assert seconds(1, 0.2, whole_core, INPUTS) == pytest.approx(0.2 + 0.01 + 0.0055)


def test_the_model_of_a_batch_is_near_what_was_measured() -> None:
    """docs/measurements.md, at an API of 200 ms, with a whole core: leads on threads."""
    measured_s = {(1, 10): 0.217, (10, 10): 0.224, (100, 10): 2.091, (100, 32): 0.868}
    for (leads, threads), seconds in measured_s.items():
        config = replace(CONFIG, parallel_calls=threads, memory_megabytes=INPUTS.core_megabytes)
        assert batch_seconds(leads, 0.2, config, INPUTS) == pytest.approx(seconds, rel=0.05)


def test_without_cpu_a_batch_takes_as_many_calls_as_it_has_rounds() -> None:
    """A known case: ten leads on five threads are two rounds."""
    no_cpu = replace(INPUTS, batch_cpu_ms=0, lead_cpu_ms=0, ledger_ms=0)
    assert batch_seconds(10, 0.2, replace(CONFIG, parallel_calls=5), no_cpu) == pytest.approx(0.4)


def test_a_batch_never_takes_less_than_its_cpu() -> None:
    """A quarter of a core, and an API that answers at once."""
    config = replace(CONFIG, memory_megabytes=442, parallel_calls=32)
    share = 442 / INPUTS.core_megabytes
    assert batch_seconds(100, 0.0, config, INPUTS) >= 100 * INPUTS.lead_cpu_ms / 1000 / share


def test_more_memory_is_never_slower_and_never_cheaper_where_time_stays() -> None:
    """More than one core doesn't help Python."""
    sizes = [replace(CONFIG, memory_megabytes=size) for size in (256, 512, 1024, 1769, 3072)]
    seconds = [batch_seconds(10, 0.2, config, INPUTS) for config in sizes]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-2] == seconds[-1]
    assert start_seconds(sizes[-2], INPUTS) == start_seconds(sizes[-1], INPUTS)
    usd = [usd_of_a_million(10, 0.2, config, INPUTS, PRICES) for config in sizes[-2:]]
    assert usd[0] < usd[1]


def test_the_items_are_what_a_million_leads_use_times_the_prices() -> None:
    """The figures were computed by hand, for batches of ten."""
    cost = cost_of_a_million(10, 0.2, CONFIG, INPUTS, PRICES)
    assert cost["EventBridge: an event each"] == pytest.approx(1.00)
    assert cost["SQS: send, receive, delete"] == pytest.approx(0.40 * (1 + 0.1 + 0.1))
    assert cost["Lambda: requests"] == pytest.approx(0.1 * 0.20)
    assert cost["ledger: two writes each"] == pytest.approx(2 * 0.625)
    lead_bytes = 640 + 26 + (725 + 26 + 270 + 3 * 26) / 10
    assert cost["logs: taken in"] == pytest.approx(lead_bytes * 1e6 / 2**30 * 0.50)


def test_a_batch_of_more_than_ten_is_received_and_deleted_by_tens() -> None:
    """A call of SQS takes no more."""
    assert usage_of_a_million(100, 1.0, CONFIG, INPUTS).sqs_requests == pytest.approx(1.2e6)


def test_the_readme_shows_the_models_figures() -> None:
    """On the first screen, so a newcomer plans by them."""
    tens, singly = (usd_of_a_million(leads, 0.2, CONFIG, INPUTS, PRICES) for leads in (10, 1))
    at_rest = sum(monthly(INPUTS, PRICES).values())
    text = " ".join((PROJECT / "README.md").read_text("utf-8").split())
    assert f"USD {tens:.2f} per million leads** in batches of ten, {singly:.2f} one by one" in text
    assert f"USD {at_rest:.2f} a month for a stage at rest" in text
    settings = COMPUTED["docs/cost.md"]["settings"].splitlines()
    rows = [row for row in settings if row.startswith(("| `keepData`", "| `logRetentionDays`"))]
    in_tens, alone = (sum(float(row.split("+")[column].strip(" |")) for row in rows) for column in (1, 2))
    assert f"(`prod`'s backup and longer logs add {in_tens:.2f} and {alone:.2f})" in text
    month = COMPUTED["docs/cost.md"]["a month"].splitlines()
    [metrics] = [row.split(" to ")[1] for row in month if row.startswith("| metrics")]
    [dashboard] = [row.split("| ")[2] for row in month if row.startswith("| the dashboard")]
    most = sum(float(each.strip(" |")) for each in (metrics, dashboard))
    assert f"metrics and the dashboard add up to {most:.2f}" in text
