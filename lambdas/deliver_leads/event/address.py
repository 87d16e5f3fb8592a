"""The one form of an e-mail address, and what of a text can be seen.

An address that looks like another one, and isn't, would make a second lead of one person, which can't be
deleted. So what can be meant in one way only gets one form, and the rest is refused.
"""

import re
import unicodedata
from urllib.parse import unquote

_LONGEST_ADDRESS, _LONGEST_LOCAL = 254, 64  # bytes: RFC 5321, 4.5.3.1
# With what is written around it. Nothing longer is looked at.
_LONGEST_TEXT = 1000
# What nobody sees: Unicode's Default_Ignorable_Code_Point without the joiners, the marks of annotations, and
# Braille's blank pattern. Below, the part of it that means nothing at the ends of any text (variation
# selectors and tags end emoji and flags), with white space of every kind and the controls.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK = "".join(
    map(chr, (*range(0x21), *range(0x7F, 0xA1), 0xAD, 0x61C, 0x1680, 0x180E, *range(0x2000, 0x2010)))
) + "".join(map(chr, (*range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x2800, 0x3000, 0x3164, 0xFEFF)))
# Control characters other than tabs and line breaks. Nobody writes them, and many databases refuse a NUL.
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_JOINERS = "\u200c\u200d"
# A text without such a character shows nothing.
VISIBLE = f"[^{_BLANK}{_UNSEEN}{_JOINERS}]"
# Between two letters of another script a joiner is seen: there IDNA says whether a domain may have it.
_UNSEEN_JOINERS = f"(?<![^\\x00-\\x7f])[{_JOINERS}]+|[{_JOINERS}]+(?![^\\x00-\\x7f])"

# Quotes that Unicode has in no category for quotes and brackets. An address ends with none of either, so a
# text between two of them is decorated, whichever belong together in its language.
_QUOTES = "'\"`<>\u00b4\u2032\u2033"
# Compiled when they are needed, because most addresses are plain and each takes its part of the cold start.
_LABEL = r"(?i:(mailto:|smtp:|e-?mail *:)/*)"
_NAMED = r"([^<>]*)<([^<>]*)>"
# The last label is letters or punycode: ICANN delegates no other one, and none of one letter.
_DOMAIN = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+(xn--[a-z0-9-]{0,58}[a-z0-9]|[a-z]{2,63})"
# What is in its one form already, as far as one can see without looking closer.
_PLAIN = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}")
_LONGEST_PLAIN = 64  # no part of it can be too long
_LOCAL_SIGNS = frozenset(".!#$%&'*+-/=?^_`{|}~")  # RFC 5322, `atext`
# Scripts whose letters look alike. Somebody who mixes them in one word has hit a key of another keyboard.
_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"}


class AddressError(ValueError):
    """The text is no address. Says why, in a sentence without its subject, and repeats no more of the text
    than one character."""

    def __init__(self, why: str) -> None:
        super().__init__(f"is not an e-mail address, because {why}")


def normal_address(text: str) -> str:
    """The address in the one form in which it is sent. Raises `AddressError`.

    What is around the address goes: white space, invisible characters, quotes and brackets in pairs, a name
    before `<…>`, `mailto:` with its query, commas and semicolons. The domain gets lower case and punycode,
    because a browser's own e-mail field sends it so, and every mail server takes it. The local part keeps its
    case, and gets Unicode's form NFC.
    """
    if len(text) <= _LONGEST_PLAIN and _PLAIN.fullmatch(text):
        return text
    if len(text) > _LONGEST_TEXT:
        raise AddressError("it is too long")
    bare = _without_decoration(text)
    if not bare.isascii():
        # Decorations, and the "@" itself, can be full-width signs, too.
        bare = _without_decoration(unicodedata.normalize("NFC", "".join(map(_of_plain_width, bare))))
    local, at, domain = bare.rpartition("@")
    if not at or "@" in local:
        raise AddressError(f'it has {"more than one" if at else "no"} "@"')
    _check_local(local)
    address = f"{local}@{_normal_domain(domain)}"
    if len(address.encode()) > _LONGEST_ADDRESS:
        raise AddressError(f"it has more than {_LONGEST_ADDRESS} bytes")
    return address


