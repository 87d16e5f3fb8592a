"""Draws the stage's dashboard with what a run on this machine measured, as CloudWatch would show it.

    python -m local.dashboard docs/dashboard.png [--scenario outage]

A name that ends in .html needs no browser; for .png, Chromium must be on PATH. Exit status: 0; 1 when it
could not be drawn; 130 after Ctrl-C or SIGTERM.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local.dashboard.alarm_states import red_alarms
from local.dashboard.measured_run import SCALE, MeasuredRun
from local.dashboard.page import WIDTH, Page
from local.dashboard.png import with_fewer_colors
from local.dashboard.scenarios import SCENARIOS
from local.dashboard.template import read_template
from local.stack.deployment import deployed
from local.supervised_run import supervise

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def run(console: Console, folder: Path, options: argparse.Namespace) -> bool:
    scenario = SCENARIOS[options.scenario]

    def report(step: str) -> None:
        console.print(f"{step} ...")

    with deployed(folder, report=report) as deployment:
        report(f"Running for {options.seconds} s, drawn as {options.seconds * SCALE / 3600:.2g} hours")
        measured = MeasuredRun(deployment, scenario, options.seconds, options.leads_per_second).run()
        outputs = deployment.outputs
    template = json.loads((folder / "cdk.out" / "LeadMonitoring.template.json").read_text("utf-8"))
    monitoring = read_template(template, outputs)
    red = red_alarms(monitoring.alarms, measured.read)
    start = measured.now - options.seconds * SCALE
    caption = f"Local run: {scenario.title} (a minute of the picture is a second of the run)"
    html, height = Page(measured, start, red).render(monitoring.widgets, caption)
    _write(html, height, options.picture, folder)
    console.print(f"{options.picture}; red alarms: {', '.join(sorted(red)) or 'none'}", markup=False)
    return True


def _write(html: str, height: int, picture: Path, folder: Path) -> None:
    source = picture if picture.suffix == ".html" else folder / "dashboard.html"
    source.write_text(html, "utf-8")
    if picture.suffix == ".html":
        return
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={WIDTH},{height}",
    ]
    screenshot = folder / "screenshot.png"
    words += [f"--user-data-dir={folder / 'browser'}", f"--screenshot={screenshot}", str(source)]
    subprocess.run([_browser(), *words], check=True, capture_output=True)  # noqa: S603 - a page that was made here
    picture.write_bytes(with_fewer_colors(screenshot.read_bytes()))


def _browser() -> str:
    """Chromium's path, or nothing."""
    return next(filter(None, map(shutil.which, _BROWSERS)), "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local.dashboard", description="Draws the dashboard.")
    parser.add_argument("picture", type=Path, help="a .png or .html file")
    parser.add_argument("--scenario", choices=SCENARIOS, default="outage", help="default: outage")
    parser.add_argument("--seconds", type=int, default=360, help="default: 360, drawn as six hours")
    parser.add_argument("--leads-per-second", type=float, default=1.5, help="default: 1.5")
    options = parser.parse_args(arguments)
    if options.picture.suffix != ".html" and not _browser():
        parser.error(f"none of {', '.join(_BROWSERS)} is on PATH; name an .html file instead")
    console = Console()
    return supervise(console, "lead-dashboard", lambda folder: run(console, folder, options))


if __name__ == "__main__":
    sys.exit(main())
