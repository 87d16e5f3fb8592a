"""The table and the plots of docs/scale.md."""

import math
from collections.abc import Callable, Mapping

from bench.cost.model import MILLION, bill
from bench.cost.prices import Prices
from bench.documents import table
from bench.plots import Line, Panel, grid
from bench.scale.scenarios import (
    APIS,
    DEFAULTS,
    DOWN_FROM_MIN,
    DOWN_UNTIL_MIN,
    RATES,
    SUITED,
    UNTIL_MIN,
    Case,
    Limit,
)
from bench.scale.simulation import Answer, Result, Sample

LATE_S = 60
_LEAST_MIN = 10
_TICKS_MIN = (0, 30, 60, 90, UNTIL_MIN)


def row(case: Case, result: Result, prices: Prices) -> list[str]:
    """A run's row of the table."""
    usd = sum(bill(result.usage, prices).values()) / max(1, result.delivered) * MILLION
    return [
        case.leads,
        case.api,
        case.settings,
        f"{max(sample.waiting for sample in result.samples):,}",
        _caught_up(case, result),
        _duration(max(sample.oldest_s for sample in result.samples)),
        f"{result.most_parallel_calls:,}",
        f"{result.calls[Answer.TOO_MANY]:,}",
        f"{result.most_in_flight:,}",
        f"{result.most_writes_a_second:,.0f}",
        f"{usd:,.2f}",
    ]


HEAD = [
    "leads a minute",
    "API",
    "settings",
    "most waiting",
    "caught up",
    "oldest",
    "calls at a time",
    "turned away",
    "in flight",
    "ledger writes, worst second",
    "USD a million",
]


def results_table(results: Mapping[Case, Result], prices: Prices) -> str:
    """A row for each run."""
    return table(HEAD, (row(case, result, prices) for case, result in results.items()))


LIMITS_HEAD = [
    "calls a second",
    "leads at once",
    "settings",
    "delivered after",
    "share of the limit",
    "turned away",
    "receives of a lead",
    "at most",
    "USD a million",
]


def limits_table(results: Mapping[Limit, Result], prices: Prices) -> str:
    """A row for each limit."""
    return table(LIMITS_HEAD, (limit_row(limit, result, prices) for limit, result in results.items()))


def limit_row(limit: Limit, result: Result, prices: Prices) -> list[str]:
    """A run's row of the table of limits."""
    usd = sum(bill(result.usage, prices).values()) / result.delivered * MILLION
    return [
        f"{limit.a_second}",
        f"{result.sent:,}",
        limit.settings,
        f"{result.last_delivered_s / 3600:.1f} h",
        f"{result.share_of(limit.a_second):.0%}",
        f"{result.calls[Answer.TOO_MANY] / sum(result.calls.values()):.1%}",
        f"{result.receives / result.sent:.1f}",
        f"{result.most_receives}",
        f"{usd:,.2f}",
    ]


def plots(results: Mapping[Case, Result]) -> dict[str, str]:
    """File names in docs, and the SVG of each."""
    return {
        "scale-waiting.svg": _plot("Leads that wait", results, lambda sample: sample.waiting, 1.0),
        "scale-oldest.svg": _plot(
            "Age of the oldest lead that waits, in minutes",
            results,
            lambda sample: sample.oldest_s / 60,
            0.0,
        ),
    }


def _plot(
    title: str, results: Mapping[Case, Result], value: Callable[[Sample], float], minutes_of_leads: float
) -> str:
    by_name = {(case.rate, case.api, case.settings): result for case, result in results.items()}

    def line(rate: int, api: str, settings: str) -> Line | None:
        result = by_name.get((rate, api, settings))
        if not result:
            return None
        # A run ends when all are delivered.
        points = [(s.at_s / 60, value(s)) for s in result.samples]
        return Line(points if points[-1][1] else [*points, (UNTIL_MIN, 0.0)])

    down = (DOWN_FROM_MIN, DOWN_UNTIL_MIN)
    rows = [
        [
            Panel(
                f"{rate:,} a minute, {api}",
                [line(rate, api, settings) for settings in (DEFAULTS, SUITED)],
                least_y=max(minutes_of_leads * rate, _LEAST_MIN),
                shaded=down if APIS[api].down_from_s < math.inf else None,
            )
            for api in APIS
        ]
        for rate in RATES
    ]
    return grid(rows, title=title, names=(DEFAULTS, "settings that suit"), x_unit="min", x_ticks=_TICKS_MIN)


def _caught_up(case: Case, result: Result) -> str:
    """When no lead had waited for a minute any more."""
    late = [sample.at_s for sample in result.samples if sample.oldest_s >= LATE_S]
    if not late:
        return "never behind"
    if result.sent > result.delivered:
        return f"no: {result.sent - result.delivered:,} wait after {UNTIL_MIN} min"
    since_s = case.scenario.api.down_until_s
    after_s = max(late) - (since_s if since_s < math.inf else case.arriving_min * 60)
    return f"{after_s / 60:.0f} min after {'the outage' if since_s < math.inf else 'the last lead'}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
