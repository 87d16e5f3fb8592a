"""`python -m sim.alarms` prints the table of failures and alarms; `--write` puts it into docs/alarms.md."""

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT), str(PROJECT / "lambdas")]

from sim.alarms.table import alarms_of, table, templates  # noqa: E402 - after the path is set

if __name__ == "__main__":
    computed = table(alarms_of(templates()))
    print(computed)
    if "--write" in sys.argv:
        page = PROJECT / "docs/alarms.md"
        text = page.read_text("utf-8")
        new, count = re.subn(
            r"^\| failure \|.*?(?=\n(?!\|))", lambda _: computed, text, flags=re.MULTILINE | re.DOTALL
        )
        assert count == 1
        page.write_text(new, "utf-8")
