"""Shared by tests under the real runtime client: the bundle, an interpreter like Lambda's, a runtime API."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.bundling import PROJECT, build_bundle
from infra.runtime_python import find_runtime_python
from tests.infra.aws_server import aws_server
from tests.infra.runtime_api import RuntimeApi
from tests.infra.work_place import HostileApi, Stack


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is deployed."""
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose site-packages hold the runtime client, as Lambda's do, and no package of ours."""
    folder = tmp_path_factory.mktemp("runtime") / "venv"
    uv = Path(sys.executable).with_name("uv")
    lock = (PROJECT / "requirements.lock").read_text()
    [pin] = [line.split()[0] for line in lock.splitlines() if line.startswith("awslambdaric==")]
    base = find_runtime_python() or Path(sys.executable)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", folder, "--require-hashes"]
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--python", base, folder],
        [*install, "-c", "requirements.lock", pin],
    ]
    for command in commands:
        subprocess.run(command, check=True, cwd=PROJECT)  # noqa: S603
    return folder / "bin" / "python"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    """A runtime API for one execution environment."""
    with RuntimeApi() as running:
        yield running


@pytest.fixture
def leads_api() -> Iterator[HostileApi]:
    """An API that behaves until a test says otherwise."""
    with HostileApi() as running_api:
        yield running_api


@pytest.fixture
def stack(leads_api: HostileApi, api: RuntimeApi) -> Iterator[Stack]:
    """One stack for each test."""
    with aws_server() as url:
        yield Stack(url, leads_api, api)
