"""A headless Chromium, driven by the DevTools protocol over a pipe, which needs no package and no port."""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Self

from local.stack.waiting import wait_until

_PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--no-proxy-server", "--hide-scrollbars", "--remote-debugging-pipe"),
)
# Chromium reads commands from the one and writes answers to the other.
_COMMANDS_FD, _ANSWERS_FD = 3, 4
_ANSWER_TIMEOUT_S = 30.0
_PIPE_BYTES = 65_536


class BrowserError(Exception):
    """Chromium refused a command, or gave no answer; the text says which."""


def find_chromium() -> str | None:
    """The program's path; None where there is none."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class Browser:
    """One tab of a Chromium of its own; `folder` takes its profile and log. Runs until `close`."""

    def __init__(self, program: str, folder: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Out of the way, so that neither is overwritten before it is copied.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (commands, answers)]
        self._pid = os.posix_spawn(
            program,
            [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
            {**os.environ, "HOME": str(folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 2, str(folder / "chromium.log"), os.O_WRONLY | os.O_CREAT, 0o600),
                (os.POSIX_SPAWN_DUP2, ends[0], _COMMANDS_FD),
                (os.POSIX_SPAWN_DUP2, ends[1], _ANSWERS_FD),
            ],
            setpgroup=0,
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._ids = itertools.count(1)
        self._unread = b""
        self._session: dict[str, str] = {}
        try:
            target = self.command("Target.createTarget", url="about:blank")["targetId"]
            attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
            self._session = {"sessionId": attached["sessionId"]}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends Chromium and the processes that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Loads a page as a person with such a screen would see it."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        # A change of the fragment alone would load nothing.
        self.command("Page.navigate", url="about:blank")
        self.command("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:  # noqa: ANN401 - whatever the script returns
        """The value of a JavaScript expression, awaited. Raises `BrowserError` for one that throws."""
        answer = self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
        """Until the expression is true; raises `NotInTimeError`."""
        wait_until(script, lambda: bool(self.evaluate(script)), timeout_s=timeout_s)

    def press(self, key: str) -> None:
        """A key without a character: Tab, ArrowRight. Enter acts as in a form."""
        text = {"text": "\r"} if key == "Enter" else {}
        number = {"Tab": 9, "Enter": 13, "ArrowRight": 39}[key]
        for kind in ("keyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=number, **text
            )

    def picture(self, path: Path, height: float | None = None) -> None:
        """The page as PNG, as wide as the screen; whole, or its upper `height` pixels."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(answer["data"]))

    def command(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - the protocol's JSON
        """The result of a DevTools command; raises `BrowserError`."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        with contextlib.suppress(BrokenPipeError):  # said below, as a missing answer
            os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        while True:
            answer = self._next_message(deadline, method)
            if answer.get("id") == number:
                break
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def _next_message(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            read = os.read(self._answers, _PIPE_BYTES) if ready else b""
            if not read:
                raise BrowserError(f"Chromium gave no answer to {method}")
            self._unread += read
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))
