"""The page of a local run, in a browser against `make dev` as a user starts it.

Where there is no browser, each switch is turned over HTTP instead. With PICTURES=docs in the environment, the
README's two pictures are written there.
"""

import contextlib
import os
import re
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from local.page.examples import examples
from local.page.history import hash_address
from local.stack.deployment import Deployment
from local.stack.waiting import NotInTimeError, wait_until
from tests.e2e.leads import EVENT_TIMEOUT_S, new_lead
from tests.e2e.make_dev import MakeDev
from tests.e2e.shell import Operator

pytestmark = pytest.mark.e2e

TIMEOUT_S = 120.0
FIGURES_TIMEOUT_S = 10.0
AT_REST = "All that came in is where it belongs."
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROW: ViewportSize = {"width": 400, "height": 800}
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, Scheme] = ("light", "dark")


class Hand(Protocol):
    """A person's, on the page."""

    def turn(self, mode: str) -> None: ...

    def publish(self) -> list[str]:
        """20 made-up leads; their addresses."""

    def sentence(self) -> str:
        """On top of the page."""


class HttpHand:
    """Calls what the page's buttons call."""

    def __init__(self, dev: MakeDev) -> None:
        self._dev = dev

    def turn(self, mode: str) -> None:
        assert self._dev.post("/api", {"mode": mode}) == {"mode": mode}

    def publish(self) -> list[str]:
        return list(self._dev.post("/leads", {"count": 20})["emails"])

    def sentence(self) -> str:
        return str(self._dev.figures()["sentence"])


