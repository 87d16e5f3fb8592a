"""A client of the leads API sandbox over real HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from local.sandbox.server import USER_IDENTIFIER

if TYPE_CHECKING:
    from collections.abc import Iterator

JOHN = {"name": "John", "email": "john.doe@example.com", "assistantEmail": "ana@example.org"}
FORM = {"grant_type": "client_credentials", "scope": "leads/post"}
CLIENT = ("client-1", "secret-1")


class Caller:
    """A client of one sandbox with a pooled session and an access token."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", HTTPAdapter(pool_maxsize=32))

    def log_in(self) -> None:
        token = self.token().json()["access_token"]
        self.session.headers.update(
            {"Authorization": f"Bearer {token}", "7ts-user-identifier": USER_IDENTIFIER}
        )

    def token(self, **change: Any) -> requests.Response:
        options: dict[str, Any] = {"data": FORM, "auth": CLIENT, "timeout": 10}
        return self.session.post(f"{self.url}/oauth2/token", **options | change)

    def create(self, **fields: object) -> requests.Response:
        return self.call("POST", "/leads", JOHN | fields)

    def update(self, **fields: object) -> requests.Response:
        return self.call("PUT", "/leads", JOHN | fields)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        **options: Any,
    ) -> requests.Response:
        return self.session.request(method, self.url + path, json=body, **{"timeout": 10} | options)

    def control(self, path: str) -> Any:
        return self.call("GET", f"/_sandbox/{path}").json()

    def last_request(self) -> dict[str, Any]:
        last: dict[str, Any] = self.control("requests")[-1]
        return last

    def script(self, operation: str, fault: dict[str, Any], **rule: object) -> None:
        answer = self.call("PUT", "/_sandbox/faults", [{"operation": operation, "fault": fault, **rule}])
        assert answer.status_code == 200, answer.text


@contextmanager
def caller_of(url: str) -> Iterator[Caller]:
    caller = Caller(url)
    with caller.session:
        yield caller
