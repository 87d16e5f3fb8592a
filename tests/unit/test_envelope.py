"""Reading bodies: every way a lead event arrives, and every way it can be wrong."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deliver_leads.event.envelope import LeadEvent, UnreadableError, read_event
from deliver_leads.event.lead import Operation
from deliver_leads.event.message import Message
from deliver_leads.outcome import RejectedError

LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
PLAIN = {"operation": "create", "lead": LEAD}


def message(body: object, **more: Any) -> Message:
    """A message with this body (an object is sent as JSON)."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Message("message-1", "receipt", text, 1, 0.0, **more)


def read(body: object, **defaults: str) -> LeadEvent:
    """The event in a body."""
    return read_event(message(body), defaults)


def problems_of(body: object) -> list[str]:
    """Every problem that a rejection names."""
    with pytest.raises(RejectedError) as caught:
        read(body)
    return caught.value.detail.split(" | ")


def lead_with(**fields: object) -> dict[str, object]:
    """A create with these lead fields."""
    return {"operation": "create", "lead": LEAD | fields}


class TestLeadFields:
    """What becomes of a lead's fields."""

    def test_strings_are_trimmed_and_null_and_blank_fields_are_left_out(self) -> None:
        """The API leaves an absent field as it is; a blank one might wipe it."""
        event = read(lead_with(name="  Jane ", phone=None, lastName="  ", source="Web"))
        assert event.lead == LEAD | {"source": "Web"}

    def test_unknown_fields_travel_unchanged_and_are_named_without_their_value(self) -> None:
        """The vendor's own connectors send fields that nobody documents."""
        event = read(lead_with(favouriteColour={"deep": ["blue"]}, company="Example Corp"))
        assert event.lead["favouriteColour"] == {"deep": ["blue"]}
        assert event.unknown_fields == ("lead.favouriteColour",)

    def test_every_problem_is_listed_by_its_path_and_no_value_is_repeated(self) -> None:
        """A producer mends everything in one go, and a rejection holds no personal data."""
        body = {"operation": "upsert", "lead": {"email": "secret-value", "phone": 49123, "id": -1}}
        found = problems_of(body)
        assert [problem.split(":")[0] for problem in found] == [
            "operation",
            "lead.email",
            "lead.phone",
            "lead.id",
            "lead.name",
            "lead.assistantEmail",
        ]
        assert "secret-value" not in str(found)
        assert "49123" not in str(found)

    def test_a_create_takes_all_defaults_of_the_stage_but_what_the_producer_says_wins(self) -> None:
        """A web form needn't know the assistant."""
        defaults = {"assistantEmail": "sam@example.net", "source": "Website form", "context": "Trial"}
        event = read(
            {"operation": "create", "lead": {"name": "J", "email": "j@example.com", "context": "Demo"}},
            **defaults,
        )
        assert event.lead["assistantEmail"] == "sam@example.net"
        assert event.lead["source"] == "Website form"
        assert event.lead["context"] == "Demo"

    def test_an_update_takes_only_the_assistant_from_the_defaults(self) -> None:
        """A default must not overwrite what an earlier event gave the lead."""
        event = read(
            {"operation": "update", "lead": {"name": "J", "email": "j@example.com"}},
            assistantEmail="sam@example.net",
            source="Website form",
            scheduleName="Default",
        )
        assert event.lead == {"name": "J", "email": "j@example.com", "assistantEmail": "sam@example.net"}

    @pytest.mark.parametrize(
        "address",
        [
            "jane",
            "jane@",
            "@example.com",
            "jane@example",
            "a b@example.com",
            "a@b@example.com",
            "x" * 250 + "@example.com",
        ],
    )
    def test_what_is_no_address_is_refused(self, address: str) -> None:
        """It would cost a call and come back all the same."""
        assert problems_of(lead_with(email=address)) == ["lead.email: is not an e-mail address"]

    @pytest.mark.parametrize(
        "value", ["Team", [1], [{"name": "Team"}], [{"value": 1}], [{"name": 1, "value": 1}]]
    )
    def test_custom_fields_need_names_and_values(self, value: object) -> None:
        """The help pages show a list of name and value."""
        assert problems_of(lead_with(customFields=value))[0].startswith("lead.customFields: ")

    def test_an_id_may_be_a_number_or_digits_but_not_on_a_create(self) -> None:
        """Spreadsheets send digits as text; a new lead has no id yet."""
        for lead_id in (2345, "2345"):
            assert read({"operation": "update", "lead": LEAD | {"id": lead_id}}).lead["id"] == lead_id
        assert problems_of(lead_with(id=2345)) == [
            "lead.id: can't be given on a create; 7Targets chooses the id"
        ]

    @pytest.mark.parametrize("value", [17, "17"])
    def test_a_sequence_id_is_passed_on_as_it_comes(self, value: object) -> None:
        """The document doesn't give its type."""
        assert read(lead_with(scheduleId=value)).lead["scheduleId"] == value

    def test_a_sequence_id_of_another_type_is_refused(self) -> None:
        """An object can't be one."""
        assert problems_of(lead_with(scheduleId={})) == [
            "lead.scheduleId: must be a sequence's id, not an object"
        ]


