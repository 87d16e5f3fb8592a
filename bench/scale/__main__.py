"""`python -m bench.scale` simulates all of docs/scale.md (minutes); `--write` puts it there.

`--rates 10 1000` leaves out what takes long, and can't be written.
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
from bench.scale.scenarios import RATES, Case, Limit, bursts, cases, limits  # noqa: E402
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
    parser.add_argument("--rates", type=int, nargs="+", choices=RATES, default=RATES)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    runs = [*cases(tuple(options.rates)), *bursts()]
    with ProcessPoolExecutor(max_workers=2) as pool:
        # The longest first.
        limited = {limit: pool.submit(simulate_limit, limit) for limit in limits()} if options.write else {}
        futures = {case: pool.submit(simulate, case) for case in reversed(runs)}
        results = {case: futures[case].result() for case in runs}
        of_limits = {limit: future.result() for limit, future in limited.items()}
    computed = results_table(results, Prices.read())
    print(computed)
    if options.write:
        write("docs/scale.md", {"runs": computed, "limits": limits_table(of_limits, Prices.read())})
        for name, svg in plots(results).items():
            (PROJECT / "docs" / name).write_text(svg, "utf-8")


if __name__ == "__main__":
    main()
