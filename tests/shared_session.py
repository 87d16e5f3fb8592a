"""AWS clients that the tests of a process share."""

import functools
from typing import Any

import boto3
from botocore.config import Config


class SharedSession(boto3.Session):
    """An AWS session that makes each client once, because a new one costs as much as a test."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._made: dict[str, Any] = {}

    def client(self, service_name: Any, *, config: Config | None = None, **more: Any) -> Any:  # type: ignore[override]
        """The one client of this service with these settings. What a test changes of it, it changes back."""
        settings = getattr(config, "_user_provided_options", {})
        key = repr((service_name, dict(settings), more))
        if key not in self._made:
            self._made[key] = super().client(service_name, config=config, **more)
        return self._made[key]


@functools.cache
def shared_session() -> SharedSession:
    """The AWS session of all tests of this process."""
    return SharedSession()
