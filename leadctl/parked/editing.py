"""Changing a parked body in the user's editor, until the function would take it."""

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from leadctl.output import pretty
from leadctl.problems import ProblemError, ToBeFixedError


def edit_until_right(
    body: str, remarks: Iterable[str], problems_of: Callable[[str], list[str]]
) -> tuple[str | None, Path]:
    """Returns the new body, or None when nothing was changed, and the file with it, which the caller removes.

    `remarks` go on top as comments, and so does what is still wrong. Raises `ToBeFixedError` when the user
    leaves the editor without having changed what is wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="leadctl-"))  # for this user only
    path = folder / "event.json"
    before, on_top = pretty(body), list(remarks)
    shown = before
    while True:
        path.write_text("".join(f"# {line}\n" for line in on_top) + shown + "\n", "utf-8")
        try:
            _run_editor(path)
        except ProblemError:
            shutil.rmtree(folder)
            raise
        text = without_comments(path.read_text("utf-8-sig"))  # an editor may add a byte order mark
        if text == before:
            return None, path
        problems = problems_of(text)
        if not problems:
            return text, path
        if text == shown:
            raise ToBeFixedError(
                f"Nothing was sent, because it is still wrong: {'; '.join(problems)}. It is in {path}."
            )
        shown = text
        on_top = ["Still wrong:", *problems, "Correct it, or leave the file as it is to give up."]


def without_comments(text: str) -> str:
    """Without the comment lines on top."""
    return re.sub(r"\A(#[^\n]*\n)*", "", text).strip()


def _run_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        ended = subprocess.run([*shlex.split(editor), str(path)], check=False)  # noqa: S603 - see above
    except OSError as error:
        raise ProblemError(f"The editor {editor} can't be started ({error.strerror}): set EDITOR.") from None
    if ended.returncode != 0:
        raise ProblemError(f"Nothing was sent, because {editor} ended with status {ended.returncode}.")
