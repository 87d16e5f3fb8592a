"""The local run's file: `.local/run.json` in the project, which exists while the run does.

{
  "endpointUrl": "http://127.0.0.1:4566",     the emulated AWS; an address of this machine
  "region": "us-east-1",
  "account": "000000000000",
  "accessKeyId": "test",                      made up, good for nothing else
  "secretAccessKey": "test",
  "stackName": "LeadDelivery-dev",
  "outputs": {"LeadQueueUrl": "…", …},        the stack's
  "pageUrl": "http://127.0.0.1:8700"          may be left out
}
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from leadctl.problems import NoAccessError, ProblemError

PLACE = Path(".local") / "run.json"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class LocalRun:
    """What the file says."""

    endpoint_url: str
    region: str
    account: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    stack_name: str
    outputs: dict[str, str]
    page_url: str | None = None

    @classmethod
    def find(cls) -> "LocalRun":
        """From the current directory upwards. Raises `NoAccessError` when there is none."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / PLACE).is_file():
                return cls.read(folder / PLACE)
        raise NoAccessError(
            f"No local run: there is no {PLACE} in this folder or above it. Start one by `make dev`."
        )

    @classmethod
    def read(cls, path: Path) -> "LocalRun":
        """Raises `ProblemError` for a file that isn't the local run's."""
        try:
            written: Any = json.loads(path.read_text("utf-8"))
            run = cls(
                endpoint_url=written["endpointUrl"],
                region=written["region"],
                account=written["account"],
                access_key_id=written["accessKeyId"],
                secret_access_key=written["secretAccessKey"],
                stack_name=written["stackName"],
                outputs=dict(written["outputs"]),
                page_url=written.get("pageUrl"),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ProblemError(f"{path} isn't a local run's file ({error!r}): start it again.") from None
        if urlsplit(run.endpoint_url).hostname not in _LOOPBACK:
            raise ProblemError(f"{path} names {run.endpoint_url}, which isn't on this machine.")
        return run

    def session(self) -> Any:  # noqa: ANN401 - a boto3 session
        """With the run's own credentials, whatever the environment and the user's profiles say."""
        import boto3
        import botocore.session

        # Else the profile that AWS_PROFILE names would be wanted.
        core = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        return boto3.Session(
            botocore_session=core,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=self.region,
        )
