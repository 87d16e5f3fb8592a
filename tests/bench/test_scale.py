"""The simulation: nothing is lost, AWS's limits hold, known cases come out, the document shows them."""

import re
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from bench.cost.inputs import Inputs
from bench.cost.model import batch_seconds
from bench.cost.prices import Prices
from bench.plots import Line, Panel, grid
from bench.rate import short_burst_shares, steady_share_turned_away
from bench.scale.report import limit_row, row
from bench.scale.scenarios import APIS, RATES, Case, at_once, bursts, cases, limits
from bench.scale.simulation import Answer, LeadsApi, Result, Scenario, Simulation
from deliver_leads.breaker import FAULTS_TO_OPEN
from deliver_leads.contract import LAST_RECEIVE
from infra.config import DeploymentConfig

pytestmark = pytest.mark.simulation

PROJECT = Path(__file__).resolve().parents[2]
DEFAULTS, INPUTS = DeploymentConfig(stage="model"), Inputs()


def simulate(
    rate: float,
    api: LeadsApi | None = None,
    *,
    arriving_s: float = 600,
    until_s: float = 3600,
    sample_every_s: float = 1,
    most_in_flight: int = 120_000,
    account_concurrency: int = 1000,
    **settings: Any,
) -> Result:
    """`rate` leads a minute."""
    scenario = Scenario(
        leads_a_minute=rate,
        config=replace(DEFAULTS, **settings),
        api=api or LeadsApi(),
        arriving_s=arriving_s,
        until_s=until_s,
        most_in_flight=most_in_flight,
        account_concurrency=account_concurrency,
    )
    return Simulation(scenario, sample_every_s).run()


@pytest.mark.parametrize(
    "api",
    [LeadsApi(), LeadsApi(a_second=20), LeadsApi(down_from_s=60, down_until_s=360)],
    ids=["healthy", "limited", "down"],
)
@pytest.mark.parametrize("window_s", [0, 2])
def test_every_lead_is_delivered_once_and_is_somewhere_until_then(api: LeadsApi, window_s: int) -> None:
    """No message is lost or doubled, whatever the API does."""
    result = simulate(600, replace(api), until_s=20_000, batching_window_seconds=window_s)
    assert result.sent == result.delivered == result.calls[Answer.TAKEN]
    assert result.sent == pytest.approx(6000, rel=0.05)
    assert all(0 <= sample.in_flight <= sample.waiting for sample in result.samples)
    assert result.samples[-1].waiting == 0
    assert result.samples[-1].in_flight == 0
    assert result.receives == sum(result.calls.values()) - result.again + result.deferred


def test_the_same_seed_gives_the_same_run() -> None:
    """A document made of it can be made again."""
    assert simulate(300, LeadsApi(a_second=3)) == simulate(300, LeadsApi(a_second=3))


def test_awss_limits_hold() -> None:
    """Messages in flight, the account's environments, the mapping's setting, threads."""
    down = LeadsApi(down_from_s=0, down_until_s=1200)
    assert simulate(600, down, until_s=1200, most_in_flight=500).most_in_flight == 500
    busy = simulate(60_000, arriving_s=60, until_s=60, maximum_concurrency=1000, account_concurrency=30)
    assert busy.most_environments == 30
    assert busy.most_parallel_calls <= 30 * DEFAULTS.parallel_calls
    assert simulate(60_000, arriving_s=60, until_s=60).most_environments == DEFAULTS.maximum_concurrency


def test_the_mapping_starts_with_five_batches_and_adds_300_a_minute() -> None:
    """AWS's own figures."""
    busy = simulate(600_000, arriving_s=30, until_s=30, maximum_concurrency=1000)
    for sample in busy.samples:
        assert sample.environments <= 5 + 5 * (sample.at_s + 1)
    assert busy.most_environments == pytest.approx(5 + 5 * 30, abs=10)


def test_a_backlog_grows_by_what_comes_less_what_environments_can_do() -> None:
    """A known case: each of two environments delivers ten leads in a batch's time."""
    result = simulate(6000, arriving_s=300, until_s=300, maximum_concurrency=2)
    a_second = 2 * 10 / batch_seconds(10, 0.2, DEFAULTS, INPUTS)
    assert result.sent - result.delivered == pytest.approx((100 - a_second) * 300, rel=0.05)


def test_calls_at_a_time_are_the_rate_times_their_length() -> None:
    """Little's law, over single leads."""
    result = simulate(120, arriving_s=3600, sample_every_s=7)
    mean = sum(sample.parallel_calls for sample in result.samples) / len(result.samples)
    assert mean == pytest.approx(2 * batch_seconds(1, 0.2, DEFAULTS, INPUTS), rel=0.25)


def test_a_limited_api_takes_no_more_than_it_says() -> None:
    """The other calls are turned away, and come back."""
    result = simulate(1500, LeadsApi(a_second=20), arriving_s=300, until_s=300)
    assert 0.95 * 20 * 300 < result.calls[Answer.TAKEN] <= 20 * 301
    assert result.calls[Answer.TOO_MANY] > 0


def test_an_outage_costs_few_calls() -> None:
    """The bound of decision 0004: five faults and a batch in flight to open, quick probes, twelve an hour."""
    result = simulate(120, LeadsApi(down_from_s=60, down_until_s=3660), arriving_s=3660, until_s=3660)
    each = FAULTS_TO_OPEN + DEFAULTS.parallel_calls + 4 + 12
    assert 0 < result.calls[Answer.DOWN] <= each * DEFAULTS.maximum_concurrency


