"""How sure one can be of a difference between two models that were measured on the same rows."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy import stats

Labels = npt.NDArray[np.int64]

_DRAWS = 2_000
_ROWS_AT_ONCE = 2_000_000  # cells of a simulation in memory at once
_BISECTIONS = 60  # more than a float64 can tell apart


def lower_bound(only_candidate: int, only_reference: int, n: int, confidence: float) -> float:
    """One-sided lower confidence bound of accuracy(candidate) − accuracy(reference) on the same ``n`` rows, n > 0.

    ``only_candidate`` rows are right in the candidate alone, ``only_reference`` in the reference alone. Tango's score
    interval (Tango 1998, Statistics in Medicine 17:891-908): the smallest difference that its score test would not
    reject. It keeps its coverage where Wald's interval fails (few discordant rows, n small).
    """
    z = NormalDist().inv_cdf(confidence)
    low, high = -1.0, (only_candidate - only_reference) / n
    for _ in range(_BISECTIONS):  # the statistic falls as the difference rises, so bisection finds the one root
        middle = (low + high) / 2
        if score_statistic(only_candidate, only_reference, n, middle) > z:
            low = middle
        else:
            high = middle
    return low


def upper_bound(only_candidate: int, only_reference: int, n: int, confidence: float) -> float:
    """The one-sided upper bound of the same difference."""
    return -lower_bound(only_reference, only_candidate, n, confidence)


def score_statistic(only_candidate: int, only_reference: int, n: int, difference: float) -> float:
    """Tango's (1998) statistic for the hypothesis that the accuracies differ by ``difference``; normal if they do."""
    b, c = only_candidate, only_reference
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    # P(only reference) with the highest likelihood under the hypothesis
    share = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 1e-12:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def macro_f1_difference(
    labels: Labels, candidate: Labels, reference: Labels, n_labels: int, confidence: float
) -> tuple[float, float, float]:
    """macro-F1(candidate) − macro-F1(reference) of predicted labels (n,), n > 0, its one-sided lower bound, and its
    standard error.

    Paired bootstrap (Efron & Tibshirani 1993, 13.3; Berg-Kirkpatrick et al. 2012): whole rows are drawn, so that both
    models meet the same ones. Rows with the same three labels are alike, so drawing how many of each kind there are is
    drawing rows. The same input gives the same bound.
    """
    n, kinds = len(labels), (n_labels, n_labels, n_labels)
    counts = np.bincount(np.ravel_multi_index((labels, candidate, reference), kinds), minlength=n_labels**3)
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=_DRAWS)
    tables = np.concatenate([counts[None], drawn]).reshape(-1, *kinds)  # (1 + draws, label, candidate, reference)
    differences = _macro_f1(tables.sum(axis=3)) - _macro_f1(tables.sum(axis=2))
    drawn_differences = differences[1:]
    return float(differences[0]), float(np.quantile(drawn_differences, 1 - confidence)), float(drawn_differences.std())


def _macro_f1(confusions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Macro-F1 of each of ``confusions`` (m, n_labels, n_labels), true by predicted; 0 for a label not seen at all."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    total = confusions.sum(axis=1) + confusions.sum(axis=2)
    scores: npt.NDArray[np.float64] = (2 * right / np.maximum(total, 1)).mean(axis=1)
    return scores


def mean_lower_bound(differences: npt.NDArray[np.float64], confidence: float) -> float:
    """One-sided lower bound of the mean of ``differences`` (n,), n > 0, by Student's t. Of rows without any, 0."""
    n = len(differences)
    if not differences.any():
        return 0.0
    if n == 1:
        return -math.inf
    return float(differences.mean() - stats.t.ppf(confidence, n - 1) * differences.std(ddof=1) / math.sqrt(n))


def accuracy_bounds(right: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper bound of the accuracy of which ``right`` of ``rows`` (1 or more) are a sample.

    Each one-sided at ``confidence``: Wilson's score interval.
    """
    found = stats.binomtest(right, rows).proportion_ci(confidence_level=2 * confidence - 1, method="wilson")
    return float(found.low), float(found.high)


def unpaired_upper_bound(first: tuple[int, int], second: tuple[int, int], confidence: float) -> float:
    """One-sided upper bound of accuracy(first) − accuracy(second), each right answers of so many rows of its own.

    Newcombe's interval from the two Wilson bounds (Newcombe 1998, Statistics in Medicine 17:873-890, method 10).
    """
    difference = first[0] / first[1] - second[0] / second[1]
    above = accuracy_bounds(*first, confidence)[1] - first[0] / first[1]
    below = second[0] / second[1] - accuracy_bounds(*second, confidence)[0]
    return difference + math.hypot(above, below)


def calibrated_ece(confidences: npt.NDArray[np.float64], bins: int, quantile: float) -> float:
    """The ``quantile`` of the ECE that a perfectly calibrated model shows by chance at these ``confidences`` (n,).

    Each row is right with the probability that its confidence states, drawn often. Few rows make a good model look
    miscalibrated: 2 points at 1,000 rows are nothing (Vaicenavicius et al. 2019, 4.2). The same input, the same answer.
    """
    n = len(confidences)
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    order = np.argsort(bin_of, kind="stable")
    sorted_confidences = confidences[order]
    starts = np.flatnonzero(np.diff(bin_of[order], prepend=-1))
    random = np.random.default_rng(0)
    draws = max(1, min(_DRAWS, _ROWS_AT_ONCE // n))
    found: list[npt.NDArray[np.float64]] = []
    for _ in range(-(-_DRAWS // draws)):
        right = random.random((draws, n), dtype=np.float32) < sorted_confidences
        gaps = np.add.reduceat(right - sorted_confidences, starts, axis=1)  # (draws, bins that hold a row)
        found.append(np.abs(gaps).sum(axis=1) / n)
    return float(np.quantile(np.concatenate(found), quantile))
