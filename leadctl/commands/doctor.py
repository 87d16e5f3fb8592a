"""`leadctl doctor`: the function checks what it needs from inside; the rest is looked at from outside."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from deliver_leads.contract import CHECK_EVENT
from leadctl import __version__
from leadctl.event_source_mapping import EventSourceMapping
from leadctl.options import Command, Invocation, Result, pass_invocation, target_options
from leadctl.output import Column
from leadctl.problems import ExitCode, action_of, is_denied
from leadctl.stage_health import alarms, red_alarms
from leadctl.target import Target

# Lambda's longest timeout, and a little more.
LONGEST_CHECK_S = 930
RIGHT, WRONG, UNPROVEN = "right", "wrong", "not checked"


@dataclass(frozen=True)
class Finding:
    """One part of the stage: right, wrong with what to do, or not checked with the reason."""

    part: str
    verdict: str
    what: str = ""
    do: str = ""

    def as_row(self) -> dict[str, Any]:
        """For a table and for scripts."""
        return {"part": self.part, "verdict": self.verdict, "what": self.what or None, "do": self.do or None}


_COLUMNS = (
    Column("part", "part"),
    Column("verdict", "is"),
    Column("what", "because"),
    Column("do", "what to do"),
)


@click.command(
    cls=Command,
    short_help="Check what a delivery needs, without a lead.",
    examples="""
    leadctl doctor --stage prod
    """,
)
@target_options
@pass_invocation
def doctor(invocation: Invocation) -> Result:
    """Check everything that a delivery needs, without a lead.

    The function itself tries its secret, the access token, the API, the ledger and the queues, by its own
    network and role; that costs one access token. leadctl looks at the rest: function, event source mapping,
    rule, alarms, who hears them. Ends with 3 when something is wrong.
    """
    target = invocation.target
    invocation.out.note("The function checks itself; that may take a minute ...")
    findings = [finding for name, part in _PARTS.items() for finding in _tried(name, part, target)]
    invocation.out.rows(_COLUMNS, [each.as_row() for each in findings])
    wrong = sum(each.verdict == WRONG for each in findings)
    invocation.out.text()
    if wrong:
        invocation.out.text(f"{wrong} to fix.")
    elif any(each.verdict == UNPROVEN for each in findings):
        invocation.out.text("Nothing is known to be wrong.")
    else:
        invocation.out.text("All is right.")
    return ExitCode.A_PERSON_HAS_TO_ACT if wrong else None


def _tried(name: str, part: Callable[[Target], Iterator[Finding]], target: Target) -> list[Finding]:
    """A missing right leaves a part unchecked; the others are checked all the same."""
    try:
        return list(part(target))
    except Exception as error:
        if not is_denied(error):
            raise
        action = action_of(getattr(error, "operation_name", ""))
        return [Finding(name, UNPROVEN, f"you lack the right {action}")]


def _function(target: Target) -> Iterator[Finding]:
    """What is deployed, and whether Lambda could start it."""
    found = target.client("lambda").get_function_configuration(FunctionName=target.output("FunctionName"))
    state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
    deployed = f"deployed {found['LastModified']}, {found['Runtime']}; leadctl {__version__}"
    if state not in {"Active", "Inactive"} or update == "Failed":
        why = found.get("StateReason") or found.get("LastUpdateStatusReason") or ""
        yield Finding(
            "function", WRONG, f"its state is {state}, its last update {update}: {why}", "deploy again"
        )
    else:
        yield Finding("function", RIGHT, deployed)


def _inside(target: Target) -> Iterator[Finding]:
    """The function's own check, as it reports it."""
    from botocore.exceptions import ClientError

    try:
        payload, failed = target.invoke("FunctionName", CHECK_EVENT, read_timeout_s=LONGEST_CHECK_S, tries=1)
    except ClientError as error:
        answer: Any = error.response
        if answer["Error"]["Code"] != "TooManyRequestsException":
            raise
        yield _throttled(answer.get("Reason", ""))
        return
    if failed:
        yield _failed_check(payload)
        return
    for part in payload.get("checked", []):
        yield Finding(part, RIGHT)
    for each in payload.get("notChecked", []):
        yield Finding(each["what"], UNPROVEN, each["why"])
    for each in payload.get("problems", []):
        yield Finding(each["what"].partition(":")[0], WRONG, each["what"], each["do"])


def _throttled(reason: str) -> Finding:
    """https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_Errors has the reasons."""
    what = f"Lambda refuses to run the function: {reason}"
    if reason.startswith("Reserved"):
        do = "remove its reserved concurrency: aws lambda delete-function-concurrency --function-name ..."
    else:
        do = "stop what uses the account's concurrency up, or ask AWS for more"
    return Finding("function's check", WRONG, what, do)


