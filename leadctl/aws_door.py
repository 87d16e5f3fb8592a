"""The import's door on AWS: the lead queue, the ledger, and the reasons of what is parked."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from leadctl.importing.door import KnownEvent, KnownLead, NotTaken, Outgoing, Progress
from leadctl.lead_story import Lead, LedgerReader
from leadctl.output import without_mark
from leadctl.parked.message import Place
from leadctl.parked.queues import ParkedQueues
from leadctl.target import Target

# One for all imports: SQS prefers the messages of others as soon as these have a tenth of the function's
# capacity. A message without a group counts as a group of its own.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
FAIR_GROUP = "leadctl-import"
# Of AWS's client, with its growing pauses: throttling mustn't end a long import.
_TRIES = 10
_PROGRESS = {
    "delivered": Progress.DELIVERED,
    "superseded": Progress.SUPERSEDED,
    "parked": Progress.PARKED,
}


class AwsDoor:
    """See `leadctl.importing.door.Door`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._sqs = target.client("sqs", tries=_TRIES)
        self._ledger = LedgerReader(target)

    def look(self, lead_hashes: Sequence[str]) -> Mapping[str, KnownLead]:
        """Those that the ledger knows."""
        return {each.lead_hash: _known(each) for each in self._ledger.find_all(lead_hashes)}

    def send(self, batch: Sequence[Outgoing]) -> Sequence[NotTaken]:
        """One SendMessageBatch."""
        answer = self._sqs.send_message_batch(
            QueueUrl=self._target.output("LeadQueueUrl"),
            Entries=[
                {"Id": str(index), "MessageBody": each.body, "MessageGroupId": FAIR_GROUP}
                for index, each in enumerate(batch)
            ],
        )
        return [
            NotTaken(
                int(each["Id"]),
                f"{each['Code']} {each.get('Message', '')}".strip(),
                bool(each["SenderFault"]),
            )
            for each in answer.get("Failed", [])
        ]

    def words(self, keys: Sequence[str]) -> Mapping[str, str]:
        """From the parked messages; receiving them hides them from others for the moment that it takes."""
        wanted, found = set(keys), {}
        with ParkedQueues(self._target).look([Place.LEADS]) as looked:
            for message in looked.messages:
                key = _key(message.body)
                if key in wanted:
                    found[key] = message.detail
        return found


def _known(lead: Lead) -> KnownLead:
    return KnownLead(
        is_at_7targets=bool(lead.lead_id),
        events={
            str(each.stored.get("key")): KnownEvent(
                progress=_PROGRESS.get(each.state, Progress.OPEN),
                is_create=each.stored.get("operation") == "create",
                reason=str(each.stored.get("reason") or ""),
            )
            for each in lead.events
        },
    )


def _key(body: str) -> str:
    try:
        event: Any = json.loads(without_mark(body))
    except ValueError:
        return ""
    key = event.get("idempotencyKey") if isinstance(event, dict) else None
    return key if isinstance(key, str) else ""
