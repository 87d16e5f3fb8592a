"""A user's file as the import reads it, and the file with which the rows that weren't taken go back."""

import io
import zipfile
from pathlib import Path

import pytest

from leadctl.importing.columns import Columns
from leadctl.importing.opening import beside, opened, table_in
from leadctl.importing.table import NotATableError, Row, Table
from leadctl.importing.text_format import find_delimiter
from tests.spreadsheet import spreadsheet


def table_of(content: bytes, encoding: str | None = None) -> Table:
    """The table."""
    return table_in(io.BytesIO(content), "leads", encoding)


def rows_of(content: bytes) -> list[Row]:
    """All rows, of stdin."""
    with opened("-", io.BytesIO(content)) as table:
        return list(table.rows())


def sent_back(content: bytes, *numbers: int) -> bytes:
    """The `_invalid` file with these rows, and `why` as their reason."""
    with opened("-", io.BytesIO(content)) as table:
        rows = [row for row in table.rows() if row.number in numbers]
        return table.invalid_head() + b"".join(table.invalid_row(row, "why") for row in rows)


TEXT = 'First_Name;Email_ID;Città\r\nRenée;renee@example.com;"Gênes; ""vieille"""\r\nZoë;zoe;\r\n'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (TEXT.encode(), "CSV, UTF-8, separated by semicolon"),
        (TEXT.encode("utf-8-sig"), "CSV, UTF-8, separated by semicolon"),
        (TEXT.encode("utf-16"), "CSV, UTF-16, separated by semicolon"),
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), "CSV, UTF-16, separated by semicolon"),
        (TEXT.encode("utf-16-le"), "CSV, UTF-16, separated by semicolon"),
        (TEXT.encode("cp1252"), "CSV, Windows-1252, separated by semicolon"),
        (TEXT.replace(";", "\t").encode("utf-16"), "CSV, UTF-16, separated by tab"),
        (TEXT.replace(";", ",").encode(), "CSV, UTF-8, separated by comma"),
        (TEXT.replace(";", "|").encode(), "CSV, UTF-8, separated by vertical bar"),
        (b"sep=;\r\n" + TEXT.encode(), "CSV, UTF-8, separated by semicolon"),
    ],
)
def test_encoding_and_delimiter_are_found_out_and_kept(content: bytes, kind: str) -> None:
    """What goes back is the user's own bytes with one cell more."""
    table = table_of(content)
    assert table.kind == kind
    names = [dict(row.cells)["First_Name"] for row in table.rows()]
    assert names == ["Renée", "Zoë"]
    back = sent_back(content, *(row.number for row in table.rows()))
    without = back.decode("latin-1").replace("\0", "")
    for added in ('"why"', "reason"):
        for delimiter in ";\t,|":
            without = without.replace(delimiter + added, "")
    assert without == content.decode("latin-1").replace("\0", "")


def test_windows_1252_is_a_guess_unless_somebody_says_so() -> None:
    """Any bytes would fit, so a person should look at the names."""
    content = TEXT.encode("cp1252")
    assert table_of(content).is_guess
    assert not table_of(content, "cp1252").is_guess
    assert not table_of(TEXT.encode()).is_guess


def test_bytes_that_do_not_fit_reject_their_row_and_go_back_as_they_are() -> None:
    """The other rows are taken."""
    content = b"name,email\nJos\xe9,a@b.co\nZo\xc3\xab,c@d.co\n"
    table = table_of(content, "utf-8")
    first, second = table.rows()
    assert (first.problem, first.cells) == ("holds bytes that are no UTF-8", ())
    assert dict(second.cells)["name"] == "Zoë"
    assert table.invalid_row(first, "why") == b'Jos\xe9,a@b.co,"why"\n'


def test_a_file_with_one_column_has_no_letter_as_its_delimiter() -> None:
    """As csv.Sniffer would have it."""
    assert (
        find_delimiter(["Email_ID\n", "lead@example.com\n", "all@example.com\n"], Columns().fields_in) == ","
    )


def test_a_delimiter_in_quotes_and_a_ragged_row_mislead_nobody() -> None:
    """The most records of equal width decide."""
    lines = ["a;b;c\n", '"1,5";"2,5";"3,5"\n', "1;2\n", "1;2;3\n"]
    assert find_delimiter(lines, Columns().fields_in) == ";"


