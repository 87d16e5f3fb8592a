"""Where a stage's settings come from, which file wins, and what the errors say."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from infra import settings_schema
from infra.bundling import PROJECT
from infra.config import SETTINGS, ConfigError, DeploymentConfig
from infra.stage_settings import FOLDER, check_place, stage_config
from tests.infra.test_config import ACCEPTED, WRONG

CHOICES = "-c stage=dev or -c stage=prod"


def read(folder: Path, **context: Any) -> DeploymentConfig:
    """The configuration with the files of a folder and these keys on the command line."""
    return stage_config({"stage": "dev", **context}, folder)


def problems(folder: Path, **context: Any) -> tuple[str, ...]:
    """The problems of a configuration that can't be used."""
    with pytest.raises(ConfigError) as caught:
        read(folder, **context)
    return caught.value.problems


def write(folder: Path, name: str, text: str) -> Path:
    """A settings file."""
    path = folder / name
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(("stage", "kept", "days"), [("dev", False, 14), ("prod", True, 90)])
def test_dev_and_prod_have_defaults(tmp_path: Path, stage: str, kept: bool, days: int) -> None:
    """They are used, too, where a file says nothing."""
    config = read(tmp_path, stage=stage, settings="")
    assert (config.keep_data, config.log_retention_days) == (kept, days)


def test_dev_needs_no_file(tmp_path: Path) -> None:
    """A newcomer's first synthesis needs no settings."""
    assert not read(tmp_path, stage="dev").keep_data


def test_prod_without_its_file_is_refused(tmp_path: Path) -> None:
    """From another clone it would lose its recipients, its mappings, even its ledger."""
    with pytest.raises(ConfigError, match=r"prod has no file settings/prod\.toml.*settings/example\.toml"):
        read(tmp_path, stage="prod")


def test_the_file_wins_over_the_stage_s_defaults_and_the_command_line_over_the_file(tmp_path: Path) -> None:
    """What it doesn't name keeps the default."""
    write(tmp_path, "prod.toml", "logRetentionDays = 7\nbatchSize = 3  # small\n")
    config = read(tmp_path, stage="prod", batchSize="4")
    assert (config.log_retention_days, config.batch_size, config.keep_data) == (7, 4, True)


def test_a_stage_of_another_name_is_one_that_has_a_file_and_keeps_its_data(tmp_path: Path) -> None:
    """Only a stage that says so may lose its leads with its stack."""
    write(tmp_path, "production-eu.toml", "")
    assert read(tmp_path, stage="production-eu").keep_data


def test_a_file_elsewhere_is_named_on_the_command_line(tmp_path: Path) -> None:
    """For example in a repository of one's own; the stage's file in the folder is not read then."""
    write(tmp_path, "dev.toml", "batchSize = 3")
    file = write(tmp_path, "ours.toml", "batchSize = 4")
    assert read(tmp_path, settings=str(file)).batch_size == 4
    assert read(tmp_path, settings="").batch_size == 10
    missing = tmp_path / "other.toml"
    assert problems(tmp_path, settings=str(missing)) == (f"there is no file {missing}",)


def test_a_mapping_may_be_a_file_beside_the_settings(tmp_path: Path) -> None:
    """As the worked examples are: JSON, which has null, and can be tried with the aws command line."""
    examples = PROJECT / "docs/events/mappings"
    (tmp_path / "crm.json").write_bytes((examples / "typeform.mapping.json").read_bytes())
    write(tmp_path, "dev.toml", 'mappings = ["crm.json"]')
    (mapping,) = read(tmp_path).mappings
    assert mapping["name"] == "typeform-demo"
    write(tmp_path, "dev.toml", 'mappings = ["crm.jsn", "dev.toml"]')
    missing, no_json = problems(tmp_path)
    assert missing == f"the mapping {tmp_path / 'crm.jsn'} can't be read: No such file or directory"
    assert no_json.startswith(f"the mapping {tmp_path / 'dev.toml'} is no JSON: ")


