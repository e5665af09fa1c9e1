"""Probabilities that mean what they say: of reviews scored 0.9, nine in ten are right."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]

BINS = 15
"""Of confidence, of equal width, that the calibration error is taken over."""
_BOUNDS = (0.5, 10.0)
"""Of temperatures: without them a model that is right on all of a small validation split is made certain."""


def fit_temperature(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    """The number that the logits behind ``probabilities`` (n, n_labels) are to be divided by.

    It makes ``labels`` (n,) the most likely, and changes no label (Guo et al. 2017, On Calibration of Modern Neural
    Networks, 4.2). In [0.5, 10]; of no rows, 1.
    """
    if len(labels) == 0:
        return 1.0
    logits = _logits(probabilities)
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]).mean())

    return float(minimize_scalar(loss, bounds=_BOUNDS, method="bounded").x)


def scaled(probabilities: Probabilities, temperature: float) -> npt.NDArray[np.float64]:
    """``probabilities`` (n, n_labels) as they are when the logits behind them are divided by ``temperature``."""
    powers = _logits(probabilities) / temperature
    powers = np.exp(powers - powers.max(axis=1, keepdims=True))
    cooled: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return cooled


def _logits(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Up to a constant per row, which cancels."""
    logits: npt.NDArray[np.float64] = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1))
    return logits


def measure(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> dict[str, float]:
    """``ece``, ``nll`` and ``brier`` of ``probabilities`` (n, n_labels) against ``labels`` (n,), n > 0; 0 is the best.

    ECE: how far confidence and accuracy lie apart, over 15 bins of equal width, weighted by their rows (Naeini et al.
    2015). NLL: natural logarithm. Brier: the squared distance to the truth, summed over labels (Brier 1950).
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
    """Minus the natural logarithm of what each row of ``probabilities`` (n, n_labels) gives its label: (n,)."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: npt.NDArray[np.float64] = -np.log(np.clip(given, 1e-12, 1))
    return losses


def brier_scores(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The squared distance of each row of ``probabilities`` (n, n_labels) to the truth, summed over labels: (n,)."""
    truth = np.eye(probabilities.shape[1])[labels]
    scores: npt.NDArray[np.float64] = ((probabilities.astype(np.float64) - truth) ** 2).sum(axis=1)
    return scores
