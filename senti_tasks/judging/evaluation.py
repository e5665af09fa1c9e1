"""The figures of a model on labelled rows."""

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, roc_auc_score

from senti_tasks.judging import calibration


def measure(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Figures of ``probabilities`` (n, n_labels) against ``labels`` (n,), row by row; n must be 1 or more.

    ``rows``, ``accuracy``, ``macro_f1`` (over all labels; a label neither given nor predicted counts 0), ``log_loss``
    (natural logarithm), ``ece`` and ``brier`` (see ``calibration``), ``roc_auc`` (two labels, both present), and
    ``confusion_T_P``: rows of label T predicted as P. Raises ``ValueError`` on no rows, other shapes, or what is no
    probability.
    """
    n, n_labels = probabilities.shape
    if n == 0 or labels.shape != (n,):
        raise ValueError(
            f"expected labels (n,) and probabilities (n, n_labels), n > 0: {labels.shape}, {(n, n_labels)}"
        )
    exact = probabilities.astype(np.float64)
    if not (np.isfinite(exact).all() and (exact >= 0).all() and np.allclose(exact.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("every row of probabilities must be non-negative and sum to 1")
    exact /= exact.sum(axis=1, keepdims=True)  # float32 and bf16 rows miss 1 by more than log_loss accepts
    known = np.arange(n_labels)
    predicted = exact.argmax(axis=1)  # (n,)
    figures = {
        "rows": float(n),
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=known, average="macro", zero_division=0)),
        "log_loss": float(log_loss(labels, exact, labels=known)),
        **{name: value for name, value in calibration.measure(labels, exact).items() if name != "nll"},
    }
    if n_labels == 2 and len(np.unique(labels)) == 2:
        figures["roc_auc"] = float(roc_auc_score(labels, exact[:, 1]))
    counts = confusion_matrix(labels, predicted, labels=known)  # (n_labels, n_labels), true by predicted
    for true, predicted_label in np.ndindex(counts.shape):
        figures[f"confusion_{true}_{predicted_label}"] = float(counts[true, predicted_label])
    return figures
