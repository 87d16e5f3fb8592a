"""What an answer of the leads API means for a lead: one answer to one outcome. Pure.

The API documents 201 for a create and 200 for an update, and no error at all: every line below that is not
about success is a choice, and can be changed here. `delivery.py` decides on the grace period of an update.
"""

import json
import re
from typing import TypeGuard

from ..event.lead import Json, Operation
from ..event.loggable import loggable_id
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
# These calls were turned away before any work on the lead, so that it can be sent again. 503 isn't one of
# them, because gateways answer it while the service behind them works on.
TURNED_AWAY = {425, 429}
LIMITED = 429  # too many calls: slower, not down
# No lead can be the reason for these: the address is wrong, or something on the way refuses our requests.
NO_LEADS_FAULT = {405, 406, 407, 410, 411, 415, 417, 421, 426, 431, 494, 499}
MAX_DETAIL_LENGTH = 1000

# What a producer wrote into a lead may come back in any field of the answer. So these two are shown only if
# they look like what they should be: a state of the vendor's (all are one word), and a date with a time in a
# format that isn't documented.
_STATE = re.compile(r"[A-Za-z]{1,30}")
_TIME = re.compile(r"(?=.*[0-9]:[0-9])[0-9A-Za-z][0-9A-Za-z ,:./+-]{7,39}")


def classify(
    operation: Operation, status: int, body: bytes, retry_after_s: float | None
) -> DeliveredLead | DeliveryError:
    """The outcome of one call.

    Any 2xx with a lead is a success: the vendor's connectors saw 200 and 201 swapped.
    """
    summary = f"leads API answered {status}"
    answer = _read_json(body)
    if status // 100 == 2:
        return _read_delivered(answer, status) or UnconfirmedError(f"{summary} without a lead", status=status)
    detail = f"{summary}: {_api_words(answer, body)}"
    if status == 401:
        return RetryError(f"{summary} to a new token", detail=detail, status=status)
    if status in REFUSED_CLIENT:
        hint = REFUSED_CLIENT[status]
        return BlockedError(summary, remedy=hint, detail=f"{detail} ({hint})", status=status)
    if status in TURNED_AWAY:
        is_shared = status != LIMITED
        return RetryError(
            summary, detail=detail, status=status, shared=is_shared, retry_after_s=retry_after_s
        )
    if status == 404 and operation is not Operation.CREATE:
        return UnknownLeadError(summary, detail=detail, status=status, shared=False)
    if status == 404 or status // 100 in {1, 3} or status in NO_LEADS_FAULT:
        return BlockedError(summary, remedy="check the setting leadsApiUrl", detail=detail, status=status)
    # The request may have had its effect before it failed, or have it later.
    if status == 408 or status >= 500:
        return UnconfirmedError(summary, detail=detail, status=status, retry_after_s=retry_after_s)
    return RejectedError(summary, detail=detail, status=status)  # 400, 409, 413, 422 and the like


def _read_delivered(answer: Json, status: int) -> DeliveredLead | None:
    if not isinstance(answer, dict):
        return None
    lead_id = answer.get("id")
    if not _is_id(lead_id):
        return None
    if isinstance(lead_id, str):
        lead_id = loggable_id(lead_id)
    shown = {name: answer.get(name) for name in ("scheduleId", "scheduleName")}
    sequence = {name: value for name, value in shown.items() if _is_id(value)}
    state, next_time = _text_like(_STATE, answer.get("state")), answer.get("nextScheduleTime")
    if not isinstance(next_time, int) or isinstance(next_time, bool):
        next_time = _text_like(_TIME, next_time)
    return DeliveredLead(lead_id, state, status, sequence, next_time)


def _text_like(pattern: re.Pattern[str], value: Json) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def _is_id(value: object) -> TypeGuard[int | str]:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def _read_json(body: bytes) -> Json:
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def _api_words(answer: Json, body: bytes) -> str:
    """The API's own words: the bodies of errors were seen to be a JSON string or an object with `message`."""
    words = answer.get("message") if isinstance(answer, dict) else answer
    text = words if isinstance(words, str) else body.decode("utf-8", "replace")
    return " ".join(text.split())[:MAX_DETAIL_LENGTH] or "(no words)"
