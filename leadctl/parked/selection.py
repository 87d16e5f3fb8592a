"""Which of the parked messages a command is about, and how they are grouped for a person."""

import fnmatch
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from leadctl.moments import Length, iso
from leadctl.output import count
from leadctl.parked.message import Parked, Place
from leadctl.parked.queues import MOST_READ, Looked
from leadctl.problems import ToBeFixedError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
# So many characters of an id name a message, unless others begin alike.
SHORTEST_ID, SHOWN_ID = 6, 8
_ADDRESS = re.compile(r"[^\s\"'<>(),;]+@[^\s\"'<>(),;]+")


@dataclass(frozen=True)
class Selection:
    """What the options chose; nothing chosen is everything."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    older_than: float | None = None
    newer_than: float | None = None
    queue: str | None = None
    limit: int | None = None
    every: bool = False

    @property
    def is_made(self) -> bool:
        """Whether anything was chosen, `--all` included."""
        return self.every or self != Selection()

    @property
    def places(self) -> tuple[Place, ...]:
        """The queues to look into."""
        return (Place(self.queue),) if self.queue else tuple(Place)

    def require(self) -> None:
        """Raises `click.UsageError` when nothing was chosen."""
        if not self.is_made:
            raise click.UsageError("Say which: ID, --reason, --older-than, --newer-than, --queue or --all.")

    def of(self, looked: Looked) -> list[Parked]:
        """Those that were chosen, the oldest first. Raises `ToBeFixedError` for an id that isn't there."""
        for sought in self.ids:
            if not any(_has_id(each, sought) for each in looked.messages):
                hidden = f" {_unseen(looked)}" if looked.hidden or looked.unread else ""
                raise ToBeFixedError(f"No parked message has the id {sought}.{hidden}")
        now = time.time()
        chosen = [
            each
            for each in looked.messages
            if (not self.ids or any(_has_id(each, sought) for sought in self.ids))
            and (self.reason is None or _has_reason(each, self.reason))
            and (self.older_than is None or now - each.first_seen_s >= self.older_than)
            and (self.newer_than is None or now - each.first_seen_s <= self.newer_than)
        ]
        return chosen[: self.limit]


def selection_options(command: Decorated) -> Decorated:
    """The options of `Selection`, as one argument `selection`."""
    for option in (
        click.option("--limit", type=click.IntRange(1), help="At most so many, the oldest."),
        click.option(
            "--queue",
            type=click.Choice([each.value for each in Place]),
            help="One of the two dead-letter queues.",
        ),
        click.option("--newer-than", type=Length(), help="Came in within that time, e.g. 12h."),
        click.option("--older-than", type=Length(), help="Came in longer ago, e.g. 2d."),
        click.option("--reason", metavar="TEXT", help="With that text in the reason; * and ? are wild."),
    ):
        command = option(command)
    return command


def chosen(options: dict[str, Any]) -> Selection:
    """The selection among a command's options."""
    return Selection(**{each.name: options[each.name] for each in fields(Selection) if each.name in options})


def one_of(messages: Sequence[Parked], sought: str) -> Parked:
    """Raises `ToBeFixedError` when several have the id."""
    if len(messages) > 1:
        ids = ", ".join(each.message_id for each in messages)
        raise ToBeFixedError(f"{sought} is the beginning of several ids: {ids}")
    return messages[0]


def _has_id(parked: Parked, sought: str) -> bool:
    names = {parked.message_id, parked.event_id, parked.text("messageId")}
    return sought in names or (len(sought) >= SHORTEST_ID and parked.message_id.startswith(sought))


def _has_reason(parked: Parked, pattern: str) -> bool:
    wanted = pattern.casefold()
    details = [parked.detail.casefold(), cause(parked.detail).casefold()]
    texts = [f"{parked.reason}: {each}" for each in details]
    if any(each in wanted for each in "*?"):
        return any(fnmatch.fnmatchcase(each, wanted) for each in (*texts, *details, parked.reason))
    return any(wanted in each for each in texts)


def cause(detail: str) -> str:
    """What events with one cause have in common.

    An address in the API's words is another one for each lead.
    """
    return _ADDRESS.sub("<address>", in_words(detail))


def in_words(detail: str) -> str:
    """The problems of a detail, the same for an event of the bus and a message to the queue."""
    return "; ".join(each.removeprefix("detail.") for each in detail.split(" | "))


def grouped(messages: Sequence[Parked]) -> list[dict[str, Any]]:
    """By queue and cause, the largest group first."""
    groups: dict[tuple[str, str, str], list[Parked]] = {}
    for each in messages:
        groups.setdefault((each.place, each.reason, cause(each.detail)), []).append(each)
    rows = [
        {
            "count": len(members),
            "queue": place,
            "reason": reason,
            "detail": detail,
            "oldest": iso(min(each.first_seen_s for each in members)),
            "newest": iso(max(each.first_seen_s for each in members)),
            "messageIds": [each.message_id for each in members],
        }
        for (place, reason, detail), members in groups.items()
    ]
    return sorted(rows, key=lambda row: -int(str(row["count"])))


def remarks(looked: Looked) -> list[str]:
    """What a reader of the list must know that isn't in it."""
    return [_unseen(looked)] if looked.hidden or looked.unread else []


def _unseen(looked: Looked) -> str:
    parts = []
    if looked.hidden:
        parts.append(f"{count(looked.hidden, 'message')} more, which others look at: try in 5 minutes.")
    if looked.unread:
        parts.append(
            f"About {count(looked.unread, 'message')} couldn't be looked at: {MOST_READ:,} are read at most."
        )
    return " ".join(parts)
