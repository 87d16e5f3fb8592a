"""What the configuration accepts, and what its errors say."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from deliver_leads.after_call import longest_delay_with_open_claim_s
from deliver_leads.api.http_client import LONGEST_AWS_CALL_S
from deliver_leads.contract import RESERVE_S
from deliver_leads.lead_state import CLOCK_SKEW_S, LeadState
from deliver_leads.settings import Settings
from infra.config import ConfigError, DeploymentConfig
from sim.settings import ENVIRONMENT
from tests.lead_records import record

TOPIC = "arn:aws:sns:eu-west-1:111122223333:leads"
TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:on-call"


def read(settings: Mapping[str, Any] | None = None, /, **command_line: Any) -> DeploymentConfig:
    """The configuration of a stage with these settings in its file and these on the command line."""
    return DeploymentConfig.read("dev", settings or {}, command_line)


def problems(settings: Mapping[str, Any] | None = None, /, **command_line: Any) -> tuple[str, ...]:
    """The problems of a configuration that can't be used."""
    with pytest.raises(ConfigError) as caught:
        read(settings, **command_line)
    return caught.value.problems


def test_a_stage_without_settings_has_every_default() -> None:
    """Nothing but the stage must be given."""
    config = read()
    assert config.leads_api_url == "https://api.7targets.com"
    assert (config.batch_size, config.function_timeout_seconds, config.park_after_hours) == (10, 150, 96)


ACCEPTED: list[tuple[str, str, str, object]] = [
    ("account", "111122223333", "account", "111122223333"),
    ("region", "us-gov-west-1", "region", "us-gov-west-1"),
    ("namePrefix", "acme-", "name_prefix", "acme-"),
    ("tags", '{"cost:centre": ""}', "tags", {"cost:centre": ""}),
    ("rolePath", "/a/b/", "role_path", "/a/b/"),
    ("rolePath", "/", "role_path", "/"),
    ("permissionsBoundary", "team/boundary", "permissions_boundary", "team/boundary"),
    (
        "kmsKeyArn",
        f"arn:aws:kms:eu-west-1:111122223333:key/{'a' * 36}",
        "kms_key_arn",
        f"arn:aws:kms:eu-west-1:111122223333:key/{'a' * 36}",
    ),
    ("proxyUrl", "http://10.0.0.1:3128", "proxy_url", "http://10.0.0.1:3128"),
    ("outcomeEvents", "ids", "outcome_events", "ids"),
    ("readTimeoutSeconds", "5", "read_timeout_seconds", 5),
    ("eventSources", "a.b, c.d", "event_sources", ("a.b", "c.d")),
    ("eventSources", "", "event_sources", ()),
    (
        "onlyRecipients",
        "Example.com, Me@other.example",
        "only_recipients",
        ("Example.com", "Me@other.example"),
    ),
    ("leadDefaults", '{"source": "Fair"}', "lead_defaults", {"source": "Fair"}),
    ("eventBusName", "default", "event_bus_name", "default"),
    ("eventBusName", "", "event_bus_name", ""),
    ("mappings", "[]", "mappings", ()),
    ("snsTopicArns", "", "sns_topic_arns", ()),
    ("snsTopicArns", f"{TOPIC}, {TOPIC}s", "sns_topic_arns", (TOPIC, f"{TOPIC}s")),
    ("producerAccounts", "000011112222", "producer_accounts", ("000011112222",)),
    ("producerOrganization", "o-a1b2c3d4e5", "producer_organization", "o-a1b2c3d4e5"),
    ("tracing", "true", "tracing", True),
    ("ledgerTableName", "Leads_1.a-b", "ledger_table_name", "Leads_1.a-b"),
    ("ledgerTableName", "", "ledger_table_name", ""),
    ("alarmEmails", "a@example.com, b@example.com", "alarm_emails", ("a@example.com", "b@example.com")),
    ("alarmEmails", "", "alarm_emails", ()),
    ("alarmTopicArn", TOPIC_ARN, "alarm_topic_arn", TOPIC_ARN),
    (
        "runbookUrl",
        "https://git.example.com/runbook.md",
        "runbook_url",
        "https://git.example.com/runbook.md",
    ),
    ("leadsApiUrl", "https://api.example.com/", "leads_api_url", "https://api.example.com"),
    ("leadsApiUrl", "http://127.0.0.1:8080", "leads_api_url", "http://127.0.0.1:8080"),
    ("tokenUrl", "http://localhost:1/oauth2/token", "token_url", "http://localhost:1/oauth2/token"),
    ("tokenUrl", "http://[::1]:1/t", "token_url", "http://[::1]:1/t"),
]


