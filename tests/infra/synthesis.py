"""The app's templates, synthesised as the CDK command line does it, but without the bundle."""

import dataclasses
import functools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk

from app import build_stacks
from infra.bundling import LocalBundling
from infra.config import DeploymentConfig

Template = dict[str, Any]
Resource = dict[str, Any]

CDK_JSON = json.loads((Path(__file__).parents[2] / "cdk.json").read_text("utf-8"))


# The alarms that are made only for who asks for them, each with its setting.
_ON_REQUEST = {
    "NoLeads": {"noLeadsAlarmHours": "24"},
    "CheckFailed": {"checkEveryMinutes": "60"},
    "OutcomeEventsLost": {"outcomeEvents": "true"},
}
_SETTINGS = {re.sub("_([a-z])", lambda m: m[1].upper(), f.name) for f in dataclasses.fields(DeploymentConfig)}
# Nobody can ask for these yet: their setting is still to come.
NOT_TO_BE_HAD = {name for name, settings in _ON_REQUEST.items() if not settings.keys() <= _SETTINGS}
WITH_EVERY_ALARM = {
    key: value
    for name, settings in _ON_REQUEST.items()
    if name not in NOT_TO_BE_HAD
    for key, value in settings.items()
}


class Templates(NamedTuple):
    """One stage's templates."""

    delivery: Template
    monitoring: Template


def new_app(stage: str, **settings: str) -> cdk.App:
    """An app with cdk.json's context, `-c stage=<stage>` and `-c <setting>=<value>` for each setting."""
    return cdk.App(
        context={**CDK_JSON["context"], "stage": stage, **settings, "aws:cdk:bundling-stacks": []},
        analytics_reporting=CDK_JSON["analyticsReporting"],
    )


@functools.cache
def synthesise(stage: str = "dev", **settings: str) -> Templates:
    """Both templates. Raises what jsii raises when cdk-nag has a finding."""
    app = new_app(stage, **settings)
    stacks = build_stacks(app, LocalBundling())
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
