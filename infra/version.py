"""Which version of this project a stack is made from."""

import functools
import subprocess
from pathlib import Path

VERSION = "0.2.0"

_PROJECT = Path(__file__).resolve().parent.parent
# A wheel brings it; in a checkout git knows.
_RELEASED_COMMIT = Path(__file__).with_name("commit.txt")


@functools.cache
def commit() -> str:
    """The commit that a stack is made from: its first 12 hex digits.

    With `-dirty` after them if a tracked file differs from it; `unknown` in a folder without git.
    """
    if _RELEASED_COMMIT.exists():
        return _RELEASED_COMMIT.read_text("ascii").strip()
    if not (_PROJECT / ".git").exists():  # else git would name the commit of a folder above
        return "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603 - no word comes from outside
            command, cwd=_PROJECT, check=False, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"