class BrowserHand:
    """Clicks the page's buttons, and reads the page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def turn(self, mode: str) -> None:
        with self._page.expect_response("**/api") as answer:
            self._page.get_by_role("radio", name=mode, exact=True).check()
        assert answer.value.ok

    def publish(self) -> list[str]:
        with self._page.expect_response("**/leads") as answer:
            self._page.get_by_role("button", name="Publish 20 made-up leads").click()
        return list(answer.value.json()["emails"])

    def sentence(self) -> str:
        return self._page.locator("#sentence").inner_text()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeDev]:
    """`make dev`, which is still up after all tests here, and ends well by Ctrl-C."""
    dev = MakeDev(tmp_path_factory.mktemp("dev"))
    try:
        yield dev
        dev.press_ctrl_c()
    finally:
        dev.close()


def browser_program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = browser_program()
    if program is None:
        reason = "there is no Chromium on this machine: apt install chromium"
        # Where all is to be tested, a machine without one is set up wrong.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(
    browser: Browser, dev: MakeDev, *, viewport: ViewportSize = WIDE, scheme: Scheme = "light", lead: str = ""
) -> Iterator[Page]:
    """The page as a person with such a screen sees it; its script must run without an error."""
    with browser.new_context(viewport=viewport, color_scheme=scheme) as context:
        page = context.new_page()
        errors: list[Any] = []
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(f"{dev.page}/#lead={lead}")
        yield page
        assert errors == []


@pytest.fixture(scope="module")
def hand(dev: MakeDev, request: pytest.FixtureRequest) -> Iterator[Hand]:
    if browser_program() is None:
        yield HttpHand(dev)
        return
    with opened(request.getfixturevalue("browser"), dev) as page:
        yield BrowserHand(page)


# The switches

# What the sandbox does with a request: its operation, the answer's status, the effect.
Deed = tuple[str, int | None, str | None]


@dataclass(frozen=True)
class Mode:
    """`words` are the page's, `reason` is the log's for a lead that is sent back.

    `deeds` are what the sandbox must do, and `may` what it may do besides.
    """

    words: str
    reason: str
    deeds: frozenset[Deed] = frozenset()
    may: frozenset[Deed] = frozenset({("token", 200, None)})
    delivers: bool = False


MODES = {
    "slow": Mode("takes 3 s for each answer", "", frozenset({("create", 201, "created")}), delivers=True),
    "loses answers": Mode(
        "stores each new lead, then cuts the line before it answers",
        "leads API: the connection broke",
        frozenset({("create", None, "created"), ("update", 200, "updated")}),
        delivers=True,
    ),
    "limited": Mode(
        "takes one call a second and turns the others away",
        "the leads API answered 429",
        frozenset({("create", 201, "created"), ("create", 429, None)}),
        delivers=True,
    ),
    "503": Mode(
        "answers 503 to everything and does nothing",
        "leads API answered 503",
        frozenset({("create", 503, None)}),
        # A create that was answered 503 may have been stored, so an update asks.
        may=frozenset({("token", 503, None), ("update", 503, None)}),
    ),
    "down": Mode("can't be reached", "no connection"),
    "wrong secret": Mode(
        "refuses the credentials: 400 invalid_client instead of a token",
        "token endpoint answered 400 invalid_client",
        frozenset({("create", 401, None), ("token", 400, None)}),
        may=frozenset(),
    ),
}


def says(hand: Hand, words: str, timeout_s: float = TIMEOUT_S) -> None:
    wait_until(f"the sentence {words!r}", lambda: words in hand.sentence(), timeout_s=timeout_s)


def all_delivered(dev: MakeDev, emails: list[str]) -> bool:
    """And none of them in doubt."""
    return set(emails) <= dev.leads().keys() and dev.waiting() == 0


def all_tried_twice(dev: MakeDev, emails: list[str]) -> bool:
    """Or delivered, where none should be: waiting for a second attempt would be in vain."""
    attempts = dev.attempts()
    tried = Counter(attempt.lead for attempt in attempts)
    delivered = {attempt.lead for attempt in attempts if attempt.outcome == "delivered"}
    return all(tried[lead] > 1 or lead in delivered for lead in map(hash_address, emails))


@pytest.mark.parametrize("name", MODES)
def test_a_mode_does_what_the_page_says_until_up_lets_every_lead_go(
    dev: MakeDev, hand: Hand, name: str
) -> None:
    """Also with execution environments that are warm and hold a good token and good credentials."""
    mode = MODES[name]
    warm = hand.publish()
    wait_until("warm environments", lambda: all_delivered(dev, warm), timeout_s=TIMEOUT_S)
    says(hand, AT_REST)
    parked, since = dev.figures()["parked"], dev.received()[-1]["seq"]

    hand.turn(name)
    emails = hand.publish()
    seen = all_delivered if mode.delivers else all_tried_twice
    wait_until("attempts", lambda: seen(dev, emails), timeout_s=TIMEOUT_S)
    waiting = 0 if mode.delivers else len(emails)
    sentence = f"The API {mode.words}. {waiting} leads wait; none is lost."
    with contextlib.suppress(NotInTimeError):  # judged below, after what the sandbox did
        says(hand, sentence, FIGURES_TIMEOUT_S)
    said, until = hand.sentence(), time.time()
    hand.turn("up")

    received = [each for each in dev.received(since) if each["at"] < until]
    deeds = {(each["operation"], each["status"], each["effect"]) for each in received}
    assert mode.deeds <= deeds <= mode.deeds | mode.may
    assert said == sentence
    leads = {hash_address(email) for email in emails}
    assert any(mode.reason in attempt.reason for attempt in dev.attempts() if attempt.lead in leads)
    wait_until("all leads", lambda: all_delivered(dev, emails), timeout_s=TIMEOUT_S)
    says(hand, AT_REST)
    held = dev.leads()
    assert [held[email]["creates"] for email in emails] == [1] * len(emails)
    figures = dev.figures()
    assert (figures["createdAgain"], figures["parked"]) == (0, parked)


def test_the_terminal_ends_with_the_pages_address(dev: MakeDev) -> None:
    """Alone, because it is the one to open."""
    assert dev.output().splitlines()[-2:] == ["", f"Open {dev.page}"]


# In a browser


def tab_to(page: Page, script: str) -> None:
    """Presses Tab until the focused element, `it`, is the one that is meant."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"(it => {script})(document.activeElement)"):
            return
    pytest.fail(f"no number of Tabs reaches {script}")


def shows(page: Page, place: str, words: str) -> None:
    expect(page.locator(f"#{place}")).to_contain_text(words, timeout=EVENT_TIMEOUT_S * 1000)


def test_the_page_alone_shows_what_happened_to_a_lead_whose_answer_was_lost(
    dev: MakeDev, browser: Browser
) -> None:
    """The switch loses an answer, the address finds the story; no hand leaves the keyboard."""
    with opened(browser, dev) as page:
        shows(page, "sentence", AT_REST)
        lost = dev.figures()["answersLost"]
        tab_to(page, "it.name === 'mode'")
        for words in (MODES["slow"].words, MODES["loses answers"].words):
            page.keyboard.press("ArrowRight")
            shows(page, "sentence", words)
        lead = new_lead(assistantEmail="sam@example.com")
        dev.send({"operation": "create", "lead": lead})
        shows(page, "answersLost", f"{lost + 1} answer")
        tab_to(page, "it.id === 'email'")
        page.keyboard.type(f" {lead['email'].upper()}")
        page.keyboard.press("Enter")
        shows(page, "story", "Delivered")
        titles = page.locator("#story b").all_inner_texts()
        assert titles == ["Came in", "Answer lost", "Pause for settling", "Confirmed", "Delivered"]
        shows(page, "story", "An answer was lost on the way; the lead was created once all the same.")
        shows(page, "createdAgain", "0")
        BrowserHand(page).turn("up")


