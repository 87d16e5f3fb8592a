"""The contract with producers: schema, examples, parser and the rule's pattern say the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from deliver_leads.contract import DETAIL_TYPES, OWN_EVENT_SOURCE, OutcomeDetailType
from deliver_leads.event.address import VISIBLE
from deliver_leads.event.envelope import MAX_KEY_LENGTH, read_event
from deliver_leads.event.lead import FIELD_CHECKS, Operation
from deliver_leads.event.message import Message
from deliver_leads.outcome import RejectedError
from sim.synthesis import properties, synthesise

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs/events").glob("*_*.json"))
SCHEMA = json.loads((ROOT / "docs/events/lead-event.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def read(body: object, **defaults: str) -> Any:
    """The parser's view of a body."""
    return read_event(Message("message-1", "receipt", json.dumps(body), 1, 1_795_166_999_500), defaults)


def test_the_schema_is_a_valid_json_schema() -> None:
    """A producer's validator can load it."""
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name != "sqs_batch.json"], ids=lambda p: p.stem)
def test_every_example_is_valid_and_is_read_as_what_its_name_says(path: Path) -> None:
    """An example per operation and source, each good for copying."""
    body = json.loads(path.read_text())
    source, operation = path.stem.split("_", 1)
    VALIDATOR.validate(json.loads(body["Message"]) if source == "sns" else body)
    event = read(body)
    assert event.operation == Operation(operation)
    assert event.lead["email"] == "jane.doe@example.com"
    assert event.unknown_fields == ()


def test_there_is_an_example_for_every_operation_and_source() -> None:
    """No operation can be added without showing producers how to send it."""
    names = {path.stem for path in EXAMPLES}
    assert {f"{s}_{o}" for s in ("plain", "eventbridge", "sns") for o in Operation} <= names


def test_the_schema_knows_the_operations_detail_types_fields_and_key_length_of_the_parser() -> None:
    """The two lists can't drift apart."""
    definitions = SCHEMA["$defs"]
    assert definitions["message"]["properties"]["operation"]["enum"] == list(Operation)
    assert definitions["eventBridgeEvent"]["properties"]["detail-type"]["enum"] == list(DETAIL_TYPES)
    assert set(definitions["lead"]["properties"]) == set(FIELD_CHECKS)
    assert definitions["lead"]["properties"]["name"]["pattern"] == VISIBLE
    assert definitions["idempotencyKey"]["maxLength"] == MAX_KEY_LENGTH


def is_taken(event: dict[str, Any]) -> bool:
    """Whether the rule takes the event."""
    pattern = properties(synthesise().delivery, "AWS::Events::Rule")["EventPattern"]
    assert pattern.keys() == {"$or"}
    tests = [(name, rule) for branch in pattern["$or"] for name, [rule] in branch.items()]
    assert len(tests) == len(pattern["$or"])
    assert all(rule.keys() == {"anything-but"} for _, rule in tests)
    return any(event[name] not in rule["anything-but"] for name, rule in tests)


@pytest.mark.parametrize(
    "path", [p for p in EXAMPLES if p.stem.startswith("eventbridge_")], ids=lambda p: p.stem
)
@pytest.mark.parametrize(
    "slip", [{}, {"source": OWN_EVENT_SOURCE}, {"detail-type": "Lead Rejected"}], ids=str
)
def test_no_event_that_a_producer_publishes_is_lost_at_the_rule(path: Path, slip: dict[str, str]) -> None:
    """The examples, and what comes of a slip in them, reach the parser, which says what is wrong."""
    assert is_taken(json.loads(path.read_text()) | slip)


@pytest.mark.parametrize("detail_type", OutcomeDetailType)
def test_what_became_of_a_lead_is_not_taken_for_a_lead_event(detail_type: str) -> None:
    """It would be rejected, which is an outcome, and so on without an end."""
    assert not is_taken({"source": OWN_EVENT_SOURCE, "detail-type": detail_type})


ADDRESSES = st.sampled_from(
    [
        *(
            "a@example.com",
            "b.c@example.org",
            "o'neil+x@Example.org",
            "not an address",
            "@example.com",
            "",
            None,
            7,
        ),
        *(
            "'a@example.com",
            "a'@example.com",
            "a..b@example.com",
            "a@example.com)",
            "a@ex_ample.com",
            "a@1.2.3.4",
            "a@gmail.c",
            "a@example.co1m",
        ),
        *(
            "a@example-.com",
            f"{'a' * 65}@example.com",
            "a@example.c\u043em",
            f"a@{'b.' * 130}com",
            "a@xn--mller-kva.de",
        ),
    ]
)
VALUES = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["\u200b", "\u3164 ", "❤\ufe0f"]),
    st.lists(st.just(1), max_size=1),
    st.integers(-2, 3),
    st.booleans(),
    st.just("+14155550100"),
)
IDS = st.sampled_from([0, "0", "000", "05", " 5", 10**18, 10**18 - 1, "9" * 18, "9" * 19])
LEADS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FIELD_CHECKS, VALUES),
        "id": VALUES | IDS,
        "email": ADDRESSES,
        "assistantEmail": ADDRESSES,
        "customFields": st.lists(
            st.one_of(VALUES, st.fixed_dictionaries({}, optional={"name": VALUES, "value": VALUES})),
            max_size=2,
        ),
    },
)


@given(st.sampled_from([*Operation, "upsert", None]), LEADS)
def test_what_the_schema_accepts_the_parser_accepts(operation: str | None, lead: dict[str, object]) -> None:
    """A producer that validates before it sends is never surprised by a rejection."""
    body = {"operation": operation, "lead": lead}
    if VALIDATOR.is_valid(body):
        assert read(body, assistantEmail="sam@example.net").operation == operation


@given(st.sampled_from([*Operation, "upsert", None]), LEADS)
def test_what_the_parser_rejects_the_schema_rejects(operation: str | None, lead: dict[str, object]) -> None:
    """The schema is no looser than the parser."""
    body = {"operation": operation, "lead": lead}
    try:
        read(body, assistantEmail="sam@example.net")
    except RejectedError:
        assert not VALIDATOR.is_valid(body)
