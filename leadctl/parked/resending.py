"""Putting parked messages back into the lead queue, and what a person is told before and after."""

from collections.abc import Sequence

from leadctl.options import Invocation, Result
from leadctl.output import count
from leadctl.parked.message import Parked
from leadctl.parked.queues import Looked, ParkedQueues
from leadctl.parked.selection import Selection, grouped, remarks
from leadctl.problems import ExitCode, ProblemError, explain

_SHOWN_GROUPS = 10
SENT_TWICE = (
    "What was sent again may still be parked as well. The same command again repeats nothing: the function "
    "knows the event by its key."
)


def send_and_delete(
    invocation: Invocation,
    queues: ParkedQueues,
    batch: Sequence[Parked],
    bodies: Sequence[str] | None = None,
) -> list[Parked]:
    """Those that are in the lead queue, and nowhere else. Raises `ProblemError` when some are in both."""
    held = queues.hold(batch)
    if not held:
        return []
    sent = queues.send_again(held, bodies)
    try:
        deleted = queues.delete(sent)
    except Exception as error:
        problem = explain(error, is_local=invocation.choice.local, policy=invocation.policy)
        if problem is None:
            raise
        raise ProblemError(f"{problem.message} {SENT_TWICE}") from None
    if len(deleted) < len(sent):
        raise ProblemError(f"SQS didn't delete {count(len(sent) - len(deleted), 'message')}. {SENT_TWICE}")
    return deleted


def note_groups(invocation: Invocation, messages: Sequence[Parked]) -> None:
    """What a question is about."""
    groups = grouped(messages)
    for group in groups[:_SHOWN_GROUPS]:
        invocation.out.note(f"{group['count']:6,}  {group['reason']}: {group['detail']}")
    if len(groups) > _SHOWN_GROUPS:
        rest = sum(group["count"] for group in groups[_SHOWN_GROUPS:])
        invocation.out.note(f"{rest:6,}  for {count(len(groups) - _SHOWN_GROUPS, 'other reason')}")


def note_left(invocation: Invocation, left: int, selection: Selection, looked: Looked) -> Result:
    """What is still parked, or may be and can't be seen, makes the command end with 3."""
    if left:
        invocation.out.note(
            f"{count(left, 'message')} left: somebody else took them, or SQS refused them. Look again."
        )
    # With ids, all that was asked for was seen.
    unseen = [] if selection.ids else remarks(looked)
    for remark in unseen:
        invocation.out.note(remark)
    return ExitCode.A_PERSON_HAS_TO_ACT if left or unseen else None
