"""From a row to a lead with its key: columns, clean-ups, the function's own checks."""

from collections.abc import Mapping

import pytest

from deliver_leads.event.envelope import read_event
from deliver_leads.event.lead import Json, Operation
from deliver_leads.event.message import Message
from leadctl.importing.columns import Columns, ColumnsError
from leadctl.importing.headers import FIELDS
from leadctl.importing.table import Row
from leadctl.importing.validation import LARGEST_BODY_BYTES, Lead, Rules, Wrong

JANE = {"First_Name": "Jane", "Email_ID": "jane@example.com", "Assistant": "sam@example.com"}


def row_of(cells: Mapping[str, Json]) -> Row:
    """A row with these cells, by their columns."""
    return Row(2, tuple(cells), list(cells.values()))


def checked(cells: Mapping[str, Json], rules: Rules | None = None) -> Lead | Wrong:
    """A row with these cells."""
    return (rules or Rules(Columns(), {})).check(row_of(cells))


def lead(cells: Mapping[str, Json], rules: Rules | None = None) -> Lead:
    """The lead of a good row."""
    found = checked(cells, rules)
    assert isinstance(found, Lead), found
    return found


def reasons(cells: Mapping[str, Json], rules: Rules | None = None) -> tuple[str, ...]:
    """Of a wrong row."""
    found = checked(cells, rules)
    assert isinstance(found, Wrong), found
    return found.reasons


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("First_Name", "name"),
        ("first name", "name"),
        ("Last-Name", "lastName"),
        ("Email_ID", "email"),
        ("E-mail", "email"),
        ("Email Address", "email"),
        ("phone", "phone"),
        ("Phone No.", "phone"),
        ("Job Title", "designation"),
        ("assistantEmail", "assistantEmail"),
        ("Schedule Name", "scheduleName"),
        ("additionalInformationLine", "additionalInformationLine"),
        ("external_id", "externalId"),
        ("State", ""),
        ("ID", ""),
        ("Start_Email_Sending_Date", ""),
        ("Notes", ""),
        ("reason", ""),
        ("", ""),
    ],
)
def test_the_vendors_columns_and_ours_are_known(column: str, field: str) -> None:
    """Whatever their case and punctuation; a part of a country is no lead's state."""
    assert Columns().fields_in([column]) == ({field} if field else set())


def test_every_field_is_known_by_its_own_name_but_state() -> None:
    """So that a file written for events can be imported."""
    assert {each for each in FIELDS if Columns().fields_in([each]) != {each}} == {"state"}


def test_a_column_that_is_ignored_is_remembered_for_the_preview() -> None:
    """With the reason, where a person would not expect it."""
    columns = Columns()
    columns.lead(row_of({"Notes": "x", "Start_Email_Sending_Date": "x", "reason": "x", "Email": "a@b.co"}))
    assert list(columns.ignored) == ["Notes", "Start_Email_Sending_Date"]
    assert "begin at once" in columns.ignored["Start_Email_Sending_Date"]
    assert columns.used == {"Email": "email"}


def test_a_person_may_say_what_a_column_is() -> None:
    """A field, a custom field, or nothing."""
    columns = Columns.from_options(
        ["Mail=email", "Team size=customFields.Size", "Name="], ["source=Fair 2026"]
    )
    fields, problems = columns.lead(
        row_of(
            {
                "Mail": "a@b.co",
                "Team size": "7",
                "Name": "Doe, Jane",
                "First Name": "Jane",
                "Source": "x",
            }
        )
    )
    assert problems == []
    assert fields == {
        "email": "a@b.co",
        "name": "Jane",
        "customFields": [{"name": "Size", "value": "7"}],
        "source": "Fair 2026",
    }