class TestEnvelopes:
    """Plain, EventBridge and SNS bodies."""

    def test_an_eventbridge_envelope_gives_its_operation_and_its_id(self) -> None:
        """The whole envelope travels, so that a person can trace the event to its source."""
        event = read({"detail-type": "Lead Updated", "id": "e-1", "detail": {"lead": LEAD}})
        assert (event.operation, event.event_id) == (Operation.UPDATE, "e-1")

    def test_an_sns_body_may_hold_a_plain_event_or_an_eventbridge_envelope(self) -> None:
        """Topic to queue, with and without a bus before it."""
        plain = read({"Type": "Notification", "MessageId": "n-1", "Message": json.dumps(PLAIN)})
        bridged = {"detail-type": "Lead Created", "id": "e-1", "detail": {"lead": LEAD}}
        assert plain.event_id == "n-1"
        assert read({"Type": "Notification", "Message": json.dumps(bridged)}).event_id == "e-1"

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ("", "body: is not JSON (line 1, column 1)"),
            ("{'operation': 1}", "body: is not JSON (line 1, column 2)"),
            ("NaN", "body: is not JSON"),
            ("1" * 5000, "body: is not JSON"),
            ("[" * 100_000, "body: is not JSON"),
            ("[]", "body: must be a JSON object, not an array"),
            ('"text"', "body: must be a JSON object, not a string"),
            (
                '{"a": "\\ud800"}',
                "body: holds half of a surrogate pair (\\ud800 to \\udfff), which is no text",
            ),
            (
                {"detail-type": "Lead Created", "detail": "text"},
                "detail: must be a JSON object, not a string",
            ),
            (
                {"detail-type": "Lead Created", "detail": {"detail-type": "Lead Created"}},
                "detail: holds another EventBridge envelope; publish the lead event itself",
            ),
            (
                {"Type": "Notification", "Message": {}},
                "Message: must be a string with the lead event, not an object",
            ),
            (
                {"Type": "Notification", "Message": json.dumps({"Type": "Notification", "Message": ""})},
                "Message: holds another SNS notification; publish the lead event itself",
            ),
            (
                {"operation": "create", "lead": [LEAD]},
                "lead: must be a JSON object with the lead's fields, not an array",
            ),
            (
                PLAIN | {"idempotency_key": "a"},
                "idempotency_key: is not known; did you mean idempotencyKey?",
            ),
            (PLAIN | {"idempotencyKey": " "}, "idempotencyKey: must be a string of 1 to 256 characters"),
            (
                PLAIN | {"idempotencyKey": "k" * 257},
                "idempotencyKey: must be a string of 1 to 256 characters",
            ),
        ],
    )
    def test_a_body_that_is_no_lead_event_is_rejected_in_words(self, body: object, problem: str) -> None:
        """Whatever it is, the batch goes on and a person can read why."""
        assert problems_of(body) == [problem]

    def test_a_detail_type_that_is_not_ours_is_rejected_with_the_known_ones(self) -> None:
        """Somebody pointed another rule at the queue."""
        wrong: list[object] = ["Order Created", 7, []]
        for detail_type in wrong:
            found = problems_of({"detail-type": detail_type, "detail": {"lead": LEAD}})
            assert found == [
                'detail-type: must be one of "Lead Created", "Lead Updated", "Lead Followup Stopped"'
            ]

    def test_there_is_no_default_operation(self) -> None:
        """A create can't be undone."""
        assert problems_of({"lead": LEAD}) == [
            'operation: is missing; it must be one of "create", "update", "stop_followup"'
        ]

    def test_other_keys_are_let_through_with_a_warning(self) -> None:
        """Producers may carry notes of their own beside the lead."""
        assert read(PLAIN | {"traceId": "t"}).unknown_fields == ("traceId",)


