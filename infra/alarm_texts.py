"""The text of each alarm: what it means and who acts, then a command of leadctl that shows more. An e-mail
shows nothing else, so the command names the stack.

docs/runbook.md has a heading for each of them, which begins with the same command.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AlarmText:
    """`{…}` stand for names and numbers of the stage, see `lead_monitoring.py`."""

    meaning: str
    command: str

    def fill(self, values: Mapping[str, str], runbook: str) -> str:
        """The text with its values, at most 1,024 characters, which is CloudWatch's limit."""
        meaning = self.meaning.format_map(values)
        return f"{meaning} Type: {self.command} --stack {values['stack']} Runbook: {runbook}"


TEXTS: Mapping[str, AlarmText] = {
    "LeadsNotFlowing": AlarmText(
        "{stage}: leads don't reach 7Targets. Unless EventsLost is red, nothing is lost: they wait for up to "
        "{park_hours} hours. Whoever is on call acts now: another alarm is red; its text says what to do.",
        "leadctl status",
    ),
    "FunctionFailing": AlarmText(
        "{stage}: the function fails: an error at its start, a crash, no memory left, or its time-out. Its "
        "leads go back to the queue. A developer acts; if a deployment came before it, roll that back.",
        "leadctl log errors",
    ),
    "FunctionThrottled": AlarmText(
        "{stage}: Lambda refuses to run the function, because the account's concurrency is used up. Leads "
        "wait. Whoever owns the account raises its quota, or stops what uses it up.",
        "leadctl doctor",
    ),
    "FunctionNearTimeout": AlarmText(
        "{stage}: an invocation took more than 90 % of the function's time-out, or ended at it. The function "
        "plans its calls to end earlier, so a developer acts.",
        "leadctl log reports",
    ),
    "LeadsNotTaken": AlarmText(
        "{stage}: leads are ready in the lead queue, and nothing takes them from it: the function's event "
        "source mapping is disabled or has lost its rights. The operator acts.",
        "leadctl doctor",
    ),
    "LeadsWaiting": AlarmText(
        "{stage}: a lead that was sent more than {waiting_minutes} minutes ago was tried and went back to "
        "the queue; its reason is in the log. In an outage of 7Targets it goes by itself afterwards; for any "
        "other reason the operator acts.",
        "leadctl log waiting",
    ),
    "LeadsNearParking": AlarmText(
        "{stage}: a lead has waited for more than {near_parking_hours} hours; after {park_hours} it is "
        "parked, and a person has to send it again. The operator fixes what the log's reason says, or sets "
        "parkAfterHours higher (up to 141 with the default delays, up to 312 with longer ones) and deploys.",
        "leadctl log waiting --since 6h",
    ),
    "ApiDown": AlarmText(
        "{stage}: 7Targets or its token endpoint answers with errors or not at all. Leads wait for up to "
        "{park_hours} hours and go by themselves afterwards. Nobody has to act at once; the operator asks "
        "7Targets support if it lasts.",
        "leadctl log waiting",
    ),
    "DeliveryBlocked": AlarmText(
        "{stage}: credentials or a setting are wrong; the log's reason names what, and how to fix it. Leads "
        "wait, and go by themselves afterwards. The operator acts.",
        "leadctl log blocked",
    ),
    "LeadsParked": AlarmText(
        "{stage}: leads were parked within the last minutes, each with its reason. Nobody sends e-mails to "
        "these people until a person fixes or drops them.",
        "leadctl parked list --queue leads",
    ),
    "LeadsParkedForLong": AlarmText(
        "{stage}: a dead-letter queue hasn't been empty for five days. SQS deletes what is in it for 14 "
        "days, or fewer. The operator redrives, fixes or drops what it holds.",
        "leadctl parked list",
    ),
    "ManyRejected": AlarmText(
        "{stage}: of the leads of an hour, at least 15 and more than a fifth were rejected. A "
        "producer has changed what it sends; its owner acts.",
        "leadctl log rejected",
    ),
    "EventsUndelivered": AlarmText(
        "{stage}: EventBridge can't put events into the lead queue. It tries for 24 hours, then they are in "
        "the rule's dead-letter queue. The operator acts.",
        "leadctl parked list --queue events",
    ),
    "EventsLost": AlarmText(
        "{stage}: EventBridge could put an event neither into the lead queue nor into the rule's dead-letter "
        "queue. It is gone. The operator repairs the queue's policy, and its producer publishes it again.",
        "leadctl open dashboard",
    ),
    "LedgerFailing": AlarmText(
        "{stage}: the ledger can't be read or written, and nothing is sent without it. Leads wait. The "
        "operator acts.",
        "leadctl log 'delivery ledger'",
    ),
    "InFlightNearLimit": AlarmText(
        "{stage}: more than 90,000 leads wait for their next attempt. SQS hands out no more at 120,000, and "
        "then new leads wait behind them. The operator fixes what the other alarms say.",
        "leadctl status",
    ),
    "LeadsNotMailed": AlarmText(
        "{stage}: 7Targets took leads, but sends them no e-mails: the plan's limit is reached, or the lead "
        "is deactivated or pending there. Whoever looks after the plan acts.",
        "leadctl log unmailed --since 24h --each",
    ),
    "ParkingRefused": AlarmText(
        "{stage}: the dead-letter queue refuses leads. They stay in the lead queue and are tried again. The "
        "operator repairs the queue or the function's right to send to it.",
        "leadctl log 'refused it'",
    ),
    "OutcomeEventsLost": AlarmText(
        "{stage}: the bus refuses events about outcomes. The leads are delivered all the same; whoever reads "
        "these events misses some. The operator acts.",
        "leadctl log 'outcome events lost'",
    ),
    "CheckFailed": AlarmText(
        "{stage}: the check found something that keeps leads from being delivered. Its answer names what, "
        "and what to do. The operator acts, before the next lead comes.",
        "leadctl doctor",
    ),
    "NoLeads": AlarmText(
        "{stage}: no lead has come in for {no_leads_hours} hours. A form or a producer may have stopped "
        "publishing; its owner acts.",
        "leadctl doctor",
    ),
}
