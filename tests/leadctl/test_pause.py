"""The tap between the lead queue and the function, with who closed it and why."""

import pytest

from tests.leadctl.conftest import Stage


def test_a_pause_closes_the_mapping_and_keeps_who_and_why(stage: Stage) -> None:
    """In tags, so that everybody sees it; without characters that AWS refuses in them."""
    result = stage.run("pause", "--reason", "assistant's mailbox moves; ask Ana", "--yes")
    assert result.exit_code == 0, result.stderr
    assert stage.mapping.state == "Disabled"
    tags = {name.removeprefix("leadctl:paused-"): value for name, value in stage.mapping.tags.items()}
    assert tags.keys() == {"by", "at", "reason"}
    assert (tags["by"], tags["reason"]) == ("moto", "assistant s mailbox moves  ask Ana")


def test_resume_opens_it_and_removes_the_reason(stage: Stage) -> None:
    """An old reason would be taken for a new pause's."""
    stage.run("pause", "--reason", "x", "--yes")
    result = stage.run("resume", "--yes")
    assert result.stdout == "Leads flow again.\n"
    assert "moto paused it at 20" in result.stderr
    assert (stage.mapping.state, stage.mapping.tags) == ("Enabled", {})
    assert stage.run("resume", "--yes").stdout == "Leads flow already.\n"


def test_a_pause_needs_a_reason(stage: Stage) -> None:
    """The next person has nothing else."""
    for words in ((), ("--reason", " "), ("--reason", "x" * 257)):
        assert stage.run("pause", *words, "--yes").exit_code == 2
    assert stage.mapping.state == "Enabled"


def test_a_second_pause_says_whose_is_the_first(stage: Stage) -> None:
    """Its reason isn't overwritten."""
    stage.run("pause", "--reason", "first", "--yes")
    result = stage.run("pause", "--reason", "second", "--yes")
    assert result.exit_code == 3
    assert "first" in result.stdout
    assert stage.mapping.tags["leadctl:paused-reason"] == "first"


def test_a_pause_whose_reason_cannot_be_kept_is_a_pause(stage: Stage) -> None:
    """It may be urgent."""
    stage.failures["TagResource"] = "AccessDeniedException"
    result = stage.run("pause", "--reason", "x", "--yes")
    assert result.exit_code == 3
    assert "lambda:TagResource" in result.stdout
    assert stage.mapping.state == "Disabled"


@pytest.mark.parametrize("words", [("pause", "--reason", "x", "--dry-run"), ("pause", "--reason", "x")])
def test_without_a_yes_leads_go_on(stage: Stage, words: tuple[str, ...]) -> None:
    """A dry run, and a call off a terminal that doesn't say --yes."""
    assert stage.run(*words).exit_code == (0 if "--dry-run" in words else 2)
    assert "UpdateEventSourceMapping" not in stage.operations()
