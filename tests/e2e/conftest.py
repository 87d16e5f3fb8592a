"""A deployed stack that end-to-end tests share; each test finds it as if it had just been deployed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.sample.events import LEAD_DEFAULTS
from local.stack.deployment import Deployment, deployed
from tests.e2e.foreign import foreign_mappings
from tests.e2e.shell import Operator


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the end-to-end tests over workers, which deploy the stack once each, because they mostly wait.

    The page's `dev` is a run that stays up, and `running` one that ends; another test that starts one names
    its group itself. Runs that stay up are in one group, because a clone can have one at a time.
    """
    for item in items:
        if item.get_closest_marker("e2e") and not item.get_closest_marker("xdist_group"):
            needed = getattr(item, "fixturenames", ())
            group = next(
                (name for name in ("dev", "operator", "running") if name in needed), "deployed stack"
            )
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Emulator, sandbox and stack; a failed start shows the end of what the CDK printed."""
    settings = {"mappings": json.dumps(foreign_mappings()), "outcomeEvents": "ids"}
    folder = tmp_path_factory.mktemp("deployment")
    with deployed(folder, lead_defaults=LEAD_DEFAULTS, settings=settings) as deployment:
        yield deployment


@pytest.fixture
def deployment(shared_deployment: Deployment) -> Deployment:
    """The stack with empty queues, an empty sandbox, the good secret and no warm execution environment."""
    shared_deployment.start_anew()
    return shared_deployment


@pytest.fixture
def operator(deployment: Deployment, tmp_path: Path) -> Operator:
    """An operator of the deployed stack, in an empty folder."""
    return Operator(deployment, tmp_path)


@pytest.fixture
def resumed(deployment: Deployment) -> Iterator[None]:
    """Enables the event source mapping after the test, should the test fail while it is off."""
    yield
    deployment.emulator.client("lambda").update_event_source_mapping(
        UUID=deployment.outputs["EventSourceMappingId"], Enabled=True
    )
