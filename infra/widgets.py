"""The widgets that the dashboard is made of."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from .stage_metrics import PERIOD

COLUMNS = 24  # of a dashboard


def heading(title: str, text: str = "") -> list[cloudwatch.IWidget]:
    lines = [title, text] if text else [title]
    return [cloudwatch.TextWidget(markdown="\n".join(lines), width=COLUMNS, height=len(lines))]


def figure(
    title: str, *metrics: cloudwatch.IMetric, over: Duration | None = None, width: int = 6
) -> cloudwatch.SingleValueWidget:
    """The newest value, or that of the time `over` until now as one period, whatever time is shown."""
    return cloudwatch.SingleValueWidget(
        title=title,
        metrics=list(metrics),
        start=f"-{over.to_iso_string()}" if over else None,
        set_period_to_time_range=True if over else None,
        sparkline=None if over else True,
        width=width,
        height=4,
    )


def graph(
    title: str,
    *lines: cloudwatch.IMetric,
    right: cloudwatch.IMetric | None = None,
    limit: tuple[float, str] | None = None,
    unit: str | None = None,
    stacked: bool = False,
    width: int = 6,
) -> cloudwatch.GraphWidget:
    """`limit`: a horizontal line's value and name."""
    value, name = limit or (0, "")
    annotation = cloudwatch.HorizontalAnnotation(value=value, label=name, color=cloudwatch.Color.RED)
    return cloudwatch.GraphWidget(
        title=title,
        left=list(lines),
        right=[right] if right else [],
        left_annotations=[annotation] if limit else [],
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False, label=unit),
        right_y_axis=cloudwatch.YAxisProps(min=0, show_units=False) if right else None,
        stacked=stacked,
        width=width,
        height=6,
    )


def counts(
    title: str,
    *metrics: cloudwatch.Metric,
    right: cloudwatch.IMetric | None = None,
    stacked: bool = False,
    width: int = 6,
) -> cloudwatch.GraphWidget:
    """A graph of sums."""
    minutes = f"in {PERIOD.to_minutes():g} minutes"
    return graph(title, *map(filled, metrics), right=right, unit=minutes, stacked=stacked, width=width)


def now(*gauges: cloudwatch.Metric, base: cloudwatch.Metric) -> cloudwatch.MathExpression:
    """The sum of what queues hold: 0 rather than nothing for an idle queue, which has no metrics.

    The newest minute has no data for a while, so the last value is repeated. `base` always has data.
    """
    names = {f"gauge{place}": metric for place, metric in enumerate(gauges)}
    parts = ", ".join(f"FILL({name}, REPEAT)" for name in names)
    return cloudwatch.MathExpression(
        expression=f"SUM([{parts}, 0 * FILL(base, REPEAT)])",
        label="leads",
        using_metrics={**names, "base": base},
        period=Duration.minutes(1),
    )


def filled(metric: cloudwatch.Metric) -> cloudwatch.MathExpression:
    """Fills a count that isn't written when it is zero, because its line would have a gap instead."""
    return _computed("FILL({}, 0)", metric, metric.label, metric.color)


def divided(metric: cloudwatch.Metric, by: int, label: str, color: str) -> cloudwatch.MathExpression:
    return _computed(f"{{}} / {by}", metric, label, color)


def _computed(
    expression: str, metric: cloudwatch.Metric, label: str | None, color: str | None
) -> cloudwatch.MathExpression:
    # A metric has one id in the whole graph, and an id begins with a small letter.
    name = f"m{metric.metric_name}{metric.statistic}"
    return cloudwatch.MathExpression(
        expression=expression.format(name),
        label=label,
        color=color,
        using_metrics={name: metric},
        period=PERIOD,
    )
