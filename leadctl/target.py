"""Which deployed stack the commands work on.

    --stack NAME, --stage NAME    that stack
    LEADCTL_STAGE                 that stage's stack
    none of them                  the only *LeadDelivery-* stack of the account and region
    --local                       the local run that this folder's project has started (local_run.py)

There is no stage by default, and what was meant for the local run never reaches AWS.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import click

from leadctl.local_run import LocalRun
from leadctl.problems import NoAccessError, ProblemError, is_denied

PREFIX = "LeadDelivery-"
STAGE_VARIABLE = "LEADCTL_STAGE"


@dataclass
class Choice:
    """The target options, as they were given before and after the command."""

    stack: str | None = None
    stage: str | None = None
    region: str | None = None
    profile: str | None = None
    local: bool = False

    def is_made(self) -> bool:
        """Whether a stack was named, so that none has to be looked for."""
        return bool(self.local or self.stack or self.stage or os.environ.get(STAGE_VARIABLE))

    def stack_name(self) -> str | None:
        """Raises `click.UsageError` for options that contradict each other."""
        given = [f"--{name}" for name in ("local", "stack", "stage") if getattr(self, name)]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} can't be given together.")
        stage = self.stage or (None if self.stack else os.environ.get(STAGE_VARIABLE))
        return self.stack or (f"{PREFIX}{stage}" if stage else None)


class Target:
    """A deployed stack, and AWS's clients for it. `where` says in one line which one it is."""

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - a boto3 session
        stack_name: str,
        outputs: dict[str, str],
        *,
        account: str,
        local: LocalRun | None,
    ) -> None:
        self.stack_name = stack_name
        self.outputs = outputs
        self.region: str = session.region_name
        self.account = account
        self.local = local
        self._session = session
        self.client = cache(self._client)

    @property
    def where(self) -> str:
        """Stack, account, region; for a local run its address."""
        if self.local:
            return f"{self.stack_name} · local run · {self.local.endpoint_url}"
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return " · ".join([self.stack_name, self.account, self.region, *([endpoint] if endpoint else [])])

    @property
    def has_sandbox(self) -> bool:
        """Whether it delivers to a stand-in for 7Targets, which mails nobody."""
        return self.local is not None or "SandboxFunctionName" in self.outputs

    @property
    def stage(self) -> str:
        """The stack's name without its prefixes."""
        return self.stack_name.rpartition(PREFIX)[2]

    @property
    def monitoring_stack(self) -> str:
        """The stack with the alarms; an earlier version's stack doesn't say which it is."""
        return self.outputs.get("MonitoringStackName", f"LeadMonitoring-{self.stage}")

    @property
    def policy(self) -> str:
        """What gives an operator's rights, for a sentence."""
        arn = self.outputs.get("OperatorPolicyArn")
        return f"The policy {arn}" if arn else f"The operator policy of {self.stack_name}"

    def output(self, name: str) -> str:
        """Raises `ProblemError` for an output that the stack doesn't have."""
        if name not in self.outputs:
            raise ProblemError(
                f"{self.stack_name} has no output {name}: another version deployed it. Deploy this version."
            )
        return self.outputs[name]

    def _client(self, service: str, read_timeout_s: int = 60, tries: int = 3) -> Any:  # noqa: ANN401
        return _client(self._session, self.local, service, read_timeout_s, tries)

    def invoke(self, output: str, event: object, **client: int) -> tuple[Any, bool]:
        """What the function that an output names answers to an event, and whether it failed."""
        answer = self.client("lambda", **client).invoke(
            FunctionName=self.output(output), Payload=json.dumps(event).encode()
        )
        return json.loads(answer["Payload"].read() or b"null"), "FunctionError" in answer

    def monitoring_outputs(self) -> dict[str, str] | None:
        """The outputs of the stage's monitoring stack; None when there is no such stack."""
        found = _describe(self.client("cloudformation"), self.monitoring_stack)
        return _outputs(found) if found else None


