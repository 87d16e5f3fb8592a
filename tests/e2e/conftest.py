"""One deployed stack for all end-to-end tests; each test finds it as if it had just been deployed."""

import json
from collections.abc import Iterator

import pytest

from local.sample.events import LEAD_DEFAULTS
from local.stack.deployment import Deployment, deployed
from tests.e2e.foreign import foreign_mappings


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
