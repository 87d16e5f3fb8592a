"""The file by which `leadctl --local` finds the tests' deployment, in the form that leadctl documents."""

import json
from pathlib import Path

from local.stack.deployment import Deployment
from local.stack.emulator import ACCOUNT, REGION


def write_run_file(folder: Path, deployment: Deployment) -> None:
    """Into `.local/run.json` of this folder."""
    run = {
        "endpointUrl": deployment.emulator.url,
        "region": REGION,
        "account": ACCOUNT,
        "accessKeyId": "test",
        "secretAccessKey": "test",
        "stackName": "LeadDelivery-dev",
        "outputs": deployment.outputs,
    }
    (folder / ".local").mkdir()
    (folder / ".local" / "run.json").write_text(json.dumps(run), "utf-8")
