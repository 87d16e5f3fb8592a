"""The Makefile's set-up: what a run installs, and what a person sees while it does."""

import ast
import os
import pty
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.shipped

PROJECT = Path(__file__).resolve().parents[2]
OURS = {"deliver_leads", "infra", "leadctl", "local", "sim"}
STEP = [sys.executable, "-m", "local.set_up_step"]


def distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_for_a_run() -> set[str]:
    """The function's packages and those of the groups that `.venv/ready` names, with all that they need."""
    rule = (PROJECT / "Makefile").read_text("utf-8").split("\n.venv/ready:")[1].split("\n\n")[0]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    left = list(project["project"]["dependencies"])
    for group in re.findall(r"--group (\w+)", rule):
        left += project["dependency-groups"][group]
    found: set[str] = set()
    seen: set[str] = set()
    while left:
        wanted = Requirement(left.pop())
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        found.add(distribution(wanted.name))
        for line in requires(wanted.name) or []:
            marker = Requirement(line).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                left.append(line)
    return found


def imports(nodes: list[ast.stmt]) -> Iterator[str]:
    """The packages that are imported at run time."""
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        else:
            yield from imports([child for child in ast.walk(node) if isinstance(child, ast.stmt)][1:])


def test_a_run_imports_nothing_that_only_the_tests_install() -> None:
    """Else `make run` fails on a fresh machine, and nowhere else."""
    there = installed_for_a_run()
    assert "moto" not in there
    folders = [PROJECT / "infra", PROJECT / "lambdas", PROJECT / "leadctl", PROJECT / "local"]
    files = [PROJECT / "app.py", *(file for folder in folders for file in folder.rglob("*.py"))]
    owners = packages_distributions()
    missing = {
        f"{file.relative_to(PROJECT)} imports {name}"
        for file in files
        for name in imports(ast.parse(file.read_text("utf-8")).body)
        if name not in OURS | sys.stdlib_module_names
        and not there & {distribution(owner) for owner in owners.get(name, [])}
    }
    assert missing == set()


def test_every_installation_is_checked_by_the_lock_files_hashes() -> None:
    """A tampered package is refused on every way in."""
    makefile = (PROJECT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    installing = [line for line in makefile.splitlines() if re.search(r"pip (install|sync) ", line)]
    assert len(installing) == 3
    assert [line for line in installing if "--require-hashes" not in line] == []


def step_without_terminal(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - this project's own program
        [*STEP, "A step", *command], cwd=PROJECT, check=False, capture_output=True, text=True, timeout=60
    )


def test_a_step_without_a_terminal_is_one_line() -> None:
    """A log of CI needs no more, as long as nothing fails."""
    done = step_without_terminal("echo", "noise")
    assert (done.returncode, done.stdout, done.stderr) == (0, "A step\n", "")


def test_a_step_that_fails_shows_all_that_its_command_printed() -> None:
    """And ends with its status, so that make stops."""
    done = step_without_terminal("sh", "-c", "echo first; echo second >&2; exit 3")
    assert (done.returncode, done.stderr) == (3, "first\nsecond\n")


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Its two ends: what a person sees, and what a program writes to."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def read_until(end: int, words: str) -> str:
    text = ""
    while words not in text:
        text += os.read(end, 4096).decode()
    return text


def test_a_step_on_a_terminal_shows_what_its_command_says_and_ends_by_ctrl_c(
    terminal: tuple[int, int],
) -> None:
    """A step of a minute isn't taken for one that hangs."""
    seen, written = terminal
    command = ["sh", "-c", "echo Downloading aws-cdk-lib; exec sleep 60"]
    step = subprocess.Popen(  # noqa: S603 - this project's own program
        [*STEP, "A step", *command],
        cwd=PROJECT,
        stdout=written,
        start_new_session=True,
        # A shell starts what is in its background with this signal ignored, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert re.search(r"A step \(\d+ s\) ", read_until(seen, "Downloading aws-cdk-lib"))
        os.killpg(step.pid, signal.SIGINT)
        assert step.wait(30) == 128 + signal.SIGINT
    finally:
        if step.poll() is None:
            os.killpg(step.pid, signal.SIGKILL)
            step.wait()
