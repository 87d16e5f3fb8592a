"""The list of the user's assistants: the call that proves address, token and user without touching a lead.

Only the vendor's newer help pages mention this call, not the API document, so its absence is not an error.
What an answer to it proves:

    2xx, JSON      the address, the token and the user are right
    401            an API is there, and refuses a token that was issued a moment ago
    403            address and token are right, the user isn't
    other 4xx      nothing by itself: there is no API at the address, or one without this call
    3xx, no JSON   something else is at the address
    the rest       nothing: the API is down or busy
"""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from ..api.access_token import PASSING_STATUSES, AccessToken
from ..api.answers import REFUSED_CLIENT
from ..api.http_client import HttpAnswer, HttpClient, NoAnswerError, NotSentError, TimeLeft
from ..outcome import BlockedError, RetryError

PAGE_SIZE = 100
MOST_PAGES = 20
CHECK_URL = "check the setting leadsApiUrl"
# What Amazon API Gateway answers, with a 403, for a path or a method that it doesn't have.
# https://repost.aws/knowledge-center/api-gateway-authentication-token-errors
UNKNOWN_TO_A_GATEWAY = "MissingAuthenticationToken"


class UnprovenError(Exception):
    """Nothing is known to be wrong, and nothing is shown to be right; the text says why."""


class Assistants:
    """The assistants of the token's user. Calls of the API; none has an effect there.

    The methods raise `BlockedError` for what a person has to fix, `UnprovenError` for what this API doesn't
    show, and `RetryError` for what may pass by itself.
    """

    def __init__(self, http: HttpClient, base_url: str, token: AccessToken, time_left: TimeLeft) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token.value}",
            "7ts-user-identifier": token.user_identifier,
        }
        self._time_left = time_left

    def first_answer(self) -> HttpAnswer:
        """The answer to the first page, if it is one of the leads API's to a token that it takes."""
        answer = self._page(0)
        status = answer.status_code
        what = f"leads API answered {status}"
        if status == HTTPStatus.UNAUTHORIZED:
            remedy = (
                "check that the settings tokenUrl and leadsApiUrl are of the same 7Targets system, and "
                "user_identifier in the secret; if they are right, ask 7Targets support whether the client "
                "or its tokens were revoked"
            )
            raise BlockedError(f"{what} to a new token", remedy=remedy)
        if status == HTTPStatus.PAYMENT_REQUIRED:
            raise BlockedError(what, remedy=REFUSED_CLIENT[status])
        if status // 100 == 3:
            raise BlockedError(what, remedy=CHECK_URL)
        if status // 100 == 2 and _json(answer) is None:
            raise BlockedError(f"{what} without JSON", remedy=CHECK_URL)
        if _is_unknown_call(answer):
            self._require_api(what)
        return answer

    def require_assistant(self, first_page: HttpAnswer, wanted: str | None) -> None:
        """Returns if the user has assistants and, if one is wanted (an e-mail address), that one."""
        known: set[str] = set()
        for emails in self.pages(first_page):
            known |= emails
            if not wanted or wanted.strip().casefold() in emails:
                return
        if not known:
            remedy = "assign the user to every assistant that leads are given to, in the 7Targets app"
            raise BlockedError("the user has no assistant", remedy=remedy)
        remedy = "assign the user to it in the 7Targets app, or correct the setting and deploy again"
        what = f"assistantEmail of leadDefaults is none of the user's {len(known)} assistants"
        raise BlockedError(what, remedy=remedy)

    def pages(self, first_page: HttpAnswer) -> Iterator[set[str]]:
        """The addresses in each page, case-folded. Raises `UnprovenError` instead of going on for ever."""
        known: set[str] = set()
        emails = _emails(first_page)
        # The list ends with a page that shows nothing new, and not with a short one: an API may have a page
        # size of its own, or no pages.
        for page in range(1, MOST_PAGES + 1):
            if emails <= known:
                return
            yield emails
            known |= emails
            if page == MOST_PAGES:
                raise UnprovenError(f"the assistant isn't among the first {len(known)} of the user's")
            emails = _emails(self._page(page))

    def _page(self, number: int) -> HttpAnswer:
        query = f"searchString=&page={number}&size={PAGE_SIZE}&sort=lastModifiedDate,desc"
        return self._send("GET", f"/leads/assistant?{query}", headers=self._headers)

    def _require_api(self, what: str) -> None:
        """Raises `BlockedError` unless the API document's update is there.

        It is asked for without a token, which the API answers with 401 or 403 and nothing more. A server that
        looks at the token before the path says so for any path; therefore a path in the address counts as
        wrong, since 7Targets' own has none.
        """
        answer = self._send("PUT", "/leads", json={})
        is_there = answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
        if not is_there or _is_unknown_call(answer):
            raise BlockedError(f"{what}: there is no leads API at this address", remedy=CHECK_URL)
        if urlsplit(self._base_url).path:
            remedy = f"{CHECK_URL}, because 7Targets' own has no path after the host's name"
            raise BlockedError(f"{what}: the address has a wrong path", remedy=remedy)

    def _send(self, method: str, path: str, **request: Any) -> HttpAnswer:  # noqa: ANN401 - as HttpClient's
        """Raises `RetryError` while the API is down or busy."""
        try:
            answer = self._http.send(method, self._base_url + path, self._time_left, **request)
        except (NotSentError, NoAnswerError) as error:
            raise RetryError(f"leads API: {error}") from None
        if answer.status_code >= 500 or answer.status_code in PASSING_STATUSES:
            raise RetryError(f"leads API answered {answer.status_code}")
        return answer


def page_of_user(answer: HttpAnswer) -> HttpAnswer:
    """The first answer, if it shows that the user is known."""
    status = answer.status_code
    if _is_unknown_call(answer):
        raise UnprovenError(f"7Targets answered {status} to the list of assistants: it has no such call")
    if status == HTTPStatus.FORBIDDEN:
        raise BlockedError(
            f"leads API answered {status}: it takes the token and refuses the user",
            remedy="check user_identifier in the secret: the 7Targets app shows it under Settings, User "
            f"Identifier; if it is right, {CHECK_URL}",
        )
    return answer


def _is_unknown_call(answer: HttpAnswer) -> bool:
    if answer.status_code == HTTPStatus.FORBIDDEN:
        return answer.headers.get("x-amzn-ErrorType", "").startswith(UNKNOWN_TO_A_GATEWAY)
    return answer.status_code // 100 == 4 and answer.status_code != HTTPStatus.UNAUTHORIZED


def _json(answer: HttpAnswer) -> object:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _emails(answer: HttpAnswer) -> set[str]:
    """The assistants' addresses in one page, case-folded. Raises `UnprovenError`."""
    listed = _json(answer)
    if answer.status_code // 100 != 2 or not isinstance(listed, list):
        raise UnprovenError("the list of assistants isn't in the form that 7Targets describes")
    emails = [each.get("emailid") for each in listed if isinstance(each, Mapping)]
    if listed and not any(isinstance(email, str) for email in emails):
        raise UnprovenError("the list of assistants shows no addresses")
    return {email.strip().casefold() for email in emails if isinstance(email, str)}
