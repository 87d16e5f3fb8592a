"""`leadctl import` of files as programs and people make them: what is sent, and what is said before."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deliver_leads.contract import ASSISTANTS_EVENT
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import answer_of_function
from tests.spreadsheet import spreadsheet

SET = ("--set", "assistantEmail=sam@example.net")


def sent(stage: Stage, content: str | bytes, *words: str, name: str = "leads.csv") -> list[dict[str, Any]]:
    """The leads of a file in the lead queue, in the file's order, without their assistant."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    result = stage.run("import", name, *SET, *words, "--yes", "--no-wait")
    assert "Traceback" not in result.stderr
    leads = [json.loads(each["Body"])["lead"] for each in stage.take()]
    return [{key: value for key, value in lead.items() if key != "assistantEmail"} for lead in leads]


def said(stage: Stage, content: str | bytes, *words: str, name: str = "leads.csv") -> str:
    """What a person reads of a dry run."""
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    result = stage.run("import", name, *words, "--dry-run")
    assert stage.take() == []
    return result.stderr


ADA = {"name": "Ada", "lastName": "Nord", "email": "ada@example.com"}
TABLE = "First Name,Last Name,Email\nAda,Nord,ada@example.com\n"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('Notes:\n"A sentence, with a comma."\n\n' + TABLE, 4),
        ("Export of 12/11/2026; by Max\n;;\n" + TABLE.replace(",", ";"), 3),
        ("sep=;\r\nMesse München\r\n" + TABLE.replace(",", ";"), 3),
        (("Report\tOpen leads\n" + TABLE.replace(",", "\t")).encode("utf-16"), 2),
        (("Отчёт по новым клиентам за ноябрь\n" + TABLE.replace(",", "\t")).encode("utf-16"), 2),
        ('"Asked for by max@example.com, on 12 Nov"\nFilter:,Country = DE\n' + TABLE, 3),
        ("\n".join(f"Condition {number}" for number in range(15)) + "\n" + TABLE, 16),
        ('An open " quote\n' + TABLE, 2),
    ],
    ids=[
        "LinkedIn",
        "semicolons",
        "sep= and title",
        "UTF-16",
        "UTF-16, Cyrillic",
        "address in a note",
        "15 lines",
        "quote",
    ],
)
def test_the_header_is_found_below_what_a_program_wrote_above_it(
    stage: Stage, content: str | bytes, line: int
) -> None:
    """And the line is said."""
    assert sent(stage, content) == [ADA]
    assert f"  Its header is line {line}.\n" in said(stage, content, *SET)


TITLES: list[list[object]] = [["Trade Fair Munich 2026", None, None], ["Created", "by Max", None], []]
LEADS: list[list[object]] = [["Vorname", "Nachname", "E-Mail"], ["Ada", "Nord", "ada@example.com"]]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), 'Only its sheet "Leads" is read. --sheet chooses another one: "Cover", "Other".'),
        (("--sheet", "leads"), "Its header is row 4."),
    ],
)
def test_a_cover_sheet_and_a_title_are_passed_over(stage: Stage, words: Sequence[str], line: str) -> None:
    """In one command, and it is said which sheet and which row counts."""
    book = spreadsheet(
        ("Cover", "visible", TITLES), ("Leads", "visible", TITLES + LEADS), ("Other", "visible", LEADS)
    )
    assert sent(stage, book, *words, name="fair.xlsx") == [ADA]
    assert f"  {line}\n" in said(stage, book, *SET, *words, name="fair.xlsx")


def test_a_sheet_that_is_not_there_is_said_with_those_that_are(stage: Stage) -> None:
    """A misspelt one must not be replaced by another one; a CSV has none."""
    book = spreadsheet(("Cover", "visible", TITLES), ("Leads", "visible", LEADS))
    assert 'It has no sheet "Lead". Its sheets: "Cover", "Leads".' in said(
        stage, book, *SET, "--sheet", "Lead", name="fair.xlsx"
    )
    assert "It is no spreadsheet" in said(stage, TABLE, *SET, "--sheet", "Leads")


