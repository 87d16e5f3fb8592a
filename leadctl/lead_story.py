"""What the ledger has about one lead, as a story.

The item's attributes are those of docs/operate.md; `tests/leadctl/test_find.py` reads what the function's own
ledger has written.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deliver_leads.contract import LEAD_ITEM, LedgerAttribute
from deliver_leads.dynamodb_notation import plain
from deliver_leads.event.address import AddressError, normal_address
from deliver_leads.event.idempotency_key import IdempotencyKey
from leadctl.moments import iso
from leadctl.output import Output
from leadctl.target import Target

APP_URL = "https://solution.7targets.com/all-leads?id={}"
_FINAL = {"delivered", "superseded"}


def note_a_slip(out: Output, address: str) -> None:
    """Nothing is found of an address that no lead can have, and that must not look like an answer."""
    try:
        normal_address(address)
    except AddressError as error:
        out.note(f"No lead has this address: it {error}.")


@dataclass(frozen=True)
class Step:
    """Something that happened to an event, or is about to."""

    at_s: float
    text: str


@dataclass(frozen=True)
class LedgerEvent:
    """One event of a lead: the record as it is stored, under way or not."""

    stored: dict[str, Any]
    under_way: bool = False

    @property
    def state(self) -> str:
        """One of the function's states, in its words."""
        return "under way" if self.under_way else str(self.stored["state"])

    @property
    def is_final(self) -> bool:
        """Whether it is delivered, or needn't be any more."""
        return self.state in _FINAL

    def is_of(self, key: IdempotencyKey) -> bool:
        """Whether it is the event with that key and content."""
        return self.stored.get("key") == key.text and self.stored.get("digest") == key.digest

    def as_json(self) -> dict[str, Any]:
        """For scripts; times are ISO 8601 in UTC."""
        stored = self.stored
        return {
            "key": stored.get("key"),
            "operation": stored.get("operation"),
            "state": self.state,
            "source": stored.get("source"),
            "messageId": stored.get("messageId"),
            "firstSeen": iso(stored.get("firstSeenS")),
            "updated": iso(stored.get("updatedS")),
            "attempts": stored.get("attempts", 0),
            "answerLost": bool(stored.get("unanswered")),
            "due": iso(stored.get("dueS")) if self.state == "waiting" else None,
            "reason": stored.get("reason"),
            "parkedAs": stored.get("parkedAs"),
        }

    def steps(self) -> Iterator[Step]:
        """In their order."""
        stored, updated_s = self.stored, self.stored.get("updatedS", 0)
        operation = stored.get("operation") or "an event of unknown operation"
        yield Step(
            stored.get("firstSeenS", updated_s),
            f"{operation} came in from {stored.get('source') or 'an unknown source'}, "
            f"message {stored.get('messageId', '-')}",
        )
        attempts = stored.get("attempts", 0)
        is_create = stored.get("operation") == "create"
        if stored.get("unknownSinceS"):
            yield Step(stored["unknownSinceS"], "7Targets said that it doesn't know the lead")
        if stored.get("unanswered"):
            yield Step(
                updated_s,
                "a request left and no answer came, so it may have taken effect"
                + (
                    "; it is sent again as an update (PUT) first, which can't create a lead"
                    if is_create
                    else ""
                ),
            )
        yield Step(updated_s, self._what_became(attempts))

    def _what_became(self, attempts: int) -> str:
        stored, reason = self.stored, self.stored.get("reason")
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        because = f": {reason}" if reason else ""
        if self.state == "delivered":
            return f"delivered{tries}"
        if self.state == "superseded":
            return "superseded: a later event has set all that this one asked for"
        if self.state == "parked":
            return f"parked as {stored.get('parkedAs') or 'rejected'}{tries}{because}"
        if self.state == "waiting":
            return f"waits{tries}, comes back at {iso(stored.get('dueS')) or 'any moment'}{because}"
        return f"under way; if the function has crashed, it comes back at {iso(stored.get('dueS'))}"