@pytest.mark.parametrize(
    ("maps", "sets"),
    [
        (["Mail"], []),
        (["=email"], []),
        (["Mail=mail"], []),
        (["Mail=customFields."], []),
        (["Mail=id"], []),
        ([], ["source"]),
        ([], ["source="]),
        ([], ["sauce=x"]),
        ([], ["customFields=x"]),
        ([], ["email=a@b.co"]),
    ],
)
def test_what_cannot_be_meant_is_refused(maps: list[str], sets: list[str]) -> None:
    """A misspelt field would be left out of all leads."""
    with pytest.raises(ColumnsError, match=r"must be|there is no field"):
        Columns.from_options(maps, sets)


def test_two_columns_of_one_field_must_not_differ() -> None:
    """Which of them is right only a person can say; an empty one says nothing."""
    assert lead({**JANE, "E-mail": ""}).fields["email"] == "jane@example.com"
    assert lead({**JANE, "E-mail": "jane@example.com"}).fields["email"] == "jane@example.com"
    [reason] = reasons({**JANE, "E-mail": "joe@example.com"})
    assert reason.startswith('email: the columns "Email_ID" and "E-mail" differ')


@pytest.mark.parametrize(
    "written",
    [
        "Jane Doe <jane@example.com>",
        "mailto:jane@example.com",
        "\ufeffjane@example.com\u200b",
        "\u00a0jane@example.com ",
    ],
)
def test_an_address_is_freed_of_what_mail_programs_put_around_it(written: str) -> None:
    """And counted, because somebody should know."""
    columns = Columns()
    found = lead({**JANE, "Email_ID": written}, Rules(columns, {}))
    assert found.fields["email"] == "jane@example.com"
    assert found.key == lead(JANE).key
    assert bool(columns.cleaner.freed) == (written.strip() != "jane@example.com")


@pytest.mark.parametrize("phone", ["1.20256E+10", "1,2E+11"])
def test_a_phone_that_a_spreadsheet_has_rounded_is_wrong(phone: str) -> None:
    """Its digits are gone."""
    assert reasons({**JANE, "phone": phone}) == (
        "phone: a spreadsheet has cut its digits off; correct or empty it",
    )


def test_all_reasons_are_given_without_a_value() -> None:
    """In the function's own words, with the field's name."""
    assert reasons({"Email_ID": "jane at example.com", "Assistant": "sam"}) == (
        'email: is not an e-mail address, because it has no "@"',
        'assistantEmail: is not an e-mail address, because it has no "@"',
        "name: is missing; every create needs it",
    )


def test_a_row_that_would_be_too_large_for_the_queue_is_wrong() -> None:
    """One by one, instead of SQS's answer to a batch."""
    [reason] = reasons({**JANE, "context": "é" * (LARGEST_BODY_BYTES // 2)})
    assert "bytes" in reason


def test_the_stages_defaults_are_part_of_the_lead() -> None:
    """What is shown and keyed is what is delivered, even if the defaults change in between."""
    rules = Rules(Columns(), {"assistantEmail": "sam@example.com", "source": "Fair"})
    found = lead({"First_Name": "Jane", "Email_ID": "jane@example.com"}, rules)
    assert (found.fields["assistantEmail"], found.fields["source"]) == ("sam@example.com", "Fair")
    assert found.key == lead({**JANE, "source": "Fair"}).key


def test_the_key_is_of_the_content_and_not_of_the_row() -> None:
    """Order, case of the address, ignored columns and white space make no difference; a field does."""
    key = lead(JANE).key
    moved = {"Assistant": "Sam@example.com ", "Notes": "x", "Email_ID": "JANE@example.com", "Name": "Jane"}
    assert lead(moved).key == key
    assert lead({**JANE, "phone": "1"}).key != key
    assert lead(JANE, Rules(Columns(), {}, campaign="spring")).key != key


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
def test_the_function_reads_what_is_sent_as_it_is_followed(operation: Operation) -> None:
    """Else no lead would ever be settled."""
    found = lead({**JANE, "First_Name": "Jané\uffff", "customFields": [{"name": "Budget", "value": "5"}]})
    body = found.body(operation)
    event = read_event(Message("m", "", body, 1, 0), {})
    assert (event.operation, event.lead_hash) == (operation, found.lead_hash)
    assert event.key.text == found.ledger_key(operation)
    assert "\uffff" not in body
