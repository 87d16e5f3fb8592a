"""The bundle under AWS's runtime client where the only way out is a proxy that opens TLS."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from tests.infra.execution_environment import environment, running
from tests.infra.runtime_api import RuntimeApi
from tests.infra.work_place import HostileApi, Stack
from tests.inspecting_proxy import InspectingProxy

pytestmark = pytest.mark.shipped

LEADS_API, TOKEN_ENDPOINT = "api.leads.example", "login.leads.example"
AWS = [f"{service}.us-east-1.amazonaws.com" for service in ("dynamodb", "secretsmanager", "sqs")]


@pytest.fixture
def proxy(stack: Stack, leads_api: HostileApi, tmp_path: Path) -> Iterator[InspectingProxy]:
    """The proxy before 7Targets and AWS; their names mean nothing but to it."""
    aws = urlsplit(stack.settings["AWS_ENDPOINT_URL"])
    own, aws_address = ("127.0.0.1", leads_api.server_port), (str(aws.hostname), int(aws.port or 0))
    upstreams = dict.fromkeys((LEADS_API, TOKEN_ENDPOINT), own) | dict.fromkeys(AWS, aws_address)
    with InspectingProxy(tmp_path, upstreams) as running_proxy:
        yield running_proxy


def settings(stack: Stack, proxy: InspectingProxy) -> dict[str, str]:
    """What the stack's settings make of a proxy and an authority, with AWS's own addresses."""
    at_aws = f"https://{AWS[2]}"
    return {
        **{name: value for name, value in stack.settings.items() if name != "AWS_ENDPOINT_URL"},
        "LEADS_API_URL": f"https://{LEADS_API}",
        "TOKEN_URL": f"https://{TOKEN_ENDPOINT}/oauth2/token",
        "LEAD_QUEUE_URL": at_aws + urlsplit(stack.queue_url).path,
        "DEAD_LETTER_QUEUE_URL": at_aws + urlsplit(stack.dead_letter_queue_url).path,
        "HTTPS_PROXY": proxy.url,
        "EXTRA_CA_FILE": str(proxy.ca_file),
    }


def test_leads_are_delivered_and_parked_through_a_proxy_that_opens_tls(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    proxy: InspectingProxy,
) -> None:
    """The API, the token endpoint and AWS, each by its name; the network has no other way and no DNS."""
    variables = environment(bundle, api, **settings(stack, proxy))
    del variables["AWS_ENDPOINT_URL"]
    records = stack.publish("ann@example.com", "ben@example.com")
    records[1]["body"] = json.dumps({"operation": "create", "lead": {}})
    with running(clean_python, variables):
        assert stack.invoke(records) == set()
    assert leads_api.asked == [json.loads(records[0]["body"])["lead"]["email"]]
    parked = boto3.client("sqs", endpoint_url=stack.settings["AWS_ENDPOINT_URL"]).receive_message(
        QueueUrl=stack.dead_letter_queue_url
    )
    assert [message["Body"] for message in parked["Messages"]] == [records[1]["body"]]
    assert {*proxy.asked} == {LEADS_API, TOKEN_ENDPOINT, *AWS}


def test_a_proxy_whose_authority_nobody_gave_gets_no_lead(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    proxy: InspectingProxy,
) -> None:
    """Nor a token or the secret: the lead stays in the queue."""
    variables = environment(bundle, api, **settings(stack, proxy))
    del variables["AWS_ENDPOINT_URL"], variables["EXTRA_CA_FILE"]
    with running(clean_python, variables):
        assert stack.invoke(stack.publish("ann@example.com")) == {"ann@example.com"}
    assert leads_api.asked == []
    assert AWS[0] in proxy.asked
