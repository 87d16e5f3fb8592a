"""`leadctl erase`: what is stored about a person is removed, or named."""

import sys
import time

import click

from deliver_leads.event.address import same_address
from deliver_leads.event.idempotency_key import hash_address
from leadctl.deployed_settings import DeployedSettings
from leadctl.lead_story import Lead, LedgerReader, key_of_lead, note_a_slip
from leadctl.moments import iso
from leadctl.options import Command, Invocation, Result, asking_options, pass_invocation, target_options
from leadctl.output import count
from leadctl.parked.message import Parked, names_person
from leadctl.parked.queues import ParkedQueues, queue_counts
from leadctl.problems import ExitCode, ToBeFixedError
from leadctl.target import Target


@click.command(
    cls=Command,
    short_help="Remove what is stored about a person.",
    examples="""
    leadctl erase jane@example.com --dry-run
    leadctl erase jane@example.com --ledger
    """,
)
@click.argument("email", metavar="EMAIL|-")
@click.option(
    "--ledger",
    "with_ledger",
    is_flag=True,
    help="The ledger's item too: a repeated event is a new lead then.",
)
@asking_options
@target_options
@pass_invocation
def erase(invocation: Invocation, email: str, with_ledger: bool, yes: bool, dry_run: bool) -> Result:
    """Remove what is stored here about a person, and name what is left.

    Parked messages are deleted, without an export. The ledger holds a hash of the address, no other personal
    data; it is what keeps a repeated event from being sent again, so it stays unless you say --ledger, and
    then takes the right dynamodb:DeleteItem. With - the address is read from stdin.
    """
    address = (sys.stdin.readline() if email == "-" else email).strip()
    if "@" not in same_address(address):
        raise click.UsageError(f"{address!r} is not an e-mail address.")
    target = invocation.target
    note_a_slip(invocation.out, address)
    lead_hash = hash_address(address)
    lead = LedgerReader(target).find(lead_hash)
    if with_ledger and lead and lead.has_open_events:
        raise ToBeFixedError(
            "Nothing was erased: an event of this lead waits, is under way or had no answer. Without the "
            "ledger's item it would be sent as if nothing had been. Wait until leadctl find shows its end."
        )
    queues, settings = ParkedQueues(target), DeployedSettings.of(target)
    with queues.look() as looked:
        parked = [each for each in looked.messages if _names(each, address, lead_hash, settings)]
        queues.keep_only(parked)
        items = 1 if with_ledger and lead else 0
        question = f"Delete {count(len(parked), 'parked message')}"
        question += f" and {count(items, 'item')} of the ledger" if with_ledger else ""
        question += f" of this person in {target.stack_name}?"
        if items:
            invocation.out.note("The next event of this lead, a repeat too, will begin its e-mails anew.")
        done = bool(parked or items) and invocation.may_go_on(question, yes=yes, dry_run=dry_run)
        deleted = len(queues.delete(queues.hold(parked))) if done else 0
    if not (parked or items):
        invocation.out.text("There is nothing to delete.")
    if done:
        if items:
            _delete_item(target, lead_hash)
        ledger = f", {count(items, 'item')} of the ledger" if with_ledger else ""
        invocation.out.text(f"Deleted: {count(deleted, 'parked message')}{ledger}.")
    left = _left(target, lead, with_ledger, looked.hidden + looked.unread)
    invocation.out.text("What stays:")
    for line in left:
        invocation.out.text(f"  {line}")
    invocation.out.record({"parked": deleted, "ledgerItems": items if done else 0, "left": left})
    is_incomplete = looked.hidden or looked.unread or (done and deleted < len(parked))
    return ExitCode.A_PERSON_HAS_TO_ACT if is_incomplete else None


def _names(parked: Parked, address: str, lead_hash: str, settings: DeployedSettings) -> bool:
    return parked.read(settings).lead_hash == lead_hash or names_person(parked.body, address)


def _delete_item(target: Target, lead_hash: str) -> None:
    """Unless an attempt has begun meanwhile. Raises `ToBeFixedError` then."""
    from botocore.exceptions import ClientError

    try:
        target.client("dynamodb").delete_item(
            TableName=target.output("LedgerTableName"),
            Key=key_of_lead(lead_hash),
            ConditionExpression="attribute_not_exists(heldUntil) OR heldUntil <= :now",
            ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        raise ToBeFixedError(
            "The ledger's item stays: an attempt has begun. Erase again in some minutes."
        ) from None


def _left(target: Target, lead: Lead | None, with_ledger: bool, unseen: int) -> list[str]:
    waiting = sum(queue_counts(target.client("sqs"), target.output("LeadQueueUrl")).values())
    left = []
    if lead and not with_ledger:
        left.append(
            "the ledger's item: hashes of the address and of fields, and the lead's id at 7Targets, until "
            f"{iso(lead.expires_s)}; --ledger deletes it"
        )
    if unseen:
        left.append(f"{count(unseen, 'parked message')} that couldn't be looked at: try again in 5 minutes")
    if waiting:
        left.append(
            f"{count(waiting, 'event')} in the lead queue, which can't be looked into; they go to 7Targets"
        )
    left.append("the function's log: the hash of the address and the lead's id, for logRetentionDays")
    left.append("with keepData, DynamoDB's point-in-time backups: the ledger as it was, for 35 days")
    left.append(f"7Targets itself: {lead.url if lead and lead.url else 'its app, or its support'}")
    left.append("what you exported or imported, and what the producers of the events keep")
    return left
