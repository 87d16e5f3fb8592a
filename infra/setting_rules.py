"""What values a setting may take: in code, in words, and as a JSON Schema for editors."""

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from deliver_leads.contract import DEFAULTABLE_FIELDS
from deliver_leads.event.address import AddressError, normal_address

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
_UP_TO_A_YEAR = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365)
LOG_RETENTION_DAYS = (*_UP_TO_A_YEAR, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


@dataclass(frozen=True)
class Rule:
    """One kind of value.

    `must_be` completes the sentence "… must be …". `schema` accepts at least what `accepts` does. `from_text`
    turns what `-c` gives (always text) into the value it stands for, or leaves it as it is. `typed` turns an
    accepted value into the field's, which is accepted again.
    """

    must_be: str
    accepts: Callable[[object], bool]
    schema: Mapping[str, Any]
    from_text: Callable[[str], object] = lambda text: text
    typed: Callable[..., object] = lambda value: value

    def read(self, value: object) -> object:
        """The typed value. Raises `ValueError` when the value isn't accepted; its text is `must_be`."""
        if not self.accepts(value):
            raise ValueError(self.must_be)
        return self.typed(value)


def whole_number(least: int, most: int, unit: str) -> Rule:
    """A whole number in a range, both ends included."""
    return Rule(
        f"a whole number of {unit} from {least} to {most}",
        lambda value: _is_whole(value) and least <= value <= most,  # type: ignore[operator]
        {"type": "integer", "minimum": least, "maximum": most},
        _number_or_text,
    )


def whole_number_or_off(least: int, most: int, unit: str) -> Rule:
    """A whole number in a range, both ends included, or 0."""
    return Rule(
        f"0 for never, or a whole number of {unit} from {least} to {most}",
        lambda value: _is_whole(value) and (value == 0 or least <= value <= most),  # type: ignore[operator]
        {"type": "integer", "anyOf": [{"const": 0}, {"minimum": least, "maximum": most}]},
        _number_or_text,
    )


def one_of(choices: Sequence[int], unit: str) -> Rule:
    """One of some whole numbers."""
    return Rule(
        f"one of these numbers of {unit}: {', '.join(map(str, choices))}",
        lambda value: _is_whole(value) and value in choices,
        {"enum": list(choices)},
        _number_or_text,
    )


def one_text_of(choices: Sequence[str]) -> Rule:
    """One of some texts."""
    return Rule(
        f"one of {', '.join(choices)}",
        lambda value: isinstance(value, str) and value in choices,
        {"enum": list(choices)},
        typed=str,
    )


def _text_like(must_be: str, pattern: str) -> Rule:
    """A text that fits as a whole."""
    return Rule(
        must_be,
        lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value)),
        {"type": "string", "pattern": f"^({pattern})$"},
    )


