"""What the monitoring stack's template promises. It isn't deployed on the emulator, so this is the proof.

That the alarms see what they are for is shown in sim/alarms.
"""

import re

import pytest

from bench.cost.inputs import Inputs
from bench.cost.model import monthly
from bench.cost.prices import Prices
from deliver_leads.contract import METRICS_NAMESPACE, Metric
from infra.alarm_texts import TEXTS
from infra.bundling import PROJECT
from sim.synthesis import (
    WITH_EVERY_ALARM,
    Resource,
    Template,
    build,
    new_app,
    output_target,
    properties,
    resources,
    synthesise,
)

TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:on-call"
METRIC_ALARM, COMPOSITE = "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
DAY_S = 86_400


def all_alarms(template: Template) -> dict[str, Resource]:
    """The properties of every alarm, by the name of its construct."""
    found = resources(template, METRIC_ALARM) | resources(template, COMPOSITE)
    return {re.sub(r"[0-9A-F]{8}$", "", key): dict(each["Properties"]) for key, each in found.items()}


def metrics_of(alarm: Resource) -> list[Resource]:
    """Every metric that an alarm watches, as in a metric math alarm."""
    if "MetricName" in alarm:
        return [{"Metric": alarm, "Period": alarm["Period"], "Stat": alarm["Statistic"]}]
    return [each["MetricStat"] for each in alarm.get("Metrics", []) if "MetricStat" in each]


def test_every_metric_of_ours_that_an_alarm_watches_is_the_function_s() -> None:
    """A misspelt one would never raise it. tests/integration/test_metrics.py has the cause of each."""
    alarms = all_alarms(synthesise("prod", **WITH_EVERY_ALARM).monitoring).values()
    watched = [each["Metric"] for alarm in alarms for each in metrics_of(alarm)]
    ours = {each["MetricName"] for each in watched if each["Namespace"] == METRICS_NAMESPACE}
    assert ours
    assert ours <= set(Metric)


def test_every_alarm_is_in_the_template_under_its_own_name() -> None:
    """An e-mail's subject is the alarm's name, and the runbook has a heading for it."""
    alarms = all_alarms(synthesise("prod", **WITH_EVERY_ALARM).monitoring)
    assert set(alarms) == set(TEXTS)
    assert all(each["AlarmName"] == f"LeadMonitoring-prod-{name}" for name, each in alarms.items())


def test_the_alarms_cost_what_the_documents_say() -> None:
    """AWS bills each metric that an alarm watches, and a composite alarm as five."""
    template = synthesise().monitoring
    alarms = [each["Properties"] for each in resources(template, METRIC_ALARM).values()]
    inputs, prices = Inputs(), Prices.read()
    assert sum(len(metrics_of(alarm)) for alarm in alarms) == inputs.alarm_metrics
    assert len(resources(template, COMPOSITE)) == inputs.composite_alarms
    page = (PROJECT / "docs/alarms.md").read_text("utf-8")
    assert f"All alarms cost USD {monthly(inputs, prices)['the alarms']:.2f} a month" in " ".join(
        page.split()
    )


def test_an_alarm_over_silence_is_made_only_if_a_setting_asks_for_it() -> None:
    """Most stages have quiet nights."""
    assert "NoLeads" not in all_alarms(synthesise().monitoring)


def test_every_alarm_sends_its_beginning_and_its_end_to_the_topic() -> None:
    """Silence after an alarm leaves open whether it is over."""
    template = synthesise().monitoring
    (topic_id,) = resources(template, "AWS::SNS::Topic")
    for alarm in all_alarms(template).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic_id}]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_alarm_says_what_it_means_who_acts_and_what_to_type(name: str) -> None:
    """An e-mail shows nothing else. CloudWatch takes 1,024 characters."""
    settings = {**WITH_EVERY_ALARM, "runbookUrl": "https://git.example.com/runbook.md"}
    text = str(all_alarms(synthesise("prod", **settings).monitoring)[name]["AlarmDescription"])
    assert text.startswith("prod: ")
    assert re.search(r"\bacts?\b|\boperator\b|\bperson\b|\baccount\b", text)
    assert f" Type: {TEXTS[name].command} --stack LeadDelivery-prod Runbook: " in text
    assert text.endswith(f" Runbook: https://git.example.com/runbook.md#{name.lower()}")
    assert "{" not in text, "every name is filled in"
    assert len(text) <= 1024