@pytest.mark.parametrize(
    "content",
    [
        '"First Name,Last Name,Email"\n"Ada,Nord,ada@example.com"\n',
        "First Name:Last Name:Email\nAda:Nord:ada@example.com\n",
        "First_Name Last_Name Email_ID\nAda Nord ada@example.com\n",
    ],
    ids=["quoted", "colon", "space"],
)
def test_rows_of_one_cell_are_said_to_be_that(stage: Stage, content: str) -> None:
    """No option makes columns of it."""
    message = said(stage, content, *SET)
    assert "Each of its rows is one cell." in message
    assert "--map" not in message


def test_json_lines_are_read_as_windows_and_other_programs_write_them(stage: Stage) -> None:
    """PowerShell writes UTF-16; a number in a field of texts is a text, as in a spreadsheet."""
    lines = '{"name": "Zoë", "email": "a@b.co", "phone": 4915112345678}\n{"name": 7, "email": "b@b.co"}\n'
    expected = [
        {"name": "Zoë", "email": "a@b.co", "phone": "4915112345678"},
        {"name": "7", "email": "b@b.co"},
    ]
    assert sent(stage, lines.encode("utf-16"), name="wide.jsonl") == expected
    assert sent(stage, lines, name="plain.jsonl") == expected
    assert sent(stage, lines.encode("cp1252"), "--encoding", "cp1252", name="one.jsonl") == expected
    assert "holds bytes that are no UTF-8 (line 1)" in said(
        stage, lines.encode("cp1252"), *SET, name="two.jsonl"
    )


def test_no_message_moves_the_cursor(stage: Stage) -> None:
    """A header, too, is somebody else's text."""
    message = said(stage, "\x1b[2Jname\x9b,mail\nAda,x\n", *SET)
    assert "[2Jname" in message
    assert not {"\x1b", "\x9b"} & {*message}


@pytest.mark.parametrize("words", [("#2=email",), ("B=email",), ("#4=",), ("D=", "First Name=name")])
def test_one_of_two_columns_with_one_name_can_be_said_by_its_position(
    stage: Stage, words: Sequence[str]
) -> None:
    """The sentence about the row that they differ in gives these positions."""
    content = "Timestamp,Email Address,First Name,Email Address\n1,a@example.com,Ada,b@example.com\n"
    assert "--map '#2=email' or '#4=email' says which one counts (line 2)" in said(stage, content, *SET)
    maps = [each for word in words for each in ("--map", word)]
    assert sent(stage, content, *maps) == [{"name": "Ada", "email": "a@example.com"}]


def test_a_column_that_a_person_names_has_no_substitute(stage: Stage) -> None:
    """The other one is ignored, and said so: where the named one is empty, the address is missing."""
    content = "Email Address,First Name,Email Address\n,Ada,b@example.com\n"
    message = said(stage, content, *SET, "--map", "A=email")
    assert "email: is missing" in message
    assert "Ignored: Email Address (#3) (--map names another column for email)" in message


def test_a_spreadsheets_columns_have_positions_too(stage: Stage) -> None:
    """Also one without a name."""
    book = spreadsheet(("Leads", "visible", [["Name", "", "Email"], ["Ada", "Fair", "ada@example.com"]]))
    assert sent(stage, book, "--map", "B=source", name="fair.xlsx") == [
        {"name": "Ada", "source": "Fair", "email": "ada@example.com"}
    ]


GUARDED = [
    ('"=""004915112345678"""', "004915112345678"),
    ("'004915112345678", "004915112345678"),
    ('"=T(""004915112345678"")"', "004915112345678"),
    ('"=HYPERLINK(""tel:+4915112345678"";""+49 151 12345678"")"', "+49 151 12345678"),
    ("p:+4915112345678", "+4915112345678"),
    ("tel:+49-151-12345678", "+49-151-12345678"),
    ("4915112345678.0", "4915112345678"),
    ('"""+49 151 12345678"""', "+49 151 12345678"),
    ("\u202a+49\u00a0151\u00a012345678\u202c", "+49 151 12345678"),
    ("\t004915112345678", "004915112345678"),
    ("+4915112345678_x000D_", "+4915112345678"),
    ("'+4915112345678", "+4915112345678"),
    ('="004915112345678"', "004915112345678"),
    ("=+4915112345678", "+4915112345678"),
    ("Tel.: 030 1234567", "030 1234567"),
    ('"<a href=""tel:+49151"">+49 151 1234567</a>"', "+49 151 1234567"),
    ('"=""\'004915112345678"""', "004915112345678"),
]


