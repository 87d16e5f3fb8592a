"""`python -m bench.scale` simulates all of docs/scale.md (minutes); `--write` puts it there.

`--limits` simulates its last table only (half a minute).
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "lambdas")]

from bench.cost.prices import Prices  # noqa: E402 - after the path is set
from bench.documents import write  # noqa: E402
from bench.scale.report import limits_table, plots, results_table  # noqa: E402
from bench.scale.scenarios import Case, Limit, bursts, cases, limits  # noqa: E402
from bench.scale.simulation import Result, Simulation  # noqa: E402


def simulate(case: Case) -> Result:
    """In a process of the pool."""
    result = Simulation(case.scenario).run()
    print(f"{case.leads} a minute, {case.api}, {case.settings}", file=sys.stderr)
    return result


def simulate_limit(limit: Limit) -> Result:
    """In a process of the pool."""
    result = Simulation(limit.scenario).run()
    print(f"{limit.a_second} calls a second, {limit.settings}", file=sys.stderr)
    return result


def main() -> None:
    """Runs the cases, two at a time."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs = [] if options.limits else [*cases(), *bursts()]
    with ProcessPoolExecutor(max_workers=2) as pool:
        limited = {limit: pool.submit(simulate_limit, limit) for limit in limits()}
        # The longest first.
        futures = {case: pool.submit(simulate, case) for case in reversed(runs)}
        results = {case: futures[case].result() for case in runs}
        of_limits = {limit: future.result() for limit, future in limited.items()}
    prices = Prices.read()
    tables = {"limits": limits_table(of_limits, prices)}
    if results:
        tables["runs"] = results_table(results, prices)
    print("\n\n".join(tables.values()))
    if options.write:
        write("docs/scale.md", tables)
        for name, svg in plots(results).items() if results else ():
            (PROJECT / "docs" / name).write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
