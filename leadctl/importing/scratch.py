"""What one call has seen so far, on disk: a file may have more rows than should be in memory."""

import sqlite3


class Scratch:
    """Forgotten when it is closed."""

    def __init__(self) -> None:
        # An empty name: a file of SQLite's own without a name in any folder.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE lead (hash BLOB PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE refused (number INTEGER PRIMARY KEY, reason TEXT NOT NULL);"
            "BEGIN"
        )

    def first_row(self, lead_hash: str, number: int) -> int:
        """The number of the first row with this lead, which is this one unless another came before."""
        digest = bytes.fromhex(lead_hash)
        known = self._db.execute("SELECT number FROM lead WHERE hash = ?", (digest,)).fetchone()
        if known is not None:
            return int(known[0])
        self._db.execute("INSERT INTO lead VALUES (?, ?)", (digest, number))
        return number

    def refuse(self, number: int, reason: str) -> None:
        """Notes why a row was not taken; a later reason replaces an earlier one."""
        self._db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?)", (number, reason))

    def reason(self, number: int) -> str | None:
        """Why the row was not taken."""
        found = self._db.execute("SELECT reason FROM refused WHERE number = ?", (number,)).fetchone()
        return None if found is None else str(found[0])

    def refused(self) -> int:
        """How many rows were not taken."""
        return int(self._db.execute("SELECT count(*) FROM refused").fetchone()[0])

    def close(self) -> None:
        """Gives its disk space back."""
        self._db.close()