def test_what_exporters_write_around_a_phone_is_taken_off(stage: Stage) -> None:
    """Each of them, in one file, and it is counted."""
    lines = [f"Ada,a{number}@example.com,{cell}" for number, (cell, _) in enumerate(GUARDED)]
    content = "name,email,phone\n" + "\n".join(lines) + "\n"
    assert [lead["phone"] for lead in sent(stage, content)] == [value for _, value in GUARDED]
    assert 'Taken off around values: ="…" 4 times' in said(stage, content, *SET)


NAMES = [
    ('"=""Ada"""', "Ada"),
    ("'Ada", "Ada"),
    ("“Ada”", "Ada"),
    ("»Ada«", "Ada"),
    ("`Ada`", "Ada"),
    ("Ada\u00ad", "Ada"),
    ("A\x1bd\x07a", "Ada"),
    ("\u2066Ada\u2069", "Ada"),
    ("M&uuml;ller &amp; Co", "Müller & Co"),
    ("O'Neil", "O'Neil"),
    ("'t Hooft", "'t Hooft"),
    ("\u0645\u06cc\u200c\u0646", "\u0645\u06cc\u200c\u0646"),
    ("\U0001f98a", "\U0001f98a"),
]


def test_what_exporters_write_around_a_name_is_taken_off_and_what_is_part_of_it_is_not(stage: Stage) -> None:
    """A particle, an apostrophe, the joiners of Persian and an emoji stay."""
    lines = [f"{cell},n{number}@example.com" for number, (cell, _) in enumerate(NAMES)]
    leads = sent(stage, "name,email\n" + "\n".join(lines) + "\n")
    assert [lead["name"] for lead in leads] == [value for _, value in NAMES]


@pytest.mark.parametrize(
    "cell",
    [
        '"=""ada@example.com"""',
        "'ada@example.com",
        '"=HYPERLINK(""mailto:ada@example.com"")"',
        '"<a href=""mailto:ada@example.com"">ada@example.com</a>"',
        '"=HYPERLINK(""mailto:ada@example.com?subject=Hi"",""Write to her"")"',
        "<a href='mailto:ada@example.com'>Mail</a>",
        '"=HYPERLINK(""https://crm.example/5"";""ada@example.com"")"',
    ],
)
def test_an_address_is_freed_of_a_spreadsheets_guards_too(stage: Stage, cell: str) -> None:
    """What mail programs write is the function's own matter."""
    assert sent(stage, f"name,email\nAda,{cell}\n") == [{"name": "Ada", "email": "ada@example.com"}]


NOTHING = ["#N/A", "#NAME?", "#REF!", "#WERT!", "#NV", "#¿NOMBRE?", "#DIV/0!", "Err:502", "#####", "#ERROR!"]
NOBODY = ["N/A", "NULL", "(null)", "undefined", "nan", "-", "?", "—", "...", "None", "n/a"]


def test_error_values_and_placeholders_are_empty_in_text_and_in_a_spreadsheet(stage: Stage) -> None:
    """One table in two kinds of file has one outcome: nobody is greeted as #N/A, and no phone is "-"."""
    cells = [*NOTHING, *NOBODY]
    header = ["First Name", "Email", "Phone"]
    rows = [["Ada", f"a{at}@example.com", cell] for at, cell in enumerate(cells)]
    rows += [[cell, f"b{at}@example.com", ""] for at, cell in enumerate(cells)]
    text = "\n".join(",".join(row) for row in [header, *rows])
    book = spreadsheet(("Leads", "visible", [list(row) for row in [header, *rows]]))
    expected = [{"name": "Ada", "email": f"a{at}@example.com"} for at in range(len(cells))]
    assert sent(stage, text) == expected
    assert sent(stage, book, name="leads.xlsx") == expected
    said_of_text = said(stage, text, *SET)
    assert f"{len(cells):>7}  name: is missing; every create needs it" in said_of_text
    assert "Counted as empty cells: #N/A 2 times" in said_of_text


