"""`leadctl find`: where is my lead?"""

import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import click

from deliver_leads.event.address import same_address
from deliver_leads.event.envelope import LeadEvent
from deliver_leads.event.idempotency_key import derive_key, hash_address
from deliver_leads.event.lead import Operation
from deliver_leads.event.loggable import loggable_id
from leadctl.deployed_settings import DeployedSettings
from leadctl.lead_story import Lead, LedgerReader, Step, note_a_slip
from leadctl.log_search import attempts_with
from leadctl.moments import Length, ago, epoch, iso
from leadctl.options import Command, Invocation, Result, pass_invocation, target_options
from leadctl.output import count
from leadctl.parked.message import Parked, names_person
from leadctl.parked.queues import ParkedQueues, queue_counts
from leadctl.problems import ExitCode

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass
class Sought:
    """What is asked for, and what was found."""

    text: str
    leads: list[str] = field(default_factory=list)  # hashes of addresses
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str | None:
        """The address, if that is what is asked for."""
        return self.text if "@" in same_address(self.text) else None

    def log_values(self) -> list[str]:
        """What an attempt's line in the log has of it, whatever it is: an id, or an idempotency key."""
        keys = [derive_key(self.text, operation, {}, "").text for operation in Operation]
        return [*self.leads, *([] if self.address else [loggable_id(self.text), *keys])]


@click.command(
    cls=Command,
    examples="""
    leadctl find jane@example.com
    leadctl find webinar-2041 --since 7d
    leadctl find jane@example.com --log -o json
    """,
)
@click.argument("what", metavar="EMAIL|ID|KEY|-")
@click.option("--log", "with_log", is_flag=True, help="Show each attempt too, from the function's log.")
@click.option(
    "--since", type=Length(), default="30d", show_default=True, help="How far back to look in the log."
)
@target_options
@pass_invocation
def find(invocation: Invocation, what: str, with_log: bool, since: float) -> Result:
    """Show what became of a lead.

    EMAIL is the lead's address. ID is its id at 7Targets, the id of a message or of an event, or the hash
    under which the log names the lead; KEY is a producer's idempotencyKey. Both are looked up in the
    function's log, which takes seconds. With - the text is read from stdin, so that it stays out of your
    shell's history.
    """
    text = (sys.stdin.readline() if what == "-" else what).strip()
    if not text:
        raise click.UsageError("Nothing to look for.")
    sought = _look_up(invocation, text, since, with_log)
    reader = LedgerReader(invocation.target)
    leads = [lead for lead in map(reader.find, sought.leads) if lead]
    parked, hidden = _parked_of(invocation, sought)
    waiting = queue_counts(invocation.target.client("sqs"), invocation.target.output("LeadQueueUrl"))
    _tell(invocation, sought, leads, parked, hidden, waiting)
    invocation.out.record(
        {
            "leads": [_as_json(lead) for lead in leads],
            "parked": [
                {
                    "messageId": each.message_id,
                    "queue": each.place,
                    "reason": each.reason,
                    "detail": each.detail,
                }
                for each in parked
            ],
            "attempts": sought.attempts,
            "inLeadQueue": sum(waiting.values()),
        }
    )
    is_found = leads or sought.attempts
    return ExitCode.A_PERSON_HAS_TO_ACT if parked or hidden or not is_found else None


def _look_up(invocation: Invocation, text: str, since: float, with_log: bool) -> Sought:
    sought = Sought(text)
    if sought.address:
        note_a_slip(invocation.out, text)
        sought.leads = [hash_address(text)]
    elif _HASH.fullmatch(text):
        sought.leads = [text]
    if with_log or not sought.leads:
        invocation.out.note("Searching the function's log ...")
        sought.attempts = attempts_with(invocation.target, sought.log_values(), time.time() - since)
    if not sought.leads:
        sought.leads = list(dict.fromkeys(each["lead"] for each in sought.attempts if each.get("lead")))
    return sought


def _parked_of(invocation: Invocation, sought: Sought) -> tuple[list[Parked], int]:
    """The parked messages of the lead, and how many can't be looked at now."""
    settings = DeployedSettings.of(invocation.target)
    with ParkedQueues(invocation.target).look() as looked:
        return [
            each for each in looked.messages if _is_of(each, sought, settings)
        ], looked.hidden + looked.unread


def _is_of(parked: Parked, sought: Sought, settings: DeployedSettings) -> bool:
    reading = parked.read(settings)
    if reading.lead_hash in sought.leads and reading.lead_hash:
        return True
    if sought.address:
        # A body that can't be read as an event may still name the person.
        return names_person(parked.body, sought.address)
    given = reading.lead.get("id") if isinstance(reading, LeadEvent) else None
    key = reading.key.text if reading.key else None
    ids = {parked.message_id, parked.text("messageId"), parked.event_id, reading.event_id, str(given), key}
    return bool(ids & set(sought.log_values()))


def _tell(
    invocation: Invocation,
    sought: Sought,
    leads: list[Lead],
    parked: list[Parked],
    hidden: int,
    waiting: dict[str, int],
) -> None:
    out = invocation.out
    for lead in leads:
        if lead.url:
            place = "in the sandbox" if invocation.target.has_sandbox else f"at 7Targets: {lead.url}"
            out.text(f"Lead {lead.lead_id} {place}")
        else:
            out.text("No id at 7Targets is known yet.")
        steps = [step for event in lead.events for step in event.steps()]
        steps += [_attempt_step(each) for each in sought.attempts if each.get("lead") == lead.lead_hash]
        for step in sorted(steps, key=lambda each: each.at_s):
            out.text(f"  {iso(step.at_s) or '-':20}  {step.text}")
    for each in parked:
        out.text(f"Parked since {iso(each.sent_s)} ({ago(each.sent_s)}), as {each.reason}: {each.detail}")
        out.text(f"  leadctl parked show {each.message_id}")
    if not leads:
        out.text(_not_in_the_ledger(sought))
    if not leads or any(lead.has_open_events for lead in leads):
        total = sum(waiting.values())
        queued = (
            f"{count(total, 'event')} wait in the lead queue or are under way"
            if total != 1
            else "1 event waits"
        )
        out.text(f"{queued}; whose they are can't be seen." if total else "No event waits in the lead queue.")
    if hidden:
        out.text(f"{count(hidden, 'parked message')} couldn't be looked at now; try again in some minutes.")


def _not_in_the_ledger(sought: Sought) -> str:
    if sought.address or sought.leads:
        return (
            "The ledger has nothing about this lead: no event of it has been tried, or that was longer ago "
            "than the ledger remembers (ledgerDays)."
        )
    return (
        "The log has no attempt with this id or key: none was made yet, or it was longer ago than --since or "
        "than the log is kept. Ask by the lead's address."
    )


def _attempt_step(line: dict[str, Any]) -> Step:
    status = f", HTTP {line['status']}" if line.get("status") else ""
    because = f": {line['reason']}" if line.get("reason") else ""
    state = f", the lead is {line['lead_state']}" if line.get("lead_state") else ""
    return Step(
        epoch(str(line.get("timestamp", ""))) or 0,
        f"attempt {line.get('receive_count', '?')}: {line.get('outcome')}{status}{because}{state} "
        f"({line.get('duration_ms', '?')} ms)",
    )


def _as_json(lead: Lead) -> dict[str, Any]:
    return {
        "lead": lead.lead_hash,
        "leadId": lead.lead_id or None,
        "url": lead.url,
        "events": [each.as_json() for each in lead.events],
        "remembered": iso(lead.expires_s),
    }
