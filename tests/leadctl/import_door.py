"""A lead queue and a ledger without AWS, for the import; the function behind them is the test's to play."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deliver_leads.event.envelope import read_event
from deliver_leads.event.message import Message
from leadctl.importing.door import KnownEvent, KnownLead, NotTaken, Outgoing, Progress


class KilledError(BaseException):
    """As SIGKILL: no `except Exception` sees it."""


@dataclass
class FakeDoor:
    """Keeps what was sent. `judge` says what becomes of a lead; None: nothing yet.

    `kill_at`: which step, of any kind, ends the call.
    """

    judge: Callable[[str], KnownEvent | None] = lambda email: KnownEvent(Progress.DELIVERED, True)
    refuse: Callable[[int, Outgoing], NotTaken | None] = lambda call, message: None
    bodies: list[str] = field(default_factory=list)
    known: dict[str, KnownLead] = field(default_factory=dict)
    api_words: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    looks: int = 0
    kill_at: int = 0
    steps: int = 0
    unsettled: dict[str, tuple[str, str]] = field(default_factory=dict)
    most_unsettled: int = 0

    def step(self) -> None:
        """One moment at which a call can be killed."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise KilledError

    def look(self, lead_hashes: Sequence[str]) -> Mapping[str, KnownLead]:
        """As BatchGetItem: no more than 100, none of them twice."""
        self.looks += 1
        assert len(lead_hashes) <= 100
        self.step()
        return {each: self.known[each] for each in lead_hashes if each in self.known}

    def send(self, batch: Sequence[Outgoing]) -> Sequence[NotTaken]:
        """As SendMessageBatch."""
        self.calls += 1
        assert 0 < len(batch) <= 10
        self.step()
        failed = []
        for index, message in enumerate(batch):
            refused = self.refuse(self.calls, message)
            if refused is not None:
                failed.append(NotTaken(index, refused.reason, refused.for_good))
                continue
            self.bodies.append(message.body)
            event = read_event(Message("m", "", message.body, 1, 0), {})
            assert (event.lead_hash, event.key.text) == (message.lead_hash, message.key)
            self.unsettled[event.key.text] = (event.lead_hash, str(event.lead["email"]))
        self.most_unsettled = max(self.most_unsettled, len(self.unsettled))
        self.step()
        return failed

    def words(self, keys: Sequence[str]) -> Mapping[str, str]:
        """As the parked messages say."""
        return {key: self.api_words[key] for key in keys if key in self.api_words}

    def deliver(self, _: float = 0, most: int = 10_000) -> None:
        """The function's part, while the import pauses."""
        for key, (lead_hash, email) in list(self.unsettled.items())[:most]:
            event = self.judge(email)
            if event is None:
                continue
            del self.unsettled[key]
            before = self.known.get(lead_hash, KnownLead())
            self.known[lead_hash] = KnownLead(
                before.is_at_7targets or event.progress is Progress.DELIVERED, {**before.events, key: event}
            )
