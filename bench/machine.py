"""The machine on which a run was made."""

import datetime
import os
import platform
import ssl
import subprocess
from pathlib import Path
from typing import Any

from bench.packages import Packages, versions
from bench.pinning import IS_PINNED
from infra.version import commit

_SHOWN = ("aws_lambda_powertools", "boto3", "botocore", "requests", "urllib3")


def describe(packages: Packages) -> dict[str, Any]:
    """The machine and the versions, for a reader who compares two runs."""
    function = subprocess.run(  # noqa: S603
        [packages.python, "-c", "import platform; print(platform.python_version())"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = versions(packages.plain)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "commit": commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "pinned": IS_PINNED,
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": function.stdout.strip(),
        "server_python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "packages": {name: found[name] for name in _SHOWN},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
