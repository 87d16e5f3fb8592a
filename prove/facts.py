"""The facts, each a small function: what was seen, and whether it is as expected.

They are in the order in which they are tried: those that spoil nothing first.
"""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from prove.stage import EXECUTION_POLICY, STACKS, Stage

_LEADS = 50
_ARRIVAL_S = 300.0
_ALARM_S = 900.0
_IDLE_S = 600.0


class Seen(NamedTuple):
    """What a fact's function found."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Fact:
    """`aws_only`: why the emulator can't show it; empty if it can."""

    name: str
    expected: str
    look: Callable[[Stage], Seen]
    aws_only: str


FACTS: list[Fact] = []
_Look = Callable[[Stage], Seen]


def fact(name: str, expected: str, *, aws_only: str = "") -> Callable[[_Look], _Look]:
    def add(look: _Look) -> _Look:
        FACTS.append(Fact(name, expected, look, aws_only))
        return look

    return add


@fact("Sandbox and delivery are made in one go", "2 CREATE_COMPLETE")
def stacks_are_made(stage: Stage) -> Seen:
    states = [stage.states().get(f"{stack}-{stage.name}", "none") for stack in STACKS[:2]]
    return Seen(states == ["CREATE_COMPLETE"] * 2, f"{states.count('CREATE_COMPLETE')} CREATE_COMPLETE")


@fact(
    "So are alarms and dashboard, which watch what is there",
    "CREATE_COMPLETE",
    aws_only="the emulator has neither composite alarms nor saved queries",
)
def monitoring_is_made(stage: Stage) -> Seen:
    state = stage.states().get(f"LeadMonitoring-{stage.name}", "none")
    [alarm] = stage.client("cloudwatch").describe_alarms(AlarmNames=[_alarm(stage, "FunctionFailing")])[
        "MetricAlarms"
    ]
    watched = stage.delivery["FunctionName"] in str(alarm.get("Metrics") or alarm.get("Dimensions"))
    return Seen(
        state == "CREATE_COMPLETE" and watched, f"{state}{'' if watched else ', of another function'}"
    )


@fact(
    "CloudFormation made them with no more rights than docs/execution-policy.json",
    "that policy and no other",
    aws_only="the emulator lets everybody do everything",
)
def rights_are_few(stage: Stage) -> Seen:
    iam, arns, inline = stage.client("iam"), set(), set()
    for name in set(stage.states()) - {stage.bootstrap}:
        [stack] = stage.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        role = stack["RoleARN"].rpartition("/")[2]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        arns |= {each["PolicyArn"] for each in attached}
        inline |= set(iam.list_role_policies(RoleName=role)["PolicyNames"])
    wanted = json.loads(EXECUTION_POLICY.read_text("utf-8"))
    few = not inline and [_document(stage, arn) for arn in arns] == [wanted]
    return Seen(few, "that policy and no other" if few else ", ".join(sorted(arns | inline)) or "none")


def _document(stage: Stage, policy: str) -> Any:  # noqa: ANN401 - a policy's JSON
    iam = stage.client("iam")
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    return iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]


@fact("The function's check finds all that a delivery needs", "ok")
def check_is_ok(stage: Stage) -> Seen:
    answer = stage.invoke(stage.delivery["FunctionName"], {"check": True})
    problems = "; ".join(problem["what"] for problem in answer["problems"])
    return Seen(answer["ok"], "ok" if answer["ok"] else problems)


@fact("Events of two sources and two types in one PutEvents arrive", "2 leads, 1 updated")
def mixed_events_arrive(stage: Stage) -> Seen:
    lead = _lead("mixed", 0)
    stage.put({"Detail": {"lead": lead}})
    stage.until("the first lead", lambda: stage.leads("mixed-0"), _ARRIVAL_S)
    refused = stage.put(
        {"Source": "prove.a", "Detail": {"lead": _lead("mixed", 1)}},
        {"Source": "prove.b", "DetailType": "Lead Updated", "Detail": {"lead": lead | {"company": "New"}}},
    )
    stage.until("both events", lambda: len(stage.leads("mixed")) == 2 and _updated(stage), _ARRIVAL_S)
    return Seen(not refused, f"{len(stage.leads('mixed'))} leads, {_updated(stage)} updated")


