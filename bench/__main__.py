"""`python -m bench` measures the function beside what it is compared with; `make bench` runs all of it.

    python -m bench [PART ...] [--quick] [--seed N] [--output FILE]
    python -m bench --render

Only a whole run, which isn't quick, writes bench/results.json and from it the tables and plots of
docs/measurements.md: all their numbers are of one run. Any run prints the bars that it can judge.
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
            results = _measure(Path(folder), parts, options.seed, quick=options.quick)
    except (NoPythonError, ChildFailedError, NotTakenError) as error:
        print(f"The benchmarks failed: {error}", file=sys.stderr)
        return 1
    if options.output:
        _write_json(results, options.output)
    if len(parts) == len(_PARTS) and not options.quick:
        _write_json(results, RESULTS)
        report.write(results, DOCUMENT)
    print(report.table_of_bars(judge(results)))
    return 0


def _measure(folder: Path, parts: Sequence[str], seed: int, *, quick: bool) -> dict[str, Any]:
    started = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {what}", file=sys.stderr)

    say("Build the bundle and what it is compared with")
    packages = build(folder)
    results: dict[str, Any] = {"machine": machine.describe(packages), "seed": seed, "quick": quick}
    for part in parts:
        say(f"Measure {part}")
        results[part] = _PARTS[part](folder, packages, seed, quick)
    say("Done")
    return results


def _with_servers(
    measure: Callable[..., dict[str, Any]],
) -> Callable[[Path, Packages, int, bool], dict[str, Any]]:
    """A part that needs the servers: it gets new ones, and every lead must reach them."""

    def run(folder: Path, packages: Packages, seed: int, quick: bool) -> dict[str, Any]:
        with Servers(folder) as servers:
            measured = measure(packages, servers, seed, quick=quick)
            servers.require_all_taken()
            return measured

    return run


def _end_to_end(folder: Path, _: Packages, seed: int, quick: bool) -> dict[str, Any]:
    return end_to_end.measure(folder, seed, quick=quick)


def _rate(folder: Path, _: Packages, seed: int, quick: bool) -> list[Any]:
    return [*rate.measure(folder, seed, quick=quick)]


def _lead_import(folder: Path, _: Packages, seed: int, quick: bool) -> list[dict[str, Any]]:
    return lead_import.measure(folder, seed, quick=quick)


# In the order in which they run: first what is most likely not to work on a machine.
_PARTS: Mapping[str, Callable[[Path, Packages, int, bool], Any]] = {
    "end_to_end": _end_to_end,
    "cold_start": _with_servers(cold_start.measure),
    "batch": _with_servers(batch.measure),
    "growth": _with_servers(growth.measure),
    "lead_import": _lead_import,
    "rate": _rate,
}


def _read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the function.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it run?")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up leads; default: 1")
    parser.add_argument("--output", type=Path, help="also write the results there, as JSON")
    parser.add_argument(
        "--render", action="store_true", help="only write tables and plots, from the last results"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return options


def _write_json(results: Mapping[str, Any], path: Path) -> None:
    """With each list of numbers on one line."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"\[[^\[\]{}]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    path.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
