"""The leads calls as the API document describes them, without HTTP: fields in, the documented lead out.

What the document leaves open, and the sandbox had to choose, is marked "Not documented".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.sandbox.store import Lead, SandboxStore

_MANDATORY = ("name", "email", "assistantEmail")
_ANSWERED = (
    *("id", "name", "lastName", "type", "email", "phone", "scheduleId", "scheduleName"),
    *("assistantId", "nextScheduleTime", "state", "subState", "followup"),
)
# What a caller can't set by naming it; the sequence's id and name are set by rules of their own.
_SET_BY_THE_API = frozenset(_ANSWERED) - {"name", "lastName", "phone", "state"} | {"creates"}
# Not documented: when the first message is sent.
_FIRST_MESSAGE_AFTER = timedelta(hours=1)


class Refusal(Exception):  # noqa: N818 - an answer of the API, not a failure of the sandbox
    """The call is answered with this status and message and has no effect."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class SandboxLeads:
    """Each call raises Refusal for a request the API doesn't take."""

    def __init__(self, store: SandboxStore) -> None:
        self._store = store

    def create(self, body: object) -> tuple[Lead, str]:
        """The lead, and whether it was `created`, `assigned` (it existed before) or `created_again`.

        Not documented: a second create of an e-mail address. The document says "creates or assigns", so it
        assigns the known lead anew and starts its follow-up again.
        """
        fields = _checked(body)
        known = self._store.lead_with_email(fields["email"])
        effect = "created" if known is None else "created_again" if known["creates"] else "assigned"
        lead = self._assigned(fields, known)
        lead["creates"] += 1
        self._store.save_lead(lead)
        return _documented(lead), effect

    def add_existing(self, body: object) -> None:
        """Adds a lead that came by another way than a call, such as an import: it has no creates."""
        fields = _checked(body)
        if self._store.lead_with_email(fields["email"]):
            raise Refusal(400, f"{fields['email']} is held already")
        self._store.save_lead(self._assigned(fields, None))

    def update(self, body: object) -> tuple[Lead, str]:
        fields = _checked(body)
        lead = self._known_lead(fields)
        self._take_over(fields, lead)
        self._store.save_lead(lead)
        return _documented(lead), "updated"

    def stop_followup(self, body: object) -> tuple[Lead, str]:
        """Not documented: whether the body's other fields are taken over; here they aren't."""
        lead = self._known_lead(_checked(body))
        lead |= {"nextScheduleTime": None, "followup": 0}
        self._store.save_lead(lead)
        return _documented(lead), "stopped"

    def list_assistants(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Not documented: what a lead for an unknown assistant is answered; any is taken, and listed then."""
        search = query.get("searchString", "").casefold()
        page, size = query.get("page", "0"), query.get("size", "10")
        order, _, direction = query.get("sort", "lastModifiedDate,desc").partition(",")
        if not (page.isdecimal() and size.isdecimal() and int(size)):
            raise Refusal(400, "page must be a number from 0, size one from 1")
        # Assistants are never modified here, so their ids have the order of their dates.
        key = "id" if order == "lastModifiedDate" else order
        if key not in {"id", "name", "emailid"} or direction not in {"", "asc", "desc"}:
            raise Refusal(400, "sort must be id, name, emailid or lastModifiedDate, then ,asc or ,desc")
        sequence_id = self._store.id_of("sequence", "Default")
        found: list[dict[str, Any]] = [
            {"id": number, "name": email.partition("@")[0], "emailid": email}
            | {"defaultScheduleId": sequence_id, "perDayEmailLimit": 100}
            for number, email in self._store.names("assistant").items()
            if search in email.casefold()
        ]
        found.sort(key=lambda assistant: assistant[key], reverse=direction == "desc")
        start = int(page) * int(size)
        return found[start : start + int(size)]

    def _assigned(self, fields: Lead, known: Lead | None) -> Lead:
        """The lead at its assistant, at the start of its sequence."""
        lead = known or {"email": fields["email"], "type": "SALES", "state": "Cold", "creates": 0}
        self._take_over(fields, lead)
        lead.setdefault("source", "Website")
        next_message = datetime.now(UTC) + _FIRST_MESSAGE_AFTER
        lead |= {"subState": "Followup", "followup": 1}
        return lead | {"nextScheduleTime": next_message.isoformat(timespec="seconds")}

    def _known_lead(self, fields: Lead) -> Lead:
        lead_id = fields.get("id")
        if lead_id is None:
            lead = self._store.lead_with_email(fields["email"])
        elif type(lead_id) is int and 0 < lead_id < 2**63:
            lead = self._store.lead_with_id(lead_id)
        else:
            raise Refusal(400, "id must be a positive whole number")
        if lead is None:
            raise Refusal(404, "no such lead")  # Not documented
        if lead["email"].casefold() != fields["email"].casefold():
            raise Refusal(400, "email can't be changed")  # Not documented: the status
        return lead

    def _take_over(self, fields: Lead, lead: Lead) -> None:
        """An absent or null field leaves the lead's own as it is."""
        given = {name: value for name, value in fields.items() if value is not None}
        lead |= {name: value for name, value in given.items() if name not in _SET_BY_THE_API}
        lead["assistantId"] = self._store.id_of("assistant", lead["assistantEmail"])
        if "scheduleId" in given:
            number = given["scheduleId"]
            lead |= {"scheduleId": number, "scheduleName": given.get("scheduleName", f"Sequence {number}")}
        elif "scheduleName" in given or "scheduleId" not in lead:
            name = given.get("scheduleName", "Default")
            lead |= {"scheduleId": self._store.id_of("sequence", name), "scheduleName": name}


def _checked(body: object) -> Lead:
    """Not documented: the answer to a wrong body; here 400 with a message that names the field."""
    if not isinstance(body, dict) or not body:
        raise Refusal(400, "the body must be a JSON object and can't be empty")
    for name in _MANDATORY:
        value = body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal(400, f"{name} is mandatory and must be a text that isn't empty")
    return body


def _documented(lead: Lead) -> Lead:
    """The fields the API document lists, null where the lead has none, and `customFields` if it has some."""
    answered = {name: lead.get(name) for name in _ANSWERED}
    return answered | ({"customFields": lead["customFields"]} if lead.get("customFields") else {})
