"""A lead's item in the ledger, in DynamoDB's notation."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .contract import LEAD_ITEM, LedgerAttribute
from .dynamodb_notation import plain, typed
from .event.lead import Operation
from .lead_state import EventRecord, Final, LeadState, State
from .setters import Setter

Item = Mapping[str, Any]
_STATES = {"d": State.DELIVERED, "s": State.SUPERSEDED}


def key_of(lead_hash: str) -> dict[str, Any]:
    """What identifies a lead's item."""
    return attributes({LedgerAttribute.PARTITION_KEY: lead_hash, LedgerAttribute.SORT_KEY: LEAD_ITEM})


def write_state(state: LeadState) -> dict[str, Any]:
    """All attributes of a state, so that none of an earlier one is left."""
    return attributes(
        {
            "leadId": state.lead_id,
            "knownAt": state.known_s,
            "hasForgotten": state.has_forgotten,
            "setters": {name: f"{each.rank} {each.value}".rstrip() for name, each in state.setters.items()},
            "settersFloor": state.setters_floor,
            "begunAt": state.begun_ms,
            "finalEvents": {key: _write_final(each) for key, each in state.finals.items()},
            "openEvents": [write_record(each) for each in state.open],
            "shownEvents": [write_record(each) for each in state.shown],
        }
    )


def read_state(item: Item) -> LeadState:
    """The state of an item in DynamoDB's notation, without its journal; an empty one for no item."""
    values = plain(item)
    return LeadState(
        lead_id=values.get("leadId", ""),
        known_s=values.get("knownAt", 0),
        has_forgotten=values.get("hasForgotten", False),
        setters={name: _read_setter(text) for name, text in values.get("setters", {}).items()},
        setters_floor=values.get("settersFloor", 0),
        begun_ms=values.get("begunAt", 0),
        finals={key: _read_final(text) for key, text in values.get("finalEvents", {}).items()},
        open=tuple(map(_read_record, values.get("openEvents", ()))),
        shown=tuple(map(_read_record, values.get("shownEvents", ()))),
    )


def read_journal(item: Item) -> tuple[EventRecord, ...]:
    """What was added to an item since its state was written."""
    return tuple(_read_record(plain(each["M"])) for each in item.get("journal", {"L": []})["L"])


def write_record(record: EventRecord) -> dict[str, Any]:
    """An event, not in DynamoDB's notation yet. Empty values are left out, since each kilobyte costs."""
    values = {attribute: getattr(record, name) for name, attribute in _ATTRIBUTES.items()}
    return {attribute: value for attribute, value in values.items() if value}


def attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of an item in DynamoDB's notation."""
    return {name: typed(each) for name, each in values.items()}


def _read_setter(text: str) -> Setter:
    rank, _, value = text.partition(" ")
    return Setter(int(rank), value)


def _write_final(final: Final) -> str:
    return f"{final.digest} {final.order_ms} {final.state[0]}{'c' if final.is_create else ''}"


def _read_final(text: str) -> Final:
    digest, order_ms, marks = text.split()
    return Final(_STATES[marks[0]], marks.endswith("c"), digest, int(order_ms))


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_ATTRIBUTES = {field.name: _camel_case(field.name) for field in fields(EventRecord)}


def _read_record(stored: Mapping[str, Any]) -> EventRecord:
    values = {name: stored[attribute] for name, attribute in _ATTRIBUTES.items() if attribute in stored}
    empty: dict[str, Any] = {"digest": "", "order_ms": 0, "sent_s": 0, "source": ""}
    operation = Operation(stored["operation"]) if "operation" in stored else None
    return EventRecord(**{**empty, **values, "operation": operation, "state": State(stored["state"])})
