"""The app's templates, synthesised as the CDK command line does it, but without the bundle."""

import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk

from app import build_stacks
from infra.bundling import PROJECT, LocalBundling
from infra.config import DeploymentConfig
from infra.delivery_stack import DeliveryStack
from infra.monitoring_stack import MonitoringStack
from infra.stage_settings import stage_config

Template = dict[str, Any]
Resource = dict[str, Any]

CDK_JSON = json.loads((PROJECT / "cdk.json").read_text("utf-8"))
# Templates of earlier runs: a synthesis takes about a second of CPU time, and the tests need some 60 of them.
CACHE = PROJECT / ".pytest_cache/templates"


# Some alarms are made only for who asks for them.
WITH_EVERY_ALARM = {"noLeadsAlarmHours": "24", "checkEveryMinutes": "60", "outcomeEvents": "ids"}


class Templates(NamedTuple):
    """One stage's templates."""

    delivery: Template
    monitoring: Template


def new_app(folder: str | None = None) -> cdk.App:
    """An app with the CDK's flags of cdk.json, whose assembly goes into the folder."""
    return cdk.App(
        outdir=folder,
        context={**CDK_JSON["context"], "aws:cdk:bundling-stacks": []},
        analytics_reporting=CDK_JSON["analyticsReporting"],
    )


def config_of(stage: str, **settings: str) -> DeploymentConfig:
    """A stage without a file, with `-c <setting>=<value>` for each setting.

    It delivers to 7Targets, unless a setting says otherwise.
    """
    return stage_config({"stage": stage, "settings": "", "leadsApi": "7targets", **settings})


def build(
    stage: str = "dev", *, app: cdk.App | None = None, **settings: str
) -> tuple[DeliveryStack, MonitoringStack]:
    """Both stacks of a stage without a file, not yet synthesised."""
    return build_stacks(app or new_app(), config_of(stage, **settings), LocalBundling())


def sources() -> list[Path]:
    """All that a template is made from, beside its settings; no template shows the rest of lambdas/."""
    return [
        *sorted((PROJECT / "infra").rglob("*.py")),
        PROJECT / "app.py",
        PROJECT / "cdk.json",
        PROJECT / "lambdas/deliver_leads/contract.py",
        PROJECT / "requirements.lock",
        Path(__file__).resolve(),
    ]


@functools.cache
def synthesise(stage: str = "dev", **settings: str) -> Templates:
    """Both templates, from the cache unless their sources changed. Raises what `synthesise_anew` raises."""
    asked = json.dumps([stage, sorted(settings.items())])
    cached = _cache_of_the_sources() / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
    if cached.exists():
        return Templates(*json.loads(cached.read_text("utf-8")))
    templates = synthesise_anew(stage, **settings)
    part = cached.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(templates), "utf-8")
    part.replace(cached)
    return templates


@functools.cache
def _cache_of_the_sources() -> Path:
    """The folder with the templates of the sources as they are now. Deletes those of other sources."""
    content = hashlib.sha256()
    for path in sources():
        content.update(f"{path} {path.stat().st_size}\n".encode() + path.read_bytes())
    folder = CACHE / content.hexdigest()
    # Also beside another process of the same sources, whose folder stays.
    folder.mkdir(parents=True, exist_ok=True)
    for other in set(CACHE.iterdir()) - {folder}:
        shutil.rmtree(other, ignore_errors=True)
    return folder


def synthesise_anew(stage: str = "dev", **settings: str) -> Templates:
    """Both templates. Raises what jsii raises when cdk-nag has a finding."""
    app = new_app()
    stacks = build(stage, app=app, **settings)
    assembly = app.synth()
    return Templates(*(assembly.get_stack_artifact(stack.artifact_id).template for stack in stacks))


def resources(template: Template, resource_type: str) -> dict[str, Resource]:
    """The resources of a type, by logical id."""
    return {key: r for key, r in template["Resources"].items() if r["Type"] == resource_type}


def properties(template: Template, resource_type: str) -> Resource:
    """The properties of the only resource of a type."""
    (resource,) = resources(template, resource_type).values()
    return dict(resource["Properties"])


def output_target(template: Template, output: str) -> str:
    """The logical id of the resource that an output is about."""
    value = template["Outputs"][output]["Value"]
    return str(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])


def resource_behind(template: Template, output: str) -> Resource:
    """The resource that an output is about."""
    return dict(template["Resources"][output_target(template, output)])
