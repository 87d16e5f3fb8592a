"""`python -m leadctl`, installed or in a checkout of the project."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("deliver_leads") is None:
    # Where the function's own package is in a checkout; an installation brings its part of it along.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "lambdas"))

from leadctl.cli import cli

if __name__ == "__main__":
    cli(prog_name="leadctl")
