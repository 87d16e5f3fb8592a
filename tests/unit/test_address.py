"""The one form of an address: what looks equal is made equal, or refused with a sentence."""

# ruff: noqa: RUF001 - letters that look alike are what the tests are about

import re
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deliver_leads.event import address
from deliver_leads.event.address import AddressError, normal_address, same_address, trimmed

AMY = "amy@example.com"


@pytest.mark.parametrize(
    "text",
    [
        # Invisible: what copying from a phone book, a chat or a web page brings along.
        *("\u202aamy@example.com\u202c", "\u2066amy@example.com\u2069", "amy@example.com\u061c"),
        *("\ufeffamy@example.com", "a\u200bmy@example.com", "amy@exam\u00adple.com", "amy\u2060@example.com"),
        *("amy@example.com\ufe0f", "amy\u034f@example.com", "amy\u3164@example.com", "amy@example.com\u180e"),
        *("amy\U000e0020@example.com", "amy\U000e0100@example.com", "a\u200c\u200d\u200cmy@example.com"),
        # White space of every kind, and controls, at the ends.
        *(
            " amy@example.com\t",
            "\u00a0amy@example.com\u3000",
            "amy@example.com\u2028",
            "amy@example.com\r\n",
        ),
        *("\u2800amy@example.com", "amy@example.com\x00", "\x85amy@example.com", "\u202famy@example.com"),
        # Decorations in pairs.
        *("'amy@example.com'", '"amy@example.com"', "`amy@example.com`", "<amy@example.com>"),
        *("(amy@example.com)", "[amy@example.com]", "{amy@example.com}", "“amy@example.com”"),
        *("„amy@example.com“", "«amy@example.com»", "‘amy@example.com’", "( 'amy@example.com' )"),
        *(
            "「amy@example.com」",
            "《amy@example.com》",
            "›amy@example.com‹",
            "’amy@example.com’",
            '„amy@example.com"',
        ),
        *("‘amy@example.com'", "´amy@example.com`", "“amy@example.com„", "(Amy <amy@example.com>)"),
        *('"Lee, Amy" <amy@example.com>', "'Amy' <'amy@example.com'>", "（amy@example.com）"),
        # What links, address books and lists write around it.
        *("mailto:amy@example.com", "MAILTO:amy%40example.com?subject=a@b", "<mailto:amy@example.com>"),
        *("mailto://amy@example.com", "SMTP:amy@example.com", "E-Mail: amy@example.com"),
        *("amy@example.com <mailto:amy@example.com>", "amy@example.com;", "amy@example.com,"),
        # Written otherwise.
        *("amy@EXAMPLE.com", "amy@example.com.", "ａｍｙ＠ｅｘａｍｐｌｅ．ｃｏｍ", "amy＠example。com"),
    ],
)
def test_what_is_written_around_an_address_goes(text: str) -> None:
    """One person is one lead, however the address was copied."""
    assert normal_address(text) == AMY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ulf@example.com)", 'has the character ")" after the "@"'),
        ("(ulf@example.com", 'has the character "(" before the "@"'),
        ("'max@example.com", "begins or ends with a quotation mark"),
        ("max@example.com'", """has the character "'" after"""),
        ("o’neil@example.com", 'has the character "’" (U+2019) before the "@"'),
        ("a\x00my@example.com", "can't be seen (U+0000) before"),
        ("amy test@example.com", 'has white space before the "@"'),
        ("amy\u00a0test@example.com", 'has white space before the "@"'),
        ("amy@exam ple.com", 'has white space after the "@"'),
        ("amy@exam\nple.com", 'has white space after the "@"'),
        ("amy²@example.com", 'has the character "²" (U+00B2) before the "@"'),
        ("amy™@example.com", 'has the character "™" (U+2122) before the "@"'),
        ("😀@example.com", 'has the character "😀" (U+1F600) before the "@"'),
        ("\u0430my@example.com", "mixes Cyrillic and Latin letters"),
        ("amy@ex\u0430mple.com", "mixes Cyrillic and Latin letters"),
        ("am\u03c5@example.com", "mixes Greek and Latin letters"),
        ("amy@exa_mple.com", 'has the character "_" after the "@"'),
        ("amy@1.2.3.4", "is no domain"),
        ("amy@[1.2.3.4]", 'has the character "[" after the "@"'),
        ("amy@localhost", "is no domain"),
        ("amy@-example.com", "is no domain"),
        ("amy@example..com", "is no domain"),
        ("amy@xn--a.com", "is no domain"),
        ("amy@\U0001f600.com", 'the character "😀" (U+1F600) after the "@"'),
        ("amy@exam–ple.com", 'the character "–" (U+2013) after the "@"'),
        ("amy@example.com、", 'the character "、" (U+3001) after the "@"'),
        ("amy@example.com\ufffd", 'U+FFFD) after the "@"'),
        ("\ud800amy@example.com", "can't be seen (U+D800) before"),
        ("amy@example.com\udcff", "can't be seen (U+DCFF) after"),
        ("amy@gmail.c", "is no domain"),
        ("amy@example.co1m", "is no domain"),
        ("amy@example.com (work)", 'has white space after the "@"'),
        ("amy&#64;example.com", 'no "@"'),
        ('"amy lee"@example.com', 'has the character """ before the'),
        ("amy..lee@example.com", "a dot too many"),
        (".amy@example.com", "a dot too many"),
        ("@example.com", "is empty"),
        ("amy@example.com, bob@example.com", 'more than one "@"'),
        ("amy@example.com <bob@example.com>", "two addresses"),
        ("amy", 'no "@"'),
        ("\u200b", 'no "@"'),
        ("mailto:%ff@example.com", "U+FFFD"),
        (f"{'a' * 65}@example.com", "more than 64 bytes"),
        (f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.com", "more than 254 bytes"),
        ("(" * 100_000, "too long"),
    ],
)
def test_what_can_be_no_address_or_meant_otherwise_is_refused_with_the_reason(text: str, why: str) -> None:
    """A create can't be undone."""
    with pytest.raises(AddressError, match=r"^is not an e-mail address, because ") as caught:
        normal_address(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("o'neil@example.com", "amy+test@example.com", "a!#$%&'*+-/=?^_`{|}~b@example.com", "x@a.test"),
        *(
            "Amy.Lee@example.com",
            "jörg@example.com",
            "用户@example.com",
            "अमित@example.com",
            "١٢@example.com",
        ),
        *("info-ελλάς@example.com", "amy@r3---sn.example.com", "amy@xn--mller-kva.example", "1@2.xn--p1ai"),
    ],
)
def test_legal_oddities_stay_as_they_are(text: str) -> None:
    """7Targets decides what it can write to."""
    assert normal_address(text) == text


