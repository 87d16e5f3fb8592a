"""What is measured, in a process of its own: CPython 3.13 with a folder of packages, as on Lambda.

    python -P -B bench/child.py function|floor|peer CA_FILE

Nothing else of this project can be imported there. It answers each line of JSON on stdin with one on stdout;
what the function prints goes nowhere. The first answer comes when all is imported and made.
"""

import hashlib
import importlib
import json
import os
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = dict[str, Any]
# Returns how many leads were not delivered.
Run = Callable[[Command], int]

_MOST_THREADS = 32
# Of these fields the ledger keeps a fingerprint.
_HASHED = ("name", "assistantEmail")


def trust(path: str) -> None:
    """Lets each TLS context that is given roots trust the servers of the benchmark too.

    So the function parses the roots that it ships with, as on Lambda, however it comes by them.
    """
    root = Path(path).read_text("ascii")
    load = ssl.SSLContext.load_verify_locations

    def load_one_more(context: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - its own
        load(context, *args, **kwargs)
        load(context, cadata=root)

    ssl.SSLContext.load_verify_locations = load_one_more  # type: ignore[method-assign, assignment]


class Context:
    """Lambda's context object, as far as function and peer use it."""

    function_name = "deliver-leads"
    function_version = "$LATEST"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:deliver-leads"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """The time left at an invocation's start."""
        return 150_000


def _handler(module: str) -> Run:
    handler, context = importlib.import_module(module).handler, Context()

    def run(command: Command) -> int:
        return len(handler({"Records": command["records"]}, context)["batchItemFailures"])

    return run


def function() -> Run:
    """The function's handler, as Lambda calls it."""
    return _handler("deliver_leads.handler")


def peer() -> Run:
    """The handler that a user would write instead."""
    sys.path.append(str(Path(__file__).parent / "peers"))
    return _handler("powertools_batch")


def sha256(text: str) -> str:
    """In the ledger, no lead is named otherwise."""
    return hashlib.sha256(text.encode()).hexdigest()


def floor() -> Run:
    """What no delivery by requests and boto3 can do without: the imports, two clients, the calls."""
    import boto3
    import requests
    from botocore.config import Config

    aws, config = boto3.Session(), Config(max_pool_connections=_MOST_THREADS)
    aws.client("secretsmanager", config=config)
    dynamodb = aws.client("dynamodb", config=config)
    session = requests.Session()
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=_MOST_THREADS))
    pools: dict[int, Any] = {}

    def post(url: str, lead: dict[str, Any]) -> bool:
        headers = {"Authorization": "Bearer token", "7ts-user-identifier": "user"}
        return session.post(f"{url}/leads", json=lead, headers=headers, timeout=30).status_code == 201

    def post_between_two_writes(url: str, lead: dict[str, Any]) -> bool:
        owner, now = {":owner": {"S": "fb58023fad6146e2a84f4be56a047d16"}}, {"N": "1795726979"}
        key, digest, order_ms = sha256(lead["phone"])[:16], sha256(json.dumps(lead))[:12], "1795726979713"
        event = {
            "key": {"S": key},
            "operation": {"S": "create"},
            "messageId": {"S": lead["email"]},
            "source": {"S": "sqs"},
            "firstSeenS": now,
            "updatedS": now,
        }
        entry = event | {
            "digest": {"S": digest},
            "orderMs": {"N": order_ms},
            "sentS": now,
            "state": {"S": "under_way"},
            "owner": owner[":owner"],
            "receiveCount": {"N": "1"},
            "dueS": now,
        }
        one: Any = {
            "TableName": "ledger",
            "Key": {"lead": {"S": sha256(lead["email"])}, "event": {"S": "#lead"}},
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        dynamodb.update_item(
            **one,
            UpdateExpression="SET heldUntil = :until, #owner = :owner, expiresAt = :expires,"
            " journal = list_append(if_not_exists(journal, :empty), :entries)",
            ConditionExpression="#owner = :owner OR ((attribute_not_exists(heldUntil) OR heldUntil <= :now)"
            " AND attribute_not_exists(journal[7]))",
            ExpressionAttributeValues={
                **owner,
                ":empty": {"L": []},
                ":entries": {"L": [{"M": entry}]},
                ":expires": now,
                ":until": now,
                ":now": now,
            },
            ReturnValues="ALL_OLD",
        )
        is_delivered = post(url, lead)
        rank = f"{order_ms}000000"
        setters = {
            name: {"S": f"{rank} {sha256(str(value))[:12]}" if name in _HASHED else rank}
            for name, value in (lead | {"sequence": ""}).items()
            if name != "email"
        }
        shown = event | {"state": {"S": "delivered"}, "attempts": {"N": "1"}}
        item: Any = {
            "leadId": {"S": "1"},
            "knownAt": now,
            "hasForgotten": {"BOOL": False},
            "setters": {"M": setters},
            "settersFloor": {"N": "0"},
            "begunAt": {"N": "0"},
            "finalEvents": {"M": {key: {"S": f"{digest} {order_ms} dc"}}},
            "openEvents": {"L": []},
            "shownEvents": {"L": [{"M": shown}]},
            "heldUntil": {"N": "0"},
            "expiresAt": now,
        }
        dynamodb.update_item(
            **one,
            UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in item)} REMOVE #owner, journal",
            ConditionExpression="#owner = :owner",
            ExpressionAttributeValues={**owner, **{f":{name}": value for name, value in item.items()}},
        )
        return is_delivered

    def run(command: Command) -> int:
        deliver = post_between_two_writes if command["writes"] else post
        url, leads, threads = command["url"], command["leads"], command["threads"]
        if threads == 1:
            return [deliver(url, lead) for lead in leads].count(False)
        if threads not in pools:
            from concurrent.futures import ThreadPoolExecutor

            pools[threads] = ThreadPoolExecutor(threads)
        return list(pools[threads].map(lambda lead: deliver(url, lead), leads)).count(False)

    return run


def main() -> None:
    """Says when it is ready, then carries out commands until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(**values: float) -> None:
        print(json.dumps(values), file=answers, flush=True)

    trust(sys.argv[2])
    run = {"function": function, "floor": floor, "peer": peer}[sys.argv[1]]()
    # The CPU time of the whole process, from its first instruction on.
    answer(cpu_ms=time.process_time() * 1000, ready_at=time.monotonic())
    for line in sys.stdin:
        command = json.loads(line)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        failed = run(command)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        answer(cpu_ms=cpu_s * 1000, wall_ms=wall_s * 1000, failed=failed)


if __name__ == "__main__":
    main()
