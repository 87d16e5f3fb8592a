"""The tables of docs/cost.md and of decision 0013."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.cost.alternatives import alternatives
from bench.cost.inputs import Inputs
from bench.cost.model import (
    GB,
    MILLION,
    MONTH_DAYS,
    MONTH_S,
    batch_seconds,
    bill,
    cost_of_a_million,
    leads_a_batch,
    monthly,
    sequential_seconds,
    start_seconds,
    usage_of_a_million,
    usd_of_a_million,
)
from bench.cost.prices import Prices
from bench.documents import table
from infra.config import DeploymentConfig

_LATENCIES_S = (0.05, 0.2, 1.0)
_BATCHES = (10, 1)
_USUAL_S = 0.2
_DEFAULTS = DeploymentConfig(stage="model")


def computed(inputs: Inputs, prices: Prices) -> Mapping[str, Mapping[str, str]]:
    """Each document's tables, by the names of their markers."""
    return {
        "docs/cost.md": {
            "a million leads": _a_million(inputs, prices),
            "other ways": _other_ways(inputs, prices),
            "log bytes": _log_bytes(inputs),
            "settings": _settings(inputs, prices),
            "sensitivity": _sensitivity(inputs, prices),
            "a month": _a_month(inputs, prices),
        },
        "docs/decisions/0013-defaults-from-a-model.md": {
            "memory": _memory(inputs, prices),
            "batch and pool": _batch_and_pool(inputs, prices),
            "window": _window(inputs, prices),
        },
    }


def _usd(value: float) -> str:
    return f"{value:.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _columns() -> list[tuple[float, int]]:
    return [(api_s, leads) for api_s in _LATENCIES_S for leads in _BATCHES]


def _head() -> list[str]:
    return [f"{_ms(api_s)}, {'tens' if leads > 1 else 'singly'}" for api_s, leads in _columns()]


def _a_million(inputs: Inputs, prices: Prices) -> str:
    costs = [cost_of_a_million(leads, api_s, _DEFAULTS, inputs, prices) for api_s, leads in _columns()]
    rows = [[item, *(_usd(cost[item]) for cost in costs)] for item in costs[0]]
    total = ["**in all**", *(f"**{_usd(sum(cost.values()))}**" for cost in costs)]
    return table(["item", *_head()], [*rows, total])


def _sequential_usd(leads: int, api_s: float, inputs: Inputs, prices: Prices) -> float:
    seconds = sequential_seconds(leads, api_s, _DEFAULTS, inputs)
    return sum(bill(usage_of_a_million(leads, seconds, _DEFAULTS, inputs), prices).values())


def _other_ways(inputs: Inputs, prices: Prices) -> str:
    ours = [
        "this function",
        *(_usd(usd_of_a_million(10, s, _DEFAULTS, inputs, prices)) for s in _LATENCIES_S),
    ]
    one_by_one = [
        "a function that delivers one lead after another",
        *(_usd(_sequential_usd(10, s, inputs, prices)) for s in _LATENCIES_S),
    ]
    by_latency = [alternatives(s, inputs, prices) for s in _LATENCIES_S]
    rows = [[name, *(_usd(each[name]) for each in by_latency)] for name in by_latency[0]]
    return table(["", *map(_ms, _LATENCIES_S)], [ours, one_by_one, *rows])


def _log_bytes(inputs: Inputs) -> str:
    return (
        f"*Logs*: a delivered lead's line has {inputs.lead_log_bytes:.0f} bytes, a batch's metrics "
        f"{inputs.metrics_bytes:.0f}, Lambda's own {inputs.platform_lines} lines for an invocation "
        f"{inputs.platform_bytes:.0f}; CloudWatch adds {inputs.line_overhead_bytes} to each line."
    )