def _updated(stage: Stage) -> int:
    return sum(lead.get("company") == "New" for lead in stage.leads("mixed").values())


@fact("A message that failed in a batch comes back after its own delay", "after 10 to 120 s, not after 720 s")
def visibility_is_kept(stage: Stage) -> Seen:
    answer = {"kind": "status", "status": 429, "headers": {"Retry-After": "10"}}
    stage.set_faults({"operation": "create", "email": "kept-0@example.com", "times": 1, "fault": answer})
    stage.send([_create("kept", number) for number in range(5)])
    stage.until("five leads", lambda: len(stage.leads("kept")) == 5, _ARRIVAL_S)
    first, second = [r["at"] for r in stage.sandbox("requests") if r["email"] == "kept-0@example.com"]
    return Seen(10 <= second - first <= 120, f"after {second - first:.0f} s")


@fact("Leads through 503, 429 and answers too late are each there once", f"{_LEADS} leads, 0 created again")
def each_lead_once(stage: Stage) -> Seen:
    stage.set_faults(
        {"operation": "create", "times": 4, "fault": {"kind": "status", "status": 503, "stored": True}},
        {"operation": "create", "times": 4, "fault": {"kind": "status", "status": 503}},
        {
            "operation": "create",
            "times": 4,
            "fault": {"kind": "status", "status": 429, "headers": {"Retry-After": "5"}},
        },
        {"operation": "create", "times": 2, "fault": {"kind": "delay", "seconds": 20}},
    )
    stage.send([_create("once", number) for number in range(_LEADS)])
    url = stage.delivery["LeadQueueUrl"]
    stage.until(
        "all leads", lambda: len(stage.leads("once")) == _LEADS and _is_empty(stage, url), 2 * _ARRIVAL_S
    )
    stage.set_faults()
    requests = [r for r in stage.sandbox("requests") if r["effect"] in ("created", "created_again")]
    first = {r["email"]: r["effect_at"] for r in reversed(requests)}
    again = [r["effect_at"] - first[r["email"]] for r in requests if r["effect"] == "created_again"]
    after = f" after {', '.join(f'{seconds:.0f}' for seconds in again)} s" if again else ""
    return Seen(not again, f"{len(stage.leads('once'))} leads, {len(again)} created again{after}")


@fact("Outcome events come onto the bus", "at least 1 Lead Delivered")
def outcome_events_come(stage: Stage) -> Seen:
    events, sqs = stage.client("events"), stage.client("sqs")
    pattern = {"source": ["7targets-lead-delivery"]}
    rule = events.put_rule(Name="LeadProof", EventBusName=stage.bus, EventPattern=json.dumps(pattern))[
        "RuleArn"
    ]
    sqs.set_queue_attributes(
        QueueUrl=stage.probe_url, Attributes={"Policy": _admitting(stage.probe_arn, rule)}
    )
    events.put_targets(
        Rule="LeadProof", EventBusName=stage.bus, Targets=[{"Id": "probe", "Arn": stage.probe_arn}]
    )
    number = itertools.count()

    def find() -> list[str]:
        # One lead after another: a queue's policy takes a minute to take effect.
        stage.send([_create("outcome", next(number))])
        messages = [json.loads(message["Body"]) for message in stage.receive(stage.probe_url)]
        return [str(message["detail-type"]) for message in messages]

    types = stage.until("an outcome event", find, _ARRIVAL_S)
    events.remove_targets(Rule="LeadProof", EventBusName=stage.bus, Ids=["probe"])
    return Seen(set(types) == {"Lead Delivered"}, f"{len(types)} Lead Delivered")


