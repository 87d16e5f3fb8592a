"""The stage that is tried: deployed by the CDK, looked at and destroyed by AWS's own calls."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psutil
from botocore.config import Config
from botocore.exceptions import ClientError

from local.stack.cdk import bootstrap
from local.stack.child_process import PROJECT, ChildProcess

# In the order in which they are made; they go the other way round.
STACKS = ("LeadSandbox", "LeadDelivery", "LeadMonitoring")
EXECUTION_POLICY = PROJECT / "docs" / "execution-policy.json"
_CDK = PROJECT / "node_modules" / "aws-cdk" / "bin" / "cdk"
_GONE = "DELETE_COMPLETE"
_DEPLOYMENT_S = 1800.0
_DELETION_S = 1200.0
# Minutes of retries become seconds, and the 10 executions at once that a new account has are enough: 2 of the
# function that delivers, and 6 of the sandbox. The settling time is the time-out of the sandbox's function,
# because a request that it has begun may take effect until then.
SETTINGS = {
    "leadsApi": "sandbox",
    "keepData": "false",
    "logRetentionDays": "1",
    "outcomeEvents": "ids",
    "maximumConcurrency": "2",
    "parallelCalls": "3",
    "retryBaseDelaySeconds": "5",
    "retryMaxDelaySeconds": "60",
    "parkAfterHours": "4",
    "functionTimeoutSeconds": "120",
    "connectTimeoutSeconds": "2",
    "readTimeoutSeconds": "15",
    "settlingTimeSeconds": "60",
}
Found = TypeVar("Found")


class ProofError(Exception):
    """The proof can't go on; the text says why, for a person."""


