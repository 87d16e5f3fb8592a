"""Reading other people's events: which mapping takes one, and what becomes of whatever is in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver_leads.contract import pack_mappings, unpack_mappings
from deliver_leads.event.envelope import IgnoredError, LeadEvent, UnreadableError, read_event
from deliver_leads.event.lead import Operation
from deliver_leads.event.mappings import EventMapper, misfit
from deliver_leads.event.message import Message
from tests.foreign_events import EXAMPLES, IGNORED, STOP, load, mappings

MAPPING: dict[str, Any] = {
    "name": "crm",
    "pattern": {"source": ["their.crm"]},
    "operation": "create",
    "fields": {"email": "detail.mail", "name": "detail.who"},
    "constants": {"assistantEmail": "sam@example.net"},
}
LEAD = {"email": "jane@example.com", "name": "Jane", "assistantEmail": "sam@example.net"}


def foreign(**detail: object) -> dict[str, Any]:
    """An event of their CRM."""
    return {
        "id": "e-1",
        "source": "their.crm",
        "detail-type": "Person Added",
        "detail": {"mail": "jane@example.com", "who": "Jane"} | detail,
    }


def mapping(**more: Any) -> dict[str, Any]:
    """The mapping with more fields, or other parts."""
    return MAPPING | {"fields": MAPPING["fields"] | more.pop("fields", {})} | more


def read(event: object, *with_mappings: dict[str, Any], sources: tuple[str, ...] = ()) -> LeadEvent:
    """The lead event in a message with this body."""
    message = Message("message-1", "receipt", json.dumps(event), 1, 1_795_166_999_500)
    return read_event(message, {}, sources, EventMapper(with_mappings or (MAPPING,)))


def problems(event: object, *with_mappings: dict[str, Any]) -> list[str]:
    """What a rejection says."""
    with pytest.raises(UnreadableError) as caught:
        read(event, *with_mappings)
    assert caught.value.summary == caught.value.detail
    return caught.value.detail.split(" | ")


class TestExamples:
    """docs/events/mappings."""

    @pytest.mark.parametrize("example", [*EXAMPLES, STOP])
    def test_the_event_becomes_exactly_the_lead_that_the_documents_show(self, example: str) -> None:
        """All mappings are in place, so none takes another's event."""
        expected = load(example, "lead")
        event = read(load(example, "event"), *mappings())
        assert event.lead == expected["lead"]
        assert event.operation == expected["operation"]
        assert event.unknown_fields == ()
        plain = {"operation": expected["operation"], **expected}
        message = Message("message-2", "receipt", json.dumps(plain), 1, 1_795_166_999_500)
        assert event.key == read_event(message, {}).key

    @pytest.mark.parametrize("example", IGNORED)
    def test_what_is_no_lead_is_left_out(self, example: str) -> None:
        """A form's test data, and a meeting that was moved, which comes as a cancellation and a creation."""
        with pytest.raises(IgnoredError, match=load(example, "mapping")["name"]):
            read(load(example, "event"), *mappings())

    def test_a_moved_meeting_s_cancellation_stops_nothing(self) -> None:
        """The person still has a meeting."""
        event = load(STOP, "event")
        event["detail"]["payload"]["rescheduled"] = True
        with pytest.raises(IgnoredError, match="calendly-moved"):
            read(event, *mappings())

    def test_a_salesforce_lead_without_first_name_and_address_is_read_as_well(self) -> None:
        """Salesforce wants a last name only."""
        event = load("salesforce", "event")
        del event["detail"]["payload"]["Name"]["FirstName"]
        del event["detail"]["payload"]["Address"]
        lead = read(event, *mappings()).lead
        assert lead["name"] == "Doe"
        assert not {"lastName", "location"} & lead.keys()

    def test_another_form_s_event_is_not_taken(self) -> None:
        """The pattern names the form."""
        event = load("typeform", "event")
        event["detail"]["form_response"]["form_id"] = "other"
        assert problems(event, *mappings()) == [
            'mapping "typeform-demo": takes events of this source, '
            "but pattern.detail.form_response.form_id doesn't fit this one"
        ]