@fact(
    "An alarm goes through the encrypted topic",
    "DeliveryBlocked arrives",
    aws_only="the emulator can't make the alarms",
)
def alarm_arrives(stage: Stage) -> Seen:
    topic = stage.outputs("LeadMonitoring")["AlarmTopicArn"]
    stage.client("sqs").set_queue_attributes(
        QueueUrl=stage.probe_url, Attributes={"Policy": _admitting(stage.probe_arn, topic, service="sns")}
    )
    stage.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=stage.probe_arn)

    def set_alarm() -> None:
        for state in ("OK", "ALARM"):
            stage.client("cloudwatch").set_alarm_state(
                AlarmName=_alarm(stage, "DeliveryBlocked"), StateValue=state, StateReason="make prove"
            )

    return Seen(True, _await_alarm(stage, "DeliveryBlocked", set_alarm))


@fact(
    "An event that the lead queue refuses is kept, and counted",
    "in the rule's dead-letter queue; EventsUndelivered; flows once --revert-drift or a hand put it right",
    aws_only="the emulator doesn't enforce queue policies",
)
def refused_event_is_kept(stage: Stage) -> Seen:
    sqs, queue = stage.client("sqs"), {"QueueUrl": stage.delivery["LeadQueueUrl"]}

    def policy() -> str:
        answer = sqs.get_queue_attributes(**queue, AttributeNames=["Policy"])
        return str(answer.get("Attributes", {}).get("Policy", ""))

    before = policy()
    sqs.set_queue_attributes(**queue, Attributes={"Policy": ""})

    def find() -> list[dict[str, Any]]:
        stage.put({"Detail": {"lead": _lead("refused", next(number))}})
        return stage.receive(stage.delivery["RuleDeadLetterQueueUrl"], delete=False)

    number = itertools.count()
    message, *_ = stage.until("the event in the rule's dead-letter queue", find, _ARRIVAL_S)
    code = message["MessageAttributes"].get("ERROR_CODE", {}).get("StringValue", "no ERROR_CODE")
    red = _await_alarm(stage, "EventsUndelivered")
    stage.deploy("--revert-drift", bus=stage.bus)
    by = "--revert-drift"
    if not policy():
        by = "hand"
        sqs.set_queue_attributes(**queue, Attributes={"Policy": before})

    def flows() -> bool:
        stage.put({"Detail": {"lead": _lead("healed", next(number))}})
        return bool(stage.leads("healed"))

    stage.until("a lead with the policy back", flows, _ARRIVAL_S)
    return Seen(True, f"there, with {code}; {red}; flows, back by {by}")


@fact("Moved to a bus of its own, the stage takes what comes there, no lead too", "1 lead; reason: rejected")
def own_bus_takes_all(stage: Stage) -> Seen:
    stage.deploy()
    bus = stage.delivery["EventBusName"]
    stage.put(
        {"EventBusName": bus, "Detail": {"lead": _lead("own", 0)}},
        {"EventBusName": bus, "DetailType": "Lead Sung", "Detail": {"lead": _lead("own", 1)}},
    )
    stage.until("the lead", lambda: stage.leads("own"), _ARRIVAL_S)
    message = _parked(stage)
    reason = message["MessageAttributes"]["reason"]["StringValue"]
    return Seen(reason == "rejected", f"{len(stage.leads('own'))} lead; reason: {reason}")


@fact(
    "A move task keeps a message's attributes",
    "parked again with the same eventId",
    aws_only="the emulator has no move task",
)
def redrive_keeps_attributes(stage: Stage) -> Seen:
    sqs = stage.client("sqs")
    before = _parked(stage)
    sqs.start_message_move_task(
        SourceArn=stage.delivery["DeadLetterQueueArn"], DestinationArn=stage.delivery["LeadQueueArn"]
    )
    after = _parked(stage, besides=before["MessageId"])
    ids = [message["MessageAttributes"]["eventId"]["StringValue"] for message in (before, after)]
    return Seen(ids[0] == ids[1], f"eventId {'the same' if ids[0] == ids[1] else 'another'}")


