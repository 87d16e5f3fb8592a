"""The journal beside the file: which rows were sent to which stage, so that a second call sends the rest.

It holds hashes and states only: of the lead's address, and the key. A row is known by its key, so by its
content: sorting, renaming or correcting the file changes nothing for the rows that stay.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

_VERSION = 1
_TABLES = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    BEGIN EXCLUSIVE;
    CREATE TABLE IF NOT EXISTS sent (
        target TEXT, key BLOB, lead BLOB NOT NULL, state INTEGER NOT NULL, PRIMARY KEY (target, key)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    COMMIT;
"""


class JournalError(Exception):
    """The text is a sentence."""


class Noted(IntEnum):
    """What is known of a row. Stored: never change a number."""

    SENT = 1  # SQS took it
    DELIVERED = 2  # 7Targets has it, or something later of the same lead
    PARKED = 3  # until somebody has handled it; looked up again by the next call


class Journal:
    """One stage's part of a journal. `path` None: in memory, for a call that must leave nothing behind."""

    def __init__(self, path: Path | None, target: str) -> None:
        """Raises `JournalError` when the file can't be used, or another import is using it."""
        self._path = path
        self._target = target
        with self._explained():
            if path is not None:
                # Made by us, because SQLite would let the group read it.
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path or ":memory:", timeout=0, isolation_level=None)
            self._db.executescript(_TABLES)
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, _VERSION}:
                raise JournalError(f"{path} was written by another version of leadctl.")
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    @property
    def is_in_memory(self) -> bool:
        """Whether it is gone after this call."""
        return self._path is None

    def states(self, keys: Sequence[str]) -> dict[str, Noted]:
        """Of those that are known. At most a few hundred keys."""
        with self._explained():
            marks = ",".join("?" * len(keys))
            digests = {_digest(key): key for key in keys}
            rows = self._db.execute(
                f"SELECT key, state FROM sent WHERE target = ? AND key IN ({marks})",  # noqa: S608 - only marks
                (self._target, *digests),
            )
            return {digests[digest]: Noted(state) for digest, state in rows}

    def note(self, rows: Sequence[tuple[str, str]], state: Noted) -> None:
        """Of each row its key and its lead's hash.

        Survives this process, but not always a power cut, against which each row would need a flush of the
        disk. The ledger and the function know the keys then.
        """
        if not rows:
            return
        with self._explained(), self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)",
                [(self._target, _digest(key), bytes.fromhex(lead), int(state)) for key, lead in rows],
            )

    def some_leads(self, most: int) -> list[str]:
        """The hashes of some leads that have been sent to this stage."""
        with self._explained():
            rows = self._db.execute("SELECT lead FROM sent WHERE target = ? LIMIT ?", (self._target, most))
            return [digest.hex() for (digest,) in rows]

    def forgotten(self, *, for_good: bool) -> "Journal":
        """A journal without this stage's rows, which then count as not sent; this one, if `for_good`."""
        if not for_good:
            return Journal(None, self._target)
        with self._explained():
            self._db.execute("DELETE FROM sent WHERE target = ?", (self._target,))
        return self

    def fact(self, name: str) -> str | None:
        """What was kept under the name."""
        with self._explained():
            found = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
            return None if found is None else str(found[0])

    def keep(self, name: str, value: str) -> None:
        """Keeps it for later calls."""
        with self._explained():
            self._db.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Lets other calls use it."""
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise JournalError(
                    f"Another import of this file is under way ({self._path} is in use)."
                ) from None
            raise JournalError(f"The journal {self._path} can't be used: {error}.") from None


def _digest(key: str) -> bytes:
    return bytes.fromhex(key.removeprefix("import-"))
