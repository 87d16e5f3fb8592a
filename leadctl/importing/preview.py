"""What a person reads before anything is sent."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from leadctl.importing.importer import Planned, Step
from leadctl.importing.table import Table
from leadctl.importing.validation import Lead, Rules, Wrong

# The function by its default settings: 5 environments with 10 calls each, and a call may well take a second.
LEADS_A_SECOND = 50
# docs/cost.md: about 4 in batches of ten; the rest is the import's own looking into the ledger, a
# dozen times for each lead.
USD_A_LEAD = 6 / 1_000_000
_SHOWN_NUMBERS = 5
_SHOWN_ASSISTANTS = 20
_SAMPLES = 3
_OTHER_ROW = re.compile(r"(?<=same lead as )(line|row) \d+")


@dataclass
class Preview:
    """Counts what a plan holds. `reasons` has, for each, how many rows and the first of their numbers."""

    rows: int = 0
    wrong: int = 0
    steps: Counter[Step] = field(default_factory=Counter)
    assistants: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[int]] = field(default_factory=dict)
    reason_counts: Counter[str] = field(default_factory=Counter)
    example: Lead | None = None
    samples: list[str] = field(default_factory=list)

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
            numbers = self.reasons.setdefault(group, [])
            if len(numbers) < _SHOWN_NUMBERS:
                numbers.append(wrong.row.number)

    def _add(self, planned: Planned) -> None:
        self.steps[planned.step] += 1
        if planned.step in {Step.CREATE, Step.UPDATE}:
            self.assistants[str(planned.lead.fields["assistantEmail"]).lower()] += 1
            self.example = self.example or planned.lead
        if len(self.samples) < _SAMPLES:
            names = (str(planned.lead.fields.get(name, "")) for name in ("name", "lastName"))
            self.samples += [name for name in names if not name.isascii() and name not in self.samples]

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
        used = ", ".join(
            column if column == of else f"{column} → {of}" for column, of in columns.used.items()
        )
        yield f"Columns: {used}"
        if columns.ignored:
            ignored = (
                f"{column} ({why})" if why else column for column, why in columns.ignored.items() if column
            )
            unnamed = ["one or more without a name"] if "" in columns.ignored else []
            yield f"Ignored: {', '.join([*ignored, *unnamed])}"
        if columns.cleaned:
            yield f"Addresses freed of what was written around them: {columns.cleaned:,}"
        if self.example is not None and show_lead:
            yield f"The first lead: {json.dumps(dict(self.example.fields), ensure_ascii=False)}"
        yield from self._wrong_lines(table.unit)
        yield from self._known_lines()
        yield from self._assistant_lines(daily_limit)
        if self.to_send:
            minutes = "a minute" if self.minutes == 1 else f"{self.minutes:,} minutes"
            usd = max(0.01, self.usd)
            yield f"About {minutes} at {LEADS_A_SECOND} leads a second, about USD {usd:,.2f} for AWS."

    def _wrong_lines(self, unit: str) -> Iterator[str]:
        if not self.wrong:
            return
        several = ", some for several reasons" if self.reason_counts.total() > self.wrong else ""
        yield f"Wrong: {_rows(self.wrong)}{several}"
        for reason, count in self.reason_counts.most_common():
            numbers = ", ".join(f"{number:,}" for number in self.reasons[reason])
            more = ", …" if count > len(self.reasons[reason]) else ""
            yield f"  {count:>7,}  {reason} ({unit} {numbers}{more})"

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