def _failed_check(payload: Any) -> Finding:  # noqa: ANN401 - what Lambda answers for a function that failed
    report = payload if isinstance(payload, dict) else {}
    kind, message = report.get("errorType", ""), report.get("errorMessage", "")
    if "Records" in message:  # the event of SQS is all that it knows
        return Finding("function's check", UNPROVEN, "the deployed version has none", "deploy this version")
    return Finding(
        "function's check", WRONG, f"the function failed: {kind}: {message}", "read its log: leadctl open log"
    )


def _mapping(target: Target) -> Iterator[Finding]:
    tap = EventSourceMapping(target).read()
    if not tap.is_open:
        yield Finding("event source mapping", WRONG, tap.sentence(), "leadctl resume")
    elif tap.problem:
        do = "put it back: npx cdk deploy LeadDelivery --revert-drift, with the stage's -c"
        yield Finding("event source mapping", WRONG, tap.problem, do)
    else:
        yield Finding("event source mapping", RIGHT)


def _rule(target: Target) -> Iterator[Finding]:
    """The bus's rule; a disabled one drops events without a word."""
    rule = target.client("events").describe_rule(
        Name=target.output("EventRuleName"), EventBusName=target.output("EventBusName")
    )
    if rule["State"] == "ENABLED":
        yield Finding("rule", RIGHT)
    else:
        what = "it is disabled, so events on the bus are lost"
        yield Finding(
            "rule", WRONG, what, f"aws events enable-rule --name {rule['Name']} --event-bus-name ..."
        )


def _alarms(target: Target) -> Iterator[Finding]:
    if target.local:
        yield Finding("alarms", UNPROVEN, "a local run has none")
        return
    red = red_alarms(target)
    if red is None:
        yield Finding("alarms", WRONG, "there is none", f"deploy {target.monitoring_stack}")
        return
    for alarm in red:
        yield Finding(
            "alarms", WRONG, f"{alarm['name']} is on since {alarm['since']}", alarm["description"] or ""
        )
    gone = _watched_but_gone(target)
    if gone:
        # No alarm is raised by data that never comes.
        yield Finding(
            "alarms",
            WRONG,
            f"they watch what is no longer this stage's: {', '.join(gone)}",
            "the delivery stack was made anew: npx cdk deploy --all --force, with the stage's -c",
        )
    if not red and not gone:
        yield Finding("alarms", RIGHT)


def _watched_but_gone(target: Target) -> list[str]:
    """The names of functions, queues and tables that alarms watch and that the stack doesn't have."""
    queues = ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl")
    have = {
        "FunctionName": {target.output("FunctionName")},
        "QueueName": {target.output(name).rpartition("/")[2] for name in queues},
        "TableName": {target.output("LedgerTableName")},
    }
    watched: set[str] = set()
    for alarm in alarms(target):
        metrics = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
        for metric in (alarm, *metrics):
            for dimension in metric.get("Dimensions", []):
                name, value = dimension["Name"], dimension["Value"]
                if name in have and value not in have[name]:
                    watched.add(value)
    return sorted(watched)


def _listeners(target: Target) -> Iterator[Finding]:
    """Whether anybody hears the alarms: an unconfirmed e-mail subscription is silent."""
    name = "alarms' subscribers"
    if target.local:
        return
    outputs = target.monitoring_outputs()
    if outputs is None or "AlarmTopicArn" not in outputs:
        yield Finding(name, UNPROVEN, f"{target.monitoring_stack} has no output AlarmTopicArn")
        return
    pages = target.client("sns").get_paginator("list_subscriptions_by_topic")
    topic = outputs["AlarmTopicArn"]
    found = [each for page in pages.paginate(TopicArn=topic) for each in page["Subscriptions"]]
    pending = [each["SubscriptionArn"] for each in found].count("PendingConfirmation")
    endpoints = {each.get("Endpoint", "") for each in found}
    wanted = [address for address in outputs.get("AlarmEmails", "").split(",") if address]
    gone = [address for address in wanted if address not in endpoints]
    if pending:
        what = f"{pending} of {len(found)} didn't confirm the subscription"
        yield Finding(name, WRONG, what, "follow the link in AWS's e-mail; it works for two days")
    if gone:
        # A deployment makes no new subscription, because nothing in the template has changed.
        again = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint"
        what = f"they no longer reach {', '.join(gone)}: not confirmed within two days, or unsubscribed"
        yield Finding(name, WRONG, what, f"{again} {gone[0]}")
    if not found and not gone:
        yield Finding(name, WRONG, "nobody hears them", "set alarmEmails or alarmTopicArn, and deploy")
    elif not pending and not gone:
        yield Finding(name, RIGHT)


_PARTS: dict[str, Callable[[Target], Iterator[Finding]]] = {
    "function": _function,
    "function's check": _inside,
    "event source mapping": _mapping,
    "rule": _rule,
    "alarms": _alarms,
    "alarms' subscribers": _listeners,
}
