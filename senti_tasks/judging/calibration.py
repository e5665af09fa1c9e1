"""Temperature scaling, and measures of calibration. Of reviews with confidence 0.9, nine in ten should be right."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from senti_tasks.judging.temperature import Probabilities, logits

BINS = 15
"""Bins of equal width, over the confidence, for the calibration error."""
_BOUNDS = (0.5, 10.0)
"""Bounds of the temperature. Without them, a model that is right on all of a small validation split would get a
temperature near 0, and confidences of 1."""


def fit_temperature(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    """The temperature by which to divide the logits of ``probabilities`` (n, n_labels), in [0.5, 10]; 1 if n is 0.

    It maximises the likelihood of ``labels`` (n,). It changes no predicted label (Guo et al. 2017, On Calibration of
    Modern Neural Networks, 4.2).
    """
    if len(labels) == 0:
        return 1.0
    given, rows = logits(probabilities), np.arange(len(labels))

    def loss(temperature: float) -> float:
        return -float(log_softmax(given / temperature, axis=1)[rows, labels].mean())

    return float(minimize_scalar(loss, bounds=_BOUNDS, method="bounded").x)


def measure(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> dict[str, float]:
    """``ece``, ``nll`` and ``brier`` of ``probabilities`` (n, n_labels) for ``labels`` (n,), n > 0; 0 is the best.

    ECE: difference of confidence and accuracy, over 15 bins of equal width, weighted by their rows (Naeini et al.
    2015). NLL: mean negative natural logarithm. Brier: squared error, summed over labels (Brier 1950).
    """
    exact = probabilities.astype(np.float64)
    confidence, right = exact.max(axis=1), exact.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return {
        "ece": float(np.abs(gaps).sum() / len(labels)),
        "nll": float(log_losses(labels, exact).mean()),
        "brier": float(brier_scores(labels, exact).mean()),
    }


def log_losses(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The negative natural logarithm of the probability of each row's label: (n,)."""
    return -logits(probabilities[np.arange(len(labels)), labels])


def brier_scores(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The squared error of each row of ``probabilities`` (n, n_labels), summed over labels: (n,)."""
    truth = np.eye(probabilities.shape[1])[labels]
    scores: npt.NDArray[np.float64] = ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1)
    return scores
