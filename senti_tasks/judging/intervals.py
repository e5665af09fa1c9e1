"""Confidence bounds for the difference of two models, mostly on the same rows, and for single shares."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from senti_tasks.judging.shares import accuracy_bounds

Labels = npt.NDArray[np.int64]

_DRAWS = 2_000


def lower_bound(only_candidate: int, only_reference: int, n: int, confidence: float) -> float:
    """One-sided lower confidence bound of accuracy(candidate) − accuracy(reference) on the same ``n`` rows, n > 0.

    ``only_candidate``: rows that only the candidate predicts correctly; ``only_reference``: rows that only the
    reference does. It is the bound of Tango's score interval (Tango 1998, Statistics in Medicine 17:891-908): the
    smallest difference that his score test does not reject. Its coverage is right also for few discordant rows or small
    n, where that of Wald's interval is not.
    """
    z = NormalDist().inv_cdf(confidence)

    def excess(difference: float) -> float:
        return score_statistic(only_candidate, only_reference, n, difference) - z

    if excess(-1.0) <= 0:
        return -1.0
    # The statistic decreases in the difference, so there is one root.
    return float(optimize.bisect(excess, -1.0, (only_candidate - only_reference) / n))


def upper_bound(only_candidate: int, only_reference: int, n: int, confidence: float) -> float:
    """The one-sided upper confidence bound of the same difference."""
    return -lower_bound(only_reference, only_candidate, n, confidence)


def score_statistic(only_candidate: int, only_reference: int, n: int, difference: float) -> float:
    """Tango's (1998) statistic for the hypothesis that the accuracies differ by ``difference``.

    It is standard normal if the hypothesis is true. The parameters are those of ``lower_bound``.
    """
    b, c = only_candidate, only_reference
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    # The maximum likelihood estimate, under the hypothesis, of P(only the reference is right)
    share = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = b - c - n * difference
    if variance <= 1e-12:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def macro_f1_difference(
    labels: Labels, candidate: Labels, reference: Labels, n_labels: int, confidence: float
) -> tuple[float, float, float]:
    """macro-F1(candidate) − macro-F1(reference), its one-sided lower confidence bound, and its standard error.

    ``labels`` are the true ones; ``candidate`` and ``reference`` the predicted ones, each (n,), n > 0. Paired bootstrap
    (Efron & Tibshirani 1993, 13.3; Berg-Kirkpatrick et al. 2012): whole rows are drawn, so both models get the same
    rows. Rows with the same three labels are interchangeable, so it is enough to draw the number of rows of each such
    kind. The same input gives the same result.
    """
    n, kinds = len(labels), (n_labels, n_labels, n_labels)
    counts = np.bincount(np.ravel_multi_index((labels, candidate, reference), kinds), minlength=n_labels**3)
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=_DRAWS)
    tables = np.concatenate([counts[None], drawn]).reshape(-1, *kinds)  # (1 + draws, label, candidate, reference)
    differences = _macro_f1(tables.sum(axis=3)) - _macro_f1(tables.sum(axis=2))
    drawn_differences = differences[1:]
    return float(differences[0]), float(np.quantile(drawn_differences, 1 - confidence)), float(drawn_differences.std())


def _macro_f1(confusions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Macro-F1 of each of ``confusions`` (m, n_labels, n_labels), true by predicted: (m,). Labels without rows: 0."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    total = confusions.sum(axis=1) + confusions.sum(axis=2)
    scores: npt.NDArray[np.float64] = (2 * right / np.maximum(total, 1)).mean(axis=1)
    return scores


def mean_lower_bound(differences: npt.NDArray[np.float64], confidence: float) -> float:
    """One-sided lower confidence bound of the mean of ``differences`` (n,), n > 0, by Student's t; 0 if all are 0."""
    n = len(differences)
    if not differences.any():
        return 0.0
    if n == 1:
        return -math.inf
    return float(differences.mean() - stats.t.ppf(confidence, n - 1) * differences.std(ddof=1) / math.sqrt(n))


def share_upper_bound(found: int, rows: int, confidence: float) -> float:
    """One-sided upper confidence bound of a share, of which ``found`` of ``rows`` (0 or more) rows are a random sample.

    It is exact (Clopper and Pearson 1934, Biometrika 26:404-413): whatever the true share is, the bound is below it in
    at most 1 − ``confidence`` of all samples. Without rows, or if all rows are found, it is 1.
    """
    return 1.0 if found >= rows else float(stats.beta.ppf(confidence, found + 1, rows - found))


def most_found(rows: int, limit: float, confidence: float) -> int | None:
    """The largest number of found rows with a ``share_upper_bound`` of at most ``limit``; ``None`` if 0 is too many."""
    if share_upper_bound(0, rows, confidence) > limit:
        return None
    low, high = 0, rows  # the bound of ``low`` is at most the limit, that of ``high`` is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if share_upper_bound(middle, rows, confidence) <= limit else (low, middle)
    return low


def rows_to_certify(limit: float, confidence: float) -> int:
    """The smallest number of rows for which ``share_upper_bound`` of 0 found rows is at most ``limit``, in (0, 1)."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-limit))  # (1 - limit) ** rows <= 1 - confidence


def unpaired_upper_bound(first: tuple[int, int], second: tuple[int, int], confidence: float) -> float:
    """One-sided upper confidence bound of accuracy(first) − accuracy(second), on different rows.

    ``first`` and ``second`` are (correct rows, all rows). Newcombe's interval from two Wilson intervals (Newcombe 1998,
    Statistics in Medicine 17:873-890, method 10).
    """
    one, other = first[0] / first[1], second[0] / second[1]
    above = accuracy_bounds(*first, confidence)[1] - one
    below = other - accuracy_bounds(*second, confidence)[0]
    return one - other + math.hypot(above, below)


def calibrated_ece(confidences: npt.NDArray[np.float64], bins: int, quantile: float) -> float:
    """The ``quantile`` of the ECE that a perfectly calibrated model has by chance at these ``confidences`` (n,).

    In each of 2,000 draws, each row is correct with the probability of its confidence. With few rows a good model looks
    miscalibrated: an ECE of 2 points at 1,000 rows is within chance (Vaicenavicius et al. 2019, 4.2). The same input
    gives the same result.
    """
    n = len(confidences)
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    random = np.random.default_rng(0)
    found = []
    for _ in range(_DRAWS):
        gaps = (random.random(n, dtype=np.float32) < confidences) - confidences  # correct (1 or 0) minus confidence
        found.append(np.abs(np.bincount(bin_of, weights=gaps)).sum() / n)
    return float(np.quantile(found, quantile))
