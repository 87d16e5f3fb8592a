"""`leadctl pause` and `leadctl resume`: the tap between the lead queue and the function."""

import click

from leadctl.event_source_mapping import LONGEST_REASON, EventSourceMapping
from leadctl.options import Command, Invocation, Result, asking_options, pass_invocation, target_options
from leadctl.output import count
from leadctl.parked.queues import queue_counts
from leadctl.problems import ExitCode, action_of, is_denied


@click.command(
    cls=Command,
    examples="""
    leadctl pause --stage prod --reason 'wrong assistant until Monday'
    """,
)
@click.option("--reason", required=True, help="Why; everybody sees it in status and doctor.")
@asking_options
@target_options
@pass_invocation
def pause(invocation: Invocation, reason: str, yes: bool, dry_run: bool) -> Result:
    """Stop delivering. Leads wait in the queue, for 14 days at most, and nothing is lost until then.

    What is under way ends first. A deployment doesn't end a pause.
    """
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise click.UsageError(f"--reason must have 1 to {LONGEST_REASON} characters.")
    target = invocation.target
    mapping = EventSourceMapping(target)
    if not (before := mapping.read()).is_open:
        invocation.out.text(f"Leads don't flow already: {before.sentence()}.")
        return ExitCode.A_PERSON_HAS_TO_ACT
    if not invocation.may_go_on(f"Pause {target.stack_name}?", yes=yes, dry_run=dry_run):
        return None
    invocation.resume = "See whether it is paused: leadctl status."
    tap = mapping.close()
    try:
        # Afterwards, because a pause may be urgent, and its reason isn't.
        mapping.note(tap, reason.strip())
    except Exception as error:
        if not is_denied(error):
            raise
        action = action_of(getattr(error, "operation_name", ""))
        invocation.out.text(f"Paused, but the reason isn't kept, because you lack the right {action}.")
        return ExitCode.A_PERSON_HAS_TO_ACT
    invocation.out.text("Paused. To go on: leadctl resume")
    invocation.out.record({"paused": True, "reason": reason.strip()})
    return None


@click.command(
    cls=Command,
    short_help="Deliver again.",
    examples="""
    leadctl resume --stage prod
    """,
)
@asking_options
@target_options
@pass_invocation
def resume(invocation: Invocation, yes: bool, dry_run: bool) -> None:
    """Deliver again, beginning with what waits in the queue."""
    target = invocation.target
    mapping = EventSourceMapping(target)
    tap = mapping.read()
    if tap.is_open and tap.reason is None:
        invocation.out.text("Leads flow already.")
        return
    if not tap.is_open:
        invocation.out.note(f"Leads don't flow: {tap.sentence()}.")
    waiting = sum(queue_counts(target.client("sqs"), target.output("LeadQueueUrl")).values())
    question = f"Let {count(waiting, 'waiting event')} of {target.stack_name} go?"
    if not invocation.may_go_on(question, yes=yes, dry_run=dry_run):
        return
    mapping.open()
    invocation.out.text("Leads flow again.")
    invocation.out.record({"paused": False, "waiting": waiting})
