"""Bins for the scores of a variant, fixed at training: later distributions of its scores are compared in them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from senti_tasks.scoring.predictions import Predictions

MOST_BINS = 10


def score_bins(probabilities: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> dict[str, Any] | None:
    """Edges between ten bins with about as many rows each, by the scores of ``probabilities`` (n, n_labels).

    Fewer bins if many scores are equal; ``None`` if there are not two. A bin contains its upper edge. Returns edges
    (ascending), shares (of the rows, one more than the edges) and rows (n).
    """
    scores = Predictions(probabilities.astype(np.float32), np.zeros(len(probabilities), bool)).scores.astype(float)
    if not len(scores):
        return None
    quantiles = np.unique(np.quantile(scores, np.arange(1, MOST_BINS) / MOST_BINS, method="inverted_cdf"))
    edges = quantiles[quantiles < scores.max()]
    if not len(edges):
        return None
    counts = np.bincount(np.searchsorted(edges, scores, side="left"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "shares": (counts / len(scores)).tolist(), "rows": len(scores)}