def test_a_quoted_line_break_is_part_of_its_cell_and_the_next_row_keeps_its_line() -> None:
    """So the number is the line that an editor shows."""
    rows = rows_of(b'name,email,context\nJane,a@b.co,"one\ntwo"\n\nJoe,c@d.co,x\n')
    assert [(row.number, dict(row.cells)["context"]) for row in rows] == [(2, "one\ntwo"), (5, "x")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"Jane", "has 1 cells, but the header has 3"),
        (b"Jane,a@b.co,Acme, Inc", "has 4 cells, but the header has 3"),
        (b'"Jane" x,a@b.co,Acme', "is no CSV ("),
        (b'Jane,a@b.co,"Acme', "is no CSV ("),
    ],
    ids=["too short", "too long", "text after a quote", "open quote"],
)
def test_a_broken_row_takes_no_other_row_along(line: bytes, problem: str) -> None:
    """It alone is rejected, with its line."""
    rows = rows_of(b"name,email,company\nAnn,x@y.co,A\n" + line + b'\nJoe,c@d.co,"B"\nKim,e@f.co,C\n')
    assert [row.number for row in rows] == [2, 3, 4, 5]
    assert rows[1].problem.startswith(problem)
    assert [row.problem for row in rows if row.number != 3] == ["", "", ""]


@pytest.mark.parametrize(
    ("row", "back"),
    [
        (b"Jane,a@b.co,Acme", b'Jane,a@b.co,Acme,"why"'),
        (b"Jane", b'Jane,,,"why"'),
        (b"Jane,a@b.co,Acme, Inc", b'Jane,a@b.co,Acme,"why", Inc'),
        (b'Jane,a@b.co,"Acme', b'Jane,a@b.co,"""Acme","why"'),
        (b'"Ja ""J"" ne",a@b.co,"x\ny"', b'"Ja ""J"" ne",a@b.co,"x\ny","why"'),
    ],
    ids=["whole", "too short", "too long", "open quote", "quotes"],
)
def test_the_reason_is_in_its_own_column_whatever_the_row_looks_like(row: bytes, back: bytes) -> None:
    """Else a spreadsheet would show it as the lead's phone, and the next import would send it as such."""
    content = b"name,email,company\n" + row + b"\n"
    assert sent_back(content, 2) == b"name,email,company,reason\n" + back + b"\n"


def test_a_file_that_went_back_can_be_imported_and_goes_back_again_in_the_same_form() -> None:
    """The earlier reason is replaced, in whichever column it is."""
    first = sent_back(b"name,email\nJane,jane\n", 2)
    assert sent_back(first, 2) == first
    assert [dict(row.cells) for row in rows_of(first)] == [{"name": "Jane", "email": "jane", "reason": "why"}]
    moved = b"name,Reason,email\nJane,old,jane\n"
    assert sent_back(moved, 2) == b'name,reason,email\nJane,"why",jane\n'


def test_a_row_may_lack_the_cell_of_the_reason() -> None:
    """Who corrects a row in an editor deletes it."""
    assert rows_of(b"name,email,reason\nJane,a@b.co\n")[0].problem == ""


def test_columns_without_a_name_at_the_end_are_none() -> None:
    """Spreadsheets write them, all empty; a value there is a row that has slipped."""
    rows = rows_of(b"name,email,,\nJane,a@b.co,,\nJoe,c@d.co,x,\n,,,\n")
    assert [row.problem for row in rows] == ["", "has 3 cells, but the header has 2"]


@pytest.mark.parametrize("content", [b"", b" \n", b"\n\n"])
def test_what_is_no_table_is_said_of_the_file(content: bytes) -> None:
    """With its name."""
    with pytest.raises(NotATableError, match=r"^leads: It "):
        table_of(content)


