"""The import itself: from the first row to the last, each sent once, however often the call is repeated.

In this order for each hundred rows: look in the journal, look in the ledger, wait until enough of the
earlier leads are settled, send, write into the journal what SQS took. A call that ends between the last two
sends a row again, with the same key: the next call sees that in the ledger, or the function calls it a
duplicate.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from deliver_leads.event.lead import Operation
from leadctl.importing.door import Door, KnownEvent, KnownLead, Outgoing, Progress
from leadctl.importing.following import LOOKED_UP_AT_ONCE, Followed, Following, own_event
from leadctl.importing.journal import Journal, Noted
from leadctl.importing.scratch import Scratch
from leadctl.importing.sending import batches, send_batch
from leadctl.importing.table import Table
from leadctl.importing.validation import Lead, Rules, Wrong

# So that Ctrl-C means stop: what SQS has taken is delivered in any case.
AHEAD = 1000


class Existing(StrEnum):
    """What to do with a lead that is at 7Targets, or on its way there, by an event not of this import."""

    SKIP = "skip"
    UPDATE = "update"
    CREATE = "create"


class Step(StrEnum):
    """What the next call would do with a row."""

    DONE = "done"  # delivered by an earlier call
    FOLLOW = "follow"  # sent by an earlier call, not known to be delivered
    SKIP = "skip"
    UPDATE = "update"
    CREATE = "create"


@dataclass(frozen=True)
class Planned:
    """A row with what is to be done, and what the ledger knows of its event."""

    lead: Lead
    step: Step
    event: KnownEvent | None = None


@dataclass
class Tally:
    """What became of the rows. `sent` counts this call's, the others whatever call sent them."""

    rows: int = 0
    wrong: int = 0
    skipped: int = 0
    sent: int = 0
    delivered: int = 0
    parked: int = 0
    under_way: int = 0


@dataclass
class Importer:
    """One call's import. `parked`: the numbers of the rows that are parked, by their keys."""

    table: Table
    rules: Rules
    door: Door
    journal: Journal
    scratch: Scratch
    existing: Existing
    pause: Callable[[float], None]
    watch: Callable[[Tally], None]
    ahead: int
    tally: Tally = field(default_factory=Tally)
    parked: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._following = Following(self.door, self._settled, self.pause)

    def knows_none_of_the_journal(self) -> bool:
        """Whether the stage's ledger knows none of the leads that the journal says were sent to it."""
        sent = self.journal.some_leads(LOOKED_UP_AT_ONCE)
        return bool(sent) and not self.door.look(sent)

    def plan(self) -> Iterator[Planned | Wrong]:
        """What the import would do, row by row. Reads the file and the ledger, changes nothing."""
        rows = self.rules.checked(self.table, self.scratch)
        while part := list(islice(rows, LOOKED_UP_AT_ONCE)):
            planned = iter(self._planned([each for each in part if isinstance(each, Lead)]))
            yield from (next(planned) if isinstance(each, Lead) else each for each in part)

    def _planned(self, leads: Sequence[Lead]) -> list[Planned]:
        noted = self.journal.states([lead.key for lead in leads])
        asked = [lead.lead_hash for lead in leads if noted.get(lead.key) is not Noted.DELIVERED]
        known = self.door.look(asked) if asked else {}
        return [self._planned_one(lead, noted.get(lead.key), known.get(lead.lead_hash)) for lead in leads]

    def _planned_one(self, lead: Lead, noted: Noted | None, known: KnownLead | None) -> Planned:
        if noted is Noted.DELIVERED:
            return Planned(lead, Step.DONE)
        event = own_event(known, lead.key)
        if event is not None:
            done = event.progress in {Progress.DELIVERED, Progress.SUPERSEDED}
            return Planned(lead, Step.DONE if done else Step.FOLLOW, event)
        if noted is Noted.PARKED:
            return Planned(
                lead,
                Step.FOLLOW,
                KnownEvent(Progress.PARKED, True, "parked, longer ago than the ledger knows"),
            )
        if noted is not None:
            return Planned(lead, Step.FOLLOW)
        if known is not None and known.will_be_there:
            return Planned(lead, Step(self.existing))
        return Planned(lead, Step.CREATE)

    def run(self, *, wait: bool) -> Tally:
        """Sends what is to be sent; with `wait`, returns when all of it is settled.

        Raises `NotTakenError`, `JournalError`, and what AWS's client raises. The same call again goes on.
        """
        plan = self.plan()
        while part := list(islice(plan, LOOKED_UP_AT_ONCE)):
            self._take(part)
        if wait:
            self._following.wait_until(0)
        self._told()
        return self.tally

    def _take(self, part: Sequence[Planned | Wrong]) -> None:
        self.tally.rows += len(part)
        to_send: list[tuple[Followed, Outgoing]] = []
        settled: list[tuple[Followed, KnownEvent]] = []
        for each in part:
            if isinstance(each, Wrong):
                self.tally.wrong += 1
                self.scratch.refuse(each.row.number, "; ".join(each.reasons))
                continue
            row = Followed(each.lead.number, each.lead.lead_hash, each.lead.key)
            if each.event is not None and each.event.progress is not Progress.OPEN:
                settled.append((row, each.event))
            elif each.step is Step.DONE:
                self.tally.delivered += 1
            elif each.step is Step.SKIP:
                self.tally.skipped += 1
            elif each.step is Step.FOLLOW:
                self._following.add(row)
            else:
                operation = Operation(each.step)
                body = each.lead.body(operation)
                to_send.append((row, Outgoing(body, row.lead_hash, each.lead.ledger_key(operation))))
        if settled:
            self._settled(settled)
        for batch in batches(to_send, lambda each: each[1].size):
            self._following.wait_until(max(0, self.ahead - len(batch)))
            self._send(batch)
        self._told()

    def _send(self, batch: Sequence[tuple[Followed, Outgoing]]) -> None:
        rows = [row for row, _ in batch]

        def taken(indices: Sequence[int]) -> None:
            self.journal.note([(rows[index].key, rows[index].lead_hash) for index in indices], Noted.SENT)
            for index in indices:
                self._following.add(rows[index])
            self.tally.sent += len(indices)
            self._told()

        for refused in send_batch(self.door, [message for _, message in batch], taken, self.pause):
            self.tally.wrong += 1
            self.scratch.refuse(rows[refused.index].number, f"SQS refuses it: {refused.reason}")

    def _settled(self, found: Sequence[tuple[Followed, KnownEvent]]) -> None:
        parked = [(row, event) for row, event in found if event.progress is Progress.PARKED]
        delivered = [row for row, event in found if event.progress is not Progress.PARKED]
        for row, event in parked:
            self.parked[row.key] = row.number
            self.scratch.refuse(row.number, event.reason or "parked")
        self.tally.parked += len(parked)
        self.tally.delivered += len(delivered)
        self.journal.note([(row.key, row.lead_hash) for row, _ in parked], Noted.PARKED)
        self.journal.note([(row.key, row.lead_hash) for row in delivered], Noted.DELIVERED)
        self._told()

    def _told(self) -> None:
        self.tally.under_way = len(self._following)
        self.watch(self.tally)

    def ask_for_words(self) -> None:
        """Puts the API's own words in the place of the ledger's reasons, where they can still be had."""
        if self.parked:
            for key, words in self.door.words(list(self.parked)).items():
                self.scratch.refuse(self.parked[key], words)
