"""What the monitoring stack's template promises. It isn't deployed on the emulator, so this is the proof."""

import pytest

from tests.infra.synthesis import Resource, Template, output_target, properties, resources, synthesise


def alarm(template: Template, name: str) -> Resource:
    """The properties of the alarm with that construct id."""
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    (found,) = (a["Properties"] for key, a in alarms.items() if key.startswith(name))
    return dict(found)


def watched_queue(template: Template, name: str) -> str:
    """The output of the delivery stack that names the queue an alarm watches."""
    (dimension,) = alarm(template, name)["Dimensions"]
    assert dimension["Name"] == "QueueName"
    return str(dimension["Value"]["Fn::GetStackOutput"]["OutputName"])


@pytest.mark.parametrize(
    ("name", "output"),
    [("LeadsParked", "DeadLetterQueueUrl"), ("EventsUndelivered", "RuleDeadLetterQueueUrl")],
)
def test_one_message_in_a_dead_letter_queue_raises_an_alarm(name: str, output: str) -> None:
    """On visible messages: messages sent don't count what a redrive policy moved."""
    delivery, monitoring = synthesise()
    queue = delivery["Outputs"][watched_queue(monitoring, name)]["Value"]
    assert queue == {"Fn::GetAtt": [output_target(delivery, output), "QueueName"]}
    found = alarm(monitoring, name)
    assert found["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert (found["ComparisonOperator"], found["Threshold"]) == ("GreaterThanThreshold", 0)


def test_a_lead_that_is_not_taken_for_too_long_raises_an_alarm() -> None:
    """The setting is in minutes, SQS's metric in seconds."""
    delivery, monitoring = synthesise(oldestMessageAlarmMinutes="7")
    queue = delivery["Outputs"][watched_queue(monitoring, "LeadsNotTaken")]["Value"]
    assert queue == {"Fn::GetAtt": [output_target(delivery, "LeadQueueUrl"), "QueueName"]}
    found = alarm(monitoring, "LeadsNotTaken")
    assert found["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert (found["ComparisonOperator"], found["Threshold"]) == ("GreaterThanThreshold", 7 * 60)


@pytest.mark.parametrize(
    ("name", "metric", "statistic", "threshold"),
    [("DeliveryBlocked", "Blocked", "Sum", 0), ("LeadsWaiting", "OldestReturned", "Maximum", 7 * 60)],
)
def test_what_the_function_counts_raises_an_alarm(
    name: str, metric: str, statistic: str, threshold: int
) -> None:
    """On the metric that the function writes under the service name and namespace the stack gives it."""
    delivery, monitoring = synthesise(oldestMessageAlarmMinutes="7")
    variables = properties(delivery, "AWS::Lambda::Function")["Environment"]["Variables"]
    found = alarm(monitoring, name)
    assert (found["MetricName"], found["Statistic"], found["Threshold"]) == (metric, statistic, threshold)
    assert found["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert found["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]


def test_every_alarm_reaches_the_topic() -> None:
    """An alarm without an action is seen by nobody."""
    template = synthesise().monitoring
    (topic_id,) = resources(template, "AWS::SNS::Topic")
    for found in resources(template, "AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["AlarmActions"] == [{"Ref": topic_id}]


def test_silence_is_no_alarm() -> None:
    """An idle queue sends no metrics at all."""
    for found in resources(synthesise().monitoring, "AWS::CloudWatch::Alarm").values():
        assert found["Properties"]["TreatMissingData"] == "notBreaching"


def test_alarms_follow_the_queues_to_fifo() -> None:
    """A changed reference is what makes CloudFormation update the alarms with the queues."""
    standard, fifo = synthesise().monitoring, synthesise(fifo="true").monitoring
    assert watched_queue(standard, "LeadsNotTaken") != watched_queue(fifo, "LeadsNotTaken")


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


def test_the_alarm_e_mail_subscribes_to_the_topic() -> None:
    """`alarmEmail` is all it takes to be told."""
    template = synthesise(alarmEmail="ops@example.com").monitoring
    subscription = properties(template, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_without_an_alarm_e_mail_nobody_is_subscribed() -> None:
    """The topic is still there for other subscribers."""
    assert not resources(synthesise().monitoring, "AWS::SNS::Subscription")
