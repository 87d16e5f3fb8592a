"""The problems of a mapping that can't be used, found before anything is built."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from deliver_leads.contract import LEAD_FIELDS, MANDATORY_FIELDS
from deliver_leads.event.lead import FIELD_CHECKS, Operation
from infra.config import ConfigError, DeploymentConfig
from infra.mapping_rules import mapping_problems
from sim.synthesis import synthesise
from tests.foreign_events import mappings

GOOD: dict[str, Any] = {
    "name": "crm",
    "pattern": {"source": ["their.crm"], "detail": {"kind": ["person", 1, True, None]}},
    "operation": "create",
    "fields": {"email": "detail.mail", "name": "detail.who"},
    "constants": {"assistantEmail": "sam@example.net"},
}


def problems_of(**other: Any) -> list[str]:
    """The problems of the good mapping with these parts instead; a part that is None is left out."""
    changed = {key: value for key, value in (GOOD | other).items() if value is not None}
    return list(mapping_problems([changed], []))


def test_the_worked_examples_are_good() -> None:
    """Each alone and all together: they can be copied as they are."""
    assert list(mapping_problems(mappings(), [])) == []


def test_the_mapping_that_the_documents_explain_is_good() -> None:
    """It is the first one that anybody copies."""
    document = (Path(__file__).parents[2] / "docs/events/mappings.md").read_text("utf-8")
    explained = json.loads(document.split("```json")[1].split("```")[0])
    assert list(mapping_problems([explained], [])) == []


def test_the_good_mapping_is_good() -> None:
    """So the problems in the other tests come from their changes."""
    assert problems_of() == []


def fields(**more: object) -> dict[str, Any]:
    """The good mapping's fields and these."""
    return {"fields": GOOD["fields"] | more}


def constants(**more: object) -> dict[str, Any]:
    """The good mapping's constants and these."""
    return {"constants": GOOD["constants"] | more}


def pattern(source: object, **more: object) -> dict[str, Any]:
    """A pattern for this source."""
    return {"pattern": {"source": source, **more}}


def detail(pattern_of_it: object) -> dict[str, Any]:
    """A pattern with this for the detail."""
    return pattern(["x"], detail=pattern_of_it)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"patern": {}}, "patern is not known; did you mean pattern?"),
        (
            {"operation": "upsert"},
            "operation is 'upsert', but must be one of create, update, stop_followup, ignore",
        ),
        ({"operation": "ignore", "constants": None}, "fields and constants can't be given, because an event"),
        ({"operation": ["create"]}, "operation is ['create'], but must be one of create"),
        ({"pattern": None}, 'pattern must be an object with a "source"'),
        ({"pattern": {"detail-type": ["x"]}}, 'pattern must be an object with a "source"'),
        (pattern("x"), "pattern.source must be a list of texts"),
        (pattern([]), "pattern.source must be a list of texts"),
        (pattern([{"prefix": "x"}]), "pattern.source must be a list of texts"),
        (pattern(["7targets-lead-delivery"]), 'pattern.source has "7targets-lead-delivery", but the integr'),
        (pattern(["x"], detailtype=["y"]), "pattern.detailtype is not known; did you mean detail-type?"),
        (detail({"a": "b"}), "pattern.detail.a must be a list of exact values"),
        (detail({"a": []}), "pattern.detail.a must be a list of exact values"),
        (detail({}), "pattern.detail must be a list of exact values"),
        (detail({"a": [1.5]}), "pattern.detail.a must be a list of exact values: texts, whole numbers"),
        (detail({"a": [{"exists": True}]}), "pattern.detail.a must be a list of exact values"),
        (detail({"a": {"prefix": ["y"]}}), 'pattern.detail.a has "prefix", but only values'),
        (detail({"$or": [{"a": [1]}]}), 'pattern.detail has "$or"'),
        (
            detail({"a.b": ["y"]}),
            'pattern.detail has "a.b", but only values may be given, under names without ',
        ),
        ({"fields": None}, "fields must be an object of JMESPath expressions"),
        (
            {"constants": ["x"]},
            "fields must be an object of JMESPath expressions, and constants one of texts",
        ),
        (fields(phon="detail.tel"), "fields.phon is no field of a lead; did you mean phone?"),
        (fields(phone=7), "fields.phone must be a JMESPath expression"),
        (fields(phone="detail.[tel"), "fields.phone can't be read as JMESPath: "),
        (fields(phone=""), "fields.phone can't be read as JMESPath: "),
        (
            fields(phone="detail.all[].to_strng(tel)"),
            "fields.phone calls to_strng(), which there isn't; did you mean to_string?",
        ),
        (fields(phone="join(detail.tels)"), "fields.phone calls join() with 1 arguments, but it takes 2"),
        (fields(id="detail.id"), "fields.id can't be given for a create"),
        (
            {"fields": {"email": "detail.mail"}},
            "name is in neither fields nor constants, but every event needs it",
        ),
        (
            {"constants": None},
            "assistantEmail is in neither fields nor constants, but every event needs it, or a",
        ),
        (constants(name="x"), "name is in fields and in constants"),
        (constants(sorce="x"), "constants.sorce can't be a constant; did you mean source?"),
        (constants(source=" "), "constants.source must be a text"),
        (constants(source=7), "constants.source must be a text"),
        (constants(assistantEmail="(sam@example.net"), "constants.assistantEmail must be an e-mail address"),
    ],
)
def test_what_is_wrong_is_reported_in_a_sentence(other: dict[str, Any], sentence: str) -> None:
    """One sentence for one mistake, with the mapping's name."""
    (found,) = problems_of(**other)
    assert found.startswith(f'mapping "crm": {sentence}')


