"""A lead's item in the ledger, in DynamoDB's notation."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .contract import LEAD_ITEM, LedgerAttribute
from .event.lead import Operation
from .lead_state import EventRecord, Final, LeadState, Setter, State

Item = Mapping[str, Any]
_STATES = {"d": State.DELIVERED, "s": State.SUPERSEDED}


def key_of(lead_hash: str) -> dict[str, Any]:
    """What identifies a lead's item."""
    return typed({LedgerAttribute.PARTITION_KEY: lead_hash, LedgerAttribute.SORT_KEY: LEAD_ITEM})


def write_state(state: LeadState) -> dict[str, Any]:
    """All attributes of a state, so that none of an earlier one is left."""
    return typed(
        {
            "leadId": state.lead_id,
            "knownAt": state.known_s,
            "hasForgotten": state.has_forgotten,
            "setters": {name: f"{each.order_ms} {each.value}" for name, each in state.setters.items()},
            "settersFloor": state.setters_floor_ms,
            "finalEvents": {key: _write_final(each) for key, each in state.finals.items()},
            "openEvents": [write_record(each) for each in state.open],
            "shownEvents": [write_record(each) for each in state.shown],
        }
    )


def read_state(item: Item) -> LeadState:
    """The state of an item in DynamoDB's notation, without its journal; of nothing for a lead without one."""
    plain = untyped(item)
    setters = {name: text.split() for name, text in plain.get("setters", {}).items()}
    return LeadState(
        lead_id=plain.get("leadId", ""),
        known_s=plain.get("knownAt", 0),
        has_forgotten=plain.get("hasForgotten", False),
        setters={name: Setter(int(order_ms), value) for name, (order_ms, value) in setters.items()},
        setters_floor_ms=plain.get("settersFloor", 0),
        finals={key: _read_final(text) for key, text in plain.get("finalEvents", {}).items()},
        open=tuple(map(_read_record, plain.get("openEvents", ()))),
        shown=tuple(map(_read_record, plain.get("shownEvents", ()))),
    )


def read_journal(item: Item) -> tuple[EventRecord, ...]:
    """What was added to an item since its state was written."""
    return tuple(_read_record(untyped(each["M"])) for each in item.get("journal", {"L": []})["L"])


def write_record(record: EventRecord) -> dict[str, Any]:
    """An event, not in DynamoDB's notation yet. Empty values are left out, since each kilobyte costs."""
    values = {attribute: getattr(record, name) for name, attribute in _ATTRIBUTES.items()}
    return {attribute: value for attribute, value in values.items() if value}


def typed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in DynamoDB's notation."""
    return {name: typed_value(each) for name, each in value.items()}


def typed_value(value: Any) -> dict[str, Any]:  # noqa: ANN401 - what a record holds
    """A value in DynamoDB's notation."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, list):
        return {"L": [typed_value(each) for each in value]}
    return {"M": typed(value)}


def untyped(item: Item) -> dict[str, Any]:
    """Attributes as Python's own values."""
    return {name: _untyped_value(value) for name, value in item.items()}


def _untyped_value(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(content)
    if kind == "L":
        return [_untyped_value(each) for each in content]
    return untyped(content) if kind == "M" else content


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
