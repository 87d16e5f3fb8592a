"""`LeadDelivery` in other people's CDK apps: the example of the documents, and what it may be given."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks
from cfnlint.api import lint_all  # type: ignore[import-untyped]

from infra import ConfigError, DeploymentConfig, LeadDelivery
from infra.bundling import PROJECT
from infra.encryption import service_statements
from sim.synthesis import Template, output_target, properties, resources

EXAMPLE = PROJECT / "docs/construct/app.py"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel holds, with a small file in the place of the function's bundle."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = tomllib.loads((PROJECT / "infra/pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    for source, target in wheel["targets"]["wheel"]["force-include"].items():
        origin = PROJECT / "infra" / source
        (folder / target).parent.mkdir(exist_ok=True)
        if origin.name == "bundle.zip":
            with zipfile.ZipFile(folder / target, "w") as bundle:
                bundle.writestr("deliver_leads/handler.py", "")
        elif origin.name == "commit.txt":
            (folder / target).write_text("0123456789ab\n", "ascii")
        elif origin.is_dir():
            shutil.copytree(origin, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, folder / target)
    return folder


@pytest.fixture(scope="session")
def example(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's assembly, synthesised by a process of its own in a folder without this repository."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copy(EXAMPLE, folder / "app.py")
    nag = (
        "import runpy, aws_cdk as cdk, cdk_nag; new = cdk.App.__init__\n"
        "def init(self, *a, **k):\n"
        "    new(self, *a, **k)\n"
        "    cdk.Validations.of(self).add_plugins(cdk_nag.AwsSolutionsChecks(self))\n"
        "cdk.App.__init__ = init; runpy.run_path('app.py', run_name='__main__')"
    )
    done = subprocess.run(  # noqa: S603 - the project's own example
        [sys.executable, "-c", nag],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(packages), "CDK_OUTDIR": str(folder / "cdk.out")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "cdk.out"


def example_template(example: Path, stack: str) -> Template:
    """The template of one of the example's stacks."""
    return dict(json.loads((example / f"{stack}.template.json").read_text("utf-8")))


@pytest.mark.shipped
def test_the_example_synthesises_from_the_wheel_s_files_alone_and_passes_cdk_nag(example: Path) -> None:
    """A finding of cdk-nag fails the synthesis itself; the function is the one that the wheel brings."""
    template = example_template(example, "sales-leads")
    assert properties(template, "AWS::Events::Rule")["Name"] == "sales-leads"
    function = properties(template, "AWS::Lambda::Function")
    zips = [path for path in example.glob("asset.*.zip") if path.name.split(".")[1] in str(function["Code"])]
    assert [zipfile.ZipFile(path).namelist() for path in zips] == [["deliver_leads/handler.py"]]


@pytest.mark.shipped
@pytest.mark.parametrize("stack", ["sales-platform", "sales-leads"])
def test_the_example_passes_cfn_lint(example: Path, stack: str) -> None:
    """As ours do; W6001, an output about another stack's bus, is the app's own choice."""
    findings = lint_all(json.dumps(example_template(example, stack)))
    assert [str(match) for match in findings if match.rule.id[0] != "I" and match.rule.id != "W6001"] == []


@pytest.mark.shipped
def test_the_example_has_leadctl_s_outputs_and_its_own_resources_in_place_of_ours(example: Path) -> None:
    """leadctl takes `--stack sales-leads`, whatever the constructs' ids are."""
    template = example_template(example, "sales-leads")
    assert template["Outputs"]["MonitoringStackName"]["Value"] == "sales-leads"
    assert {"LeadQueueUrl", "FunctionName", "DashboardUrl", "AlarmTopicArn"} <= template["Outputs"].keys()
    assert not resources(template, "AWS::Events::EventBus")
    assert not resources(template, "AWS::KMS::Key")
    alarms = [a["Properties"]["AlarmName"] for a in resources(template, "AWS::CloudWatch::Alarm").values()]
    assert all(name.startswith("sales-leads-") for name in alarms)
    platform = example_template(example, "sales-platform")
    sids = {s.get("Sid") for s in properties(platform, "AWS::KMS::Key")["KeyPolicy"]["Statement"]}
    assert {statement.sid for statement in service_statements()} <= sids


def stack_in_an_app() -> cdk.Stack:
    """An empty stack under cdk-nag."""
    app = cdk.App()
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return cdk.Stack(app, "Team")


def deliver(stack: cdk.Stack, **given: Any) -> LeadDelivery:
    """The construct with code that is no bundle."""
    given = {"config": DeploymentConfig(stage="prod"), **given}
    code = lambda_.Code.from_inline("def handler(event, context): ...")
    return LeadDelivery(stack, "Leads", code=code, **given)


def template_of(stack: cdk.Stack) -> Template:
    """The stack's template; the synthesis fails on a finding of cdk-nag."""
    app = stack.node.root
    assert isinstance(app, cdk.App)
    return dict(app.synth().get_stack_artifact(stack.artifact_id).template)


def queue(stack: cdk.Stack, name: str, visibility_s: int) -> sqs.Queue:
    """A team's own queue."""
    dead = sqs.Queue(stack, f"{name}Dead", enforce_ssl=True)
    cdk.Validations.of(dead).acknowledge(cdk.Acknowledgment(id="AwsSolutions-SQS3", reason="It is one."))
    return sqs.Queue(
        stack,
        name,
        enforce_ssl=True,
        visibility_timeout=cdk.Duration.seconds(visibility_s),
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=1000),
    )


