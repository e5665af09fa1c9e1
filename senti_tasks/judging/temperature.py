"""Divides logits by a temperature. Reports need it where scipy is not installed."""

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def scaled(probabilities: Probabilities, temperature: float) -> npt.NDArray[np.float64]:
    """``probabilities`` (n, n_labels) with their logits divided by ``temperature``."""
    divided = logits(probabilities) / temperature
    powers = np.exp(divided - divided.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return found


def logits(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """The logarithms of ``probabilities``, at least 1e-12: the logits, up to a constant per row."""
    found: npt.NDArray[np.float64] = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1))
    return found