@pytest.mark.parametrize(("name", "text", "field", "value"), ACCEPTED)
def test_text_from_the_command_line_becomes_the_setting_s_type(
    name: str, text: str, field: str, value: object
) -> None:
    """`-c` gives nothing but text."""
    assert getattr(read(**{name: text}), field) == value


def test_a_configuration_can_t_be_changed() -> None:
    """What was checked is what is built."""
    with pytest.raises(FrozenInstanceError):
        read().batch_size = 1  # type: ignore[misc]


RANGES = [
    ("batchSize", "a whole number of messages from 1 to 100", (0, 101)),
    ("batchingWindowSeconds", "a whole number of seconds from 0 to 300", (-1, 301)),
    ("maximumConcurrency", "a whole number of concurrent invocations from 2 to 1000", (1, 1001)),
    ("parallelCalls", "a whole number of threads from 1 to 32", (0, 33)),
    ("memoryMegabytes", "a whole number of MB from 256 to 10240", (255, 10241)),
    ("functionTimeoutSeconds", "a whole number of seconds from 60 to 900", (59, 901)),
    ("connectTimeoutSeconds", "a whole number of seconds from 1 to 10", (0, 11)),
    ("readTimeoutSeconds", "a whole number of seconds from 5 to 60", (4, 61)),
    ("settlingTimeSeconds", "a whole number of seconds from 5 to 600", (4, 601)),
    ("duplicateWindowHours", "a whole number of hours from 1 to 336", (0, 337)),
    ("ledgerDays", "a whole number of days from 31 to 400", (30, 401)),
    ("updateGraceMinutes", "a whole number of minutes from 31 to 1440", (30, 1441)),
    ("retryBaseDelaySeconds", "a whole number of seconds from 1 to 300", (0, 301)),
    ("retryMaxDelaySeconds", "a whole number of seconds from 60 to 3600", (59, 3601)),
    ("parkAfterHours", "a whole number of hours from 4 to 312", (3, 313)),
    ("checkEveryMinutes", "0 for never, or a whole number of minutes from 5 to 1440", (4, 1441)),
    ("oldestMessageAlarmMinutes", "a whole number of minutes from 5 to 1440", (4, 1441)),
    ("noLeadsAlarmHours", "0 for never, or a whole number of hours from 1 to 168", (-1, 169)),
]


@pytest.mark.parametrize(("name", "must_be", "outside"), RANGES, ids=[r[0] for r in RANGES])
def test_a_number_out_of_range_is_reported_with_its_range_and_unit(
    name: str, must_be: str, outside: tuple[int, int]
) -> None:
    """One step beyond either end, in a file and on the command line."""
    for value in outside:
        assert problems({name: value}) == (f"{name} is {value}, but must be {must_be}",)
        assert problems(**{name: str(value)}) == problems({name: value})