def test_names_and_phones_that_look_odd_are_counted_before_they_are_sent(stage: Stage) -> None:
    """They are sent if a person says so: Na is a name, too."""
    content = (
        "name,email,phone\nNa,a@example.com,123\nJÃ¼rgen,b@example.com,call me\n"
        "Jürgen Müller,c@example.com,+49 151 1234567\nEve,d@example.com,030 123456 ext. 12\n"
        "Kai,e@example.com,+49 151 1234567 ::: +49 30 1234567\n"
    )
    lines = said(stage, content, *SET).splitlines()
    at = lines.index("Sent as they are, but look at them:")
    assert lines[at + 1 : at + 4] == [
        "        2  name with digits or signs, or a word like test (line 2, 3)",
        "        3  phone with letters, or with fewer or more digits than any number has (line 2, 3, 6)",
        "        1  name of several words without a last name (--split-name divides it) (line 4)",
    ]


def test_facebooks_download_needs_one_option(stage: Stage) -> None:
    """UTF-16, tabs, a full name, and p: before the phone."""
    content = (
        "id\tplatform\temail\tfull_name\tphone_number\tcompany_name\n"
        "l:1001\tfb\tcleo@example.com\tCleo Müller\tp:+4915112345678\tAcme\n"
    ).encode("utf-16")
    assert "leadctl import leads.csv --dry-run --set assistantEmail=sam@example.net --split-name" in " ".join(
        said(stage, content, *SET).split()
    ).replace(
        "--set assistantEmail=sam@example.net --dry-run", "--dry-run --set assistantEmail=sam@example.net"
    )
    assert sent(stage, content, "--split-name") == [
        {
            "email": "cleo@example.com",
            "name": "Cleo",
            "lastName": "Müller",
            "phone": "+4915112345678",
            "company": "Acme",
        }
    ]


def test_a_space_after_the_delimiter_is_no_part_of_a_cell(stage: Stage) -> None:
    """Nor do its quotes become one; the row that goes back keeps them."""
    content = (
        'First Name, "Last Name", Email, "Company"\n"Ada", "Nord", ada@example.com, "Acme, Inc"\n'
        '"Bob", "B", bob, "Acme, Inc"\n'
    )
    assert sent(stage, content) == [{**ADA, "company": "Acme, Inc"}]
    assert (
        Path("leads_invalid.csv")
        .read_text("utf-8")
        .splitlines()[1]
        .startswith('"Bob", "B", bob, "Acme, Inc","email: is not')
    )


@pytest.mark.parametrize(
    "header",
    [
        "Vorname;Nachname;E-Mail-Adresse;Telefon;Firma;Funktion",
        "Vorname;Name;Mail;Handynummer;Unternehmen;Position",
        "Prénom;Nom;Adresse e-mail;Téléphone;Société;Poste",
        "Nombre;Apellidos;Correo electrónico;Teléfono móvil;Empresa;Cargo",
        "Nome;Sobrenome;E-mail;Telemóvel;Empresa;Função",
        "Nome;Cognome;Indirizzo e-mail;Cellulare;Azienda;Ruolo",
        "Voornaam;Achternaam;E-mailadres;Mobiel;Bedrijf;Functie",
        "VORNAME*;NACHNAME*;E-Mail (geschäftlich);Tel.;Firma:;Jobtitel",
        "VORNAME;NAME;E_MAIL_1;TELEFON_1;Firma/Organisation;Position",
        "Prénom;Nom de famille;Courriel professionnel;Tél. portable;Société;Poste",
        "Nome;Apelido;Correio eletrónico;Nº de telemóvel;Empresa;Cargo",
        "Nome;Cognome;Email aziendale;Numero di telefono;Ragione sociale;Ruolo",
        "First Name;Last Name;User Email;Phone Number;Primary Associated Company;Job Title",
        "First Name;Last Name;Email;Phone;Company / Account;Title",
    ],
    ids=[
        *("German", "German, Name", "French", "Spanish", "Portuguese", "Italian", "Dutch", "marks"),
        *("numbers", "French, work", "Portuguese, No.", "Italian, work", "HubSpot", "Salesforce"),
    ],
)  # fmt: skip
def test_a_header_in_a_language_of_7targets_customers_needs_no_option(stage: Stage, header: str) -> None:
    """With accents or without."""
    lead = {
        "name": "A",
        "lastName": "B",
        "email": "a@b.co",
        "phone": "0301234567",
        "company": "C",
        "designation": "D",
    }
    assert sent(stage, f"{header}\nA;B;a@b.co;0301234567;C;D\n") == [lead]


