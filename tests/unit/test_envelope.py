"""Reading bodies: every way a lead event arrives, and every way it can be wrong."""

import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deliver_leads.event.envelope import MAX_DEPTH, LeadEvent, UnreadableError, read_event
from deliver_leads.event.lead import LONGEST_FIELD_NAME, MOST_FIELDS, Operation
from deliver_leads.event.message import Message
from deliver_leads.outcome import RejectedError

LEAD = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.net"}
PLAIN = {"operation": "create", "lead": LEAD}
SENT_MS = 1_795_166_999_500
DAY_MS = 86_400_000


def message(body: object, **more: Any) -> Message:
    """A message with this body (an object is sent as JSON)."""
    text = body if isinstance(body, str) else json.dumps(body)
    return Message("message-1", "receipt", text, 1, SENT_MS, **more)


def read(body: object, **defaults: str) -> LeadEvent:
    """The event in a body."""
    return read_event(message(body), defaults)


def unreadable(body: object, **defaults: str) -> UnreadableError:
    """The rejection of a body."""
    with pytest.raises(UnreadableError) as caught:
        read(body, **defaults)
    return caught.value


def problems_of(body: object) -> list[str]:
    """Every problem that a rejection names."""
    return unreadable(body).detail.split(" | ")


def on_the_bus(**more: object) -> dict[str, object]:
    """A create as it arrives from the bus."""
    return {"detail-type": "Lead Created", "source": "my.crm", "id": "e-1", "detail": {"lead": LEAD}} | more


