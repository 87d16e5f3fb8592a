"""The benchmarks' arithmetic, tables and plots, from made-up measurements."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as program
from bench import batch, growth, machine
from bench.bars import judge, ratio
from bench.documents import END, begin
from bench.plots import Row, bars
from bench.report import plots, sections, table_of_bars, write
from bench.servers import API_LATENCIES_MS

PROJECT = Path(__file__).resolve().parents[2]
BEGIN = begin("the benchmarks")


def a_case(case: batch.Case, latency_ms: int) -> dict[str, Any]:
    """Two turns; in the second one the machine took three times as long."""
    ms = {"one call": 200.0, "function": 220.0 if case.leads == 10 else 880.0}.get(case.what, 300.0)
    cpu_ms = {"function": 8.0, "two single writes": 20.0}.get(case.what, 10.0)
    return {**vars(case), "latency_ms": latency_ms, "wall_ms": [ms, 3 * ms], "cpu_ms": [cpu_ms, 3 * cpu_ms]}


def a_variant(what: str, cpu: float, *, pyc: bool) -> dict[str, Any]:
    """One turn."""
    start_ms, first_ms = (330.0, 250.0) if what == "function" else (300.0, 230.0)
    return {"what": what, "pyc": pyc, "cpu": cpu, "start_wall_ms": [start_ms], "start_cpu_ms": [start_ms]} | {
        "first_wall_ms": [first_ms],
        "first_cpu_ms": [50.0],
        "second_wall_ms": [200.0],
        "second_cpu_ms": [2.0],
    }


@pytest.fixture
def results() -> dict[str, Any]:
    """What a whole run gives."""
    end_to_end = {"leads": 500, "leads_per_s": 40.5, "p50_s": 1.5, "p95_s": 2.5, "p99_s": 3.0}
    return {
        "machine": {
            "date": "2026-11-26T20:00+00:00",
            "commit": "d4f8d6d",
            "cpu": "A CPU",
            "cores": 2,
            "pinned": True,
            "load_average": 0.1,
            "system": "Linux",
            "python": "3.13.0",
            "server_python": "3.11.7",
            "openssl": "OpenSSL 3",
            "packages": {"boto3": "1.43"},
        },
        "batch": {"cases": [a_case(case, ms) for ms in API_LATENCIES_MS for case in batch.CASES]},
        "cold_start": {
            "leads": 10,
            "latency_ms": 200,
            "memory_mb": 1024,
            "left_out": None,
            "bundle": {"zip_bytes": 5_004_000},
            "imports": [
                {"package": "deliver_leads.handler", "ms": 90.0},
                {"package": "botocore", "ms": 40.0},
            ],
            "variants": [
                a_variant(what, cpu, pyc=pyc)
                for cpu in (1, 0.58)
                for pyc in (True, False)
                for what in ("function", "floor")
            ],
        },
        "growth": {
            "batch": [{"leads": size, "cpu_ms_per_lead": 5.0, "memory_mib": 60.0} for size in (1, 10)],
            "backlog": [
                {"leads": leads, "cpu_ms_per_lead": 3.0, "leads_per_s": 200.0, "memory_mib": 62.0}
                for leads in range(1000, 21_000, 1000)
            ],
            "events": [
                {"events": number, "cpu_ms_per_lead": 3.0 + number}
                for number in range(1, growth.EVENTS_OF_A_LEAD + 1)
            ],
        },
        "end_to_end": {"burst": end_to_end, "trickle": end_to_end, "environments": 5},
        "lead_import": [{"rows": 1000, "wall_s": 0.2, "rows_per_s": 5000, "peak_mib": 38.0}],
    }


def test_a_ratio_is_made_within_each_turn() -> None:
    """So a busy turn counts for both sides: the medians alone would give 5."""
    assert ratio([11, 30, 500], [10, 20, 100]) == 1.5
    assert ratio([840], [200], times=4) == pytest.approx(1.05)


def test_a_bar_is_judged_as_it_is_shown(results: dict[str, Any]) -> None:
    """A value that is shown as the bar itself keeps it."""
    judged = judge(results)
    assert [(round(bar.value or 0, 3), bar.is_kept) for bar in judged] == [
        (1.1, True),
        (1.25, True),
        (1.1, True),
        (0.4, True),
        (1.1, True),
        (5.004, True),
    ]
    results["cold_start"]["bundle"]["zip_bytes"] = 5_006_000
    assert judge(results)[-1].is_kept is False
    assert "| 5.00 | 5.01 | **not kept** |" in table_of_bars(judge(results))


def test_a_bar_of_a_part_that_was_not_run_is_not_judged(results: dict[str, Any]) -> None:
    """Neither kept nor not."""
    del results["batch"]
    judged = judge(results)
    assert [bar.is_kept for bar in judged] == [None, True, None, None, True, True]
    assert table_of_bars(judged).count("not measured") == 3


def test_the_document_gets_the_tables_between_its_markers_and_each_plot_that_they_show(
    results: dict[str, Any], tmp_path: Path
) -> None:
    """What stands around them stays, and a second run leaves nothing of the first."""
    document = tmp_path / "measurements.md"
    document.write_text(f"before\n{BEGIN}\noutdated\n{END}\nafter\n")
    write(results, document)
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"\n{END}\nafter\n")
    assert "outdated" not in text
    shown = re.findall(r"!\[.+\]\((plots/.+\.svg)\)", text)
    assert {tmp_path / name for name in shown} == set((tmp_path / "plots").iterdir())
    write(results, document)
    assert document.read_text() == text


def test_every_table_has_as_many_cells_in_each_row(results: dict[str, Any]) -> None:
    """Else it isn't shown as one."""
    tables = [part for part in sections(results) if part.startswith("|")]
    assert len(tables) > 7
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_a_part_that_was_left_out_says_why(results: dict[str, Any]) -> None:
    """A machine that can't give a share of a CPU still measures the rest."""
    start = results["cold_start"]
    start["left_out"] = "no control group"
    start["variants"] = [each for each in start["variants"] if each["cpu"] == 1]
    text = "\n".join(sections(results))
    assert "A share of a CPU was left out: no control group." in text
    assert "0.58" not in text