@pytest.mark.parametrize(
    ("texts", "one"),
    [
        (
            ("q9@müller.example", "q9@MÜLLER.example", "q9@mu\u0308ller.example", "q9@XN--MLLER-KVA.example"),
            "q9@xn--mller-kva.example",
        ),
        (("jo\u0308rg@example.com", "jörg@example.com"), "jörg@example.com"),
        (("x@例子.中国", "x@例子。中国", "x@xn--fsqu00a.xn--fiqs8s"), "x@xn--fsqu00a.xn--fiqs8s"),
        (("x@straße.example", "x@STRASSE.example"), None),
        (("x@نامه\u200cای.example", "x@نامهای.example"), None),
    ],
)
def test_a_domain_has_one_form_and_two_domains_have_two(texts: tuple[str, ...], one: str | None) -> None:
    """Unicode and punycode are one; ß and a joiner that is seen make another domain."""
    forms = {normal_address(text) for text in texts}
    assert forms == {one} if one else len(forms) == len(texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [("AMY@example.com", "amy@EXAMPLE.com"), ("J\u030camy@example.com", "\u01f0amy@example.com")],
)
def test_a_lead_is_the_same_in_upper_and_lower_case(one: str, other: str) -> None:
    """Also a letter that has an accent of its own in lower case only."""
    assert same_address(one) == same_address(other)


