"""What mappings can call beyond JMESPath's own functions. Imported only where there are mappings.

Each takes null, too, and then gives null, as a path does that finds nothing.
"""

import json
from typing import Any

import jmespath  # type: ignore[import-untyped]
from jmespath.functions import Functions, signature  # type: ignore[import-untyped]

from .address import trimmed
from .full_name import split_name

_TEXT_OR_NULL = {"types": ["string", "null"]}


class MappingFunctions(Functions):  # type: ignore[misc]
    """JMESPath's functions and ours, by `_func_` and the name."""

    @signature(_TEXT_OR_NULL)  # type: ignore[untyped-decorator]
    def _func_first_name(self, whole: str | None) -> str | None:
        return split_name(whole)[0] if whole else None

    @signature(_TEXT_OR_NULL)  # type: ignore[untyped-decorator]
    def _func_last_name(self, whole: str | None) -> str | None:
        return split_name(whole)[1] or None if whole else None

    @signature(_TEXT_OR_NULL)  # type: ignore[untyped-decorator]
    def _func_from_json(self, text: str | None) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(text.lstrip("\ufeff")) if text else None

    @signature(_TEXT_OR_NULL)  # type: ignore[untyped-decorator]
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @signature(_TEXT_OR_NULL)  # type: ignore[untyped-decorator]
    def _func_trim(self, text: str | None) -> str | None:
        return None if text is None else trimmed(text)


_OPTIONS = jmespath.Options(custom_functions=MappingFunctions())


class Path:
    """A compiled expression. Raises `jmespath.exceptions.JMESPathError` for a text that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._compiled = jmespath.compile(text)

    def find(self, event: Any) -> Any:  # noqa: ANN401 - any JSON, and JMESPath can give more than JSON
        """What the expression finds in the event. Raises whatever a function raises."""
        return self._compiled.search(event, options=_OPTIONS)