def test_all_that_is_missing_is_said_at_once_with_a_command(stage: Stage) -> None:
    """With what the person gave already, and a guess by the cells and the names."""
    content = "Imię klienta (name);Poczta;Uwagi\nZofia;z@example.pl;x\n"
    Path("kontakty pl.csv").write_text(content, "utf-8")
    result = stage.run("import", "kontakty pl.csv", "--map", "Uwagi=context", "--stage", "dev")
    assert result.exit_code == 2
    assert "Nothing says what a lead's name, email and assistantEmail are." in result.stderr
    assert (
        "leadctl import 'kontakty pl.csv' --map Uwagi=context --stage dev --map 'Poczta=email' "
        "--map 'Imię klienta (name)=name' --set 'assistantEmail=ADDRESS'"
    ) in result.stderr
    assert "email=VALUE" not in result.stderr


PEOPLE = ",".join(
    f"Person{number} Surname{number},p{number}@example.com,0151-{number:07}" for number in range(500)
)


@pytest.mark.parametrize(
    "content",
    [
        "<html><body><table><tr><td>" + PEOPLE + "</td></tr></table></body></html>",
        "Amy Surname1,amy@example.com\nBob Surname2,bob@example.com\n",
        PEOPLE + "\n",
        "Amy Surname1;0151-1234567;Berlin\n",
        ",".join(f"Person{number} Surname{number}" for number in range(500)) + "\n",
    ],
    ids=["web page", "no header", "one line", "phone", "no address"],
)
def test_no_message_repeats_more_than_a_few_cells(stage: Stage, content: str) -> None:
    """What stderr shows may be a log: a file without a header has a person in its first row."""
    for words in ((), ("--map", "Mail=email")):
        message = said(stage, content, *words)
        assert message.count("Surname") <= 8
        assert len(message) < 1200
        assert "@" not in message.replace("@example.net", "")


def test_an_unnamed_first_row_is_not_shown(stage: Stage) -> None:
    """It is said what to do instead."""
    assert "None of its first 20 rows names the columns." in said(stage, "Amy,amy@example.com\n")


_HERE = "%s".encode("utf-16-le")
_WIDE = "\ufeffname,email\nZoë,a@b.co\n%sJürg,e@b.co\n".encode("utf-16-le")


@pytest.mark.parametrize(
    ("content", "odd", "reason"),
    [
        (b"name,email\nAda,a@b.co\n%sEve,e@b.co\n", b"B\0b,b@b.co\n", "a byte of zero"),
        ("name,email\nZoë,a@b.co\n%sJürg,e@b.co\n".encode(), b"J\xfcrg,b@b.co\n", "no UTF-8"),
        (_WIDE, b"\x00\xd8B\x00,\x00x\x00\n\x00", "no UTF-16"),
        (_WIDE + b"x", b"", "no UTF-16"),
    ],
    ids=["zero", "Latin-1 in UTF-8", "half a character", "odd byte at the end"],
)
def test_one_odd_byte_decides_about_its_row_alone(
    stage: Stage, content: bytes, odd: bytes, reason: str
) -> None:
    """The row goes back with its own bytes."""
    whole = content.replace(_HERE if content.startswith(b"\xff") else b"%s", odd)
    assert len(sent(stage, whole)) == 2
    assert reason in said(stage, whole, *SET)
    kept = odd.rstrip(b"\n\0") or b"x"
    assert kept in Path("leads_invalid.csv").read_bytes()


