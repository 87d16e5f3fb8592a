"""Names that the function shares with the stacks, the producers and the operators. Standard library only."""

import base64
import json
import zlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

# EventBridge's `detail-type` for each operation.
DETAIL_TYPES = {
    "Lead Created": "create",
    "Lead Updated": "update",
    "Lead Followup Stopped": "stop_followup",
}

# A mapping's operation for events that are left out.
MAPPING_IGNORES = "ignore"

# The EventBridge source of the integration's own events, which must never come back to it as leads.
OWN_EVENT_SOURCE = "7targets-lead-delivery"


class Outcome(StrEnum):
    """The same names in log lines, metrics, dead letters and the README."""

    DELIVERED = "delivered"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    REJECTED = "rejected"
    RETRY = "retry"
    UNCONFIRMED = "unconfirmed"
    BLOCKED = "blocked"


class OutcomeDetailType(StrEnum):
    """EventBridge's `detail-type` of the integration's own events: what finally became of an event."""

    DELIVERED = "Lead Delivered"
    DUPLICATE = "Lead Duplicate"
    REJECTED = "Lead Rejected"
    PARKED = "Lead Parked"  # in the dead-letter queue, but not because of the lead


class OutcomeEventsMode(StrEnum):
    """The setting outcomeEvents."""

    OFF = "off"
    IDS = "ids"  # free of personal data
    LEAD = "lead"  # with the lead's fields


# What the function keeps of its time-out for what follows its last call of the API: four calls of AWS (a dead
# letter, its place in the ledger, the ledger for the batch's others, the visibility timeouts), and a second
# for the answer to Lambda.
RESERVE_S = 37
# By how much the longest delay grows for a lead that is older than a day, and the longest delay that the API
# may ask for.
LATE_FACTOR = 4
LONGEST_RETRY_AFTER_S = 3600
# SQS moves a message away without a reason after 1,000 receives at most (infra/entrance.py), so the function
# parks it before that.
LAST_RECEIVE = 900

# The secret's fields. The stack fills each with the placeholder, and the function refuses it.
CREDENTIAL_NAMES = ("client_id", "client_secret", "user_identifier")
PLACEHOLDER = "REPLACE_ME"

# The lead's fields that the setting leadDefaults may fill.
DEFAULTABLE_FIELDS = ("assistantEmail", "source", "context", "scheduleName")

# The event with which the function is invoked for a check without a lead.
CHECK_EVENT = {"check": True}
# The one for the list of the user's assistants.
ASSISTANTS_EVENT = {"check": "assistants"}
MANDATORY_FIELDS = ("name", "email", "assistantEmail")
# Those of the API document and those that only the vendor's own connectors send.
LEAD_FIELDS = (
    *("id", "name", "lastName", "email", "assistantEmail", "source", "context", "additionalInformationLine"),
    *("phone", "scheduleId", "scheduleName", "customFields"),
    *("company", "designation", "industry", "location", "crm", "externalId", "userTypedSubject", "state"),
)

METRICS_NAMESPACE = "SevenTargets/LeadDelivery"


class Metric(StrEnum):
    """The function's metrics: counts, unless their comment names a unit.

    The first eight count each attempt once: under its outcome's name, or as deferred.
    docs/decisions/0009-metrics.md says what each is for; every one that occurs costs USD 0.30 a month.
    """

    DELIVERED = "Delivered"
    DUPLICATE = "Duplicate"
    IGNORED = "Ignored"  # left out by a mapping, on purpose
    REJECTED = "Rejected"
    RETRY = "Retry"
    UNCONFIRMED = "Unconfirmed"
    BLOCKED = "Blocked"  # in every batch, 0 too
    DEFERRED = "Deferred"  # not tried: another event goes first, no time was left, the breaker is open
    PARKED = "Parked"  # in every batch, 0 too
    OLDEST_RETURNED = "OldestReturned"  # seconds since the oldest lead that goes back to the queue was sent
    DELIVERY_TIME = "DeliveryTime"  # seconds from an event's first sending until it was delivered
    API_LATENCY = "ApiLatency"  # milliseconds of each call of the leads API that was answered, 401 included
    ANSWERED_2XX = "Answered2xx"
    ANSWERED_4XX = "Answered4xx"  # without 429
    ANSWERED_429 = "Answered429"
    ANSWERED_5XX = "Answered5xx"
    UNANSWERED = "Unanswered"  # no answer, or no connection
    TOKENS_FETCHED = "TokensFetched"
    TOKENS_FAILED = "TokensFailed"  # no token could be had: the token endpoint or the secret
    BREAKER_OPEN = "BreakerOpen"  # 1 when the batch ended with an open circuit breaker, else 0
    LEDGER_NOT_WRITTEN = "LedgerNotWritten"  # attempts, not sent or sent; in every batch, 0 too
    PARKING_REFUSED = "ParkingRefused"  # by the dead-letter queue; the lead goes back
    VISIBILITY_NOT_SET = "VisibilityNotSet"  # messages that come back after the queue's own time-out
    NOT_MAILED = "NotMailed"  # delivered, but 7Targets sends it no e-mails; without stops
    CHECK_FAILED = "CheckFailed"  # of each check: 1 when it found a problem, else 0
    OUTCOME_EVENTS_LOST = "OutcomeEventsLost"


class DeadLetterAttribute(StrEnum):
    """The message attributes of a parked lead; all are texts."""

    REASON = "reason"
    MESSAGE_ID = "messageId"
    EVENT_ID = "eventId"
    FIRST_SEEN = "firstSeen"
    STATUS = "status"
    DETAIL = "detail"


# The sort key of a lead's item in the ledger.
LEAD_ITEM = "#lead"


class LedgerAttribute(StrEnum):
    """The attributes that the ledger's table is defined by: its keys and its expiry."""

    PARTITION_KEY = "lead"
    SORT_KEY = "event"
    EXPIRY = "expiresAt"


def pack_mappings(mappings: Iterable[Any]) -> str:
    """The setting `mappings` as an environment variable; compressed, because Lambda allows 4 KB for all."""
    text = json.dumps(list(mappings), separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack_mappings(packed: str) -> tuple[dict[str, Any], ...]:
    """The reverse of `pack_mappings`. Raises `ValueError`."""
    try:
        return tuple(json.loads(zlib.decompress(base64.b64decode(packed, validate=True))))
    except zlib.error as error:
        raise ValueError("not packed by pack_mappings") from error