@pytest.mark.parametrize("name", ["my crm", None, "", "x" * 65, 7])
def test_a_name_that_could_not_be_logged_is_reported(name: object) -> None:
    """Reasons repeat it, and reasons are logged."""
    (found,) = problems_of(name=name)
    assert found.startswith("mappings[0].name must be of up to 64 letters, digits and . _ -, because")


@pytest.mark.parametrize("address", ["someone@example.com"])
def test_one_address_for_all_leads_is_reported(address: str) -> None:
    """All of them would be one lead."""
    found = problems_of(fields={"name": "detail.who"}, constants=GOOD["constants"] | {"email": address})
    assert found == ['mapping "crm": constants.email can\'t be a constant']


def test_a_default_assistant_is_enough() -> None:
    """The stage's leadDefaults fill it, as for events in our own form."""
    without = {key: value for key, value in GOOD.items() if key != "constants"}
    assert list(mapping_problems([without], ["assistantEmail"])) == []
    assert list(mapping_problems([without], ["source"])) != []


def test_a_key_of_the_source_s_own_may_be_mapped() -> None:
    """It is no field of the lead, but of the event."""
    assert problems_of(fields=GOOD["fields"] | {"idempotencyKey": "detail.id"}) == []


def test_an_id_may_be_mapped_for_an_update() -> None:
    """7Targets takes it there."""
    assert problems_of(operation="update", fields=GOOD["fields"] | {"id": "detail.id"}) == []


def test_events_can_be_left_out_and_a_field_s_absence_asked_for() -> None:
    """Test leads and moved meetings are no leads, and nobody has to look at them."""
    left_out = {"fields": None, "constants": None, "operation": "ignore"}
    assert problems_of(**left_out) == []
    assert problems_of(**detail({"is_test": [False, {"exists": False}]})) == []


@pytest.mark.parametrize("function", ["first_name", "last_name", "from_json", "lower", "trim"])
def test_our_own_functions_are_known(function: str) -> None:
    """As those of JMESPath, with the number of what they take."""
    assert problems_of(**fields(lastName=f"{function}(detail.who)")) == []
    (found,) = problems_of(**fields(lastName=f"{function}()"))
    assert f"calls {function}() with 0 arguments, but it takes 1" in found


def test_two_mappings_of_one_name_or_one_pattern_are_reported() -> None:
    """A reason's name must lead to one mapping; the second of two equal patterns would never be used."""
    assert list(mapping_problems([GOOD, GOOD | {"pattern": {"source": ["x"]}}], [])) == [
        'mappings has two mappings named "crm"; each needs a name of its own'
    ]
    assert list(mapping_problems([GOOD, GOOD | {"name": "other"}], [])) == [
        'mapping "other": has the pattern of "crm", which comes first and so takes all'
    ]


def test_all_problems_are_told_at_once_and_with_the_other_settings_problems() -> None:
    """By the configuration, as synth reads it."""
    settings = {"mappings": [GOOD | {"operation": "x", "fields": {}}], "batchSize": 11}
    with pytest.raises(ConfigError) as caught:
        DeploymentConfig.read("dev", settings, {})
    assert [problem.split(" is ")[0] for problem in caught.value.problems] == [
        'mapping "crm": operation',
        'mapping "crm": name',
        'mapping "crm": email',
        "batchingWindowSeconds",
    ]


def test_the_fields_and_operations_are_the_function_s() -> None:
    """The rules can't import its checks, only the contract."""
    assert set(FIELD_CHECKS) <= set(LEAD_FIELDS)
    assert set(MANDATORY_FIELDS) <= set(FIELD_CHECKS)
    assert problems_of(operation=str(Operation.STOP_FOLLOWUP)) == []


def test_twenty_mappings_fit_into_the_function_s_environment() -> None:
    """Lambda allows 4 KB in all, which uncompressed would be full after three."""
    twenty = [each | {"name": f"{each['name']}-{n}"} for n in range(7) for each in mappings()][:20]
    for n, each in enumerate(twenty):
        each["pattern"] = {"source": [f"source-{n * 7919}"]}
    assert synthesise(mappings=json.dumps(twenty)).delivery["Resources"]


@pytest.mark.shipped
def test_an_environment_that_lambda_would_refuse_is_reported_with_the_bytes() -> None:
    """At synth, not in the middle of a deployment."""
    draw = random.Random(1)  # noqa: S311 - what can't be compressed
    big = GOOD | {"constants": GOOD["constants"] | {"context": f"{draw.getrandbits(16_000):x}"}}
    with pytest.raises(ConfigError) as caught:
        synthesise(mappings=json.dumps([big]))
    (problem,) = caught.value.problems
    assert problem.startswith("the function's environment is ")
    assert "bytes larger than the 4096 that Lambda allows; of it mappings takes" in problem
