"""The 7Targets leads API: its three calls."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from threading import get_ident

from ..contract import Metric
from ..event.lead import Json, Operation
from ..outcome import DeliveredLead, RetryError, UnconfirmedError
from ..pace import PATIENCE_S, Pace
from .access_token import AccessTokens
from .answers import LIMITED, classify
from .call_tally import CallTally
from .http_client import HttpAnswer, HttpClient, NoAnswerError, NotSentError, TimeLeft, read_retry_after

CALLS = {
    Operation.CREATE: ("POST", "/leads"),
    Operation.UPDATE: ("PUT", "/leads"),
    Operation.STOP_FOLLOWUP: ("PUT", "/leads/stop/followup"),
}


class LeadsApi:
    """Sends leads with the shared session and token. Safe under threads.

    `last_success_s`: when the API last took something, in epoch seconds; 0 before that.
    """

    def __init__(
        self, http: HttpClient, tokens: AccessTokens, base_url: str, calls: CallTally, pace: Pace
    ) -> None:
        self._http = http
        self._pace = pace
        self._tokens = tokens
        self._calls = calls
        self._base_url = base_url.rstrip("/")
        self.last_success_s = 0.0

    def fetch_first_token(self, time_left: TimeLeft) -> None:
        """Fetches the first token before a lead needs it; raises as `send` does."""
        if self._tokens.is_first:
            self._tokens.get(time_left)

    def send(self, operation: Operation, lead: Mapping[str, Json], time_left: TimeLeft) -> DeliveredLead:
        """Raises a `DeliveryError` for every answer but a 2xx with a lead.

        A refused token is renewed once and the call repeated once: a 401 had no effect on the lead.
        """
        token = self._tokens.get(time_left)
        response = self._call(operation, lead, token.value, token.user_identifier, time_left)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            token = self._tokens.get(time_left, refused=token)
            response = self._call(operation, lead, token.value, token.user_identifier, time_left)
        wait_s = read_retry_after(response.headers.get("Retry-After"), time.time())
        answer = classify(operation, response.status_code, response.content, wait_s)
        if isinstance(answer, DeliveredLead):
            self.last_success_s = time.time()
            return answer
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._tokens.doubt_credentials(refused=token)
        elif answer.status == HTTPStatus.FORBIDDEN:
            self._tokens.doubt_credentials()
        elif answer.status == LIMITED and isinstance(answer, RetryError):
            answer.place_s = self._pace.book()
        raise answer

    def _call(
        self,
        operation: Operation,
        lead: Mapping[str, Json],
        token: str,
        user_identifier: str,
        time_left: TimeLeft,
    ) -> HttpAnswer:
        """The answer to a call in its turn. A call that is turned away is made again if its turn is soon."""
        until_s = time.time() + PATIENCE_S
        while True:
            self._pace.wait(get_ident())
            began_s = time.time()
            answer = self._call_now(operation, lead, token, user_identifier, time_left)
            closed_s = read_retry_after(answer.headers.get("Retry-After"), time.time())
            is_turned_away = answer.status_code == LIMITED
            # Some gateways answer so when there are too many calls, others while the service is down.
            if is_turned_away or (
                answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and closed_s is not None
            ):
                self._pace.note_turned_away(began_s, closed_s, f"the leads API answered {answer.status_code}")
            elif answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._pace.note_taken()
            if not is_turned_away or time.time() > until_s or not self._pace.has_room(1):
                return answer

    def _call_now(
        self,
        operation: Operation,
        lead: Mapping[str, Json],
        token: str,
        user_identifier: str,
        time_left: TimeLeft,
    ) -> HttpAnswer:
        method, path = CALLS[operation]
        started = time.monotonic()
        try:
            answer = self._http.send(
                method,
                self._base_url + path,
                time_left,
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
