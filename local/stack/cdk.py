"""Deploying with the CDK's own command line: what a person does on AWS, aimed at the emulator."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from botocore.exceptions import WaiterError

from local.stack.child_process import PROJECT, ChildFailedError, ChildProcess
from local.stack.emulator import Emulator
from local.stack.waiting import wait_until

_ALL_OF_CDK = PROJECT / "node_modules" / "aws-cdk"
_PROGRAM = _ALL_OF_CDK / "bin" / "cdk"
# What `cdk bootstrap` deploys.
_BOOTSTRAP_TEMPLATE = _ALL_OF_CDK / "lib" / "api" / "bootstrap" / "bootstrap-template.yaml"
_BOOTSTRAP_STACK = "CDKToolkit"
_TIMEOUT_S = 240.0


class CdkDeployment:
    """Builds and deploys the delivery stack; begins when constructed, and goes on while others work.

    Template and bundle go into `folder`: the project's cdk.out stays as it is.
    """

    def __init__(self, emulator: Emulator, folder: Path, context: Mapping[str, str]) -> None:
        if not _PROGRAM.exists():
            raise ChildFailedError("the CDK command line is not installed: run it by `make run`")
        bootstrap(emulator.client("cloudformation"))
        self._assembly = folder / "cdk.out"
        command = ["deploy", "LeadDelivery", "--output", str(self._assembly)]
        command += ["--require-approval", "never", "--no-notices"]
        command += [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
        self._process = ChildProcess(
            [shutil.which("node") or "node", str(_PROGRAM), *command],
            environment=_environment(emulator),
            log=folder / "cdk-deploy.log",
        )

    def finish(self, report: Callable[[str], None]) -> Path:
        """Waits for its end; returns the folder of the function's bundle. Raises `ChildFailedError`."""
        manifest = self._assembly / "manifest.json"
        wait_until(
            "the template", lambda: manifest.exists() or self._process.has_ended(), timeout_s=_TIMEOUT_S
        )
        report("Deploy the stack")
        self._process.wait(_TIMEOUT_S)
        return next(path.parent.parent for path in self._assembly.glob("asset.*/deliver_leads/handler.py"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()


def bootstrap(cloudformation: Any, name: str = _BOOTSTRAP_STACK, **parameters: str) -> None:  # noqa: ANN401
    """Deploys what `cdk bootstrap` does, without the seconds of its start; kept state has it already.

    `cloudformation` is a boto3 client; the template says what `parameters` there are.
    """
    summaries = cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"]
    if any(stack["StackName"] == name for stack in summaries):
        return
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=_BOOTSTRAP_TEMPLATE.read_text("utf-8"),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    waiter = cloudformation.get_waiter("stack_create_complete")
    try:
        waiter.wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 1500})
    except WaiterError as error:
        raise ChildFailedError(f"the CDK's bootstrap stack can't be deployed: {error}") from None


def _environment(emulator: Emulator) -> dict[str, str]:
    """This process's environment without anything that could lead to a real AWS account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    beside_python = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{beside_python}{os.pathsep}{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "CI": "true",
        # Its rules for templates take half of a synthesis. `make test` and `make synth` apply them.
        "CDK_VALIDATION": "false",
        **emulator.aws_environment(),
    }
