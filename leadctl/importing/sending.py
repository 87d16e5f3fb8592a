"""Into the queue, ten at a time, and again what the queue didn't take."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from leadctl.importing.door import Door, NotTaken, Outgoing

LARGEST_BATCH = 10
# SQS's bound for all messages of a batch together was this for years, and still is in some emulators.
LARGEST_BATCH_BYTES = 262_144
TRIES = 8
_FIRST_DELAY_S = 0.2
Each = TypeVar("Each")


class NotTakenError(Exception):
    """SQS still doesn't take a message after all tries; the text is a sentence."""


def batches(items: Iterable[Each], size_of: Callable[[Each], int]) -> Iterator[list[Each]]:
    """In their order, each small enough for one call of SQS's; `size_of` an item is in bytes."""
    batch: list[Each] = []
    size = 0
    for each in items:
        bytes_ = size_of(each)
        if batch and (len(batch) == LARGEST_BATCH or size + bytes_ > LARGEST_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += bytes_
    if batch:
        yield batch


def send_batch(
    door: Door,
    batch: Sequence[Outgoing],
    on_taken: Callable[[Sequence[int]], None],
    pause: Callable[[float], None],
) -> list[NotTaken]:
    """Returns those that SQS will never take. `on_taken` gets the indices after each answer of SQS.

    Raises `NotTakenError`, and what AWS's client raises.
    """
    left = list(range(len(batch)))
    refused: list[NotTaken] = []
    for attempt in range(TRIES):
        failed = {left[each.index]: each for each in door.send([batch[index] for index in left])}
        taken = [index for index in left if index not in failed]
        if taken:
            on_taken(taken)
        refused += [NotTaken(index, each.reason, True) for index, each in failed.items() if each.for_good]
        left = [index for index, each in failed.items() if not each.for_good]
        if not left:
            return refused
        if attempt + 1 < TRIES:
            pause(_FIRST_DELAY_S * 2**attempt)
    reason = failed[left[0]].reason
    raise NotTakenError(f"SQS didn't take {len(left)} of {len(batch)} leads, {TRIES} times: {reason}.")
