"""The worked examples of docs/events/mappings: other people's events, their mappings and leads."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs/events/mappings"
EXAMPLES = (
    *("facebook-lead-ads", "salesforce", "typeform", "google-ads", "calendly-created", "hubspot-workflow"),
    *("shopify", "jotform"),
)
# Of a lead that is there already.
STOP = "calendly-canceled"
# What no lead comes of.
IGNORED = ("google-ads-test", "calendly-moved")


def load(example: str, part: str) -> dict[str, Any]:
    """A new copy of an example's event, mapping or lead."""
    content: dict[str, Any] = json.loads((FOLDER / f"{example}.{part}.json").read_text("utf-8"))
    return content


def mappings() -> list[dict[str, Any]]:
    """The setting `mappings` with all examples in it; what leaves out the rest of a source comes last."""
    return [load(example, "mapping") for example in (*EXAMPLES, STOP, *IGNORED)]
