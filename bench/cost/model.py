"""What is used for leads, and what it costs: item by item, for batches of a given size.

The simulation in bench/scale counts the same things one by one; both are billed by `bill`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.cost.inputs import Inputs
from bench.cost.prices import Prices
from infra.config import DeploymentConfig

MILLION = 1_000_000
GB = 2**30
MONTH_DAYS = 30
MONTH_S = MONTH_DAYS * 86_400
# A call of SQS takes up to ten messages.
SQS_BATCH = 10


@dataclass(kw_only=True)
class Usage:
    """What AWS bills by use."""

    events: float = 0
    sqs_requests: float = 0
    invocations: float = 0
    gb_seconds: float = 0
    write_units: float = 0
    stored_gb_months: float = 0
    logged_gb: float = 0
    log_gb_months: float = 0
    gb_out: float = 0


def bill(usage: Usage, prices: Prices) -> dict[str, float]:
    """USD for each item."""
    return {
        "EventBridge: an event each": usage.events * prices.event,
        "SQS: send, receive, delete": usage.sqs_requests * prices.sqs_request,
        "Lambda: requests": usage.invocations * prices.invocation,
        "Lambda: GB-seconds": usage.gb_seconds * prices.gb_second,
        "ledger: two writes each": usage.write_units * prices.write_unit,
        "ledger: storage": usage.stored_gb_months * prices.table_gb_month,
        "logs: taken in": usage.logged_gb * prices.logged_gb,
        "logs: kept": usage.log_gb_months * prices.log_gb_month,
        "data out": usage.gb_out * prices.gb_out,
    }


def cpu_share(memory_megabytes: int, inputs: Inputs) -> float:
    """The part of a core that Python can use: more than one doesn't help it."""
    return min(1.0, memory_megabytes / inputs.core_megabytes)


def batch_seconds(leads: int, api_s: float, config: DeploymentConfig, inputs: Inputs) -> float:
    """How long a warm batch takes on `parallelCalls` threads, between its two calls of the ledger."""
    share = cpu_share(config.memory_megabytes, inputs)
    batch_cpu_s, cpu_s = inputs.batch_cpu_ms / 1000 / share, inputs.lead_cpu_ms / 1000 / share
    rounds = math.ceil(leads / config.parallel_calls)
    waiting_s = rounds * api_s + inputs.ledger_calls * inputs.ledger_ms / 1000
    seen_cpu_s = batch_cpu_s + cpu_s * (1 + inputs.cpu_not_hidden * (leads - 1))
    return max(batch_cpu_s + leads * cpu_s, waiting_s + seen_cpu_s)


def sequential_seconds(leads: int, api_s: float, config: DeploymentConfig, inputs: Inputs) -> float:
    """How long a batch takes in a function that delivers one lead after another."""
    cpu_ms = inputs.batch_cpu_ms + inputs.lead_cpu_ms  # as a batch of its own
    cpu_s = cpu_ms / 1000 / cpu_share(config.memory_megabytes, inputs)
    return leads * (api_s + inputs.ledger_calls * inputs.ledger_ms / 1000 + cpu_s)


def start_seconds(config: DeploymentConfig, inputs: Inputs) -> float:
    """How long a new environment takes to start, if it gets no more CPU for it than later."""
    return inputs.start_cpu_ms / 1000 / cpu_share(config.memory_megabytes, inputs)


def logged_bytes(leads: float, batches: float, inputs: Inputs) -> float:
    """A line for each lead, one with a batch's metrics, and Lambda's own for each batch."""
    lines = leads + batches * (1 + inputs.platform_lines)
    of_batch = inputs.metrics_bytes + inputs.platform_bytes
    return leads * inputs.lead_log_bytes + batches * of_batch + lines * inputs.line_overhead_bytes


def usage_of_a_million(leads: float, seconds: float, config: DeploymentConfig, inputs: Inputs) -> Usage:
    """What a million leads, events on a bus, use in batches of `leads`, of which each takes `seconds`."""
    batches = MILLION / leads
    logged_gb = logged_bytes(MILLION, batches, inputs) / GB
    billed_s = seconds + inputs.cold_share * start_seconds(config, inputs)
    stored_gb = MILLION * (inputs.item_bytes + inputs.item_overhead_bytes) / GB
    return Usage(
        events=MILLION,
        sqs_requests=MILLION + 2 * batches * math.ceil(leads / SQS_BATCH),
        invocations=batches,
        gb_seconds=batches * billed_s * config.memory_megabytes / 1024,
        write_units=MILLION * inputs.write_units,
        stored_gb_months=stored_gb * config.ledger_days / MONTH_DAYS,
        logged_gb=logged_gb,
        log_gb_months=logged_gb * config.log_retention_days / MONTH_DAYS,
        gb_out=MILLION * inputs.sent_bytes / GB,
    )


def cost_of_a_million(
    leads: int, api_s: float, config: DeploymentConfig, inputs: Inputs, prices: Prices
) -> dict[str, float]:
    """USD for each item, for a million leads in batches of `leads`."""
    seconds = batch_seconds(leads, api_s, config, inputs)
    return bill(usage_of_a_million(leads, seconds, config, inputs), prices)


def usd_of_a_million(
    leads: int, api_s: float, config: DeploymentConfig, inputs: Inputs, prices: Prices
) -> float:
    """USD for a million leads in batches of `leads`, all items together."""
    return sum(cost_of_a_million(leads, api_s, config, inputs, prices).values())


def monthly(inputs: Inputs, prices: Prices) -> Mapping[str, float]:
    """USD a month for a stage at rest."""
    polls = inputs.idle_pollers * MONTH_S / inputs.poll_s
    return {
        "the alarms' key": prices.key_month,
        "the secret": prices.secret_month,
        "the alarms": inputs.alarm_metrics * prices.alarm_metric_month
        + inputs.composite_alarms * prices.composite_alarm_month,
        "idle polling": polls * prices.sqs_request,
    }


def leads_a_batch(leads_a_second: float, config: DeploymentConfig, inputs: Inputs) -> float:
    """How full batches get when leads are few: each poller gets its part of the leads within the window.

    An inference: the documents say how long a poller gathers, not how SQS shares messages out among pollers.
    """
    gathered = leads_a_second * config.batching_window_seconds / inputs.idle_pollers
    return min(float(config.batch_size), 1 + gathered)
