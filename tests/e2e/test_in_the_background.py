"""The tests themselves, in the background of a script and under nohup."""

import shutil
import subprocess
import sys

import pytest

from tests.documents import PROJECT

pytestmark = pytest.mark.e2e

_COMMAND = f"{sys.executable} -m pytest -q -p no:cacheprovider tests/leadctl/test_process.py -k ctrl_c"


def test_a_program_that_a_test_starts_there_ends_by_ctrl_c() -> None:
    """A shell ignores the signal for its background jobs, nohup SIGHUP, and children inherit that."""
    done = subprocess.run(  # noqa: S603 - this project's own tests
        [shutil.which("sh") or "sh", "-c", f"trap '' INT HUP; exec {_COMMAND}"],
        cwd=PROJECT,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
