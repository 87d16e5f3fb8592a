"""What dashboard and saved queries promise. The emulator deploys neither, so this is the proof."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deliver_leads.contract import METRICS_NAMESPACE, Metric
from sim.alarms.metric_math import compile_expression
from sim.synthesis import Templates, output_target, properties, resources, synthesise

Widget = dict[str, Any]

# AWS's metrics, with the dimensions under which AWS publishes them.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
SQS = (
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesVisible",
    "NumberOfEmptyReceives",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesReceived",
    "NumberOfMessagesSent",
)
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
LAMBDA = ("ConcurrentExecutions", "Duration", "Errors", "Invocations", "Throttles")
# Both dimensions, because the bus isn't the default one.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
EVENTS = (
    "FailedInvocations",
    "InvocationsFailedToBeSentToDlq",
    "InvocationsSentToDlq",
    "MatchedEvents",
    "RetryInvocationAttempts",
)
DIMENSIONS_OF_AWS = {
    **{("AWS/SQS", name): {"QueueName"} for name in SQS},
    **{("AWS/Lambda", name): {"FunctionName"} for name in LAMBDA},
    **{("AWS/Events", name): {"EventBusName", "RuleName"} for name in EVENTS},
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    ("AWS/DynamoDB", "ConsumedWriteCapacityUnits"): {"TableName"},
    ("AWS/DynamoDB", "SuccessfulRequestLatency"): {"TableName", "Operation"},
    ("AWS/DynamoDB", "WriteThrottleEvents"): {"TableName"},
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
    ("AWS/Logs", "IncomingBytes"): {"LogGroupName"},
}
# What each dimension names, as an output of the delivery stack.
OUTPUTS = {
    "QueueName": {"LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl"},
    "FunctionName": {"FunctionName"},
    "EventBusName": {"EventBusName"},
    "TableName": {"LedgerTableName"},
    "LogGroupName": {"LogGroupName"},
}


def named(value: object, templates: Templates) -> str:
    """A template's text, with the delivery stack's resources by their logical ids."""
    match value:
        case {"Fn::Join": [str() as glue, list() as parts]}:
            return glue.join(named(part, templates) for part in parts)
        case {"Fn::GetStackOutput": {"OutputName": output}}:
            return output_target(templates.delivery, output)
        case {"Fn::GetAtt": [key, _]} | {"Ref": key}:
            return str(key)
    return str(value)


def widgets(templates: Templates) -> list[Widget]:
    """The dashboard's widgets, in their order."""
    body = properties(templates.monitoring, "AWS::CloudWatch::Dashboard")["DashboardBody"]
    return list(json.loads(named(body, templates))["widgets"])


def find(title: str, templates: Templates) -> Widget:
    """The properties of the widget with this title."""
    (found,) = (each for each in widgets(templates) if each["properties"].get("title") == title)
    return dict(found["properties"])


def metrics_of(widget: Widget) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Names and options of each metric and expression; an expression has no names."""
    above: list[str] = []
    for each in widget["properties"].get("metrics", []):
        names = [above[place] if name == "." else name for place, name in enumerate(each[:-1])]
        above = names or above
        yield names, each[-1]


def shown_metrics(templates: Templates) -> set[tuple[str, ...]]:
    """Namespace, name and dimensions of every metric that the dashboard reads."""
    return {tuple(names) for widget in widgets(templates) for names, _ in metrics_of(widget) if names}


def dimensions(metric: tuple[str, ...]) -> dict[str, str]:
    """The metric's dimensions, by their names."""
    return dict(zip(metric[2::2], metric[3::2], strict=True))


def test_every_metric_of_aws_is_read_under_the_dimensions_that_aws_documents() -> None:
    """With one dimension more or less, or a misspelt name, a graph stays empty for ever."""
    of_aws = [metric for metric in shown_metrics(synthesise()) if metric[0] != METRICS_NAMESPACE]
    assert of_aws
    assert {each[:2]: set(dimensions(each)) for each in of_aws} == DIMENSIONS_OF_AWS


def test_every_metric_of_the_function_is_shown() -> None:
    """Under the service name that the function writes; a metric that nobody sees is paid for all the same."""
    templates = synthesise()
    variables = properties(templates.delivery, "AWS::Lambda::Function")["Environment"]["Variables"]
    own = [metric for metric in shown_metrics(templates) if metric[0] == METRICS_NAMESPACE]
    assert {metric[1] for metric in own} == set(Metric)
    for metric in own:
        assert dimensions(metric) == {"service": variables["POWERTOOLS_SERVICE_NAME"]}


def test_every_metric_of_aws_is_one_of_the_stage_s_own_resources() -> None:
    """Another resource's metric would be right and say nothing."""
    templates = synthesise()
    for metric in shown_metrics(templates):
        for name, value in dimensions(metric).items():
            if name in OUTPUTS:
                assert value in {output_target(templates.delivery, each) for each in OUTPUTS[name]}
    rules = {dimensions(metric).get("RuleName") for metric in shown_metrics(templates)} - {None}
    assert rules == {templates.delivery["Outputs"]["EventRuleName"]["Value"]}


def test_no_more_than_fifty_metrics_are_shown() -> None:
    """An account's first three dashboards are free of charge only with up to 50 metrics each.

    https://aws.amazon.com/cloudwatch/pricing/
    """
    assert len(shown_metrics(synthesise())) <= 50


