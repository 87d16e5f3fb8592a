"""The documents for consumers of outcome events: examples, and rules to start from."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from deliver_leads.contract import OWN_EVENT_SOURCE, OutcomeDetailType

EVENTS = Path(__file__).parents[2] / "docs/events"
SCHEMA = json.loads((EVENTS / "outcome-event.schema.json").read_text("utf-8"))
BLOCKS = [
    json.loads(text)
    for text in re.findall(
        r"^```json\n(.*?)^```$", (EVENTS / "outcomes.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
]
EXAMPLES = {block["detail-type"]: block for block in BLOCKS if "detail" in block}
RULES = EVENTS / "outcome-rules.yaml"


def rules() -> dict[str, dict[str, Any]]:
    """The properties of the template's rules, by logical id."""
    # Here, because it takes most of a second, in each process that collects tests.
    from cfnlint import decode  # type: ignore[import-untyped]

    template, problems = decode.decode(str(RULES))
    assert problems == []
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Events::Rule"
    }


def render(transformer: dict[str, Any], event: dict[str, Any]) -> str:
    """The template with its variables, as EventBridge fills it: what it inserts is not escaped.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    text: str = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        shown = value if isinstance(value, str) else json.dumps(value)
        text = re.sub(f"(?<=: )<{name}>", f'"{shown}"' if isinstance(value, str) else shown, text)
        text = text.replace(f"<{name}>", shown)
    return text


def test_there_is_a_valid_example_of_each_outcome_event() -> None:
    """A consumer builds on them before the first real one comes."""
    assert EXAMPLES.keys() == set(OutcomeDetailType)
    for example in EXAMPLES.values():
        Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(example)


@pytest.mark.shipped
def test_the_example_rules_pass_cfn_lint() -> None:
    """Neither an error nor a warning; in us-east-1, because API destinations aren't in every region."""
    from cfnlint.api import lint  # type: ignore[import-untyped]

    assert [str(match) for match in lint(RULES.read_text("utf-8"), regions=["us-east-1"])] == []


@pytest.mark.parametrize("rule", ["CrmRule", "ChatRule"])
def test_the_example_rules_match_outcome_events_only(rule: str) -> None:
    """A pattern with a misspelt word would match nothing, and say nothing."""
    pattern = rules()[rule]["EventPattern"]
    assert pattern["source"] == [OWN_EVENT_SOURCE]
    assert set(pattern["detail-type"]) <= set(OutcomeDetailType)
    assert set(pattern.get("detail", {})) <= set(SCHEMA["$defs"]["detail"]["required"])


@pytest.mark.parametrize("rule", ["CrmRule", "ChatRule"])
def test_the_example_rules_insert_what_every_event_has(rule: str) -> None:
    """A variable whose path doesn't exist is silently left out, and the JSON around it breaks."""
    [target] = rules()[rule]["Targets"]
    paths = target["InputTransformer"]["InputPathsMap"]
    known = {f"$.detail.{name}" for name in SCHEMA["$defs"]["detail"]["required"]}
    assert set(paths.values()) <= known | {"$.detail-type", "$.time"}
    assert set(re.findall(r"<(\w+)>", target["InputTransformer"]["InputTemplate"])) == set(paths)


@pytest.mark.parametrize("rule", ["CrmRule", "ChatRule"])
def test_the_example_rules_make_json_of_the_example_events(rule: str) -> None:
    """No value that they insert is null or breaks a string."""
    properties = rules()[rule]
    [target] = properties["Targets"]
    for detail_type in properties["EventPattern"]["detail-type"]:
        event = EXAMPLES[detail_type] | {"time": "2026-11-30T08:00:01Z"}
        made = json.loads(render(target["InputTransformer"], event))
        assert event["detail"]["outcomeId"] in made.values()
        assert "null" not in json.dumps(made)
