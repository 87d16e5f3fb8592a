"""What the fault suite does to the deployed function: scaled time, faulty answers, kills, an outage."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from local.chaos.aws_fault_proxy import AwsFaultProxy
from local.chaos.events import ChaosEvent
from local.publishing import REFUSED_WORDS
from local.stack.deployment import Deployment
from local.stack.user_pool import make_client
from local.stack.waiting import wait_until

# A delay step of 15 minutes (the default of retryMaxDelaySeconds) is 3 s here, and so 24 hours are 288 s. It
# can't be less: function and SQS count in whole seconds, and the breaker's longest interval, a third of the
# delay step, is one second already.
SCALE = 300
DELAY_STEP_S = 900 // SCALE
PROBE_INTERVAL_S = DELAY_STEP_S / 3
READ_TIMEOUT_S = 2
# Nothing is sent for a lead while a request without an answer may still take effect. What the sandbox applies
# late, it applies within that time, with a second to spare for its threads and one for the ledger's whole
# seconds.
SETTLING_S = 5
_LATE_S = SETTLING_S - 2
# Longer than the function waits, and over before the settling time is.
_HELD_S = READ_TIMEOUT_S + 1.5
# Room for the function's reserve (37 s), a call, and an AWS call whose answer was lost twice before it (9 s).
_FUNCTION_TIMEOUT_S = 54
# Longer than a killed function's claim in the ledger lasts (its time-out, 30 s for clocks that differ and the
# settling time), as in a real stack: the message's next receive finds the claim over.
VISIBILITY_TIMEOUT_S = _FUNCTION_TIMEOUT_S + 30 + SETTLING_S + 4
SCALED_ENVIRONMENT = {
    "RETRY_BASE_DELAY_S": "1",
    "RETRY_MAX_DELAY_S": str(DELAY_STEP_S),
    "READ_TIMEOUT_S": str(READ_TIMEOUT_S),
    "CONNECT_TIMEOUT_S": "1",
    "SETTLING_S": str(SETTLING_S),
    "PARK_AFTER_S": str(96 * 3600 // SCALE),
    "VISIBILITY_TIMEOUT_S": str(VISIBILITY_TIMEOUT_S),
    # Neither is scaled: an update may wait for the ledger's allowance for clocks that differ (30 s), which
    # isn't; and what the run looks at in the end must be there still.
    "UPDATE_GRACE_S": "3600",
    "LEDGER_S": str(90 * 86_400),
}
_UNAVAILABLE = {"kind": "status", "status": 503}
# A gateway's and a server's own; 520 to 524 are those of a large content delivery network.
_SERVER_ERRORS = (500, 501, 502, 503, 504, 507, 520, 522, 524)


def _rule(operation: str, rate: float, kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"operation": operation, "rate": rate, "fault": {"kind": kind, **more}}


# The first that hits decides, so a later rule's share is a little less than its rate. In all, about a fifth
# of the leads calls meets one.
_FAULTS = (
    _rule("token", 0.1, "status", status=429, headers={"Retry-After": "1"}),
    _rule("token", 0.1, "status", status=503),
    _rule("token", 0.1, "cut_before"),
    _rule("token", 0.02, "drip", part="body", seconds=1),
    _rule("token", 0.02, "huge", megabytes=64),
    _rule("leads", 0.02, "status", status=429, headers={"Retry-After": "2"}),
    _rule("leads", 0.01, "status", status=503, headers={"Retry-After": "1"}),
    *(
        _rule("leads", 0.004, "status", status=status, stored=stored)
        for status in (408, *_SERVER_ERRORS)
        for stored in (False, True)
    ),
    _rule("leads", 0.012, "cut_before"),
    _rule("leads", 0.015, "cut_after"),
    _rule("leads", 0.012, "wrong_content_type"),
    _rule("leads", 0.012, "delay", seconds=_HELD_S),
    _rule("leads", 0.008, "late", seconds=_LATE_S),
    _rule("leads", 0.008, "late", seconds=_LATE_S, status=503),
    _rule("leads", 0.008, "late", seconds=_LATE_S, status=504),
    _rule("leads", 0.004, "drip", part="headers", seconds=1),
    _rule("leads", 0.004, "drip", part="body", seconds=1),
    _rule("leads", 0.003, "huge", megabytes=64),
    _rule("leads", 0.003, "huge", megabytes=64, gzip=True),
    _rule("leads", 0.005, "revoked_token"),
)
# On a busy machine, the cold starts of all workers alone take half a minute.
_KILL_TIMEOUT_S = 120.0
_AWS_FAULT_RATES = {"UpdateItem": 0.01, "BatchExecuteStatement": 0.02, "SendMessage": 0.15}


def scale_time(deployment: Deployment) -> None:
    """Takes function and queue below what the stack's settings allow; the emulator starts new workers."""
    client, name = deployment.emulator.client("lambda"), deployment.outputs["FunctionName"]
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=name,
        Timeout=_FUNCTION_TIMEOUT_S,
        Environment={"Variables": variables | SCALED_ENVIRONMENT},
    )
    deployment.sqs.set_queue_attributes(
        QueueUrl=deployment.outputs["LeadQueueUrl"],
        Attributes={"VisibilityTimeout": str(VISIBILITY_TIMEOUT_S)},
    )


