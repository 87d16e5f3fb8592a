"""From the results of a run to the tables and plots of docs/measurements.md."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.bars import JUDGED_LATENCY_MS, Bar, batch_case, judge, ratio, start_variant
from bench.documents import table, with_computed
from bench.plots import Row, bars

_COMPUTED = "the benchmarks"
PLOTS = "plots"  # beside the document

Results = Mapping[str, Any]

# What the tables call a case of ten leads, and its threads.
_WAYS = (
    ("bare threads", "bare threads: POST only", 10),
    ("function", "**the function**", 10),
    ("two single writes", "threads: POST and two single writes", 10),
    ("loop", "a loop on one session: POST only", 1),
    ("peer", "Powertools: batch, idempotency", 1),
)


def table_of_bars(judged: Sequence[Bar]) -> str:
    """The bars as a table, for the terminal and the document."""
    words = {None: "not measured", True: "kept", False: "**not kept**"}
    rows = [
        (bar.what, f"{bar.most:.2f}", "-" if bar.value is None else f"{bar.value:.2f}", words[bar.is_kept])
        for bar in judged
    ]
    return table(("bar", "at most", "measured", ""), rows)


def write(results: Results, document: Path) -> None:
    """Puts the tables between the document's markers, and the plots beside it."""
    computed = {_COMPUTED: "\n\n".join(sections(results))}
    document.write_text(with_computed(document.read_text("utf-8"), computed), "utf-8")
    folder = document.parent / PLOTS
    folder.mkdir(exist_ok=True)
    for name, plot in plots(results).items():
        (folder / f"{name}.svg").write_text(plot, "utf-8")


def sections(results: Results) -> Iterator[str]:
    """The parts of the document, as far as they were measured."""
    yield _machine(results["machine"])
    yield table_of_bars(judge(results))
    if "batch" in results:
        yield from _batch(results)
    if "cold_start" in results:
        yield from _cold_start(results)
    if "growth" in results:
        yield from _growth(results["growth"])
    if "end_to_end" in results:
        yield from _end_to_end(results["end_to_end"])
    if "lead_import" in results:
        yield from _lead_import(results["lead_import"])


def plots(results: Results) -> dict[str, str]:
    """Each plot by the name of its file."""
    drawn = {}
    if "batch" in results:
        call = batch_case(results, "one call", 1, 1)
        ways = [
            (what, _plain(words), batch_case(results, what, 10, threads)) for what, words, threads in _WAYS
        ]
        times = [(what, words, ratio(case["wall_ms"], call["wall_ms"])) for what, words, case in ways]
        drawn["batch-of-10"] = bars(
            "10 leads at 200 ms: time ÷ one call",
            [Row(words, wall, f"{wall:.2f}", what == "function") for what, words, wall in times],
        )
    if "cold_start" in results:
        drawn["import-time"] = bars(
            "Import time by package, ms (python -X importtime)",
            [
                Row(
                    each["package"],
                    each["ms"],
                    f"{each['ms']:g}",
                    each["package"].startswith("deliver_leads"),
                )
                for each in results["cold_start"]["imports"]
            ],
        )
    return drawn


def _machine(machine: Results) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    pinned = "client and servers on a core each" if machine["pinned"] else "no process bound to a core"
    return (
        f"Measured at {machine['date'][:10]} on {machine['cpu']}, {machine['cores']} cores ({pinned}; load "
        f"average before: {machine['load_average']:g}), {machine['system']}; CPython {machine['python']}, "
        f"{machine['openssl']}, {packages}; code {machine['commit']}."
    )


def _batch(results: Results) -> Iterator[str]:
    call = batch_case(results, "one call", 1, 1)
    writes = batch_case(results, "two single writes", 10, 10)
    rows = []
    for what, words, threads in _WAYS:
        case = batch_case(results, what, 10, threads)
        rows.append(
            (
                words,
                f"{median(case['wall_ms']):,.0f}",
                f"{ratio(case['wall_ms'], call['wall_ms']):.2f}",
                f"{median(case['cpu_ms']) / 10:.1f}",
                f"{ratio(case['cpu_ms'], writes['cpu_ms']):.2f}",
            )
        )
    yield f"**Ten leads, at an API that takes {JUDGED_LATENCY_MS} ms**, over warm connections:"
    yield table(
        ("how", "ms", "÷ one call", "CPU ms a lead", "÷ POST and two single writes"),
        rows,
    )
    yield _image(
        "batch-of-10", "Time for ten leads, divided by that of one call; the numbers are in the table."
    )
    yield "**The function by batch and latency**, ms for the whole batch:"
    latencies = sorted({case["latency_ms"] for case in results["batch"]["cases"]})
    by_batch = []
    for leads, threads in ((1, 10), (10, 10), (100, 10), (100, 32)):
        cases = [batch_case(results, "function", leads, threads, ms) for ms in latencies]
        times = [f"{median(case['wall_ms']):,.0f}" for case in cases]
        cpu = f"{median(cases[-1]['cpu_ms']) / leads:.1f}"
        by_batch.append((f"{leads} on {threads} threads", *times, cpu))
    yield table(("leads", *(f"API at {ms} ms" for ms in latencies), "CPU ms a lead"), by_batch)