def test_the_plots_are_well_formed_and_in_colours_for_light_and_dark(results: dict[str, Any]) -> None:
    """No background, no black, no white."""
    drawn = {**plots(results), "escaped": bars("a < b & c", [Row("<x>", 1, "&")])}
    for plot in drawn.values():
        root = ElementTree.fromstring(plot)  # noqa: S314 - our own
        colours = {each.get(name) for each in root.iter() for name in ("fill", "stroke")} - {None, "none"}
        for colour in map(str, colours):
            red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
            assert 80 < 0.3 * red + 0.6 * green + 0.1 * blue < 180, colour


def test_the_peer_is_as_short_as_what_a_user_would_write() -> None:
    """A longer one would no longer be what most people do."""
    source = (PROJECT / "bench/peers/powertools_batch.py").read_text("utf-8")
    assert len(source.splitlines()) <= 60


def test_the_document_has_the_markers() -> None:
    """Else a run of a quarter of an hour would end without its tables."""
    text = (PROJECT / "docs/measurements.md").read_text("utf-8")
    assert text.index(BEGIN) < text.index(END)


def test_each_part_is_measured_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment goes on with the state that it finds, so a second one would not be a new one."""
    used: list[Path] = []

    def part(folder: Path, _: object, __: int) -> None:
        assert list(folder.iterdir()) == []
        (folder / "state").touch()
        used.append(folder)

    monkeypatch.setattr(program, "build", lambda _: None)
    monkeypatch.setattr(machine, "describe", lambda _: {})
    monkeypatch.setattr(program, "_PARTS", {"one": part, "two": part})
    program._measure(tmp_path, ["one", "two"], 1)
    assert len(used) == 2
