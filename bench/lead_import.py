"""`leadctl import` by the number of rows: its own work, because queue and ledger are played in memory.

    python -m bench.lead_import FILE

reads, checks and sends the rows of FILE as the command does, and prints what it took. A process of its own
for each file, because the peak of the memory is that of a process.
"""

import csv
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.leads import Leads
from leadctl.importing.columns import Columns
from leadctl.importing.door import KnownEvent, KnownLead, NotTaken, Outgoing, Progress
from leadctl.importing.importer import AHEAD, Existing, Importer
from leadctl.importing.invalid_file import write_invalid
from leadctl.importing.journal import Journal
from leadctl.importing.opening import beside, opened
from leadctl.importing.preview import Preview
from leadctl.importing.scratch import Scratch
from leadctl.importing.validation import Rules

PROJECT = Path(__file__).resolve().parent.parent
_COLUMNS = {
    "First_Name": "name",
    "Last_Name": "lastName",
    "Email_ID": "email",
    "Phone": "phone",
    "Assistant": "assistantEmail",
    "Source": "source",
    "Context": "context",
    "Company": "company",
}


class DeliveringDoor:
    """A stage that has delivered each lead before anybody looks. See `leadctl.importing.door.Door`.

    It forgets a lead that it was asked about, because what it holds would count as the import's memory.
    """

    def __init__(self) -> None:
        self._known: dict[str, KnownLead] = {}

    def look(self, lead_hashes: Sequence[str]) -> Mapping[str, KnownLead]:
        """Those that were sent."""
        return {each: self._known.pop(each) for each in lead_hashes if each in self._known}

    def send(self, batch: Sequence[Outgoing]) -> Sequence[NotTaken]:
        """Takes and delivers all."""
        for each in batch:
            delivered = {each.key: KnownEvent(Progress.DELIVERED, is_create=True)}
            self._known[each.lead_hash] = KnownLead(is_at_7targets=True, events=delivered)
        return []

    def words(self, keys: Sequence[str]) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's name
        """None, because nothing is parked."""
        return {}


def measure(folder: Path, seed: int) -> list[dict[str, Any]]:
    """One row for each number of rows."""
    return [_measure_one(folder, seed, rows) for rows in (1_000, 10_000, 100_000)]


def _measure_one(folder: Path, seed: int, rows: int) -> dict[str, Any]:
    path, leads = folder / f"leads{rows}.csv", Leads("import", seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for _ in range(rows // 1000):
            writer.writerows([lead[name] for name in _COLUMNS.values()] for lead in leads.take(1000))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "bench.lead_import", str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'lambdas'}"},
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return {"rows": rows, "rows_per_s": round(rows / result["wall_s"])} | result


def import_(file: str) -> dict[str, Any]:
    """What the command does after it has asked AWS for the stage: the look through it, then the import."""
    started = time.perf_counter()
    with (
        opened(file, sys.stdin.buffer) as table,
        closing(Scratch()) as scratch,
        closing(Journal(Path(beside(file, ".leadctl")), "benchmark")) as journal,
    ):
        importer = Importer(
            table=table,
            rules=Rules(Columns(), {}),
            door=DeliveringDoor(),
            journal=journal,
            scratch=scratch,
            existing=Existing.SKIP,
            pause=lambda _: None,
            watch=lambda _: None,
            ahead=AHEAD,
        )
        for _ in Preview().take(importer.plan()):
            pass
        looked_through_s = time.perf_counter() - started
        tally = importer.run(wait=True)
        write_invalid(table, scratch, journal, beside(file, table.suffix))
    return {
        "sent": tally.sent,
        "delivered": tally.delivered,
        "look_through_s": round(looked_through_s, 2),
        "wall_s": round(time.perf_counter() - started, 2),
        "peak_mib": round(_peak_mib(), 1),
    }


def _peak_mib() -> float:
    """The most memory of this process alone: on Linux, rusage begins with what its parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text("ascii"))[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


if __name__ == "__main__":
    print(json.dumps(import_(sys.argv[1])))