def same_address(text: str) -> str:
    """What is equal for all texts of one address: its one form in lower case; of no address, the text."""
    try:
        # NFC again, because some letters with accents are one character in lower case only.
        return unicodedata.normalize("NFC", normal_address(text).lower())
    except AddressError:
        return trimmed(text).lower()


def trimmed(text: str) -> str:
    """Without control characters, and without what can't be seen at either end; empty if nothing is seen.

    Line breaks and tabs within stay.
    """
    text = text.strip()
    if text.isascii() and text.isprintable():
        return text
    text = re.sub(_CONTROLS, "", text).strip(_BLANK)
    return text if re.search(VISIBLE, text) else ""


def _without_decoration(text: str) -> str:
    before = None
    while text != before:
        before = text
        if not text.isascii():
            text = re.sub(_UNSEEN_JOINERS, "", re.sub(f"[{_UNSEEN}]", "", text))
        text = text.strip(_BLANK).strip(",;").strip(_BLANK)
        if label := re.match(_LABEL, text):
            text = text[label.end() :]
            if label[1].lower() == "mailto:":
                text = unquote(text.partition("?")[0])
        elif named := re.fullmatch(_NAMED, text):
            name, text = named[1], named[2]
            if "@" in name and _without_decoration(name).lower() != _without_decoration(text).lower():
                raise AddressError("it has two addresses")
        elif len(text) > 2 and _is_quote(text[0]) and _is_quote(text[-1]):
            text = text[1:-1]
    return text


def _is_quote(character: str) -> bool:
    return character in _QUOTES or unicodedata.category(character) in {"Ps", "Pe", "Pi", "Pf"}


def _of_plain_width(character: str) -> str:
    """East Asian keyboards have signs and letters of another width, which are the same ones."""
    kind = unicodedata.decomposition(character).partition(" ")[0]
    return (
        unicodedata.normalize("NFKC", character) if kind in {"<wide>", "<narrow>", "<small>"} else character
    )


def _check_local(local: str) -> None:
    if not local or local[0] == "." or local[-1] == "." or ".." in local:
        raise AddressError('what is before the "@" is empty, or has a dot too many')
    # A program's argument may hold half a surrogate pair, which is refused below.
    if len(local.encode("utf-8", "surrogatepass")) > _LONGEST_LOCAL:
        raise AddressError(f'it has more than {_LONGEST_LOCAL} bytes before the "@"')
    if local[0] in "'`" or local[-1] in "'`":
        raise AddressError('what is before the "@" begins or ends with a quotation mark')
    for character in local:
        if character.isascii():
            is_known = character.isalnum() or character in _LOCAL_SIGNS
        else:
            is_known = unicodedata.category(character)[0] in "LMN"
        if not is_known or not unicodedata.is_normalized("NFKC", character):
            raise _unknown(character, 'before the "@"')
    if not local.isascii():
        _refuse_mixed_scripts(local)


def _normal_domain(domain: str) -> str:
    if not domain.isascii() or "xn--" in domain.lower():
        _refuse_mixed_scripts(domain)
        import idna  # here, because few addresses need it, and its tables take time to read

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except UnicodeError:
            raise _no_domain(domain) from None
    domain = domain.lower().removesuffix(".")
    if not re.fullmatch(_DOMAIN, domain):
        raise _no_domain(domain)
    return domain


def _no_domain(text: str) -> AddressError:
    for character in text:
        if not (character in ".-" or unicodedata.category(character)[0] in "LMN"):
            return _unknown(character, 'after the "@"')
    return AddressError('what follows the "@" is no domain')


def _refuse_mixed_scripts(text: str) -> None:
    scripts: set[str] = set()
    for character in text:
        if character.isalpha():
            scripts |= {unicodedata.name(character, "").partition(" ")[0]} & _ALIKE
            if len(scripts) > 1:
                mixed = " and ".join(sorted(each.capitalize() for each in scripts))
                raise AddressError(f"it mixes {mixed} letters that look alike")
        elif character.isascii() and not character.isdigit():
            scripts.clear()


def _unknown(character: str, where: str) -> AddressError:
    number = f"U+{ord(character):04X}"
    if character.isspace():
        what = "white space"
    elif not character.isprintable():
        what = f"a character that can't be seen ({number})"
    else:
        what = f'the character "{character}"' + ("" if character.isascii() else f" ({number})")
    return AddressError(f"it has {what} {where}")
