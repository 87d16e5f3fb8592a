"""The ledger's writes for several leads in one call, by PartiQL's batch statements.

Each statement has its own condition and its own result, so that one lead's failure is not another's. What is
not known to be carried out, the ledger writes alone: this is only the faster way.
docs/decisions/0014-writes-of-a-batch-in-one-call.md says why.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# AWS's bound for the statements of a BatchExecuteStatement.
LARGEST_JOINT_WRITE = 25

Item = Mapping[str, Any]
"""Attributes in DynamoDB's notation."""


class JointWrites:
    """Safe under threads, because a boto3 client is."""

    def __init__(self, dynamodb: Any, table: str) -> None:  # noqa: ANN401 - a boto3 DynamoDB client
        self._dynamodb = dynamodb
        self._table = table

    def insert(self, items: Sequence[Item]) -> list[bool]:
        """Adds items, each only if there is none with its key; returns which are known to be added."""
        return self._run([self._insert(item) for item in items])

    def update(self, changes: Sequence[tuple[Item, Item, Sequence[str]]]) -> list[bool]:
        """For each: the values that the item must have, those that are set, and the attributes that go.

        Returns which are known to be changed.
        """
        return self._run([self._update(*change) for change in changes])

    def _insert(self, item: Item) -> dict[str, Any]:
        values = ", ".join(f"'{name}': ?" for name in item)
        return {
            "Statement": f'INSERT INTO "{self._table}" VALUE {{{values}}}',
            "Parameters": list(item.values()),
        }

    def _update(self, wanted: Item, new: Item, gone: Sequence[str]) -> dict[str, Any]:
        steps = [f'SET "{name}" = ?' for name in new] + [f'REMOVE "{name}"' for name in gone]
        where = " AND ".join(f'"{name}" = ?' for name in wanted)
        return {
            "Statement": f'UPDATE "{self._table}" {" ".join(steps)} WHERE {where}',
            "Parameters": [*new.values(), *wanted.values()],
        }

    def _run(self, statements: list[dict[str, Any]]) -> list[bool]:
        """Never raises; the caller writes the others one by one."""
        try:
            answers = self._dynamodb.batch_execute_statement(Statements=statements)["Responses"]
            return ["Error" not in answer for _, answer in zip(statements, answers, strict=True)]
        except Exception:  # a bug of this way of writing must not harm a batch, either
            return [False] * len(statements)
