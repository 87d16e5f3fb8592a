"""What the sandbox remembers: leads, names with ids, requests received, revoked tokens.

`SandboxStore` says what a store does, `SqliteStore` keeps it in one file; dynamodb_store.py keeps it in a
table. Both keep text from callers as JSON, so that any string survives, even one that UTF-8 can't hold.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Lead = dict[str, Any]
Result = TypeVar("Result")
_Value = str | int | float | None

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;  -- a killed process loses nothing; only a power cut could
CREATE TABLE IF NOT EXISTS leads (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT UNIQUE, lead TEXT);
CREATE TABLE IF NOT EXISTS names (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, name TEXT, UNIQUE (kind, name));
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, operation TEXT, email TEXT, body TEXT, jti TEXT,
    status INTEGER, fault TEXT, effect TEXT, effect_at REAL);
CREATE TABLE IF NOT EXISTS revoked (jti TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class ReceivedRequest:
    """One request and its effect; credentials and tokens are left out, `jti` distinguishes tokens.

    `at` is the epoch second it arrived, `effect_at` that of its effect. `status` is None when the connection
    was cut.
    """

    at: float
    operation: str
    email: str | None = None
    body: object = None
    jti: str | None = None
    status: int | None = None
    fault: str | None = None
    effect: str | None = None
    effect_at: float | None = None


class SandboxStore(Protocol):
    """Safe to share between threads; changes of leads and requests belong inside `apply`."""

    def apply(self, work: Callable[[], Result]) -> Result:
        """Calls `work`: all changes made in it are kept, or none of them. It may be called again."""

    def lead_with_id(self, lead_id: int) -> Lead | None: ...

    def lead_with_email(self, email: str) -> Lead | None:
        """The one lead with this e-mail address, whatever its case."""

    def leads(self) -> list[Lead]: ...

    def save_lead(self, lead: Lead) -> None:
        """Stores the lead; a new one is given its `id`."""

    def id_of(self, kind: str, name: str) -> int:
        """The id of, say, the assistant with this name; a name not seen before gets a new one."""

    def names(self, kind: str) -> dict[int, str]:
        """All names of this kind by id, in the order they were first seen."""

    def record(self, request: ReceivedRequest) -> None: ...

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The requests with a higher `seq` than `since`, in the order they took effect."""

    def revoke_tokens(self) -> int:
        """Revokes every token issued through the sandbox or shown to it until now; how many are revoked."""

    def is_revoked(self, jti: str) -> bool: ...

    def reset(self) -> None:
        """Forgets everything; ids and `seq` start at 1 again."""


def summary(store: SandboxStore) -> dict[str, Any]:
    """`tokens_fetched` counts token requests answered 200."""
    requests = store.requests()
    return {
        "leads": len(store.leads()),
        "created_again": sum(request["effect"] == "created_again" for request in requests),
        "tokens_fetched": sum(
            request["operation"] == "token" and request["status"] == 200 for request in requests
        ),
    }


class SqliteStore:
    """One SQLite file; `path` None keeps everything in memory.

    Raises sqlite3.Error for a file that isn't a state file.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self._db.execute("SELECT effect_at FROM requests")  # the newest column: older files lack it

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def apply(self, work: Callable[[], Result]) -> Result:
        """One at a time."""
        with self._lock, self._db:
            return work()

    def lead_with_id(self, lead_id: int) -> Lead | None:
        rows = self._rows("SELECT lead FROM leads WHERE id = ?", lead_id)
        return json.loads(rows[0][0]) if rows else None

    def lead_with_email(self, email: str) -> Lead | None:
        rows = self._rows("SELECT lead FROM leads WHERE email = ?", email_key(email))
        return json.loads(rows[0][0]) if rows else None

    def leads(self) -> list[Lead]:
        return [json.loads(lead) for (lead,) in self._rows("SELECT lead FROM leads ORDER BY id")]

    def save_lead(self, lead: Lead) -> None:
        if "id" not in lead:
            lead["id"] = self._write("INSERT INTO leads (email) VALUES (?)", email_key(lead["email"]))
        self._write("UPDATE leads SET lead = ? WHERE id = ?", json.dumps(lead), lead["id"])

    def id_of(self, kind: str, name: str) -> int:
        self._write("INSERT OR IGNORE INTO names (kind, name) VALUES (?, ?)", kind, json.dumps(name))
        rows = self._rows("SELECT id FROM names WHERE kind = ? AND name = ?", kind, json.dumps(name))
        return int(rows[0][0])

    def names(self, kind: str) -> dict[int, str]:
        rows = self._rows("SELECT id, name FROM names WHERE kind = ? ORDER BY id", kind)
        return {number: json.loads(name) for number, name in rows}

    def record(self, request: ReceivedRequest) -> None:
        row = vars(request) | {"email": json.dumps(request.email), "body": json.dumps(request.body)}
        columns, places = ", ".join(row), ", ".join("?" * len(row))
        self._write(f"INSERT INTO requests ({columns}) VALUES ({places})", *row.values())  # noqa: S608 - our names

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        names = ("seq", *ReceivedRequest.__dataclass_fields__)
        query = f"SELECT {', '.join(names)} FROM requests WHERE seq > ? ORDER BY seq"  # noqa: S608 - our names
        found = [dict(zip(names, row, strict=True)) for row in self._rows(query, since)]
        return [row | {name: json.loads(row[name]) for name in ("email", "body")} for row in found]

    def revoke_tokens(self) -> int:
        with self._lock, self._db:
            self._write(
                "INSERT OR IGNORE INTO revoked SELECT DISTINCT jti FROM requests WHERE jti IS NOT NULL"
            )
            return int(self._rows("SELECT count(*) FROM revoked")[0][0])

    def is_revoked(self, jti: str) -> bool:
        return bool(self._rows("SELECT 1 FROM revoked WHERE jti = ?", jti))

    def reset(self) -> None:
        with self._lock, self._db:
            for table in ("leads", "names", "requests", "revoked", "sqlite_sequence"):
                self._write(f"DELETE FROM {table}")  # noqa: S608 - our names

    def _write(self, sql: str, *values: _Value) -> int:
        with self._lock:
            return int(self._db.execute(sql, values).lastrowid or 0)

    def _rows(self, sql: str, *values: _Value) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def email_key(email: str) -> str:
    return json.dumps(email.casefold())