class TestWhichMapping:
    """The first one whose pattern fits."""

    def test_the_first_that_fits_is_taken(self) -> None:
        """Two patterns may overlap; their order in the setting decides."""
        first = mapping(name="first", pattern={"source": ["their.crm"], "detail": {"vip": [True]}})
        second = mapping(name="second", operation="update")
        assert read(foreign(vip=True), first, second).operation == Operation.CREATE
        assert read(foreign(vip=False), first, second).operation == Operation.UPDATE

    def test_a_mapping_wins_over_our_own_form(self) -> None:
        """Their CRM may call its events "Lead Created", too: somebody wrote the mapping for them."""
        event = foreign() | {"detail-type": "Lead Created"}
        event["detail"]["lead"] = LEAD | {"name": "Not this one"}
        assert read(event).lead == LEAD

    def test_an_event_in_our_own_form_that_no_mapping_is_for_is_read_as_ever(self) -> None:
        """A mapping changes nothing for other producers."""
        event = {"id": "e-2", "source": "my.crm", "detail-type": "Lead Created", "detail": {"lead": LEAD}}
        assert read(event).lead == LEAD

    def test_a_mapping_s_source_need_not_be_among_the_event_sources(self) -> None:
        """The pattern names it; the list is for events in our own form."""
        assert read(foreign(), sources=("my.crm",)).source == "their.crm"

    def test_an_event_that_came_through_a_topic_is_mapped_as_well(self) -> None:
        """An EventBridge rule may have an SNS topic as its target."""
        assert read({"Type": "Notification", "Message": json.dumps(foreign())}).lead == LEAD

    def test_a_plain_message_is_never_mapped(self) -> None:
        """A mapping is for EventBridge events, which have a detail type."""
        plain = {
            "source": "their.crm",
            "operation": "create",
            "lead": LEAD,
            "detail": {"mail": "x@example.com"},
        }
        assert read(plain).lead == LEAD

    def test_an_event_of_a_mapping_s_source_that_doesn_t_fit_names_the_mapping_and_the_place(self) -> None:
        """Somebody wrote the pattern, so it is there that a person has to look."""
        one = mapping(name="one", pattern={"detail-type": ["Other"], "source": ["their.crm"]})
        two = mapping(name="two", pattern={"source": ["their.crm"], "detail": {"form": {"test": [False]}}})
        other = mapping(name="other", pattern={"detail-type": ["Other"], "source": ["elsewhere"]})
        assert problems(foreign(form={"test": True}), one, two, other) == [
            'mapping "one": takes events of this source, but pattern.detail-type doesn\'t fit this one',
            'mapping "two": takes events of this source, but pattern.detail.form.test doesn\'t fit this one',
        ]

    def test_an_event_in_our_own_form_of_a_mapping_s_source_is_judged_as_that(self) -> None:
        """One source may publish both."""
        event = foreign() | {"detail-type": "Lead Created", "detail": {"lead": LEAD}}
        never = mapping(pattern={"source": ["their.crm"], "detail-type": ["Other"]})
        assert read(event, never).lead == LEAD

    def test_a_mapping_may_leave_events_out(self) -> None:
        """They are no lead, and nothing is wrong with them."""
        left_out: dict[str, Any] = {"name": "tests", "operation": "ignore"}
        left_out["pattern"] = {"source": ["their.crm"], "detail": {"is_test": [True]}}
        with pytest.raises(IgnoredError) as caught:
            read(foreign(is_test=True), left_out, MAPPING)
        assert (caught.value.summary, caught.value.source) == ('mapping "tests" leaves it out', "their.crm")
        assert read(foreign(is_test=False), left_out, MAPPING).lead == LEAD


