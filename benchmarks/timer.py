"""A timer for one call."""

import time
from collections.abc import Callable


def seconds_of(function: Callable[[], object]) -> float:
    """Wall time of one call of ``function``, in seconds."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
