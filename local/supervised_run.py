"""A run that a person started: its folder, its end by a signal, its failures in words."""

import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local.stack.child_process import ChildFailedError
from local.stack.waiting import NotInTimeError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(console: Console, name: str, run: Callable[[Path], bool]) -> int:
    """Calls `run` with a folder of its own, named after `name`; returns the exit status.

    0 when `run` says that all is well, 1 when not or when it failed, and then the folder is kept; 130 after
    Ctrl-C, SIGTERM or SIGHUP.
    """
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    status = 1
    try:
        status = 0 if run(folder) else 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is left running.")
        status = 130
    except (ChildFailedError, NotInTimeError) as error:
        console.print(f"The run failed: {error}", markup=False, soft_wrap=True)
    except (ClientError, BotoCoreError, requests.RequestException) as error:
        what = "The run failed because the emulated AWS or the sandbox did"
        console.print(f"{what}: {error}", markup=False, soft_wrap=True)
    if status == 1 and any(folder.iterdir()):
        console.print(f"Logs and state are kept in {folder}", markup=False, soft_wrap=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _interrupt(*_: object) -> None:
    """Unwinds, which ends every process that was started; a second signal can't stop that half-way."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