@dataclass(frozen=True)
class Lead:
    """One lead in the ledger."""

    lead_hash: str
    lead_id: str
    events: list[LedgerEvent]
    held_until_s: int = 0
    expires_s: int = 0

    @property
    def url(self) -> str | None:
        """The lead's page in the vendor's app."""
        return APP_URL.format(self.lead_id) if self.lead_id else None

    @property
    def has_open_events(self) -> bool:
        """Whether an event of it waits, is under way or had no answer yet."""
        is_held = self.held_until_s > time.time()
        return is_held or any(
            each.under_way or each.state == "waiting" or each.stored.get("unanswered") for each in self.events
        )


class LedgerReader:
    """Reads leads from the ledger; writes nothing."""

    def __init__(self, target: Target) -> None:
        self._dynamodb = target.client("dynamodb")
        self._table = target.output("LedgerTableName")

    def find(self, lead_hash: str) -> Lead | None:
        """None for a lead that the ledger doesn't have."""
        answer = self._dynamodb.get_item(
            TableName=self._table, Key=key_of_lead(lead_hash), ConsistentRead=True
        )
        return _lead(lead_hash, answer["Item"]) if "Item" in answer else None

    def find_all(self, lead_hashes: Sequence[str]) -> Iterator[Lead]:
        """Those of at most 100 that the ledger knows.

        As they were a moment ago: a consistent read costs twice as much.
        """
        wanted: Any = {self._table: {"Keys": list(map(key_of_lead, dict.fromkeys(lead_hashes)))}}
        pause_s = 0.1
        while wanted:
            answer = self._dynamodb.batch_get_item(RequestItems=wanted)
            for item in answer["Responses"].get(self._table, []):
                yield _lead(item[LedgerAttribute.PARTITION_KEY]["S"], item)
            # What a throttled table or an answer of 16 MB left out.
            if wanted := answer.get("UnprocessedKeys"):
                time.sleep(pause_s)
                pause_s = min(5, pause_s * 2)


def key_of_lead(lead_hash: str) -> dict[str, Any]:
    """The key of a lead's item."""
    return {
        str(LedgerAttribute.PARTITION_KEY): {"S": lead_hash},
        str(LedgerAttribute.SORT_KEY): {"S": LEAD_ITEM},
    }


def _lead(lead_hash: str, stored: dict[str, Any]) -> Lead:
    item = plain(stored)
    return Lead(
        lead_hash=lead_hash,
        lead_id=str(item.get("leadId") or ""),
        events=_events(item),
        held_until_s=item.get("heldUntil", 0),
        expires_s=item.get(LedgerAttribute.EXPIRY, 0),
    )


def _events(item: dict[str, Any]) -> list[LedgerEvent]:
    """What the ledger remembers, with the claims over it that were not completed."""
    finals = {key: LedgerEvent(_final(key, text)) for key, text in item.get("finalEvents", {}).items()}
    shown = {
        each["key"]: LedgerEvent(finals[each["key"]].stored | each if each["key"] in finals else each)
        for each in item.get("shownEvents", [])
    }
    events = finals | shown | {each["key"]: LedgerEvent(each) for each in item.get("openEvents", [])}
    for claim in item.get("journal", []):
        known = events.get(claim["key"])
        if known is None or not known.is_final:
            stored = {**claim, **(known.stored if known else {}), "dueS": claim.get("dueS", 0)}
            events[claim["key"]] = LedgerEvent(stored, under_way=True)
    return sorted(events.values(), key=lambda each: int(each.stored.get("firstSeenS", 0)))


def _final(key: str, text: str) -> dict[str, Any]:
    """All that is remembered of an event that was settled long ago."""
    digest, order_ms, marks = text.split()
    sent_s = int(order_ms) // 1000
    state = "superseded" if marks.startswith("s") else "delivered"
    return {"key": key, "digest": digest, "state": state, "firstSeenS": sent_s, "updatedS": sent_s} | (
        {"operation": "create"} if marks.endswith("c") else {}
    )