@fact(
    "The ledger's statements have their errors on the real table",
    "DuplicateItem, ConditionalCheckFailed, [3]",
)
def statements_are_carried_out(stage: Stage) -> Seen:
    dynamodb, table = stage.client("dynamodb"), stage.delivery["LedgerTableName"]
    key = {"lead": {"S": "prove"}, "event": {"S": "#lead"}}

    def run(statement: str, *parameters: dict[str, Any]) -> dict[str, Any]:
        answer = dynamodb.batch_execute_statement(
            Statements=[{"Statement": statement, "Parameters": list(parameters)}]
        )
        return dict(answer["Responses"][0])

    insert = f"""INSERT INTO "{table}" VALUE {{'lead': ?, 'event': ?, 'owner': ?, 'journal': ?}}"""
    values: list[dict[str, Any]] = [
        *key.values(),
        {"S": "me"},
        {"L": [{"N": str(number)} for number in range(4)]},
    ]
    run(insert, *values)
    twice = run(insert, *values)
    change = f'UPDATE "{table}" SET "owner" = ? REMOVE "journal"[2] REMOVE "journal"[1] REMOVE "journal"[0]'  # noqa: S608 - our names
    where = 'WHERE "lead" = ? AND "event" = ? AND "owner" = ?'
    stranger = run(f"{change} {where}", {"S": "you"}, *key.values(), {"S": "somebody"})
    run(f"{change} {where}", {"S": "you"}, *key.values(), {"S": "me"})
    item = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    dynamodb.delete_item(TableName=table, Key=key)
    codes = [answer.get("Error", {}).get("Code", "no error") for answer in (twice, stranger)]
    journal = [entry["N"] for entry in item["journal"]["L"]]
    text = f"{', '.join(codes)}, [{', '.join(journal)}]"
    return Seen(text == "DuplicateItem, ConditionalCheckFailed, [3]", text)


@fact(
    "A batch's writes go to the ledger in one call, two units each",
    f"1 to {2 * _LEADS} BatchExecuteStatement calls; 1.8 to 4.5 units a lead",
    aws_only="the emulator has no metrics of DynamoDB",
)
def ledger_writes_together(stage: Stage) -> Seen:
    table, begun = stage.delivery["LedgerTableName"], _next_minute()
    stage.send([_create("units", number) for number in range(_LEADS)])
    stage.until("all leads", lambda: len(stage.leads("units")) == _LEADS, _ARRIVAL_S)

    def find() -> float:
        return stage.sum_of("AWS/DynamoDB", "ConsumedWriteCapacityUnits", begun, TableName=table)

    stage.until("the ledger's metrics", lambda: find() >= 1.8 * _LEADS, 600)
    calls = stage.sum_of(
        "AWS/DynamoDB",
        "SuccessfulRequestLatency",
        begun,
        statistic="SampleCount",
        TableName=table,
        Operation="BatchExecuteStatement",
    )
    units = find() / _LEADS
    return Seen(
        0 < calls <= 2 * _LEADS and units <= 4.5,
        f"{calls:.0f} BatchExecuteStatement calls; {units:.1f} units a lead",
    )


@fact(
    "What Lambda reports of its work",
    "init, billed time and memory of the starts",
    aws_only="the emulator writes no REPORT lines",
)
def reports_are_written(stage: Stage) -> Seen:
    def find() -> list[str]:
        answer = stage.client("logs").filter_log_events(
            logGroupName=stage.delivery["LogGroupName"], filterPattern='"Init Duration"'
        )
        return [event["message"] for event in answer["events"]]

    reports = stage.until("a REPORT line", find, _ARRIVAL_S)
    parts = [part.strip() for part in reports[0].split("\t")]
    wanted = ("Init Duration", "Billed Duration", "Max Memory Used")
    return Seen(True, "; ".join(part for part in parts if part.startswith(wanted)))


@fact(
    "A queue at rest is asked about as often as the cost page says",
    "5 to 20 empty receives a minute",
    aws_only="the emulator has no metrics of SQS",
)
def idle_polls_are_counted(stage: Stage) -> Seen:
    name, begun = stage.delivery["LeadQueueUrl"].rpartition("/")[2], _next_minute()
    time.sleep(_IDLE_S)
    polls = stage.sum_of("AWS/SQS", "NumberOfEmptyReceives", begun, QueueName=name) / _IDLE_S * 60
    return Seen(5 <= polls <= 20, f"{polls:.0f} a minute")


