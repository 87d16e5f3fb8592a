"""`python -m bench` measures the function beside what it is compared with; `make bench` runs all of it.

    python -m bench [PART ...] [--seed N]
    python -m bench --render

Only a whole run writes bench/results.json and from it the tables and plots of docs/measurements.md: all their
numbers are of one run. Any run prints the bars that it can judge.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# The settings of the tests are the function's.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lambdas"))

from bench import batch, cold_start, end_to_end, growth, lead_import, machine, rate, report
from bench.bars import judge
from bench.packages import PROJECT, NoPythonError, Packages, build
from bench.processes import ChildFailedError
from bench.servers import NotTakenError, Servers

RESULTS = PROJECT / "bench" / "results.json"
DOCUMENT = PROJECT / "docs" / "measurements.md"


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status; a bar that isn't kept doesn't change it."""
    options = _read_arguments(arguments)
    if options.render:
        report.write(json.loads(RESULTS.read_text("utf-8")), DOCUMENT)
        return 0
    parts = [part for part in _PARTS if part in (options.parts or _PARTS)]
    try:
        with tempfile.TemporaryDirectory(prefix="lead-delivery-bench-") as folder:
            results = _measure(Path(folder), parts, options.seed)
    except (NoPythonError, ChildFailedError, NotTakenError) as error:
        print(f"The benchmarks failed: {error}", file=sys.stderr)
        return 1
    if len(parts) == len(_PARTS):
        _write_json(results)
        report.write(results, DOCUMENT)
    print(report.table_of_bars(judge(results)))
    return 0


def _measure(folder: Path, parts: Sequence[str], seed: int) -> dict[str, Any]:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {what}", file=sys.stderr)

    say("Build the bundle and what it is compared with")
    packages = build(folder)
    results: dict[str, Any] = {"machine": machine.describe(packages), "seed": seed}
    for part in parts:
        say(f"Measure {part}")
        # Of its own, because a deployment goes on with the state that it finds in its folder.
        of_part = folder / part
        of_part.mkdir()
        results[part] = _PARTS[part](of_part, packages, seed)
    say("Done")
    return results


def _with_servers(
    measure: Callable[[Packages, Servers, int], dict[str, Any]],
) -> Callable[[Path, Packages, int], dict[str, Any]]:
    """A part that needs the servers: it gets new ones, and every lead must reach them."""

    def run(folder: Path, packages: Packages, seed: int) -> dict[str, Any]:
        with Servers(folder) as servers:
            measured = measure(packages, servers, seed)
            servers.require_all_taken()
            return measured

    return run


def _alone(measure: Callable[[Path, int], Any]) -> Callable[[Path, Packages, int], Any]:
    """A part that brings along all that it measures."""
    return lambda folder, _, seed: measure(folder, seed)


# In the order in which they run: first what is most likely not to work on a machine.
_PARTS: Mapping[str, Callable[[Path, Packages, int], Any]] = {
    "end_to_end": _alone(end_to_end.measure),
    "cold_start": _with_servers(cold_start.measure),
    "batch": _with_servers(batch.measure),
    "growth": _with_servers(growth.measure),
    "lead_import": _alone(lead_import.measure),
    "rate": _alone(rate.measure),
}


def _read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the function.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up leads; default: 1")
    parser.add_argument(
        "--render", action="store_true", help="only write tables and plots, from the last results"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return options


def _write_json(results: Mapping[str, Any]) -> None:
    """With each list of numbers on one line."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[[^\[\]{}]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    RESULTS.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