def test_a_window_fills_batches() -> None:
    """The simulation agrees with the cost model."""
    single, gathered = simulate(600), simulate(600, batching_window_seconds=2)
    assert single.receives / single.usage.invocations == pytest.approx(1, abs=0.1)
    assert gathered.receives / gathered.usage.invocations == pytest.approx(1 + 10 * 2 / 5, rel=0.2)
    assert gathered.longest_wait_s >= 2


def test_the_document_shows_what_the_simulation_gives() -> None:
    """The quick part of it; after a change: `python -m bench.scale --write`."""
    text = (PROJECT / "docs/scale.md").read_text("utf-8")
    for case in (*cases((RATES[0],)), *bursts()):
        shown = row(case, Simulation(case.scenario).run(), Prices.read())
        assert f"| {' | '.join(shown)} |" in text, "python -m bench.scale --write"
    for limit in (each for each in limits() if each.a_second == 5):
        shown = limit_row(limit, Simulation(limit.scenario).run(), Prices.read())
        assert f"| {' | '.join(shown)} |" in text, "python -m bench.scale --limits --write"


def test_the_document_has_a_row_for_every_run() -> None:
    """Also for those that take long."""
    text = (PROJECT / "docs/scale.md").read_text("utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]*[a-z][^|]*) \| (defaults|suited) \|", text, re.MULTILINE)
    assert rows == [(case.leads, case.api, case.settings) for case in (*cases(), *bursts())]
    rows = re.findall(r"^\| (\d+) \| [\d,]+ \| (defaults|suited) \|", text, re.MULTILINE)
    assert rows == [(str(limit.a_second), limit.settings) for limit in limits()]


def test_each_run_has_an_api_of_its_own() -> None:
    """What one run used up of it must not be missing in the next."""
    case = Case(10, next(iter(APIS)), "defaults", {})
    assert case.scenario.api is not case.scenario.api


def test_a_plot_is_an_svg_with_a_line_for_each_series_that_a_panel_has() -> None:
    """And its texts are escaped."""
    panel = Panel("a < b", [Line([(0, 0), (10, 1_500_000)]), None], least_y=1, shaded=(2, 4))
    svg = grid([[panel]], title="t", names=("one", "two"), x_unit="min", x_ticks=(0, 5, 10))
    assert svg.count("<polyline") == 1
    assert "a &lt; b" in svg
    assert "1.5 M" in svg


@pytest.mark.parametrize("has_retry_after", [True, False])
@pytest.mark.parametrize(("a_second", "leads"), [(5, 5000), (50, 5000)])
def test_environments_that_do_not_talk_share_a_limit(
    a_second: int, leads: int, has_retry_after: bool
) -> None:
    """Almost all of it is used, few calls are turned away, and no environment gets almost none."""
    simulation = Simulation(at_once(leads, LeadsApi(a_second=a_second, has_retry_after=has_retry_after)), 1)
    result = simulation.run()
    assert result.share_of(a_second) >= 0.85
    assert steady_share_turned_away(result) <= 0.05
    paces = simulation.paces
    assert len(paces) == DEFAULTS.maximum_concurrency
    assert 0.7 * a_second <= sum(paces) <= 1.6 * a_second
    assert min(paces) > max(paces) / 6


@pytest.mark.parametrize("has_retry_after", [True, False])
def test_a_short_burst_gets_almost_all_of_the_rate(has_retry_after: bool) -> None:
    """Though its last leads wait in environments with a slow pace, while faster ones lack leads."""
    shares = short_burst_shares(has_retry_after)
    assert mean(shares) >= 0.9
    assert min(shares) >= 0.6


@pytest.mark.parametrize(("has_retry_after", "first_s", "last_s"), [(True, 30, 90), (False, 120, 300)])
def test_after_ten_minutes_of_429_leads_flow_within_seconds(
    has_retry_after: bool, first_s: int, last_s: int
) -> None:
    """Nothing is called before the end of a `Retry-After`, and then not all at once."""
    api = LeadsApi(closed_from_s=0, closed_until_s=600, has_retry_after=has_retry_after)
    result = Simulation(at_once(200, api), 1).run()
    assert 600 <= result.first_delivered_s <= 600 + first_s
    assert result.last_delivered_s <= 600 + last_s
    assert result.calls[Answer.TOO_MANY] <= 5 * (DEFAULTS.parallel_calls if has_retry_after else 60)
    assert max(sample.parallel_calls for sample in result.samples if sample.at_s > 600) <= 30


def test_an_api_that_never_takes_two_calls_at_once_turns_away_the_second_of_two() -> None:
    """Though it has rested for long."""
    api = LeadsApi(a_second=10, burst=1)
    answers = [*api.answers(100, 2), *api.answers(100.05, 1), *api.answers(100.1, 1)]
    assert answers == [Answer.TAKEN, Answer.TOO_MANY, Answer.TOO_MANY, Answer.TAKEN]


def test_a_known_limit_is_never_exceeded() -> None:
    """The setting's part of each environment, from the first call on."""
    result = simulate(6000, LeadsApi(a_second=20), arriving_s=10, calls_per_second=20)
    assert result.calls[Answer.TOO_MANY] == 0
    assert result.delivered == result.sent


def test_a_line_of_hours_does_not_use_up_receives() -> None:
    """At one call a second, by five environments."""
    result = Simulation(at_once(1000, LeadsApi(a_second=1))).run()
    assert result.most_receives < LAST_RECEIVE / 10