def test_the_better_of_two_columns_counts_and_the_other_one_where_it_is_empty(stage: Stage) -> None:
    """Salesforce has Phone and Mobile, Outlook a Title that is "Dr."; the preview says that there are two."""
    content = (
        "First Name,Email,Mobile,Phone,Title,Job Title\n"
        "Ada,a@example.com,0151 1234567,030 1234567,Dr.,CTO\nBob,b@example.com,0151 7654321,,,\n"
    )
    assert sent(stage, content) == [
        {"name": "Ada", "email": "a@example.com", "phone": "030 1234567", "designation": "CTO"},
        {"name": "Bob", "email": "b@example.com", "phone": "0151 7654321"},
    ]
    assert "Of several columns for phone, designation the best one counts that isn't empty." in said(
        stage, content, *SET
    )


@pytest.mark.parametrize(
    ("whole", "name", "last_name"),
    [
        ("Ada Nord", "Ada", "Nord"),
        ("Nord, Ada", "Ada", "Nord"),
        ("Dr. Ada von Nord", "Ada", "von Nord"),
        ("Herr Prof. Dr. Jan de Vries", "Jan", "de Vries"),
        ("Ada", "Ada", None),
    ],
)
def test_a_full_name_is_divided_when_asked_for(
    stage: Stage, whole: str, name: str, last_name: str | None
) -> None:
    """Never a first name of two words, and never over a last name that is there."""
    [lead] = sent(stage, f'Contact,Email\n"{whole}",a@example.com\n', "--split-name")
    assert (lead["name"], lead.get("lastName")) == (name, last_name)
    [lead] = sent(stage, 'First Name,Email\n"Mary Ann",b@example.com\n', "--split-name")
    assert (lead["name"], lead.get("lastName")) == ("Mary Ann", None)


CONSENT = (
    "Name,Email,I agree to be contacted\nAda,a@b.co,TRUE\nBob,b@b.co,FALSE\nEve,e@b.co,true\nJim,j@b.co,\n"
)


def test_a_column_that_looks_like_consent_is_said_and_where_takes_some_rows(stage: Stage) -> None:
    """Without the option all are sent, and that is said."""
    assert (
        '"I agree to be contacted" may say who agreed to be written to, and nothing looks at it (TRUE once, '
        "FALSE once, true once, empty once). To send to some only: --where 'I agree to be contacted=VALUE'"
    ) in said(stage, CONSENT, *SET)
    assert "--where 'Don'\\''t e-mail=VALUE'" in said(stage, "Name,Email,Don't e-mail\nAda,a@b.co,x\n", *SET)
    agreed = sent(stage, CONSENT, "--where", "I agree to be contacted=TRUE")
    assert [lead["name"] for lead in agreed] == ["Ada", "Eve"]
    assert "Left out by --where: 2 rows" in said(stage, CONSENT, *SET, "--where", "#3=true")
    either = ("--where", "C=false", "--where", "C=", "--where", "Name=jim")
    assert [lead["name"] for lead in sent(stage, CONSENT, *either)] == ["Jim"]
    assert 'There is no column "Consent"' in said(stage, CONSENT, *SET, "--where", "Consent=yes")


