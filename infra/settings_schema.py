"""The settings' JSON Schema, by which an editor completes and checks `settings/<stage>.toml`.

python -m infra.settings_schema    writes settings/schema.json
"""

import json
from collections.abc import Mapping
from typing import Any

from .config import SETTINGS, DeploymentConfig
from .stage_settings import FOLDER

PATH = FOLDER / "schema.json"


def schema() -> dict[str, Any]:
    """Each setting with its values in words, its default and what an editor can check."""
    defaults = DeploymentConfig(stage="any")
    properties: dict[str, Any] = {}
    for name, (field_name, rule) in SETTINGS.items():
        default = getattr(defaults, field_name)
        shown = dict(default) if isinstance(default, Mapping) else default
        properties[name] = {"description": rule.must_be, "default": shown, **rule.schema}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of one stage",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