def test_no_alarm_looks_back_further_than_cloudwatch_lets_it() -> None:
    """A day; seven where the period is an hour or more. At the ends of the ranges of all settings, too."""
    extreme = {
        "functionTimeoutSeconds": "900",
        "batchSize": "100",
        "batchingWindowSeconds": "300",
        "retryMaxDelaySeconds": "3600",
        "updateGraceMinutes": "1440",
        "noLeadsAlarmHours": "168",
    }
    for settings in ({}, extreme):
        for alarm in resources(synthesise(**settings).monitoring, METRIC_ALARM).values():
            of = alarm["Properties"]["EvaluationPeriods"]
            (period_s,) = {each["Period"] for each in metrics_of(alarm["Properties"])}
            assert period_s * of <= (7 * DAY_S if period_s >= 3600 else DAY_S)


def test_a_lead_that_waits_too_long_raises_an_alarm_that_lasts_to_its_next_attempt() -> None:
    """The setting is in minutes, the metric in seconds; attempts are up to 4 x the longest delay apart."""
    template = synthesise(oldestMessageAlarmMinutes="7", retryMaxDelaySeconds="1200").monitoring
    alarm = all_alarms(template)["LeadsWaiting"]
    (metric,) = metrics_of(alarm)
    assert (metric["Metric"]["MetricName"], metric["Stat"]) == ("OldestReturned", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 7 * 60)
    assert metric["Period"] > 4 * 1200 + 300


def test_parking_is_announced_at_three_quarters_of_its_time() -> None:
    """So that a day is left to act in, with the defaults."""
    alarm = all_alarms(synthesise(parkAfterHours="100").monitoring)["LeadsNearParking"]
    assert alarm["Threshold"] == 75 * 3600
    assert "after 100 it is parked" in alarm["AlarmDescription"]


def test_leads_parked_for_long_are_announced_in_time() -> None:
    """Five days of six, for each dead-letter queue: what SQS itself moved there may be deleted after six."""
    delivery, monitoring = synthesise()
    alarm = all_alarms(monitoring)["LeadsParkedForLong"]
    watched = [each["Metric"]["Dimensions"][0]["Value"] for each in metrics_of(alarm)]
    queues = [delivery["Outputs"][each["Fn::GetStackOutput"]["OutputName"]]["Value"] for each in watched]
    assert queues == [
        {"Fn::GetAtt": [output_target(delivery, f"{name}Url"), "QueueName"]}
        for name in ("DeadLetterQueue", "RuleDeadLetterQueue")
    ]
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (20, 24)
    assert {each["Period"] for each in metrics_of(alarm)} == {6 * 3600}


def test_the_function_s_own_metrics_are_watched_where_it_writes_them() -> None:
    """Under the namespace and the service name that the stack gives it."""
    delivery, monitoring = synthesise()
    variables = properties(delivery, "AWS::Lambda::Function")["Environment"]["Variables"]
    namespace = variables["POWERTOOLS_METRICS_NAMESPACE"]
    own = [
        each["Metric"]
        for alarm in all_alarms(monitoring).values()
        for each in metrics_of(alarm)
        if not each["Metric"]["Namespace"].startswith("AWS/")
    ]
    assert len(own) > 10
    service = [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]
    assert all(each["Namespace"] == namespace and each["Dimensions"] == service for each in own)


def test_a_pager_is_called_for_what_needs_somebody_now() -> None:
    """A short outage isn't among it, and neither is a line that is long because the API is limited."""
    template = synthesise().monitoring
    parts = all_alarms(template)["LeadsNotFlowing"]["AlarmRule"]["Fn::Join"][1]
    names = [p if isinstance(p, str) else re.sub(r"[0-9A-F]{8}$", "", p["Fn::GetAtt"][0]) for p in parts]
    rule = re.sub(r'ALARM\("(\w+)"\)', r"\1", "".join(names))
    at_once = "FunctionFailing FunctionThrottled LeadsNotTaken DeliveryBlocked EventsUndelivered EventsLost"
    if_it_lasts = "(LeadsWaiting AND (ApiDown OR ParkingRefused OR LedgerFailing))"
    assert rule == f"({' OR '.join(at_once.split())} OR {if_it_lasts})"


