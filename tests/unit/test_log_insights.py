"""The stand-in for CloudWatch's log queries answers as CloudWatch does."""

import pytest

from tests.log_insights import QueryError, flatten, run

LINES = [
    flatten({"message": "attempt", "outcome": "rejected", "reason": "no name", "list": ["x", "y"]}),
    flatten({"message": "attempt", "outcome": "retry", "reason": "no answer", "delay_s": 30}),
    flatten({"message": "attempt", "outcome": "Rejected", "reason": "no name"}),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('filter outcome = "retry"', 1),
        ('filter outcome != "retry"', 2),
        ("filter ispresent(delay_s)", 1),
        ("filter not ispresent(delay_s)", 2),
        ('filter outcome not in ["retry", "rejected"]', 1),
        ('filter tolower(outcome) in ["rejected"] and reason = "no name"', 2),
        ('filter list.1 = "y"', 1),
        ("stats count(*) as n by reason | sort n desc | limit 1", 1),
    ],
)
def test_a_query_s_rows_are_those_that_cloudwatch_finds(query: str, found: int) -> None:
    """Of the commands and conditions that the project's queries are made of."""
    assert len(run(query, LINES)[1]) == found


def test_a_query_that_is_not_known_is_refused() -> None:
    """Rather than answered wrongly."""
    with pytest.raises(QueryError):
        run("parse @message '*' as x", LINES)
