"""7Targets' credentials: tried before they are stored, never shown, never on a command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local.sandbox.server import LeadsApiSandbox
from tests.leadctl.conftest import Stage

GOOD = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "user_identifier": "ops@example.com",
}


@pytest.fixture
def api(stage: Stage) -> Iterator[LeadsApiSandbox]:
    """The sandbox, whose token endpoint the function's settings name."""
    with LeadsApiSandbox() as sandbox:
        stage.function_settings["TOKEN_URL"] = f"{sandbox.url}/oauth2/token"
        yield sandbox


def stored(stage: Stage) -> dict[str, str]:
    """What the secret holds."""
    text = boto3.client("secretsmanager").get_secret_value(SecretId=stage.outputs["SecretName"])[
        "SecretString"
    ]
    found: dict[str, str] = json.loads(text)
    return found


def test_credentials_from_stdin_are_tried_and_stored(stage: Stage, api: LeadsApiSandbox) -> None:
    """And not shown."""
    result = stage.run("credentials", "set", "--file", "-", "--yes", stdin=json.dumps(GOOD))
    assert result.exit_code == 0, result.stderr
    assert stored(stage) == GOOD
    assert "AWSPREVIOUS" in result.stdout
    assert GOOD["client_secret"] not in result.output


def test_refused_credentials_overwrite_nothing(stage: Stage, api: LeadsApiSandbox) -> None:
    """The stage goes on with those that work."""
    stage.run("credentials", "set", "--file", "-", "--yes", stdin=json.dumps(GOOD))
    Path("new.json").write_text(json.dumps(GOOD | {"client_secret": "wrong-one"}), "utf-8")
    result = stage.run("credentials", "set", "--file", "new.json", "--yes")
    assert result.exit_code == 3
    assert "client_id or client_secret is wrong" in result.stderr
    assert "wrong-one" not in result.output
    assert stored(stage) == GOOD


def test_one_field_alone_is_changed(stage: Stage, api: LeadsApiSandbox) -> None:
    """As a password manager prints it: without JSON, with a line break."""
    stage.run("credentials", "set", "--file", "-", "--yes", stdin=json.dumps(GOOD))
    words = ("credentials", "set", "user_identifier", "--file", "-", "--yes")
    assert stage.run(*words, stdin="new@example.com\n").exit_code == 0
    assert stored(stage) == GOOD | {"user_identifier": "new@example.com"}


def test_one_field_alone_takes_a_right_that_operators_lack(stage: Stage, api: LeadsApiSandbox) -> None:
    """The sentence doesn't send them to the policy that leaves it out."""
    stage.failures["GetSecretValue"] = "AccessDeniedException"
    result = stage.run("credentials", "set", "user_identifier", "--file", "-", "--yes", stdin="x")
    assert result.exit_code == 4
    assert "secretsmanager:GetSecretValue" in result.stderr
    assert "leaves it out on purpose" in result.stderr


@pytest.mark.parametrize("value", ["REPLACE_ME", "", "sécret", "two\nlines"])
def test_what_the_function_would_refuse_is_refused(stage: Stage, api: LeadsApiSandbox, value: str) -> None:
    """Before anybody is asked."""
    given = json.dumps(GOOD | {"user_identifier": value})
    result = stage.run("credentials", "set", "--file", "-", "--yes", stdin=given)
    assert result.exit_code == 3
    assert "user_identifier can't be used" in result.stderr
    assert stored(stage)["client_id"] == "REPLACE_ME"


def test_a_file_with_a_byte_order_mark_is_read(stage: Stage, api: LeadsApiSandbox, tmp_path: Path) -> None:
    """Windows' editors write one, and the stored secret may have one, too."""
    (tmp_path / "credentials.json").write_text("\ufeff" + json.dumps(GOOD), "utf-8")
    given = ("credentials", "set", "--file", str(tmp_path / "credentials.json"), "--yes")
    assert stage.run(*given).exit_code == 0
    assert stored(stage) == GOOD
    boto3.client("secretsmanager").put_secret_value(
        SecretId=stage.outputs["SecretName"], SecretString="\ufeff" + json.dumps(GOOD)
    )
    one = ("credentials", "set", "user_identifier", "--file", "-", "--yes")
    assert stage.run(*one, stdin="\ufeffnew@example.com").exit_code == 0
    assert stored(stage) == GOOD | {"user_identifier": "new@example.com"}


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"client_id": "x"}', '{"client_id": 1}'])
def test_a_file_that_is_not_the_three_is_a_usage_error(stage: Stage, text: str) -> None:
    """Half of a secret would block every lead."""
    assert stage.run("credentials", "set", "--file", "-", "--yes", stdin=text).exit_code == 2


def test_a_token_endpoint_that_cannot_be_asked_stores_nothing(stage: Stage) -> None:
    """Untried credentials are no better than wrong ones."""
    result = stage.run("credentials", "set", "--file", "-", "--yes", stdin=json.dumps(GOOD))
    assert result.exit_code == 1
    assert "can't be asked" in result.stderr
    assert stored(stage)["client_id"] == "REPLACE_ME"


def test_a_dry_run_tries_them_and_stores_nothing(stage: Stage, api: LeadsApiSandbox) -> None:
    """So that a rotation can be prepared."""
    result = stage.run("credentials", "set", "--file", "-", "--dry-run", stdin=json.dumps(GOOD))
    assert result.exit_code == 0
    assert "The token endpoint takes them." in result.stderr
    assert stored(stage)["client_id"] == "REPLACE_ME"