@fact(
    "A function that can't start raises its alarm",
    "FunctionFailing arrives in 15 minutes",
    aws_only="the emulator can't make the alarms",
)
def failed_start_raises_the_alarm(stage: Stage) -> Seen:
    stage.set_variables(LEADS_API_URL="")
    stage.send([_create("failing", number) for number in range(20)])
    return Seen(True, _await_alarm(stage, "FunctionFailing"))


def _lead(prefix: str, number: int) -> dict[str, Any]:
    return {"name": "Proof", "email": f"{prefix}-{number}@example.com", "assistantEmail": "sam@example.net"}


def _create(prefix: str, number: int) -> dict[str, Any]:
    return {"operation": "create", "lead": _lead(prefix, number)}


def _is_empty(stage: Stage, url: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = stage.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return not any(int(answer["Attributes"][name]) for name in names)


def _parked(stage: Stage, *, besides: str = "") -> dict[str, Any]:
    """A message of the dead-letter queue, but not the one with this id; the next look finds it, too."""
    queue = stage.delivery["DeadLetterQueueUrl"]

    def find() -> list[dict[str, Any]]:
        messages = stage.receive(queue, delete=False)
        for message in messages:
            stage.client("sqs").change_message_visibility(
                QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return [message for message in messages if message["MessageId"] != besides]

    return stage.until("a parked message", find, _ARRIVAL_S)[0]


def _admitting(queue_arn: str, source_arn: str, service: str = "events") -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _alarm(stage: Stage, name: str) -> str:
    return f"LeadMonitoring-{stage.name}-{name}"


def _await_alarm(stage: Stage, name: str, provoke: Callable[[], None] = lambda: None) -> str:
    """Waits until the alarm's notification is in the probe queue; says after how long."""
    begun = time.monotonic()

    def find() -> bool:
        provoke()
        bodies = [json.loads(message["Body"]) for message in stage.receive(stage.probe_url)]
        # Outcome events may be left in the queue.
        notes = [json.loads(body["Message"]) for body in bodies if "Message" in body]
        return (_alarm(stage, name), "ALARM") in [(n["AlarmName"], n["NewStateValue"]) for n in notes]

    stage.until(f"the alarm {name}", find, _ALARM_S)
    return f"{name} arrives after {time.monotonic() - begun:.0f} s"


def _next_minute() -> float:
    """Waits for it, because CloudWatch counts by the minute."""
    time.sleep(60 - time.time() % 60)
    return time.time()


def traffic_until(stage: Stage, is_over: Callable[[], bool]) -> int:
    """One event a second on the bus, from the moment at which the stage's rule is there; how many.

    At least one, at the end, because a rule that comes last may be seen by no look before.
    """
    sent = 0
    while True:
        is_last = is_over()
        if _has_rule(stage) and not (is_last and sent):
            stage.put({"Detail": {"lead": _lead("busy", sent)}})
            sent += 1
        if is_last:
            return sent
        time.sleep(1)


def _has_rule(stage: Stage) -> bool:
    try:
        return bool(stage.client("events").list_rules(EventBusName=stage.bus)["Rules"])
    except ClientError:
        return False


def busy_bus_loses_nothing(stage: Stage, sent: int) -> Seen:
    """The events of `traffic_until`: each is delivered, or kept in the rule's dead-letter queue."""

    def count() -> int:
        kept = stage.client("sqs").get_queue_attributes(
            QueueUrl=stage.delivery["RuleDeadLetterQueueUrl"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return len(stage.leads("busy")) + int(kept["Attributes"]["ApproximateNumberOfMessages"])

    try:
        stage.until("each event of the deployment", lambda: count() >= sent, _ARRIVAL_S)
    except Exception:  # a number is the answer, too
        return Seen(False, f"{sent - count()} of {sent} lost")
    return Seen(True, f"0 of {sent} lost")
