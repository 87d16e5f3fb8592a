"""Which stack leadctl works on: never one that nobody named, never AWS instead of the local run."""

import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.documents import PROJECT
from tests.leadctl.conftest import Stage
from tests.leadctl.stage_content import write_local_run


def test_the_only_stack_is_taken_and_named_first_on_stderr(stage: Stage) -> None:
    """A person sees where a command works before it does anything."""
    result = stage.run("find", "jane@example.com")
    assert result.stderr.splitlines()[0] == "LeadDelivery-dev · 123456789012 · us-east-1"


def test_two_stacks_are_listed_and_none_is_taken(stage: Stage) -> None:
    """A silent default would make one stage's operator work on another."""
    stage.stacks["LeadDelivery-prod"] = stage.outputs
    result = stage.run("find", "jane@example.com")
    assert result.exit_code == 2
    assert "LeadDelivery-dev, LeadDelivery-prod" in result.stderr


@pytest.mark.parametrize(
    "words", [("--stage", "prod", "find", "a@b.co"), ("find", "a@b.co", "--stage", "prod")]
)
def test_the_stage_may_be_given_before_and_after_the_command(stage: Stage, words: tuple[str, ...]) -> None:
    """As with kubectl, gh and aws."""
    stage.stacks["LeadDelivery-prod"] = stage.outputs
    assert stage.run(*words).stderr.startswith("LeadDelivery-prod · ")


def test_the_option_wins_over_the_variable(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed now is meant now."""
    stage.stacks["LeadDelivery-prod"] = stage.outputs
    monkeypatch.setenv("LEADCTL_STAGE", "prod")
    assert stage.run("find", "a@b.co").stderr.startswith("LeadDelivery-prod")
    assert stage.run("find", "a@b.co", "--stage", "dev").stderr.startswith("LeadDelivery-dev")
    assert stage.run("find", "a@b.co", "--stack", "LeadDelivery-dev").stderr.startswith("LeadDelivery-dev")


def test_a_stage_that_is_not_there_is_said_with_those_that_are(stage: Stage) -> None:
    """The commonest slip is another Region or a misspelt name."""
    result = stage.run("find", "a@b.co", "--stage", "prd")
    assert result.exit_code == 4
    assert "no stack LeadDelivery-prd in us-east-1. There are: LeadDelivery-dev." in result.stderr


def test_who_may_not_list_stacks_is_asked_to_name_one(stage: Stage) -> None:
    """The operator policy lets people see their own stage's stacks only."""
    stage.failures["DescribeStacks"] = "AccessDenied"
    result = stage.run("find", "a@b.co")
    assert result.exit_code == 4
    assert "--stage" in result.stderr


def test_a_missing_right_names_the_action_and_the_policy(stage: Stage) -> None:
    """So that the reader knows what to ask for."""
    stage.failures["GetItem"] = "AccessDeniedException"
    result = stage.run("find", "a@b.co")
    assert result.exit_code == 4
    assert "dynamodb:GetItem" in result.stderr
    assert "arn:aws:iam::123456789012:policy/operators" in result.stderr


def test_stage_and_stack_together_are_refused(stage: Stage) -> None:
    """One of the two would be ignored."""
    result = stage.run("--stage", "prod", "find", "a@b.co", "--stack", "LeadDelivery-dev")
    assert result.exit_code == 2
    assert "--stack and --stage" in result.stderr


def test_the_local_run_is_found_from_a_folder_inside_the_project(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People work in sub-folders; the user's profile must not matter."""
    write_local_run(tmp_path, stage)
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    result = stage.run("version", "--local")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "LeadDelivery-dev · local run · http://127.0.0.1:4566\n"


def test_without_a_local_run_nothing_reaches_aws(stage: Stage) -> None:
    """A lead that was meant for the sandbox would be a real one."""
    result = stage.run("--local", "find", "a@b.co")
    assert result.exit_code == 4
    assert "make dev" in result.stderr
    assert stage.calls == []


@pytest.mark.parametrize(
    "changed", [{"endpointUrl": "https://sqs.us-east-1.amazonaws.com"}, {"endpointUrl": None}, {"outputs": 3}]
)
def test_a_local_runs_file_that_leads_elsewhere_is_refused(
    stage: Stage, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """Neither AWS nor another machine may be taken for the local run."""
    write_local_run(tmp_path, stage, **changed)
    result = stage.run("--local", "find", "a@b.co")
    assert result.exit_code == 1
    assert "run.json" in result.stderr
    assert stage.calls == []


def test_a_local_run_that_has_ended_is_said(stage: Stage, tmp_path: Path) -> None:
    """A killed run leaves its file."""
    from botocore.exceptions import EndpointConnectionError

    def refuse(_: Any) -> dict[str, Any]:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    write_local_run(tmp_path, stage)
    stage.answers["GetItem"] = refuse
    result = stage.run("--local", "find", "a@b.co")
    assert result.exit_code == 4
    assert "make dev" in result.stderr


def test_the_page_lists_the_hosts_that_leadctl_calls() -> None:
    """A firewall's or a proxy's owner opens those and no others."""
    page = (PROJECT / "docs/company.md").read_text("utf-8")
    [row] = re.findall(r"^\| leadctl \| (.*?);", page, re.MULTILINE)
    sources = "".join(file.read_text("utf-8") for file in (PROJECT / "leadctl").rglob("*.py"))
    services = set(re.findall(r'client\((?:session, None, )?"(\w+)"', sources))
    session = boto3.Session(region_name="eu-central-1")
    called = {session.client(service).meta.endpoint_url for service in services}
    assert called == {f"https://{name}.eu-central-1.amazonaws.com" for name in re.findall(r"`(.+?)`", row)}