class TestFields:
    """What a path may find."""

    @pytest.mark.parametrize(
        ("found", "becomes"),
        [
            (14155550100, "14155550100"),
            (14155550100.0, "14155550100"),
            (1.5, "1.5"),
            (0, "0"),
            ("  +1 415 ", "+1 415"),
        ],
    )
    def test_a_number_becomes_a_text_where_7targets_wants_one(self, found: object, becomes: str) -> None:
        """Spreadsheets and forms have phone numbers as numbers, some with a fraction of zero."""
        assert read(foreign(tel=found), mapping(fields={"phone": "detail.tel"})).lead["phone"] == becomes

    @pytest.mark.parametrize("found", [None, "", "   "])
    def test_null_and_blank_texts_are_left_out(self, found: object) -> None:
        """Our own form leaves them out too, because the API leaves an absent field as it is."""
        assert "phone" not in read(foreign(tel=found), mapping(fields={"phone": "detail.tel"})).lead

    def test_an_optional_field_that_isn_t_there_is_left_out(self) -> None:
        """An empty text in its place might wipe what 7Targets has."""
        assert read(foreign(), mapping(fields={"phone": "detail.tel"})).lead == LEAD

    @pytest.mark.parametrize("missing", [{"who": None}, {"who": ""}])
    def test_a_mandatory_field_that_isn_t_there_is_reported_with_mapping_and_path(
        self, missing: dict[str, object]
    ) -> None:
        """So that a person knows which mapping to look at."""
        assert problems(foreign(**missing)) == [
            'mapping "crm": lead.name (detail.who): is missing; every create needs it'
        ]

    def test_a_value_of_a_wrong_type_is_reported_without_the_value(self) -> None:
        """A list where a text should be: the path forgot `| [0]`."""
        found = problems(foreign(who=["Jane"], mail=True))
        assert found == [
            'mapping "crm": lead.email (detail.mail): must be a string, not a boolean',
            'mapping "crm": lead.name (detail.who): must be a string, not an array',
        ]

    def test_what_isn_t_an_address_is_reported_without_it(self) -> None:
        """The reason is logged."""
        assert problems(foreign(mail="jane at home")) == [
            'mapping "crm": lead.email (detail.mail): is not an e-mail address, because it has no "@"'
        ]

    @pytest.mark.parametrize(
        ("path", "detail", "error"),
        [
            ("join(', ', detail.tags)", {"tags": ["a", None]}, "JMESPathTypeError"),
            ("join(', ', detail.tags)", {}, "JMESPathTypeError"),
            (
                "sort_by(detail.tags, &rank)[0].name",
                {"tags": [{"rank": 1}, {"rank": "x"}]},
                "JMESPathTypeError",
            ),
            ("to_number(detail.text)", {"text": "nan"}, "ValueError"),
            ("to_number(detail.text)", {"text": "1e999"}, "ValueError"),
            ("to_number(detail.text)", {"text": "9" * 5000}, "ValueError"),
            ("&detail", {}, "TypeError"),
        ],
    )
    def test_what_jmespath_can_t_do_with_an_event_is_a_rejection(
        self, path: str, detail: dict[str, object], error: str
    ) -> None:
        """Never a crash, and no word of the event in the reason."""
        assert problems(foreign(**detail), mapping(fields={"context": path})) == [
            f'mapping "crm": lead.context ({path}): can\'t be evaluated ({error})'
        ]

    @pytest.mark.parametrize(
        ("path", "detail", "becomes"),
        [
            ("first_name(detail.full)", {"full": "Ada von Nord"}, "Ada"),
            ("last_name(detail.full)", {"full": "Ada von Nord"}, "von Nord"),
            ("first_name(detail.full)", {"full": "Dr. Ada Nord"}, "Ada"),
            (
                "join('|', [first_name(detail.full), last_name(detail.full)])",
                {"full": "Nord, Ada M."},
                "Ada M.|Nord",
            ),
            ("first_name(detail.full)", {"full": " Ada "}, "Ada"),
            ("first_name(detail.full)", {"full": "Ada, "}, "Ada"),
            ("first_name(detail.full)", {"full": " , "}, None),
            ("last_name(detail.full)", {"full": "Ada"}, None),
            ("first_name(detail.full) || last_name(detail.full)", {}, None),
            ("from_json(detail.raw).answers[0].q", {"raw": '\ufeff{"answers": [{"q": "yes"}]}'}, "yes"),
            ("from_json(detail.raw).q", {"raw": None}, None),
            ("detail.all[?lower(trim(k)) == 'mail'].v | [0]", {"all": [{"k": " Mail\u200b", "v": "x"}]}, "x"),
            ("lower(detail.missing) || trim(detail.missing)", {}, None),
        ],
    )
    def test_our_own_functions_reach_what_jmespath_can_t(
        self, path: str, detail: dict[str, object], becomes: str | None
    ) -> None:
        """A full name, JSON in a text, texts that differ by case and white space."""
        lead = read(foreign(**detail), mapping(fields={"context": path})).lead
        assert lead.get("context") == becomes

    @pytest.mark.parametrize(
        ("path", "raw", "error"),
        [
            ("from_json(detail.raw).a", "{a: secret}", "JSONDecodeError"),
            ("from_json(detail.raw)", '{"a": NaN}', "ValueError"),
            ("from_json(detail.raw)", "[" * 100_000, "RecursionError"),
            ("first_name(detail.raw)", 7, "JMESPathTypeError"),
        ],
    )
    def test_what_they_can_t_take_is_a_rejection(self, path: str, raw: object, error: str) -> None:
        """As with JMESPath's own."""
        assert problems(foreign(raw=raw), mapping(fields={"context": path})) == [
            f'mapping "crm": lead.context ({path}): can\'t be evaluated ({error})'
        ]

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            (
                r'"\ud800ada@example.com"',
                r"body: holds half of a surrogate pair (\ud800 to \udfff), which is no text",
            ),
            ("[" * 200 + "]" * 200, "body: has more than 100 objects and arrays inside each other"),
        ],
    )
    @pytest.mark.parametrize("field", ["email", "externalId", "context", "idempotencyKey"])
    def test_what_is_in_a_text_is_refused_as_what_is_in_the_body(
        self, field: str, raw: str, problem: str
    ) -> None:
        """It would end the batch, as no check has looked into the text before."""
        assert problems(foreign(raw=raw), mapping(fields={field: "from_json(detail.raw)"})) == [problem]

    @pytest.mark.parametrize("field", ["externalId", "company", "state", "location"])
    def test_a_number_becomes_a_text_in_every_text_field(self, field: str) -> None:
        """Ids of Shopify, Pipedrive and HubSpot are numbers."""
        lead = read(foreign(n=7064567890123), mapping(fields={field: "detail.n"})).lead
        assert lead[field] == "7064567890123"

    def test_custom_fields_can_be_made_of_names_and_values(self) -> None:
        """JMESPath's multi-select and filters; values keep their types."""
        fields = {
            "customFields": "[{name: 'Size', value: detail.size}, {name: 'Town', value: detail.town}][?value]"
        }
        assert read(foreign(size=25), mapping(fields=fields)).lead["customFields"] == [
            {"name": "Size", "value": 25}
        ]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        )
    )
    def test_no_content_at_all_crashes_it(self, content: object) -> None:
        """Whatever is in the event: a lead event, or a rejection with reasons."""
        fields = {
            "context": "join(' ', detail.x)",
            "phone": "detail.x.a[0].b",
            "company": "detail.x[?a > `1`] | [0]",
        }
        try:
            read(foreign(x=content, mail=content), mapping(fields=fields))
        except UnreadableError as error:
            assert error.detail.startswith('mapping "crm": lead.')