def zipped(name: str) -> bytes:
    """An archive with this file in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html><body><table>", "a web page"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "a web page"),
        ("<table border=1>".encode("utf-16"), "a web page"),
        (b'<meta charset="utf-8"><table>', "a web page"),
        (b"MIME-Version: 1.0\nContent-Type: multipart/related", "a saved web page"),
        (b'<?xml version="1.0"?><?mso-application progid="x"?>\n<Workbook>', "a spreadsheet in XML"),
        (b'<?xml version="1.0"?><ss:Workbook xmlns:ss="x">', "a spreadsheet in XML"),
        (b'<?xml version="1.0"?><leads><lead/></leads>', "It is XML"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"{\\rtf1\\ansi", "a text document (RTF)"),
        (b'[{"name": "Ada"}]', "jq -c '.[]' leads > leads.jsonl"),
        (b'{\n  "name": "Ada"\n}', "jq -c . leads > leads.jsonl"),
        (b"BEGIN:VCARD\nVERSION:3.0", "vCard"),
        (b"SQLite format 3\0", "a database"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (bytes(range(32)) * 20, "no text"),
        (zipped("Index/Document.iwa"), "In Numbers: File, Export To"),
        (zipped("word/document.xml"), "a text document"),
        (zipped("leads.csv"), "a zip archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_table_is_recognised_by_its_content(content: bytes, said: str) -> None:
    """Whatever its name: it is one sentence, with what to do, and without the content."""
    with pytest.raises(NotATableError) as caught:
        table_of(content)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 130
    assert "Ada" not in str(caught.value)


LINES = b"""\xef\xbb\xbf{"name": "Zo\xc3\xab", "email": "a@b.co"}

{"name": 1
[1]
{"operation": "create", "lead": {}}
{"email": "\xff"}
"""


def test_json_lines_have_a_row_in_each_line_and_a_broken_line_is_rejected_alone() -> None:
    """The mark at the beginning and empty lines are none of them."""
    rows = rows_of(LINES)
    assert [row.number for row in rows] == [1, 3, 4, 5, 6]
    assert [row.problem.split(",")[0] for row in rows] == [
        "",
        "is no JSON",
        "is no JSON object",
        "is an event",
        "holds bytes that are no UTF-8",
    ]


def test_json_lines_go_back_as_json_lines_with_a_reason() -> None:
    """What could not be read is there as a text, and is still not taken when nobody has corrected it."""
    back = sent_back(LINES, 1, 3)
    assert back.decode() == (
        '{"name": "Zoë", "email": "a@b.co", "reason": "why"}\n'
        '{"unreadable": "{\\"name\\": 1", "reason": "why"}\n'
    )
    assert [row.problem for row in rows_of(back)] == ["", "is no JSON"]


@pytest.mark.parametrize(
    ("path", "suffix", "name"),
    [
        ("in/leads.csv", ".leadctl", "in/leads.csv.leadctl"),
        ("in/leads.csv", ".csv", "in/leads_invalid.csv"),
        ("leads.v2.xlsx", ".csv", "leads.v2_invalid.csv"),
        ("leads_invalid.csv", ".csv", "leads_invalid-2.csv"),
        ("leads_invalid-2.csv", ".csv", "leads_invalid-3.csv"),
        ("-", ".csv", "stdin_invalid.csv"),
        ("-", ".leadctl", "stdin.leadctl"),
    ],
)
def test_our_files_are_beside_the_users(path: str, suffix: str, name: str) -> None:
    """Those of stdin are in the current folder."""
    assert beside(path, suffix) == Path(name)


def test_a_spreadsheet_is_read_from_its_header_on_with_whole_numbers() -> None:
    """The title above is no header, a hidden sheet is no table, and a phone is no float."""
    content = spreadsheet(
        ("Notes", "hidden", [["x", "y"]]),
        (
            "Leads",
            "visible",
            [
                ["Leads 2026"],
                [],
                ["name", "email", "phone"],
                ["Zoë", "a@b.co", 12025550100],
                [],
                ["Joe", "c"],
            ],
        ),
    )
    table = table_of(content)
    assert table.columns == ("name", "email", "phone")
    assert table.notes == ['Only its sheet "Leads" is read.', "Its header is row 3."]
    assert [(row.number, dict(row.cells)["phone"]) for row in table.rows()] == [(4, "12025550100"), (6, "")]
    assert sent_back(content, 6).decode("utf-8-sig") == "name,email,phone,reason\r\nJoe,c,,why\r\n"


def test_a_spreadsheet_that_is_broken_is_said() -> None:
    """In one sentence."""
    with pytest.raises(NotATableError, match="It can't be read as a spreadsheet"):
        table_of(b"PK\x03\x04 nothing more")
