"""The text of each alarm: what it means and who acts, then a command that shows more. An e-mail shows nothing
else, so a command names the stage's own resources and needs no set-up.

docs/runbook.md has a heading for each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AlarmText:
    """`{…}` stand for names and numbers of the stage, see `monitoring_stack.py`."""

    meaning: str
    command: str

    def fill(self, values: Mapping[str, str], runbook: str) -> str:
        """The text with its values, at most 1,024 characters, which is CloudWatch's limit."""
        filled = f"{self.meaning} Type: {self.command}".format_map(values)
        return f"{filled} Runbook: {runbook}"


def _log(pattern: str) -> str:
    return f"aws logs tail {{log_group}} --since 1h --filter-pattern '{pattern}'"


def _attributes(queue: str, names: str) -> str:
    return f"aws sqs get-queue-attributes --queue-url {{{queue}}} --attribute-names {names}"


def _read(queue: str) -> str:
    return (
        f"aws sqs receive-message --queue-url {{{queue}}} --max-number-of-messages 10 "
        "--visibility-timeout 0 --message-attribute-names All"
    )


TEXTS: Mapping[str, AlarmText] = {
    "LeadsNotFlowing": AlarmText(
        "{stage}: leads don't reach 7Targets. Unless EventsLost is red, nothing is lost: they wait for up to "
        "{park_hours} hours. Whoever is on call acts now: another alarm is red; its text says what to do.",
        "aws cloudwatch describe-alarms --alarm-name-prefix {prefix} --state-value ALARM "
        "--query 'MetricAlarms[].AlarmName'",
    ),
    "FunctionFailing": AlarmText(
        "{stage}: the function fails: an error at its start, a crash, no memory left, or its time-out. Its "
        "leads go back to the queue. A developer acts; if a deployment came before it, roll that back.",
        _log('?ERROR ?Traceback ?"Task timed out" ?"Runtime exited"'),
    ),
    "FunctionThrottled": AlarmText(
        "{stage}: Lambda refuses to run the function, because the account's concurrency is used up. Leads "
        "wait. Whoever owns the account raises its quota, or stops what uses it up.",
        "aws lambda get-account-settings --query AccountLimit",
    ),
    "FunctionNearTimeout": AlarmText(
        "{stage}: an invocation took more than 90 % of the function's time-out, or ended at it. The function "
        "plans its calls to end earlier, so a developer acts.",
        _log('"REPORT RequestId"'),
    ),
    "LeadsNotTaken": AlarmText(
        "{stage}: leads are ready in the lead queue, and nothing takes them from it: the function's event "
        "source mapping is disabled or has lost its rights. The operator acts.",
        "aws lambda get-event-source-mapping --uuid {mapping} "
        "--query '[State, StateTransitionReason, LastProcessingResult]'",
    ),
    "LeadsWaiting": AlarmText(
        "{stage}: a lead that was sent more than {waiting_minutes} minutes ago was tried and went back to "
        "the queue; its reason is in the log. In an outage of 7Targets it goes by itself afterwards; for any "
        "other reason the operator acts.",
        _log("{{ $.delay_s > 0 }}"),
    ),
    "LeadsNearParking": AlarmText(
        "{stage}: a lead has waited for more than {near_parking_hours} hours; after {park_hours} it is "
        "parked, and a person has to send it again. The operator fixes what the log's reason says, or sets "
        "parkAfterHours higher (up to 141 with the default delays, up to 312 with longer ones) and deploys.",
        _log("{{ $.delay_s > 0 }}"),
    ),
    "ApiDown": AlarmText(
        "{stage}: 7Targets or its token endpoint answers with errors or not at all. Leads wait for up to "
        "{park_hours} hours and go by themselves afterwards. Nobody has to act at once; the operator asks "
        "7Targets support if it lasts.",
        _log("{{ $.delay_s > 0 }}"),
    ),
    "DeliveryBlocked": AlarmText(
        "{stage}: credentials or a setting are wrong; the log's reason names what, and how to fix it. Leads "
        "wait, and go by themselves afterwards. The operator acts.",
        _log('{{ $.outcome = "blocked" }}'),
    ),
    "LeadsParked": AlarmText(
        "{stage}: leads were parked within the last minutes, each with its reason. Nobody sends e-mails to "
        "these people until a person fixes or drops them.",
        _read("dead_letter_queue"),
    ),
    "LeadsParkedForLong": AlarmText(
        "{stage}: a dead-letter queue hasn't been empty for five days. SQS deletes what is in it for 14 "
        "days, or fewer. The operator redrives, fixes or drops what it holds. The other queue is "
        "{rule_dead_letter_queue}.",
        _read("dead_letter_queue"),
    ),
    "ManyRejected": AlarmText(
        "{stage}: of the leads of an hour, at least 15 and more than a fifth were rejected. A "
        "producer has changed what it sends; its owner acts.",
        _log('{{ $.outcome = "rejected" }}'),
    ),
    "EventsUndelivered": AlarmText(
        "{stage}: EventBridge can't put events into the lead queue. It tries for 24 hours, then they are in "
        "the rule's dead-letter queue, {rule_dead_letter_queue}. The operator acts.",
        _attributes("lead_queue", "Policy"),
    ),
    "EventsLost": AlarmText(
        "{stage}: EventBridge could put an event neither into the lead queue nor into the rule's dead-letter "
        "queue. It is gone. The operator repairs the queue's policy, and its producer publishes it again.",
        _attributes("rule_dead_letter_queue", "Policy"),
    ),
    "LedgerFailing": AlarmText(
        "{stage}: the ledger can't be read or written, and nothing is sent without it. Leads wait. The "
        "operator acts.",
        _log('"ledger"'),
    ),
    "InFlightNearLimit": AlarmText(
        "{stage}: more than 90,000 leads wait for their next attempt. SQS hands out no more at 120,000, and "
        "then new leads wait behind them. The operator fixes what the other alarms say.",
        _attributes("lead_queue", "All"),
    ),
    "LeadsNotMailed": AlarmText(
        "{stage}: 7Targets took leads, but sends them no e-mails: the plan's limit is reached, or the lead "
        "is deactivated or pending there. Whoever looks after the plan acts.",
        _log('{{ $.outcome = "delivered" && $.lead_state != "Cold" }}'),
    ),
    "ParkingRefused": AlarmText(
        "{stage}: the dead-letter queue refuses leads. They stay in the lead queue and are tried again. The "
        "operator repairs the queue or the function's right to send to it.",
        _log('"refused it"'),
    ),
    "OutcomeEventsLost": AlarmText(
        "{stage}: the bus refuses events about outcomes. The leads are delivered all the same; whoever reads "
        "these events misses some. The operator acts.",
        _log('"outcome events lost"'),
    ),
    "CheckFailed": AlarmText(
        "{stage}: the check found something that keeps leads from being delivered. Its answer names what, "
        "and what to do. The operator acts, before the next lead comes.",
        "aws lambda invoke --cli-read-timeout 0 --function-name {function} "
        "--cli-binary-format raw-in-base64-out --payload '{{\"check\": true}}' /dev/stdout",
    ),
    "NoLeads": AlarmText(
        "{stage}: no lead has come in for {no_leads_hours} hours. A form or a producer may have stopped "
        "publishing; its owner acts.",
        "aws events describe-rule --event-bus-name {bus} --name {rule}",
    ),
}