@pytest.mark.parametrize("content", [b"batchSize = ", b"batchSize = 1\nbatchSize = 2", b'source = "\xe9"'])
def test_a_file_that_is_no_toml_is_reported(tmp_path: Path, content: bytes) -> None:
    """With the line, as far as the reader knows it."""
    (tmp_path / "dev.toml").write_bytes(content)
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{tmp_path / 'dev.toml'} is no TOML in UTF-8: ")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    """Editors of Windows write one."""
    (tmp_path / "dev.toml").write_bytes(b"\xef\xbb\xbfbatchSize = 3")
    assert read(tmp_path).batch_size == 3


def test_a_folder_in_the_place_of_the_file_is_reported(tmp_path: Path) -> None:
    """`-c settings=` takes a file."""
    assert problems(tmp_path, settings=str(tmp_path)) == (f"{tmp_path} can't be read: Is a directory",)


def test_a_missing_stage_is_reported_with_the_choices(tmp_path: Path) -> None:
    """The one thing that has no default; the example and the local run's file are no stages."""
    for name in ("example", "local", "qa"):
        write(tmp_path, f"{name}.toml", "")
    with pytest.raises(ConfigError) as caught:
        stage_config({}, tmp_path)
    assert caught.value.problems == (f"stage is missing; give {CHOICES} or -c stage=qa",)


@pytest.mark.parametrize("stage", ["prd", "local", "../prod", 7, [], ""])
def test_an_unknown_stage_is_reported_with_the_choices(tmp_path: Path, stage: object) -> None:
    """A typo must not deploy something with all defaults."""
    problem, *_ = problems(tmp_path, stage=stage)
    assert problem.startswith(f"stage is {stage!r}, but must be given as {CHOICES}")
    assert problem.endswith("; another stage needs a file settings/<stage>.toml")
    assert ("did you mean prod?" in problem) is (stage in ("prd", "../prod"))


def test_an_unknown_setting_is_reported_with_its_file_and_a_suggestion(tmp_path: Path) -> None:
    """Else a typo would silently mean the default."""
    file = write(tmp_path, "dev.toml", "batchsize = 1")
    assert problems(tmp_path) == (f"batchsize (in {file}) is no setting; did you mean batchSize?",)


def test_an_unknown_key_on_the_command_line_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    """`-c` takes any key, and an unread one would silently do nothing."""
    assert problems(tmp_path, readTimeout="5", xyzzy="5") == (
        "readTimeout is no setting; did you mean readTimeoutSeconds?",
        "xyzzy is no setting",
    )


def test_who_still_has_settings_in_cdk_json_learns_where_they_belong(tmp_path: Path) -> None:
    """They were there in 0.1.0, and would silently be the defaults."""
    (problem,) = problems(tmp_path, stages={"dev": {"batchSize": 3}})
    assert problem == "stages in cdk.json isn't read: write a stage's settings into settings/<stage>.toml"


def test_who_asks_for_fifo_learns_why_there_is_none(tmp_path: Path) -> None:
    """A setting that is no longer known must not be taken for one that is misspelt."""
    why = "; docs/decisions/0005 says why, and how FIFO queues and topics connect"
    assert problems(tmp_path, fifo="true") == (f"fifo is no setting{why}",)


@pytest.mark.parametrize(
    "key",
    [
        "aws:cdk:bundling-stacks",
        "@aws-cdk/core:target-partitions",
        "aws-cdk:enableDiffNoFail",
        "availability-zones:account=123456789012:region=eu-west-1",
        "acknowledged-issue-numbers",
        "cli-telemetry",
    ],
)
def test_the_cdk_s_own_context_keys_are_let_through(tmp_path: Path, key: str) -> None:
    """They come from the CDK's command line, not from a person."""
    assert read(tmp_path, **{key: "x"}) == read(tmp_path)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    """Nobody wants to run synth once for each."""
    write(tmp_path, "dev.toml", "batchSize = 0\nmemory = 1")
    found = problems(tmp_path, tracing="yes", parkafterhours="1")
    names = [problem.split(" ")[0] for problem in found]
    assert names == ["parkafterhours", "memory", "batchSize", "tracing"]