def test_every_expression_can_be_computed() -> None:
    """It uses ids of its own widget only, and can be computed with and without data."""
    computed = 0
    for widget in widgets(synthesise()):
        ids = [options["id"] for names, options in metrics_of(widget) if names and "id" in options]
        assert len(ids) == len(set(ids))
        for names, options in metrics_of(widget):
            if not names:
                computed += 1
                value = compile_expression(options["expression"])
                assert value(dict.fromkeys(ids, 1.0)) is not None
                value(dict.fromkeys(ids))
    assert computed > 20


def test_the_first_row_answers_in_large_figures() -> None:
    """What a person sees from two metres: delivered, waiting, the longest wait, parked; then the alarms."""
    _, *first = widgets(synthesise())
    figures = [each for each in first if each["y"] == first[0]["y"]]
    assert [each["properties"]["title"] for each in figures] == [
        "Delivered in the last hour",
        "Waiting now",
        "Longest wait in the last hour",
        "Parked now: a person must act",
    ]
    assert {each["properties"]["view"] for each in figures} == {"singleValue"}
    assert [(each["width"], each["height"]) for each in figures] == [(6, 4)] * 4
    assert first[4]["type"] == "alarm"


@pytest.mark.parametrize("title", ["Delivered in the last hour", "Longest wait in the last hour"])
def test_a_figure_of_the_last_hour_is_one(title: str) -> None:
    """Whatever time the dashboard shows, and not of the hour that began at the full hour."""
    figure = find(title, synthesise())
    assert (figure["start"], figure["setPeriodToTimeRange"]) == ("-PT1H", True)


def test_every_alarm_of_the_stage_is_shown() -> None:
    """The composite ones as well."""
    templates = synthesise()
    made = {
        key
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for key in resources(templates.monitoring, kind)
    }
    assert made
    assert set(find("Alarms", templates)["alarms"]) == made


def test_every_row_has_a_question_for_its_title() -> None:
    """The questions are in the order in which a person on call asks them."""
    headings = [
        each["properties"]["markdown"].splitlines()[0]
        for each in widgets(synthesise())
        if each["type"] == "text"
    ]
    assert [heading.split("?")[0].strip("# ") for heading in headings] == [
        "Do leads flow",
        "Who waits, and how long",
        "What was not taken, and why",
        "Whose fault is it: 7Targets', ours, or the lead's",
        "Does everything come in",
        "Does the machine run well",
        "What does it cost",
    ]


def test_no_widget_covers_another() -> None:
    """Every place of the grid of 24 columns is used once at most."""
    places = [
        (x, y)
        for each in widgets(synthesise())
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24


@pytest.mark.parametrize(
    ("title", "limit"),
    [
        ("Longest wait (minutes)", 7),
        ("How long an invocation takes (seconds)", 200),
        ("Invocations at a time", 8),
        ("Age of the oldest parked lead (days)", 14),
    ],
)
def test_a_graph_shows_its_limit(title: str, limit: int) -> None:
    """The limit is in the unit of the lines, and as the settings have it."""
    templates = synthesise(
        oldestMessageAlarmMinutes="7", functionTimeoutSeconds="200", maximumConcurrency="8"
    )
    (line,) = find(title, templates)["annotations"]["horizontal"]
    assert line["value"] == limit


def test_the_places_in_flight_are_shown_against_sqs_s_limit() -> None:
    """A lead that comes back later holds a place in flight; with none left, SQS gives out no message."""
    gauge = find("In flight, of the most that SQS allows", synthesise())
    assert (gauge["view"], gauge["yAxis"]["left"]["max"]) == ("gauge", 120_000)


def test_titles_keep_their_promise_over_any_time_range() -> None:
    """They name the period, and CloudWatch would choose longer ones."""
    templates = synthesise()
    body = named(properties(templates.monitoring, "AWS::CloudWatch::Dashboard")["DashboardBody"], templates)
    assert json.loads(body)["periodOverride"] == "inherit"


def test_a_stage_in_two_regions_has_two_dashboards() -> None:
    """An account's dashboards share one list, and the second of a name would replace the first."""
    templates = synthesise("prod")
    name = named(properties(templates.monitoring, "AWS::CloudWatch::Dashboard")["DashboardName"], templates)
    assert name == "LeadDelivery-prod-AWS::Region"
    assert named(templates.monitoring["Outputs"]["DashboardUrl"]["Value"], templates).endswith(f"/{name}")


def test_every_query_reads_the_function_s_log() -> None:
    """The dashboard's tables and the saved ones, which the console lists under the stage's name."""
    templates = synthesise()
    group = output_target(templates.delivery, "LogGroupName")
    saved = [
        each["Properties"] for each in resources(templates.monitoring, "AWS::Logs::QueryDefinition").values()
    ]
    assert {named(each["LogGroupNames"][0], templates) for each in saved} == {group}
    assert all(each["Name"].startswith("LeadDelivery-dev/") for each in saved)
    tables = [each["properties"]["query"] for each in widgets(templates) if each["type"] == "log"]
    assert len(tables) == 4
    by_text = {each["QueryString"] for each in saved}
    for query in tables:
        source, _, text = query.partition(" | ")
        assert source == f"SOURCE '{group}'"
        assert text in by_text
