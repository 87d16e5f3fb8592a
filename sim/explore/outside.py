"""What is outside of the function, as plain state: the ledger's table, the leads API, the queues.

Nothing here fails or is late by itself; `environments.py` puts the faults between the function and this.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from sim.expressions import ExpressionError, Value, check_used, holds, update

KEYS = frozenset({"lead", "event"})
# DynamoDB's quotas.
LONGEST_EXPRESSION = 4096
LARGEST_ITEM = 400 * 1024


class Table:
    """A DynamoDB table of which only UpdateItem is used; its expressions are evaluated for real."""

    def __init__(self, items: Mapping[tuple[str, str], Mapping[str, Value]] | None = None) -> None:
        self.items = dict(items or {})

    def update_item(self, **request: Any) -> dict[str, Any]:
        """Raises `ClientError` as boto3 does: for a condition that doesn't hold, and for a bad expression."""
        keys: dict[str, Value] = request["Key"]
        place = keys["lead"]["S"], keys["event"]["S"]
        old = self.items.get(place, {})
        names = request.get("ExpressionAttributeNames", {})
        values = request.get("ExpressionAttributeValues", {})
        expression, condition = request["UpdateExpression"], request.get("ConditionExpression")
        if max(len(expression), len(condition or "")) > LONGEST_EXPRESSION:
            raise _client_error("ValidationException", {}, "Expression size has exceeded the maximum")
        try:
            check_used(names, values, expression, condition or "")
            if condition is not None and not holds(old, condition, names, values):
                shown = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and old
                raise _client_error("ConditionalCheckFailedException", {"Item": old} if shown else {})
            new = {**update(old, expression, names, values, KEYS), **keys}
        except ExpressionError as error:
            raise _client_error("ValidationException", {}, str(error)) from None
        if len(repr(new)) > LARGEST_ITEM:  # with the notation, so a little earlier than DynamoDB
            raise _client_error("ValidationException", {}, "Item size has exceeded the maximum allowed size")
        self.items[place] = new
        return {"Attributes": old} if old and request.get("ReturnValues") == "ALL_OLD" else {}


def _client_error(code: str, more: Mapping[str, Any], message: str = "") -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": message}, **more}
    return ClientError(response, "UpdateItem")


DEFAULT_SEQUENCE = "Default"
REFUSED_PHONE = "refused"
NEXT_TIME = "2027-01-15T09:00"
# Whatever it is that kills the function whenever it sends such a lead.
POISON = "poison"


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead at 7Targets. `stopped`: its follow-up was stopped, and nothing has started it again since."""

    number: int
    fields: Mapping[str, Any]
    stopped: bool = False


class LeadsModel:
    """The leads API after its document: a create creates or assigns, an absent field stays as it is."""

    def __init__(self, leads: Mapping[str, Lead] | None = None) -> None:
        self.leads = dict(leads or {})

    def apply(self, method: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """The answer's status and content; the effect takes place at once."""
        email = str(body["email"]).lower()
        lead = self.leads.get(email)
        if body.get("phone") == REFUSED_PHONE:
            return 422, {"message": "phone is not valid"}
        if method == "POST":
            sequence = body.get("scheduleName", DEFAULT_SEQUENCE)
            before = lead.fields if lead else {}
            lead = Lead(
                lead.number if lead else 1 + len(self.leads), {**before, **body, "scheduleName": sequence}
            )
        elif lead is None:
            return 404, {"message": "lead not found"}
        elif path.endswith("/stop/followup"):
            # "Same body as update", whose mandatory fields only name the lead here.
            lead = Lead(lead.number, lead.fields, stopped=True)
        else:
            restarts = body.get("scheduleName", lead.fields["scheduleName"]) != lead.fields["scheduleName"]
            given = {name: value for name, value in body.items() if value is not None}
            lead = Lead(lead.number, {**lead.fields, **given}, stopped=lead.stopped and not restarts)
        self.leads[email] = lead
        answer = {name: value for name, value in lead.fields.items() if name != "assistantEmail"}
        answer |= {
            "id": lead.number,
            "state": "Cold",
            "nextScheduleTime": None if lead.stopped else NEXT_TIME,
        }
        return (201 if method == "POST" else 200), answer


@dataclass(slots=True)
class QueuedMessage:
    """A message in the lead queue; times are epoch seconds. `event`: the index of its event in the world."""

    message_id: str
    event: int
    body: str
    sent_at: float
    visible_at: float
    attributes: Mapping[str, str] = field(default_factory=dict)
    receives: int = 0

    def as_record(self) -> dict[str, Any]:
        """The record of a Lambda SQS event."""
        return {
            "messageId": self.message_id,
            "receiptHandle": self.message_id,
            "body": self.body,
            "attributes": {
                "ApproximateReceiveCount": str(self.receives),
                "SentTimestamp": str(round(self.sent_at * 1000)),
            },
            "messageAttributes": {
                name: {"stringValue": value, "dataType": "String"} for name, value in self.attributes.items()
            },
        }


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    """A message in the dead-letter queue."""

    event: int
    body: str
    attributes: Mapping[str, str]


class LeadQueue:
    """The lead queue: a received message is invisible until its time-out, and stays until it is deleted."""

    def __init__(self) -> None:
        self.messages: dict[str, QueuedMessage] = {}

    def put(self, message: QueuedMessage) -> None:
        """Adds a message."""
        self.messages[message.message_id] = message

    def visible(self, now: float) -> list[QueuedMessage]:
        """What can be received, in the order in which it became visible."""
        found = [each for each in self.messages.values() if each.visible_at <= now]
        return sorted(found, key=lambda each: each.visible_at)

    def next_visible_at(self) -> float | None:
        """When the next message can be received."""
        return min((each.visible_at for each in self.messages.values()), default=None)

    def hide(self, entries: Iterable[Mapping[str, Any]], now: float) -> None:
        """ChangeMessageVisibilityBatch; a message that was deleted meanwhile is left out."""
        for entry in entries:
            message = self.messages.get(entry["ReceiptHandle"])
            if message is not None:
                message.visible_at = now + entry["VisibilityTimeout"]

    def delete(self, message_ids: Iterable[str]) -> None:
        """Acknowledges messages; one that is gone already is no error."""
        for message_id in message_ids:
            self.messages.pop(message_id, None)


CREDENTIALS = json.dumps({"client_id": "client", "client_secret": "secret", "user_identifier": "user"})
ACCESS_TOKEN = json.dumps({"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}).encode()
