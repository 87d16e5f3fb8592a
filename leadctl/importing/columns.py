"""Which column is which field of the lead, and which rows are meant."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from deliver_leads.event.address import same_address
from deliver_leads.event.full_name import split_name
from deliver_leads.event.lead import ADDRESS_FIELDS, TEXT_FIELDS, Json
from leadctl.importing.cells import Cleaner
from leadctl.importing.headers import (
    FIELDS,
    WHY_IGNORED,
    close_field,
    folded,
    is_consent,
    is_full_name,
    meanings,
)
from leadctl.importing.table import REASON, Row, shown

CUSTOM = "customFields."
_SCIENTIFIC = re.compile(r"\+?[0-9][.,]?[0-9]*[eE]\+?[0-9]+")
_POSITION = re.compile(r"#([1-9][0-9]{0,4})")
_LETTERS = re.compile(r"[A-Z]{1,3}")
# A person's own word for a column, the best by its name, and so on.
_MAPPED = -1
_FULL_NAME_RANK = 9
_MOST_REMEMBERED = 200  # of columns in JSON Lines, where each line has its own
_MOST_ANSWERS = 6
_LIKE_A_NAME = re.compile("na?me?|nom|contact|kontakt|kund|client|customer|person|lead")
_LIKE_A_FIRST_NAME = re.compile("first|given|vorn|voorn|pren|nombre|primeir")
_DATA_LIKE = re.compile(r"\S@\S+\.\S|(?:[0-9][ ()/.-]*){6}")


class ColumnsError(ValueError):
    """What an option says of the columns can't be meant so; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A column that a field is read from. `label`: how a person finds it; `asked`: how an option names it."""

    at: int
    label: str
    asked: str
    rank: int


@dataclass(frozen=True)
class _Plan:
    """What is done with the cells of rows with these columns."""

    sources: Mapping[str, Sequence[_Source]]
    wheres: Sequence[tuple[int, frozenset[str]]]
    consents: Sequence[tuple[int, tuple[str, str]]]
    has_whole_names: bool
    lists: Sequence[int]  # of JSON Lines: customFields in an event's own form


