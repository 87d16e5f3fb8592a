"""The ledger's table on moto; tests/infra holds the stack's table to the same keys."""

from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "ledger"


def create_ledger_table(dynamodb: DynamoDBClient) -> None:
    """Creates it, empty."""
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "lead", "KeyType": "HASH"},
            {"AttributeName": "event", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "lead", "AttributeType": "S"},
            {"AttributeName": "event", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
