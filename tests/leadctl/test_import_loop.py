"""The import's loop against a queue and a ledger in memory: each row once, whatever interrupts it."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leadctl.importing.columns import Columns
from leadctl.importing.door import KnownEvent, KnownLead, NotTaken, Outgoing, Progress
from leadctl.importing.importer import Existing, Importer, Tally
from leadctl.importing.invalid_file import write_invalid
from leadctl.importing.journal import Journal, JournalError, Noted
from leadctl.importing.opening import table_in
from leadctl.importing.preview import Preview
from leadctl.importing.scratch import Scratch
from leadctl.importing.sending import TRIES, NotTakenError, batches
from leadctl.importing.validation import Rules
from tests.leadctl.import_door import FakeDoor, KilledError

PARKED = KnownEvent(Progress.PARKED, True, "leads API answered 422")
HEADER = "First_Name,Email_ID,Assistant,Notes\n"


def a_file(emails: Sequence[str]) -> str:
    """A row for each address."""
    return HEADER + "".join(f"Jane,{email},sam@example.com,\n" for email in emails)


def many(number: int) -> list[str]:
    """Addresses of as many leads."""
    return [f"lead{each}@example.com" for each in range(number)]


class KillableJournal(Journal):
    """A journal before and after whose writes a call can be killed."""

    def __init__(self, path: Path, target: str, door: FakeDoor) -> None:
        super().__init__(path, target)
        self._door = door

    def note(self, rows: Sequence[tuple[str, str]], state: Noted) -> None:
        """As the journal does."""
        self._door.step()
        super().note(rows, state)
        self._door.step()


@dataclass
class Person:
    """Calls the import on one file, again and again; each call is a new process as far as it can see."""

    folder: Path
    door: FakeDoor
    text: str
    ahead: int = 1000
    existing: Existing = Existing.SKIP

    def call(self, *, wait: bool = True, target: str = "stage") -> Tally:
        """One call, to its end or to what it raises."""
        scratch = Scratch()
        journal = KillableJournal(self.folder / "leads.csv.leadctl", target, self.door)
        try:
            table = table_in(io.BytesIO(self.text.encode()), "leads.csv")
            importer = Importer(
                table=table,
                rules=Rules(Columns(), {}),
                door=self.door,
                journal=journal,
                scratch=scratch,
                existing=self.existing,
                pause=self.door.deliver,
                watch=lambda tally: None,
                ahead=self.ahead,
            )
            tally = importer.run(wait=wait)
            importer.ask_for_words()
            write_invalid(table, scratch, journal, self.folder / "leads_invalid.csv")
            return tally
        finally:
            scratch.close()
            journal.close()

    @property
    def invalid(self) -> str:
        """The file with the rows that were not taken; "" when there is none."""
        path = self.folder / "leads_invalid.csv"
        return path.read_text() if path.exists() else ""

    def sent(self) -> list[dict[str, Any]]:
        """What the queue took."""
        return [json.loads(body) for body in self.door.bodies]


@pytest.fixture
def person(tmp_path: Path) -> Callable[..., Person]:
    """Makes one, with a file of these leads."""
    return lambda emails, **more: Person(tmp_path, FakeDoor(), a_file(emails), **more)


def test_each_row_is_sent_once_and_followed_to_its_outcome(person: Callable[..., Person]) -> None:
    """The second call finds nothing left to do, and asks nobody."""
    jane = person(many(250))
    assert jane.call() == Tally(rows=250, sent=250, delivered=250)
    looks = jane.door.looks
    assert jane.call() == Tally(rows=250, delivered=250)
    assert (len(jane.door.bodies), jane.door.looks) == (250, looks)
    assert jane.invalid == ""


def test_a_kill_at_any_step_loses_no_row_and_sends_none_with_two_keys(tmp_path: Path) -> None:
    """Before and after each answer and each write; to the function, a repeated key is one event."""
    kill_at, was_killed, repeated = 0, True, 0
    while was_killed:
        kill_at += 1
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        jane = Person(folder, FakeDoor(kill_at=kill_at), a_file(many(25)), ahead=15)
        try:
            jane.call()
            was_killed = False
        except KilledError:
            jane.call()
        keys: dict[str, set[str]] = {}
        for event in jane.sent():
            keys.setdefault(event["lead"]["email"], set()).add(event["idempotencyKey"])
        assert sorted(keys) == sorted(many(25))
        assert all(len(each) == 1 for each in keys.values())
        assert jane.call() == Tally(rows=25, delivered=25)
        repeated += len(jane.door.bodies) - 25
    assert kill_at > 20
    assert repeated > 0, "no kill was between SQS's answer and the journal"


def test_a_kill_after_sqs_answered_repeats_nothing_once_the_ledger_knows(tmp_path: Path) -> None:
    """Also longer after it than the function remembers a key."""
    # It looks, sends, and is killed when SQS has taken the rows.
    jane = Person(tmp_path, FakeDoor(kill_at=3), a_file(many(5)))
    with pytest.raises(KilledError):
        jane.call()
    assert len(jane.door.bodies) == 5
    jane.door.deliver()
    assert jane.call() == Tally(rows=5, delivered=5)
    assert len(jane.door.bodies) == 5


def test_a_journal_that_is_lost_repeats_nothing_that_the_ledger_knows(person: Callable[..., Person]) -> None:
    """A renamed file, a copy on another machine."""
    jane = person(many(12))
    jane.call()
    (jane.folder / "leads.csv.leadctl").unlink()
    assert jane.call() == Tally(rows=12, delivered=12)
    assert len(jane.door.bodies) == 12


def test_no_more_than_the_bound_is_ahead_of_what_is_settled(person: Callable[..., Person]) -> None:
    """So an interruption means stop, whatever the file's size."""
    jane = person(many(500), ahead=120)
    jane.door.judge = lambda email: KnownEvent(Progress.DELIVERED, True)
    jane.call()
    assert jane.door.most_unsettled <= 120
    assert len(jane.door.bodies) == 500