class Stage:
    """One stage, where this process's AWS variables lead: on AWS, or on the emulator at `endpoint`."""

    def __init__(self, name: str, folder: Path, *, endpoint: str = "") -> None:
        self.name, self.folder, self.endpoint = name, folder, endpoint
        # The proof's own: a bus of somebody else's, a bootstrap and its policy.
        self.bus = self.bootstrap = f"LeadProof-{name}"
        # Another name for each run, because SQS gives a name anew only after a minute.
        self.probe_queue = f"LeadProof-{name}-{secrets.token_hex(4)}"
        # A bootstrap's resources are named after it; ten characters at most.
        self._qualifier = f"p{hashlib.sha256(name.encode()).hexdigest()[:9]}"
        self._clients: dict[str, Any] = {}
        # The requests by service; by "entries" the events of PutEvents.
        self.used: Counter[str] = Counter()

    def client(self, service: Any) -> Any:  # noqa: ANN401 - boto3's clients have no type of their own
        """A boto3 client. Lambda's doesn't call again: that would send a lead, or buy a token, twice."""
        if service not in self._clients:
            tries = 1 if service == "lambda" else 8
            retrying = Config(retries={"total_max_attempts": tries, "mode": "standard"}, read_timeout=120)
            self._clients[service] = client = boto3.client(service, config=retrying)
            client.meta.events.register("before-call", lambda **_: self.used.update([service]))
        return self._clients[service]

    @property
    def is_emulated(self) -> bool:
        return bool(self.endpoint)

    @cached_property
    def region(self) -> str:
        return str(self.client("cloudformation").meta.region_name)

    @cached_property
    def _arn(self) -> str:
        return str(self.client("sts").get_caller_identity()["Arn"])

    @property
    def account(self) -> str:
        return self._arn.split(":")[4]

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that can be made here: the emulator has neither composite alarms nor saved queries."""
        return STACKS[:2] if self.is_emulated else STACKS

    def stack_names(self) -> list[str]:
        return [self.bootstrap, *(f"{stack}-{self.name}" for stack in STACKS)]

    def states(self) -> dict[str, str]:
        """The state of each stack that is there, by name."""
        found = {}
        for name in self.stack_names():
            try:
                [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ValidationError":  # as if the stage were gone
                    raise
                continue
            if stack["StackStatus"] != _GONE:
                found[name] = stack["StackStatus"]
        return found

    def _is_made(self, name: str) -> bool:
        return self.states().get(name) != "CREATE_IN_PROGRESS"

    def _is_gone(self, name: str) -> bool:
        state = self.states().get(name, _GONE)
        if state == "DELETE_FAILED":
            raise ProofError(f"{name} can't be deleted: see its events in the CloudFormation console")
        return state == _GONE

    def outputs(self, stack: str = "LeadDelivery") -> dict[str, str]:
        [found] = self.client("cloudformation").describe_stacks(StackName=f"{stack}-{self.name}")["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}

    @cached_property
    def delivery(self) -> dict[str, str]:
        """The outputs of the stack LeadDelivery."""
        return self.outputs()

    def make_probes(self) -> None:
        """What the stage is tried with: a bus of somebody else's, and a queue that listens.

        And a bootstrap by which CloudFormation may do what docs/execution-policy.json says, and no more.
        """
        document = EXECUTION_POLICY.read_text("utf-8")
        policy = self.client("iam").create_policy(PolicyName=self.bootstrap, PolicyDocument=document)
        bootstrap(
            self.client("cloudformation"),
            self.bootstrap,
            Qualifier=self._qualifier,
            CloudFormationExecutionPolicies=policy["Policy"]["Arn"],
            FileAssetsBucketKmsKeyId="AWS_MANAGED_KEY",
        )
        self.client("events").create_event_bus(Name=self.bus)
        self.client("sqs").create_queue(QueueName=self.probe_queue)

    def begin_deployment(self, *words: str, bus: str = "") -> ChildProcess:
        """All stacks at once, as a person deploys them; on its own bus, unless another is named."""
        file = PROJECT / "settings" / f"{self.name}.toml"
        # The stage's file may name an account, a network or keys, which the emulator has not.
        if self.is_emulated or not file.is_file():
            file = self.folder / "no-settings.toml"
            file.touch()
        context = {"stage": self.name, "settings": str(file), **SETTINGS, "eventBusName": bus}
        context["@aws-cdk/core:bootstrapQualifier"] = self._qualifier
        command = [shutil.which("node") or "node", str(_CDK), "deploy", *self.stacks, *words, "--no-notices"]
        command += ["--require-approval", "never", "--output", str(self.folder / "cdk.out")]
        command += [word for key, value in context.items() for word in ("-c", f"{key}={value}")]
        deployment = ChildProcess(command, environment=environment(), log=self.folder / "cdk-deploy.log")
        self._deployment_file.parent.mkdir(exist_ok=True)
        self._deployment_file.write_text(str(deployment.pid), "utf-8")
        return deployment

    @property
    def _deployment_file(self) -> Path:
        """Holds the process that deploys, which outlives this one if this one is killed."""
        place = re.sub(r"\W+", "-", self.endpoint) or "aws"
        return PROJECT / ".local" / f"{self.name}-{place}.pid"

    def _end_deployment(self) -> None:
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(self._deployment_file.read_text("utf-8")))
            if str(_CDK) in process.cmdline():
                for each in [*process.children(recursive=True), process]:
                    each.kill()
        self._deployment_file.unlink(missing_ok=True)

    def deploy(self, *words: str, bus: str = "") -> None:
        with self.begin_deployment(*words, bus=bus) as deployment:
            self.finish_deployment(deployment)

    def finish_deployment(self, deployment: ChildProcess) -> None:
        deployment.wait(_DEPLOYMENT_S)
        vars(self).pop("delivery", None)
        self.require_the_sandbox()
        if self.is_emulated:
            self.reach_the_sandbox()

    def destroy(self) -> None:
        """Deletes all that there may be of the stage, whoever made it. Does no harm where nothing is.

        Raises `ProofError` when something is left, or went only by rights that the execution policy lacks.
        """
        self._end_deployment()
        by_force = []
        for name in reversed(self.stack_names()):
            if name in self.states():
                if self.is_emulated:  # it would go on to make what it is making
                    self.until(f"the making of {name}", partial(self._is_made, name), 120)
                try:
                    self._delete(name)
                except ProofError:
                    by_force.append(name)
                    self._delete_by_force(name)
        events, sqs = self.client("events"), self.client("sqs")
        if self.bus in [bus["Name"] for bus in events.list_event_buses(NamePrefix=self.bus)["EventBuses"]]:
            for rule in events.list_rules(EventBusName=self.bus)["Rules"]:
                targets = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=self.bus)["Targets"]
                for each in targets:
                    events.remove_targets(Rule=rule["Name"], EventBusName=self.bus, Ids=[each["Id"]])
                events.delete_rule(Name=rule["Name"], EventBusName=self.bus)
            events.delete_event_bus(Name=self.bus)
        for url in sqs.list_queues(QueueNamePrefix=f"LeadProof-{self.name}-").get("QueueUrls", []):
            sqs.delete_queue(QueueUrl=url)
        self._destroy_bucket()
        with contextlib.suppress(self.client("iam").exceptions.NoSuchEntityException):
            partition = self._arn.split(":")[1]
            self.client("iam").delete_policy(
                PolicyArn=f"arn:{partition}:iam::{self.account}:policy/{self.bootstrap}"
            )
        if by_force:
            raise ProofError(f"{', '.join(by_force)}: deleted only by an administrator's rights")

    def _delete(self, stack: str) -> None:
        self.client("cloudformation").delete_stack(StackName=stack)
        self.until(f"the end of {stack}", partial(self._is_gone, stack), _DELETION_S)

    def _delete_by_force(self, stack: str) -> None:
        """What nobody deletes costs money, also if it is the execution policy that is too narrow."""
        administrator = {
            "RoleName": f"cdk-{self._qualifier}-cfn-exec-role-{self.account}-{self.region}",
            "PolicyArn": f"arn:{self._arn.split(':')[1]}:iam::aws:policy/AdministratorAccess",
        }
        self.client("iam").attach_role_policy(**administrator)
        try:
            time.sleep(15)  # until IAM has spread it
            self._delete(stack)
        finally:
            self.client("iam").detach_role_policy(**administrator)

    def _destroy_bucket(self) -> None:
        """The bootstrap's, which its stack keeps."""
        s3, bucket = self.client("s3"), f"cdk-{self._qualifier}-assets-{self.account}-{self.region}"
        with contextlib.suppress(s3.exceptions.NoSuchBucket):
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                    s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
            s3.delete_bucket(Bucket=bucket)

    def left_over(self) -> list[str]:
        """What is still there of the stage, as far as its name says so."""
        prefixes = (*self.stack_names(), f"cdk-{self._qualifier}-")
        names = [
            *(queue.rpartition("/")[2] for queue in self._listed("sqs", "list_queues", "QueueUrls")),
            *(bus["Name"] for bus in self._listed("events", "list_event_buses", "EventBuses")),
            *(each["FunctionName"] for each in self._listed("lambda", "list_functions", "Functions")),
            *self._listed("dynamodb", "list_tables", "TableNames"),
            *(each["logGroupName"] for each in self._listed("logs", "describe_log_groups", "logGroups")),
            *(each["AlarmName"] for each in self._listed("cloudwatch", "describe_alarms", "MetricAlarms")),
            *(each["TopicArn"].rpartition(":")[2] for each in self._listed("sns", "list_topics", "Topics")),
            *(each["RoleName"] for each in self._listed("iam", "list_roles", "Roles")),
            *(each["Name"] for each in self._listed("s3", "list_buckets", "Buckets")),
            *(each["Name"] for each in self._listed("secretsmanager", "list_secrets", "SecretList")),
            *self.states(),
        ]
        return sorted(name for name in names if name.startswith(prefixes))

    def _listed(self, service: str, operation: str, key: str) -> list[Any]:
        client = self.client(service)
        if not client.can_paginate(operation):
            return list(getattr(client, operation)()[key])
        pages = client.get_paginator(operation).paginate()
        return [each for page in pages for each in page.get(key, [])]

    def until(self, what: str, find: Callable[[], Found], timeout_s: float) -> Found:
        """What `find` returns as soon as it is true. Raises `ProofError`."""
        deadline, pause_s = time.monotonic() + timeout_s, 0.5 if self.is_emulated else 2.0
        while not (found := find()):
            if time.monotonic() > deadline:
                raise ProofError(f"{what}: not within {timeout_s:g} s")
            time.sleep(pause_s)
        return found

    def variables(self) -> dict[str, str]:
        """The environment variables of the function that delivers."""
        answer = self.client("lambda").get_function_configuration(FunctionName=self.delivery["FunctionName"])
        return dict(answer["Environment"]["Variables"])

    def set_variables(self, **changed: str) -> None:
        client, name = self.client("lambda"), self.delivery["FunctionName"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": self.variables() | changed}
        )
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})

    def require_the_sandbox(self) -> None:
        """Raises `ProofError` unless the function delivers to the sandbox of this stage and nowhere else."""
        url, variables = self.outputs("LeadSandbox")["Url"], self.variables()
        expected = {"LEADS_API_URL": url, "TOKEN_URL": f"{url}/oauth2/token"}
        if wrong := {name: variables[name] for name in expected if variables[name] != expected[name]}:
            raise ProofError(f"the function doesn't deliver to the stage's sandbox, but has {wrong}")

    def reach_the_sandbox(self) -> None:
        """On the emulator: the same function URL, under the path by which the emulator answers for it.

        Its own name leads to AWS. Meanwhile no lead is under way, because the emulator ends the function at a
        change, and the lead would be hidden for the queue's visibility timeout.
        """
        client, mapping = self.client("lambda"), self.delivery["EventSourceMappingId"]
        client.update_event_source_mapping(UUID=mapping, Enabled=False)
        self.until("a lead queue without leads under way", self._nothing_is_under_way, 120)
        url_id = self.outputs("LeadSandbox")["Url"].removeprefix("https://").partition(".")[0]
        url = f"{self.endpoint}/_aws/lambda-url/{url_id}"
        self.set_variables(LEADS_API_URL=url, TOKEN_URL=f"{url}/oauth2/token")
        client.update_event_source_mapping(UUID=mapping, Enabled=True)

    def _nothing_is_under_way(self) -> bool:
        name = "ApproximateNumberOfMessagesNotVisible"
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=self.delivery["LeadQueueUrl"], AttributeNames=[name]
        )
        return bool(answer["Attributes"][name] == "0")

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON it answers
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise ProofError(f"{function} failed: {result}")
        return result

    def sandbox(self, path: str, *, method: str = "GET", body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """A control call of the sandbox. Raises `ProofError` when it is refused."""
        event = {"method": method, "path": path} | ({} if body is None else {"body": body})
        answer = self.invoke(self.delivery["SandboxFunctionName"], event)
        if answer["status"] != 200:
            raise ProofError(f"the sandbox refused {path}: {answer['body']}")
        return answer["body"]

    def set_faults(self, *rules: Mapping[str, Any]) -> None:
        self.sandbox("faults", method="PUT", body=list(rules))

    def leads(self, prefix: str) -> dict[str, dict[str, Any]]:
        """The leads in the sandbox whose e-mail addresses begin so."""
        return {lead["email"]: lead for lead in self.sandbox("leads") if lead["email"].startswith(prefix)}

    def send(self, messages: list[dict[str, Any]]) -> None:
        """Lead events straight to the lead queue."""
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(place), "MessageBody": json.dumps(message)}
                for place, message in enumerate(messages[start : start + 10])
            ]
            self.client("sqs").send_message_batch(QueueUrl=self.delivery["LeadQueueUrl"], Entries=entries)

    def put(self, *entries: Mapping[str, Any]) -> int:
        """Events on the bus, in one call; how many were refused."""
        self.used["entries"] += len(entries)
        usual = {"EventBusName": self.bus, "Source": "prove.example", "DetailType": "Lead Created"}
        filled = [{**usual, **entry, "Detail": json.dumps(entry["Detail"])} for entry in entries]
        return int(self.client("events").put_events(Entries=filled)["FailedEntryCount"])

    def receive(self, url: str, *, delete: bool = True) -> list[dict[str, Any]]:
        """What a queue gives within a moment."""
        sqs = self.client("sqs")
        answer = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        for message in messages if delete else []:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    @cached_property
    def probe_url(self) -> str:
        return str(self.client("sqs").get_queue_url(QueueName=self.probe_queue)["QueueUrl"])

    @cached_property
    def probe_arn(self) -> str:
        sqs = self.client("sqs")
        answer = sqs.get_queue_attributes(QueueUrl=self.probe_url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def sum_of(
        self, namespace: str, metric: str, since: float, *, statistic: str = "Sum", **dimensions: str
    ) -> float:
        """The sum of one of CloudWatch's metrics from the minute of `since` on, an epoch second."""
        answer = self.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=since // 60 * 60,
            EndTime=time.time() + 60,
            Period=60,
            Statistics=[statistic],
        )
        return float(sum(point[statistic] for point in answer["Datapoints"]))


def commit() -> str:
    """The checkout's commit, and whether files differ from it."""
    git = shutil.which("git") or "git"
    run = subprocess.run(  # noqa: S603 - the words are written here
        [git, "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip() or "unknown"


def environment() -> dict[str, str]:
    """This process's own, with its Python for the app of the CDK, and without the rules of `make synth`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CI": "true", "CDK_VALIDATION": "false"}
