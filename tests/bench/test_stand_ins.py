"""The benchmarks' servers and processes, with this interpreter and the function's sources."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.dynamodb import Tables, UnknownOperationError, identity
from bench.leads import Leads, records
from bench.processes import Child, ChildFailedError, environment
from bench.servers import NotTakenError, Servers

pytestmark = pytest.mark.shipped

PROJECT = Path(__file__).resolve().parents[2]
KEY = {"lead": {"S": "hash"}, "event": {"S": "lead"}}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One process for all tests."""
    with Servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


def test_an_item_is_inserted_once_and_then_changed_by_statements() -> None:
    """The ledger does so for all leads of a batch in one call."""
    tables = Tables()
    insert = {
        "Statement": "INSERT INTO \"ledger\" VALUE {'lead': ?, 'event': ?, 'journal': ?}",
        "Parameters": [*KEY.values(), {"L": [{"N": "1"}]}],
    }
    change = {
        "Statement": 'UPDATE "ledger" SET "events" = ? REMOVE "journal" WHERE "lead" = ? AND "event" = ?',
        "Parameters": [{"L": []}, *KEY.values()],
    }
    answer = tables.answer("BatchExecuteStatement", {"Statements": [insert, insert, change]})
    written = {"TableName": "ledger"}
    assert answer == {"Responses": [written, {"Error": {"Code": "DuplicateItem"}}, written]}
    assert tables.items == {identity(KEY): {**KEY, "events": {"L": []}}}
    with pytest.raises(UnknownOperationError):
        tables.answer("CreateTable", {})


def test_function_floor_and_peer_deliver_over_tls(servers: Servers) -> None:
    """Each in a process of its own, two leads each."""
    leads, lambdas = Leads("smoke", 1), PROJECT / "lambdas"
    variables = environment(servers, lambdas, servers.api_urls[0], 2)
    python = Path(sys.executable)
    for what in ("function", "peer"):
        with Child(python, what, servers, variables) as child:
            assert child.start.cpu_ms > 0
            assert child.run(records=records(leads.take(2))).wall_ms > 0
            assert child.memory_mib > 10
    with Child(python, "floor", servers, variables) as child:
        for threads, writes in ((1, False), (2, True)):
            child.run(url=servers.api_urls[0], leads=leads.take(2), threads=threads, writes=writes)
    servers.require_all_taken()


def test_a_lead_that_was_not_sent_is_noticed(servers: Servers) -> None:
    """A duplicate is no failure of the function, but would make it look fast."""
    leads = Leads("twice", 1).take(1)
    variables = environment(servers, PROJECT / "lambdas", servers.api_urls[0], 2)
    with Child(Path(sys.executable), "function", servers, variables) as child:
        child.run(records=records(leads))
        child.run(records=records(leads))
    with pytest.raises(NotTakenError):
        servers.require_all_taken()


def test_a_lead_that_comes_back_is_noticed(servers: Servers) -> None:
    """Nobody listens where the leads API should be."""
    variables = environment(servers, PROJECT / "lambdas", "https://127.0.0.1:9", 2)
    with (
        Child(Path(sys.executable), "function", servers, variables) as child,
        pytest.raises(ChildFailedError, match="1 leads were not delivered"),
    ):
        child.run(records=records(Leads("back", 1).take(1)))
