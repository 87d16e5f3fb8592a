"""A sandbox of the test's own, and a client with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.sandbox.server import LeadsApiSandbox
from local.sandbox.tokens import OwnTokenEndpoint
from tests.local.sandbox_caller import CLIENT, Caller, caller_of

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
