"""The switches of the local run's page: what the page says of a mode is what the sandbox did in it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest

from local.page.history import hash_address
from local.stack.waiting import wait_until
from tests.e2e.make_dev import MakeDev

pytestmark = pytest.mark.e2e

TIMEOUT_S = 120.0
AT_REST = "All that came in is where it belongs."
# What the sandbox does with a request: its operation, the answer's status, the effect.
Deed = tuple[str, int | None, str | None]
TOKEN: Deed = ("token", 200, None)


@dataclass(frozen=True)
class Mode:
    """`words` are the page's, `deeds` what the sandbox must do, and `may` what it may do besides."""

    words: str
    deeds: frozenset[Deed]
    may: frozenset[Deed]
    delivers: bool = False


def mode(words: str, *deeds: Deed, may: Deed = TOKEN, delivers: bool = False) -> Mode:
    return Mode(words, frozenset(deeds), frozenset({may}), delivers)


MODES = {
    "slow": mode("takes 3 s for each answer", ("create", 201, "created"), delivers=True),
    "loses answers": mode(
        "stores each new lead, then cuts the line before it answers",
        ("create", None, "created"),
        ("update", 200, "updated"),
        delivers=True,
    ),
    "503": mode(
        "answers 503 to everything and does nothing", ("create", 503, None), may=("token", 503, None)
    ),
    "down": mode("can't be reached"),
    "wrong secret": mode(
        "refuses the credentials: 400 invalid_client instead of a token",
        ("create", 401, None),
        ("token", 400, None),
        may=("token", 400, None),
    ),
}


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


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeDev]:
    """`make dev`, which is still up after all switches, and ends well by Ctrl-C."""
    dev = MakeDev(tmp_path_factory.mktemp("dev"))
    try:
        yield dev
        dev.press_ctrl_c()
    finally:
        dev.close()


@pytest.fixture(scope="module")
def hand(dev: MakeDev) -> Hand:
    return HttpHand(dev)


def says(hand: Hand, words: str) -> None:
    wait_until(f"the sentence {words!r}", lambda: hand.sentence() == words, timeout_s=TIMEOUT_S)


def tries(dev: MakeDev, emails: list[str]) -> dict[str, list[str]]:
    """The outcomes of each lead's attempts."""
    found: dict[str, list[str]] = {hash_address(email): [] for email in emails}
    for attempt in dev.attempts():
        found.get(attempt.get("lead", ""), []).append(attempt["outcome"])
    return found


def all_delivered(dev: MakeDev, emails: list[str]) -> bool:
    return all("delivered" in outcomes for outcomes in tries(dev, emails).values())


def all_tried_twice(dev: MakeDev, emails: list[str]) -> bool:
    """Or delivered, where no lead should be: waiting for a second attempt would be in vain."""
    return all(len(outcomes) > 1 or "delivered" in outcomes for outcomes in tries(dev, emails).values())


@pytest.mark.parametrize("name", MODES)
def test_a_mode_does_what_the_page_says_until_up_lets_every_lead_go(
    dev: MakeDev, hand: Hand, name: str
) -> None:
    """Also with execution environments that are warm and hold a good token and good credentials."""
    expected = MODES[name]
    warm = hand.publish()
    wait_until("warm environments", lambda: all_delivered(dev, warm), timeout_s=TIMEOUT_S)
    says(hand, AT_REST)
    since = dev.received()[-1]["seq"]

    hand.turn(name)
    emails = hand.publish()
    seen = all_delivered if expected.delivers else all_tried_twice
    wait_until("attempts", lambda: seen(dev, emails), timeout_s=TIMEOUT_S)
    waiting = 0 if expected.delivers else len(emails)
    sentence = f"The API {expected.words}. {waiting} leads wait; none is lost."
    wait_until("figures", lambda: dev.figures()["waiting"] == waiting, timeout_s=TIMEOUT_S)
    said, until = hand.sentence(), time.time()
    hand.turn("up")

    received = [each for each in dev.received(since) if each["at"] < until]
    deeds = {(each["operation"], each["status"], each["effect"]) for each in received}
    assert expected.deeds <= deeds <= expected.deeds | expected.may
    assert said == sentence
    says(hand, AT_REST)
    leads = dev.leads()
    assert [leads[email]["creates"] for email in emails] == [1] * len(emails)
    figures = dev.figures()
    assert (figures["createdAgain"], figures["parked"]) == (0, 0)
