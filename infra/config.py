"""What can be set per stage, checked and typed, wherever it comes from.

Everything that is wrong is found before anything is built, and reported together.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from deliver_leads.contract import (
    LAST_RECEIVE,
    LATE_FACTOR,
    LONGEST_RETRY_AFTER_S,
    RESERVE_S,
    OutcomeEventsMode,
)

from .mapping_rules import mapping_problems
from .setting_rules import (
    ACCOUNT,
    ACCOUNTS,
    ADDRESS_OF_A_PAGE,
    EMAILS,
    EVENT_BUS,
    EVENT_SOURCES,
    FILE_OR_EMPTY,
    HOSTS,
    KEY_ARN_OR_EMPTY,
    LEAD_DEFAULTS,
    LOG_RETENTION_DAYS,
    MAPPINGS,
    NAME_PREFIX,
    ORGANIZATION,
    PERMISSIONS_BOUNDARY,
    PROXY,
    RECIPIENTS,
    REGION,
    ROLE_PATH,
    SECURITY_GROUPS,
    SUBNETS,
    TABLE_NAME_OR_EMPTY,
    TAGS,
    TOPIC_ARN_OR_EMPTY,
    TOPICS,
    URL,
    YES_OR_NO,
    Rule,
    one_of,
    one_text_of,
    whole_number,
    whole_number_or_off,
)

# Of CloudFormation's 128 for a stack's name, as part of which stage and prefix stand.
_NAME_CHARACTERS = 100


class ConfigError(Exception):
    """The settings can't be used. `problems`: a sentence for each one that was found."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  - ".join(("The settings can't be used:", *self.problems)))


