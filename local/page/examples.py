"""Publish examples to copy, with this run's addresses."""

import json
from typing import Any

from local.stack.deployment import Deployment
from local.stack.emulator import REGION

_LEAD = {
    "name": "Jane",
    "email": "jane@example.com",
    "assistantEmail": "sam@example.com",
    "source": "Webinar",
}


def examples(deployment: Deployment) -> dict[str, str]:
    """The text to copy by its title. Those for a shell name the endpoint, because version 1 of the command
    line ignores AWS_ENDPOINT_URL for SQS.
    """
    url = deployment.emulator.url
    queue = deployment.outputs["LeadQueueUrl"].replace("//localhost:", "//127.0.0.1:")
    bus = deployment.outputs["EventBusName"]
    event: dict[str, Any] = {"operation": "create", "lead": _LEAD}
    detail = json.dumps({"lead": _LEAD})
    credentials = "export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=" + REGION
    shell = f"""{credentials}
aws sqs send-message --endpoint-url {url} \\
  --queue-url {queue} \\
  --message-body '{json.dumps(event)}'"""
    on_the_bus = f"""{credentials}
aws events put-events --endpoint-url {url} --entries '{_entries(bus, detail)}'"""
    python = f"""import json

import boto3

sqs = boto3.client("sqs", endpoint_url="{url}", region_name="{REGION}",
                   aws_access_key_id="test", aws_secret_access_key="test")
lead = {json.dumps(_LEAD)}
sqs.send_message(
    QueueUrl="{queue}",
    MessageBody=json.dumps({{"operation": "create", "lead": lead}}),
)"""
    javascript = f"""import {{ SQSClient, SendMessageCommand }} from "@aws-sdk/client-sqs";

const sqs = new SQSClient({{
  endpoint: "{url}", region: "{REGION}",
  credentials: {{ accessKeyId: "test", secretAccessKey: "test" }},
}});
const lead = {json.dumps(_LEAD)};
await sqs.send(new SendMessageCommand({{
  QueueUrl: "{queue}",
  MessageBody: JSON.stringify({{ operation: "create", lead }}),
}}));"""
    return {
        "Shell, to the queue": shell,
        "Shell, an event on the bus": on_the_bus,
        "Python": python,
        "JavaScript": javascript,
    }


def _entries(bus: str, detail: str) -> str:
    return json.dumps(
        [
            {
                "EventBusName": bus,
                "Source": "com.example.crm",
                "DetailType": "Lead Created",
                "Detail": detail,
            }
        ]
    )
