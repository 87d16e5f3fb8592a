"""The function's entry: constructs what outlives an invocation, once per execution environment."""

import os
import warnings
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from .api.access_token import AccessTokens
from .api.call_tally import CallTally
from .api.http_client import HttpClient, TimeLeft
from .api.leads_api import LeadsApi
from .api.roots import share_with_aws, tls_context
from .aws_clients import LateClient, client_config
from .batch import BatchRunner
from .batch_metrics import BatchMetrics
from .breaker import CircuitBreaker
from .contract import ASSISTANTS_EVENT, CHECK_EVENT, Metric, OutcomeEventsMode
from .dead_letters import DeadLetterQueue
from .delivery import Delivery
from .ledger import Ledger
from .outcome_events import OutcomeEvents
from .pace import Pace
from .settings import Settings

if TYPE_CHECKING:
    from .check.check import Check

settings = Settings.from_environment(os.environ)
logger = Logger(location=None)  # it would be the same in every line
metrics = Metrics()

_tls = tls_context(os.environ.get("EXTRA_CA_FILE"))
if "AWS_CA_BUNDLE" not in os.environ:
    share_with_aws(_tls)
_config = client_config(settings.parallel_calls)
_session = boto3.Session()
# SQS is called only for messages that come back or are parked, so its client is made late.
_sqs = LateClient(lambda: _session.client("sqs", config=_config))
# This one is made with the first token, while the ledger writes the first claims (batch.py).
_secrets = LateClient(lambda: _session.client("secretsmanager", config=_config))
_dynamodb = _session.client("dynamodb", config=_config)
_calls = CallTally()
_pace = Pace(settings.calls_per_second)
# At the longest interval, an API that is back is noticed within a third of the longest delay of a lead.
_breaker = CircuitBreaker(settings.retry_base_delay_s, settings.retry_max_delay_s / 3)


def _outcome_events() -> OutcomeEvents | None:
    """Made only when they are wanted, because a client costs time at each cold start."""
    if settings.outcome_events is OutcomeEventsMode.OFF:
        return None
    once = client_config(settings.parallel_calls, tries=1)
    return OutcomeEvents(_session.client("events", config=once), settings.event_bus, settings.outcome_events)


http = HttpClient(
    settings.parallel_calls,
    settings.connect_timeout_s,
    settings.read_timeout_s,
    _tls,
    os.environ.get("HTTPS_PROXY"),  # the AWS clients read it by themselves
)
tokens = AccessTokens(http, _secrets, settings.secret_id, settings.token_url, _calls)
runner = BatchRunner(
    Delivery(
        settings,
        http,
        LeadsApi(http, tokens, settings.leads_api_url, _calls, _pace),
        Ledger(_dynamodb, settings),
        DeadLetterQueue(_sqs, settings.dead_letter_queue_url),
        _breaker,
        _pace,
    ),
    _sqs,
    settings,
    logger,
    BatchMetrics(metrics, _calls, _breaker),
    _outcome_events(),
)


logger.info("started", extra={"version": os.environ.get("DEPLOYED_VERSION", "")})


class UnknownEventError(Exception):
    """The function was invoked with an event that it has no use for; its text is for the caller."""


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON, and Lambda's context object
    """Takes an SQS event and returns a partial batch response, or one of the check's events and returns what
    was found.

    Raises `UnknownEventError` for any other event: an answer would let a wrong trigger drop leads unseen.
    """

    def time_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    # These are a fifth of each line's bytes, and the log group and `service` name the function anyway.
    logger.remove_keys(["function_arn", "function_name", "function_memory_size"])
    http.drop_idle_connections()
    if event == CHECK_EVENT:
        return check(time_left)
    if event == ASSISTANTS_EVENT:
        warnings.filterwarnings("ignore", "No application metrics")  # there is nothing to count
        return new_check(time_left).list_assistants()
    if isinstance(event, dict) and "Records" in event:
        return runner.run(event["Records"], time_left)
    raise UnknownEventError('the event is neither SQS\'s, with "Records", nor {"check": true}')


def check(time_left: TimeLeft) -> dict[str, Any]:
    """Checks what a delivery needs, counts and logs what was found, and returns it."""
    report = new_check(time_left).run()
    metrics.add_metric(Metric.CHECK_FAILED, MetricUnit.Count, 0 if report["ok"] else 1)
    log = logger.info if report["ok"] else logger.warning
    log("check", extra=report)
    return report


def new_check(time_left: TimeLeft) -> "Check":
    """One check. Its module would add 3 ms to the cold start of every batch, so it is imported here."""
    from .check.check import Check

    return Check(settings, http, tokens, _dynamodb, _sqs, time_left)
