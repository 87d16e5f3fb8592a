"""leadctl on its own: its wheel holds what it imports, and its requirements are those of the project."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import leadctl
from infra.version import VERSION

PROJECT = Path(__file__).parents[2]
PYPROJECT = PROJECT / "leadctl" / "pyproject.toml"


def settings(path: Path) -> dict[str, Any]:
    """A pyproject.toml."""
    return tomllib.loads(path.read_text("utf-8"))


def test_the_wheels_files_are_enough_for_every_command(tmp_path: Path) -> None:
    """Without the rest of the function's package; importing the commands imports all that they need."""
    wheel = settings(PYPROJECT)["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        origin = PYPROJECT.parent / source
        if origin.is_dir():
            shutil.copytree(origin, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / target).parent.mkdir(exist_ok=True)
            shutil.copy(origin, tmp_path / target)
    assert {path.name for path in (tmp_path / "deliver_leads").iterdir()} == {
        *("__init__.py", "contract.py", "dynamodb_notation.py", "event", "outcome.py")
    }
    ended = subprocess.run(
        [sys.executable, "-m", "leadctl", "version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"leadctl              {leadctl.__version__}\n")


def test_version_and_requirements_are_the_projects() -> None:
    """Two places that a release would forget."""
    project = settings(PROJECT / "pyproject.toml")
    alone = settings(PYPROJECT)["project"]
    assert leadctl.__version__ == project["project"]["version"] == VERSION
    names = sorted(requirement.partition(">=")[0] for requirement in alone["dependencies"])
    assert names == project["dependency-groups"]["leadctl"]
    assert alone["requires-python"] == project["project"]["requires-python"]