def find_target(choice: Choice) -> Target:
    """Raises `NoAccessError` when there is no such stack, `click.UsageError` when there are several."""
    name = choice.stack_name()
    if choice.local:
        run = LocalRun.find()
        return Target(run.session(), run.stack_name, run.outputs, account=run.account, local=run)
    session = _session(choice)
    cloudformation = _client(session, None, "cloudformation", 60, 3)
    stack = _describe(cloudformation, name) if name else _only_stack(cloudformation, session.region_name)
    if stack is None:
        raise NoAccessError(
            f"There is no stack {name} in {session.region_name}. {_what_there_is(cloudformation)}"
        )
    outputs = _outputs(stack)
    if not outputs:
        raise NoAccessError(f"{stack['StackName']} isn't deployed: its status is {stack['StackStatus']}.")
    # arn:aws:cloudformation:<region>:<account>:stack/...
    account = stack["StackId"].split(":")[4]
    return Target(session, stack["StackName"], outputs, account=account, local=None)


def stack_names(choice: Choice) -> list[str]:
    """The stacks of the account and region, for completion: asked once, and for two seconds only."""
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
    session = _session(choice)
    return sorted(each["StackName"] for each in _stacks(session.client("cloudformation", config=config)))


def _session(choice: Choice) -> Any:  # noqa: ANN401 - importing boto3 for its type is what is avoided
    # Here, because it takes a quarter of a second, which help and completion can do without.
    import boto3

    # boto3 itself reads AWS_DEFAULT_REGION only, but AWS's other tools read this one, and before the other.
    region = choice.region or os.environ.get("AWS_REGION")
    return boto3.Session(profile_name=choice.profile, region_name=region)


def _client(session: Any, local: LocalRun | None, service: str, read_timeout_s: int, tries: int) -> Any:  # noqa: ANN401
    from botocore.config import Config

    config = Config(
        connect_timeout=10,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": tries},
        # A company's proxy has no way to this machine.
        proxies={} if local else None,
    )
    return session.client(service, config=config, endpoint_url=local.endpoint_url if local else None)


def _describe(cloudformation: Any, name: str) -> Any:  # noqa: ANN401 - a boto3 client, a stack
    """The stack, or None when there is none."""
    from botocore.exceptions import ClientError

    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        # CloudFormation has no code of its own for a stack that doesn't exist.
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise


def _stacks(cloudformation: Any) -> Iterator[Any]:  # noqa: ANN401 - as above
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        # Before it is the setting namePrefix.
        yield from (stack for stack in page["Stacks"] if PREFIX in stack["StackName"])


def _only_stack(cloudformation: Any, region: str) -> Any:  # noqa: ANN401 - as above
    from botocore.exceptions import ClientError

    try:
        found = list(_stacks(cloudformation))
    except ClientError as error:
        if not is_denied(error):
            raise
        raise NoAccessError(
            f"Say which stage, by --stage or {STAGE_VARIABLE}: you may not list the stacks of this account "
            "(cloudformation:DescribeStacks)."
        ) from None
    if not found:
        raise NoAccessError(
            f"There is no stack {PREFIX}* in {region}. Choose another --region or --profile, or --local."
        )
    if len(found) > 1:
        names = ", ".join(sorted(stack["StackName"] for stack in found))
        raise click.UsageError(f"Say which stage, by --stage or {STAGE_VARIABLE}; there are: {names}.")
    return found[0]


def _what_there_is(cloudformation: Any) -> str:  # noqa: ANN401 - as above
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        names = sorted(stack["StackName"] for stack in _stacks(cloudformation))
    except (BotoCoreError, ClientError):
        return "Check --stage, --region and --profile."
    return f"There are: {', '.join(names)}." if names else f"There is no {PREFIX}* at all there."


def _outputs(stack: Any) -> dict[str, str]:  # noqa: ANN401 - as above
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