@dataclass
class Kill:
    """A SIGKILL of the function's worker while the sandbox held its call; `at` is in epoch seconds."""

    operation: str
    at: float


@dataclass
class OutageFigures:
    """`calls` reached sandbox or token endpoint while the API was down; `waiting` events had to wait.

    `began_at` and `ended_at` are in epoch seconds, 0 until then.
    """

    began_at: float = 0.0
    lasted_s: float = 0.0
    calls: int = 0
    most_calls: int = 0
    environments: int = 0
    waiting: int = 0
    ended_at: float = 0.0


@dataclass
class Faults:
    """Commits the faults on a deployment, and keeps what it did."""

    deployment: Deployment
    proxy: AwsFaultProxy
    refused: Sequence[ChaosEvent]
    kills: list[Kill] = field(default_factory=list)

    def storm(self, *first: dict[str, Any]) -> None:
        """Faulty answers of all kinds from now on; `first` are rules that go before the others."""
        self.deployment.sandbox.set_faults([*self._refusals(), *first, *_FAULTS])
        self.proxy.rates = _AWS_FAULT_RATES

    def calm(self) -> None:
        """No faults from now on; what 7Targets would refuse is refused still."""
        self.deployment.sandbox.set_faults(self._refusals())
        self.proxy.rates = {}

    def kill_a_worker_in_mid_call(self, operation: str) -> None:
        """Has the sandbox hold the next call (of "leads" or "token"), and kills the worker that waits for it.

        Raises `NotInTimeError` when no call comes by.
        """
        if operation == "token":
            self.deployment.sandbox.revoke_tokens()
        self.storm(_rule(operation, 1, "delay", seconds=READ_TIMEOUT_S - 0.5) | {"times": 1})
        wait_until(
            "a call to kill",
            lambda: self._kill_a_caller(operation),
            timeout_s=_KILL_TIMEOUT_S,
            interval_s=0.02,
        )

    def rotate_the_secret(self) -> None:
        """Another client replaces the old one; the secret follows when the first credentials were refused.

        The API crashes on the way, and learns at its start that there is a new client.
        """
        deployment = self.deployment
        cognito, old = deployment.emulator.client("cognito-idp"), deployment.credentials
        pool = cognito.list_user_pools(MaxResults=10)["UserPools"][0]["Id"]
        credentials = make_client(cognito, pool, "lead-delivery-rotated")
        cognito.delete_user_pool_client(UserPoolId=pool, ClientId=old.client_id)
        seen = len(deployment.sandbox.requests())  # `seq` counts from 1
        # Without the old client, whose tokens would be good until the new process knows the faults.
        deployment.sandbox.client_ids = [credentials.client_id]
        deployment.sandbox.kill()
        deployment.sandbox.start()
        self.storm()
        wait_until("refused credentials", lambda: self._has_refused(seen), timeout_s=_KILL_TIMEOUT_S)
        deployment.credentials = credentials
        deployment.fill_secret()

    def go_down(self, fault: str) -> None:
        """From now on the token endpoint ("token"), the leads calls ("leads") or all ("all") is down."""
        sandbox = self.deployment.sandbox
        if fault == "all":
            sandbox.kill()
            return
        sandbox.set_faults([{"operation": fault, "fault": _UNAVAILABLE}])
        if fault == "token":
            sandbox.revoke_tokens()

    def come_back(self) -> None:
        """Ends an outage that took all of it away."""
        self.deployment.sandbox.start()
        self.calm()

    def _refusals(self) -> list[dict[str, Any]]:
        refusal = _rule("create", 1, "status", status=422, body={"message": REFUSED_WORDS})
        return [refusal | {"email": event.email} for event in self.refused]

    def _has_refused(self, seen: int) -> bool:
        later = self.deployment.sandbox.requests(since=seen)
        return any(each["operation"] == "token" and each["status"] == 400 for each in later)

    def _kill_a_caller(self, operation: str) -> bool:
        everything = self.deployment.sandbox.held()
        held = {
            port: name for port, name in everything.items() if (name == "token") == (operation == "token")
        }
        for worker in self.deployment.emulator.workers() if held else []:
            try:
                ports = {each.laddr.port for each in worker.net_connections("tcp")}
                calls = [held[port] for port in ports & held.keys()]
                if calls:
                    worker.kill()
                    self.kills.append(Kill(calls[0], time.time()))
                    return True
            except psutil.NoSuchProcess:
                continue
        return False