def _setting(default: object, rule: Rule) -> Any:  # noqa: ANN401 - each field says its type
    return field(default_factory=lambda: default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class DeploymentConfig:
    """The settings of one stage. A field's name has its unit in it, and in camelCase it is the setting's.

    Raises `ConfigError` for values that aren't accepted or contradict each other.
    """

    stage: str
    account: str = _setting("", ACCOUNT)
    region: str = _setting("", REGION)
    leads_api: str = _setting("7targets", one_text_of(["7targets", "sandbox"]))
    sandbox_endpoint: str = _setting("functionUrl", one_text_of(["functionUrl", "httpApi"]))
    leads_api_url: str = _setting("https://api.7targets.com", URL)
    token_url: str = _setting("https://7targets-prod.auth.us-east-1.amazoncognito.com/oauth2/token", URL)
    lead_defaults: Mapping[str, str] = _setting({}, LEAD_DEFAULTS)
    only_recipients: tuple[str, ...] = _setting((), RECIPIENTS)
    event_sources: tuple[str, ...] = _setting((), EVENT_SOURCES)
    event_bus_name: str = _setting("", EVENT_BUS)
    mappings: tuple[Mapping[str, Any], ...] = _setting((), MAPPINGS)
    sns_topic_arns: tuple[str, ...] = _setting((), TOPICS)
    producer_accounts: tuple[str, ...] = _setting((), ACCOUNTS)
    producer_organization: str = _setting("", ORGANIZATION)
    outcome_events: str = _setting("off", one_text_of(list(OutcomeEventsMode)))
    batch_size: int = _setting(10, whole_number(1, 100, "messages"))
    batching_window_seconds: int = _setting(0, whole_number(0, 300, "seconds"))
    maximum_concurrency: int = _setting(5, whole_number(2, 1000, "concurrent invocations"))
    parallel_calls: int = _setting(10, whole_number(1, 32, "threads"))
    calls_per_second: int = _setting(0, whole_number(0, 100_000, "calls"))
    memory_megabytes: int = _setting(1024, whole_number(256, 10240, "MB"))
    function_timeout_seconds: int = _setting(150, whole_number(60, 900, "seconds"))
    connect_timeout_seconds: int = _setting(3, whole_number(1, 10, "seconds"))
    read_timeout_seconds: int = _setting(30, whole_number(5, 60, "seconds"))
    # How long 7Targets may still be at work on a request that the function gave up on, and 30 s for clocks
    # that differ; nothing else is sent for that lead until then. That 7Targets needs no more than the minute
    # that is left by default is an assumption: it documents no such time.
    settling_time_seconds: int = _setting(90, whole_number(5, 600, "seconds"))
    # More than a day, so that what a nightly job repeats is within it.
    duplicate_window_hours: int = _setting(36, whole_number(1, 336, "hours"))
    # More than SQS keeps a message in both queues one after another, so that a redrive is recognised.
    ledger_days: int = _setting(90, whole_number(31, 400, "days"))
    update_grace_minutes: int = _setting(60, whole_number(31, 1440, "minutes"))
    retry_base_delay_seconds: int = _setting(30, whole_number(1, 300, "seconds"))
    retry_max_delay_seconds: int = _setting(900, whole_number(60, 3600, "seconds"))
    # 312 hours are 13 days. The day that is left of the lead queue's 14 holds the longest delay and the
    # visibility timeout several times, so that a lead is parked with its reason before SQS drops it.
    park_after_hours: int = _setting(96, whole_number(4, 312, "hours"))
    log_retention_days: int = _setting(30, one_of(LOG_RETENTION_DAYS, "days"))
    tracing: bool = _setting(False, YES_OR_NO)
    alarm_emails: tuple[str, ...] = _setting((), EMAILS)
    alarm_topic_arn: str = _setting("", TOPIC_ARN_OR_EMPTY)
    oldest_message_alarm_minutes: int = _setting(60, whole_number(5, 1440, "minutes"))
    # An alarm looks back seven days at most.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    no_leads_alarm_hours: int = _setting(0, whole_number_or_off(1, 168, "hours"))
    runbook_url: str = _setting("docs/runbook.md", ADDRESS_OF_A_PAGE)
    # Each check needs an access token, which costs 7Targets USD 2.25 per 1,000 (Amazon Cognito).
    check_every_minutes: int = _setting(0, whole_number_or_off(5, 1440, "minutes"))
    # Only a stage that says so loses its data with its stack.
    keep_data: bool = _setting(True, YES_OR_NO)
    ledger_table_name: str = _setting("", TABLE_NAME_OR_EMPTY)
    name_prefix: str = _setting("", NAME_PREFIX)
    tags: Mapping[str, str] = _setting({}, TAGS)
    role_path: str = _setting("", ROLE_PATH)
    permissions_boundary: str = _setting("", PERMISSIONS_BOUNDARY)
    kms_key_arn: str = _setting("", KEY_ARN_OR_EMPTY)
    subnet_ids: tuple[str, ...] = _setting((), SUBNETS)
    security_group_ids: tuple[str, ...] = _setting((), SECURITY_GROUPS)
    proxy_url: str = _setting("", PROXY)
    no_proxy: tuple[str, ...] = _setting((), HOSTS)
    certificate_authority_file: str = _setting("", FILE_OR_EMPTY)

    @property
    def visibility_timeout_seconds(self) -> int:
        """The lead queue's visibility timeout: six times as long as a message may be away before its answer.

        AWS advises six function timeouts and one batching window at least. With six of each, the time for
        which a message stays away shows whether the function crashed (`EventRecord.was_only_unwritten`).
        At most 7,200 s by the ranges above; SQS allows 43,200 s.
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        """
        return 6 * (self.function_timeout_seconds + self.batching_window_seconds)

    @property
    def receives_until_parked(self) -> int:
        """How often a lead is received until `parkAfterHours`, at most, as far as delays last that long.

        The first delays double. Then jitter takes off up to half of the longest delay, for a day; after that
        the delay while the circuit breaker is open is the shortest, two thirds of the longest. One that waits
        for its turn at a limited API is received less often, or at most 600 times.
        """
        longest_s, parked_s = self.retry_max_delay_seconds, self.park_after_hours * 3600
        first_s = min(parked_s, 86_400)
        doubling = (longest_s // self.retry_base_delay_seconds).bit_length()
        return doubling + round(first_s / (longest_s / 2) + (parked_s - first_s) / (longest_s * 2 / 3))

    @property
    def longest_delay_seconds(self) -> int:
        """The longest time between two attempts at one lead: 3,600 to 14,400 s by the ranges above."""
        return max(LATE_FACTOR * self.retry_max_delay_seconds, LONGEST_RETRY_AFTER_S)

    def __post_init__(self) -> None:
        problems = []
        if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", self.stage):
            problems.append(
                f"stage is {self.stage!r}, but must be of up to 100 letters, digits and -: "
                "stacks are named after it"
            )
        for name, (field_name, rule) in SETTINGS.items():
            value = getattr(self, field_name)
            try:
                object.__setattr__(self, field_name, rule.read(value))
            except ValueError as error:
                problems.append(f"{name} is {value!r}, but must be {error}")
        if found := problems or list(_contradictions(self)):
            raise ConfigError(found)

    @classmethod
    def read(cls, stage: str, settings: Mapping[str, object], command_line: Mapping[str, object]) -> Self:
        """The stage's configuration; a value of the command line is a text, and wins over the setting.

        Both have the settings' names for keys, and no other keys. Raises `ConfigError`.
        """
        values: dict[str, Any] = {SETTINGS[name][0]: value for name, value in settings.items()}
        for name, value in command_line.items():
            field_name, rule = SETTINGS[name]
            values[field_name] = rule.from_text(value) if isinstance(value, str) else value
        return cls(stage=stage, **values)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


# The field and the rule of each setting.
SETTINGS: Mapping[str, tuple[str, Rule]] = {
    _camel_case(f.name): (f.name, f.metadata["rule"])
    for f in dataclasses.fields(DeploymentConfig)
    if "rule" in f.metadata
}


def _contradictions(config: DeploymentConfig) -> Iterator[str]:
    """A sentence for each contradiction between settings that are each in range."""
    yield from mapping_problems(config.mappings, config.lead_defaults)
    yield from _contradictions_of_others(config)
    needed_s = 3 * (config.connect_timeout_seconds + config.read_timeout_seconds) + RESERVE_S
    if config.function_timeout_seconds < needed_s:
        yield (
            f"functionTimeoutSeconds is {config.function_timeout_seconds}, but must be at least {needed_s}: "
            f"3 x (connectTimeoutSeconds + readTimeoutSeconds) + {RESERVE_S}, so that a token, "
            "two calls and what is noted of them fit"
        )
    if config.settling_time_seconds < config.read_timeout_seconds:
        yield (
            f"settlingTimeSeconds is {config.settling_time_seconds}, but must not be less than "
            f"readTimeoutSeconds, {config.read_timeout_seconds}, since what is answered late "
            "takes effect late"
        )
    if 0 < config.calls_per_second < config.maximum_concurrency:
        yield (
            f"callsPerSecond is {config.calls_per_second}, but must be 0 or at least maximumConcurrency, "
            f"{config.maximum_concurrency}, because each of so many invocations at a time may make a call in "
            "the same second"
        )
    # 61 s are a second for rounding, and 30 s for the clock that writes and for the one that reads.
    freed_s = 5 * (config.function_timeout_seconds + config.batching_window_seconds) - 61
    if config.settling_time_seconds > freed_s:
        yield (
            f"settlingTimeSeconds is {config.settling_time_seconds}, but must be at most {freed_s}: "
            "5 x (functionTimeoutSeconds + batchingWindowSeconds) - 61, so that after a crash the lead is "
            "free when its message comes back, because the crash isn't counted otherwise"
        )
    if config.batch_size > 10 and not config.batching_window_seconds:
        yield f"batchingWindowSeconds is 0, but AWS wants at least 1 with a batchSize of {config.batch_size}"
    if config.retry_max_delay_seconds < config.retry_base_delay_seconds:
        yield (
            f"retryMaxDelaySeconds is {config.retry_max_delay_seconds}, but must not be less than "
            f"retryBaseDelaySeconds, {config.retry_base_delay_seconds}"
        )
    elif config.receives_until_parked > LAST_RECEIVE:
        yield (
            f"retryMaxDelaySeconds is {config.retry_max_delay_seconds}, too short for parkAfterHours, "
            f"{config.park_after_hours}: with the circuit breaker open, a lead may be received "
            f"{config.receives_until_parked:,} times until then, but is parked at receive {LAST_RECEIVE}, "
            "since SQS would move it away without a reason at 1,000"
        )
    # The search showed that a shorter one parks updates whose create is still to come back after a crash.
    returns_after_s = max(config.retry_max_delay_seconds, config.visibility_timeout_seconds)
    outlasted_s = config.retry_max_delay_seconds + returns_after_s
    if config.update_grace_minutes * 60 <= outlasted_s:
        yield (
            f"updateGraceMinutes is {config.update_grace_minutes}, but must be more than "
            f"{outlasted_s / 60:g}: retryMaxDelaySeconds and once more that or the queue's visibility "
            f"timeout ({config.visibility_timeout_seconds} s, 6 x (functionTimeoutSeconds + "
            "batchingWindowSeconds)), so that an update outlasts two tries of its create"
        )


def _contradictions_of_others(config: DeploymentConfig) -> Iterator[str]:
    """Contradictions in the settings of what is around the stage: names, networks, buses, topics."""
    if (characters := len(config.name_prefix + config.stage)) > _NAME_CHARACTERS:
        yield (
            f"namePrefix and stage have {characters} characters together, but must have no more than "
            f"{_NAME_CHARACTERS}: stacks are named after them"
        )
    if bool(config.subnet_ids) != bool(config.security_group_ids):
        yield "subnetIds and securityGroupIds must be given together: Lambda wants both in a VPC"
    if config.no_proxy and not config.proxy_url:
        yield "noProxy is given without proxyUrl, so that there is no proxy to go around"
    if config.event_bus_name and (config.producer_accounts or config.producer_organization):
        yield (
            "producerAccounts and producerOrganization open the stage's own bus, but eventBusName is "
            f"{config.event_bus_name!r}: who may publish there is up to that bus's own policy"
        )
    if config.leads_api == "sandbox":
        if config.keep_data:
            yield (
                "leadsApi is sandbox, but keepData is true: leads would count as delivered and reach nobody. "
                "Set keepData to false as well, if that is meant"
            )
        for name, value in (("leadsApiUrl", config.leads_api_url), ("tokenUrl", config.token_url)):
            if value != getattr(DeploymentConfig(stage=config.stage), SETTINGS[name][0]):
                yield f"{name} is {value!r}, but leadsApi is sandbox, which has its own"
    if config.alarm_topic_arn and config.alarm_emails:
        yield (
            "alarmEmails is given beside alarmTopicArn, but an existing topic's subscribers are its owner's: "
            "subscribe the addresses there, or leave alarmTopicArn empty"
        )
