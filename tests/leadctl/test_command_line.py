"""The command line as a whole: help, completion, dry runs, and what a narrow terminal shows."""

import json
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete, get_completion_class
from click.testing import CliRunner

import leadctl
from deliver_leads.outcome import RejectedError
from leadctl.cli import cli
from leadctl.options import Command
from tests.documents import PROJECT, shell_blocks
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import BODY, JANE, parked_body


def commands(group: click.Command = cli, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with its words, groups included."""
    yield names, group
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, *names, name)


def test_each_help_ends_with_examples_that_can_be_parsed_and_has_its_own_options_first() -> None:
    """Who tries them meets no unknown option."""
    for names, command in commands():
        shown = CliRunner().invoke(cli, [*names, "--help"], prog_name="leadctl").stdout
        assert shown.index("General options:") > shown.find("\nOptions:"), names
        if names == ("credentials",):
            continue
        assert isinstance(command, Command)
        assert command.examples.strip(), names
        assert_parsed(command.examples)


def assert_parsed(text: str) -> None:
    """Each leadctl in a shell's text has only options and commands that are there."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if "leadctl" in words and "install" not in words:
            given = takewhile(lambda word: word not in "|<>&&;", words[words.index("leadctl") + 1 :])
            # They are parsed before the help is shown.
            parsed = CliRunner().invoke(cli, [*given, "--help"])
            assert parsed.exit_code == 0, f"{line}: {parsed.output}"


@pytest.mark.parametrize("document", ["README.md", "docs/leadctl.md", "docs/operate.md", "docs/runbook.md"])
def test_the_documents_commands_can_be_parsed(document: str) -> None:
    """In their blocks, and in the table of questions."""
    text = (PROJECT / document).read_text("utf-8")
    commands_in_text = re.findall(r"`(leadctl [^`]+)`", text)
    assert_parsed(
        "\n".join(line for block in shell_blocks(text) for line in block.splitlines() if "leadctl" in line)
    )
    assert_parsed("\n".join(commands_in_text))


def completions(*words: str) -> list[tuple[str, str]]:
    """Type and value of what a Tab offers at the end of these words."""
    *args, incomplete = words
    found = ShellComplete(cli, {}, "leadctl", "_LEADCTL_COMPLETE").get_completions(args, incomplete)
    return [(each.type, str(each.value)) for each in found]


@pytest.mark.parametrize(
    "words",
    [
        ("import", "le"),
        ("send", "le"),
        ("credentials", "set", "--file", "le"),
        ("parked", "export", "le"),
        ("parked", "export", "-o", "le"),
        ("parked", "drop", "--export", "le"),
        ("parked", "edit", "1f0c3a9b", "--file", "le"),
    ],
)
def test_a_tab_offers_files_where_a_file_is_meant(words: tuple[str, ...]) -> None:
    """Where - is one, too."""
    assert completions(*words) == [("file", "le")]


def test_a_tab_offers_stages_places_and_fields(stage: Stage) -> None:
    """And nothing, where AWS can't be asked."""
    stage.stacks["LeadDelivery-prod"] = {}
    assert completions("status", "--stage", "") == [("plain", "dev"), ("plain", "prod")]
    assert completions("status", "--stack", "LeadDelivery-p") == [("plain", "LeadDelivery-prod")]
    assert completions("open", "da") == [("plain", "dashboard")]
    for command in ("send", "import"):
        assert completions(command, "--set", "assist") == [("plain", "assistantEmail=")]
    stage.failures["DescribeStacks"] = "AccessDenied"
    assert completions("status", "--stage", "") == []


def test_bash_leaves_the_cursor_after_the_equals_sign() -> None:
    """A value follows it."""
    bash = get_completion_class("bash")
    assert bash is not None
    assert "[[ $value == *= ]] && compopt -o nospace" in bash.source_template


def test_the_version_is_an_option_too() -> None:
    """As everywhere."""
    assert CliRunner().invoke(cli, ["--version"]).stdout == f"leadctl {leadctl.__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ("parked", "retry", "--all"),
        ("parked", "retry", "--all", "--wait"),
        ("parked", "drop", "--all"),
        ("parked", "edit", "message-1", "--file", "event.json"),
        ("import", "table.csv"),
        ("import", "leads.csv"),
        ("send", "event.json"),
        ("erase", JANE),
        ("erase", "nobody@example.com", "--ledger"),
        ("pause", "--reason", "why"),
    ],
)
def test_a_dry_run_speaks_of_nothing_in_the_past_tense(stage: Stage, words: tuple[str, ...]) -> None:
    """Nobody should believe that it was done."""
    stage.park(BODY)
    Path("event.json").write_text(json.dumps(parked_body()))
    Path("leads.csv").write_text("name,email,assistantEmail\nJane,jane@example.com,sam@example.com\n")
    stage.run("parked", "export", "table.csv")
    Path("table.csv").write_text(Path("table.csv").read_text("utf-8-sig").replace("sam@", "kim@"))
    result = stage.run(*words, "--dry-run")
    assert result.exit_code == 0, result.output
    assert not re.search(r"^(Sent|Deleted|Dropped|Exported|Paused)\b", result.output, re.MULTILINE)
    assert not {"SendMessage", "SendMessageBatch", "DeleteMessageBatch"} & set(stage.operations())


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("find", JANE),
        ("parked", "list"),
        ("parked", "list", "--each", "--addresses"),
        ("parked", "retry", "--all", "--dry-run"),
        ("parked", "retry"),
    ],
)
def test_no_word_is_broken_and_no_line_is_too_long_on_a_narrow_terminal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The same words as on a wide one, but for headings that no longer fit."""
    for number in range(3):
        body = parked_body(number) | {"operation": "create"}
        why = f"answered 422: {'the address is on the suppression list of this user, ' * number}unsubscribed"
        stage.park(
            body | BODY if number else body, RejectedError(why, detail=why), message_id=f"message-{number}"
        )
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)

    def shown(columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = click.unstyle(stage.run(*words).output).splitlines()
        return [re.sub(r"\d+ seconds? ago|[0-9a-f]{8}(-[0-9a-f-]+)?", "x", line) for line in lines]

    wide = set(" ".join(shown(1000)).split())
    for columns in (50, 80):
        narrow = shown(columns)
        assert set(" ".join(narrow).split()) <= wide
        assert wide - set(" ".join(narrow).split()) <= {
            "id",
            "came",
            "in",
            "address",
            "queue",
            "reason",
            "detail",
        }
        assert max(map(len, narrow)) <= columns


def test_the_terminal_groups_reasons_as_the_page_does(stage: Stage) -> None:
    """A field has another path in an event of the bus, which makes no other cause."""
    lead: dict[str, Any] = parked_body()["lead"]
    stage.park(
        {"operation": "create", "lead": lead}, RejectedError("lead.name: is missing | lead.email: is missing")
    )
    stage.park(
        {"detail-type": "Lead Created", "detail": {"lead": lead}},
        RejectedError("detail.lead.name: is missing | detail.lead.email: is missing"),
        message_id="message-2",
    )
    [_, row] = stage.run("parked", "list").stdout.splitlines()
    assert row.split("\t")[0] == "2"
    assert row.endswith("rejected\tlead.name: is missing; lead.email: is missing")
    assert (
        stage.run("parked", "retry", "--reason", "lead.name: is missing; lead*", "--yes").stdout
        == "Sent again: 2.\n"
    )


def test_addresses_are_shown_only_when_asked_for(stage: Stage) -> None:
    """Of each message, however wrong the address is, and also in the API's own words."""
    why = f"answered 422: {JANE} is suppressed"
    stage.park(BODY, RejectedError(why, detail=why))
    stage.park("no JSON", message_id="message-2")
    assert JANE not in stage.run("parked", "list", "--each").stdout
    shown = stage.run("parked", "list", "--each", "--addresses").stdout.splitlines()
    assert sorted(line.split("\t")[2] for line in shown) == ["-", "address", JANE]
    assert stage.run("parked", "list", "--addresses").exit_code == 2


@pytest.mark.parametrize("name", ["assistant", "lastname", "assistant_email"])
def test_a_field_by_another_name_is_not_sent_as_an_unknown_one(stage: Stage, name: str) -> None:
    """It would be passed on, and the lead would lack it."""
    result = stage.run("send", "--operation", "create", "--set", f"{name}=x")
    assert result.exit_code == 2
    assert f"there is no field {name}; did you mean " in result.stderr
