"""How the function makes its AWS clients: with short time-outs, and without what botocore can be spared."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.config import Config

from .api.http_client import AWS_CONNECT_TIMEOUT_S, AWS_READ_TIMEOUT_S, AWS_TRIES, USER_AGENT


def client_config(parallel_calls: int, tries: int = AWS_TRIES) -> Config:
    """These calls take from the time that a lead has left, and SQS repeats what fails."""
    return Config(
        connect_timeout=AWS_CONNECT_TIMEOUT_S,
        read_timeout=AWS_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": tries},
        max_pool_connections=parallel_calls,
        # A fifth of a call's CPU. AWS checks the same, and the tests call all that the function does.
        parameter_validation=False,
        # A fixed text, because botocore would put its own together again for each call.
        user_agent=USER_AGENT,
    )


# Two clients of one session may not be made at the same time (boto3's guide, "Multithreading").
_making = threading.Lock()


class LateClient:
    """An AWS client that is made when it is first used, not at each cold start. Safe under threads."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client: Any = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any of the client's
        with _making:
            if self._client is None:
                self._client = self._make()
        return getattr(self._client, name)