@pytest.mark.shipped
def test_what_exists_is_used_in_place_of_what_would_be_made() -> None:
    """Queue, dead-letter queue, log group and bus; the queue's policy lets the rule send before it exists."""
    stack = stack_in_an_app()
    given = queue(stack, "TeamQueue", 900)
    parked = sqs.Queue(stack, "Parked", enforce_ssl=True)
    cdk.Validations.of(parked).acknowledge(
        cdk.Acknowledgment(id="AwsSolutions-SQS3", reason="It is a dead-letter queue.")
    )
    deliver(
        stack,
        lead_queue=given,
        dead_letter_queue=parked,
        log_group=logs.LogGroup(stack, "Log"),
        event_bus=events.EventBus.from_event_bus_name(stack, "Default", "default"),
    )
    template = template_of(stack)
    assert output_target(template, "LeadQueueUrl").startswith("TeamQueue")
    assert output_target(template, "DeadLetterQueueUrl").startswith("Parked")
    assert output_target(template, "LogGroupName").startswith("Log")
    assert template["Outputs"]["EventBusName"]["Value"] == "default"
    policies = resources(template, "AWS::SQS::QueuePolicy")
    (rule,) = resources(template, "AWS::Events::Rule").values()
    before = [policies[name]["Properties"]["Queues"] for name in rule["DependsOn"] if name in policies]
    assert [{"Ref": output_target(template, "LeadQueueUrl")}] in before
    mapping = properties(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [output_target(template, "LeadQueueUrl"), "Arn"]}


@pytest.mark.shipped
def test_a_queue_of_another_stack_lets_the_rule_send_before_the_rule_exists() -> None:
    """The stacks don't depend on each other both ways, which the CDK refuses."""
    stack = stack_in_an_app()
    platform = cdk.Stack(cdk.Stage.of(stack), "Platform")
    lead_queue = queue(platform, "TeamQueue", 900)
    assert lead_queue.dead_letter_queue
    deliver(
        stack,
        lead_queue=lead_queue,
        dead_letter_queue=lead_queue.dead_letter_queue.queue,
        topics=[sns.Topic(platform, "Fairs", enforce_ssl=True)],
    )
    template_of(stack)
    assert platform in stack.dependencies
    allowed = [
        statement
        for policy in resources(template_of(platform), "AWS::SQS::QueuePolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Principal"] == {"Service": "events.amazonaws.com"}
    ]
    assert ":rule/Team/leads" in json.dumps(allowed)


def test_what_would_lose_or_repeat_leads_is_refused_with_a_sentence() -> None:
    """Whatever the app hands in."""
    stack = stack_in_an_app()
    with pytest.raises(ConfigError, match="visibility timeout is 899 s, but must be at least 900"):
        deliver(stack, lead_queue=queue(stack, "Short", 899))
    with pytest.raises(ConfigError, match="must be a standard queue"):
        deliver(cdk.Stack(stack, "A"), lead_queue=sqs.Queue(stack, "Fifo", fifo=True))
    config = DeploymentConfig(stage="prod", event_bus_name="default")
    with pytest.raises(ConfigError, match="eventBusName, producerAccounts and producerOrganization are"):
        deliver(cdk.Stack(stack, "B"), config=config, event_bus=events.EventBus(stack, "Bus"))
    whole = cdk.Stack(stack, "C")
    deliver(whole)
    with pytest.raises(ConfigError, match="has a LeadDelivery already; a second one needs its own"):
        LeadDelivery(whole, "Again", config=DeploymentConfig(stage="prod"))


def test_a_queue_of_another_app_is_taken_with_a_warning() -> None:
    """Its policy and its visibility timeout can't be seen here; whoever gets rights on it gets its key's."""
    stack = stack_in_an_app()
    arn, key = "arn:aws:sqs:eu-west-1:111122223333:theirs", "arn:aws:kms:eu-west-1:111122223333:key/1234"
    given = sqs.Queue.from_queue_attributes(stack, "Theirs", queue_arn=arn, key_arn=key)
    delivery = deliver(stack, lead_queue=given)
    assert [each.key_arn for each in delivery.keys_in_use()] == [key]
    notes = [str(entry.data) for entry in delivery.node.metadata if entry.type == "aws:cdk:warning"]
    assert any(
        "must let the rule send, and its visibility timeout must be at least 900 s" in n for n in notes
    )


@pytest.mark.shipped
def test_a_topic_s_subscription_has_the_topic_s_own_id() -> None:
    """Its ARN is known to CloudFormation only, and a subscription that is made anew loses messages."""
    ids = []
    for others in (0, 2):
        stack = stack_in_an_app()
        more = [sns.Topic(stack, f"Other{number}", enforce_ssl=True) for number in range(others)]
        topic = sns.Topic(stack, "Fairs", enforce_ssl=True)
        deliver(stack, topics=[*more, topic])
        subscriptions = resources(template_of(stack), "AWS::SNS::Subscription")
        ids.append(
            [name for name, each in subscriptions.items() if "Fairs" in json.dumps(each["Properties"])]
        )
    assert ids[0] == ids[1]
    assert len(ids[0]) == 1
