"""Waiting for something to happen, which must not take for ever."""

import time
from collections.abc import Callable

DEADLINE_S = 120


def wait_until(happened: Callable[[], bool]) -> None:
    """Comes back once ``happened``; fails when it does not."""
    end = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
