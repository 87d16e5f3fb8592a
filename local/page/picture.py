"""The README's picture: the page in the half-minute after an outage that was made on purpose.

    python -m local.page.picture [--folder docs]

Writes page-light.png and page-dark.png. It needs a Chromium, and takes about three minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from local.page.browser import Browser, BrowserError, find_chromium
from local.page.made_up_leads import ASSISTANT, make_up, publish_made_up_leads
from local.page.server import Page
from local.publishing import REFUSED_WORDS, LeadToPublish, publish
from local.stack.child_process import PROJECT, ChildFailedError
from local.stack.deployment import Deployment, deployed
from local.stack.waiting import wait_until
from local.supervised_run import supervise

WIDTH = 1280
_CALM_S = 70
_OUTAGE_S = 35
_LEADS_EACH_SECOND = 2
_RECOVERY_TIMEOUT_S = 60.0
# Its answer is lost, and its story is on the picture.
_FOUND = "jane@example.com"


def play_outage(deployment: Deployment, page: Page) -> None:
    """Leads come in all the time: some answers are lost, then the API fails, then it is back.

    Returns when a part of the leads that waited has gone.
    """
    refused = [make_up("sqs") for _ in range(2)]
    deployment.sandbox.set_faults(_ordinary_faults(refused))
    wrong = [*refused, *_wrong_events()]
    half = _CALM_S / 2
    _publish_for(deployment, half)
    for _ in publish(deployment, [_found_lead(), *wrong]):
        pass
    _publish_for(deployment, half)
    page.switch.turn("503")
    _publish_for(deployment, _OUTAGE_S)
    most = deployment.lead_queue_count()
    page.switch.turn("up")
    wait_until(
        "leads that go",
        lambda: deployment.lead_queue_count() < most * 0.7,
        timeout_s=_RECOVERY_TIMEOUT_S,
    )


def _ordinary_faults(refused: Sequence[LeadToPublish]) -> list[dict[str, Any]]:
    refusal = {"kind": "status", "status": 422, "body": {"message": REFUSED_WORDS}}
    cut = {"kind": "cut_after"}
    return [
        *({"operation": "create", "email": lead.email, "fault": refusal} for lead in refused),
        {"operation": "create", "email": _FOUND, "times": 1, "fault": cut},
        {"operation": "create", "rate": 0.1, "fault": cut},
    ]


def _found_lead() -> LeadToPublish:
    lead = {"name": "Jane", "email": _FOUND, "assistantEmail": ASSISTANT, "source": "Webinar"}
    return LeadToPublish("eventbridge", "create", lead, json.dumps({"lead": lead}), "delivered")


def _wrong_events() -> list[LeadToPublish]:
    """In the ways that producers get wrong most often."""
    no_address = [
        {"name": name, "email": f"{name}.example.com", "assistantEmail": ASSISTANT}
        for name in ("pat", "kim", "lou")
    ]
    misspelt = json.dumps({"lead": make_up("eventbridge").lead})
    return [
        *(
            LeadToPublish("sqs", "", lead, json.dumps({"operation": "create", "lead": lead}), "rejected")
            for lead in no_address
        ),
        LeadToPublish("eventbridge", "", {}, misspelt, "rejected", detail_type="LeadCreated"),
    ]


def _publish_for(deployment: Deployment, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        publish_made_up_leads(deployment, _LEADS_EACH_SECOND)
        time.sleep(1)


def take_pictures(url: str, program: str, profile: Path, folder: Path) -> list[Path]:
    """The page without its examples, light and dark."""
    taken = []
    with Browser(program, profile) as browser:
        for scheme in ("light", "dark"):
            browser.open(f"{url}/#lead={_FOUND}", width=WIDTH, dark=scheme == "dark")
            browser.wait_for(
                "document.querySelectorAll('.steps li').length > 2 && !!document.querySelector('.reason')"
            )
            path = folder / f"page-{scheme}.png"
            browser.picture(path, browser.evaluate("document.getElementById('examples').offsetTop - 2"))
            taken.append(path)
    return taken


def _run(console: Console, folder: Path, target: Path) -> bool:
    program = find_chromium()
    if program is None:
        raise ChildFailedError("there is no Chromium on this machine: install it, e.g. apt install chromium")
    with deployed(folder, report=console.print) as deployment:
        page = Page(deployment)
        page.start()
        try:
            console.print(f"Making an outage; watch it on {page.url}")
            play_outage(deployment, page)
            for path in take_pictures(page.url, program, folder, target):
                console.print(f"{path}: {path.stat().st_size // 1024} KB")
        except BrowserError as error:
            raise ChildFailedError(str(error)) from None
        finally:
            page.stop()
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m local.page.picture", description="Makes the README's picture of the local run's page."
    )
    parser.add_argument(
        "--folder", type=Path, default=PROJECT / "docs", help="where the two files go; default: docs"
    )
    target = parser.parse_args(arguments).folder
    console = Console()
    return supervise(console, "lead-page", lambda folder: _run(console, folder, target))


if __name__ == "__main__":
    sys.exit(main())
