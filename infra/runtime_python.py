"""The Python that the function runs on, looked for on this machine: used where it is, never required."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

RUNTIME_VERSION = "3.13"


def find_runtime_python() -> Path | None:
    """A CPython of the function's version that really runs, or None.

    Looked for in this order: this interpreter, PATH, pyenv's versions (newest first), the ones uv manages.
    """
    return next(filter(None, map(_runtime_python, _interpreters())), None)


def _interpreters() -> Iterator[Path]:
    name = f"python{RUNTIME_VERSION}"
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        yield Path(folder, name)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    by_patch = sorted(pyenv.glob(f"{RUNTIME_VERSION}.*"), key=lambda path: _numbers(path.name), reverse=True)
    yield from (version / "bin" / name for version in by_patch)
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    yield from (version / "bin" / name for version in sorted(uv.glob(f"cpython-{RUNTIME_VERSION}.*")))


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)]


def _runtime_python(path: Path) -> Path | None:
    """The Python that the program runs, if it is of the version that it is named after.

    A pyenv shim is there for all versions, and what it runs depends on variables.
    """
    if not path.exists():
        return None
    program = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sys.executable)"
    try:
        done = subprocess.run(  # noqa: S603 - the path was found here, no word comes from outside
            [path, "-I", "-c", program], check=False, capture_output=True, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
    kind, _, its_own = os.fsdecode(done.stdout).strip().partition(f" {RUNTIME_VERSION} ")
    return Path(its_own) if kind == "cpython" else None
