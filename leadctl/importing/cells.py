"""What exporters write around or into a value, and values that stand for none: one table for all files."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from deliver_leads.event.address import trimmed
from deliver_leads.event.lead import ADDRESS_FIELDS
from leadctl.importing.headers import words

# White space that looks like a space, and marks of direction and breaking that nobody sees. Not the joiners
# U+200C and U+200D: Persian, Hindi and emoji are written with them.
_WIDE_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ESCAPE = re.compile(r"_x(00[0-9A-Fa-f]{2})_")


class Kind(Enum):
    """Of a field, as far as its values are cleaned in one way."""

    ADDRESS = "address"  # the function's own rules do the rest (event/address.py)
    PHONE = "phone"
    FREE_TEXT = "free text"
    TEXT = "text"


_KINDS: dict[str, Kind] = {
    **dict.fromkeys(ADDRESS_FIELDS, Kind.ADDRESS),
    "phone": Kind.PHONE,
    "context": Kind.FREE_TEXT,
    "additionalInformationLine": Kind.FREE_TEXT,
}
_ALL = frozenset(Kind)
_SHORT = frozenset({Kind.PHONE, Kind.TEXT})


@dataclass(frozen=True)
class Rule:
    """`shown`: what a person sees of it in the preview. `pattern`, of a whole value, has what is left as its
    first group, or `repair` makes it. `kinds`: of the fields in which it holds.
    """

    shown: str
    pattern: re.Pattern[str]
    repair: Callable[[re.Match[str]], str] = lambda match: match[1]
    kinds: frozenset[Kind] = _ALL


def _undoubled(match: re.Match[str]) -> str:
    return match[1].replace('""', '"')


def _without_entities(match: re.Match[str]) -> str:
    import html  # here, because its table is large and few files need it

    return html.unescape(match[0])


# In this order, and again until none fits, because they nest: ="'0049…".
RULES = (
    # Excel's guard that keeps digits a text, alone and as a function (ObjCSV#10, parsecsv-for-php#213).
    Rule('="…"', re.compile(r'=\s*(?:T\(\s*)?"((?:[^"]|"")*)"\s*\)?', re.DOTALL), _undoubled),
    # A link that writes a mail says whose, whatever is shown of it.
    Rule(
        "mailto:…",
        re.compile(
            r"""(?:=HYPERLINK\(\s*|<a\b[^<>]*?\bhref=)["'](mailto:[^"']*)["'].*""", re.IGNORECASE | re.DOTALL
        ),
        kinds=frozenset({Kind.ADDRESS}),
    ),
    # A link of a spreadsheet, saved as its formula.
    Rule(
        "=HYPERLINK(…)",
        re.compile(r'=HYPERLINK\(\s*"((?:[^"]|"")*)"\s*(?:[,;]\s*"((?:[^"]|"")*)"\s*)?\)', re.IGNORECASE),
        lambda match: (match[2] or match[1]).replace('""', '"'),
    ),
    # A phone's plus read as a formula's beginning.
    Rule("=…", re.compile(r"=\s*([+0-9][0-9 ()/.-]*)"), kinds=frozenset({Kind.PHONE})),
    # Grids of web pages write a cell's whole element.
    Rule(
        "<a>…</a>",
        re.compile(r"<([a-z]+)\b[^<>]*>(.*)</\1>", re.IGNORECASE | re.DOTALL),
        lambda match: match[2],
    ),
    # Quotes that survived the reading, because a program quoted twice or wrote a space before them
    # (PapaParse#941).
    Rule('"…"', re.compile(r'"((?:[^"]|"")*)"', re.DOTALL), _undoubled),
    Rule("'…'", re.compile(r"'([^']+)'")),
    # Word processors and mail programs, in several languages (zammad#2154).
    Rule("“…”", re.compile("[\u201c-\u201f]([^\u201c-\u201f]+)[\u201c\u201d]"), kinds=_SHORT),
    Rule("«…»", re.compile("[\u00ab\u00bb]([^\u00ab\u00bb]+)[\u00ab\u00bb]"), kinds=_SHORT),
    Rule("\u201a…\u2018", re.compile("[\u2018\u201a\u201b]([^\u2018-\u201b]+)[\u2018\u2019]"), kinds=_SHORT),
    Rule("`…`", re.compile("[`\u00b4]([^`\u00b4]+)[`\u00b4']"), kinds=_SHORT),
    # The text mark of spreadsheets, and a guard against formulas (OWASP, CSV injection). Not before one or
    # two small letters that stand alone: 't Hooft, 's-Gravenhage.
    Rule("'…", re.compile(r"['\u2019](?![a-z]{1,2}[ \-])([^'\u2019].*)", re.DOTALL)),
    # Facebook's lead download marks what each number is; others make links of phone numbers.
    Rule(
        "p:…",
        re.compile(
            r"(?:p|tel|phone|mobile|callto|whatsapp|skype)\.?\s*:(?://)?\s*(\+?[0-9(].*)", re.IGNORECASE
        ),
        kinds=frozenset({Kind.PHONE}),
    ),
    Rule("l:…, ag:…, f:…", re.compile(r"(?:l|ag|as|c|f|z):([0-9]+)"), kinds=frozenset({Kind.TEXT})),
    # pandas and spreadsheets make floats of a column of numbers with gaps.
    Rule("….0", re.compile(r"(\+?[0-9]{5,})\.0+"), kinds=frozenset({Kind.PHONE})),
    # Exports of web shops and content systems (Tom &amp; Ann).
    Rule("&amp;", re.compile(rf".*{_ENTITY.pattern}.*", re.DOTALL), _without_entities),
    # OOXML's escape of control characters, as programs write it that don't know it (ECMA-376, 22.4.2.4).
    Rule(
        "_x000D_",
        re.compile(rf".*{_ESCAPE.pattern}.*", re.DOTALL),
        lambda match: _ESCAPE.sub(lambda each: chr(int(each[1], 16)), match[0]),
    ),
    # Directions, soft hyphens, no-break spaces: copied along from web pages and address books (glific#4815).
    Rule(
        "invisible characters",
        re.compile(f".*(?:{_UNSEEN.pattern}|{_WIDE_SPACES.pattern}).*", re.DOTALL),
        lambda match: _UNSEEN.sub("", _WIDE_SPACES.sub(" ", match[0])),
        kinds=_SHORT,
    ),
)
_RULES_OF = {kind: tuple(rule for rule in RULES if kind in rule.kinds) for kind in Kind}
# Of all languages of Excel, Google Sheets (#ERROR!), LibreOffice (Err:502), and a column that is too narrow.
# A cell of a spreadsheet that holds such an error is empty for its reader; in a CSV it is text.
ERROR_VALUE = re.compile(
    r"#[¡¿]?[^\W\d_a-z][^\Wa-z]*(?:/0)?[!?]|#N/?A!?|#NV|#N/[DB]|#GETTING_DATA|#{2,}|Err:5[0-9]{2}|Fehler:5[0-9]{2}"
)
# As a program writes "nothing" (None: Python; nan: pandas; (null), \N: databases), or a person does. By case,
# because Null, Nan and Na are names.
_PLACEHOLDERS = words(
    r"N/A n/a N/a N.A. n.a. #NULL NULL null (null) (NULL) <null> [null] {{null}} \N undefined "
    r"Undefined UNDEFINED [undefined] None NaN nan NAN nil N/D n/d k.A. k.a. n.v.t. s/d S/D TBD tbd "
    r"(none) (blank) (empty)"
) | {"keine Angabe", "k. A.", "not provided", "Not provided", "not available", "Not Available", "no name"}
_ONLY_MARKS = re.compile(r"[-\u2010-\u2015\u2212_.?*/\\#!,;:~+'\"()\[\]{}<>|=\u2026 ]+")
# What no rule can fit, so that most cells are done at once.
_PLAIN = re.compile(r"\+?[A-Za-z0-9\u00c0-\u024f](?:[A-Za-z0-9\u00c0-\u024f @+(),'/-]|\.(?!0)|_(?!x00))*")
_ODD_NAMES = words(
    "test tester testing na nan nil none null unknown unbekannt inconnu desconocido sconosciuto onbekend "
    "xx xxx asdf qwerty anonymous anonym guest firstname lastname vorname nachname name dummy admin "
    "info sales"
)
# The last two: text that somebody has read in a wrong encoding.
_ODD_IN_NAMES = re.compile("[0-9@<>{}%#=]|https?:|www\\.|\ufffd|[\u00c2\u00c3][\u0080-\u00bf]")
_LETTERS_IN_PHONES = re.compile(r"[^\W\d_]")
_EXTENSION = re.compile(r"(?:ext|x|extension|poste|dw|durchwahl)\.?\s*[0-9]+$", re.IGNORECASE)
LEAST_DIGITS = 6
_MOST_DIGITS = 17  # 15 by ITU-T E.164, after 00


@dataclass
class Cleaner:
    """Frees values, and counts what it did, for the preview: `freed` by rule, `emptied` by what was there."""

    freed: Counter[str] = field(default_factory=Counter)
    emptied: Counter[str] = field(default_factory=Counter)

    def clean(self, name: str, text: str) -> str:
        """The value of the field; "" for what stands for none."""
        if _PLAIN.fullmatch(text) and text not in _PLACEHOLDERS:
            return text.rstrip()
        kind = _KINDS.get(name, Kind.TEXT)
        found = self._freed(text.strip() if kind is Kind.ADDRESS else trimmed(text), _RULES_OF[kind])
        return "" if found and self._is_none(found, kind) else found

    def _freed(self, text: str, rules: tuple[Rule, ...]) -> str:
        fits = True
        while fits and text:
            fits = False
            for rule in rules:
                match = rule.pattern.fullmatch(text)
                bare = text if match is None else trimmed(rule.repair(match))
                if bare != text:
                    self.freed[rule.shown] += 1
                    text, fits = bare, True
        return text

    def _is_none(self, text: str, kind: Kind) -> bool:
        stands_for_none = ERROR_VALUE.fullmatch(text) is not None or (
            kind is not Kind.FREE_TEXT and (text in _PLACEHOLDERS or _ONLY_MARKS.fullmatch(text) is not None)
        )
        if stands_for_none:
            self.emptied[text[:12]] += 1
        return stands_for_none


def is_odd_name(text: str) -> bool:
    """Whether somebody should look at it before an assistant greets by it."""
    if _ODD_IN_NAMES.search(text) or text.casefold() in _ODD_NAMES:
        return True
    return not any(each.isalpha() for each in text)


def is_odd_phone(text: str) -> bool:
    """Whether nobody can be called by it."""
    number = _EXTENSION.sub("", text)
    digits = sum(each.isdigit() for each in number)
    return not LEAST_DIGITS <= digits <= _MOST_DIGITS or bool(_LETTERS_IN_PHONES.search(number))
