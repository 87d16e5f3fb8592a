"""The function's entry: constructs what outlives an invocation, once per execution environment."""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from botocore.config import Config

from .api.access_token import AccessTokens
from .api.call_tally import CallTally
from .api.http_client import AWS_CONNECT_TIMEOUT_S, AWS_READ_TIMEOUT_S, AWS_TRIES, HttpClient
from .api.leads_api import LeadsApi
from .batch import BatchRunner
from .batch_metrics import BatchMetrics
from .breaker import CircuitBreaker
from .dead_letters import DeadLetterQueue
from .delivery import Delivery
from .ledger import Ledger
from .old_items import OldItems
from .settings import Settings

settings = Settings.from_environment(os.environ)
logger = Logger(location=None)  # every line comes from one place
metrics = Metrics()

# Short time-outs, because these calls take from the time that a lead has left, and SQS repeats what fails.
_config = Config(
    connect_timeout=AWS_CONNECT_TIMEOUT_S,
    read_timeout=AWS_READ_TIMEOUT_S,
    retries={"mode": "standard", "total_max_attempts": AWS_TRIES},
    max_pool_connections=settings.parallel_calls,
)
_session = boto3.Session()
_sqs = _session.client("sqs", config=_config)
_dynamodb = _session.client("dynamodb", config=_config)
_calls = CallTally()
_breaker = CircuitBreaker(settings.retry_base_delay_s, settings.retry_max_delay_s / 3)
http = HttpClient(settings.parallel_calls, settings.connect_timeout_s, settings.read_timeout_s)
runner = BatchRunner(
    Delivery(
        settings,
        http,
        LeadsApi(
            http,
            AccessTokens(
                http,
                _session.client("secretsmanager", config=_config),
                settings.secret_id,
                settings.token_url,
                _calls,
            ),
            settings.leads_api_url,
            _calls,
        ),
        Ledger(_dynamodb, settings, OldItems(_dynamodb, settings.ledger_table).find),
        DeadLetterQueue(_sqs, settings.dead_letter_queue_url),
        _breaker,
    ),
    _sqs,
    settings,
    logger,
    BatchMetrics(metrics, _calls, _breaker),
)


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - Lambda's context object
    """Takes an SQS event, returns a partial batch response."""
    http.drop_idle_connections()
    return runner.run(event["Records"], deadline=lambda: context.get_remaining_time_in_millis() / 1000)
