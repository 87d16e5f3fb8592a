"""What a producer's shell or `.env` file needs to publish to the local run: `make env`."""

import shlex
import sys
from collections.abc import Mapping
from typing import Any

from local.run_file import read

_NOTE = """\
# Version 1 of the aws command line goes past AWS_ENDPOINT_URL, to AWS, for SQS. With every version:
#   aws --endpoint-url "$AWS_ENDPOINT_URL" sqs send-message --queue-url "$LEAD_QUEUE_URL" \
--message-body file://my-lead.json"""


def variables(run: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables by name; the keys are made up, so that nothing can reach a real account."""
    return {
        "AWS_ENDPOINT_URL": run["endpointUrl"],
        "AWS_REGION": run["region"],
        "AWS_DEFAULT_REGION": run["region"],
        "AWS_ACCESS_KEY_ID": run["accessKeyId"],
        "AWS_SECRET_ACCESS_KEY": run["secretAccessKey"],
        "LEAD_QUEUE_URL": run["outputs"]["LeadQueueUrl"],
        "LEAD_BUS_NAME": run["outputs"]["EventBusName"],
    }


def main() -> int:
    """Prints lines for `eval` or a `.env` file; returns the exit status."""
    run = read()
    if run is None:
        print("No local run is up: start one with `make dev`.", file=sys.stderr)
        return 1
    for name, value in variables(run).items():
        print(f"export {name}={shlex.quote(value)}")
    print(_NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
