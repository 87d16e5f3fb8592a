"""The real stack on the emulated AWS, the sandbox it delivers to, and the credentials between the two."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.stack.cdk import CdkDeployment
from local.stack.child_process import ChildFailedError
from local.stack.emulator import Emulator
from local.stack.ports import free_port
from local.stack.sandbox_process import SandboxProcess
from local.stack.user_pool import Credentials, find_or_make_pool

STACK = "LeadDelivery-dev"
_STAGE = "dev"
# Ordinary settings of the stack, at the low end of their ranges: minutes of retries become seconds. The
# function's timeout bounds how long a claim in the ledger outlives a killed execution environment.
QUICK_SETTINGS = {
    "retryBaseDelaySeconds": "1",
    "retryMaxDelaySeconds": "60",
    "parkAfterHours": "4",
    "functionTimeoutSeconds": "60",
    "connectTimeoutSeconds": "1",
    "readTimeoutSeconds": "5",
    "settlingTimeSeconds": "5",
}


@dataclass(frozen=True)
class Place:
    """Where the emulated AWS and the sandbox listen (0: on a free port), and where their state is kept.

    Without a folder for it the state goes with the run.
    """

    emulator_port: int = 0
    sandbox_port: int = 0
    state: Path | None = None


class Deployment:
    """What a person or a test needs to work with the deployed stack.

    `bundle` is the folder whose zip was deployed as the function's code.
    """

    def __init__(
        self, emulator: Emulator, sandbox: SandboxProcess, credentials: Credentials, bundle: Path
    ) -> None:
        self.bundle = bundle
        self.emulator = emulator
        self.sandbox = sandbox
        self.credentials = credentials
        self.sqs = emulator.client("sqs")
        self.events = emulator.client("events")

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return _read_outputs(self.emulator)

    def check_alive(self) -> None:
        """Raises `ChildFailedError` when emulator or sandbox have ended by themselves."""
        self.emulator.check_alive()
        self.sandbox.check_alive()

    def fill_secret(self, credentials: Credentials | None = None) -> None:
        """Puts these credentials, or the good ones, where the operator's command puts them."""
        filled = credentials or self.credentials
        self.emulator.client("secretsmanager").put_secret_value(
            SecretId=self.outputs["SecretName"], SecretString=json.dumps(vars(filled))
        )

    def start_anew(self) -> None:
        """Empties queues and sandbox, fills the secret, ends the execution environments; the ledger stays."""
        # First, because a worker that is under way would still write.
        self.emulator.kill_workers()
        for name in ("LeadQueueUrl", "DeadLetterQueueUrl", "RuleDeadLetterQueueUrl"):
            self.sqs.purge_queue(QueueUrl=self.outputs[name])
        self.sandbox.reset()
        self.fill_secret()
        self.emulator.forget_output()

    def execution_environments_started(self) -> int:
        return self.emulator.execution_environments_started(self.outputs["FunctionName"])

    def lead_queue_count(self) -> int:
        """Messages in the lead queue: waiting, in flight, or coming back later."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.outputs["LeadQueueUrl"], AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def take_dead_letters(self) -> list[dict[str, Any]]:
        """Removes all messages from the dead-letter queue and returns them."""
        queue_url = self.outputs["DeadLetterQueueUrl"]
        taken: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            messages = answer.get("Messages", [])
            if not messages:
                return taken
            for message in messages:
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            taken += messages


@contextmanager
def deployed(
    folder: Path,
    *,
    lead_defaults: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    seed: int = 0,
    service_endpoints: Mapping[str, str] | None = None,
    place: Place | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Deployment]:
    """Starts emulator and sandbox, deploys the stack, fills the secret; ends every process on the way out.

    `folder` takes logs, and state that isn't kept. `settings` are the stack's, as on the CDK's command line;
    they win over `QUICK_SETTINGS`. `report` gets a few words at the start of each step. Raises
    `ChildFailedError` or `NotInTimeError`, whose texts are for people.
    """
    place = place or Place()
    report("Start the emulated AWS")
    with Emulator(folder, service_endpoints, port=place.emulator_port, state=place.state) as emulator:
        _check_kept_state(emulator, place)
        sandbox_port = place.sandbox_port or free_port()
        url = f"http://127.0.0.1:{sandbox_port}"
        context = {
            "stage": _STAGE,
            # A stage's file names accounts, keys and networks, which the emulator has not.
            "settings": "",
            **QUICK_SETTINGS,
            **({"leadDefaults": json.dumps(dict(lead_defaults))} if lead_defaults else {}),
            **(settings or {}),
            "leadsApi": "7targets",
            "leadsApiUrl": url,
            "tokenUrl": f"{url}/oauth2/token",
        }
        report("Build the template and the function's bundle")
        with contextlib.ExitStack() as started:
            cdk = started.enter_context(CdkDeployment(emulator, folder, context))
            # Meanwhile, because the CDK's work takes longer.
            pool, credentials = find_or_make_pool(emulator.client("cognito-idp"))
            sandbox = SandboxProcess(
                folder,
                token_upstream=f"{emulator.url}/oauth2/token",
                jwks=f"{emulator.url}/{pool}/.well-known/jwks.json",
                client_id=credentials.client_id,
                user_identifier=credentials.user_identifier,
                seed=seed,
                port=sandbox_port,
                state=place.state,
            )
            started.enter_context(sandbox)
            deployment = Deployment(emulator, sandbox, credentials, cdk.finish(report))
            deployment.fill_secret()
            yield deployment


def _check_kept_state(emulator: Emulator, place: Place) -> None:
    """Raises `ChildFailedError` for state of another port, which is in the addresses of its queues."""
    if place.state is None:
        return
    with contextlib.suppress(ClientError):  # the stack isn't there yet
        queue_url = _read_outputs(emulator)["LeadQueueUrl"]
        if not queue_url.startswith(f"{emulator.url}/"):
            raise ChildFailedError(
                f"the state in {place.state} belongs to port {urlsplit(queue_url).port}: use it with that"
                " port, or take another folder"
            )


def _read_outputs(emulator: Emulator) -> dict[str, str]:
    stacks = emulator.client("cloudformation").describe_stacks(StackName=STACK)
    return {each["OutputKey"]: each["OutputValue"] for each in stacks["Stacks"][0]["Outputs"]}
