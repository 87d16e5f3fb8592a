"""What a run costs on AWS by list prices: an estimate, because bills come a day later."""

import math

from bench.cost.inputs import Inputs
from bench.cost.prices import Prices

_HOURS_A_MONTH = 720
# A run's own: some hundred leads, each a few messages, calls and lines; most requests are polls of queues.
_REQUESTS = 20_000
_WRITE_UNITS = 5_000
_GB_SECONDS = 600


def estimated_usd(seconds: float) -> float:
    """USD for a run of so many seconds. Alarms, metrics, key and secret are billed by the hour."""
    prices, inputs = Prices.read(), Inputs()
    a_month = (
        inputs.alarm_metrics * prices.alarm_metric_month
        + inputs.composite_alarms * prices.composite_alarm_month
        + inputs.all_metrics * prices.metric_month
        + prices.key_month
        + prices.secret_month
    )
    used = (
        _REQUESTS * max(prices.sqs_request, prices.invocation)
        + _WRITE_UNITS * prices.write_unit
        + _GB_SECONDS * prices.gb_second
    )
    return a_month * (math.ceil(seconds / 3600) + 1) / _HOURS_A_MONTH + used