@dataclass
class Columns:
    """Makes a lead's fields of a row's cells, and remembers what it met, for the preview.

    `mapped`: pairs of a column, by its name or position, and a field, "" to ignore it. `constants`: fields
    with the same value in all leads; they win over the file's. `wheres`: pairs of a column and a value.
    `used` has the field of each column, and `ignored` why a column is; `left_out` counts rows by `wheres`.
    `consents` has the answers by the column's name and the value of a `--where` for it.
    """

    mapped: Sequence[tuple[str, str]] = ()
    constants: Mapping[str, Json] = field(default_factory=dict)
    wheres: Sequence[tuple[str, str]] = ()
    splits_names: bool = False
    used: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    consents: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    left_out: int = 0
    cleaner: Cleaner = field(default_factory=Cleaner)

    def __post_init__(self) -> None:
        self._planned_for: tuple[str, ...] | None = None
        self._plan = _Plan({}, (), (), False, ())

    @classmethod
    def from_options(
        cls,
        maps: Iterable[str],
        sets: Iterable[str],
        wheres: Iterable[str] = (),
        *,
        splits_names: bool = False,
    ) -> "Columns":
        """Of `COLUMN=FIELD`, `FIELD=VALUE` and `COLUMN=VALUE`. Raises `ColumnsError`."""
        mapped = []
        for pair in maps:
            # A column's name may hold an equals sign; a field's doesn't.
            column, equals, name = pair.rpartition("=")
            if not equals or not column:
                raise ColumnsError(f"--map {pair}: must be COLUMN=FIELD, or COLUMN= to ignore the column.")
            if name and name not in FIELDS and not (name.startswith(CUSTOM) and name != CUSTOM):
                raise ColumnsError(f"--map {pair}: there is no field {name}; {_choices(name)}.")
            mapped.append((column, name))
        constants: dict[str, Json] = {}
        for pair in sets:
            name, equals, value = pair.partition("=")
            if not equals or not value:
                raise ColumnsError(f"--set {pair}: must be FIELD=VALUE.")
            if name not in FIELDS:
                raise ColumnsError(f"--set {pair}: there is no field {name}; {_choices(name)}.")
            if name == "email":
                raise ColumnsError(
                    "--set email: must be a column, because each lead has an address of its own."
                )
            constants[name] = value
        kept = []
        for pair in wheres:
            column, equals, value = pair.partition("=")
            if not equals or not column:
                raise ColumnsError(f"--where {pair}: must be COLUMN=VALUE, or COLUMN= for an empty one.")
            kept.append((column, value))
        return cls(mapped, constants, kept, splits_names)

    def fields_in(self, names: Sequence[str]) -> set[str]:
        """The fields that a header with these names would name."""
        found = {each for each, sources in self._sources(names).items() if sources}
        return found | ({"name"} if any(map(is_full_name, names)) else set())

    def lacks(self, names: Sequence[str], needed: Iterable[str]) -> list[str]:
        """Those of the needed fields that neither a column nor an option gives."""
        given = self._sources(names).keys() | self.constants.keys()
        return [each for each in needed if each not in given]

    def unmet(self, names: Sequence[str]) -> list[str]:
        """What options name and the file doesn't have."""
        asked = [column for column, _ in (*self.mapped, *self.wheres)]
        return [column for column in dict.fromkeys(asked) if not _found(column, names)]

    def takes(self, row: Row) -> bool:
        """Whether `--where` leaves the row in."""
        self._prepare(row)
        for at, wanted in self._plan.wheres:
            cell = row.values[at] if 0 <= at < len(row.values) else ""
            if _answer(cell).casefold() not in wanted:
                self.left_out += 1
                return False
        return True

    def lead(self, row: Row) -> tuple[dict[str, Json], list[str]]:
        """The fields, and what is wrong in a way that only a table can be."""
        self._prepare(row)
        cells, width = row.values, len(row.values)
        lead: dict[str, Json] = {}
        custom: list[Json] = []
        problems: list[str] = []
        for name, sources in self._plan.sources.items():
            value = self._value(name, sources, cells, problems)
            if value is None:
                continue
            if name.startswith(CUSTOM):
                custom.append({"name": name.removeprefix(CUSTOM), "value": value})
                continue
            lead[name] = value
            if name == "phone" and isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
                problems.append("phone: a spreadsheet has cut its digits off; correct or empty it")
        if self.splits_names and self._plan.has_whole_names:
            _split(lead)
        for at in self._plan.lists:
            found = cells[at]
            custom += found if isinstance(found, list) else []
        for at, column in self._plan.consents:
            self._count_answer(column, cells[at] if at < width else "")
        if custom:
            lead["customFields"] = custom
        return {**lead, **self.constants}, problems

    def _value(
        self, name: str, sources: Sequence[_Source], cells: Sequence[Json], problems: list[str]
    ) -> Json:
        """Of the best column that isn't empty; two that are as good must not differ."""
        taken: _Source | None = None
        value: Json = None
        for source in sources:
            found = cells[source.at] if source.at < len(cells) else None
            if type(found) in {int, float} and name in TEXT_FIELDS:
                # As a spreadsheet's: only JSON has a type for it.
                found = json.dumps(found).removesuffix(".0")
            if isinstance(found, str):
                found = self.cleaner.clean(name, found) if found else None
            if found is None or found == "":
                continue
            if taken is None:
                value, taken = found, source
            elif taken.rank == source.rank and not _are_equal(name, value, found):
                problems.append(
                    f'{name}: the columns "{taken.label}" and "{source.label}" differ; --map '
                    f"{_quoted(taken.asked, name)} or {_quoted(source.asked, name)} says which one counts"
                )
        return value

    def _prepare(self, row: Row) -> None:
        names = row.columns
        if self._planned_for is names or self._planned_for == names:
            return
        self._planned_for = names
        sources = self._sources(names)
        where: dict[int, set[str]] = {}
        for column, value in self.wheres:
            for at in _found(column, names) or [-1]:
                where.setdefault(at, set()).add(value.strip().casefold())
        labels = _labels(names)
        taken = {each.at for of in sources.values() for each in of}
        lists = [
            at
            for at, (name, cell) in enumerate(zip(names, row.values, strict=False))
            if name == "customFields" and isinstance(cell, list)
        ]
        consents = [
            (at, (labels[at], _quoted(_asked(names, at), "VALUE")))
            for at, name in enumerate(names)
            if at not in taken and at not in where and is_consent(name)
        ]
        self._plan = _Plan(
            {name: sorted(of, key=lambda each: each.rank) for name, of in sources.items()},
            [(at, frozenset(values)) for at, values in where.items()],
            consents,
            all(each.rank != 0 for each in sources.get("name", ())),
            lists,
        )
        self._remember(names, labels, sources, {*where, *taken, *lists, *(at for at, _ in consents)})

    def _remember(
        self,
        names: Sequence[str],
        labels: Sequence[str],
        sources: Mapping[str, Sequence[_Source]],
        known: set[int],
    ) -> None:
        if len(self.used) + len(self.ignored) > _MOST_REMEMBERED:
            return
        self.used.update({each.label: name for name, of in sources.items() for each in of})
        if "customFields" in names and names.index("customFields") in known:
            self.used["customFields"] = "customFields"
        mapped = {name for _, name in self.mapped}
        ignored_by_person = {at for column, name in self.mapped if not name for at in _found(column, names)}
        for at, (name, meaning) in enumerate(zip(names, meanings(names), strict=True)):
            if at in known or name.strip().casefold() == REASON:
                continue
            why = WHY_IGNORED.get(folded(name), "")
            if at in ignored_by_person:
                why = ""
            elif meaning is not None and meaning.field in mapped:
                why = f"--map names another column for {meaning.field}"
            elif is_full_name(name) and not self.splits_names and "name" not in sources:
                why = "--split-name makes a first and a last name of it"
            self.ignored.setdefault(labels[at], why)

    def _sources(self, names: Sequence[str]) -> dict[str, list[_Source]]:
        """The columns of each field, in the file's order of the fields."""
        labels = _labels(names)
        by_person: dict[int, str] = {at: name for column, name in self.mapped for at in _found(column, names)}
        mapped = set(by_person.values())
        found: dict[str, list[_Source]] = {}
        for at, (name, meaning) in enumerate(zip(names, meanings(names), strict=True)):
            if at in by_person:
                of, rank = by_person[at], _MAPPED
            elif name.strip().casefold() == REASON:
                continue
            elif meaning is not None:
                of, rank = meaning.field, meaning.rank
            elif self.splits_names and is_full_name(name):
                of, rank = "name", _FULL_NAME_RANK
            else:
                continue
            if of and (rank == _MAPPED or of not in mapped):
                found.setdefault(of, []).append(_Source(at, labels[at], _asked(names, at), rank))
        return found

    def _count_answer(self, column: tuple[str, str], cell: Json) -> None:
        answers = self.consents.setdefault(column, Counter())
        answer = _answer(cell)[:12] or "empty"
        answers[answer if answer in answers or len(answers) < _MOST_ANSWERS else "…"] += 1


