"""What a person reads before anything is sent."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from leadctl.importing.cells import is_odd_name, is_odd_phone
from leadctl.importing.columns import Columns
from leadctl.importing.importer import Planned, Step
from leadctl.importing.table import Table, few
from leadctl.importing.validation import NO_SUCH_ASSISTANT, Lead, Rules, Wrong

# The function by its default settings: 5 environments with 10 calls each, and a call may well take a second.
LEADS_A_SECOND = 50
# docs/cost.md: about 4 in batches of ten; the rest is the import's own looking into the ledger, a
# dozen times for each lead.
USD_A_LEAD = 6 / 1_000_000
_SHOWN_NUMBERS = 5
_SHOWN_ASSISTANTS = 20
_SHOWN_COLUMNS = 20
_SAMPLES = 3
_OTHER_ROW = re.compile(r"(?<=same lead as )(line|row) \d+")
_ODD_NAME = "name with digits or signs, or a word like test"
_WHOLE_NAME = "name of several words without a last name (--split-name divides it)"
_ODD_PHONE = "phone with letters, or with fewer or more digits than any number has"


@dataclass
class Preview:
    """Counts what a plan holds. `reasons` and `odd` have the first numbers of the rows with each."""

    rows: int = 0
    wrong: int = 0
    steps: Counter[Step] = field(default_factory=Counter)
    assistants: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[int]] = field(default_factory=dict)
    reason_counts: Counter[str] = field(default_factory=Counter)
    example: Lead | None = None
    samples: list[str] = field(default_factory=list)
    odd: dict[str, list[int]] = field(default_factory=dict)
    odd_counts: Counter[str] = field(default_factory=Counter)

    def take(self, plan: Iterable[Planned | Wrong]) -> Iterator[int]:
        """Counts; yields the number of rows so far."""
        for each in plan:
            self.rows += 1
            if isinstance(each, Wrong):
                self._add_wrong(each)
            else:
                self._add(each)
            yield self.rows

    def _add_wrong(self, wrong: Wrong) -> None:
        self.wrong += 1
        for reason in wrong.reasons:
            group = _OTHER_ROW.sub(r"an earlier \1", reason)
            self.reason_counts[group] += 1
            _note(self.reasons, group, wrong.row.number)

    def _add(self, planned: Planned) -> None:
        self.steps[planned.step] += 1
        if planned.step in {Step.CREATE, Step.UPDATE}:
            self.assistants[str(planned.lead.fields["assistantEmail"]).lower()] += 1
            self.example = self.example or planned.lead
            self._add_odd(planned.lead)
        if len(self.samples) < _SAMPLES:
            names = (str(planned.lead.fields.get(name, "")) for name in ("name", "lastName"))
            self.samples += [name for name in names if not name.isascii() and name not in self.samples]

    def _add_odd(self, lead: Lead) -> None:
        fields = lead.fields
        name, phone = str(fields["name"]), fields.get("phone")
        found = []
        if is_odd_name(name) or is_odd_name(str(fields.get("lastName", "x"))):
            found.append(_ODD_NAME)
        elif "lastName" not in fields and " " in name:
            found.append(_WHOLE_NAME)
        if phone is not None and is_odd_phone(str(phone)):
            found.append(_ODD_PHONE)
        for each in found:
            self.odd_counts[each] += 1
            _note(self.odd, each, lead.number)

    @property
    def to_send(self) -> int:
        """How many leads would be sent."""
        return self.steps[Step.CREATE] + self.steps[Step.UPDATE]

    @property
    def minutes(self) -> int:
        """About how long it takes until all are delivered."""
        return math.ceil(self.to_send / LEADS_A_SECOND / 60)

    @property
    def usd(self) -> float:
        """About what AWS charges."""
        return self.to_send * USD_A_LEAD

    def as_json(self, rules: Rules) -> dict[str, Any]:
        """For scripts."""
        return {
            "rows": self.rows,
            "toSend": self.to_send,
            "wrong": self.wrong,
            "steps": {step.value: count for step, count in self.steps.items()},
            "assistants": dict(self.assistants),
            "reasons": dict(self.reason_counts),
            "leftOut": rules.columns.left_out,
            "freed": dict(rules.columns.cleaner.freed),
            "countedAsEmpty": dict(rules.columns.cleaner.emptied),
            "odd": dict(self.odd_counts),
            "columns": rules.columns.used,
            "ignoredColumns": list(rules.columns.ignored),
            "minutes": self.minutes,
            "usd": round(self.usd, 4),
        }

    def lines(
        self, name: str, table: Table, rules: Rules, daily_limit: int | None, *, show_lead: bool
    ) -> Iterator[str]:
        """For a person. `show_lead`: with a lead's fields, which belong into no log."""
        columns = rules.columns
        yield f"{name}: {table.kind}, {_rows(self.rows)}"
        yield from (f"  {note}" for note in table.notes)
        if table.is_guess:
            names = f": {', '.join(self.samples[:_SAMPLES])}" if self.samples and show_lead else ""
            yield f"  It isn't UTF-8, so this is a guess{names}. If it looks wrong, use --encoding."
        yield from _column_lines(columns)
        if columns.left_out:
            yield f"Left out by --where: {_rows(columns.left_out)}"
        if self.example is not None and show_lead:
            yield f"The first lead: {json.dumps(dict(self.example.fields), ensure_ascii=False)}"
        yield from self._odd_lines(table.unit, splits_names=columns.splits_names)
        yield from self._wrong_lines(table.unit)
        if NO_SUCH_ASSISTANT in self.reasons and rules.assistants is not None:
            yield f"The user's assistants: {few(sorted(rules.assistants))}"
        yield from self._known_lines()
        yield from self._assistant_lines(daily_limit)
        if self.to_send:
            minutes = "a minute" if self.minutes == 1 else f"{self.minutes:,} minutes"
            usd = max(0.01, self.usd)
            yield f"About {minutes} at {LEADS_A_SECOND} leads a second, about USD {usd:,.2f} for AWS."

    def _wrong_lines(self, unit: str) -> Iterator[str]:
        if not self.wrong:
            return
        more = self.reason_counts.total() - self.wrong
        together = f", with {self.reason_counts.total():,} reasons, because some have several" if more else ""
        yield f"Wrong: {_rows(self.wrong)}{together}"
        for reason, count in self.reason_counts.most_common():
            yield _counted(count, reason, unit, self.reasons[reason])

    def _odd_lines(self, unit: str, *, splits_names: bool) -> Iterator[str]:
        shown = [each for each in self.odd_counts if not (splits_names and each == _WHOLE_NAME)]
        if not shown:
            return
        yield "Sent as they are, but look at them:"
        for each in shown:
            yield _counted(self.odd_counts[each], each, unit, self.odd[each])

    def _known_lines(self) -> Iterator[str]:
        done, follow = self.steps[Step.DONE], self.steps[Step.FOLLOW]
        if done or follow:
            yield f"From an earlier call: {done:,} delivered, {follow:,} sent"
        if skipped := self.steps[Step.SKIP]:
            yield (
                f"At 7Targets already, or on the way there: {_rows(skipped)}, skipped "
                "(--existing update or create would send them)"
            )

    def _assistant_lines(self, daily_limit: int | None) -> Iterator[str]:
        if not self.assistants:
            return
        yield "Leads for each assistant:"
        for assistant, count in self.assistants.most_common(_SHOWN_ASSISTANTS):
            days = math.ceil(count / daily_limit) if daily_limit else 0
            limit = (
                f", {'a day' if days == 1 else f'{days:,} days'} at {daily_limit:,} a day"
                if daily_limit
                else ""
            )
            yield f"  {count:>7,}  {assistant}{limit}"
        if len(self.assistants) > _SHOWN_ASSISTANTS:
            yield f"           … and {len(self.assistants) - _SHOWN_ASSISTANTS:,} assistants more"


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _note(numbers: dict[str, list[int]], what: str, number: int) -> None:
    first = numbers.setdefault(what, [])
    if len(first) < _SHOWN_NUMBERS:
        first.append(number)