WRONG: list[tuple[str, object, str]] = [
    ("account", 111122223333, "an AWS account id"),
    ("account", "1111-2222-3333", "an AWS account id"),
    ("region", "Frankfurt", "the name of an AWS region"),
    ("namePrefix", "-acme", "up to 40 letters, digits and -"),
    ("tags", {"aws:team": "x"}, "an object of texts, with keys of up to 128"),
    ("tags", {"team": 1}, "an object of texts, with keys of up to 128"),
    ("rolePath", "acme", "a path that begins and ends with /"),
    (
        "permissionsBoundary",
        "arn:aws:iam::111122223333:role/x",
        "the name, with its path, or the ARN of a managed policy",
    ),
    ("kmsKeyArn", "arn:aws:kms:eu-west-1:111122223333:alias/leads", "the ARN of a KMS key"),
    ("subnetIds", ["vpc-0123abcd"], "a list of ids of subnets"),
    ("securityGroupIds", ["sg-x"], "a list of ids of security groups"),
    ("proxyUrl", "https://proxy.example:3128", "the URL of an HTTP proxy"),
    ("proxyUrl", "http://user:word@proxy.example:3128", "the URL of an HTTP proxy"),
    ("noProxy", ["http://x"], "a list of hosts"),
    ("batchSize", "10", "a whole number of messages from 1 to 100"),
    ("batchSize", 1.5, "a whole number of messages from 1 to 100"),
    ("batchSize", True, "a whole number of messages from 1 to 100"),
    ("batchSize", None, "a whole number of messages from 1 to 100"),
    ("tracing", "true", "true or false"),
    ("tracing", 1, "true or false"),
    ("outcomeEvents", "all", "one of off, ids, lead"),
    ("outcomeEvents", True, "one of off, ids, lead"),
    ("logRetentionDays", 2, "one of these numbers of days: 1, 3, 5, 7, 14, 30"),
    ("leadsApiUrl", "http://api.example.com", "an https URL"),
    ("leadsApiUrl", "https://", "an https URL"),
    ("leadsApiUrl", "https://user:word@api.example.com", "an https URL"),
    ("leadsApiUrl", "https://api.example.com?x=1", "an https URL"),
    ("leadsApiUrl", "https://api.example.com:port", "an https URL"),
    ("tokenUrl", "https://[/token", "an https URL"),
    ("tokenUrl", 7, "an https URL"),
    ("leadDefaults", {"email": "a@example.com"}, "an object of texts, with keys among assistantEmail"),
    ("leadDefaults", {"source": 1}, "an object of texts"),
    ("leadDefaults", {"assistantEmail": "sam(at)example.net"}, "an object of texts"),
    ("leadDefaults", [], "an object of texts"),
    ("eventSources", "my.crm", "a list of EventBridge sources"),
    ("eventSources", ["my crm"], "a list of EventBridge sources"),
    ("eventBusName", "my bus", "the name or the ARN of an event bus"),
    ("eventBusName", "arn:aws:sqs:eu-west-1:111122223333:leads", "the name or the ARN of an event bus"),
    ("eventBusName", None, "the name or the ARN of an event bus"),
    ("mappings", {}, "a list of objects, one for each mapping"),
    ("mappings", ["crm"], "a list of objects, one for each mapping"),
    ("snsTopicArns", ["leads"], "a list of ARNs of standard SNS topics, each once"),
    ("snsTopicArns", [TOPIC, TOPIC], "a list of ARNs of standard SNS topics, each once"),
    ("snsTopicArns", [f"{TOPIC}.fifo"], "a list of ARNs of standard SNS topics, each once"),
    ("producerAccounts", [111122223333], "a list of AWS account ids, texts of 12 digits"),
    ("producerAccounts", ["1111"], "a list of AWS account ids, texts of 12 digits"),
    ("producerOrganization", "ou-a1b2-c3d4", "the id of an organization"),
    (
        "ledgerTableName",
        "ab",
        "the name of a DynamoDB table (3 to 255 letters, digits and _ . -), or empty",
    ),
    (
        "ledgerTableName",
        "arn:aws:dynamodb:us-east-1:123456789012:table/a",
        "the name of a DynamoDB table",
    ),
    ("alarmEmails", "ops@example.com", "a list of e-mail addresses"),
    ("alarmEmails", ["ops"], "a list of e-mail addresses"),
    ("alarmEmails", ["ops@example.com", "ops@example.com"], "a list of e-mail addresses, each once"),
    ("alarmTopicArn", "on-call", "the ARN of an SNS topic"),
    ("alarmTopicArn", f"{TOPIC_ARN}.fifo", "the ARN of an SNS topic"),
    ("runbookUrl", "docs/runbook.md#alarms", "a URL or a path, without spaces and #"),
    ("runbookUrl", "", "a URL or a path, without spaces and #"),
    ("keepData", None, "true or false"),
    ("leadsApi", "production", "one of 7targets, sandbox"),
    ("sandboxEndpoint", "alb", "one of functionUrl, httpApi"),
    ("onlyRecipients", "example.com", "a list of e-mail addresses and domains"),
    ("onlyRecipients", ["jane"], "a list of e-mail addresses and domains"),
    ("onlyRecipients", ["a@b@example.com"], "a list of e-mail addresses and domains"),
    ("onlyRecipients", ["a@müller.example"], "a list of e-mail addresses and domains"),
]


