"""How long something takes."""

import time
from collections.abc import Callable


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall time that ``work`` takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