def _settings(inputs: Inputs, prices: Prices) -> str:
    backed_up_gb = MILLION * (inputs.item_bytes + inputs.item_overhead_bytes) / GB
    backup = backed_up_gb * _DEFAULTS.ledger_days / MONTH_DAYS * prices.backup_gb_month
    long_logs = replace(_DEFAULTS, log_retention_days=90)
    kept = {
        leads: cost_of_a_million(leads, _USUAL_S, long_logs, inputs, prices)["logs: kept"]
        - cost_of_a_million(leads, _USUAL_S, _DEFAULTS, inputs, prices)["logs: kept"]
        for leads in _BATCHES
    }
    traces = {leads: MILLION / leads * prices.trace for leads in _BATCHES}
    event = MILLION * prices.event
    straight = dict.fromkeys(_BATCHES, -event)
    rows = {
        "`tracing`, at most": traces,
        "`outcomeEvents`": dict.fromkeys(_BATCHES, event),
        "`keepData`: the ledger's backup": dict.fromkeys(_BATCHES, backup),
        "`logRetentionDays` 90 instead of 30": kept,
        "messages straight to the queue, no events": straight,
    }
    return table(
        ["", "tens", "singly"],
        ([name, *(f"{by_batch[leads]:+.2f}" for leads in _BATCHES)] for name, by_batch in rows.items()),
    )


def _a_month(inputs: Inputs, prices: Prices) -> str:
    at_rest = monthly(inputs, prices)
    metrics = [
        f"{number * prices.metric_month:.2f}" for number in (inputs.healthy_metrics, inputs.all_metrics)
    ]
    return table(
        ["item", "USD a month"],
        [
            *([item, _usd(usd)] for item, usd in at_rest.items()),
            ["**at rest**", f"**{_usd(sum(at_rest.values()))}**"],
            [
                f"metrics, in the hours in which they are written: {inputs.healthy_metrics} while all is "
                f"well, {inputs.all_metrics} in all",
                " to ".join(metrics),
            ],
            ["the dashboard, after the first three of an account", _usd(prices.dashboard_month)],
        ],
    )


def _memory(inputs: Inputs, prices: Prices) -> str:
    rows = []
    for megabytes in (256, 512, 1024, 1769, 3072):
        config = replace(_DEFAULTS, memory_megabytes=megabytes)
        rows.append(
            [
                _bold(f"{megabytes:,} MB", megabytes == _DEFAULTS.memory_megabytes),
                *(_usd(usd_of_a_million(leads, _USUAL_S, config, inputs, prices)) for leads in _BATCHES),
                _ms(batch_seconds(10, _USUAL_S, config, inputs)),
                _ms(batch_seconds(100, _USUAL_S, replace(config, parallel_calls=32), inputs)),
                _ms(start_seconds(config, inputs)),
            ]
        )
    return table(
        ["memory", "USD, tens", "USD, singly", "batch of 10", "100 on 32 threads", "start of an environment"],
        rows,
    )


def _bold(text: str, is_default: bool) -> str:
    return f"**{text}**" if is_default else text


def _batch_and_pool(inputs: Inputs, prices: Prices) -> str:
    rows = []
    for size, pool in ((1, 1), (10, 1), (10, 5), (10, 10), (25, 10), (100, 10), (100, 32)):
        window_s = 1 if size > 10 else 0
        config = replace(_DEFAULTS, batch_size=size, parallel_calls=pool, batching_window_seconds=window_s)
        seconds = batch_seconds(size, _USUAL_S, config, inputs)
        is_default = (size, pool) == (_DEFAULTS.batch_size, _DEFAULTS.parallel_calls)
        rows.append(
            [
                _bold(f"{size} on {pool}", is_default),
                _usd(usd_of_a_million(size, _USUAL_S, config, inputs, prices)),
                _ms(seconds),
                f"{size / seconds:,.0f}",
                f"{size / seconds * _DEFAULTS.maximum_concurrency:,.0f}",
            ]
        )
    concurrency = _DEFAULTS.maximum_concurrency
    return table(
        [
            "leads on threads",
            "USD",
            "takes",
            "leads a second, one environment",
            f"{concurrency} environments",
        ],
        rows,
    )


