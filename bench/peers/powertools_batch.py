"""What a user would write instead of the function: Powertools' batch processor and idempotency utility.

One lead after another, a token for each invocation. A lead whose answer is lost is created again, events of
one lead overtake each other, and in an outage every lead is in the dead-letter queue after a few tries.
"""

import os
from typing import Any

import requests
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS)
store = DynamoDBPersistenceLayer(table_name=os.environ["LEDGER_TABLE"])
config = IdempotencyConfig(event_key_jmespath="idempotencyKey")


@idempotent_function(data_keyword_argument="event", persistence_store=store, config=config)
def deliver(event: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Once for each key, as long as every answer arrives."""
    url = f"{os.environ['LEADS_API_URL']}/leads"
    answer = requests.post(url, json=event["lead"], headers=headers, timeout=30)
    answer.raise_for_status()
    return {"id": answer.json()["id"]}


def fetch_token() -> dict[str, str]:
    """The headers of the calls."""
    secret: Any = parameters.get_secret(os.environ["SECRET_ID"], transform="json")
    answer = requests.post(
        os.environ["TOKEN_URL"],
        data={"grant_type": "client_credentials", "scope": "leads/post"},
        auth=(secret["client_id"], secret["client_secret"]),
        timeout=10,
    )
    token = answer.json()["access_token"]
    return {"Authorization": f"Bearer {token}", "7ts-user-identifier": secret["user_identifier"]}


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> Any:  # noqa: ANN401 - Lambda's context object
    """Returns a partial batch response."""
    config.register_lambda_context(context)
    headers = fetch_token()

    def take(record: SQSRecord) -> None:
        lead = deliver(event=record.json_body, headers=headers)
        logger.info("delivered", extra={"message_id": record.message_id, "lead_id": lead["id"]})

    return process_partial_response(event=event, record_handler=take, processor=processor, context=context)
