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


def exact_bounds(found: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper confidence bound of a share, of which ``found`` of ``rows`` (0 or more) are a random sample.

    Each is one-sided and exact (Clopper and Pearson 1934); the upper one equals ``intervals.share_upper_bound``. The
    sums have ``found`` terms, so this is for samples, and not for millions of rows.
    """
    low = 0.0 if found == 0 else _share_with(found - 1, rows, confidence)
    high = 1.0 if found >= rows else _share_with(found, rows, 1 - confidence)
    return low, high


def _share_with(found: int, rows: int, chance: float) -> float:
    """The share with which at most ``found`` (below ``rows``) of ``rows`` are found with this chance. By bisection: the
    chance decreases in the share."""
    logarithms = [
        math.lgamma(rows + 1) - math.lgamma(number + 1) - math.lgamma(rows - number + 1) for number in range(found + 1)
    ]
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        hit, missed = math.log(share), math.log1p(-share)
        total = sum(math.exp(one + n * hit + (rows - n) * missed) for n, one in enumerate(logarithms))
        low, high = (share, high) if total > chance else (low, share)
    return (low + high) / 2
