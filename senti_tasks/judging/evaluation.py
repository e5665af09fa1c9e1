"""The figures of a model on labelled rows."""

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from senti_tasks.judging import calibration


def measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The figures of ``probabilities`` (n, n_labels) for ``labels`` (n,), n > 0.

    ``rows``, ``accuracy``, ``macro_f1`` (over all labels; 0 for a label that is neither given nor predicted),
    ``log_loss`` (natural logarithm), ``ece`` and ``brier`` (see ``calibration``), ``roc_auc`` (only with two labels,
    both present), and ``confusion_T_P``: rows of label T predicted as P. Raises ``ValueError`` for no rows, other
    shapes, or rows that are no probabilities.
    """
    n, n_labels = probabilities.shape
    if n == 0 or labels.shape != (n,):
        raise ValueError(
            f"expected labels (n,) and probabilities (n, n_labels), n > 0: {labels.shape}, {(n, n_labels)}"
        )
    exact = probabilities.astype(np.float64)
    if not (np.isfinite(exact).all() and (exact >= 0).all() and np.allclose(exact.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("every row of probabilities must be non-negative and sum to 1")
    exact /= exact.sum(
        axis=1, keepdims=True
    )  # sums of float32 and bf16 rows differ from 1 by more than log_loss allows
    known = np.arange(n_labels)
    predicted = exact.argmax(axis=1)  # (n,)
    measured = calibration.measure(labels, exact)
    figures = {
        "rows": float(n),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=known, average="macro", zero_division=0)),
        "log_loss": float(log_loss(labels, exact, labels=known)),
        "ece": measured["ece"],
        "brier": measured["brier"],
    }
    if n_labels == 2 and len(np.unique(labels)) == 2:
        figures["roc_auc"] = float(roc_auc_score(labels, exact[:, 1]))
    counts = confusion_matrix(labels, predicted, labels=known)  # (n_labels, n_labels), true by predicted
    return figures | {f"confusion_{true}_{given}": float(count) for (true, given), count in np.ndenumerate(counts)}
