"""What a stage's leads cost, computed by CloudWatch from the metrics of what AWS bills."""

from aws_cdk import aws_cloudwatch as cloudwatch

from deliver_leads.contract import Metric

from .config import DeploymentConfig
from .stage_metrics import PERIOD, StageMetrics

# USD in us-east-1, as in bench/cost/prices.toml: for one of each, a GB-second on Arm, a byte.
_INVOCATION, _SQS_CALL, _WRITE_UNIT, _EVENT = 0.20e-6, 0.40e-6, 0.625e-6, 1.00e-6
_GB_SECOND = 0.0000133334
_LOGGED_BYTE = 0.50e-9


class RunningCost:
    """USD without what a stage costs when it is idle, and without data out.

    SQS at most: a call sends, receives or deletes up to ten messages, and the metrics count messages.
    """

    def __init__(self, config: DeploymentConfig, metrics: StageMetrics) -> None:
        millisecond = config.memory_megabytes / 1024 * _GB_SECOND / 1000
        self._prices = {
            "Lambda": {"runs": _INVOCATION, "ms": millisecond},
            "SQS, at most": dict.fromkeys(("sent", "received", "deleted", "empty"), _SQS_CALL),
            "DynamoDB": {"units": _WRITE_UNIT},
            "EventBridge": {"events": _EVENT},
            "Logs": {"bytes": _LOGGED_BYTE},
        }
        self._billed = {
            "runs": metrics.function("Invocations"),
            "ms": metrics.function("Duration"),
            "sent": metrics.lead_queue("NumberOfMessagesSent"),
            "received": metrics.lead_queue("NumberOfMessagesReceived"),
            "deleted": metrics.lead_queue("NumberOfMessagesDeleted"),
            "empty": metrics.lead_queue("NumberOfEmptyReceives"),
            "units": metrics.ledger("ConsumedWriteCapacityUnits"),
            "events": metrics.rule("MatchedEvents"),
            "bytes": metrics.logged_bytes(),
        }
        self._leads = metrics.own(Metric.DELIVERED)

    def total(self) -> cloudwatch.IMetric:
        """The cost as a figure, in whole cents."""
        prices = {name: price for service in self._prices.values() for name, price in service.items()}
        return self._expression(f"CEIL(100 * {_sum(prices)}) / 100", "at most", prices)

    def of_a_million(self) -> list[cloudwatch.IMetric]:
        """The cost of a million delivered leads, for each service."""
        return [
            self._expression(f"{_sum(prices)} / leads * 1000000", label, prices)
            for label, prices in self._prices.items()
        ]

    def _expression(self, text: str, label: str, prices: dict[str, float]) -> cloudwatch.MathExpression:
        used: dict[str, cloudwatch.IMetric] = {name: self._billed[name] for name in prices}
        if "leads" in text:
            used["leads"] = self._leads
        return cloudwatch.MathExpression(expression=text, label=label, using_metrics=used, period=PERIOD)


def _sum(prices: dict[str, float]) -> str:
    """A sum of series leaves out those without data: a stage may get no events."""
    return f"SUM([{', '.join(f'{name} * {price:.15f}' for name, price in prices.items())}])"
