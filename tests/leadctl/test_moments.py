"""Lengths of time, as people read and type them."""

import click
import pytest

from leadctl.moments import Length, how_long


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (5400, "90 minutes"),
        (115_200, "32 hours"),
        (207_360, "2 days"),
    ],
)
def test_a_length_is_shown_in_a_unit_that_says_enough(seconds: float, shown: str) -> None:
    """ "1 day" would hide the other 23 hours."""
    assert how_long(seconds) == shown


def test_a_length_is_typed_with_its_unit() -> None:
    """A bare number could mean anything."""
    assert [Length().convert(text, None, None) for text in ("90s", "45m", "12h", "2d", "1w")] == [
        *(90, 2700, 43_200, 172_800, 604_800)
    ]
    for text in ("2", "d", "2 days", "-1d", "1.5h"):
        with pytest.raises(click.BadParameter):
            Length().convert(text, None, None)