def _list_of(must_be: str, pattern: str) -> Rule:
    """A list of texts that fit as a whole, each once."""
    return Rule(
        f"a list of {must_be} (with commas on the command line)",
        lambda value: (
            isinstance(value, list | tuple)
            and all(isinstance(text, str) and re.fullmatch(pattern, text) for text in value)
            and len(set(value)) == len(value)
        ),
        {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": f"^({pattern})$"}},
        lambda text: [part.strip() for part in text.split(",")] if text else [],
        tuple,
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


def is_text_for(field: str, value: object) -> bool:
    """Whether each lead's field may have it, as the function judges the assistant's address."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        return field != "assistantEmail" or bool(normal_address(value))
    except AddressError:
        return False


def _is_lead_defaults(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        key in DEFAULTABLE_FIELDS and is_text_for(key, text) for key, text in value.items()
    )


def _is_mappings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(mapping, Mapping) for mapping in value)


YES_OR_NO = Rule(
    "true or false",
    lambda value: isinstance(value, bool),
    {"type": "boolean"},
    lambda text: {"true": True, "false": False}.get(text, text),
)
URL = Rule(
    "an https URL without user, query or fragment (http for a loopback address only)",
    _is_url,
    {"type": "string", "pattern": "^https?://[^\\s?#@]+$"},
    typed=lambda value: value.rstrip("/"),
)
LEAD_DEFAULTS = Rule(
    f"an object of texts, with keys among {', '.join(DEFAULTABLE_FIELDS)}; assistantEmail an e-mail address",
    _is_lead_defaults,
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {field: {"type": "string", "pattern": "\\S"} for field in DEFAULTABLE_FIELDS},
    },
    _json_or_text,
    MappingProxyType,
)
EVENT_SOURCES = _list_of(
    "EventBridge sources of 1 to 256 letters, digits and . _ / -, each once", r"[A-Za-z0-9._/-]{1,256}"
)
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
EVENT_BUS = _text_like(
    "the name or the ARN of an event bus that exists, or empty",
    r"(arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}|",
)
MAPPINGS = Rule(
    "a list of objects, one for each mapping; in a settings file also paths of JSON files with one each",
    _is_mappings,
    {"type": "array", "items": {"type": ["object", "string"]}},
    _json_or_text,
    tuple,
)
TOPICS = _list_of(
    "ARNs of standard SNS topics, each once", r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}"
)
ACCOUNT = _text_like("an AWS account id, a text of 12 digits, or empty", r"([0-9]{12})?")
ACCOUNTS = _list_of("AWS account ids, texts of 12 digits, each once", r"[0-9]{12}")
REGION = _text_like(
    "the name of an AWS region, such as eu-central-1, or empty", r"([a-z]{2,}(-[a-z]+)+-[0-9]{1,2})?"
)
# https://docs.aws.amazon.com/organizations/latest/APIReference/API_Organization.html
ORGANIZATION = _text_like(
    "the id of an organization, o- and 10 to 32 letters or digits, or empty", r"(o-[a-z0-9]{10,32})?"
)
EMAILS = _list_of("e-mail addresses, each once", r"[^@\s,]+@[^@\s,]+")
# A domain as the function compares it.
RECIPIENTS = _list_of(
    "e-mail addresses and domains, each once, an international domain as xn--",
    r"([^@\s,]+@)?([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+",
)
TOPIC_ARN_OR_EMPTY = _text_like(
    "the ARN of an SNS topic (arn:aws:sns:<region>:<account>:<name>, not FIFO), or empty",
    r"(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?",
)
ADDRESS_OF_A_PAGE = _text_like("a URL or a path, without spaces and #", r"[^\s#]{1,300}")
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE_NAME_OR_EMPTY = _text_like(
    "the name of a DynamoDB table (3 to 255 letters, digits and _ . -), or empty",
    r"([A-Za-z0-9_.-]{3,255})?",
)
# CloudFormation names roles, queues and tables after the stack, so the stacks' names carry the prefix.
NAME_PREFIX = _text_like(
    "up to 40 letters, digits and -, with a letter first, or empty", r"([A-Za-z][A-Za-z0-9-]{0,39})?"
)
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_TAG_KEY, _TAG_VALUE = r"(?!aws:)[\w .:/=+@-]{1,128}", r"[\w .:/=+@-]{0,256}"
TAGS = Rule(
    "an object of texts, with keys of up to 128 and values of up to 256 letters, digits, spaces and "
    "_ . : / = + - @",
    lambda value: (
        isinstance(value, Mapping)
        and len(value) <= 50
        and all(
            re.fullmatch(_TAG_KEY, key) and isinstance(text, str) and re.fullmatch(_TAG_VALUE, text)
            for key, text in value.items()
        )
    ),
    {
        "type": "object",
        "maxProperties": 50,
        "propertyNames": {"pattern": f"^({_TAG_KEY})$"},
        "additionalProperties": {"type": "string", "pattern": f"^({_TAG_VALUE})$"},
    },
    _json_or_text,
    MappingProxyType,
)
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
ROLE_PATH = _text_like("a path that begins and ends with /, or empty", r"(/|/[!-.0-~][!-~]{0,509}/)?")
PERMISSIONS_BOUNDARY = _text_like(
    "the name, with its path, or the ARN of a managed policy, or empty",
    r"(arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/)?[A-Za-z0-9+=,.@_/-]{1,512}|",
)
# A key's own ARN, not an alias', because a role's right must name the key.
KEY_ARN_OR_EMPTY = _text_like(
    "the ARN of a KMS key (arn:aws:kms:<region>:<account>:key/<id>), or empty",
    r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,64})?",
)
SUBNETS = _list_of("ids of subnets, each once", r"subnet-[0-9a-f]{8,17}")
SECURITY_GROUPS = _list_of("ids of security groups, each once", r"sg-[0-9a-f]{8,17}")
# Without user and password, which would stand in the function's environment.
PROXY = _text_like(
    "the URL of an HTTP proxy (http://<host>:<port>), or empty", r"(http://[A-Za-z0-9.-]{1,253}:[0-9]{1,5})?"
)
HOSTS = _list_of("hosts, or ends of hosts, each once", r"[A-Za-z0-9.-]{1,253}")
FILE_OR_EMPTY = _text_like(
    "the path of a file of PEM certificates, from the settings file's folder, or empty", r"[^\x00]{0,1024}"
)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on a word that isn't known: the closest one that is, or nothing."""
    if word.lower() == "fifo":
        return "; docs/decisions/0005 says why, and how FIFO queues and topics connect"
    by_lower_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
    return f"; did you mean {by_lower_case[close[0]]}?" if close else ""