def _counted(count: int, what: str, unit: str, first: Sequence[int]) -> str:
    numbers = ", ".join(f"{number:,}" for number in first)
    return f"  {count:>7,}  {what} ({unit} {numbers}{', …' if count > len(first) else ''})"


def _column_lines(columns: Columns) -> Iterator[str]:
    """What became of the columns, and of the cells of those that are used."""
    used = [column if column == of else f"{column} → {of}" for column, of in columns.used.items()]
    if used:
        yield f"Columns: {_listed(used)}"
    several = [
        of for of, count in Counter(columns.used.values()).items() if count > 1 and of != "customFields"
    ]
    if several:
        yield f"Of several columns for {', '.join(several)} the best one counts that isn't empty."
    if columns.ignored:
        ignored = [f"{column} ({why})" if why else column for column, why in columns.ignored.items()]
        yield f"Ignored: {_listed(ignored)}"
    if freed := columns.cleaner.freed:
        yield f"Taken off around values: {_times(freed)}"
    if emptied := columns.cleaner.emptied:
        yield f"Counted as empty cells: {_times(emptied)}"
    for (column, option), answers in columns.consents.items():
        yield (
            f'"{column}" may say who agreed to be written to, and nothing looks at it ({_times(answers)}). '
            f"To send to some only: --where {option}"
        )


def _listed(texts: Sequence[str]) -> str:
    more = [f"{len(texts) - _SHOWN_COLUMNS:,} more"] if len(texts) > _SHOWN_COLUMNS else []
    return ", ".join([*texts[:_SHOWN_COLUMNS], *more])


def _times(counts: Counter[str]) -> str:
    first = counts.most_common(_SHOWN_NUMBERS)
    return ", ".join(f"{what} {count:,} times" if count > 1 else f"{what} once" for what, count in first) + (
        ", …" if len(counts) > len(first) else ""
    )
