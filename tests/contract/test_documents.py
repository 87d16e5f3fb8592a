"""The documents' tables say what the code does, and their links lead somewhere."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deliver_leads.contract import Metric, Outcome
from deliver_leads.retry_policy import LATE_AGE_S, retry_delay_s
from infra.alarm_texts import TEXTS
from infra.config import ConfigError, DeploymentConfig
from sim.synthesis import WITH_EVERY_ALARM, resources, synthesise
from tests.documents import section, shell_blocks

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "local/README.md",
    *(PROJECT / "docs").rglob("*.md"),
]


def read(name: str) -> str:
    """A document's text."""
    return (PROJECT / name).read_text("utf-8")


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


def configuration(**settings: int) -> DeploymentConfig:
    """What the stack makes of these settings. Raises `ConfigError`."""
    return DeploymentConfig.read("dev", settings, {})


def test_the_configuration_table_lists_every_setting_with_its_values_and_default() -> None:
    """A setting that nobody can read about doesn't exist for a newcomer."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \| [^|]* \|$", read("docs/settings.md"), re.MULTILINE))
    assert rows == {
        name: f"{values} | `{default}`" for name, (values, default) in configuration_rows().items()
    }


def test_what_the_settings_page_says_of_other_settings_is_what_the_stack_checks() -> None:
    """The least value by the page is accepted, and one less is not."""
    meaning = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", read("docs/settings.md"), re.MULTILINE))
    sums = re.search(
        r"at least (\d+) x \(`connectTimeoutSeconds` \+ `readTimeoutSeconds`\) \+ (\d+); the queue's "
        r"visibility timeout is (\d+) x \(this \+ `batchingWindowSeconds`\)$",
        meaning["functionTimeoutSeconds"],
    )
    assert sums
    factor, rest, timeouts = map(int, sums.groups())
    assert configuration(batchingWindowSeconds=7).visibility_timeout_seconds == timeouts * (150 + 7)
    settling = re.search(
        r"; at least `readTimeoutSeconds`, and at most (\d+) x \(`functionTimeoutSeconds` \+ "
        r"`batchingWindowSeconds`\) - (\d+)$",
        meaning["settlingTimeSeconds"],
    )
    assert settling
    times, less = map(int, settling.groups())
    short = {"connectTimeoutSeconds": 1, "readTimeoutSeconds": 5, "batchingWindowSeconds": 3}
    longest = times * (60 + 3) - less
    configuration(functionTimeoutSeconds=60, settlingTimeSeconds=longest, **short)
    with pytest.raises(ConfigError):
        configuration(functionTimeoutSeconds=60, settlingTimeSeconds=longest + 1, **short)
    assert meaning["updateGraceMinutes"].endswith(
        "; more than `retryMaxDelaySeconds` and once more that or the queue's visibility timeout, whichever "
        "is longer"
    )
    for others, name, least in (
        (
            {"connectTimeoutSeconds": 4, "readTimeoutSeconds": 31},
            "functionTimeoutSeconds",
            factor * 35 + rest,
        ),
        ({"readTimeoutSeconds": 25}, "settlingTimeSeconds", 25),
        ({"retryMaxDelaySeconds": 1200}, "updateGraceMinutes", (1200 + 1200) // 60 + 1),
        ({"functionTimeoutSeconds": 450}, "updateGraceMinutes", (900 + timeouts * 450) // 60 + 1),
    ):
        assert configuration(**others, **{name: least})
        with pytest.raises(ConfigError, match=f"^[^-]*- {name} is {least - 1}, but must"):
            configuration(**others, **{name: least - 1})


def test_the_outcome_table_has_a_row_for_every_outcome() -> None:
    """The words of log lines, metrics and dead letters."""
    rows = re.findall(r"^\| (\w+) \|", read("README.md").split("## What happens to a lead")[1], re.MULTILINE)
    assert set(Outcome) <= set(rows)


def test_the_table_of_delays_is_the_retry_policys() -> None:
    """An operator plans by it."""
    shown = re.findall(r"^\| comes back after at most \| (.*) \|$", read("docs/delivery.md"), re.MULTILINE)[
        0
    ].split(" | ")
    units = {"s": 1, "min": 60}
    delays = [int(number) * units[unit] for number, unit in (cell.split() for cell in shown)]
    ages = [0] * 6 + [LATE_AGE_S]
    attempts = [1, 2, 3, 4, 5, 6, 100]
    assert delays == [
        retry_delay_s(attempt, age, base_s=30, max_s=900, jitter=0)
        for attempt, age in zip(attempts, ages, strict=True)
    ]


def test_the_most_receives_until_a_lead_is_parked_are_those_of_the_default_delays() -> None:
    """They show how far the function is from the 1,000 of SQS."""
    shown = f"({configuration().receives_until_parked} times by default)"
    assert shown in read("docs/decisions/0003-delays-by-visibility-timeout-parking-by-age.md")


def test_each_decision_has_the_number_of_its_file() -> None:
    """Pages name decisions by number."""
    files = sorted((PROJECT / "docs/decisions").glob("0*.md"))
    numbers = [file.read_text("utf-8").split()[1] for file in files]
    assert numbers == [file.name[:4] for file in files]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_relative_link_leads_to_a_file(document: Path) -> None:
    """Files move; a reader must not notice."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def anchors(document: Path) -> set[str]:
    """What GitHub makes of a document's headings; a comment in a shell block is no heading."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_to_a_heading_leads_to_one(document: Path) -> None:
    """A heading that is reworded takes the links to it along."""
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text("utf-8"))
    targets = [((document.parent / file) if file else document, anchor) for file, anchor in links]
    assert [anchor for target, anchor in targets if anchor not in anchors(target)] == []


def test_the_sample_that_publishes_events_repeats_those_that_failed_and_no_others() -> None:
    """PutEvents answers 200 for a throttled entry, and a producer that copies the sample must not lose it."""
    [sample] = re.findall(r"^```python\n(.*?)^```$", read("docs/events/README.md"), re.DOTALL | re.MULTILINE)
    published: list[list[str]] = []

    class Bus:
        def put_events(self, Entries: list[str]) -> dict[str, Any]:  # noqa: N803 - boto3's name
            published.append(Entries)
            failed = {"b", "c"} if len(published) == 1 else {"c"} if len(published) == 2 else set()
            return {
                "Entries": [{"ErrorCode": "Throttled"} if e in failed else {"EventId": e} for e in Entries]
            }

    class Clock:
        def sleep(self, seconds: float) -> None:
            """No test waits."""

    names: dict[str, Any] = {"events": Bus(), "time": Clock()}
    exec(sample, names)  # noqa: S102 - the project's own document
    names["publish"](["a", "b", "c"])
    assert published == [["a", "b", "c"], ["b", "c"], ["c"]]


def test_every_file_that_contributing_names_exists() -> None:
    """The table of where to add what is a newcomer's map."""
    named = re.findall(r"`((?:lambdas|infra|local|docs|tests)/[\w/.]+)`", read("CONTRIBUTING.md"))
    assert len(named) > 10
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_every_metric_is_explained_and_counted_in_the_costs() -> None:
    """Each costs, so each has its reason."""
    text = read("docs/decisions/0009-metrics.md")
    assert [name for name in Metric if f"`{name}`" not in text] == []
    assert f"**Decision.** {len(Metric)} names" in text
    assert f"| {len(Metric)} and `ColdStart` | {0.3 * (len(Metric) + 1):.2f} |" in text


def test_every_alarm_has_its_heading_in_the_runbook() -> None:
    """Who is called at night follows the link in the alarm's text; GitHub's anchors are in lower case."""
    section = read("docs/runbook.md").split("\n## Alarms\n")[1].split("\n## ")[0]
    headings = re.findall(r"^### (.*)$", section, re.MULTILINE)
    template = synthesise("prod", **WITH_EVERY_ALARM).monitoring
    alarms = resources(template, "AWS::CloudWatch::Alarm") | resources(
        template, "AWS::CloudWatch::CompositeAlarm"
    )
    made = {re.sub(r"[0-9A-F]{8}$", "", name) for name in alarms}
    assert len(headings) == len(set(headings))
    assert set(headings) == made
    for heading, text in zip(headings, section.split("\n### ")[1:], strict=True):
        for part in ("Means", "Fix", "Over"):
            assert f"\n- **{part}:** " in text, heading


def test_a_heading_begins_with_the_command_of_the_alarm_s_text() -> None:
    """Who has typed what the e-mail says finds the same words, and goes on there."""
    for name, text in TEXTS.items():
        first = shell_blocks(section("docs/runbook.md", name))[0]
        assert first == f"{text.command}\n", name