@pytest.mark.parametrize(("name", "value", "must_be"), WRONG)
def test_a_wrong_value_in_a_file_is_reported_with_what_it_must_be(
    name: str, value: object, must_be: str
) -> None:
    """TOML has types, so text is no number there."""
    (problem,) = problems({name: value})
    assert problem.startswith(f"{name} is {value!r}, but must be {must_be}")


@pytest.mark.parametrize("text", ["many", "", "1e1", "9" * 5000])
def test_text_that_is_no_number_is_reported(text: str) -> None:
    """A slip on the command line ends in a sentence."""
    (problem,) = problems(batchSize=text)
    assert "must be a whole number of messages from 1 to 100" in problem


def test_lead_defaults_that_are_no_json_are_reported() -> None:
    """The shell ate the quotes, for example."""
    (problem,) = problems(leadDefaults="{source: Fair}")
    assert problem.startswith("leadDefaults is '{source: Fair}', but must be an object of texts")


def test_a_stage_that_no_stack_can_be_named_after_is_reported() -> None:
    """CloudFormation would refuse it later, in its own words."""
    with pytest.raises(ConfigError) as caught:
        DeploymentConfig(stage="pre_prod")
    (problem,) = caught.value.problems
    assert problem.startswith("stage is 'pre_prod', but must be of up to 100 letters, digits and -")


def test_what_a_program_gives_is_checked_as_what_a_file_has() -> None:
    """Who uses the construct gives the settings in Python."""
    with pytest.raises(ConfigError) as caught:
        DeploymentConfig(stage="dev", batch_size=11, alarm_emails=("ops",))
    (problem,) = caught.value.problems
    assert problem.startswith("alarmEmails is ('ops',), but must be a list of e-mail addresses")
    assert DeploymentConfig(stage="dev", alarm_emails=["ops@example.com"]) == read(  # type: ignore[arg-type]
        {"alarmEmails": ["ops@example.com"]}
    )


