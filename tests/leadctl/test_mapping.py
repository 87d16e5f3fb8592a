"""What a mapping makes of an event, tried before anything is deployed and without AWS."""

import json
from pathlib import Path

import pytest

from deliver_leads.contract import pack_mappings
from tests.foreign_events import EXAMPLES, FOLDER, IGNORED, STOP, load, mappings
from tests.leadctl.conftest import Stage


def mapping_of(example: str) -> str:
    """The file of an example's mapping."""
    return str(FOLDER / f"{example}.mapping.json")


def event_of(example: str) -> str:
    """The file of its event."""
    return str(FOLDER / f"{example}.event.json")


@pytest.mark.parametrize("example", [*EXAMPLES, STOP])
def test_a_mapping_shows_the_lead_that_comes_of_an_event(stage: Stage, example: str) -> None:
    """As it would be sent, in JSON; no call of AWS."""
    result = stage.run("mapping", "try", mapping_of(example), event_of(example))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == load(example, "lead")
    assert f'Read by mapping "{load(example, "mapping")["name"]}".' in result.stderr
    assert stage.operations() == []


@pytest.mark.parametrize("example", IGNORED)
def test_an_event_that_is_left_out_is_said_to_be_that(stage: Stage, example: str) -> None:
    """It is no mistake."""
    result = stage.run("mapping", "try", mapping_of(example), event_of(example))
    assert result.exit_code == 0
    assert result.stdout.startswith("No lead, and nothing is parked: mapping ")


def test_an_event_that_would_be_parked_is_shown_with_every_reason(stage: Stage, tmp_path: Path) -> None:
    """In the words of the dead-letter queue."""
    event = load("typeform", "event")
    event["detail"]["form_response"]["form_id"] = "other"
    (tmp_path / "event.json").write_text(json.dumps(event), "utf-8")
    result = stage.run("mapping", "try", mapping_of("typeform"), str(tmp_path / "event.json"))
    assert result.exit_code == 3
    assert (
        '\n  mapping "typeform-demo": takes events of this source, but pattern.detail.form_response.form_id '
        "doesn't fit this one" in result.stderr
    )


def test_a_file_of_another_encoding_is_said_to_be_that(stage: Stage, tmp_path: Path) -> None:
    """PowerShell writes UTF-16, which is JSON all the same."""
    (tmp_path / "event.json").write_bytes(json.dumps(load("typeform", "event")).encode("utf-16"))
    result = stage.run("mapping", "try", mapping_of("typeform"), str(tmp_path / "event.json"))
    assert (result.exit_code, result.stderr.strip()) == (
        3,
        "Nothing was done, because the file isn't text in UTF-8.",
    )


def test_a_webhook_s_own_body_is_taken_as_the_detail(stage: Stage, tmp_path: Path) -> None:
    """It is what a form's documentation shows; a Windows editor has saved it."""
    body = "\ufeff" + json.dumps(load("jotform", "event")["detail"])
    (tmp_path / "body.json").write_text(body, "utf-8")
    result = stage.run("mapping", "try", mapping_of("jotform"), str(tmp_path / "body.json"))
    assert json.loads(result.stdout) == load("jotform", "lead")
    assert "it is taken as the detail of one from com.example.jotform." in result.stderr


def test_a_stage_s_settings_bring_all_its_mappings_and_defaults(stage: Stage, tmp_path: Path) -> None:
    """The first that fits is taken, as in the function; a default fills what the mapping leaves out."""
    mapping = load("typeform", "mapping")
    del mapping["constants"]["assistantEmail"]
    (tmp_path / "typeform.json").write_text(json.dumps(mapping), "utf-8")
    settings = f'mappings = ["{mapping_of("jotform")}", "typeform.json"]\n'
    (tmp_path / "dev.toml").write_text(f'{settings}[leadDefaults]\nassistantEmail = "a@b.co"\n', "utf-8")
    result = stage.run("mapping", "try", str(tmp_path / "dev.toml"), event_of("typeform"), "-o", "json")
    assert json.loads(result.stdout)["lead"] == load("typeform", "lead")["lead"] | {
        "assistantEmail": "a@b.co"
    }


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ("{", "isn't JSON: reading it fails in line 1, column 2."),
        ("{}", "A mapping has no 'operation'."),
        ('{"name": "x", "pattern": {}, "operation": "make"}', "A mapping can't be used: 'make'"),
        (
            '{"name": "x", "pattern": {}, "operation": "create", "fields": {"name": "["}}',
            "A mapping can't be used",
        ),
        ('["x"]', "A mapping can't be used"),
    ],
)
def test_what_is_no_mapping_is_a_sentence(stage: Stage, tmp_path: Path, mapping: str, sentence: str) -> None:
    """`cdk synth` finds more."""
    (tmp_path / "mapping.json").write_text(mapping, "utf-8")
    result = stage.run("mapping", "try", str(tmp_path / "mapping.json"), event_of("jotform"))
    assert result.exit_code == 3
    assert sentence in result.stderr


def test_a_file_that_isn_t_there_is_a_sentence(stage: Stage) -> None:
    """As in other commands."""
    result = stage.run("mapping", "try", "nowhere.json", event_of("jotform"))
    assert (result.exit_code, result.stderr) == (1, "nowhere.json: No such file or directory.\n")


def test_other_commands_read_events_with_the_deployed_mappings(stage: Stage) -> None:
    """A parked event of others is found by its person, and one can be sent."""
    stage.function_settings["MAPPINGS"] = pack_mappings(mappings())
    stage.park(load("jotform", "event"))
    found = stage.run("find", "Jane Doe <jane.doe@EXAMPLE.com>", "-o", "json")
    assert len(json.loads(found.stdout)["parked"]) == 1
    assert stage.run("send", event_of("jotform"), "--yes").exit_code == 0
    assert [json.loads(each["Body"]) for each in stage.take()] == [load("jotform", "event")]
