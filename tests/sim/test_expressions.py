"""The evaluator of DynamoDB's expressions that the search relies on, held to moto and AWS's documents."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from mypy_boto3_dynamodb import DynamoDBClient

from sim.explore.core import Core
from sim.explore.history import History, Laboratory
from sim.explore.outside import Table
from sim.explore.schedule import Deviations
from sim.explore.worlds import CREATE, REFUSED, UNREADABLE, UPDATE, Before, World
from tests.ledger_table import TABLE, create_ledger_table

pytestmark = pytest.mark.simulation

KEY = {"lead": {"S": "hash"}, "event": {"S": "#lead"}}
PLACE = ("hash", "#lead")


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[DynamoDBClient]:
    """moto's DynamoDB with a table that has the ledger's keys."""
    with mock_aws():
        client = boto3.client(
            "dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        create_ledger_table(client)
        yield client


class BothTables(Table):
    """Our table beside moto's: each update goes to both, and both must answer and store the same."""

    def __init__(self, dynamodb: DynamoDBClient) -> None:
        super().__init__()
        self._dynamodb = dynamodb
        self.expressions: set[str] = set()

    def update_item(self, **request: Any) -> dict[str, Any]:
        before, keys = dict(self.items), request["Key"]
        ours = outcome(super().update_item, request)
        theirs = outcome(self._dynamodb.update_item, request)
        assert ours == theirs, request
        stored = self._dynamodb.get_item(TableName=TABLE, Key=keys).get("Item", {})
        assert self.items.get((keys["lead"]["S"], keys["event"]["S"]), {}) == stored, request
        self.expressions.add(request["UpdateExpression"])
        return Table(before).update_item(**request)


def outcome(call: Callable[..., Any], request: dict[str, Any]) -> tuple[str, Any]:
    """What a call answers, or the code of its error with the item that came along."""
    try:
        return "answered", call(**request).get("Attributes", {})
    except ClientError as error:
        return error.response["Error"]["Code"], error.response.get("Item", {})


def empty(dynamodb: DynamoDBClient) -> None:
    """Removes all items of moto's table."""
    for item in dynamodb.scan(TableName=TABLE)["Items"]:
        dynamodb.delete_item(TableName=TABLE, Key={name: item[name] for name in KEY})


@pytest.mark.parametrize(
    "deviations",
    [{}, *({number: option} for number in range(8) for option in (1, 3, 5))],
    ids=str,
)
def test_every_expression_of_the_ledger_is_evaluated_as_moto_evaluates_it(
    dynamodb: DynamoDBClient, deviations: dict[int, int]
) -> None:
    """The histories refuse, repeat and leave claims, and note events."""
    empty(dynamodb)
    world = World("both", (CREATE, UPDATE, REFUSED, UNREADABLE), Before.NOTHING)
    history = History(Laboratory(Core()), world, Deviations(deviations))
    table = BothTables(dynamodb)
    history.table = table
    history.run()
    assert history.judge.broken is None
    assert len(table.expressions) >= 2


NUMBERS = st.integers(-5, 5).map(lambda number: {"N": str(number)})
TEXTS = st.sampled_from(["", "a", "ab", "b", "é"]).map(lambda text: {"S": text})
LISTS = st.lists(NUMBERS | TEXTS, max_size=4).map(lambda values: {"L": values})
ITEMS = st.fixed_dictionaries(
    {}, optional={"tally": NUMBERS, "label": TEXTS, "journal": LISTS, "#until": NUMBERS}
)
SETS = st.sampled_from(
    [
        ("tally", "tally = :number"),
        ("label", "label = :text"),
        ("label", "label = if_not_exists(label, :text)"),
        ("journal", "journal = list_append(if_not_exists(journal, :empty), :entries)"),
        ("journal", "journal = list_append(:entries, if_not_exists(journal, :empty))"),
        ("twin", "twin = tally"),
        ("until", "#until = :number"),
    ]
)
REMOVALS = st.sampled_from(
    [("label", "label"), ("journal", "journal"), ("gone", "gone"), ("until", "#until")]
)
PLACEHOLDERS = {
    ":number": {"N": "3"},
    ":zero": {"N": "0"},
    ":text": {"S": "ab"},
    ":empty": {"L": []},
    ":entries": {"L": [{"S": "entry"}]},
}


@st.composite
def updates(draw: st.DrawFn) -> str:
    """An update expression of the shapes that a ledger uses, each attribute changed once."""
    used: set[str] = set()
    clauses = []
    for name, actions in (("SET", SETS), ("REMOVE", REMOVALS)):
        texts = []
        for attribute, text in draw(st.lists(actions, max_size=3)):
            if attribute not in used:
                used.add(attribute)
                texts.append(text)
        if texts:
            clauses.append(f"{name} {', '.join(texts)}")
    return " ".join(clauses) or "SET label = :text"


