"""Bounds of a share. Reports need them where scipy is not installed."""

import math
from statistics import NormalDist


def accuracy_bounds(right: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper confidence bound of an accuracy, from a sample with ``right`` of ``rows`` (1 or more) correct.

    Each bound is one-sided: Wilson's score interval (Wilson 1927, JASA 22:209-212).
    """
    z = NormalDist().inv_cdf(confidence)
    share, spread = right / rows, z * z / rows
    middle = share + spread / 2
    width = math.sqrt(share * (1 - share) * spread + spread * spread / 4)
    # At the ends the bounds are exact; computed, they would miss 0 and 1 by a rounding error.
    low = 0.0 if right == 0 else (middle - width) / (1 + spread)
    high = 1.0 if right == rows else (middle + width) / (1 + spread)
    return low, high