# Together with the shortest time-out of the function.
SHORT = {"functionTimeoutSeconds": 60, "connectTimeoutSeconds": 1, "readTimeoutSeconds": 5}


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        (
            {"functionTimeoutSeconds": 135},
            "functionTimeoutSeconds is 135, but must be at least 136: 3 x (connectTimeoutSeconds + "
            "readTimeoutSeconds) + 37, so that a token, two calls",
        ),
        (
            {"settlingTimeSeconds": 29},
            "settlingTimeSeconds is 29, but must not be less than readTimeoutSeconds, 30",
        ),
        (
            {**SHORT, "settlingTimeSeconds": 600},
            "settlingTimeSeconds is 600, but must be at most 239: 5 x (functionTimeoutSeconds + "
            "batchingWindowSeconds) - 61, so that after a crash the lead is free when",
        ),
        (
            {"eventBusName": "default", "producerAccounts": ["111122223333"]},
            "producerAccounts and producerOrganization open the stage's own bus, but eventBusName is",
        ),
        (
            {"eventBusName": "default", "producerOrganization": "o-a1b2c3d4e5"},
            "producerAccounts and producerOrganization open the stage's own bus, but eventBusName is",
        ),
        ({"subnetIds": ["subnet-0123abcd"]}, "subnetIds and securityGroupIds must be given together"),
        ({"noProxy": [".amazonaws.com"]}, "noProxy is given without proxyUrl"),
        ({"batchSize": 11}, "batchingWindowSeconds is 0, but AWS wants at least 1 with a batchSize of 11"),
        (
            {"retryBaseDelaySeconds": 61, "retryMaxDelaySeconds": 60},
            "retryMaxDelaySeconds is 60, but must not be less than retryBaseDelaySeconds, 61",
        ),
        (
            {"updateGraceMinutes": 40, "retryMaxDelaySeconds": 1200},
            "updateGraceMinutes is 40, but must be more than 40: retryMaxDelaySeconds and once more that",
        ),
        (
            {"functionTimeoutSeconds": 450},
            "updateGraceMinutes is 60, but must be more than 60: retryMaxDelaySeconds and once more that or "
            "the queue's visibility timeout (2700 s, 6 x (functionTimeoutSeconds + batchingWindowSeconds))",
        ),
        (
            {"leadsApi": "sandbox", "keepData": True},
            "leadsApi is sandbox, but keepData is true: leads would count as delivered and reach nobody",
        ),
        (
            {"leadsApi": "sandbox", "keepData": False, "leadsApiUrl": "https://api.example.com"},
            "leadsApiUrl is 'https://api.example.com', but leadsApi is sandbox, which has its own",
        ),
        (
            {"alarmEmails": ["ops@example.com"], "alarmTopicArn": TOPIC_ARN},
            "alarmEmails is given beside alarmTopicArn, but an existing topic's subscribers are its owner's",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_reported(settings: dict[str, object], start: str) -> None:
    """Each in its range, but not together; the sentence names both and says why."""
    (problem,) = problems(settings)
    assert problem.startswith(start)


@pytest.mark.parametrize(
    "settings",
    [
        {"leadsApi": "sandbox", "keepData": False},
        {"functionTimeoutSeconds": 136},
        {"settlingTimeSeconds": 30},
        {**SHORT, "settlingTimeSeconds": 239},
        {"batchSize": 11, "batchingWindowSeconds": 1},
        {"snsTopicArns": [TOPIC]},
        {"updateGraceMinutes": 41, "retryMaxDelaySeconds": 1200},
        {"updateGraceMinutes": 61, "functionTimeoutSeconds": 450},
    ],
)
def test_settings_at_the_edge_of_a_contradiction_are_accepted(settings: dict[str, object]) -> None:
    """The sentences above mean what they say."""
    assert read(settings).stage == "dev"


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"retryMaxDelaySeconds": 60}, ("retryMaxDelaySeconds is 60", "parkAfterHours, 96")),
        ({"retryMaxDelaySeconds": 120}, ("retryMaxDelaySeconds is 120", "parkAfterHours, 96")),
        ({"parkAfterHours": 142}, ("retryMaxDelaySeconds is 900", "parkAfterHours, 142")),
        ({"parkAfterHours": 312}, ("retryMaxDelaySeconds is 900", "parkAfterHours, 312")),
    ],
)
def test_delays_so_short_that_sqs_would_park_a_lead_before_the_function_are_told(
    settings: dict[str, object], shown: tuple[str, str]
) -> None:
    """After 1,000 receives, without a reason."""
    (problem,) = problems(settings)
    assert all(each in problem for each in shown)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"parkAfterHours": 141},
        {"retryMaxDelaySeconds": 1950, "parkAfterHours": 312, "updateGraceMinutes": 66},
        {"retryMaxDelaySeconds": 3600, "parkAfterHours": 312, "updateGraceMinutes": 121},
        {"retryMaxDelaySeconds": 300, "parkAfterHours": 24},
    ],
)
def test_delays_after_which_the_function_parks_a_lead_long_before_sqs_are_accepted(
    settings: dict[str, object],
) -> None:
    """docs/settings.md and the alarm's text name those at the edge."""
    assert read(settings).stage == "dev"


