"""The README's tables say what the code does."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from deliver_leads.outcome import Outcome
from deliver_leads.retry_policy import LATE_AGE_S, retry_delay_s
from infra.config import DeploymentConfig

README = (Path(__file__).parents[2] / "README.md").read_text()


def configuration_rows() -> dict[str, tuple[str, str]]:
    """Each setting's accepted values and default, in the words of the code."""
    rows = {}
    for field in dataclasses.fields(DeploymentConfig):
        if "rule" not in field.metadata:
            continue
        first, *rest = field.name.split("_")
        name = first + "".join(word.capitalize() for word in rest)
        assert field.default_factory is not dataclasses.MISSING
        default: Any = field.default_factory()
        shown = json.dumps(list(default) if isinstance(default, tuple) else default)
        rows[name] = (field.metadata["rule"].must_be, shown)
    return rows


def test_the_configuration_table_lists_every_setting_with_its_values_and_default() -> None:
    """A setting that nobody can read about doesn't exist for a newcomer."""
    section = README.split("## Configure")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \| [^|]* \|$", section, re.MULTILINE))
    assert rows == {
        name: f"{values} | `{default}`" for name, (values, default) in configuration_rows().items()
    }


def test_the_outcome_table_has_a_row_for_every_outcome() -> None:
    """The words of log lines, metrics and dead letters."""
    rows = re.findall(r"^\| (\w+) \|", README.split("## What happens to a lead")[1], re.MULTILINE)
    assert set(Outcome) <= set(rows)


def test_the_table_of_delays_is_the_retry_policys() -> None:
    """An operator plans by it."""
    shown = re.findall(r"^ *\| comes back after at most \| (.*) \|$", README, re.MULTILINE)[0].split(" | ")
    units = {"s": 1, "min": 60}
    delays = [int(number) * units[unit] for number, unit in (cell.split() for cell in shown)]
    ages = [0] * 6 + [LATE_AGE_S]
    attempts = [1, 2, 3, 4, 5, 6, 100]
    assert delays == [
        retry_delay_s(attempt, age, base_s=30, max_s=900, jitter=0)
        for attempt, age in zip(attempts, ages, strict=True)
    ]
