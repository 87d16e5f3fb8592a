"""A sandbox of the test's own, and a client with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.sandbox.server import LeadsApiSandbox
from local.sandbox.tokens import OwnTokenEndpoint
from tests.local.sandbox_caller import CLIENT, Caller, caller_of
from tests.local.sandbox_function import function_caller

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def tokens() -> OwnTokenEndpoint:
    return OwnTokenEndpoint(*CLIENT)


@pytest.fixture
def sandbox(tokens: OwnTokenEndpoint) -> Iterator[LeadsApiSandbox]:
    with LeadsApiSandbox(tokens=tokens) as running:
        yield running


@pytest.fixture
def api(sandbox: LeadsApiSandbox) -> Iterator[Caller]:
    with caller_of(sandbox.url) as caller:
        caller.log_in()
        yield caller


@pytest.fixture(scope="module")
def deployed_api() -> Iterator[Caller]:
    with function_caller() as caller:
        yield caller


@pytest.fixture
def function_api(deployed_api: Caller) -> Caller:
    """The sandbox as a function, as if it had just been deployed, but with a token."""
    deployed_api.call("POST", "/_sandbox/reset")
    deployed_api.log_in()
    return deployed_api