def test_no_setting_outgrows_what_sqs_allows() -> None:
    """At the ends of all ranges a lead is still parked by age before SQS's 14 days are over."""
    longest = read(
        {
            "functionTimeoutSeconds": 900,
            "batchSize": 100,
            "batchingWindowSeconds": 300,
            "parkAfterHours": 312,
            "retryMaxDelaySeconds": 3600,
            "updateGraceMinutes": 1440,
        }
    )
    assert longest.visibility_timeout_seconds <= 43_200
    waits_s = longest.visibility_timeout_seconds + longest.retry_max_delay_seconds
    assert longest.park_after_hours * 3600 + waits_s < 14 * 24 * 3600


@pytest.mark.parametrize("batching_window_s", [0, 300])
@pytest.mark.parametrize("timeout_s", [60, 900])
@pytest.mark.parametrize("differ_s", [-CLOCK_SKEW_S, 0, CLOCK_SKEW_S])
def test_at_the_ends_of_all_ranges_a_crash_is_counted_and_a_write_that_failed_is_not(
    timeout_s: int, batching_window_s: int, differ_s: int
) -> None:
    """The crash leaves its lead free for its message's next receive, though two clocks differ.

    The message waited for the whole batching window, and was claimed at the invocation's begin or end.
    """
    short = {**SHORT, "functionTimeoutSeconds": timeout_s, "batchingWindowSeconds": batching_window_s}
    longest_s = min(600, 5 * (timeout_s + batching_window_s) - 61)
    config = read({**short, "updateGraceMinutes": 1440, "settlingTimeSeconds": longest_s})
    timeout = config.visibility_timeout_seconds
    settings = replace(
        Settings.from_environment(ENVIRONMENT),
        settling_s=config.settling_time_seconds,
        visibility_timeout_s=timeout,
    )
    for claimed_s in (batching_window_s, batching_window_s + timeout_s):
        claim = record("own", message_id="m", updated_s=claimed_s, due_s=claimed_s + timeout, receive_count=1)
        held_until_s = batching_window_s + timeout_s + 1 + CLOCK_SKEW_S + config.settling_time_seconds
        for came_back_s, crashes in (
            (timeout, 1),
            (batching_window_s + timeout_s + longest_delay_with_open_claim_s(settings), 0),
        ):
            again = replace(claim, updated_s=came_back_s + differ_s, receive_count=2)
            assert LeadState(open=(claim,)).claimed(again).crashes == crashes
            assert not crashes or held_until_s <= again.updated_s


def test_the_ledger_can_t_forget_a_delivery_before_its_repetitions_stop_to_count() -> None:
    """At the ends of all ranges."""
    config = read({"ledgerDays": 31, "duplicateWindowHours": 336})
    assert config.ledger_days > config.duplicate_window_hours / 24


def test_the_reserve_has_room_for_four_calls_of_aws_and_a_second() -> None:
    """What follows the last call of the API must end before the time-out."""
    assert 4 * LONGEST_AWS_CALL_S + 1 <= RESERVE_S


def test_the_alarms_know_the_longest_delay_that_the_function_gives() -> None:
    """They look back further than that."""
    assert read().longest_delay_seconds == 3600
    assert read({"retryMaxDelaySeconds": 1000}).longest_delay_seconds == 4000
