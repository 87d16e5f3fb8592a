"""CloudWatch Logs' filter patterns; the emulator lets everything through one of JSON."""

import json
import re
from collections.abc import Callable
from typing import Any

_TERM = r'\??(?:"[^"]*"|\S+)'
_CONDITION = r'\$\.(\w+) (=|!=|>|IS) (?:"([^"]*)"|(\S+))'


def read_filter(pattern: str) -> Callable[[str], bool]:
    """A CloudWatch Logs filter pattern, as far as the documents use them.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    if not pattern.startswith("{"):
        terms = [(term.startswith("?"), term.lstrip("?").strip('"')) for term in re.findall(_TERM, pattern)]
        any_of = [term for optional, term in terms if optional]
        all_of = [term for optional, term in terms if not optional]
        return lambda line: (
            all(term in line for term in all_of) and (not any_of or any(term in line for term in any_of))
        )
    conditions = [_read_condition(part.strip()) for part in pattern.strip("{} ").split("&&")]
    return lambda line: line.startswith("{") and all(holds(json.loads(line)) for holds in conditions)


def _read_condition(text: str) -> Callable[[dict[str, Any]], bool]:
    found = re.fullmatch(_CONDITION, text)
    if found is None:
        raise ValueError(f"{text} is no condition of a filter pattern that is known here")
    name, operator, quoted, bare = found.groups()
    if operator == ">":
        return lambda line: name in line and line[name] > float(bare)
    if operator == "IS":
        return lambda line: line.get(name) is {"TRUE": True, "FALSE": False}[bare]
    if bare == "*":
        return lambda line: name in line
    return lambda line: name in line and (str(line[name]) == (quoted or bare)) is (operator == "=")
