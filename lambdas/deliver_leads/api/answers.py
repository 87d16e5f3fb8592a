"""What an answer of the leads API means for a lead: one answer to one outcome. Pure.

The API documents 201 for a create and 200 for an update, and no error at all: every line below that is not
about success is a choice, and can be changed here. `delivery.py` decides on the grace period of an update
and on the memory of a lost create.
"""

import json

from ..event.lead import Json, Operation
from ..outcome import (
    BlockedError,
    DeliveredLead,
    DeliveryError,
    RejectedError,
    RetryError,
    UnconfirmedError,
    UnknownLeadError,
)

# A refused token or user, or a plan that ran out: every lead would get this answer.
REFUSED_CLIENT = {
    402: "check the plan in 7Targets",
    403: "check user_identifier in the secret, and the assistants assigned to that user in 7Targets",
}
# Turned away before any work on the lead, so that it can be sent again without confirming.
TURNED_AWAY = {425, 429, 503}
# On a create, no lead can be the reason for these.
WRONG_ADDRESS = {404, 405}
MAX_DETAIL_LENGTH = 1000


def classify(
    operation: Operation, status: int, body: bytes, retry_after_s: float | None
) -> DeliveredLead | DeliveryError:
    """The outcome of one call.

    Any 2xx with a lead is a success: the vendor's connectors saw 200 and 201 swapped.
    """
    summary = f"leads API answered {status}"
    answer = _read_json(body)
    if status // 100 == 2:
        return _read_delivered(answer, status) or lost_answer(operation, f"{summary} without a lead", status)
    detail = f"{summary}: {_api_words(answer, body)}"
    is_create = operation is Operation.CREATE
    if status == 401:
        return RetryError(f"{summary} to a new token", detail=detail, status=status)
    if status in REFUSED_CLIENT:
        hint = REFUSED_CLIENT[status]
        return BlockedError(f"{summary}: {hint}", detail=f"{detail} ({hint})", status=status)
    if status in TURNED_AWAY:
        return RetryError(summary, detail=detail, status=status, retry_after_s=retry_after_s)
    if status == 404 and not is_create:
        return UnknownLeadError(summary, detail=detail, status=status, shared=False)
    if status // 100 == 3 or status in WRONG_ADDRESS:
        return BlockedError(f"{summary}: check the setting leadsApiUrl", detail=detail, status=status)
    if status == 408 or status >= 500:  # the API may have stored the lead before it failed
        return lost_answer(operation, summary, status, detail)
    return RejectedError(summary, detail=detail, status=status)  # 400, 409, 413, 422 and the like


def lost_answer(
    operation: Operation, summary: str, status: int | None = None, detail: str = ""
) -> RetryError:
    """A create may have had its effect and must be confirmed; an update or stop can simply be repeated."""
    kind = UnconfirmedError if operation is Operation.CREATE else RetryError
    return kind(summary, detail=detail, status=status)


def _read_delivered(answer: Json, status: int) -> DeliveredLead | None:
    if not isinstance(answer, dict):
        return None
    lead_id, state = answer.get("id"), answer.get("state")
    if isinstance(lead_id, bool) or not isinstance(lead_id, int | str):
        return None
    return DeliveredLead(lead_id, state if isinstance(state, str) else None, status)


def _read_json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _api_words(answer: Json, body: bytes) -> str:
    """Seen: the body of an error is a JSON string or an object with `message`."""
    words = answer.get("message") if isinstance(answer, dict) else answer
    text = words if isinstance(words, str) else body.decode("utf-8", "replace")
    return " ".join(text.split())[:MAX_DETAIL_LENGTH] or "(no words)"