class TestIdentity:
    """When two events are the same event."""

    def test_creates_of_one_address_and_assistant_are_one_event(self) -> None:
        """Case doesn't count; a second web form entry is not a second lead."""
        other_case = lead_with(email="Jane@Example.com")
        assert read(PLAIN).key == read(other_case).key
        assert read(PLAIN).lead_hash == read(other_case).lead_hash
        assert read(PLAIN).key != read(lead_with(assistantEmail="kim@example.net")).key

    def test_an_idempotency_key_wins_over_the_address(self) -> None:
        """The producer knows best what is one event."""
        first, second = read(PLAIN | {"idempotencyKey": "a"}), read(PLAIN | {"idempotencyKey": "b"})
        assert first.key != second.key
        assert first.key == read(PLAIN | {"idempotencyKey": " a "}).key

    def test_updates_are_told_apart_by_the_events_id(self) -> None:
        """Two updates of one lead are two events; one update delivered twice is one."""
        update = {"operation": "update", "lead": LEAD}
        one = read_event(message(update), {})
        assert one.key == read_event(message(update), {}).key
        other = Message("message-2", "receipt", json.dumps(update), 1, 0.0)
        assert one.key != read_event(other, {}).key

    def test_a_redriven_message_keeps_the_identity_it_was_parked_with(self) -> None:
        """AWS gives a redriven message a new id."""
        update = json.dumps({"operation": "update", "lead": LEAD})
        parked = Message("message-9", "receipt", update, 1, 0.0, parked_event_id="message-1")
        assert read_event(parked, {}).key == read_event(message(update), {}).key

    @pytest.mark.parametrize(
        ("body", "event_id"),
        [
            ({"detail-type": "Lead Created", "id": "e-1", "detail": {"lead": {}}}, "e-1"),
            ({"detail-type": "Lead Created", "id": "e-1", "detail": []}, "e-1"),
            ({"Type": "Notification", "MessageId": "n-1", "Message": "{}"}, "n-1"),
            ({"lead": {}}, "message-1"),
            ("not json", "message-1"),
        ],
    )
    def test_a_rejection_names_the_event_as_far_as_it_could_be_read(
        self, body: object, event_id: str
    ) -> None:
        """A producer finds it in its own records."""
        with pytest.raises(UnreadableError) as caught:
            read(body)
        assert caught.value.event_id == event_id

    def test_no_identity_shows_an_address_or_a_key(self) -> None:
        """Both are stored and logged."""
        event = read(PLAIN | {"idempotencyKey": "jane@example.com"})
        assert "jane" not in event.key.text + event.lead_hash


@given(st.binary())
@example(b"\xff\xfe")
def test_any_bytes_give_an_event_or_a_rejection(raw: bytes) -> None:
    """Nothing that can arrive crashes a batch."""
    for text in (raw.decode("latin-1"), raw.decode("utf-8", "surrogateescape")):
        try:
            read(text)
        except RejectedError as error:
            assert error.detail


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "operation",
        "lead",
        "idempotencyKey",
        "detail",
        "detail-type",
        "Type",
        "Message",
        "id",
        "name",
        "email",
        "assistantEmail",
        "customFields",
        "scheduleId",
    ]
)
NEAR_MISSES = st.recursive(
    JSON_VALUES | st.sampled_from(["create", "Lead Created", "Notification", "a@example.com"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


@given(NEAR_MISSES)
def test_any_json_gives_an_event_or_a_rejection(body: object) -> None:
    """Known keys with values of every wrong type, at every depth."""
    try:
        event = read(json.dumps(body))
    except RejectedError as error:
        assert error.detail
    else:
        assert event.lead["email"]


def test_a_record_is_read_from_what_lambda_hands_over() -> None:
    """Times are epoch seconds, and a body that is no text still becomes a rejection, not a crash."""
    record: dict[str, Any] = {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": {"not": "text"},
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1795166999500",
            "MessageGroupId": "g",
        },
        "messageAttributes": {
            "eventId": {"stringValue": "e-0", "dataType": "String"},
            "firstSeen": {"stringValue": "2026-11-01T00:00:00+00:00", "dataType": "String"},
        },
    }
    read_message = Message.from_record(record)
    assert read_message == Message(
        "m-1", "r-1", '{"not": "text"}', 3, 1795166999.5, "g", "e-0", "2026-11-01T00:00:00+00:00"
    )
