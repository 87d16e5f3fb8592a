"""The widgets that the dashboard is made of."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.stage_metrics import PERIOD

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
    *metrics: cloudwatch.IMetric,
    right: cloudwatch.IMetric | None = None,
    limit: tuple[float, str] | None = None,
    stacked: bool = False,
    counts: bool = True,
    width: int = 6,
) -> cloudwatch.GraphWidget:
    """`limit`: a line at a value, and its name. `counts`: the values are sums of a period."""
    value, name = limit or (0, "")
    line = cloudwatch.HorizontalAnnotation(value=value, label=name, color=cloudwatch.Color.RED)
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        right=[right] if right else [],
        left_annotations=[line] if limit else [],
        left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False, label="in 5 minutes" if counts else None),
        right_y_axis=cloudwatch.YAxisProps(min=0, show_units=False) if right else None,
        stacked=stacked,
        width=width,
        height=6,
    )


def sum_of(first: cloudwatch.Metric, second: cloudwatch.Metric) -> cloudwatch.MathExpression:
    """SQS sends no metrics of a queue that is idle for six hours."""
    return cloudwatch.MathExpression(
        expression="FILL(first, 0) + FILL(second, 0)",
        label="leads",
        using_metrics={"first": first, "second": second},
        period=Duration.minutes(1),
    )


def divided(metric: cloudwatch.Metric, by: int, label: str, color: str) -> cloudwatch.MathExpression:
    # An id is a metric's for the whole graph, and begins with a small letter.
    name = f"m{metric.metric_name}{metric.statistic}"
    return cloudwatch.MathExpression(
        expression=f"{name} / {by}", label=label, color=color, using_metrics={name: metric}, period=PERIOD
    )
