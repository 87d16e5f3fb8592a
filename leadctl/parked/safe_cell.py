"""Texts in a spreadsheet's cells: it runs none as a formula, rewrites none, and each comes back as it was."""

import re

# What a spreadsheet takes for a formula, where a cell begins, or where one begins for a program that takes
# another delimiter than the comma. https://owasp.org/www-community/attacks/CSV_Injection
_BEGINNING = r"((?:\A|[;\t\r\n])[\"\s]*)"
_FORMULA = r"('*[=+\-@\uff1d\uff0b\uff0d\uff20])"
_UNSAFE = re.compile(_BEGINNING + _FORMULA)
_SAFE = re.compile(_BEGINNING + "'" + _FORMULA)
# Numbers and dates that a spreadsheet writes in another way than it has read them.
_REWRITTEN = r"(?:0[0-9]+|[0-9]{12,}|[0-9]+(?:[.,:/-][0-9]+)+|[0-9]+[eE][0-9]+)"
_NUMBER = re.compile(f"'*{_REWRITTEN}")
_KEPT_NUMBER = re.compile(f"'+{_REWRITTEN}")


def safe(text: str) -> str:
    """With an apostrophe before what a spreadsheet would run or rewrite."""
    return f"'{text}" if _NUMBER.fullmatch(text) else _UNSAFE.sub(r"\1'\2", text)


def original(cell: str) -> str:
    """What `safe` was given; a cell without the apostrophe is taken as it is."""
    return cell[1:] if _KEPT_NUMBER.fullmatch(cell) else _SAFE.sub(r"\1\2", cell)
