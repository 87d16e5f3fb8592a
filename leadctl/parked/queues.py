"""Messages in the two dead-letter queues: looking at them without keeping them, sending, deleting.

SQS can't list a queue. So messages are received, which hides them from everybody else for a while, and what
isn't touched is given back at once. If leadctl is killed, they come back by themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from leadctl.importing import sending
from leadctl.parked.message import Parked, Place
from leadctl.target import Target

# How long a message is hidden from everybody else, unless it is given back.
LOOKED_AT_S = 300
# More would take minutes, and their bodies a lot of memory.
MOST_READ = 10_000
_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "hidden": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


@dataclass(frozen=True)
class Sent:
    """A parked message that was sent again, and its id in the lead queue."""

    parked: Parked
    message_id: str


@dataclass(frozen=True)
class Looked:
    """What was received. `hidden` messages are being looked at by others; `unread` were too many."""

    messages: list[Parked]
    hidden: int = 0
    unread: int = 0


class ParkedQueues:
    """The dead-letter queues of a target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sqs = target.client("sqs")
        self._held: dict[str, Parked] = {}

    def counts(self, place: Place) -> dict[str, int]:
        """Approximate, as SQS says: `waiting`, `hidden` (received by somebody), `delayed`."""
        return queue_counts(self._sqs, self._target.output(place.output))

    @contextmanager
    def look(self, places: Sequence[Place] = tuple(Place), most: int = MOST_READ) -> Iterator[Looked]:
        """Receives all there is, up to `most` of a queue, and gives back what is left of it at the end."""
        try:
            looked = [self._receive_all(place, most) for place in places]
            yield Looked(
                sorted(
                    (each for part in looked for each in part.messages), key=lambda each: each.first_seen_s
                ),
                sum(part.hidden for part in looked),
                sum(part.unread for part in looked),
            )
        finally:
            self._give_back()

    def _receive_all(self, place: Place, most: int) -> Looked:
        url, counts = self._target.output(place.output), self.counts(place)
        found: list[Parked] = []
        empty_answers = 0
        # SQS may answer with nothing although there is something; only its long polls ask all its servers.
        while len(found) < most and empty_answers < (1 if len(found) >= counts["waiting"] else 3):
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=sending.LARGEST_BATCH,
                VisibilityTimeout=LOOKED_AT_S,
                WaitTimeSeconds=1 if len(found) < counts["waiting"] else 0,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            batch = [Parked.from_sqs(place, url, each) for each in answer.get("Messages", [])]
            self._held |= {each.message_id: each for each in batch}
            found += batch
            empty_answers = 0 if batch else empty_answers + 1
        return Looked(found, counts["hidden"], max(0, counts["waiting"] - len(found)))

    def keep_only(self, messages: Sequence[Parked]) -> None:
        """Gives back all others at once, because a person may now think for a while."""
        kept = {each.message_id: each for each in messages}
        self._held = {name: each for name, each in self._held.items() if name not in kept}
        self._give_back()
        self._held = kept

    def _give_back(self) -> None:
        for batch in batches(list(self._held.values())):
            self._set_visibility(batch, 0)
        self._held.clear()

    def _set_visibility(self, batch: Sequence[Parked], timeout_s: int) -> list[Parked]:
        """Those of the batch, all of one queue, for which SQS took the timeout."""
        answer = self._sqs.change_message_visibility_batch(
            QueueUrl=batch[0].queue_url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": each.receipt_handle, "VisibilityTimeout": timeout_s}
                for index, each in enumerate(batch)
            ],
        )
        return [batch[int(each["Id"])] for each in answer.get("Successful", [])]

    def hold(self, messages: Sequence[Parked], timeout_s: int = LOOKED_AT_S) -> list[Parked]:
        """Those that are still ours, now for `timeout_s` seconds more; another may have taken the rest."""
        return [each for batch in batches(messages) for each in self._set_visibility(batch, timeout_s)]

    def send_again(self, messages: Sequence[Parked]) -> list[Sent]:
        """Puts them into the lead queue; returns those that SQS took. Their parked messages stay.

        All in one batch; the caller deletes before it sends the next one.
        """
        answer = self._sqs.send_message_batch(
            QueueUrl=self._target.output("LeadQueueUrl"),
            Entries=[
                {
                    "Id": str(index),
                    "MessageBody": each.body,
                    "MessageAttributes": each.sent_attributes(),
                    **({"MessageGroupId": each.group_id} if each.group_id else {}),
                }
                for index, each in enumerate(messages)
            ],
        )
        return [Sent(messages[int(each["Id"])], each["MessageId"]) for each in answer.get("Successful", [])]

    def delete(self, messages: Sequence[Parked]) -> list[Parked]:
        """Returns those that SQS deleted."""
        deleted: list[Parked] = []
        for batch in batches(messages):
            answer = self._sqs.delete_message_batch(
                QueueUrl=batch[0].queue_url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": each.receipt_handle}
                    for index, each in enumerate(batch)
                ],
            )
            gone = [batch[int(each["Id"])] for each in answer.get("Successful", [])]
            for each in gone:
                self._held.pop(each.message_id, None)
            deleted += gone
        return deleted


def batches(messages: Iterable[Parked]) -> Iterator[list[Parked]]:
    """In their order; each of one queue and small enough for any of SQS's batch calls."""
    for _, of_queue in groupby(messages, key=lambda each: each.queue_url):
        yield from sending.batches(of_queue, lambda each: each.size)


def queue_counts(sqs: Any, queue_url: str) -> dict[str, int]:  # noqa: ANN401 - a boto3 client
    """How many messages a queue has, as far as SQS knows at the moment."""
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=list(_COUNTS.values()))
    return {name: int(answer["Attributes"].get(attribute, 0)) for name, attribute in _COUNTS.items()}
