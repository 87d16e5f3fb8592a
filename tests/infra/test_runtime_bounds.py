"""A leads API that drips, floods or sends bombs, met by the bundle under AWS's own runtime client.

Such an answer may not outlive the invocation, because a function that is killed answers for none of its
batch; nor may it fill the memory, which has the same effect.
"""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import psutil
import pytest

from tests.infra.execution_environment import environment, running
from tests.infra.runtime_api import RuntimeApi
from tests.infra.work_place import Answer, Handler, HostileApi, Stack

pytestmark = pytest.mark.shipped

# A flood and a bomb end by their size, so a time-out that a busy machine could reach would only hide that.
READ_TIMEOUT_OF_LARGE_ANSWERS_S = 10
# Before the bounds, the bomb took 830 MiB and the flood 2,800.
MOST_MEMORY_BYTES = 150 * 1024 * 1024


def send(start: bytes, pieces: Iterator[bytes], pause_s: float = 0) -> Answer:
    """Sends the start, then each piece after a pause, until the client leaves."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(start)
        for piece in pieces:
            handler.wfile.write(piece)
            time.sleep(pause_s)

    return answer


HEAD = b"HTTP/1.1 201 Created\r\n"


def dripping_head() -> Answer:
    """One byte a second."""
    return send(HEAD + b"X: ", repeat(b"x"), pause_s=1)


def dripping_body() -> Answer:
    """One byte a second."""
    return send(HEAD + b"Content-Length: 1000\r\n\r\n", repeat(b" "), pause_s=1)


def flood() -> Answer:
    """1 GB."""
    return send(HEAD + b"Content-Length: 1000000000\r\n\r\n", repeat(bytes(1_000_000), 1000))


def bomb() -> Answer:
    """300 kB that unpack to 300 MB."""
    packed = gzip.compress(bytes(300_000_000))
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    return send(HEAD + head, iter([packed]))


@contextmanager
def little_memory(process_id: int) -> Iterator[None]:
    """Fails when the process grows much at any time."""
    process = psutil.Process(process_id)
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert peak - before < MOST_MEMORY_BYTES


def settings_for(stack: Stack, hostile: Callable[[], Answer]) -> dict[str, str]:
    """The stack's, with the time that the answer is to need."""
    if hostile in {flood, bomb}:
        return {**stack.settings, "READ_TIMEOUT_S": str(READ_TIMEOUT_OF_LARGE_ANSWERS_S)}
    return stack.settings


GOOD = ["ann@example.com", "ben@example.com", "cem@example.com"]


@pytest.mark.parametrize("hostile", [dripping_head, dripping_body, flood, bomb])
def test_an_odd_answer_ends_in_time_and_memory_and_harms_no_other_lead_of_the_batch(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    hostile: Callable[[], Answer],
) -> None:
    """It counts as a lost answer: that lead alone comes back."""
    leads_api.answer_odd = hostile()
    with running(clean_python, environment(bundle, api, **settings_for(stack, hostile))) as process_id:
        assert stack.invoke(stack.publish("warm@example.com")) == set()
        records = stack.publish(GOOD[0], "odd1@example.com", "odd2@example.com", *GOOD[1:])
        with little_memory(process_id):
            assert stack.invoke(records) == {"odd1@example.com", "odd2@example.com"}
    assert sorted(leads_api.asked[1:]) == [*GOOD, "odd1@example.com", "odd2@example.com"]


@pytest.mark.parametrize("hostile", [dripping_head, dripping_body, flood, bomb])
def test_an_odd_answer_of_the_token_endpoint_ends_in_time_and_memory_and_loses_nothing(
    bundle: Path,
    clean_python: Path,
    api: RuntimeApi,
    leads_api: HostileApi,
    stack: Stack,
    hostile: Callable[[], Answer],
) -> None:
    """Without a token no lead is sent; when the endpoint is well again, all are."""
    with running(clean_python, environment(bundle, api, **settings_for(stack, hostile))) as process_id:
        assert stack.invoke([]) == set()
        records = stack.publish(*GOOD)
        leads_api.answer_token = hostile()
        with little_memory(process_id):
            assert stack.invoke(records) == set(GOOD)
        assert leads_api.asked == []
        leads_api.answer_token = None
        assert stack.invoke(records) == set()
    assert sorted(leads_api.asked) == GOOD