def test_a_parked_lead_is_retried_by_its_button_and_comes_back_while_it_is_still_wrong(
    dev: MakeDev, browser: Browser
) -> None:
    """It is shown under its reason; the page says what each retry did; no hand leaves the keyboard."""
    lead = new_lead(assistantEmail="sam@example.com")
    refusal = {"kind": "status", "status": 422, "body": {"message": "not now"}}
    dev.set_faults({"operation": "create", "email": lead["email"], "fault": refusal})
    dev.send({"operation": "create", "lead": lead})
    with opened(browser, dev) as page:
        shows(page, "reasons", "leads API answered 422: not now")
        tab_to(page, "it.localName === 'summary'")
        page.keyboard.press("Enter")
        shows(page, "reasons", lead["email"])
        tab_to(page, "it.innerText === 'Retry'")
        page.keyboard.press("Enter")
        shows(page, "retried", "The last retry sent 1 event: 1 parked again.")
        dev.set_faults()
        shows(page, "reasons", "leads API answered 422: not now")
        page.get_by_role("button", name="Retry", exact=True).click()
        shows(page, "retried", "The last retry sent 1 event: 1 delivered.")
        shows(page, "noParked", "Nothing is parked.")
    assert lead["email"] in dev.leads()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_fits_the_screen_and_its_colours(
    dev: MakeDev, browser: Browser, viewport: ViewportSize, scheme: Scheme
) -> None:
    """No sideways scrolling; dark where the reader's system is; how to publish is seen without scrolling."""
    with opened(browser, dev, viewport=viewport, scheme=scheme) as page:
        shows(page, "example", "send-message")
        shows(page, "sentence", AT_REST)
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        ground = str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
        box = page.locator("#examples").bounding_box()
        assert box is not None
        assert viewport == NARROW or box["y"] + box["height"] <= viewport["height"]


def test_a_picture_shows_lost_answers_outages_and_what_is_parked(
    dev: MakeDev, browser: Browser, tmp_path: Path
) -> None:
    """The README's, in light and dark; after the tests above its chart shows every mode."""
    jane = {"name": "Jane", "email": "jane@example.com", "assistantEmail": "sam@example.com"}
    wrong = [
        *({**jane, "email": email} for email in ("pat.example.com", "kim.example.com", "lou.example.com")),
        {**jane, "email": "alex@example.com", "name": ""},
    ]
    hand = HttpHand(dev)
    hand.turn("loses answers")
    dev.send(*({"operation": "create", "lead": lead} for lead in (jane, *wrong)))
    emails = [*hand.publish(), jane["email"]]
    wait_until("all leads", lambda: all_delivered(dev, emails), timeout_s=TIMEOUT_S)
    hand.turn("up")
    folder = Path(os.environ.get("PICTURES", tmp_path))
    for scheme in SCHEMES:
        with opened(browser, dev, scheme=scheme, lead=jane["email"]) as page:
            shows(page, "sentence", f"{AT_REST} {len(wrong)} parked")
            shows(page, "story", "Confirmed")
            shows(page, "reasons", "lead.email")
            page.screenshot(path=folder / f"page-{scheme}.png", full_page=True)
        assert (folder / f"page-{scheme}.png").stat().st_size > 0


# Its examples


@pytest.mark.parametrize("title", ["Shell, to the queue", "Shell, an event on the bus", "Python"])
def test_an_example_of_the_page_delivers_a_lead(
    deployment: Deployment, operator: Operator, title: str
) -> None:
    """Copied as it is, but for the address: the ledger knows Jane from the test before."""
    lead = new_lead(assistantEmail="sam@example.com")
    text = examples(deployment)[title].replace("jane@example.com", lead["email"])
    if title == "Python":
        exec(compile(text, title, "exec"), {})  # noqa: S102 - this project's own
    else:
        # The stand-in for the command line gets its endpoint from the environment.
        endpoint = shlex.split(text.replace("\\\n", " "))
        assert endpoint[endpoint.index("--endpoint-url") + 1] == deployment.emulator.url
        operator.run(text.replace(f"--endpoint-url {deployment.emulator.url}", ""))
    wait_until("the lead", lambda: lead["email"] in deployment.sandbox.leads(), timeout_s=EVENT_TIMEOUT_S)
