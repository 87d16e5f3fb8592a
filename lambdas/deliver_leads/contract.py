"""Names that the function shares with the stacks, the producers and the operators. Standard library only."""

from enum import StrEnum

# EventBridge's `detail-type` for each operation.
DETAIL_TYPES = {
    "Lead Created": "create",
    "Lead Updated": "update",
    "Lead Followup Stopped": "stop_followup",
}

# The secret's fields. The stack fills each with the placeholder, and the function refuses it.
CREDENTIAL_NAMES = ("client_id", "client_secret", "user_identifier")
PLACEHOLDER = "REPLACE_ME"

# The lead's fields that the setting leadDefaults may fill.
DEFAULTABLE_FIELDS = ("assistantEmail", "source", "context", "scheduleName")

METRICS_NAMESPACE = "SevenTargets/LeadDelivery"


class Metric(StrEnum):
    """The function's metrics: counts, unless their comment names a unit.

    The first six count the attempts of each outcome, under its name.
    """

    DELIVERED = "Delivered"
    DUPLICATE = "Duplicate"
    REJECTED = "Rejected"
    RETRY = "Retry"  # without the deferred ones
    UNCONFIRMED = "Unconfirmed"
    BLOCKED = "Blocked"
    DEFERRED = "Deferred"  # nothing was sent: another event goes first, no time was left, the breaker is open
    PARKED = "Parked"
    OLDEST_RETURNED = "OldestReturned"  # seconds since the oldest lead that goes back to the queue was sent
    DELIVERY_TIME = "DeliveryTime"  # seconds from a message's sending until its lead was delivered
    API_LATENCY = "ApiLatency"  # milliseconds of each call of the leads API that was answered
    ANSWERED_2XX = "Answered2xx"
    ANSWERED_4XX = "Answered4xx"  # without 429
    ANSWERED_429 = "Answered429"
    ANSWERED_5XX = "Answered5xx"
    UNANSWERED = "Unanswered"  # no answer, or no connection
    TOKENS_FETCHED = "TokensFetched"
    TOKENS_FAILED = "TokensFailed"
    BREAKER_OPEN = "BreakerOpen"  # 1 when the batch ended with an open circuit breaker, else 0
    LEDGER_NOT_WRITTEN = "LedgerNotWritten"
    PARKING_REFUSED = "ParkingRefused"
    VISIBILITY_NOT_SET = "VisibilityNotSet"
    NOT_MAILED = "NotMailed"  # delivered, but in a state in which 7Targets sends no e-mails
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
    """The ledger's attributes that the table itself is defined by."""

    PARTITION_KEY = "lead"
    SORT_KEY = "event"
    EXPIRY = "expiresAt"
