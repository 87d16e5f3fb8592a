"""Which core runs what, so that clients and servers don't take time from each other."""

import os

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
# With one core, or where a process can't be bound to one, they share.
IS_PINNED = len(_CORES) > 1
CLIENT_CORE, SERVER_CORE = (_CORES[0], _CORES[1]) if IS_PINNED else (0, 0)


def pin(core: int) -> None:
    """Binds this process, and those that it starts, to one core."""
    if IS_PINNED:
        os.sched_setaffinity(0, {core})