def test_ctrl_c_while_nothing_is_settled_has_sent_no_more_than_the_bound(
    person: Callable[..., Person],
) -> None:
    """An outage: the rest stays in the file until the next call."""
    jane = person(many(500), ahead=100)
    jane.door.judge = lambda email: None
    pauses = 0

    def deliver(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 5:
            raise KeyboardInterrupt

    jane.door.deliver = deliver  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        jane.call()
    assert len(jane.door.bodies) == 100
    jane.door = FakeDoor(bodies=jane.door.bodies, unsettled=jane.door.unsettled)
    assert jane.call() == Tally(rows=500, sent=400, delivered=500)


def test_without_waiting_the_call_ends_once_all_is_sent(person: Callable[..., Person]) -> None:
    """And a later one says what became of it, without sending again."""
    jane = person(many(30))
    assert jane.call(wait=False) == Tally(rows=30, sent=30, under_way=30)
    assert jane.call() == Tally(rows=30, delivered=30)


def test_two_rows_of_one_lead_are_one_lead_and_a_wrong_row(person: Callable[..., Person]) -> None:
    """7Targets has one lead for each address; the row that is sent is the first good one."""
    jane = person(["a@b.co", "c@d.co", "A@B.co", "a@b.co"])
    assert jane.call() == Tally(rows=4, wrong=2, sent=2, delivered=2)
    assert jane.invalid == (
        "First_Name,Email_ID,Assistant,Notes,reason\n"
        'Jane,A@B.co,sam@example.com,,"same lead as line 2"\n'
        'Jane,a@b.co,sam@example.com,,"same lead as line 2"\n'
    )


def test_what_the_api_refuses_is_beside_what_is_wrong_in_the_files_order(
    person: Callable[..., Person],
) -> None:
    """With the API's words where the parked message still has them, else with the ledger's reason."""
    jane = person(["a@b.co", "not an address", "c@d.co", "e@f.co"])
    jane.door.judge = lambda email: PARKED if email != "c@d.co" else KnownEvent(Progress.DELIVERED, True)
    jane.call(wait=False)
    key = jane.sent()[0]["idempotencyKey"]
    jane.door.api_words = {key: 'answered 422: "a@b.co" is suppressed'}
    assert jane.call() == Tally(rows=4, wrong=1, delivered=1, parked=2)
    assert jane.invalid == (
        "First_Name,Email_ID,Assistant,Notes,reason\n"
        'Jane,a@b.co,sam@example.com,,"answered 422: ""a@b.co"" is suppressed"\n'
        'Jane,not an address,sam@example.com,,"email: is not an e-mail address, because it has no ""@"""\n'
        'Jane,e@f.co,sam@example.com,,"leads API answered 422"\n'
    )


def test_the_corrected_file_goes_through(person: Callable[..., Person]) -> None:
    """As it is, with its column of reasons: a corrected row is a new event."""
    jane = person(["a@b.co", "joe at d.co"])
    jane.door.judge = lambda email: PARKED
    jane.call()
    jane.door.judge = lambda email: KnownEvent(Progress.DELIVERED, True)
    text = jane.invalid.replace("joe at d.co", "joe@d.co").replace("Jane,a@b.co", "Jane,a@b.com")
    folder = jane.folder / "corrected"
    folder.mkdir()
    again = Person(folder, jane.door, text)
    assert again.call() == Tally(rows=2, sent=2, delivered=2)
    assert again.invalid == ""


def test_a_parked_row_is_looked_up_again_by_the_next_call(person: Callable[..., Person]) -> None:
    """Somebody may have sent it again; it is never sent by the import."""
    jane = person(["a@b.co"])
    jane.door.judge = lambda email: PARKED
    assert jane.call().parked == 1
    assert jane.call() == Tally(rows=1, parked=1)
    [(lead_hash, known)] = jane.door.known.items()
    [key] = known.events
    jane.door.known[lead_hash] = KnownLead(True, {key: KnownEvent(Progress.DELIVERED, True)})
    assert jane.call() == Tally(rows=1, delivered=1)
    assert len(jane.door.bodies) == 1
    assert jane.invalid == ""


@pytest.mark.parametrize(
    "known",
    [
        KnownLead(is_at_7targets=True),
        KnownLead(events={"key#create#other": KnownEvent(Progress.OPEN, True)}),
    ],
    ids=["at 7Targets", "on the way"],
)
@pytest.mark.parametrize(
    ("existing", "operations"), [("skip", []), ("update", ["update"]), ("create", ["create"])]
)
def test_a_lead_that_came_by_another_way_is_treated_as_the_person_says(
    person: Callable[..., Person], known: KnownLead, existing: str, operations: list[str]
) -> None:
    """Skipped unless they say otherwise, because a create may start its e-mails again."""
    jane = person(["a@b.co"], existing=Existing(existing))
    jane.call()
    [lead_hash] = jane.door.known
    jane.door = FakeDoor(known={lead_hash: known})
    (jane.folder / "leads.csv.leadctl").unlink()
    tally = jane.call()
    assert [event["operation"] for event in jane.sent()] == operations
    assert tally == (Tally(rows=1, sent=1, delivered=1) if operations else Tally(rows=1, skipped=1))
    assert jane.call().sent == 0


def test_a_lead_that_was_only_refused_before_is_no_existing_one(person: Callable[..., Person]) -> None:
    """Else a corrected row would be skipped."""
    jane = person(["a@b.co"])
    jane.call()
    [lead_hash] = jane.door.known
    jane.door = FakeDoor(known={lead_hash: KnownLead(events={"key#create#other": PARKED})})
    (jane.folder / "leads.csv.leadctl").unlink()
    assert jane.call().sent == 1


def test_what_sqs_does_not_take_is_sent_again_and_only_that(person: Callable[..., Person]) -> None:
    """A batch fails in parts."""
    jane = person(many(10))
    jane.door.refuse = lambda call, message: (
        NotTaken(0, "InternalError", for_good=False) if call < 3 and "lead7@" in message.body else None
    )
    assert jane.call() == Tally(rows=10, sent=10, delivered=10)
    assert (len(jane.door.bodies), jane.door.calls) == (10, 3)


def test_what_sqs_refuses_for_good_is_a_wrong_row(person: Callable[..., Person]) -> None:
    """It takes no other row along."""
    jane = person(many(10))
    jane.door.refuse = lambda call, message: (
        NotTaken(0, "InvalidMessageContents", for_good=True) if "lead7@" in message.body else None
    )
    assert jane.call() == Tally(rows=10, wrong=1, sent=9, delivered=9)
    assert "SQS refuses it: InvalidMessageContents" in jane.invalid


def test_a_queue_that_never_takes_a_row_ends_the_call_with_the_rest_in_the_journal(
    person: Callable[..., Person],
) -> None:
    """The next call sends only what is left."""
    jane = person(many(10))
    jane.door.refuse = lambda call, message: (
        NotTaken(0, "ServiceUnavailable", for_good=False) if "lead7@" in message.body else None
    )
    with pytest.raises(NotTakenError, match=rf"1 of 10 leads, {TRIES} times: ServiceUnavailable"):
        jane.call()
    jane.door.refuse = lambda call, message: None
    assert jane.call() == Tally(rows=10, sent=1, delivered=10)


def test_batches_are_small_enough_for_sqs() -> None:
    """Ten messages, and 256 KiB together."""
    sizes = [100] * 25 + [100_000] * 5
    items = [(size, Outgoing("x" * size, "", "")) for size in sizes]
    found = list(batches(items, lambda each: each[1].size))
    assert [size for batch in found for size, _ in batch] == sizes
    assert [len(batch) for batch in found] == [10, 10, 7, 2, 1]


def test_one_stages_journal_says_nothing_about_another(person: Callable[..., Person]) -> None:
    """What was tried on dev is sent to prod."""
    jane = person(many(3))
    jane.call(target="dev")
    jane.door = FakeDoor()
    assert jane.call(target="prod").sent == 3
    assert jane.call(target="dev").sent == 0


def test_the_journal_holds_hashes_and_is_the_users_own(person: Callable[..., Person]) -> None:
    """No address, no name."""
    jane = person(["secret.person@example.com"])
    jane.call()
    path = jane.folder / "leads.csv.leadctl"
    content = path.read_bytes()
    assert b"secret" not in content
    assert b"Jane" not in content
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_import_of_the_file_at_the_same_time_is_refused(tmp_path: Path) -> None:
    """Both would send the same rows; the lock goes with the process."""
    first = Journal(tmp_path / "j", "stage")
    first.note([("import-" + "0" * 64, "0" * 64)], Noted.SENT)
    with pytest.raises(JournalError, match="Another import of this file is under way"):
        Journal(tmp_path / "j", "stage")
    first.close()
    Journal(tmp_path / "j", "stage").close()


def test_a_full_disk_is_a_sentence_and_loses_no_row(tmp_path: Path) -> None:
    """What was noted before is still there."""
    journal = Journal(tmp_path / "j", "stage")
    keys = [(f"import-{number:064x}", f"{number:064x}") for number in range(5000)]
    journal.note(keys[:1], Noted.SENT)
    journal._db.execute("PRAGMA max_page_count = 5")
    with pytest.raises(JournalError, match="full"):
        journal.note(keys, Noted.SENT)
    assert journal.states([key for key, _ in keys[:10]]) == {keys[0][0]: Noted.SENT}
    journal.close()


def test_a_journal_that_is_none_is_left_alone(tmp_path: Path) -> None:
    """And said."""
    (tmp_path / "j").write_text("my own notes, longer than the header of a database" * 10)
    with pytest.raises(JournalError, match="can't be used"):
        Journal(tmp_path / "j", "stage")
    assert (tmp_path / "j").read_text().startswith("my own notes")


def test_corrections_not_yet_imported_are_never_overwritten(person: Callable[..., Person]) -> None:
    """What the import wrote itself and nobody has changed is replaced."""
    jane = person(["wrong", "a@b.co"])
    jane.call()
    first = jane.invalid
    jane.call()
    assert jane.invalid == first
    (jane.folder / "leads_invalid.csv").write_text("corrected")
    jane.call()
    assert jane.invalid == "corrected"
    assert (jane.folder / "leads_invalid-2.csv").read_text() == first
    assert {path.name for path in jane.folder.iterdir()} == {
        "leads.csv.leadctl",
        "leads_invalid.csv",
        "leads_invalid-2.csv",
    }


def test_the_preview_counts_what_the_import_does(person: Callable[..., Person]) -> None:
    """It sends nothing and writes nothing."""
    jane = person([*many(120), "wrong", "also wrong", "lead3@example.com"])
    table = table_in(io.BytesIO(jane.text.encode()), "leads.csv")
    rules = Rules(Columns(), {})
    importer = Importer(
        table,
        rules,
        jane.door,
        Journal(None, "stage"),
        Scratch(),
        Existing.SKIP,
        lambda _: None,
        lambda _: None,
        1000,
    )
    preview = Preview()
    assert list(preview.take(importer.plan()))[-1] == 123
    lines = list(preview.lines("leads.csv", table, rules, daily_limit=50, show_lead=True))
    assert lines[:4] == [
        "leads.csv: CSV, UTF-8, separated by comma, 123 rows",
        "Columns: First_Name → name, Email_ID → email, Assistant → assistantEmail",
        "Ignored: Notes",
        'The first lead: {"name": "Jane", "email": "lead0@example.com", "assistantEmail": "sam@example.com"}',
    ]
    assert lines[4:] == [
        "Wrong: 3 rows",
        '        2  email: is not an e-mail address, because it has no "@" (line 122, 123)',
        "        1  same lead as an earlier line (line 124)",
        "Leads for each assistant:",
        "      120  sam@example.com, 3 days at 50 a day",
        "About a minute at 50 leads a second, about USD 0.01 for AWS.",
    ]
    assert jane.door.bodies == []
    assert list(jane.folder.iterdir()) == []