VALIDATOR = Draft7Validator(settings_schema.schema())
HERE = {"CDK_DEFAULT_ACCOUNT": "111122223333", "CDK_DEFAULT_REGION": "eu-west-1"}


def test_a_stage_is_not_deployed_into_another_account_or_region_than_its_own() -> None:
    """With the wrong profile, prod would go elsewhere."""
    config = DeploymentConfig(stage="prod", account="444455556666", region="eu-central-1")
    with pytest.raises(ConfigError) as caught:
        check_place(config, HERE)
    assert caught.value.problems == (
        "prod belongs to account 444455556666, but this shell is in 111122223333: "
        "take credentials of that account",
        "prod belongs to region eu-central-1, but this shell is in eu-west-1: export AWS_REGION=eu-central-1",
    )


@pytest.mark.parametrize("environment", [HERE, {}])
@pytest.mark.parametrize("place", [{"account": "111122223333", "region": "eu-west-1"}, {}])
def test_a_stage_is_deployed_where_it_belongs(environment: dict[str, str], place: dict[str, str]) -> None:
    """Without credentials nothing is deployed, so a synthesis needs none."""
    check_place(DeploymentConfig(stage="prod", **place), environment)  # type: ignore[arg-type]


def run_app(context: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run app.py as the CDK's command line does."""
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=PROJECT,
        env={**os.environ, "CDK_CONTEXT_JSON": context, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.shipped
@pytest.mark.parametrize(
    ("context", "problem"),
    [
        ('"batchSise": "5"', "batchSise is no setting; did you mean batchSize?"),
        (
            '"account": "444455556666"',
            "dev belongs to account 444455556666, but this shell is in 111122223333: "
            "take credentials of that account",
        ),
    ],
)
def test_synth_ends_with_the_problems_and_no_traceback(context: str, problem: str) -> None:
    """A person reads this at a terminal."""
    done = run_app(f'{{"stage": "dev", "settings": "", {context}}}', **HERE)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The settings can't be used:",
        f"  - {problem}",
        "A stage's settings are in settings/<stage>.toml; -c <setting>=<value> overrides one.",
    ]


def test_the_example_can_be_used_as_it_is_and_with_each_comment_taken_off() -> None:
    """It is what a user copies."""
    example = (FOLDER / "example.toml").read_text("utf-8")
    whole = re.sub(r"^# (?=\[|\w+ = )", "", example, flags=re.MULTILINE)
    for text in (example, whole):
        settings = tomllib.loads(text)
        VALIDATOR.validate(settings)
        settings.pop("mappings", None)
        assert DeploymentConfig.read("prod", settings, {}).account == "123456789012"
    for mapping in tomllib.loads(whole)["mappings"]:
        assert (FOLDER / mapping).is_file()


def test_the_schema_for_editors_is_the_settings_own() -> None:
    """`python -m infra.settings_schema` writes it."""
    assert settings_schema.PATH.read_text("utf-8") == settings_schema.text()


@pytest.mark.parametrize(("name", "text", "_field", "_value"), ACCEPTED)
def test_an_editor_accepts_what_a_synthesis_accepts(
    name: str, text: str, _field: str, _value: object
) -> None:
    """A red line under a right value would be worse than none."""
    value = SETTINGS[name][1].from_text(text)
    assert VALIDATOR.is_valid({name: value})


@pytest.mark.parametrize(("name", "value", "_must_be"), WRONG)
def test_an_editor_underlines_what_a_synthesis_refuses(name: str, value: object, _must_be: str) -> None:
    """But for what a pattern can't say of a URL or an address, and the paths of mappings, which are files."""
    by_code_only = {
        ("leadsApiUrl", "http://api.example.com"),
        ("leadsApiUrl", "https://api.example.com:port"),
        ("tokenUrl", "https://[/token"),
        ("mappings", "['crm']"),
        ("leadDefaults", "{'assistantEmail': 'sam(at)example.net'}"),
    }
    assert VALIDATOR.is_valid({name: value}) is ((name, str(value)) in by_code_only)
