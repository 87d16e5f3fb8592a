"""`python -m bench.cost` prints what leads cost; `--write` puts it into docs/cost.md and decision 0013."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "lambdas")]

from bench.cost.inputs import Inputs  # noqa: E402 - after the path is set
from bench.cost.prices import Prices  # noqa: E402
from bench.cost.tables import computed  # noqa: E402
from bench.documents import write  # noqa: E402

if __name__ == "__main__":
    for document, tables in computed(Inputs(), Prices.read()).items():
        for name, table in tables.items():
            print(f"\n{document}: {name}\n\n{table}")
        if "--write" in sys.argv:
            write(document, tables)
