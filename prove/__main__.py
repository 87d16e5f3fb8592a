"""`make prove`: deploys a stage with the sandbox, tries each fact, prints what it saw, destroys the stage.

    python -m prove --stage prove            on AWS, as the shell's credentials and region say
    python -m prove --stage prove --local    on an emulated AWS

It destroys on every way out, and what an earlier run left before it begins. The stage's name begins with
"prove", so that no other stage can be meant.
"""

import argparse
import contextlib
import datetime
import os
import re
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from local.stack.child_process import PROJECT, ChildFailedError
from local.stack.emulator import Emulator, aws_environment
from local.stack.waiting import NotInTimeError
from prove.facts import FACTS, Seen, busy_bus_loses_nothing, traffic_until
from prove.stage import ProofError, Stage, commit

# The cost model reads the stack's settings, which take the function's names.
sys.path.insert(0, str(PROJECT / "lambdas"))

from prove.cost import estimate

_RECORD = PROJECT / "docs" / "proved.md"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FAILURES = (ProofError, ChildFailedError, NotInTimeError, ClientError, BotoCoreError)
_BUSY = "Events on a bus in use during the deployment aren't lost"


class Proof:
    """One run: its table, and whether all that was tried holds."""

    def __init__(self, console: Console, stage: Stage) -> None:
        self._console, self._stage = console, stage
        self.holds = True
        self.tried = 0
        self.usd, self.used = 0.0, ""
        self.table = Table(title=f"Stage {stage.name}")
        for heading in ("", "Fact", "Expected", "Seen", "s"):
            self.table.add_column(heading, overflow="fold")

    def add(self, name: str, expected: str, seen: Seen, seconds: float) -> None:
        self.tried += 1
        self.holds &= seen.holds
        self.table.add_row("ok" if seen.holds else "NO", name, expected, seen.text, f"{seconds:.0f}")
        self._console.print(
            f"{seconds:5.0f} s  {'ok' if seen.holds else 'NO'}  {name}: {seen.text}", markup=False
        )

    def run(self) -> None:
        """Deploys and tries. Raises what `_FAILURES` names when it can't go on."""
        stage, begun = self._stage, time.time()
        stage.make_probes()
        with stage.begin_deployment(bus=stage.bus) as deployment:
            sent: list[int] = []
            traffic = threading.Thread(target=lambda: sent.append(traffic_until(stage, deployment.has_ended)))
            traffic.start()
            try:
                stage.finish_deployment(deployment)
            finally:
                deployment.kill()
                traffic.join()
        self._console.print(f"{time.time() - begun:5.0f} s      Deployed")
        stage.sandbox("assistants", method="POST", body=["sam@example.net"])
        self._try(_BUSY, "0 lost", lambda: busy_bus_loses_nothing(stage, sum(sent)))
        for fact in FACTS:
            if stage.is_emulated and fact.aws_only:
                self.table.add_row("-", fact.name, fact.expected, f"only on AWS: {fact.aws_only}", "")
            else:
                self._try(fact.name, fact.expected, partial(fact.look, stage))
        self.usd, self.used = estimate(stage, begun)

    def destroy(self) -> None:
        """Destroys the stage, and adds the fact that nothing is left."""
        self._try("Nothing is left", "nothing", self._destroy)

    def _destroy(self) -> Seen:
        stage, problem = self._stage, ""
        try:
            stage.destroy()
            # SQS names a queue for up to a minute after its end.
            stage.until("the end of all", lambda: not stage.left_over(), 0 if stage.is_emulated else 120)
        except _FAILURES as error:
            problem = f"{error}: "
        left = ", ".join(stage.left_over())
        return Seen(not (problem or left), problem + (left or "nothing"))

    def _try(self, name: str, expected: str, look: Callable[[], Seen]) -> None:
        begun = time.monotonic()
        try:
            seen = look()
        except Exception as error:
            seen = Seen(False, f"{type(error).__name__}: {error}")
        self.add(name, expected, seen, time.monotonic() - begun)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when each fact that was tried holds, 1 when not, 130 after a signal."""
    options = _options(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="lead-delivery-proof-") as name,
        _place(options, Path(name)) as stage,
    ):
        try:
            console.print(f"Region {stage.region}, account {stage.account}")
        except _FAILURES as error:
            console.print(f"AWS can't be reached: {error}", markup=False)
            return 1
        return _prove(stage, console)


def _prove(stage: Stage, console: Console) -> int:
    begun, proof, status = time.monotonic(), Proof(console, stage), 1
    try:
        if stage.states():
            console.print("An earlier run left something: destroying it")
        stage.destroy()
        proof.run()
        status = 0
    except KeyboardInterrupt:
        console.print("Stopping: the stage is destroyed first, which takes minutes on AWS")
        status = 130
    except _FAILURES as error:
        console.print(f"The proof can't go on: {error}", markup=False)
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        proof.destroy()
    console.print(proof.table)
    if status == 0:
        seconds = time.monotonic() - begun
        console.print(
            f"{proof.tried} facts tried in {seconds:.0f} s; on AWS about USD {proof.usd:.2f}, by {proof.used}"
        )
        status = 0 if proof.holds else 1
        if status == 0 and not stage.is_emulated:
            _record(stage, proof.tried, seconds, proof.usd)
    return status


@contextlib.contextmanager
def _place(options: argparse.Namespace, folder: Path) -> Iterator[Stage]:
    """The stage on AWS, on the emulator at `endpoint`, or on an emulator of its own."""
    with contextlib.ExitStack() as started:
        url = options.endpoint
        if options.local and not url:
            url = started.enter_context(Emulator(folder)).url
        if url:
            for name in [name for name in os.environ if name.startswith(("AWS_", "CDK_"))]:
                del os.environ[name]
            os.environ.update(aws_environment(url))
        elif "AWS_REGION" in os.environ:  # boto3 reads the other name only
            os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]
        yield Stage(options.stage, folder, endpoint=url)


def _record(stage: Stage, facts: int, seconds: float, usd: float) -> None:
    """Adds the run's row to the page."""
    today = datetime.datetime.now(datetime.UTC).date()
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    row = (
        f"| {today} | {stage.region} | {version} | {commit()} | {facts} | {seconds / 60:.0f} | {usd:.2f} |\n"
    )
    with _RECORD.open("a", encoding="utf-8") as page:
        page.write(row)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m prove", description="Proves a stage, on AWS or on the emulator."
    )
    parser.add_argument("--stage", default="prove", help="made, tried and destroyed; begins with prove")
    parser.add_argument("--local", action="store_true", help="on an emulated AWS, which is started for it")
    parser.add_argument("--endpoint", default="", metavar="URL", help="on the emulated AWS that listens here")
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"prove(-[a-z0-9-]{1,20})?", options.stage):
        parser.error(
            f"{options.stage} would be destroyed: take a stage of the name prove, or prove-<something>"
        )
    return options


def _interrupt(*_: object) -> None:
    """Unwinds, which destroys the stage; a second signal can't stop that half-way."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
