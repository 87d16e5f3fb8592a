"""What AWS offers without a function, by its prices; docs/cost.md says what its documents leave to the user.

All take the lead as an event on a bus and post it to the API with a token from an EventBridge connection.
"""

import math
from collections.abc import Mapping

from bench.cost.inputs import Inputs
from bench.cost.model import GB, MILLION
from bench.cost.prices import Prices

# A workflow of one task stays below this: 50 MB, its definition and its data.
# https://aws.amazon.com/step-functions/pricing/
_EXPRESS_GB = 64 / 1024
_EXPRESS_STEP_S = 0.1


def alternatives(api_s: float, inputs: Inputs, prices: Prices) -> Mapping[str, float]:
    """USD for a million leads at a leads API that takes `api_s`."""
    event_and_data = MILLION * (prices.event + inputs.sent_bytes / GB * prices.gb_out)
    call = MILLION * prices.api_destination_call
    # A pipe to an API destination takes no batches, so each message is received and deleted alone.
    queue = 3 * MILLION * prices.sqs_request
    billed_s = math.ceil(round(api_s / _EXPRESS_STEP_S, 6)) * _EXPRESS_STEP_S
    express = prices.express_request + billed_s * _EXPRESS_GB * prices.express_gb_second
    return {
        "EventBridge API destination": event_and_data + call,
        "SQS, EventBridge Pipes, API destination": event_and_data
        + queue
        + MILLION * prices.pipe_request
        + call,
        "Step Functions HTTP task, express workflow": event_and_data + MILLION * express,
        "the same, standard workflow, at least": event_and_data + MILLION * prices.state_transition,
    }
