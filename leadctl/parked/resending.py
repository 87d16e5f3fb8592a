"""Putting parked messages back into the lead queue, and what a person reads before and after."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from leadctl.deployed_settings import DeployedSettings
from leadctl.options import Invocation, Result
from leadctl.output import count
from leadctl.parked.message import Parked
from leadctl.parked.outcomes import follow
from leadctl.parked.queues import Looked, ParkedQueues, Sent
from leadctl.parked.selection import Selection, cause, grouped, remarks
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
) -> list[Sent]:
    """Those that are in the lead queue, and nowhere else. Raises `ProblemError` when some are in both."""
    held = queues.hold(batch)
    if not held:
        return []
    sent = queues.send_again(held)
    try:
        deleted = queues.delete([each.parked for each in sent])
    except Exception as error:
        problem = explain(error, is_local=invocation.choice.local, policy=invocation.policy)
        if problem is None:
            raise
        raise ProblemError(f"{problem.message} {SENT_TWICE}") from None
    if len(deleted) < len(sent):
        raise ProblemError(f"SQS didn't delete {count(len(sent) - len(deleted), 'message')}. {SENT_TWICE}")
    return sent


def tell_outcomes(invocation: Invocation, sent: Sequence[Sent]) -> tuple[Result, dict[str, Any]]:
    """Follows what was sent, and says what came of it; the same for JSON and CSV."""
    if not sent:
        return None, {}
    invocation.resume = "All were sent. What came of them: leadctl parked list, or leadctl find EMAIL."
    invocation.out.note("Following them, for a minute at most; Ctrl-C ends that …")
    target = invocation.target
    found = follow(target, sent, DeployedSettings.of(target))
    parts = {
        "delivered": found.delivered,
        "parked again": len(found.parked),
        "still waiting": len(found.waiting),
        "can't be followed, because leadctl can't read them as events": found.unknown,
    }
    invocation.out.text("; ".join(f"{number:,} {what}" for what, number in parts.items() if number) + ".")
    for what, reasons in {"": found.parked, "waits: ": found.waiting}.items():
        for reason, number in Counter(map(cause, filter(None, reasons))).most_common():
            invocation.out.text(f"{number:6,}  {what}{reason}")
    numbers = [found.delivered, len(found.parked), len(found.waiting), found.unknown]
    record: dict[str, Any] = dict(
        zip(("delivered", "parkedAgain", "waiting", "unknown"), numbers, strict=True)
    )
    return ExitCode.A_PERSON_HAS_TO_ACT if any(numbers[1:]) else None, record | {
        "reasons": dict(Counter(map(cause, found.parked)))
    }


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
