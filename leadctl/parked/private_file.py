"""A new file with personal data, for this user only."""

import os
from collections.abc import Iterable
from pathlib import Path

from leadctl.problems import ProblemError


def write_text(path: Path, pieces: Iterable[str], encoding: str = "utf-8") -> None:
    """Writes it through to the disk. Raises `ProblemError` when it is there already, else `OSError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ProblemError(f"{path} is there already, and isn't overwritten.") from None
    try:
        with os.fdopen(descriptor, "w", encoding=encoding, newline="") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Python doesn't say which file it was when a write fails.
        raise OSError(error.errno, error.strerror, str(path)) from None