def _variant(variant: Results) -> str:
    words = {"function": "function", "floor": "requests, boto3, 2 clients"}[variant["what"]]
    words += "" if variant["pyc"] else ", no .pyc"
    return words if variant["cpu"] == 1 else f"{words}, {variant['cpu']} CPU"


def _cold_start(results: Results) -> Iterator[str]:
    start = results["cold_start"]
    rows = []
    for each in start["variants"]:
        floor = start_variant(results, "floor", pyc=each["pyc"], cpu=each["cpu"])
        is_ours = each["what"] == "function"
        rows.append(
            (
                f"**{_variant(each)}**" if is_ours else _variant(each),
                f"{median(each['start_cpu_ms']):,.0f}",
                f"{ratio(each['start_cpu_ms'], floor['start_cpu_ms']):.2f}",
                f"{median(each['start_wall_ms']):,.0f}",
                f"{median(each['first_wall_ms']):,.0f}",
                f"{ratio(each['first_wall_ms'], floor['second_wall_ms']):.2f}",
            )
        )
    yield (
        f"**A new process**: until it can deliver, and its first batch of {start['leads']} (the floor's "
        f"first call), at an API that takes {start['latency_ms']} ms. {_share_words(start)}"
    )
    yield table(("process", "start: CPU ms", "÷ floor", "ms", "first batch: ms", "÷ one warm call"), rows)
    slowest = ", ".join(f"{each['package']} {each['ms']:g} ms" for each in start["imports"][:4])
    yield _image("import-time", f"Import time by package: {slowest}, and so on.")


def _share_words(start: Results) -> str:
    if start["left_out"]:
        return f"A share of a CPU was left out: {start['left_out']}."
    return f"Lambda gives {start['memory_mb']:,} MB the share of a CPU that is shown."


def _growth(growth: Results) -> Iterator[str]:
    yield "**As things grow**, at an API that answers at once, in batches of ten:"
    yield _row_table("leads in a batch", "CPU ms a lead", growth["batch"], "leads")
    every = max(1, len(growth["backlog"]) // 5)
    backlog = growth["backlog"][every - 1 :: every]
    yield _row_table("leads delivered", "CPU ms a lead", backlog, "leads")
    events = [row for row in growth["events"] if row["events"] in {1, 2, 5, 10, 15, 20}]
    yield _row_table("events of the lead", "CPU ms an event", events, "events")
    yield (
        "A lead's item in the ledger is read and written whole with each event, up to a bound. "
        "So the later events of a lead cost more, up to that bound."
    )


def _end_to_end(measured: Results) -> Iterator[str]:
    yield (
        f"**The deployed shape on the emulator**, from sent to delivered, with {measured['environments']} "
        "execution environments and a sandbox that answers at once. Their time is in it, AWS's is not:"
    )
    rows = [
        (words, str(run["leads"]), f"{run['leads_per_s']:g}", *(f"{run[f'p{p}_s']:g}" for p in (50, 95, 99)))
        for words, run in (("all at once", measured["burst"]), ("ten a second", measured["trickle"]))
    ]
    yield table(("", "leads", "leads a second", "p50, s", "p95, s", "p99, s"), rows)


def _lead_import(measured: Sequence[Results]) -> Iterator[str]:
    yield "**`leadctl import`**, its own work: queue and ledger are played in memory and take no time."
    rows = [
        (f"{row['rows']:,}", f"{row['wall_s']:g}", f"{row['rows_per_s']:,}", f"{row['peak_mib']:g}")
        for row in measured
    ]
    yield table(("rows", "s", "rows a second", "peak memory, MiB"), rows)


def _row_table(head: str, name: str, rows: Sequence[Results], column: str) -> str:
    """A table of what grows, to the right; with a second row for the memory where that was measured."""
    shown = [(name, "cpu_ms_per_lead")] + [("memory, MiB", "memory_mib")] * ("memory_mib" in rows[0])
    return table(
        (head, *(f"{row[column]:,}" for row in rows)),
        [(words, *(f"{row[key]:.1f}" for row in rows)) for words, key in shown],
    )


def _image(name: str, words: str) -> str:
    return f"![{words}]({PLOTS}/{name}.svg)"


def _plain(words: str) -> str:
    return words.replace("*", "").replace("`", "")
