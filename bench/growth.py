"""What one lead costs as batches, the backlog and a lead's events grow, at an API that answers at once."""

from statistics import median
from typing import Any

from bench.leads import Leads, records
from bench.packages import Packages
from bench.processes import Child, environment
from bench.servers import Servers

_SIZES = (1, 2, 5, 10, 20, 50, 100)
_BATCH = 10
# More updates of a lead than the ledger's item holds (MOST_FINALS in lead_state.py): the cost of an event no
# longer grows then.
EVENTS_OF_A_LEAD = 20


def measure(packages: Packages, servers: Servers, seed: int) -> dict[str, Any]:
    """Each growth in an execution environment of its own."""
    leads = Leads("growth", seed)
    variables = environment(servers, packages.bundle, servers.api_urls[0], _BATCH)

    def start() -> Child:
        return Child(packages.python, "function", servers, variables)

    with start() as child:
        batch = _by_batch_size(child, leads, rounds=9)
    with start() as child:
        backlog = _by_backlog(child, leads, total=20_000, parts=20)
    with start() as child:
        events = _by_events(child, leads, groups=7)
    return {"batch": batch, "backlog": backlog, "events": events}


def _by_batch_size(child: Child, leads: Leads, rounds: int) -> list[dict[str, Any]]:
    """The memory is what the environment holds after all batches up to this size."""
    samples: dict[int, list[float]] = {size: [] for size in _SIZES}
    memory_mib: dict[int, float] = {}
    for _ in range(rounds):
        for size in _SIZES:
            child.run(records=records(leads.take(_BATCH)))
            samples[size].append(child.run(records=records(leads.take(size))).cpu_ms / size)
            memory_mib.setdefault(size, child.memory_mib)
    return [
        {
            "leads": size,
            "cpu_ms_per_lead": round(median(taken), 3),
            "memory_mib": round(memory_mib[size], 1),
        }
        for size, taken in samples.items()
    ]


def _by_backlog(child: Child, leads: Leads, total: int, parts: int) -> list[dict[str, Any]]:
    """Batch after batch through one environment; a row after each part of the backlog."""
    child.run(records=records(leads.take(_BATCH)))
    rows = []
    for part in range(1, parts + 1):
        batches = total // parts // _BATCH
        taken = [child.run(records=records(leads.take(_BATCH))) for _ in range(batches)]
        rows.append(
            {
                "leads": part * total // parts,
                "cpu_ms_per_lead": round(median(sample.cpu_ms for sample in taken) / _BATCH, 3),
                "leads_per_s": round(_BATCH / median(sample.wall_ms for sample in taken) * 1000, 1),
                "memory_mib": round(child.memory_mib, 1),
            }
        )
    return rows


def _by_events(child: Child, leads: Leads, groups: int) -> list[dict[str, Any]]:
    """A create and then updates of the same ten leads, each of which changes a field."""
    samples: dict[int, list[float]] = {number: [] for number in range(1, EVENTS_OF_A_LEAD + 1)}
    child.run(records=records(leads.take(_BATCH)))
    for _ in range(groups):
        group = leads.take(_BATCH)
        for number, taken in samples.items():
            changed = [lead | {"context": f"{lead['context']} {number}"} for lead in group]
            operation = "create" if number == 1 else "update"
            taken.append(child.run(records=records(changed, operation, number)).cpu_ms / _BATCH)
    return [
        {"events": number, "cpu_ms_per_lead": round(median(taken), 3)} for number, taken in samples.items()
    ]
