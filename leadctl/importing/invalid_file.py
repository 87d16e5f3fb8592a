"""The `_invalid` file: the rows that were not taken, as the user wrote them, each with its reasons."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import IO

from leadctl.importing.journal import Journal
from leadctl.importing.scratch import Scratch
from leadctl.importing.table import Table

_FACT = "invalid file"


def write_invalid(table: Table, scratch: Scratch, journal: Journal, path: Path) -> Path | None:
    """Returns where it is, or None when every row was taken. Raises `OSError`.

    What an earlier call wrote is replaced, unless somebody has changed it since: then the new file gets
    another name, because corrections that weren't imported yet have no other copy.
    """
    if not scratch.refused():
        if _is_ours(path, journal):
            path.unlink()
        return None
    folder = path.parent
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    try:
        digest = hashlib.sha256()
        with os.fdopen(descriptor, "wb") as file:
            for piece in _pieces(table, scratch):
                digest.update(piece)
                file.write(piece)
            _sync(file)
        place = path if not path.exists() or _is_ours(path, journal) else _free(path)
        Path(draft).replace(place)
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        # Python doesn't say which file it was when a write fails.
        raise OSError(error.errno, error.strerror, str(path)) from None
    journal.keep(f"{_FACT} {place.name}", digest.hexdigest())
    return place


def _pieces(table: Table, scratch: Scratch) -> Iterator[bytes]:
    yield table.invalid_head()
    for row in table.rows():
        reason = scratch.reason(row.number)
        if reason is not None:
            yield table.invalid_row(row, reason)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _is_ours(path: Path, journal: Journal) -> bool:
    written = journal.fact(f"{_FACT} {path.name}")
    if written is None or not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == written


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(name for name in names if not name.exists())
