"""The real stack on the emulated AWS, the sandbox it delivers to, and the credentials between the two."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from local.stack.child_process import PROJECT, ChildFailedError, ChildProcess
from local.stack.emulator import ACCOUNT, REGION, Emulator
from local.stack.sandbox_process import SandboxProcess

USER_IDENTIFIER = "ops@example.com"
# Ordinary settings of the stack, at the low end of their ranges: minutes of retries become seconds. The
# function's timeout bounds how long a claim in the ledger outlives a killed execution environment.
QUICK_SETTINGS = {
    "retryBaseDelaySeconds": "1",
    "retryMaxDelaySeconds": "60",
    "functionTimeoutSeconds": "60",
    "connectTimeoutSeconds": "1",
    "readTimeoutSeconds": "5",
    "settlingTimeSeconds": "5",
}
_STAGE = "dev"
_CDK_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Credentials:
    """What the secret holds; made up by the emulator, good for nothing else."""

    client_id: str
    client_secret: str
    user_identifier: str = USER_IDENTIFIER


class Deployment:
    """What a person or a test needs to work with the deployed stack."""

    def __init__(self, emulator: Emulator, sandbox: SandboxProcess, credentials: Credentials) -> None:
        self.emulator = emulator
        self.sandbox = sandbox
        self.credentials = credentials
        self.sqs = emulator.client("sqs")
        self.events = emulator.client("events")

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        stacks = self.emulator.client("cloudformation").describe_stacks(StackName=f"LeadDelivery-{_STAGE}")
        return {each["OutputKey"]: each["OutputValue"] for each in stacks["Stacks"][0]["Outputs"]}

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
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Deployment]:
    """Starts emulator and sandbox, deploys the stack, fills the secret; ends every process on the way out.

    `folder` takes logs and state. `settings` are the stack's, as on the CDK's command line; they win over
    `QUICK_SETTINGS`. `report` gets a sentence before each step. Raises `ChildFailedError` or
    `NotInTimeError`, whose texts are for people.
    """
    report("Starting the emulated AWS")
    with Emulator(folder, service_endpoints) as emulator:
        pool, credentials = _make_user_pool(emulator)
        sandbox = SandboxProcess(
            folder,
            token_upstream=f"{emulator.url}/oauth2/token",
            jwks=f"{emulator.url}/{pool}/.well-known/jwks.json",
            client_id=credentials.client_id,
            user_identifier=credentials.user_identifier,
            seed=seed,
        )
        with sandbox:
            report("Deploying the stack with the CDK")
            urls = {"leadsApiUrl": sandbox.url, "tokenUrl": f"{sandbox.url}/oauth2/token"}
            defaults = {"leadDefaults": json.dumps(dict(lead_defaults or {}))}
            _deploy(
                emulator, folder, {"stage": _STAGE, **QUICK_SETTINGS, **defaults, **(settings or {}), **urls}
            )
            deployment = Deployment(emulator, sandbox, credentials)
            deployment.fill_secret()
            yield deployment


def _make_user_pool(emulator: Emulator) -> tuple[str, Credentials]:
    """Makes a user pool and a client for the client credentials grant, as 7Targets has them."""
    cognito = emulator.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="7targets-sandbox")["UserPool"]["Id"]
    cognito.create_resource_server(
        UserPoolId=pool,
        Identifier="leads",
        Name="leads",
        Scopes=[{"ScopeName": "post", "ScopeDescription": "Create and update leads"}],
    )
    cognito.create_user_pool_domain(UserPoolId=pool, Domain="7targets-sandbox")
    return pool, make_client(cognito, pool, "lead-delivery")


def make_client(cognito: Any, pool: str, name: str) -> Credentials:  # noqa: ANN401 - a boto3 client
    """Adds a client for the client credentials grant to a user pool."""
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName=name,
        GenerateSecret=True,
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["leads/post"],
    )["UserPoolClient"]
    return Credentials(client["ClientId"], client["ClientSecret"])


def _deploy(emulator: Emulator, folder: Path, context: Mapping[str, str]) -> None:
    """Synthesises the app into `folder` and deploys it from there: the project's cdk.out stays as it is."""
    assembly = folder / "cdk.out"
    words = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
    synth = _cdk(
        emulator, PROJECT, folder, "synth", "LeadDelivery", "--quiet", "--output", str(assembly), *words
    )
    with synth:
        # Meanwhile, because it needs no assembly. In a folder without cdk.json, or it would want one.
        with _cdk(emulator, folder, folder, "bootstrap", f"aws://{ACCOUNT}/{REGION}") as bootstrap:
            bootstrap.wait(_CDK_TIMEOUT_S)
        synth.wait(_CDK_TIMEOUT_S)
    never_ask = ("--require-approval", "never")
    with _cdk(
        emulator, PROJECT, folder, "deploy", "LeadDelivery", "--app", str(assembly), *never_ask
    ) as deploy:
        deploy.wait(_CDK_TIMEOUT_S)


def _cdk(emulator: Emulator, project: Path, logs: Path, command: str, *words: str) -> ChildProcess:
    program = PROJECT / "node_modules" / "aws-cdk" / "bin" / "cdk"
    if not program.exists():
        raise ChildFailedError("the CDK command line is not installed: run it by `make run`")
    return ChildProcess(
        [shutil.which("node") or "node", str(program), command, *words],
        environment=_tool_environment(emulator),
        log=logs / f"cdk-{command}.log",
        folder=project,
    )


def _tool_environment(emulator: Emulator) -> dict[str, str]:
    """This process's environment without anything that could lead to a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    beside_python = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{beside_python}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "CI": "true",
        **emulator.aws_environment(),
    }