def test_the_topic_is_encrypted_with_a_key_that_alarms_may_use() -> None:
    """CloudWatch can't publish through AWS's own key for SNS, so the alarm would be lost."""
    template = synthesise().monitoring
    (key_id,) = resources(template, "AWS::KMS::Key")
    assert properties(template, "AWS::SNS::Topic")["KmsMasterKeyId"] == {"Fn::GetAtt": [key_id, "Arn"]}
    statements = properties(template, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (for_alarms,) = (s for s in statements if s["Principal"] == {"Service": "cloudwatch.amazonaws.com"})
    assert set(for_alarms["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}


def topic_statements(template: Template) -> list[Resource]:
    """The topic policy's statements."""
    return list(properties(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"])


def test_the_topic_takes_tls_only() -> None:
    """Publishing over an unencrypted connection is denied to everybody."""
    (denied,) = (s for s in topic_statements(synthesise().monitoring) if s["Effect"] == "Deny")
    assert (denied["Action"], denied["Principal"]) == ("sns:Publish", "*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_only_alarms_of_this_account_may_publish() -> None:
    """Nobody else's alarms can call the people on duty."""
    (allowed,) = (s for s in topic_statements(synthesise().monitoring) if s["Effect"] == "Allow")
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_each_of_the_alarm_e_mails_subscribes_to_the_topic() -> None:
    """`alarmEmails` is all it takes to get the alarms."""
    template = synthesise(alarmEmails="ops@example.com,sales@example.com").monitoring
    found = [each["Properties"] for each in resources(template, "AWS::SNS::Subscription").values()]
    assert [(each["Protocol"], each["Endpoint"]) for each in found] == [
        ("email", "ops@example.com"),
        ("email", "sales@example.com"),
    ]
    assert template["Outputs"]["AlarmEmails"]["Value"] == "ops@example.com,sales@example.com"


def test_an_alarm_that_was_just_made_mails_nobody() -> None:
    """Each of some twenty goes from "no data" to OK within minutes of the first deployment."""
    template = synthesise(alarmEmails="ops@example.com").monitoring
    subscription = properties(template, "AWS::SNS::Subscription")
    assert subscription["FilterPolicyScope"] == "MessageBody"
    wanted = subscription["FilterPolicy"]["$or"]

    def is_sent(old: str, new: str) -> bool:
        message = {"OldStateValue": old, "NewStateValue": new}
        return any(all(message[name] in values for name, values in each.items()) for each in wanted)

    assert is_sent("OK", "ALARM")
    assert is_sent("INSUFFICIENT_DATA", "ALARM")
    assert is_sent("ALARM", "OK")
    assert not is_sent("INSUFFICIENT_DATA", "OK")


def test_an_existing_topic_gets_the_alarms_and_nothing_is_made_beside_it() -> None:
    """No topic, key or policy of ours: it has an owner."""
    template = synthesise("prod", alarmTopicArn=TOPIC_ARN).monitoring
    for alarm in all_alarms(template).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC_ARN]
    kinds = {each["Type"].split("::")[1] for each in template["Resources"].values()}
    assert kinds.isdisjoint({"SNS", "KMS", "IAM"})


@pytest.mark.parametrize("settings", [{}, {"alarmTopicArn": TOPIC_ARN}], ids=["own", "existing"])
def test_the_topic_is_an_output(settings: dict[str, str]) -> None:
    """For a pager or a chat channel, which subscribe by themselves."""
    template = synthesise(**settings).monitoring
    own = resources(template, "AWS::SNS::Topic")
    expected = {"Ref": next(iter(own))} if own else TOPIC_ARN
    assert template["Outputs"]["AlarmTopicArn"]["Value"] == expected


@pytest.mark.shipped
@pytest.mark.parametrize(
    ("stage", "settings", "warned"),
    [
        ("prod", {}, True),
        ("prod", {"alarmEmails": "ops@example.com"}, False),
        ("prod", {"alarmTopicArn": TOPIC_ARN}, False),
        ("dev", {}, False),
    ],
)
def test_synth_warns_when_nobody_gets_the_alarms_of_a_stage_that_keeps_its_data(
    stage: str, settings: dict[str, str], warned: bool
) -> None:
    """It deploys all the same, because the topic may get its subscribers later."""
    app = new_app()
    _, monitoring = build(stage, app=app, **settings)
    app.synth()
    entries = [entry for each in monitoring.node.find_all() for entry in each.node.metadata]
    notes = [str(entry.data) for entry in entries if entry.type == "aws:cdk:warning"]
    assert any("set alarmEmails or alarmTopicArn" in note for note in notes) is warned
