"""The page of a local run in a browser, as a person at a keyboard uses it."""

import contextlib
import shlex
from collections.abc import Iterator

import pytest

from local.page.browser import Browser, find_chromium
from local.page.examples import examples
from local.page.server import Page
from local.stack.deployment import Deployment
from local.stack.waiting import wait_until
from tests.e2e.leads import EVENT_TIMEOUT_S, count, new_lead, park, plain, send
from tests.e2e.shell import Operator

pytestmark = pytest.mark.e2e

_CHROMIUM = find_chromium()
needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None, reason="there is no Chromium on this machine: apt install chromium"
)


@pytest.fixture
def page(deployment: Deployment) -> Iterator[Page]:
    page = Page(deployment)
    page.start()
    yield page
    page.stop()
    with contextlib.suppress(Exception):  # a test that failed may have left the API down
        page.switch.turn("up")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert _CHROMIUM is not None
    with Browser(_CHROMIUM, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def shows(browser: Browser, place: str, words: str) -> None:
    """Waits until the element with this id has these words, as a person sees them."""
    script = f"document.getElementById({place!r}).innerText.includes({words!r})"
    browser.wait_for(script, timeout_s=EVENT_TIMEOUT_S)


def tab_to(browser: Browser, script: str) -> None:
    """Presses Tab until the focused element, `it`, is the one that is meant."""
    for _ in range(60):
        browser.press("Tab")
        if browser.evaluate(f"(it => {script})(document.activeElement)"):
            return
    pytest.fail(f"no number of Tabs reaches {script}")


@needs_chromium
def test_the_page_alone_tells_what_happened_to_a_lead_whose_answer_was_lost(
    deployment: Deployment, page: Page, browser: Browser
) -> None:
    """The switch loses an answer, the address finds the story; no hand leaves the keyboard."""
    browser.open(page.url)
    shows(browser, "sentence", "All that came in is where it belongs.")
    tab_to(browser, "it.name === 'mode'")
    for mode in ("slow", "loses answers"):
        browser.press("ArrowRight")
        shows(browser, "sentence", {"slow": "takes 3 s", "loses answers": "stores each new lead"}[mode])
    lead = new_lead()
    send(deployment, plain(lead))
    shows(browser, "answersLost", "1 answer was")
    tab_to(browser, "it.id === 'email'")
    browser.command("Input.insertText", text=f" {lead['email'].upper()}")
    browser.press("Enter")
    shows(browser, "story", "Delivered")
    titles = browser.evaluate("[...document.querySelectorAll('#story b')].map(title => title.innerText)")
    assert titles == ["Came in", "Answer lost", "Pause for settling", "Confirmed", "Delivered"]
    story = browser.evaluate("document.getElementById('story').innerText")
    assert "An answer was lost on the way; the lead was created once all the same." in story
    assert browser.evaluate("document.getElementById('createdAgain').innerText") == "0"


@needs_chromium
def test_a_parked_lead_is_retried_by_its_button(deployment: Deployment, page: Page, browser: Browser) -> None:
    """It is shown under its reason, and gone once it is delivered."""
    lead = new_lead()
    park(deployment, lead)
    browser.open(page.url)
    shows(browser, "reasons", "leads API answered 422: not now")
    tab_to(browser, "it.localName === 'summary'")
    browser.press("Enter")
    shows(browser, "reasons", lead["email"])
    tab_to(browser, "it.innerText === 'Retry'")
    browser.press("Enter")
    shows(browser, "noParked", "Nothing is parked.")
    wait_until("the lead", lambda: lead["email"] in deployment.sandbox.leads(), timeout_s=EVENT_TIMEOUT_S)
    assert count(deployment, "DeadLetterQueueUrl") == 0


@needs_chromium
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_the_screen_and_its_colours(
    page: Page, browser: Browser, width: int, dark: bool, deployment: Deployment
) -> None:
    """No sideways scrolling; dark where the reader's system is; the script ran without an error."""
    browser.open(page.url, width=width, dark=dark)
    shows(browser, "example", "send-message")
    shows(browser, "sentence", "All that came in")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    ground = str(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    lightest = max(int(part) for part in ground.removeprefix("rgb(").rstrip(")").split(", "))
    assert (lightest < 64) == dark


def test_an_outage_drains_by_itself(deployment: Deployment, page: Page) -> None:
    """Down, a lead waits; up again, it arrives: with the page's own calls and leads."""
    page.switch.turn("down")
    lead = new_lead()
    send(deployment, plain(lead))
    wait_until("a retry", lambda: "no connection" in deployment.emulator.output(), timeout_s=EVENT_TIMEOUT_S)
    page.switch.turn("wrong secret")
    wait_until("the advice", lambda: "blocked" in deployment.emulator.output(), timeout_s=EVENT_TIMEOUT_S)
    page.switch.turn("up")
    wait_until("the lead", lambda: lead["email"] in deployment.sandbox.leads(), timeout_s=EVENT_TIMEOUT_S)


@pytest.mark.parametrize("title", ["Shell, to the queue", "Shell, an event on the bus", "Python"])
def test_an_example_of_the_page_delivers_a_lead(
    deployment: Deployment, operator: Operator, title: str
) -> None:
    """Copied as it is, but for the address: the ledger knows Jane from the test before."""
    lead = new_lead()
    text = examples(deployment)[title].replace("jane@example.com", lead["email"])
    if title == "Python":
        exec(compile(text, title, "exec"), {})  # noqa: S102 - this project's own
    else:
        # The stand-in for the command line gets its endpoint from the environment.
        endpoint = shlex.split(text.replace("\\\n", " "))
        assert endpoint[endpoint.index("--endpoint-url") + 1] == deployment.emulator.url
        operator.run(text.replace(f"--endpoint-url {deployment.emulator.url}", ""))
    wait_until("the lead", lambda: lead["email"] in deployment.sandbox.leads(), timeout_s=EVENT_TIMEOUT_S)
