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
    """The function's metrics: one count for each outcome, of the same name, and two of the queue."""

    DELIVERED = "Delivered"
    DUPLICATE = "Duplicate"
    REJECTED = "Rejected"
    RETRY = "Retry"
    UNCONFIRMED = "Unconfirmed"
    BLOCKED = "Blocked"
    PARKED = "Parked"
    OLDEST_RETURNED = "OldestReturned"
    """Seconds since the oldest lead that goes back to the queue was sent."""


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
