"""What every test shares: hypothesis' profile, AWS's service models, an AWS that can't be the real one."""

import functools
from typing import Any

import botocore.client
import botocore.loaders
import pytest
from hypothesis import HealthCheck, settings

from tests.partiql import run_together

# Machines are shared and noisy: no test may fail for the time it takes.
settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("shared-machine")

# Each AWS session would look for the service models anew, and read them anew: half of what a client costs.
_load_file = functools.cache(botocore.loaders.JSONFileLoader().load_file)
setattr(botocore.loaders.JSONFileLoader, "load_file", lambda _, path: _load_file(path))  # noqa: B010
setattr(botocore.loaders, "create_loader", functools.cache(botocore.loaders.create_loader))  # noqa: B010


# moto doesn't understand all of the ledger's PartiQL statements. moto's manual replaces this method, too.
_call_api = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]


def _translate_statements(client: Any, operation: str, request: Any) -> Any:
    if operation == "BatchExecuteStatement" and "amazonaws.com" in client.meta.endpoint_url:
        return run_together(request["Statements"], client.update_item)
    return _call_api(client, operation, request)


setattr(botocore.client.BaseClient, "_make_api_call", _translate_statements)  # noqa: B010


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps all tests of the templates in one process, because the CDK takes seconds to start in each."""
    for item in items:
        if "synthesise" in vars(getattr(item, "module", None) or item):
            item.add_marker(pytest.mark.xdist_group("templates"))


@pytest.fixture(autouse=True)
def aws_that_is_not_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that open nothing, in case a call slips past moto or the emulator."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