def _window(inputs: Inputs, prices: Prices) -> str:
    windows_s = (0, 1, 5, 60)
    rows = []
    for a_minute in (10, 100, 1000):
        cells = []
        for window_s in windows_s:
            config = replace(_DEFAULTS, batching_window_seconds=window_s)
            leads = leads_a_batch(a_minute / 60, config, inputs)
            usage = usage_of_a_million(leads, _of_part(leads, config, inputs), config, inputs)
            month = sum(bill(usage, prices).values()) / MILLION * a_minute / 60 * MONTH_S
            cells.append(f"{leads:.1f}: {month:,.2f}")
        rows.append([f"{a_minute:,}", *cells])
    return table(["leads a minute", *(f"{window_s} s" for window_s in windows_s)], rows)


def _of_part(leads: float, config: DeploymentConfig, inputs: Inputs) -> float:
    """The seconds of a batch that has `leads` on average."""
    below = int(leads)
    part = leads - below
    seconds = [batch_seconds(number, _USUAL_S, config, inputs) for number in (below, below + 1)]
    return seconds[0] * (1 - part) + seconds[1] * part


def _sensitivity(inputs: Inputs, prices: Prices) -> str:
    """What a doubling adds, and what two other choices would save with it."""
    usual = (inputs, prices, _USUAL_S)
    cases: dict[str, tuple[Inputs, Prices, float]] = {
        "as it is": usual,
        "the API's latency": (inputs, prices, 2 * _USUAL_S),
        "CPU of a lead and of a batch": (
            _doubled(_doubled(inputs, "lead_cpu_ms"), "batch_cpu_ms"),
            prices,
            _USUAL_S,
        ),
        "latency of the ledger": (_doubled(inputs, "ledger_ms"), prices, _USUAL_S),
        "starts of environments": (_doubled(inputs, "cold_share"), prices, _USUAL_S),
        "bytes of a lead's log line": (_doubled(inputs, "lead_log_bytes"), prices, _USUAL_S),
        "write units (claims in transactions)": (_doubled(inputs, "write_units"), prices, _USUAL_S),
        "price of a GB-second": (inputs, _dearer(prices, "gb_second"), _USUAL_S),
        "price of a write": (inputs, _dearer(prices, "write_unit"), _USUAL_S),
        "price of an event": (inputs, _dearer(prices, "event"), _USUAL_S),
        "price of an SQS request": (inputs, _dearer(prices, "sqs_request"), _USUAL_S),
        "price of a logged GB": (inputs, _dearer(prices, "logged_gb"), _USUAL_S),
    }
    rows = [[name, *_case(*case)] for name, case in cases.items()]
    return table(
        ["twice as much", "USD, tens", "USD, singly", "512 MB would save", "100 on 32 would save"], rows
    )


def _doubled(inputs: Inputs, name: str) -> Inputs:
    doubled: Callable[..., Inputs] = replace
    return doubled(inputs, **{name: 2 * getattr(inputs, name)})


def _dearer(prices: Prices, name: str) -> Prices:
    dearer: Callable[..., Prices] = replace
    return dearer(prices, **{name: 2 * getattr(prices, name)})


def _case(inputs: Inputs, prices: Prices, api_s: float) -> list[str]:
    tens, singly = (usd_of_a_million(leads, api_s, _DEFAULTS, inputs, prices) for leads in _BATCHES)
    small = usd_of_a_million(10, api_s, replace(_DEFAULTS, memory_megabytes=512), inputs, prices)
    bulk = usd_of_a_million(100, api_s, replace(_DEFAULTS, parallel_calls=32), inputs, prices)
    return [_usd(tens), _usd(singly), _usd(tens - small), _usd(tens - bulk)]
