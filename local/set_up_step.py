"""One step of the set-up as one line: `python -m local.set_up_step TEXT COMMAND...`.

On a terminal the line also shows the seconds and what the command printed last. When the command fails, all
that it printed follows; the exit status is the command's.
Needs the standard library only, because it installs the rest.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_INTERRUPTED = 130
_REFRESH_S = 0.5


def run(text: str, command: Sequence[str]) -> int:
    """Returns the command's exit status."""
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - the Makefile's own command
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _show_until_it_ends(text, process, Path(output.name))
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            return _INTERRUPTED
        if process.returncode:
            sys.stderr.write(_read(Path(output.name)))
        return process.returncode


def _show_until_it_ends(text: str, process: "subprocess.Popen[bytes]", output: Path) -> None:
    if not sys.stdout.isatty():
        print(text, flush=True)
        process.wait()
        return
    started = time.monotonic()
    width = shutil.get_terminal_size().columns - 1
    while True:
        has_ended = process.poll() is not None
        latest = "" if has_ended else _read(output).strip().rpartition("\n")[2]
        line = f"{text} ({time.monotonic() - started:.0f} s) {latest}"[:width]
        print(f"\r\x1b[K{line}", end="\n" if has_ended else "", flush=True)
        if has_ended:
            return
        time.sleep(_REFRESH_S)


def _read(output: Path) -> str:
    """Without what a terminal takes for a colour."""
    return re.sub(r"\x1b\[[0-9;]*m", "", output.read_text("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
