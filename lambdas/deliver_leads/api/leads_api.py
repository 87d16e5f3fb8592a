"""The 7Targets leads API: its three calls, and the confirming one."""

import time
from http import HTTPStatus

import requests

from ..event.lead import Json, Operation
from ..outcome import DeliveredLead, RetryError
from .access_token import AccessTokens
from .answers import classify, lost_answer
from .http_client import Deadline, HttpClient, NoAnswerError, NotSentError, read_retry_after

CALLS = {
    Operation.CREATE: ("POST", "/leads"),
    Operation.UPDATE: ("PUT", "/leads"),
    Operation.STOP_FOLLOWUP: ("PUT", "/leads/stop/followup"),
}
# What a confirming update sends: enough to name the lead, and nothing that could restart its sequence. The
# source goes along since the API may set an absent one to "Website".
CONFIRMING_FIELDS = ("name", "email", "assistantEmail", "source")


class LeadsApi:
    """Sends leads with the shared session and token. Safe under threads."""

    def __init__(self, http: HttpClient, tokens: AccessTokens, base_url: str) -> None:
        self._http = http
        self._tokens = tokens
        self._base_url = base_url.rstrip("/")

    def send(self, operation: Operation, lead: dict[str, Json], deadline: Deadline) -> DeliveredLead:
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
            return answer
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            self._tokens.forget_credentials()
        raise answer

    def confirm(self, lead: dict[str, Json], deadline: Deadline) -> DeliveredLead:
        """Asks, by an update that changes nothing, whether 7Targets holds a lead whose create had no answer.

        Raises `UnknownLeadError` when it doesn't, so that the create may be sent.
        """
        fields = {name: lead[name] for name in CONFIRMING_FIELDS if name in lead}
        return self.send(Operation.UPDATE, fields, deadline)

    def _call(
        self,
        operation: Operation,
        lead: dict[str, Json],
        token: str,
        user_identifier: str,
        deadline: Deadline,
    ) -> requests.Response:
        method, path = CALLS[operation]
        try:
            return self._http.send(
                method,
                self._base_url + path,
                deadline,
                headers={"Authorization": f"Bearer {token}", "7ts-user-identifier": user_identifier},
                json=lead,
            )
        except NotSentError as error:
            raise RetryError(f"leads API: {error}") from None
        except NoAnswerError as error:
            raise lost_answer(operation, f"leads API: {error}") from None