DECORATIONS = (
    "{}",
    "'{}'",
    '"{}"',
    "<{}>",
    "({})",
    " {}\u00a0",
    "\u202a{}\u202c",
    "mailto:{}?subject=x",
    "{};",
)
UNSEEN = "\u00ad\u200b\u200e\u202a\u202c\u2060\u2066\u2069\ufeff\ufe0f\u061c\u180e\u3164\U000e0041"
LOCALS = st.text(string.ascii_letters + string.digits + "+-_'äéßñяλ字", min_size=1, max_size=8)
DOMAINS = st.sampled_from(
    ["example.com", "Müller.example", "例子.中国", "a-b.example.ORG", "xn--mller-kva.de"]
)


@given(LOCALS, DOMAINS, st.lists(st.sampled_from(DECORATIONS), max_size=3), st.lists(st.sampled_from(UNSEEN)))
def test_decorations_in_any_order_change_nothing(
    local: str, domain: str, around: list[str], unseen: list[str]
) -> None:
    """The rules hold together, too."""
    try:
        plain = normal_address(f"{local}@{domain}")
    except AddressError:
        assume(False)
    # Nobody writes a query into a query.
    assume(around.count("mailto:{}?subject=x") <= 1)
    text = f"{local}{''.join(unseen)}@{domain}"
    for decoration in around:
        text = decoration.format(text)
    assert normal_address(text) == plain
    assert same_address(text) == plain.lower()


@given(st.text(max_size=12) | st.builds("{}@{}.com".format, st.text(max_size=6), st.text(max_size=6)))
def test_what_comes_out_is_an_address_and_its_own_one_form(text: str) -> None:
    """Whatever comes in, nothing invisible gets through, and a second reading changes nothing."""
    try:
        found = normal_address(text)
    except AddressError:
        return
    local, domain = found.split("@")
    assert normal_address(found) == found
    assert same_address(found.lower()) == same_address(same_address(found)) == same_address(found)
    assert domain.isascii()
    assert domain == domain.lower()
    assert all(each.isascii() or unicodedata.category(each)[0] in "LMN" for each in local)
    assert local.isprintable()


@given(
    st.lists(st.text("aZ0_+-", min_size=1, max_size=4), min_size=1, max_size=3).map(".".join),
    st.lists(st.sampled_from(["a", "0", "b-c", "x0-1-y", "xn"]), min_size=1, max_size=4).map(".".join),
)
def test_a_plain_address_is_what_a_closer_look_makes_of_it(local: str, domain: str) -> None:
    """The short way is for speed only."""
    text = f"{local}@{domain}.com"
    assert address._PLAIN.fullmatch(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(address, "_LONGEST_PLAIN", 0)
        assert normal_address(text) == text


def test_the_document_s_table_is_what_is_done() -> None:
    """docs/events/README.md: a text before and an address after, or nothing."""
    document = (Path(__file__).parents[2] / "docs/events/README.md").read_text("utf-8")
    table = document.split("| in the event | what is sent")[1].split("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert len(rows) == 8
    for given_texts, becomes in rows:
        form = re.match(r"`([^`]+)`", becomes)
        for text in (each.strip('"') for each in re.findall(r"`([^`]+)`", given_texts) if "…" not in each):
            if "nothing" in becomes:
                with pytest.raises(AddressError):
                    normal_address(text)
            else:
                assert normal_address(text) == (form[1] if form else text)


@pytest.mark.parametrize(
    "text", ["", "\u200b", " \u00a0\t", "\ufe0f", "\u3164 \u2800", "\x00", "\u200d\u00ad", "\x85"]
)
def test_a_text_with_nothing_to_be_seen_is_empty(text: str) -> None:
    """It is no name."""
    assert trimmed(text) == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\u202aGus \u202c", "Gus"),
        ("\ufeffAmy\u2029", "Amy"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
        ("نامه\u200cای", "نامه\u200cای"),
    ],
)
def test_a_text_loses_what_is_invisible_at_its_ends_only(text: str, left: str) -> None:
    """Within it, and in emoji, such a character has an effect."""
    assert trimmed(text) == left
