"""The app's templates, synthesised as the CDK command line does it, but without the bundle."""

import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import aws_cdk as cdk

from app import build_stacks
from infra.bundling import LocalBundling

Template = dict[str, Any]
Resource = dict[str, Any]

CDK_JSON = json.loads((Path(__file__).parents[2] / "cdk.json").read_text("utf-8"))


# Some alarms are made only for who asks for them.
WITH_EVERY_ALARM = {"noLeadsAlarmHours": "24", "checkEveryMinutes": "60", "outcomeEvents": "ids"}


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
