"""The delivery guarantees under faults: a short run of the fault suite, always the same seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack.child_process import PROJECT

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("fault suite")]


def run_chaos(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Runs the fault suite to its end, its files in this folder."""
    return subprocess.run(  # noqa: S603 - this project's own program
        [sys.executable, "-m", "local.chaos", *options],
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(folder)},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_every_lead_is_accounted_for_under_all_faults(tmp_path: Path) -> None:
    """Kills, lost answers, a rotated secret and an outage: no lead is lost, none is created twice."""
    done = run_chaos(tmp_path, "--seed", "7", "--leads", "200", "--kills", "4", "--outage-hours", "1")
    assert done.returncode == 0, done.stdout
    assert "All invariants hold, with seed 7." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--leads", "many"), "must be a whole number from 20"),
        (("--outage-hours", "48"), "must be from 0.5 to 24"),
        (("--mutant", "none"), "invalid choice"),
    ],
)
def test_wrong_arguments_are_refused_in_words(options: tuple[str, str], words: str, tmp_path: Path) -> None:
    """For a mistyped option, the error says what it takes."""
    done = run_chaos(tmp_path, *options)
    assert done.returncode == 2
    assert words in done.stdout
    assert "Traceback" not in done.stdout