def find_header(records: Sequence[Sequence[str]], columns: Columns) -> int | None:
    """Which of the first records names the columns; None if none does.

    The first one that names an address and a name; else the first one that names an address; else the first
    one with two cells or more, or with one, unless it looks as if it were a lead already.
    """
    fields = [columns.fields_in(cells) for cells in records]
    for needed in ({"email", "name"} - columns.constants.keys(), {"email"}):
        for at, named in enumerate(fields):
            if needed <= named:
                return at
    for least in (2, 1):
        for at, cells in enumerate(records):
            if sum(bool(cell.strip()) for cell in cells) >= least:
                return None if any(_DATA_LIKE.search(cell) for cell in cells) else at
    return None


def guesses(names: Sequence[str], rows: Iterable[Row], lacking: Sequence[str]) -> list[str]:
    """Options that would name what is lacking, as far as names and cells show which columns are meant."""
    options = []
    if "email" in lacking:
        hits: Counter[int] = Counter(
            at for row in rows for at, cell in enumerate(row.values) if "@" in str(cell)
        )
        options.append(
            f"--map {_quoted(_asked(names, hits.most_common(1)[0][0]) if hits else 'COLUMN', 'email')}"
        )
    if "name" in lacking:
        full = [at for at, name in enumerate(names) if is_full_name(name)]
        short = [folded(name) for name in names]
        close = [at for at, each in enumerate(short) if _LIKE_A_NAME.search(each) and not each.endswith("id")]
        close.sort(key=lambda at: not _LIKE_A_FIRST_NAME.search(short[at]))
        if full:
            options.append("--split-name")
        else:
            options.append(f"--map {_quoted(_asked(names, close[0]) if close else 'COLUMN', 'name')}")
    if "assistantEmail" in lacking:
        options.append("--set 'assistantEmail=ADDRESS'")
    return options


def _found(asked: str, names: Sequence[str]) -> list[int]:
    """The columns that a person means: by the name, else by a position as #4 or D."""
    short = folded(asked)
    exact = [at for at, name in enumerate(names) if name == asked]
    found = exact or [at for at, name in enumerate(names) if name and folded(name) == short]
    if found:
        return found
    at = -1
    if number := _POSITION.fullmatch(asked):
        at = int(number[1]) - 1
    elif _LETTERS.fullmatch(asked):
        for letter in asked:
            at = (at + 1) * 26 + ord(letter) - ord("A")
    return [at] if 0 <= at < len(names) else []


def _labels(names: Sequence[str]) -> list[str]:
    """The names; with the position for one that doesn't say by itself which column it is."""
    times = Counter(folded(name) for name in names)
    return [
        shown(name) if name and times[folded(name)] == 1 else f"{shown(name)} (#{at})".strip()
        for at, name in enumerate(names, 1)
    ]


def _asked(names: Sequence[str], at: int) -> str:
    is_clear = names[at].strip() and _found(names[at], names) == [at] and shown(names[at]) == names[at]
    return names[at] if is_clear else f"#{at + 1}"


def _quoted(column: str, name: str) -> str:
    """For a shell."""
    text = f"{column}={name}"
    return "'" + text.replace("'", "'\\''") + "'"


def _are_equal(name: str, one: Json, other: Json) -> bool:
    if name in ADDRESS_FIELDS and isinstance(one, str) and isinstance(other, str):
        return same_address(one) == same_address(other)
    return one == other


def _answer(cell: Json) -> str:
    return cell.strip() if isinstance(cell, str) else "" if cell is None else str(cell)


def _split(lead: dict[str, Json]) -> None:
    whole = lead.get("name")
    if isinstance(whole, str) and "lastName" not in lead:
        first, last = split_name(whole)
        lead["name"] = first
        if last:
            lead["lastName"] = last


def _choices(name: str) -> str:
    meant = close_field(name)
    if meant:
        return f"did you mean {meant}?"
    return f"there are {', '.join(sorted(FIELDS))}, and {CUSTOM}NAME in --map"