TESTS = st.sampled_from(
    [
        "attribute_exists(tally)",
        "attribute_not_exists(label)",
        "attribute_exists(journal[1])",
        "attribute_not_exists(journal[1])",
        "tally <= :number",
        "label = :text",
        "label <= :text",
        "#until > :zero",
    ]
)
OPERATORS = st.sampled_from([" AND ", " OR "])
# No pair of parentheses is redundant, because DynamoDB refuses that.
GROUPS = st.recursive(
    TESTS,
    lambda inner: st.tuples(inner, OPERATORS, inner).map(lambda parts: f"({''.join(parts)})"),
    max_leaves=4,
)
CONDITIONS = st.tuples(GROUPS, OPERATORS, GROUPS, OPERATORS, GROUPS).map("".join) | GROUPS


def request_of(update: str, condition: str | None) -> dict[str, Any]:
    """An UpdateItem with the placeholders that its expressions use, and no others."""
    text = f"{update} {condition or ''} "
    values = {name: value for name, value in PLACEHOLDERS.items() if re.search(rf"{name}\b", text)}
    request: dict[str, Any] = {
        "TableName": TABLE,
        "Key": KEY,
        "UpdateExpression": update,
        "ReturnValues": "ALL_OLD",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if values:
        request["ExpressionAttributeValues"] = values
    if "#until" in text:
        request["ExpressionAttributeNames"] = {"#until": "until"}
    if condition is not None:
        request["ConditionExpression"] = condition
    return request


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=ITEMS | st.none(), update=updates(), condition=st.none() | CONDITIONS)
def test_generated_expressions_are_evaluated_as_moto_evaluates_them(
    dynamodb: DynamoDBClient, item: dict[str, Any] | None, update: str, condition: str | None
) -> None:
    """The answer, the error's code and the item that is stored are the same."""
    empty(dynamodb)
    table = Table()
    if item is not None:
        stored = {name.removeprefix("#"): value for name, value in item.items()} | KEY
        dynamodb.put_item(TableName=TABLE, Item=stored)
        table.items[PLACE] = stored
    request = request_of(update, condition)
    assert outcome(table.update_item, request) == outcome(dynamodb.update_item, request)
    assert table.items.get(PLACE, {}) == dynamodb.get_item(TableName=TABLE, Key=KEY).get("Item", {})


class TestAsAwsDocumentsIt:
    """Where moto is laxer than AWS."""

    def refused(self, update: str, **more: Any) -> str:
        with pytest.raises(ClientError) as caught:
            Table({PLACE: {"journal": {"L": [{"N": "1"}]}}}).update_item(
                Key=KEY, UpdateExpression=update, **more
            )
        assert caught.value.response["Error"]["Code"] == "ValidationException"
        return caught.value.response["Error"]["Message"]

    def test_a_placeholder_that_no_expression_uses_is_refused(self) -> None:
        values = {":a": {"N": "1"}, ":b": {"N": "2"}}
        assert ":b" in self.refused("SET tally = :a", ExpressionAttributeValues=values)

    def test_two_paths_that_overlap_are_refused(self) -> None:
        values = {":a": {"L": [{"N": "1"}]}}
        text = "SET journal = :a REMOVE journal"
        assert "overlap" in self.refused(text, ExpressionAttributeValues=values)

    def test_an_attribute_of_the_primary_key_is_not_changed(self) -> None:
        assert "part of the key" in self.refused(
            "SET lead = :a", ExpressionAttributeValues={":a": {"S": "x"}}
        )

    def test_a_clause_may_stand_once_only(self) -> None:
        assert "twice" in self.refused("REMOVE a REMOVE b")

    def test_every_operand_sees_the_item_as_it_was_before(self) -> None:
        table = Table({PLACE: {"a": {"N": "1"}, "b": {"N": "2"}}})
        table.update_item(Key=KEY, UpdateExpression="SET a = b, b = a")
        assert table.items[PLACE] == {"a": {"N": "2"}, "b": {"N": "1"}, **KEY}

    def test_an_item_that_was_returned_is_not_changed_by_the_next_update(self) -> None:
        table = Table({PLACE: {"journal": {"L": []}}})
        append = {
            "Key": KEY,
            "UpdateExpression": "SET journal = list_append(journal, :more)",
            "ExpressionAttributeValues": {":more": {"L": [{"N": "1"}]}},
        }
        table.update_item(**append)
        old = table.update_item(**append, ReturnValues="ALL_OLD")["Attributes"]
        table.update_item(**append)
        assert old["journal"] == {"L": [{"N": "1"}]}
