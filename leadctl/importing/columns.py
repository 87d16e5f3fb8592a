"""Which column is which field of the lead, and the small clean-ups that a table's cells need."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deliver_leads.contract import LEAD_FIELDS
from deliver_leads.event.lead import ADDRESS_FIELDS, Json
from leadctl.importing.table import REASON

FIELDS = frozenset(LEAD_FIELDS) - {"id", "customFields"}
CUSTOM = "customFields."
# Compared without case and without anything but letters and digits. The first of each row is the vendor's own
# column or ours. Not `state`: in most files that is a part of a country, at 7Targets it is the lead's state.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "name": ("firstname", "name", "givenname", "forename"),
    "lastName": ("lastname", "surname", "familyname"),
    "email": ("emailid", "email", "emailaddress", "leademail"),
    "phone": ("phone", "phoneno", "phonenumber", "mobile", "mobilephone", "mobilenumber", "telephone"),
    "assistantEmail": ("assistantemail", "assistant", "assistantemailid"),
    "company": ("company", "companyname", "organization", "organisation"),
    "designation": ("designation", "title", "jobtitle"),
    "scheduleName": ("schedulename", "sequence", "sequencename"),
    "source": ("source", "leadsource"),
}
_FIELD_OF = {name: of for of, names in _NAMES.items() for name in names} | {
    each.casefold(): each for each in FIELDS - set(_NAMES) - {"state"}
}
_WHY_IGNORED = {
    "startemailsendingdate": "7Targets' API has no field for it: its e-mails begin at once",
    "state": "in most files a part of a country; if it is the lead's state, use --map",
    "customfields": "use --map 'COLUMN=customFields.NAME'",
}
# White space that nobody sees: zero-width space, joiners and marks, byte order mark, no-break space.
_UNSEEN = re.compile("[\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00a0]")
_NAMED_ADDRESS = re.compile(r"[^<>]*<\s*([^<>\s]+@[^<>\s]+)\s*>")
_SCIENTIFIC = re.compile(r"\+?[0-9][.,]?[0-9]*[eE]\+?[0-9]+")


class ColumnsError(ValueError):
    """`--map` or `--set` can't be meant so; the text is a sentence."""


@dataclass
class Columns:
    """Makes a lead's fields of a row's cells.

    `mapped`: a field for each column that a person named, "" to ignore it; `asked`: these columns as they
    wrote them. `constants`: fields with the same value in all leads; they win over the file's. `ignored` and
    `used` are what was met so far, by column; `cleaned` counts addresses that were freed of what was around.
    """

    mapped: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Json] = field(default_factory=dict)
    asked: Sequence[str] = ()
    used: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    cleaned: int = 0

    @classmethod
    def from_options(cls, maps: Iterable[str], sets: Iterable[str]) -> "Columns":
        """Of `COLUMN=FIELD` and `FIELD=VALUE`. Raises `ColumnsError`."""
        mapped, asked = {}, []
        for pair in maps:
            # A column's name may hold an equals sign; a field's doesn't.
            column, equals, name = pair.rpartition("=")
            if not equals or not column:
                raise ColumnsError(f"--map {pair}: must be COLUMN=FIELD, or COLUMN= to ignore the column.")
            if name and name not in FIELDS and not (name.startswith(CUSTOM) and name != CUSTOM):
                raise ColumnsError(f"--map {pair}: there is no field {name}; {_choices()}.")
            mapped[_folded(column)] = name
            asked.append(column)
        constants: dict[str, Json] = {}
        for pair in sets:
            name, equals, value = pair.partition("=")
            if not equals or not value:
                raise ColumnsError(f"--set {pair}: must be FIELD=VALUE.")
            if name not in FIELDS:
                raise ColumnsError(f"--set {pair}: there is no field {name}; {_choices()}.")
            constants[name] = value
        return cls(mapped, constants, asked)

    def field_of(self, column: str) -> str:
        """The lead's field, or "" for a column that is ignored. Remembers both, for the preview."""
        if column in self.used:
            return self.used[column]
        if column in self.ignored or column.casefold() == REASON:
            return ""
        folded = _folded(column)
        named = self.mapped.get(folded)
        found = _FIELD_OF.get(folded, "") if named is None else named
        if found:
            self.used[column] = found
        else:
            self.ignored[column] = _WHY_IGNORED.get(folded, "") if named is None else ""
        return found

    def unmet(self, columns: Iterable[str]) -> list[str]:
        """What `--map` names and the file doesn't have."""
        known = {_folded(column) for column in columns}
        return [column for column in self.asked if _folded(column) not in known]

    def lead(self, cells: Iterable[tuple[str, Json]]) -> tuple[dict[str, Json], list[str]]:
        """The fields, and what is wrong in a way that only a table can be."""
        lead: dict[str, Json] = {}
        custom: list[Json] = []
        origin: dict[str, str] = {}
        problems: list[str] = []
        for column, raw in cells:
            if column == "customFields" and isinstance(raw, list):  # JSON Lines can hold them as they are
                self.used[column] = column
                custom += raw
                continue
            name = self.field_of(column)
            value = self._clean(name, raw) if isinstance(raw, str) else raw
            if not name or value is None or value == "":
                continue
            if name.startswith(CUSTOM):
                custom.append({"name": name.removeprefix(CUSTOM), "value": value})
            elif name in lead and lead[name] != value:
                problems.append(
                    f'{name}: the columns "{origin[name]}" and "{column}" differ; --map "COLUMN=" ignores one'
                )
            else:
                lead[name], origin[name] = value, column
                if name == "phone" and isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
                    problems.append("phone: a spreadsheet has cut its digits off, as in 1.23E+10")
        if custom:
            lead["customFields"] = custom
        return {**lead, **self.constants}, problems

    def _clean(self, name: str, text: str) -> str:
        if name not in ADDRESS_FIELDS:
            return text.strip("\u200b\ufeff\u2060 \t\r\n\u00a0")
        clean = _UNSEEN.sub("", text).strip()
        clean = clean[len("mailto:") :] if clean[: len("mailto:")].casefold() == "mailto:" else clean
        named = _NAMED_ADDRESS.fullmatch(clean)
        clean = named[1] if named else clean
        self.cleaned += clean != text.strip(" \t\r\n")
        return clean


def _folded(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum()) or name


def _choices() -> str:
    return f"there are {', '.join(sorted(FIELDS))}, and {CUSTOM}NAME in --map"