def test_hidden_rows_and_columns_are_said(stage: Stage) -> None:
    """Somebody may have filtered them out; they are sent as any other."""
    book = spreadsheet(("Leads", "visible", [["Name", "Email"], ["Ada", "a@b.co"], ["Bob", "b@b.co"]]))
    hidden = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(io.BytesIO(book)) as source, zipfile.ZipFile(hidden, "w") as target:
        for name in source.namelist():
            part = source.read(name)
            if name.endswith("sheet1.xml"):
                part = part.replace(b'<row r="3">', b'<row r="3" hidden="1">').replace(
                    b"<sheetData>", b'<cols><col min="2" max="2" hidden="1"/></cols><sheetData>'
                )
            target.writestr(name, part)
    message = said(stage, hidden.getvalue(), *SET, name="leads.xlsx")
    assert "1 row is hidden (filtered out?) and counts as any other" in message
    assert "Hidden columns, read as any other: B" in message
    assert "hidden" not in said(stage, book, *SET, name="leads.xlsx")


def test_an_assistant_that_the_user_does_not_have_is_found_before_anything_is_sent(stage: Stage) -> None:
    """On AWS each of its leads would wait for days; the other rows go."""
    answer_of_function(stage, {"assistants": ["sam@example.net", "eva@example.net"]})
    content = "Name,Email,Assistant\nAda,a@b.co,Sam <SAM@example.net>\nBob,b@b.co,sma@example.net\n"
    message = said(stage, content)
    assert "        1  assistantEmail: the 7Targets user has no such assistant (line 3)" in message
    assert 'The user\'s assistants: "eva@example.net", "sam@example.net"' in message
    Path("leads.csv").write_text(content, "utf-8")
    assert stage.run("import", "leads.csv", "--yes", "--no-wait").exit_code == 3
    assert stage.calls[-1][0] != "Invoke"
    [invoked] = [params for name, params in stage.calls if name == "Invoke"]
    assert json.loads(invoked["body"]) == ASSISTANTS_EVENT
    assert [json.loads(each["Body"])["lead"]["name"] for each in stage.take()] == ["Ada"]


@pytest.mark.parametrize(
    ("payload", "more", "why"),
    [
        ({"why": "leads API answered 503"}, {}, "leads API answered 503"),
        ({"errorType": "X"}, {"FunctionError": "Unhandled"}, "the deployed function can't list them"),
        (None, {}, "the deployed function can't list them"),
    ],
    ids=["API down", "older version", "nothing"],
)  # fmt: skip
def test_assistants_that_cannot_be_compared_stop_no_import(
    stage: Stage, payload: object, more: dict[str, Any], why: str
) -> None:
    """And it is said that they weren't."""
    answer_of_function(stage, payload, **more)
    assert f"The assistants are not compared with the user's: {why}." in said(stage, TABLE, *SET)
    answer_of_function(stage, payload, **more)
    assert sent(stage, TABLE) == [ADA]


def test_a_missing_right_to_ask_for_the_assistants_is_named(stage: Stage) -> None:
    """The import goes on without."""
    stage.failures["Invoke"] = "AccessDeniedException"
    assert "the function doesn't answer (lambda:InvokeFunction: AccessDeniedException)" in said(
        stage, TABLE, *SET
    )


def test_the_template_is_a_file_to_fill_in(stage: Stage) -> None:
    """Each of its columns is known; it needs no stage."""
    stage.stacks.clear()
    template = stage.run("import", "--template").stdout
    stage.stacks["LeadDelivery-dev"] = stage.outputs
    values = ("Ada", "Nord", "ada@example.com", "0301234567", "Acme", "CTO", "Fair", "Met", "sam@example.net")
    [lead] = sent(stage, template + ",".join(values) + "\n")
    assert set(lead.values()) == {*values} - {"sam@example.net"}
    assert "Ignored" not in said(stage, template)


def test_a_file_is_needed_unless_the_template_is_asked_for(stage: Stage) -> None:
    """As click says it, with the way out."""
    result = stage.run("import")
    assert (result.exit_code, "Missing FILE" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--map=Nachname=lastname", "lastName"),
        ("--set=assistant=sam@b.co", "assistantEmail"),
        ("--set=job title=x", "designation"),
    ],
)
def test_a_misspelt_field_is_answered_with_the_one_that_is_meant(
    stage: Stage, option: str, meant: str
) -> None:
    """People write what the columns are called."""
    assert f"did you mean {meant}?" in said(stage, TABLE, option)
