"""What a stage's leads cost, computed by CloudWatch from the metrics of what AWS bills."""

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.config import DeploymentConfig
from infra.stage_metrics import PERIOD, StageMetrics

# USD in us-east-1, as in docs/measurements.md: for a million of each, a GB-second on Arm, a GB.
_INVOCATION, _SQS_CALL, _WRITE_UNIT, _EVENT = 0.20e-6, 0.40e-6, 0.625e-6, 1.00e-6
_GB_SECOND = 0.0000133334
_LOGGED_BYTE = 0.50e-9


def running_cost(config: DeploymentConfig, metrics: StageMetrics) -> list[cloudwatch.IMetric]:
    """USD for each service, and in all. What a stage costs without leads, and data out, are left out.

    SQS at most: a call sends, receives or deletes up to ten messages, and the metrics count messages.
    """
    billed: dict[str, tuple[str, dict[str, cloudwatch.IMetric]]] = {
        "Lambda": (
            f"FILL(runs, 0) * {_INVOCATION:.9f}"
            f" + FILL(ms, 0) * {config.memory_megabytes / 1024 * _GB_SECOND / 1000:.15f}",
            {"runs": metrics.function("Invocations"), "ms": metrics.function("Duration")},
        ),
        "SQS, at most": (
            f"(FILL(sent, 0) + FILL(received, 0) + FILL(deleted, 0) + FILL(empty, 0)) * {_SQS_CALL:.9f}",
            {
                "sent": metrics.lead_queue("NumberOfMessagesSent"),
                "received": metrics.lead_queue("NumberOfMessagesReceived"),
                "deleted": metrics.lead_queue("NumberOfMessagesDeleted"),
                "empty": metrics.lead_queue("NumberOfEmptyReceives"),
            },
        ),
        "DynamoDB": (
            f"FILL(units, 0) * {_WRITE_UNIT:.9f}",
            {"units": metrics.ledger("ConsumedWriteCapacityUnits")},
        ),
        "EventBridge": (f"FILL(events, 0) * {_EVENT:.9f}", {"events": metrics.rule("MatchedEvents")}),
        "Logs": (f"FILL(bytes, 0) * {_LOGGED_BYTE:.13f}", {"bytes": metrics.logged_bytes()}),
    }
    parts = {
        f"usd{number}": cloudwatch.MathExpression(
            expression=expression, label=label, using_metrics=used, period=PERIOD
        )
        for number, (label, (expression, used)) in enumerate(billed.items())
    }
    total = cloudwatch.MathExpression(
        expression=" + ".join(parts), label="in all", using_metrics=dict(parts), period=PERIOD
    )
    return [total, *parts.values()]
