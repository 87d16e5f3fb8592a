"""The 7Targets leads API: its three calls."""

import time
from collections.abc import Mapping
from http import HTTPStatus

from ..contract import Metric
from ..event.lead import Json, Operation
from ..outcome import DeliveredLead, RetryError, UnconfirmedError
from .access_token import AccessTokens
from .answers import classify
from .call_tally import CallTally
from .http_client import Deadline, HttpAnswer, HttpClient, NoAnswerError, NotSentError, read_retry_after

CALLS = {
    Operation.CREATE: ("POST", "/leads"),
    Operation.UPDATE: ("PUT", "/leads"),
    Operation.STOP_FOLLOWUP: ("PUT", "/leads/stop/followup"),
}


class LeadsApi:
    """Sends leads with the shared session and token. Safe under threads.

    `last_success_s`: when the API last took something, in epoch seconds; 0 before that.
    """

    def __init__(self, http: HttpClient, tokens: AccessTokens, base_url: str, calls: CallTally) -> None:
        self._http = http
        self._tokens = tokens
        self._calls = calls
        self._base_url = base_url.rstrip("/")
        self.last_success_s = 0.0

    def fetch_first_token(self, deadline: Deadline) -> None:
        """Fetches the first token before a lead needs it; raises as `send` does."""
        if self._tokens.is_first:
            self._tokens.get(deadline)

    def send(self, operation: Operation, lead: Mapping[str, Json], deadline: Deadline) -> DeliveredLead:
        """Raises a `DeliveryError` for every answer but a 2xx with a lead.

        A refused token is renewed once and the call repeated once: a 401 had no effect on the lead.
        """
        token = self._tokens.get(deadline)
        response = self._call(operation, lead, token.value, token.user_identifier, deadline)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            token = self._tokens.get(deadline, refused=token)
            response = self._call(operation, lead, token.value, token.user_identifier, deadline)
        wait_s = read_retry_after(response.headers.get("Retry-After"), time.time())
        answer = classify(operation, response.status_code, response.content, wait_s)
        if isinstance(answer, DeliveredLead):
            self.last_success_s = time.time()
            return answer
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.doubt_credentials(refused=token)
        elif answer.status == HTTPStatus.FORBIDDEN:
            self._tokens.doubt_credentials()
        raise answer

    def _call(
        self,
        operation: Operation,
        lead: Mapping[str, Json],
        token: str,
        user_identifier: str,
        deadline: Deadline,
    ) -> HttpAnswer:
        method, path = CALLS[operation]
        started = time.monotonic()
        try:
            answer = self._http.send(
                method,
                self._base_url + path,
                deadline,
                headers={"Authorization": f"Bearer {token}", "7ts-user-identifier": user_identifier},
                json=dict(lead),
            )
        except NotSentError as error:
            self._calls.count(Metric.UNANSWERED)
            raise RetryError(f"leads API: {error}") from None
        except NoAnswerError as error:
            self._calls.count(Metric.UNANSWERED)
            raise UnconfirmedError(f"leads API: {error}") from None
        self._calls.note_answer(answer.status_code, time.monotonic() - started)
        return answer
