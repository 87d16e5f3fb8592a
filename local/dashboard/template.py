"""The dashboard and the alarms that the monitoring stack's template holds, with a deployment's names."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.stack.emulator import REGION


@dataclass(frozen=True)
class Monitoring:
    """`alarms`: CloudFormation's properties of each, composite ones too, by its id without a hash."""

    widgets: list[dict[str, Any]]
    alarms: dict[str, dict[str, Any]]


def read_template(template: Mapping[str, Any], outputs: Mapping[str, str]) -> Monitoring:
    """`outputs` are the delivery stack's."""
    alarms, widgets = {}, []
    for key, resource in template["Resources"].items():
        properties = _resolve(resource.get("Properties", {}), outputs)
        if resource["Type"] in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
            alarms[_short(key)] = properties
        elif resource["Type"] == "AWS::CloudWatch::Dashboard":
            widgets = json.loads(properties["DashboardBody"])["widgets"]
    return Monitoring(widgets, alarms)


def _short(key: str) -> str:
    return re.sub(r"[0-9A-F]{8}$", "", key)


def _resolve(value: Any, outputs: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a template
    match value:
        case {"Fn::Join": [str() as glue, list() as parts]}:
            return glue.join(str(_resolve(part, outputs)) for part in parts)
        case {"Fn::GetStackOutput": {"OutputName": name}}:
            return outputs[name]
        case {"Fn::GetAtt": [key, _]} | {"Ref": key}:
            return REGION if key == "AWS::Region" else _short(key)
        case dict():
            return {name: _resolve(each, outputs) for name, each in value.items()}
        case list():
            return [_resolve(each, outputs) for each in value]
    return value
