"""What values a setting may take, in code and in words."""

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from deliver_leads.contract import DEFAULTABLE_FIELDS

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_UP_TO_A_YEAR = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365)
LOG_RETENTION_DAYS = (*_UP_TO_A_YEAR, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


@dataclass(frozen=True)
class Rule:
    """One kind of value.

    `must_be` completes the sentence "… must be …". `from_text` turns what `-c` gives (always text) into
    the JSON value it stands for, or leaves it as it is. `typed` turns an accepted value into the field's.
    """

    must_be: str
    accepts: Callable[[object], bool]
    from_text: Callable[[str], object] = lambda text: text
    typed: Callable[..., object] = lambda value: value

    def read(self, value: object, *, from_command_line: bool) -> object:
        """The typed value. Raises `ValueError` when the value isn't accepted; its text is `must_be`."""
        if from_command_line and isinstance(value, str):
            value = self.from_text(value)
        if not self.accepts(value):
            raise ValueError(self.must_be)
        return self.typed(value)


def whole_number(least: int, most: int, unit: str) -> Rule:
    """A whole number in a range, both ends included."""
    return Rule(
        f"a whole number of {unit} from {least} to {most}",
        lambda value: _is_whole(value) and least <= value <= most,  # type: ignore[operator]
        _number_or_text,
    )


def whole_number_or_off(least: int, most: int, unit: str) -> Rule:
    """A whole number in a range, both ends included, or 0."""
    return Rule(
        f"0 for never, or a whole number of {unit} from {least} to {most}",
        lambda value: _is_whole(value) and (value == 0 or least <= value <= most),  # type: ignore[operator]
        _number_or_text,
    )


def one_of(choices: Sequence[int], unit: str) -> Rule:
    """One of some whole numbers."""
    return Rule(
        f"one of these numbers of {unit}: {', '.join(map(str, choices))}",
        lambda value: _is_whole(value) and value in choices,
        _number_or_text,
    )


def one_text_of(choices: Sequence[str]) -> Rule:
    """One of some texts."""
    return Rule(
        f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices, typed=str
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number_or_text(text: str) -> object:
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_url(value: object) -> bool:
    if not isinstance(value, str) or re.search(r"\s", value):
        return False
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    if not host or url.query or url.fragment or url.username is not None:
        return False
    return url.scheme == "https" or (url.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_lead_defaults(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        key in DEFAULTABLE_FIELDS and isinstance(text, str) and text.strip() for key, text in value.items()
    )


def _is_sources(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(source, str) and re.fullmatch(r"[A-Za-z0-9._/-]{1,256}", source) for source in value
    )


def _is_mappings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(mapping, Mapping) for mapping in value)


def _is_list_of(pattern: str) -> Callable[[object], bool]:
    """Whether it is a list of texts that fit, none of them twice."""
    return lambda value: (
        isinstance(value, list)
        and all(isinstance(text, str) and re.fullmatch(pattern, text) for text in value)
        and len(set(value)) == len(value)
    )


def _listed(text: str) -> object:
    return [part.strip() for part in text.split(",")] if text else []


def _is_text_like(pattern: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _is_table_name_or_empty(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"([A-Za-z0-9_.-]{3,255})?", value))


YES_OR_NO = Rule(
    "true or false",
    lambda value: isinstance(value, bool),
    lambda text: {"true": True, "false": False}.get(text, text),
)
URL = Rule(
    "an https URL without user, query or fragment (http for a loopback address only)",
    _is_url,
    typed=lambda value: value.rstrip("/"),
)
LEAD_DEFAULTS = Rule(
    f"an object of texts, with keys among {', '.join(DEFAULTABLE_FIELDS)}",
    _is_lead_defaults,
    _json_or_text,
    MappingProxyType,
)
EVENT_SOURCES = Rule(
    "a list of EventBridge sources of 1 to 256 letters, digits and . _ / - (with commas on the command line)",
    _is_sources,
    _listed,
    tuple,
)
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
EVENT_BUS = Rule(
    "the name or the ARN of an event bus that exists, or empty",
    _is_text_like(r"(arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}|"),
)
MAPPINGS = Rule("a list of objects, one for each mapping", _is_mappings, _json_or_text, tuple)
TOPICS = Rule(
    "a list of ARNs of standard SNS topics, each once (with commas on the command line)",
    _is_list_of(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"),
    _listed,
    tuple,
)
ACCOUNTS = Rule(
    "a list of AWS account ids, texts of 12 digits, each once (with commas on the command line)",
    _is_list_of(r"[0-9]{12}"),
    _listed,
    tuple,
)
# https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
ORGANIZATION = Rule(
    "the id of an organization, o- and 10 to 32 letters or digits, or empty",
    _is_text_like(r"(o-[a-z0-9]{10,32})?"),
)
EMAILS = Rule(
    "a list of e-mail addresses, each once (with commas on the command line)",
    _is_list_of(r"[^@\s,]+@[^@\s,]+"),
    _listed,
    tuple,
)
RECIPIENTS = Rule(
    "a list of e-mail addresses and domains, each once (with commas on the command line)",
    _is_list_of(r"([^@\s,]+@)?[^@\s,]+\.[^@\s,.]+"),
    _listed,
    lambda value: tuple(text.lower() for text in value),
)
TOPIC_ARN_OR_EMPTY = Rule(
    "the ARN of an SNS topic (arn:aws:sns:<region>:<account>:<name>, not FIFO), or empty",
    _is_text_like(r"(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?"),
)
ADDRESS_OF_A_PAGE = Rule("a URL or a path, without spaces and #", _is_text_like(r"[^\s#]{1,300}"))
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE_NAME_OR_EMPTY = Rule(
    "the name of a DynamoDB table (3 to 255 letters, digits and _ . -), or empty", _is_table_name_or_empty
)