def nested(levels: int) -> object:
    """Arrays inside each other."""
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


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
        """A producer fixes everything in one go, and a rejection holds no personal data."""
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

    @pytest.mark.parametrize("field", ["email", "assistantEmail"])
    def test_what_is_no_address_is_refused_with_the_reason_and_without_the_address(self, field: str) -> None:
        """A lead that nobody can write to can't be deleted."""
        assert problems_of(lead_with(**{field: "ulf@example.com)"})) == [
            f'lead.{field}: is not an e-mail address, because it has the character ")" after the "@"'
        ]

    @pytest.mark.parametrize("field", ["email", "assistantEmail"])
    def test_an_address_is_sent_in_its_one_form_and_is_one_lead(self, field: str) -> None:
        """The tests of the form itself are in test_address.py."""
        plain = read(lead_with(**{field: "q@xn--mller-kva.example"}))
        for written in (
            "\u202aq@MÜLLER.example\u202c",
            "Quinn <q@müller.example>",
            "mailto:q@müller.example",
        ):
            event = read(lead_with(**{field: written}))
            assert (event.lead, event.lead_hash, event.key) == (plain.lead, plain.lead_hash, plain.key)

    def test_a_default_assistant_gets_its_one_form_too(self) -> None:
        """A setting is copied from somewhere as well."""
        lead = {"name": "J", "email": "j@example.com"}
        event = read({"operation": "update", "lead": lead}, assistantEmail="<Sam@EXAMPLE.net>")
        assert event.lead["assistantEmail"] == "Sam@example.net"

    @pytest.mark.parametrize("name", ["\u200b", " \u3164", "\ufe0f", "\x00"])
    def test_a_name_that_shows_nothing_is_missing(self, name: str) -> None:
        """The assistant would greet nobody."""
        assert problems_of(lead_with(name=name)) == ["lead.name: is missing; every create needs it"]

    def test_control_characters_within_a_text_are_not_sent_but_line_breaks_are(self) -> None:
        """A database that refuses a NUL would answer 500, and such a lead would wait for days."""
        lead = read(lead_with(name="J\x00an\x1be", notes="one\r\n\ttwo\x85")).lead
        assert (lead["name"], lead["notes"]) == ("Jane", "one\r\n\ttwo")

    @pytest.mark.parametrize(
        "field",
        ["company", "designation", "industry", "location", "crm", "externalId", "userTypedSubject", "state"],
    )
    @pytest.mark.parametrize("value", [7064567890123, True, {"name": "Acme"}, ["Acme"]], ids=str)
    def test_a_field_of_the_vendor_s_connectors_is_a_text(self, field: str, value: object) -> None:
        """They send nothing else, and nobody knows what the API does with another type."""
        assert problems_of(lead_with(**{field: value}))[0].startswith(
            f"lead.{field}: must be a string, not a"
        )

    @pytest.mark.parametrize(
        "value",
        [
            *("Team", [1], [{"name": "Team"}], [{"value": 1}], [{"name": 1, "value": 1}]),
            *([{"name": "Team", "value": {"size": 1}}], [{"name": "Team", "value": ["a"]}]),
        ],
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

    @pytest.mark.parametrize("given", [5, "5", "05"])
    def test_an_id_is_the_same_id_however_a_producer_writes_it(self, given: object) -> None:
        """Two events of one lead must be seen to be of one lead."""
        assert read({"operation": "update", "lead": LEAD | {"id": given}}).lead_id == 5

    def test_an_event_without_an_id_has_none(self) -> None:
        """Most producers know their leads by address only."""
        assert read(PLAIN).lead_id is None

    @pytest.mark.parametrize("given", [0, "0", "000", -5, 10**18])
    def test_what_7targets_can_t_have_given_out_is_no_id(self, given: object) -> None:
        """Zero in both forms, and more digits than the ledger and other programs can hold."""
        assert problems_of({"operation": "update", "lead": LEAD | {"id": given}}) == [
            "lead.id: must be a positive whole number of at most 18 digits"
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

    def test_a_lead_has_at_most_100_fields(self) -> None:
        """What is remembered of it grows with them. Absent fields and defaults don't count."""
        more: dict[str, object] = {f"field{number}": number for number in range(MOST_FIELDS - len(LEAD))}
        event = read(lead_with(**more, phone=None, lastName=" "), source="Web", context="Demo")
        assert len(event.lead) == MOST_FIELDS + 2
        assert problems_of(lead_with(**more, phone="1")) == [
            "lead: has 101 fields; at most 100 fields are taken"
        ]

    def test_a_fields_name_has_at_most_100_characters(self) -> None:
        """No form has longer ones; the problem doesn't repeat it, because it may be anything."""
        name = "jane@example.com".ljust(LONGEST_FIELD_NAME, "x")
        assert read(lead_with(**{name: 1})).lead[name] == 1
        assert problems_of(lead_with(**{name + "x": 1})) == [
            "lead: has a field whose name is longer than 100 characters"
        ]


NOT_FINITE = "body: holds NaN, Infinity or a number as large as 1e999; JSON has no such number"


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
            ("NaN", NOT_FINITE),
            ('{"operation": -Infinity}', NOT_FINITE),
            ('{"lead": {"budget": [1e999]}}', NOT_FINITE),
            ('{"lead": {"budget": -1e999}}', NOT_FINITE),
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
            (
                PLAIN | {"idempotencyKey": " \u200b"},
                "idempotencyKey: must be a string of 1 to 256 characters",
            ),
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

    def test_a_body_may_be_nested_as_deep_as_any_lead_and_no_deeper(self) -> None:
        """What json.loads just takes may be too deep for the encoders behind it, which then end the batch."""
        in_three_objects = MAX_DEPTH - 2
        assert read(lead_with(tree=nested(in_three_objects))).operation == Operation.CREATE
        assert problems_of(lead_with(tree=nested(in_three_objects + 1))) == [
            f"body: has more than {MAX_DEPTH} objects and arrays inside each other"
        ]

    def test_no_depth_at_all_crashes_a_batch(self) -> None:
        """Around the parser's own limit there is a depth that it takes and the encoder doesn't."""
        limit = sys.getrecursionlimit()
        for levels in range(limit - 100, limit + 100):
            body = '{"lead": ' + "[" * levels + "]" * levels + "}"
            assert unreadable(body).detail

    def test_without_listed_sources_any_may_publish(self) -> None:
        """The bus is the stage's own."""
        assert read_event(message(on_the_bus()), {}, []).source == "my.crm"

    def test_a_listed_source_may_publish(self) -> None:
        """That is what the list is for."""
        assert read_event(message(on_the_bus()), {}, ["my.forms", "my.crm"]).source == "my.crm"

    @pytest.mark.parametrize("source", ["my.crn", None, 7])
    def test_an_unlisted_source_is_rejected_with_the_listed_ones(self, source: object) -> None:
        """The event isn't lost at the bus after a 200: its reason says why it wasn't delivered."""
        with pytest.raises(UnreadableError) as caught:
            read_event(message(on_the_bus(source=source)), {}, ["my.crm", "my.forms"])
        assert caught.value.detail == (
            'source: must be one of "my.crm", "my.forms", which are those of the setting eventSources'
        )

    def test_messages_to_the_queue_and_the_topic_need_no_listed_source(self) -> None:
        """They have no EventBridge source; who may send is up to the queue's policy."""
        topic = {"Type": "Notification", "MessageId": "n-1", "Message": json.dumps(PLAIN)}
        for body in (PLAIN, topic):
            assert read_event(message(body), {}, ["my.crm"]).operation == Operation.CREATE

    @pytest.mark.parametrize(
        ("body", "source"),
        [
            (PLAIN, "sqs"),
            ({"Type": "Notification", "Message": json.dumps(PLAIN)}, "sns"),
            (on_the_bus(), "my.crm"),
            (on_the_bus(source="aws.partner/example.com/crm"), "aws.partner/example.com/crm"),
            (on_the_bus(source=None), "eventbridge"),
            ({"Type": "Notification", "Message": json.dumps(on_the_bus())}, "my.crm"),
        ],
    )
    def test_an_event_says_where_it_came_from(self, body: object, source: str) -> None:
        """People ask which producer a lead came from."""
        assert read(body).source == source

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

    def test_creates_with_one_content_are_one_event(self) -> None:
        """The order of fields, blanks around them, blank fields and the case of addresses don't count."""
        lead = {
            "email": "Jane@Example.com",
            "name": " Jane ",
            "phone": "",
            "assistantEmail": "SAM@example.net",
        }
        other = read({"lead": lead, "operation": "create"})
        assert read(PLAIN).key == other.key
        assert read(PLAIN).lead_hash == other.lead_hash

    @pytest.mark.parametrize("operation", Operation)
    @pytest.mark.parametrize("given", [{}, {"idempotencyKey": "a"}], ids=["content", "key"])
    def test_another_default_makes_no_other_event(
        self, operation: Operation, given: dict[str, object]
    ) -> None:
        """A copy of an event is one after the setting was changed, too."""
        body = {"operation": operation, "lead": {"name": "Jane", "email": "jane@example.com"}} | given
        first = read(body, assistantEmail="sam@example.net")
        second = read(body, assistantEmail="kim@example.net", source="Website form", context="Trial")
        assert first.lead != second.lead
        assert first.key == second.key

    @pytest.mark.parametrize(
        "fields",
        [{"assistantEmail": "kim@example.net"}, {"context": "Asked for a demo"}, {"name": "JANE"}, {"x": 1}],
    )
    def test_creates_with_other_content_are_other_events(self, fields: dict[str, object]) -> None:
        """A second web form entry says something new, which must not be dropped as a repetition."""
        other = read(lead_with(**fields))
        assert other.key.text != read(PLAIN).key.text
        assert other.key.digest != read(PLAIN).key.digest
        assert other.lead_hash == read(PLAIN).lead_hash

    def test_an_idempotency_key_wins_over_the_content(self) -> None:
        """The producer knows best what is one event."""
        first, second = read(PLAIN | {"idempotencyKey": "a"}), read(PLAIN | {"idempotencyKey": "b"})
        assert first.key.text != second.key.text
        assert first.key == read(PLAIN | {"idempotencyKey": "\ufeff a\u200b "}).key

    def test_the_digest_shows_that_a_key_was_used_again_with_other_content(self) -> None:
        """Neither of the two may be taken for the other."""
        first = read(PLAIN | {"idempotencyKey": "a"})
        other = read(lead_with(context="Demo") | {"idempotencyKey": "a"})
        assert first.key.text == other.key.text
        assert first.key.digest != other.key.digest
        written = {
            "assistantEmail": "SAM@example.net",
            "email": "Jane@example.com ",
            "name": " Jane",
            "x": None,
        }
        same = read({"operation": "create", "lead": written, "idempotencyKey": "a"})
        assert first.key == same.key

    def test_only_a_create_without_a_key_is_known_by_its_content(self) -> None:
        """It then counts as the same for a shorter time."""
        for operation in Operation:
            bare = {"operation": operation, "lead": LEAD}
            assert read(bare).key.from_content is (operation is Operation.CREATE)
            assert not read(bare | {"idempotencyKey": "a"}).key.from_content

    def test_no_key_of_a_producers_is_that_of_a_content_or_of_an_id(self) -> None:
        """Whatever it gives as its key."""
        update = {"operation": "update", "lead": LEAD}
        assert read(update | {"idempotencyKey": "message-1"}).key.text != read(update).key.text

    def test_one_idempotency_key_makes_a_create_an_update_and_a_stop_three_events(self) -> None:
        """A CRM gives its record's id with every event of the lead; none may swallow another."""
        events = [read({"operation": o, "lead": LEAD, "idempotencyKey": "record-7"}) for o in Operation]
        assert len({event.key.text for event in events}) == 3
        hashes = [hashlib.sha256(f"key {operation} record-7".encode()).hexdigest() for operation in Operation]
        assert [event.key.text for event in events] == [text[:16] for text in hashes]

    def test_updates_are_distinguished_by_the_events_id(self) -> None:
        """Two updates of one lead are two events; one update delivered twice is one."""
        update = {"operation": "update", "lead": LEAD}
        one = read_event(message(update), {})
        assert one.key == read_event(message(update), {}).key
        other = Message("message-2", "receipt", json.dumps(update), 1, SENT_MS)
        assert one.key != read_event(other, {}).key

    def test_a_redriven_message_keeps_the_identity_it_was_parked_with(self) -> None:
        """AWS gives a redriven message a new id."""
        update = json.dumps({"operation": "update", "lead": LEAD})
        parked = Message("message-9", "receipt", update, 1, SENT_MS, parked_event_id="message-1")
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

    def test_an_id_that_is_no_id_gives_a_redriven_event_the_key_that_it_had(self) -> None:
        """The parked message's attribute holds the id's hash; the hash stands for the same event."""
        update = {"operation": "update", "lead": LEAD}
        topic = {"Type": "Notification", "Message": json.dumps(update)}
        first = read_event(message(topic, parked_event_id="Jane Doe's form"), {})
        redriven = read_event(message(topic, parked_event_id=first.event_id), {})
        assert (redriven.event_id, redriven.key) == (first.event_id, first.key)

    def test_a_rejection_has_the_identity_of_the_event_as_far_as_it_could_be_read(self) -> None:
        """So a log line names the lead's event, although it was rejected for a field."""
        wrong = {"lead": LEAD | {"email": "Jane@Example.com", "phone": 7}, "idempotencyKey": "a"}
        error = unreadable(on_the_bus(detail=wrong))
        sound = read(PLAIN | {"idempotencyKey": "a"})
        assert error.key
        assert (error.operation, error.lead_hash) == (Operation.CREATE, sound.lead_hash)
        assert (error.key.text, error.key.from_content) == (sound.key.text, False)
        assert (error.source, error.event_id) == ("my.crm", "e-1")

    @pytest.mark.parametrize(
        "body",
        [
            "not json",
            {"operation": "create", "lead": []},
            lead_with(email="jane"),
            lead_with(email=7),
            on_the_bus(detail="text"),
        ],
    )
    def test_a_rejection_without_an_address_belongs_to_no_lead(self, body: object) -> None:
        """Nothing in a log line names one."""
        error = unreadable(body)
        assert (error.lead_hash, error.key) == (None, None)

    @pytest.mark.parametrize(
        "body",
        [{"operation": "upsert", "lead": LEAD}, PLAIN | {"idempotencyKey": 7}],
        ids=["operation", "key"],
    )
    def test_a_rejection_has_no_key_that_was_not_the_producers(self, body: object) -> None:
        """Without a known operation or a readable key, nothing distinguishes the lead's events."""
        error = unreadable(body)
        assert error.key is None
        assert error.lead_hash == read(PLAIN).lead_hash

    def test_no_identity_shows_an_address_or_a_key(self) -> None:
        """Both are stored and logged."""
        event = read(PLAIN | {"idempotencyKey": "jane@example.com"})
        assert "jane" not in event.key.text + event.lead_hash


class TestWhatIsLogged:
    """Ids and names that a producer chose, where it may have put personal data."""

    @pytest.mark.parametrize(
        "given",
        ["jane@example.com", "Jane Doe", "x" * 129, "a\nb", "\u00e9"],
        ids=["mail", "name", "long", "lf", "e"],
    )
    def test_an_id_that_looks_like_none_is_shown_as_its_hash(self, given: str) -> None:
        """Whatever brings it: the bus, the topic, a message attribute."""
        hashed = "sha256:" + hashlib.sha256(given.encode()).hexdigest()
        assert read(on_the_bus(id=given, source=given)).event_id == hashed
        assert read(on_the_bus(id=given, source=given)).source == hashed
        assert (
            read({"Type": "Notification", "MessageId": given, "Message": json.dumps(PLAIN)}).event_id
            == hashed
        )
        assert read_event(message(PLAIN, parked_event_id=given), {}).event_id == hashed
        assert unreadable(on_the_bus(id=given, detail=[])).event_id == hashed

    @pytest.mark.parametrize("given", ["0190-af.b_c:d", "x" * 128, "sha256:" + "0" * 64])
    def test_an_id_is_shown_as_it_is(self, given: str) -> None:
        """People find it again in the producer's own records."""
        assert read(on_the_bus(id=given)).event_id == given

    def test_names_of_unknown_fields_are_shown_only_if_they_look_like_names(self) -> None:
        """A spreadsheet's header may be anything."""
        fields = {"mail of Jane Doe": 1, "jane@example.com": 1, "x" * 65: 1, "": 1, "utm_source": 1}
        event = read(lead_with(**fields) | {"a b": 1})
        assert event.unknown_fields == (
            "(a name with other characters)",
            "lead.(a name with other characters)",
            "lead.(a name with other characters)",
            "lead." + "x" * 64,
            "lead.(a name with other characters)",
            "lead.utm_source",
        )

    def test_a_log_line_can_t_be_flooded_with_names(self) -> None:
        """A lead may have 100 of them."""
        assert len(read(lead_with(**{f"field{n}": n for n in range(90)})).unknown_fields) == 20

    def test_a_problem_shows_a_misspelt_name_and_no_other(self) -> None:
        """A misspelt name is made of the known one's letters; it is cut all the same."""
        found = problems_of(PLAIN | {"Idempotency Key": "a", "jane@example.com": 1, "lead" + "_" * 100: 1})
        assert found == [
            "Idempotency Key: is not known; did you mean idempotencyKey?",
            "lead" + "_" * 60 + ": is not known; did you mean lead?",
        ]


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


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> int:
    """An hour after the messages here were sent, in epoch milliseconds."""
    now_ms = SENT_MS + 3_600_000
    monkeypatch.setattr("deliver_leads.event.message.time.time", lambda: now_ms / 1000)
    return now_ms


def record_with(**attributes: str) -> dict[str, Any]:
    """A record with these SQS attributes."""
    return {"messageId": "m-1", "receiptHandle": "r-1", "body": "{}", "attributes": attributes}


class TestMessage:
    """What Lambda hands over, and what people type into the console's test form."""

    def test_a_record_is_read_from_what_lambda_hands_over(self, now: int) -> None:
        """A body that is no text still becomes a rejection, not a crash."""
        record: dict[str, Any] = {
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": {"not": "text"},
            "attributes": {
                "ApproximateReceiveCount": "3",
                "SentTimestamp": str(SENT_MS),
                "MessageGroupId": "g",
            },
            "messageAttributes": {
                "reason": {"stringValue": "retry", "dataType": "String"},
                "eventId": {"stringValue": "e-0", "dataType": "String"},
                "firstSeen": {"stringValue": "2026-11-01T00:00:00+00:00", "dataType": "String"},
            },
        }
        read_message = Message.from_record(record)
        assert read_message == Message(
            "m-1", "r-1", '{"not": "text"}', 3, SENT_MS, "g", "e-0", "2026-11-01T00:00:00+00:00"
        )
        assert read_message.sent_at == SENT_MS / 1000

    @pytest.mark.parametrize(
        "sent",
        [{}, *({"SentTimestamp": text} for text in ("", "0", "soon", "1523232000000", "9" * 30, "9" * 5000))],
    )
    def test_a_sent_time_that_sqs_can_t_have_given_is_now(self, now: int, sent: dict[str, str]) -> None:
        """Else the console's sample event, of 2018, counts as years old and is parked at its first fault."""
        assert Message.from_record(record_with(**sent)).sent_ms == now

    def test_a_message_may_be_as_old_as_sqs_keeps_it(self, now: int) -> None:
        """14 days; its age decides when it is parked."""
        oldest = now - 14 * DAY_MS
        assert Message.from_record(record_with(SentTimestamp=str(oldest))).sent_ms == oldest

    @pytest.mark.parametrize(
        "count", [{}, *({"ApproximateReceiveCount": text} for text in ("", "many", "-1", "0"))]
    )
    def test_a_receive_count_that_can_t_be_read_is_one(self, now: int, count: dict[str, str]) -> None:
        """It is being received now."""
        assert Message.from_record(record_with(**count)).receive_count == 1

    def test_a_redriven_event_is_as_late_as_when_it_was_first_seen(self) -> None:
        """It was sent again weeks later, but a newer event of the lead must still win over it."""
        first_seen_ms = SENT_MS - 20 * DAY_MS + 1
        text = datetime.fromtimestamp(first_seen_ms / 1000, UTC).isoformat(timespec="milliseconds")
        assert message(PLAIN, parked_first_seen=text).order_ms == first_seen_ms
        assert message(PLAIN, parked_first_seen=text.replace("+00:00", "Z")).order_ms == first_seen_ms

    @pytest.mark.parametrize(
        "text", [None, "", "yesterday", "2026-11-01", "2026-11-01T00:00:00", "9999-12-31T00:00Z"]
    )
    def test_without_a_first_time_that_can_be_true_the_sent_time_gives_the_order(
        self, text: str | None
    ) -> None:
        """No attribute can make an event later than it came."""
        assert message(PLAIN, parked_first_seen=text).order_ms == SENT_MS


class TestOnlyRecipients:
    """The setting onlyRecipients: a stage in its first days, which must not mail anybody else."""

    @pytest.mark.parametrize("email", ["me@other.example", "Jane@EXAMPLE.com", " jane@example.com "])
    def test_a_listed_address_or_domain_is_read(self, email: str) -> None:
        """Case makes no difference, in the address and in its domain."""
        only = ("me@other.example", "example.com")
        assert read_event(message(lead_with(email=email)), {}, only_recipients=only).lead["email"]

    @pytest.mark.parametrize(
        "email",
        ["you@other.example", "jane@sub.example.com", "jane@notexample.com", "jane@example.com.evil.org"],
    )
    @pytest.mark.parametrize("operation", list(Operation))
    def test_any_other_lead_is_rejected_with_that_reason(self, email: str, operation: Operation) -> None:
        """For every operation, because an update may start a sequence."""
        event = lead_with(email=email) | {"operation": operation}
        with pytest.raises(UnreadableError) as caught:
            read_event(message(event), {}, only_recipients=("me@other.example", "example.com"))
        assert caught.value.detail == "lead.email: is none of the setting onlyRecipients"
