"""Tells a history in plain sentences."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.explore.history import START, History, Laboratory
from sim.explore.schedule import Deviations
from sim.explore.search import Deviation
from sim.explore.worlds import World

MOST_LINES = 40
# What says nothing to a reader, as long as nothing goes wrong with it.
_ROUTINE = re.compile(r"[A-F] (takes the lead in the ledger|writes what became .*|sets when .*|answers)")
_WAITS = re.compile(
    r"[A-F] logs for the (?P<event>.*): \w+ \((?P<why>another event of its lead is under way)\)"
)
_RECEIVES = re.compile(r"[A-F] receives [^:]*")


@dataclass(frozen=True, slots=True)
class _Line:
    time: float
    text: str


def tell(laboratory: Laboratory, world: World, deviations: Sequence[Deviation]) -> str:
    """One line for each step that matters, with its seconds since the first; then what is broken."""
    lines: list[_Line] = []
    history = History(
        laboratory, world, Deviations(dict(deviations)), lambda time, text: lines.append(_Line(time, text))
    )
    history.run()
    verdict = history.judge.broken
    return "\n".join(
        [
            str(world),
            *_shortened([f"{line.time - START:6.0f} s  {line.text}" for line in _without_quiet_steps(lines)]),
            f"BROKEN: {verdict}" if verdict else "Nothing is broken.",
        ]
    )


def _shortened(lines: list[str]) -> list[str]:
    """Without the middle of a story that goes on and on."""
    if len(lines) <= MOST_LINES:
        return lines
    return [
        *lines[: MOST_LINES // 2],
        f"  ... {len(lines) - MOST_LINES} more ...",
        *lines[-MOST_LINES // 2 :],
    ]


def _without_quiet_steps(lines: list[_Line]) -> Iterator[_Line]:
    """Leaves out what goes well as always; repeated waiting becomes one line."""
    telling = [line for line in lines if not _ROUTINE.fullmatch(line.text)]
    waiting: set[str] = set()
    for line, following in zip(telling, [*telling[1:], None], strict=True):
        if _RECEIVES.fullmatch(line.text) and following is not None and _WAITS.fullmatch(following.text):
            continue
        waits = _WAITS.fullmatch(line.text)
        if waits is None:
            waiting.clear()
        elif waits["event"] in waiting:
            continue
        else:
            waiting.add(waits["event"])
        yield line