class TestKey:
    """The key, by which two deliveries of one event are known to be the same."""

    def test_the_event_s_id_is_the_key_of_a_create_too(self) -> None:
        """EventBridge delivers at least once, with the same id; equal content in another event is news."""
        again = read(foreign())
        assert read(foreign()).key == again.key
        assert read(foreign() | {"id": "e-2"}).key != again.key
        assert not again.key.from_content

    def test_a_mapping_may_name_the_source_s_own_key(self) -> None:
        """A webhook that is sent again comes with another event id, but with the same submission id."""
        keyed = mapping(fields={"idempotencyKey": "detail.submission"})
        first = read(foreign(submission=42), keyed)
        assert first.key == read(foreign(submission="42") | {"id": "e-2"}, keyed).key
        assert first.key != read(foreign(submission=43), keyed).key

    @pytest.mark.parametrize("found", [None, ""])
    def test_a_key_that_isn_t_there_is_a_rejection(self, found: object) -> None:
        """Else a slip in its path would silently let repetitions through."""
        assert problems(
            foreign(submission=found), mapping(fields={"idempotencyKey": "detail.submission"})
        ) == [
            'mapping "crm": idempotencyKey (detail.submission): finds nothing; '
            "without a key, repetitions would count as new events"
        ]


class TestPattern:
    """EventBridge's own pattern language, as far as exact values go."""

    @pytest.mark.parametrize(
        ("pattern", "event", "fits"),
        [
            ({"a": ["x"]}, {"a": "x"}, True),
            ({"a": ["x", "y"]}, {"a": "y", "b": 1}, True),
            ({"a": ["x"]}, {"a": "X"}, False),
            ({"a": ["x"]}, {}, False),
            ({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "z"}, False),
            ({"a": [None]}, {"a": None}, True),
            ({"a": [None]}, {}, False),
            ({"a": [""]}, {"a": ""}, True),
            ({"a": [1]}, {"a": True}, False),
            ({"a": [True]}, {"a": 1}, False),
            ({"a": [1]}, {"a": "1"}, False),
            ({"a": [1]}, {"a": 1.0}, False),
            ({"a": ["x"]}, {"a": ["w", "x"]}, True),
            ({"a": ["x"]}, {"a": []}, False),
            ({"a": ["x"]}, {"a": {"x": 1}}, False),
            ({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True),
            ({"a": {"b": ["x"]}}, {"a": "x"}, False),
            ({"a": {"b": ["x"]}}, {"a": [{"b": "w"}, {"b": "x"}]}, True),
            ({"a": [False, {"exists": False}]}, {}, True),
            ({"a": [False, {"exists": False}]}, {"a": False}, True),
            ({"a": [{"exists": False}]}, {"a": None}, False),
            ({"a": [{"exists": False}]}, {"a": "x"}, False),
            ({"a": {"b": [{"exists": False}]}}, {}, True),
            ({"a": {"b": [{"exists": False}]}}, {"a": {"b": 1}}, False),
            ({"a": {"b": ["x"], "c": ["y"]}}, {"a": [{"b": "x", "c": "z"}, {"b": "w", "c": "y"}]}, False),
        ],
    )  # fmt: skip
    def test_it_fits_when_eventbridge_says_so(self, pattern: Any, event: Any, fits: bool) -> None:
        """On a bus that others use, EventBridge decides by the pattern first, and then the function does."""
        assert (misfit(pattern, event) == "") is fits


def test_mappings_survive_the_environment() -> None:
    """Also what isn't ASCII."""
    given_mappings = [*mappings(), mapping(constants={"context": "Zoë & 王"})]
    assert list(unpack_mappings(pack_mappings(given_mappings))) == given_mappings


@pytest.mark.parametrize("packed", ["[]", "!", "bm90IHppcA=="])
def test_what_isn_t_packed_is_refused(packed: str) -> None:
    """Somebody edited the function's environment by hand: the settings say so."""
    with pytest.raises(ValueError, match=r".+"):
        unpack_mappings(packed)


def test_without_mappings_nothing_is_imported_for_them() -> None:
    """Who has none pays nothing at a cold start."""
    program = (
        "import sys; from deliver_leads.event.mappings import EventMapper; EventMapper([]); "
        "print('jmespath' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "lambdas")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "False"
