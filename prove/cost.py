"""What a run costs on AWS by list prices, from what it used: an estimate, because bills come a day later."""

import math
import time

from bench.cost.inputs import Inputs
from bench.cost.model import GB, MONTH_S, Usage, bill, logged_bytes, monthly
from bench.cost.prices import Prices
from prove.stage import Stage

# The sandbox writes a request and its lead in one transaction, which bills each twice.
_SANDBOX_WRITE_UNITS = 4
# The receive and the delete of a message that was alone in its batch.
_SQS_CALLS_A_LEAD = 2


def estimate(stage: Stage, begun: float) -> tuple[float, str]:
    """USD since `begun`, an epoch second, and what was counted. Asks the stage, so it has to be there."""
    prices, inputs = Prices.read(), Inputs()
    requests = len(stage.sandbox("requests"))
    client, invocations, gb_seconds = stage.client("lambda"), 0.0, 0.0
    for name in (stage.delivery["FunctionName"], stage.delivery["SandboxFunctionName"]):
        megabytes = client.get_function_configuration(FunctionName=name)["MemorySize"]
        invocations += stage.sum_of("AWS/Lambda", "Invocations", begun, FunctionName=name)
        milliseconds = stage.sum_of("AWS/Lambda", "Duration", begun, FunctionName=name)
        gb_seconds += milliseconds / 1000 * megabytes / 1024
    used = Usage(
        events=stage.used["entries"],
        sqs_requests=stage.used["sqs"] + requests * _SQS_CALLS_A_LEAD,
        invocations=invocations,
        gb_seconds=gb_seconds,
        write_units=requests * (inputs.write_units + _SANDBOX_WRITE_UNITS),
        logged_gb=logged_bytes(requests, invocations, inputs) / GB,
    )
    # Alarms, metrics, key and secret are billed by the hour that has begun.
    hours = math.ceil((time.time() - begun) / 3600) + 1
    a_month = sum(monthly(inputs, prices).values()) + inputs.all_metrics * prices.metric_month
    usd = a_month * hours * 3600 / MONTH_S + sum(bill(used, prices).values())
    return usd, (
        f"{used.events:.0f} events, {used.sqs_requests:.0f} requests of SQS, {used.invocations:.0f} "
        f"invocations, {used.gb_seconds:.0f} GB-seconds, {used.write_units:.0f} write units, "
        f"{hours} hours of alarms, metrics, key and secret, at list prices."
    )
